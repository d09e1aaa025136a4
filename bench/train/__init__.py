"""Training: `loop.py` has the one loop, its batches and its checkpoints, `step.py` one step."""
