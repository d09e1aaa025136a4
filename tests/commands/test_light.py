"""Commands import no more than they need: no torch where nothing is trained, encoded or drawn."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import Toy

# Runs the command and says on its last line which of these libraries were imported.
CODE = """
import sys
heavy = {"torch", "pandas", "matplotlib", "seaborn", "sklearn", "requests", "h5py"}
heavy |= {f"scipy.{part}" for part in ("special", "optimize", "sparse", "stats")}
sys.argv = ["bench", *sys.argv[1:]]
from bench.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code or 0, *sorted(heavy & set(sys.modules)))
"""


def imported(*arguments: str | Path, cwd: Path, code: str = "0") -> set[str]:
    """The heavy libraries that a command has imported, which ends with this exit code."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    ended, *libraries = done.stdout.splitlines()[-1].split()
    assert ended == code, done.stderr
    return set(libraries)


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    factors = rng.integers([3, 4], size=(400, 2))
    path = tmp_path / "codes.npz"
    np.savez(path, codes=factors + 0.1 * rng.normal(size=(400, 2)), factors=factors)
    return path


@pytest.fixture
def study(finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "study"))


def test_training_does_not_load_torchs_compiler(tmp_path: Path) -> None:
    """Which its optimisers do otherwise, for a second of every process."""
    code = """
import sys
import bench
study = bench.run(models="factorvae,qlae", dataset="toy", preset="smoke", seeds=1, steps=2, jobs=1,
                  metrics="mig", settings={"factorvae.hidden": 8}, output="study")
assert "torch" in sys.modules and len(study.runs) == 2
print(*(name for name in sys.modules if name in ("torch._dynamo", "torch._inductor", "sympy")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "command", ["--version", "list models", "list", "run --help", "list mig", "data list"]
)
def test_words_need_no_library(command: str, tmp_path: Path) -> None:
    allowed = {"h5py"} if command.startswith("data") else set()
    assert imported(*command.split(), cwd=tmp_path) <= allowed


@pytest.mark.parametrize(
    "wrong",
    [
        "--models betavaee --dataset toy",
        "--models vae --dataset toyy",
        "--models vae --dataset toy --metrics migg",
        "--models vae --dataset toy --preset fast",
    ],
)
def test_a_wrong_name_is_refused_before_libraries_are_loaded(wrong: str, tmp_path: Path) -> None:
    assert imported("run", *wrong.split(), cwd=tmp_path, code="2") <= {"h5py"}


def test_codes_are_scored_without_torch(codes: Path, tmp_path: Path) -> None:
    loaded = imported("evaluate", codes, cwd=tmp_path)
    assert not loaded & {"torch", "sklearn", "pandas", "scipy.stats"}


def test_a_score_that_needs_numpy_alone_imports_little(codes: Path, tmp_path: Path) -> None:
    assert imported("evaluate", codes, "--metrics", "mig", cwd=tmp_path) == {"scipy.special"}


def test_a_study_is_scored_and_reported_without_torch(study: Path, tmp_path: Path) -> None:
    assert "torch" not in imported("evaluate", study, "--metrics", "mcc", cwd=tmp_path)
    assert "torch" not in imported("report", study, cwd=tmp_path)


def test_a_row_is_added_without_torch(study: Path, tmp_path: Path) -> None:
    data = Toy()
    factors = data.values(np.arange(len(data)))
    codes = factors + 0.1 * np.random.default_rng(0).normal(size=factors.shape)
    names = [factor.name for factor in data.factors]
    np.savez(tmp_path / "rows.npz", codes=codes, factors=factors, factor_names=names)
    arguments = ("evaluate", "rows.npz", "--into", study, "--name", "mine")
    assert "torch" not in imported(*arguments, cwd=tmp_path)


# --- where torch is not installed

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Missing())
sys.argv = ["bench", *sys.argv[1:]]
from bench.cli import main
main()
"""


def without_torch(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_codes_are_scored_where_torch_is_missing(codes: Path, tmp_path: Path) -> None:
    done = without_torch("evaluate", codes, "--metrics", "mig,mcc", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "MIG" in done.stdout


@pytest.mark.parametrize("command", ["run --models vae --dataset toy", "list jointvae"])
def test_what_needs_torch_says_so_in_a_line(command: str, tmp_path: Path) -> None:
    done = without_torch(*command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: this needs torch, which is not installed")
    assert done.stderr.count("\n") == 1
