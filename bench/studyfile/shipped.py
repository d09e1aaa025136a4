"""The studies that come with the package, and where a study's file is."""

import os
from pathlib import Path

from bench.errors import RequestError, UnknownNameError
from bench.studyfile.document import read_document

SHIPPED = Path(__file__).parents[1] / "studies"


def shipped() -> dict[str, Path]:
    """The files of the studies that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(name: str) -> Path:
    """The file of a path, or of the name of a shipped study.

    Raises:
        RequestError: there is none.
    """
    known = shipped()
    is_path = name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name
    if not is_path and name in known:
        return known[name]
    if os.path.lexists(name):
        return Path(name)
    unknown = UnknownNameError("study", Path(name).stem if is_path else name, known)
    if not is_path:
        raise unknown
    near = f"; did you mean the shipped study {unknown.near[0]}?" if unknown.near else ""
    raise RequestError(f"{name}: there is no such file{near}")


def about(name: str) -> str:
    """What a shipped study says that it is for."""
    entries = read_document(shipped()[name]).entries("a study")
    return " ".join(entries["about"][1].text("about").split())
