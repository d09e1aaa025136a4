"""The suite from Python, as `import bench` offers it; docs/api.md says what is stable."""
