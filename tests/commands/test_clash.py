"""PyPI's frappe-bench owns the import `bench` and the command: one line says what to do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# As in frappe-bench 5.31.1: its `bench/__init__.py`, and its script's imports.
FOREIGN = 'VERSION = "5.31.1"\nPROJECT_NAME = "frappe-bench"\n'
FOREIGN_SCRIPT = "import sys; from bench.cli import cli; sys.exit(cli())"
OUR_SCRIPT = "import sys; from bench.__main__ import main; sys.exit(main())"

Started = subprocess.CompletedProcess[str]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Our package as it is installed: real folders, no links."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "bench", site / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    return site


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Started]:
    """`start(code, *paths)`: a script that finds these folders, then what we depend on.

    Without `site`, and so without the path files by which this checkout is installed.
    """
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]

    def call(code: str, *paths: Path) -> Started:
        path = os.pathsep.join([*map(str, paths), *libraries])
        environment = {**os.environ, "PYTHONPATH": path}
        code = f"import sys; sys.argv[1:] = ['--version']; {code}"
        command = [sys.executable, "-S", "-P", "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    return call


def is_told(done: Started) -> bool:
    line = done.stderr.removesuffix("\n")
    return (
        done.returncode == 2
        and "\n" not in line
        and line.startswith("bench: ")
        and "pip uninstall frappe-bench" in line
        and done.stdout == ""
    )


def test_ours_alone_starts_by_either_script(site: Path, start) -> None:
    for code in (OUR_SCRIPT, "from bench.cli import main; main()"):
        done = start(code, site)
        assert (done.returncode, done.stderr) == (0, "")


def test_frappe_bench_installed_afterwards(site: Path, start) -> None:
    (site / "bench" / "__init__.py").write_text(FOREIGN)
    (site / "bench" / "cli.py").write_text("def cli():\n    print('theirs')\n")
    for code in (OUR_SCRIPT, FOREIGN_SCRIPT):
        done = start(code, site)
        assert is_told(done), done.stderr
        assert str(site / "bench" / "__init__.py") in done.stderr


def test_frappe_bench_uninstalled_again(site: Path, start) -> None:
    (site / "bench" / "__init__.py").unlink()
    done = start(OUR_SCRIPT, site)
    assert is_told(done), done.stderr
    assert "__init__.py is missing" in done.stderr


def test_frappe_bench_beside_an_editable_install(site: Path, start, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs" / "bench"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").write_text(FOREIGN)
    (theirs / "cli.py").write_text("def cli():\n    print('theirs')\n")
    # an editable install finds the modules of ours that theirs does not have
    finder = f"import bench; bench.__path__.append({str(site / 'bench')!r}); "
    done = start(finder + OUR_SCRIPT, theirs.parent)
    assert is_told(done), done.stderr
