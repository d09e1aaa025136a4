"""From a name to a model, a data set or a metric; the only place that knows how.

A name is looked up in the registry of its kind, then among installed entry points
(`bench.models`, `bench.datasets`, `bench.metrics`), then taken as `package.module:Name` or
`path/to/file.py:Name`; a data set may also be a file of arrays, `path/to/file.npz`, or a folder of
pictures. Such a file or folder that exists is taken before a name is read as an address.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import linecache
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from bench.errors import RequestError, UnknownNameError

Kind = Literal["model", "dataset", "metric"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The dicts of each leaf in which its names stand, in the order in which they are listed.
_REGISTRIES: Mapping[Kind, tuple[str, ...]] = {
    "model": ("GROUPS",),
    "metric": ("METRICS", "STUDY_METRICS"),
    "dataset": ("DATASETS",),
}


@dataclass(frozen=True)
class Entry:
    """A name, and what can be said of it without importing it: importing torch takes seconds.

    Attributes:
        name: the name.
        group: of models the group that they are listed in, else empty.
        source: the file that defines it, where that can be told.
        attribute: what it is called there.
        package: of a plug-in its distribution and version; empty for the suite's own.
    """

    name: str
    group: str
    source: Path | None
    attribute: str
    package: str = ""

    @property
    def line(self) -> str:
        """The first line of its docstring."""
        if self.source is None:
            return ""
        for node in _parsed(self.source).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == self.attribute:
                return (ast.get_docstring(node) or "").partition("\n")[0]
        return ""


def entries(kind: Kind) -> list[Entry]:
    """All names of a kind, read from the sources: those of the registry, then the plug-ins."""
    return [*_own_entries(kind), *map(_plug_in, entry_points(group=f"bench.{kind}s"))]


# What a notebook or a script has defined itself, by name: known to this process only.
_OFFERED: dict[Kind, dict[str, Any]] = {kind: {} for kind in KINDS}


def offer(kind: Kind, name: str, target: Any) -> None:
    """Give a class, function or object of this process a name until the process ends.

    Raises:
        RequestError: the suite or an installed package has that name.
    """
    if name in registry(kind) or name in _installed(kind):
        raise RequestError(f"the {kind} {name} has the name of another {kind}: rename it")
    _OFFERED[kind][name] = target


def offered(kind: Kind) -> Mapping[str, Any]:
    """What has been offered, by name."""
    return _OFFERED[kind]


def registry(kind: Kind) -> Mapping[str, Any]:
    """The registry of a kind: name -> class or function."""
    module = importlib.import_module(f"bench.{kind}s")
    entries: Mapping[str, Any] = getattr(module, f"{kind}s".upper())
    return {**entries, **module.STUDY_METRICS} if kind == "metric" else entries


def resolve(kind: Kind, name: str) -> Any:
    """The class or function behind a name. Raises RequestError, with the nearest names."""
    if name in _OFFERED[kind]:
        return _OFFERED[kind][name]
    known = registry(kind)
    if name in known:
        return known[name]
    installed = _installed(kind)
    if name in installed:
        return _imported(f"{kind} {name!r}", installed[name])
    if kind == "dataset" and (data := _own_data(name)):
        return data
    if _is_address(name):
        return _imported(f"{kind} {name!r}", name)
    if kind == "dataset" and os.path.exists(name) and not name.endswith(".py"):
        raise RequestError(
            f"{name}: a data set of your own is an npz file of arrays, or a folder of pictures"
        )
    if kind == "dataset" and name.endswith("/"):
        raise RequestError(f"{name}: there is no such folder")
    raise _unknown(kind, name, [*known, *installed])


def check_known(kind: Kind, name: str) -> None:
    """Raise RequestError, with the nearest names, where a name means nothing; imports nothing."""
    listed = [entry.name for entry in entries(kind)]
    if name not in (*listed, *_OFFERED[kind]) and not _is_address(name):
        raise _unknown(kind, name, listed)


def resolve_any(name: str) -> list[tuple[Kind | None, Any]]:
    """All that a name may mean where its kind is not known, each with its kind.

    The kind is None for `package.module:Name` and `path/to/file.py:Name`, which do not tell it.

    Raises:
        RequestError: the name means nothing, or what it means cannot be imported.
    """
    data = _own_data(name)
    # Files and addresses first: the names of models would import torch. A folder that has the form
    # of a registered name comes after these.
    if data and not name.isidentifier():
        return [("dataset", data)]
    if _is_address(name):
        return [(None, _imported(repr(name), name))]
    known = {kind: names(kind) for kind in KINDS}
    meanings: list[tuple[Kind | None, Any]] = [
        (kind, resolve(kind, name)) for kind in KINDS if name in known[kind]
    ]
    if not meanings and data:
        return [("dataset", data)]
    if not meanings:
        raise _unknown("name", name, [choice for kind in KINDS for choice in known[kind]])
    return meanings


def names(kind: Kind) -> list[str]:
    """All names of a kind: of the registry, then of installed entry points."""
    return [*registry(kind), *_installed(kind)]


def digest(name: str, target: Any, kind: Kind = "model") -> str | None:
    """Of the code that defines what a name means, unless it is the suite's own.

    That is the whole file; of what a notebook or script has offered, the source of the class or
    function alone, as the file holds much else.
    """
    try:
        if any(target is held for held in _OFFERED[kind].values()):
            return hashlib.sha256(source_of(target).encode()).hexdigest()[:16]
        file = _source(name, target, kind)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else None
    except (OSError, TypeError):
        return None


def _own_entries(kind: Kind) -> Iterator[Entry]:
    # where the leaf is: a checkout on Windows has no link to it
    spec = importlib.util.find_spec(f"bench.{kind}s")
    if spec is None or spec.origin is None:
        raise LookupError(f"bench.{kind}s is not found")
    leaf = Path(spec.origin).parent
    source = _parsed(leaf / "__init__.py")
    files = {
        alias.name: leaf / f"{node.module}.py"
        for node in source.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def read(registry: ast.Dict, group: str) -> Iterator[Entry]:
        for key, value in zip(registry.keys, registry.values, strict=True):
            name = ast.literal_eval(key) if key else ""
            if isinstance(value, ast.Dict):
                yield from read(value, name)
            elif isinstance(value, ast.Name):
                yield Entry(name, group, files[value.id], value.id)

    for node in source.body:
        match node:
            case ast.AnnAssign(target=ast.Name(registry), value=ast.Dict() as value):
                if registry in _REGISTRIES[kind]:
                    yield from read(value, "")


def _plug_in(entry: EntryPoint) -> Entry:
    module, _, attribute = entry.value.partition(":")
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "not in a package"
    return Entry(entry.name, "", _source_of_module(module), attribute, package)


def _source_of_module(name: str) -> Path | None:
    """The file of a module, found without importing the packages that it is in."""
    top, *inside = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inside:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *inside)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def source_of(target: Any) -> str:
    """The source of a class or function, also of one that a notebook's cell defines.

    Raises:
        OSError, TypeError: there is none.
    """
    try:
        text = inspect.getsource(target)
    except (OSError, TypeError):
        if not inspect.isclass(target):
            raise
        text = ""
    # Since Python 3.13 that is whatever stands at the line of the class, also in another file.
    if not inspect.isclass(target) or re.search(rf"^\s*class {target.__name__}\b", text, re.M):
        return text
    # IPython keeps its cells where tracebacks look for lines; the newest one counts
    for entry in reversed(list(linecache.cache.values())):
        if len(entry) == 4 and (text := _definition("".join(entry[2]), target.__name__) or ""):
            return text
    raise OSError(f"the source of {target.__name__} is in no file")


def _definition(text: str, name: str) -> str | None:
    """What a text says of a class of this name at its top level, with its decorators."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "".join(text.splitlines(keepends=True)[first - 1 : node.end_lineno])
    return None


def package(name: str, target: Any, kind: Kind) -> str | None:
    """Name and version of the installed package that something comes from, such as `mine 1.2`.

    None for the suite's own, for a file, and for a module that no package has installed.
    """
    if target is registry(kind).get(name):
        return None
    for entry in entry_points(group=f"bench.{kind}s"):
        if entry.name == name and entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    module = getattr(target, "__module__", None) or name.rpartition(":")[0]
    top = str(module).partition(".")[0]
    if top == "bench":
        return None
    names = packages_distributions().get(top, [])
    return f"{names[0]} {version(names[0])}" if names else None


def _installed(kind: Kind) -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=f"bench.{kind}s")}


def _source(name: str, target: Any, kind: Kind) -> str | None:
    """The file of a class or function; of any other thing the file that its name is found in."""
    if inspect.isclass(target) or inspect.isroutine(target):
        target = inspect.unwrap(target)  # a metric's decorator is the suite's own
        own = target.__module__.partition(".")[0] == "bench"
        return None if own else inspect.getsourcefile(target)
    place = _installed(kind).get(name, name).rpartition(":")[0]
    return place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None)


def _is_address(name: str) -> bool:
    """Whether a name is `package.module:Name` or `file.py:Name`; `C:\\mine.npz` is neither."""
    _, colon, attribute = name.rpartition(":")
    # an empty one, as in `mine.py:`, is an address whose error says what is missing
    return bool(colon) and (not attribute or attribute.isidentifier())


def _own_data(name: str) -> Any:
    """The data set in a file of arrays or a folder of pictures; None for any other name."""
    from bench.datasets import Arrays, Pictures

    # os.path, as Path.is_dir raises for a name that is too long
    if os.path.isdir(name):
        return functools.partial(Pictures, Path(name).resolve())
    return functools.partial(Arrays, Path(name).resolve()) if name.endswith(".npz") else None


def _unknown(what: str, name: str, choices: list[str]) -> RequestError:
    if name.endswith(".py"):
        return RequestError(f"{name}: say which class or function in it, as {name}:Mine")
    return UnknownNameError(what, name, choices)


def _imported(what: str, address: str) -> Any:
    """What stands at an address; `what` names it in errors."""
    place, _, attribute = address.rpartition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    except (Exception, SystemExit) as error:  # whatever their module raises: theirs to mend
        raise RequestError(
            f"{what}: cannot import {place} ({type(error).__name__}: {error})"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise RequestError(f"{what}: {place} has no {attribute!r}") from None


def _from_path(place: str) -> ModuleType:
    if "" not in sys.path:  # the console script leaves out the folder it was called in
        sys.path.insert(0, "")
    return importlib.import_module(place)


def _from_file(path: Path) -> ModuleType:
    name = f"bench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
