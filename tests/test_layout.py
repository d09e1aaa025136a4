"""The house: who imports whom, and that packages, mapping and links agree."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = ("models", "metrics", "datasets")
MODULES = [p for folder in ("bench", *LEAVES) for p in sorted((ROOT / folder).glob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module of a file, at whatever depth, with its leading dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_imports_neither_the_trunk_nor_another_leaf(leaf: str) -> None:
    files = list((ROOT / leaf).rglob("*.py"))
    assert files
    for path in files:
        for module, dots in imports(path):
            absolute = dots == 0 and module.partition(".")[0] in ("bench", *LEAVES)
            assert not absolute, f"{path.name} imports {module}"
            assert dots < 2, f"{path.name} reaches out of its folder"


@pytest.mark.parametrize("leaf", ["metrics", "datasets"])
def test_metrics_and_datasets_know_no_torch(leaf: str) -> None:
    for path in (ROOT / leaf).rglob("*.py"):
        roots = {module.partition(".")[0] for module, dots in imports(path) if dots == 0}
        assert not roots & {"torch", "torchvision", "safetensors"}, path.name


@pytest.mark.parametrize("module", ["bench.metrics", "bench.datasets", "bench.cli"])
def test_it_is_imported_without_torch(module: str, tmp_path: Path) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=300)
    assert done.returncode == 0


def test_packages_and_mapping_are_the_folders() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = [p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")]
    tops = [p for p in tops if p.name not in ("build", "dist", "results", "tests")]
    folders = {
        path.parent.resolve().relative_to(ROOT).as_posix()
        for top in tops
        for path in top.rglob("__init__.py")
    }
    assert set(setuptools["package-dir"].values()) == folders
    assert setuptools["packages"] == list(setuptools["package-dir"])
    for package, folder in setuptools["package-dir"].items():
        assert package == (folder if folder == "bench" else f"bench.{folder}")


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_link_in_the_trunk_is_the_leaf(leaf: str) -> None:
    link = ROOT / "bench" / leaf
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


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    assert ast.get_docstring(ast.parse(text))
