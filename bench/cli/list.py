"""The command `bench list`: one line about everything that has a name.

The lines are the first ones of docstrings, read from the sources: importing torch takes seconds.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import bench
from bench.errors import UnknownNameError
from bench.presets import PRESETS
from bench.reproduce.tables import TABLES

LIST_HELP = """Describe what there is, one line each.

[bold]Example[/bold]: bench list models
"""

# The registries of each leaf, in the order in which they are shown.
_REGISTRIES = {
    "models": ("GROUPS",),
    "metrics": ("METRICS", "STUDY_METRICS"),
    "datasets": ("DATASETS",),
}


def list_(
    what: Annotated[str, typer.Argument(help="models, metrics, datasets, presets, reproductions")],
) -> None:
    for name, line in describe(what):
        print(f"{name:24} {line}".rstrip())


def describe(what: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a kind.

    Models come in groups: a line without a description is empty or the name of a group.
    """
    if what == "presets":
        for name, preset in PRESETS.items():
            yield name, preset.description
    elif what == "reproductions":
        for name, table in TABLES.items():
            yield name, table.title
    elif what in _REGISTRIES:
        leaf = Path(bench.__file__).parent / what
        source = ast.parse((leaf / "__init__.py").read_text(encoding="utf-8"))
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
    for index, (key, value) in enumerate(zip(registry.keys, registry.values, strict=True)):
        name = ast.literal_eval(key) if key else ""
        if isinstance(value, ast.Dict):
            yield from [("", "")] * (index > 0)
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
    """The first line of the docstring of a class or function in a file."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    raise LookupError(f"no {name} in {file}")
