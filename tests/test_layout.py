"""The house: who imports whom, how large a room may be, and that links and folders agree."""

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = ("models", "metrics", "datasets")

# The rooms of the trunk: each imports only from those before it. The six in one string stand side
# by side and do not know one another.
ORDER = (
    *(
        "errors",
        "console",
        "epochs",
        "streams",
        "registry",
        "settings",
        "store",
        "presets",
        "external",
    ),
    *("build", "train", "encode", "score", "agreement", "report", "plan", "studyfile", "cells"),
    *("worker", "executors", "execute", "estimate"),
    *("evaluation check data export compare merge", "reproduce", "cli", "api"),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms.split()}
ABOVE_ALL_ROOMS = ("bench", "bench.__main__")  # they may import from every room, and no room them

LINES = 500  # in a module
MODULES = 12  # in a package, besides its __init__


def modules(root: Path) -> dict[str, Path]:
    """Every module of the trunk and the leaves by its dotted name, an `__init__` by its package's.

    The links in the trunk are not followed, so that a leaf counts once.
    """
    folders = {"bench": root / "bench"} | {f"bench.{leaf}": root / leaf for leaf in LEAVES}
    found = {}
    for package, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            linked = package == "bench" and parts[1:2] and parts[1] in LEAVES
            if not linked:
                found[".".join(parts)] = path
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Everything that a file imports, at whatever depth, with its leading dots.

    `from a.b import c` is `a.b.c`, whether c is a module or a name in one, and so are
    `import a.b as c` and, after `import bench`, `bench.c`. What is imported only for type checkers
    counts, and so does `import_module("a.b")`.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names = (f"{alias.name}.{alias.asname or ''}".rstrip(".") for alias in node.names)
                yield from ((name, 0) for name in names)
            case ast.Attribute(value=ast.Name("bench"), attr=attribute):
                yield f"bench.{attribute}", 0
            case ast.ImportFrom():
                start = f"{node.module}." if node.module else ""
                yield from ((start + alias.name, node.level) for alias in node.names)
            case ast.Call(
                func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(name)), *_],
            ):
                yield name.lstrip("."), len(name) - len(name.lstrip("."))


def imports_from_bench(name: str, path: Path) -> Iterator[str]:
    """What a module imports of ours, by absolute names: `bench.train.loop.fit`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for target, dots in imports(path):
        target = resolve_name("." * dots + target, package) if dots else target
        if target.partition(".")[0] == "bench":
            yield target


def room(name: str) -> str:
    """The first path component under bench/: "train" of `bench.train.loop`, "" of `bench`."""
    return name.split(".")[1] if "." in name else ""


def imports_against_the_order(root: Path) -> list[str]:
    violations = []
    for name, path in modules(root).items():
        own = room(name)
        if name in ABOVE_ALL_ROOMS or own in LEAVES:
            continue
        if own not in RANKS:
            violations.append(f"{name}: {own} has no place in the order")
            continue
        for target in imports_from_bench(name, path):
            other = room(target)
            free = other in (own, *LEAVES) or other.startswith("__")  # bench.__version__
            free |= target == "bench"  # what is used of it counts
            if not free and RANKS.get(other, len(ORDER)) >= RANKS[own]:
                violations.append(f"{name} imports {target}")
    return violations


def circles(root: Path) -> list[str]:
    """A circle of imports in each room and leaf that has one."""
    known = modules(root)

    def module_of(target: str) -> str:
        while target not in known and "." in target:
            target = target.rpartition(".")[0]
        return target

    graphs: dict[str, dict[str, set[str]]] = {}
    for name, path in known.items():
        targets = {module_of(target) for target in imports_from_bench(name, path)} - {name}
        inside = {target for target in targets if room(target) == room(name)}
        graphs.setdefault(room(name), {})[name] = inside
    violations = []
    for graph in graphs.values():
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            violations.append(" < ".join(error.args[1]))
    return violations


def too_large(root: Path) -> list[str]:
    known = modules(root)
    violations = []
    for name, path in known.items():
        lines = len(path.read_text().splitlines())
        if lines > LINES:
            violations.append(f"{name} has {lines} lines")
        # bench/ itself is the table of contents, and a leaf has a module for each paper.
        if path.name == "__init__.py" and room(name) not in ("", *LEAVES):
            inside = [n for n in known if n.rpartition(".")[0] == name]
            if len(inside) > MODULES:
                violations.append(f"{name} has {len(inside)} modules")
    return violations


def test_a_room_imports_only_from_rooms_before_it() -> None:
    violations = imports_against_the_order(ROOT)
    assert not violations, "\n".join(violations)


def test_no_circle_of_imports_inside_a_room_or_a_leaf() -> None:
    violations = circles(ROOT)
    assert not violations, "\n".join(violations)


def test_no_module_and_no_package_is_too_large() -> None:
    violations = too_large(ROOT)
    assert not violations, "\n".join(violations)


def test_every_module_says_what_it_is() -> None:
    trees = {name: ast.parse(path.read_text()) for name, path in modules(ROOT).items()}
    assert [name for name, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in modules(ROOT).values()}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
    assert folders >= {ROOT / "bench", *(ROOT / leaf for leaf in LEAVES)}


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_is_one_flat_folder(leaf: str) -> None:
    assert {path.parent for path in (ROOT / leaf).rglob("*.py")} == {ROOT / leaf}


Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A tree with the given modules, and empty ones where packages need them."""

    def write(modules: dict[str, str]) -> Path:
        for name, text in modules.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.parent.name not in LEAVES:
                (path.parent / "__init__.py").touch()
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("bench/plan.py", "from bench.execute import execute"),
        ("bench/plan.py", "import bench.execute"),
        ("bench/plan.py", "from bench import execute"),
        ("bench/plan.py", "from . import execute"),
        ("bench/plan.py", "def f():\n    from bench.execute import execute"),
        ("bench/plan.py", "if TYPE_CHECKING:\n    from bench.execute import execute"),
        ("bench/plan.py", "importlib.import_module('bench.execute')"),
        ("bench/train/loop.py", "from bench.score import score"),
        ("bench/train/loop.py", "from ..score import score"),
        ("bench/check/model.py", "from bench.export.programs import export"),  # side by side
        ("bench/export/programs.py", "from bench.check.model import check"),
        ("bench/cli/run.py", "from bench.api import run"),
        ("bench/plan.py", "from bench.helpers import help"),  # not a room
        ("bench/plan.py", "from bench import evaluate"),  # the public interface
        ("bench/plan.py", "import bench\nbench.execute.execute()"),
        ("bench/plan.py", "import bench as suite"),
        ("bench/helpers.py", ""),
    ],
)
def test_a_planted_import_against_the_order_is_found(module: str, text: str, plant: Plant) -> None:
    (violation,) = imports_against_the_order(plant({module: text}))
    assert violation.startswith(module.removesuffix(".py").replace("/", "."))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("bench/execute.py", "from bench.plan import Plan"),
        ("bench/train/loop.py", "from bench.train.step import step"),
        ("bench/train/loop.py", "from bench import __version__"),
        ("bench/train/loop.py", "import bench\nbench.__file__"),
        ("bench/errors.py", "from bench.models import MODELS"),
        ("bench/reproduce/run.py", "from bench.evaluation.codes import Codes"),
        ("bench/__init__.py", "from bench.api import run"),
        ("bench/__main__.py", "from bench.cli import main"),
    ],
)
def test_an_import_in_order_is_no_violation(module: str, text: str, plant: Plant) -> None:
    assert imports_against_the_order(plant({module: text})) == []


@pytest.mark.parametrize(
    "circle",
    [
        {"bench/store/a.py": "from bench.store.b import B", "bench/store/b.py": "from . import a"},
        {"bench/store/a.py": "import bench.store.b", "bench/store/b.py": "import bench.store.a"},
        {"bench/store/__init__.py": "from .a import A", "bench/store/a.py": "from . import B"},
        {
            "models/a.py": "from .b import B",
            "models/b.py": "from .c import C",
            "models/c.py": "def f():\n    from .a import A",
        },
    ],
)
def test_a_planted_circle_is_found(circle: dict[str, str], plant: Plant) -> None:
    (violation,) = circles(plant(circle))
    assert violation.count("<") == len(circle)


def test_a_chain_is_no_circle(plant: Plant) -> None:
    chain = {"bench/store/a.py": "from bench.store.b import B", "bench/store/b.py": ""}
    assert circles(plant({**chain, "bench/store/__init__.py": "from .a import A"})) == []


def test_what_is_too_large_is_found(plant: Plant) -> None:
    fine = {f"bench/store/m{i}.py": "x = 0\n" * 500 for i in range(12)}
    assert too_large(plant(fine)) == []
    assert too_large(plant({"bench/store/m0.py": "x = 0\n" * 501})) == [
        "bench.store.m0 has 501 lines"
    ]
    assert "bench.store has 13 modules" in too_large(plant({"bench/store/m12.py": ""}))


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_imports_neither_the_trunk_nor_another_leaf(leaf: str) -> None:
    files = list((ROOT / leaf).rglob("*.py"))
    assert files
    for path in files:
        for target, dots in imports(path):
            absolute = dots == 0 and target.partition(".")[0] in ("bench", *LEAVES)
            assert not absolute, f"{path.name} imports {target}"
            assert dots < 2, f"{path.name} reaches out of its folder"


@pytest.mark.parametrize("leaf", ["metrics", "datasets"])
def test_metrics_and_datasets_know_no_torch(leaf: str) -> None:
    for path in (ROOT / leaf).rglob("*.py"):
        tops = {target.partition(".")[0] for target, dots in imports(path) if dots == 0}
        assert not tops & {"torch", "torchvision", "safetensors"}, path.name


@pytest.mark.parametrize("module", ["bench.metrics", "bench.datasets", "bench.cli"])
def test_it_is_imported_without_torch(module: str, tmp_path: Path) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=300)
    assert done.returncode == 0


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_link_in_the_trunk_is_the_leaf(leaf: str) -> None:
    link = ROOT / "bench" / leaf
    if os.name == "nt" and not link.is_symlink():
        pytest.skip("a checkout without links")
    assert link.is_symlink()
    assert os.readlink(link) == f"../{leaf}"
    assert os.path.samefile(link, ROOT / leaf)


def test_the_links_are_tracked_as_links() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--stage", *(f"bench/{leaf}" for leaf in LEAVES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["120000"] * len(LEAVES)
