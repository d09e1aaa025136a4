"""The page of a study: collects what stands on it, and fills the template."""

from importlib.resources import files


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return (files("bench.report.html") / name).read_text(encoding="utf-8")
