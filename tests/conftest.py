"""What several test files need."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from bench import cli
from bench.store.record import Definition, Evaluation, Record, ScoreRecord, Status
from bench.store.run import Run

LIMIT = 300  # seconds for one command: never reached but where it hangs
TOY = ("--dataset", "toy", "--preset", "smoke")

Bench = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure() -> None:
    """Write without waiting for the disk: no test outlives its machine. Draw text as outlines.

    With BENCH_TEST_ONEDNN=0, convolve without oneDNN, as PyTorch does on some processors. PyTorch
    reads no such variable itself. It holds for this process, not for commands it starts.
    """
    os.environ.setdefault("BENCH_FSYNC", "0")
    os.environ.setdefault("BENCH_PDF_TEXT", "outlines")
    if os.environ.get("BENCH_TEST_ONEDNN") == "0":
        import torch

        torch.backends.mkldnn.enabled = False


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("reference data (../shared/data) is not at hand")
    return folder


@pytest.fixture(scope="session")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """`mypy(file)`: what it says of a script. Its tests are one group, as they share a cache."""
    pytest.importorskip("mypy")
    cache = tmp_path_factory.mktemp("mypy")
    # an editable installation is one that mypy cannot look into
    where = {**os.environ, "MYPYPATH": str(Path(__file__).resolve().parents[1])}

    def says(path: Path) -> str:
        options = ("--strict", "--follow-imports=silent", "--cache-dir", str(cache))
        command = [sys.executable, "-m", "mypy", *options, path.name]
        return subprocess.run(
            command, cwd=path.parent, capture_output=True, text=True, timeout=LIMIT, env=where
        ).stdout

    return says


@pytest.fixture(scope="session")
def bench() -> Bench:
    """`bench(*arguments, cwd=...)`: the command in a process of its own, as a user calls it."""

    def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    return call


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def cli_here(monkeypatch, capsys) -> Callable[..., Said]:
    """The command in this process: quick, for what starts no worker."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return call


@dataclass(frozen=True)
class Finished:
    """A finished study in `root`/study, the command that made it, and what that said."""

    root: Path
    command: tuple[str, ...]
    out: str
    err: str
    code: int

    @property
    def folder(self) -> Path:
        return self.root / "study"


@pytest.fixture(scope="session")
def finished(tmp_path_factory, bench) -> Finished:
    """Two models, two seeds, trained once for all tests and all processes. Copy it to change it."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "finished"
    command = ("run", "--models", "betavae,jointvae", *TOY, "--steps", "20", "--seeds", "2")
    command = (*command, "--output", "study")
    said = root / "said.json"
    with FileLock(root.with_suffix(".lock")):
        if not said.exists():
            root.mkdir()
            ran = bench(*command, cwd=root)
            said.write_text(json.dumps([ran.stdout, ran.stderr, ran.returncode]))
    return Finished(root, command, *json.loads(said.read_text()))


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A run of betavae on toy; arguments replace its fields."""

    def make(**fields: Any) -> Run:
        given: dict[str, Any] = {
            "model": "betavae",
            "settings": {"continuous": 2, "categorical": (), "beta": 4.0},
            "changed": {},
            "dataset": "toy",
            "data_settings": {"image_size": 32},
            "fingerprint": "toy-1",
            "image_shape": (1, 32, 32),
            "preset": "smoke",
            "steps": 100,
            "batch_size": 32,
            "rows": 576,
            "seed": 0,
        }
        return Run(**{**given, **fields})

    return make


@pytest.fixture
def make_record(make_run) -> Callable[..., Record]:
    """A record with hand-made numbers: `scores` is a MIG, or whole scores by metric."""

    def make(
        scores: float | dict[str, Any] | None = 0.5,
        state: str = "done",
        evaluation: dict[str, Any] | None = None,
        folder: Path = Path("runs/none"),
        message: str = "",
        **fields: Any,
    ) -> Record:
        if isinstance(scores, float):
            scores = {"mig": score_of("mig", scores)}
        measured = Evaluation(
            reconstruction=100.0,
            mean_image_reconstruction=150.0,
            kl=(3.0, 2.0),
            kl_total=5.0,
            continuous=2,
            spread=(1.0, 1.0),
            active=(True, True),
            active_latents=2,
            rows=576,
            collapsed=state == "collapsed",
        )
        return Record(
            folder=folder,
            run=make_run(**fields),
            status=Status(state, 100, message, {"training": 1.0}),
            scores=scores or {},
            evaluation=replace(measured, **(evaluation or {})),
        )

    return make


def score_of(
    name: str, value: float, parts: Any = (), details: Any = (), **options: Any
) -> ScoreRecord:
    return ScoreRecord(
        value=value,
        parts=dict(parts),
        definition=Definition(name, 1, options),
        details=dict(details),
        seconds=0.1,
    )


@pytest.fixture
def make_score() -> Callable[..., Any]:
    """One metric's score: name, value, parts, details, options of the definition."""
    return score_of


@pytest.fixture
def hand_made_samples() -> Callable[[int], dict[str, np.ndarray]]:
    """The arrays behind the pictures of a model with two continuous latents and a category."""

    def make(channels: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        counts = {"originals": 10, "reconstructions": 10, "z1": 10, "z2": 10, "c1": 3}
        return {
            name: rng.integers(256, size=(n, channels, 32, 32), dtype=np.uint8)
            for name, n in counts.items()
        }

    return make


@pytest.fixture(scope="session")
def quick_options() -> Callable[[str], dict[str, Any]]:
    """Options by which a metric that takes minutes answers at once, by its name."""
    cheap = {
        "dci": {"points": 1_000, "stages": 6, "rate": 0.5},
        "few_labels_linear": {"some": 300, "most": 1_000, "repeats": 5},
        "few_labels_boosted": {"some": 300, "most": 1_000, "repeats": 5},
        "dci_es": {"points": 1_000, "trees": 10},
    }
    return lambda name: cheap.get(name, {})
