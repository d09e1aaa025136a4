"""The wheel and the sdist hold what they must, and work where they arrive.

Nothing is fetched: a bare environment has its own site-packages and reaches the dependencies of
this one by a path file. Everything is built in a copy, so that the checkout stays as it is.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = ("models", "metrics", "datasets")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEM = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"
LIMIT = 900  # seconds for one command: never reached but where it hangs


def missing(package: str) -> bool:
    return importlib.util.find_spec(package) is None


pytestmark = pytest.mark.skipif(missing("setuptools"), reason="building needs setuptools")
needs_pip = pytest.mark.skipif(missing("pip"), reason="installing needs pip")

# What setuptools adds to an sdist.
ONLY_IN_SDIST = ("PKG-INFO", "setup.cfg", f"{STEM.split('-')[0]}.egg-info/")

# Quick tests of what an sdist easily lacks: links, pages, records, the tests' own modules.
FROM_THE_ROOT = (
    "tests/test_layout.py::test_a_link_in_the_trunk_is_the_leaf",
    "tests/docs/test_docs.py::test_every_metric_has_a_section",
    "tests/docs/test_readme.py::test_the_table_of_the_readme_is_that_of_the_committed_records",
    "tests/commands/test_list.py",
    "tests/datasets/test_files.py",
    "tests/models/test_posterior.py",
)


def run(*command: str | Path, cwd: Path) -> str:
    """A command that must succeed, free of what this process tells its children; its output."""
    hidden = ("PYTEST", "PYTHON", "PIP_", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout


@cache
def source_files() -> frozenset[str]:
    """What a checkout tracks, and new files beside that; in an unpacked sdist, what it brought."""
    if not (ROOT / ".git").exists():
        (listed,) = ROOT.glob("*.egg-info/SOURCES.txt")
        names = {name for name in listed.read_text().splitlines() if ".egg-info/" not in name}
        return frozenset(names - {"setup.cfg"} | {f"bench/{leaf}" for leaf in LEAVES})
    tracked, new = (
        set(filter(None, run("git", "ls-files", "-z", *options, cwd=ROOT).split("\0")))
        for options in ((), ("--others", "--exclude-standard"))
    )
    folders = {name.split("/")[0] for name in tracked if "/" in name}
    names = tracked | {name for name in new if name.split("/")[0] in folders}
    return frozenset(name for name in names if os.path.lexists(ROOT / name))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with a file of each kind that must not travel."""
    tree = tmp_path_factory.mktemp("tree")
    for name in source_files():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    study = tree / "results" / "reference" / "dsprites-quick"
    for name in ("weights.safetensors", "codes.npz", "old.pt", "a.png", "a.pdf", "run.lock"):
        (study / name).touch()
    (tree / "results" / "mine").mkdir()
    (tree / "results" / "mine" / "table.md").touch()
    for folder in ("bench", "tests", "docs"):
        (tree / folder / "__pycache__").mkdir()
        (tree / folder / "__pycache__" / "old.cpython-311.pyc").touch()
    return tree


def build(kind: str, tree: Path) -> Path:
    """A wheel or an sdist by the build backend itself, which needs no network."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    folder = tree.parent / kind
    folder.mkdir(exist_ok=True)
    run(sys.executable, "-P", "-c", code, folder, cwd=tree)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build("wheel", tree)


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    return build("sdist", tree)


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., Path]:
    """`bare(wheel)` installs that alone in a new environment, and returns its Python."""

    def install(*what: str | Path) -> Path:
        home = tmp_path / "bare"
        venv.create(home, symlinks=os.name != "nt")
        paths = {name: str(home) for name in ("base", "platbase")}
        python = Path(sysconfig.get_path("scripts", "venv", paths)) / Path(sys.executable).name
        ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        site = Path(sysconfig.get_path("purelib", "venv", paths))
        (site / "dependencies.pth").write_text("\n".join(ours))
        # The backend is at hand, and what lies on those paths must stay as it is.
        options = ("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed")
        pip = (sys.executable, "-m", "pip", "--python", python, "install", *options)
        run(*pip, *what, cwd=tmp_path)
        return python

    return install


def files_in_packages(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    names = files_in_packages(wheel)
    links = {f"bench/{leaf}" for leaf in LEAVES}
    expected = {name for name in source_files() - links if name.startswith("bench/")}
    expected |= {f"bench/{name}" for name in source_files() if name.split("/")[0] in LEAVES}
    assert names == expected
    assert "bench/py.typed" in names
    assert {"bench/train/__init__.py", "bench/models/vae.py"} <= names


def test_a_checkout_without_links_builds_the_same_wheel(
    tree: Path, wheel: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    shutil.rmtree(copy / "build")  # else setuptools takes what it built before
    for leaf in LEAVES:
        link = copy / "bench" / leaf
        link.unlink()
        link.write_text(f"../{leaf}")  # as Git on Windows checks a link out
    assert files_in_packages(build("wheel", copy)) == files_in_packages(wheel)


def test_a_wheel_without_torch_differs_in_that_alone(
    tree: Path, wheel: Path, tmp_path: Path, monkeypatch
) -> None:
    copy = shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    shutil.rmtree(copy / "build")  # else setuptools takes what it built before
    monkeypatch.setenv("BENCH_WITHOUT_TORCH", "1")
    thin = build("wheel", copy)
    assert files_in_packages(thin) == files_in_packages(wheel)
    (torch,) = set(requirements(wheel)) - set(requirements(thin))
    assert torch.startswith("torch>=")
    assert [r for r in requirements(wheel) if r != torch] == requirements(thin)


def requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]


@needs_pip
def test_the_wheel_works_in_a_bare_environment(wheel: Path, bare, tmp_path: Path) -> None:
    python = bare(wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    version = PROJECT["version"]
    assert run(python.with_name("bench"), "--version", cwd=elsewhere).strip() == version
    assert run(python, "-m", "bench", "--version", cwd=elsewhere).strip() == version
    assert "jointvae" in run(python, "-m", "bench", "list", "models", cwd=elsewhere)

    code = "import bench, bench.models, bench.reproduce.tables; print(bench.models.__file__)"
    assert tmp_path / "bare" in Path(run(python, "-c", code, cwd=elsewhere).strip()).parents

    toy = ("--models", "vae", "--dataset", "toy", "--preset", "smoke", "--steps", "5")
    run(python, "-m", "bench", "run", *toy, "--jobs", "1", "--output", "study", cwd=elsewhere)
    assert "vae" in (elsewhere / "study" / "table.md").read_text()


def test_the_sdist_holds_what_the_repository_tracks(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = {m.name.removeprefix(f"{STEM}/"): m for m in archive if not m.isdir()}
    names = {name for name in members if not name.startswith(ONLY_IN_SDIST)}
    assert names == {name for name in source_files() if not name.startswith(".")}
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {f"bench/{leaf}": f"../{leaf}" for leaf in LEAVES}


@needs_pip
def test_the_sdist_is_installed_and_tested_from_its_own_root(
    sdist: Path, bare, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        # As pip and build do it; the filter came with Python 3.11.4.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(tmp_path)
    root = tmp_path / STEM
    python = bare("--editable", root)
    code = "import bench.models, bench.train; print(bench.models.__file__)"
    assert Path(run(python, "-c", code, cwd=tmp_path).strip()).is_relative_to(root)
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FROM_THE_ROOT, cwd=root)
