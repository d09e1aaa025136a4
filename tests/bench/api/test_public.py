"""What `import bench` offers, and what it costs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench

PUBLIC = {
    *("RequestError", "Scores", "Study", "datasets", "evaluate", "fit", "load", "metrics"),
    *("models", "plots", "published", "represent", "run"),
}


ROOT = Path(__file__).resolve().parents[3]


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_these_names_are_public_and_no_others() -> None:
    assert set(bench.__all__) == PUBLIC
    assert set(dir(bench)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_means_something_with_a_description(name: str) -> None:
    assert getattr(bench, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        bench.evalute  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_no_library(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import bench; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "['bench']"


@pytest.mark.parametrize("name", ["evaluate", "load", "published", "metrics", "datasets"])
def test_what_needs_no_torch_does_not_load_it(name: str, tmp_path: Path) -> None:
    code = f"import bench, sys; bench.{name}; sys.exit('torch' in sys.modules)"
    assert python("-c", code, cwd=tmp_path).returncode == 0


def test_the_functions_are_not_hidden_by_modules_of_the_trunk(tmp_path: Path) -> None:
    """Importing `bench.x.y` makes `bench.x` an attribute, whatever else it was."""
    code = (
        "import bench, bench.cli, bench.evaluation.files, bench.reproduce.run, bench.train.loop; "
        "print([n for n in bench.__all__ if type(getattr(bench, n)).__name__ == 'module'])"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "['datasets', 'metrics', 'models', 'plots']", done.stderr


USER = """
import numpy as np

import bench
from bench.metrics import Representation, Score

study: bench.Study = bench.run("betavae", "toy", preset="smoke", seeds=1, steps=2)
first = study.run("betavae")
codes: Representation = first.representation()
scores: bench.Scores = bench.evaluate(codes.codes, codes.factors, metrics=["mig"], seed=1)
mig: Score = scores["mig"]
value: float = mig.value + float(mig)
model = bench.fit("betavae", "toy", steps=2, settings={"beta": 2.0})
again: Representation = bench.represent(model, "toy", rows=50)
frame = study.frame()
best = frame[frame.metric == "mig"].value.max()
print(value, np.asarray(again.codes).shape, best, bench.published().shape, model.latents)
"""


@pytest.mark.xdist_group("mypy")
def test_the_script_of_a_user_passes_mypy_strict(
    tmp_path: Path, mypy: Callable[[Path], str]
) -> None:
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text("import bench\n\nx: int = bench.load('results')\n")
    assert mypy(tmp_path / "user.py").startswith("Success")
    assert 'expression has type "Study"' in mypy(tmp_path / "wrong.py")
