"""One line on everything that has a name, read from the sources: nothing is imported.

torch takes seconds to import, and the first lines of the docstrings can be had without.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UnknownNameError
from bench.presets import PRESETS
from bench.reproduce.tables import TABLES

# The registries of each leaf, in the order in which they are shown.
_REGISTRIES = {
    "models": ("GROUPS",),
    "metrics": ("METRICS", "STUDY_METRICS"),
    "datasets": ("DATASETS",),
}


def describe(what: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a kind, for `bench list`. Raises RequestError.

    Models come by group: a line without a description is an empty one or the name of a group.
    """
    if what == "presets":
        for name, preset in PRESETS.items():
            yield name, preset.description
    elif what == "reproductions":
        for name, table in TABLES.items():
            yield name, table.title
    elif what in _REGISTRIES:
        leaf = Path(__file__).parent / what
        source = ast.parse((leaf / "__init__.py").read_text())
        files = {
            alias.name: leaf / f"{node.module}.py"
            for node in source.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for registry in _REGISTRIES[what]:
            yield from _entries(_value(source, registry), files)
    else:
        raise UnknownNameError("kind", what, [*_REGISTRIES, "presets", "reproductions"])


def _entries(registry: ast.Dict, files: dict[str, Path]) -> Iterator[tuple[str, str]]:
    for place, (key, value) in enumerate(zip(registry.keys, registry.values, strict=True)):
        name = ast.literal_eval(key) if key else ""
        if isinstance(value, ast.Dict):
            yield from [("", "")] * (place > 0)
            yield f"{name}:", ""
            yield from _entries(value, files)
        elif isinstance(value, ast.Name):
            yield name, _first_line(files[value.id], value.id)


def _value(source: ast.Module, name: str) -> ast.Dict:
    """The dict that a module assigns to a name."""
    for node in source.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
            and isinstance(node.value, ast.Dict)
        ):
            return node.value
    raise LookupError(f"no annotated dict {name}")


def _first_line(file: Path, name: str) -> str:
    """Of the docstring of a class or function of a file."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    raise LookupError(f"no {name} in {file}")
