"""Killed or interrupted and started again: the results are those of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

LIMIT = 300  # seconds for any event: never reached but where it does not come
STEPS = 60
GATE = 6  # the last step before the file `hold` stops a training

MODELS = f"""
import os, time
from pathlib import Path
from bench.models import FactorVAE, JointVAE


def wait(step):
    Path(f"worker-{{os.getpid()}}").touch()
    while step > {GATE} and Path("hold").exists():
        time.sleep(0.01)


class Joint(JointVAE):
    def objective(self, x, step, generator):
        wait(step)
        return super().objective(x, step, generator)


class Factor(FactorVAE):
    def objective(self, x, step, generator):
        wait(step)
        return super().objective(x, step, generator)
"""


def command(*names: str) -> list[str]:
    models = ",".join(f"models.py:{name}" for name in names)
    asked = ["--dataset", "toy", "--preset", "smoke", "--steps", str(STEPS), "--seeds", "1"]
    options = ["--jobs", "2", "--output", "study"]
    return [sys.executable, "-m", "bench", "run", "--models", models, *asked, *options]


def finish(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*names), cwd=folder, capture_output=True, text=True, timeout=LIMIT
    )


def until(event: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT
    while not event():
        assert time.monotonic() < limit, f"waited in vain until {what}"
        time.sleep(0.02)


def workers(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob("worker-*")]


def alive(process: int) -> bool:
    """Whether a process is there, and not merely its exit code that nobody has asked for."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    ).stdout.strip()
    return bool(shown) and not shown.startswith("Z")


def results(folder: Path) -> dict[str, object]:
    """All that a run has computed; seconds and times of day are no results."""
    found: dict[str, object] = {}
    for run in (folder / "study" / "runs").iterdir():
        scores = json.loads((run / "scores.json").read_text())
        found[f"{run.name}/scores"] = {k: {**v, "seconds": 0} for k, v in scores.items()}
        names = ("weights.safetensors", "history.csv", "evaluation.json", "samples.npz")
        for name in (*names, "representation.npz"):
            found[f"{run.name}/{name}"] = (run / name).read_bytes()
    return found


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> dict[str, object]:
    """The results of both models, trained once without a stop for all tests and processes."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "undisturbed"
    with FileLock(root.with_suffix(".lock")):
        if not root.exists():
            root.mkdir()
            (root / "models.py").write_text(MODELS)
            ran = finish(root, "Joint", "Factor")
            assert ran.returncode == 0, ran.stderr
    return results(root)


class Started:
    """A run in a process group of its own, held at the gate once it has checkpoints."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        (folder / "models.py").write_text(MODELS)
        (folder / "hold").touch()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command(*names), "--checkpoint-seconds", "0"],
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(lambda: self.ended or self.held(len(names)), "all runs are held")
            assert not self.ended, self.log.read_text()
        except BaseException:
            self.close()
            raise

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def held(self, count: int) -> bool:
        """Whether every run has written the checkpoint of the last step before the gate."""
        found = list((self.folder / "study").glob("runs/*/checkpoint.pt"))
        try:
            steps = [torch.load(path, weights_only=True)["progress"]["step"] for path in found]
        except FileNotFoundError:  # it is being replaced
            return False
        return steps == [GATE] * count

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def says(self, text: str) -> None:
        until(lambda: text in self.log.read_text(), f"it says {text!r}")

    def close(self) -> None:
        for process in [self.process.pid, *workers(self.folder)]:
            if alive(process):
                os.kill(process, signal.SIGKILL)
        self.process.wait(LIMIT)


@pytest.fixture
def start(tmp_path: Path):
    started: list[Started] = []

    def call(*names: str) -> Started:
        started.append(Started(tmp_path, *names))
        return started[-1]

    yield call
    for one in started:
        one.close()


def states(folder: Path) -> list[str]:
    paths = (folder / "study").glob("runs/*/status.json")
    return [json.loads(path.read_text())["state"] for path in paths]


def test_killed_and_run_again_gives_the_same(start, undisturbed, tmp_path: Path) -> None:
    started = start("Joint", "Factor")
    running = workers(tmp_path)
    assert len(running) == 2
    started.process.kill()  # the parent alone: its workers have to notice
    started.process.wait(LIMIT)
    until(lambda: not any(map(alive, running)), "the workers are gone")
    assert states(tmp_path) == ["running"] * 2

    (tmp_path / "hold").unlink()
    again = finish(tmp_path, "Joint", "Factor")
    assert again.returncode == 0, again.stderr
    assert f"training 1/{STEPS}" not in again.stderr
    assert f"training {GATE + 1}/{STEPS}" in again.stderr
    assert results(tmp_path) == undisturbed
    leftovers = [*tmp_path.rglob("*.tmp"), *tmp_path.rglob("checkpoint.pt")]
    assert leftovers == []


def test_a_worker_takes_one_run_after_another_and_gives_the_same(
    undisturbed, tmp_path: Path
) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    ran = subprocess.run(
        [*command("Joint", "Factor"), "--jobs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(workers(tmp_path)) == 1
    assert results(tmp_path) == undisturbed


def test_ctrl_c_stops_cleanly_and_goes_on(start, undisturbed, tmp_path: Path) -> None:
    started = start("Joint")
    running = workers(tmp_path)
    started.signal(signal.SIGINT)  # to the whole group, as a terminal does
    started.says("stopping: writing checkpoints")
    assert all(map(alive, running))
    (tmp_path / "hold").unlink()
    assert started.process.wait(LIMIT) == 130
    assert not any(map(alive, running))
    text = started.log.read_text()
    assert "The same command continues from the last checkpoints." in text
    assert "Traceback" not in text
    assert states(tmp_path) == ["interrupted"]

    again = finish(tmp_path, "Joint")
    assert again.returncode == 0, again.stderr
    assert f"training 1/{STEPS}" not in again.stderr
    joint = {k: v for k, v in undisturbed.items() if "Joint" in k}
    assert results(tmp_path) == joint


def test_a_second_ctrl_c_stops_at_once(start, tmp_path: Path) -> None:
    started = start("Joint")
    started.signal(signal.SIGINT)
    started.says("stopping: writing checkpoints")
    started.signal(signal.SIGINT)
    assert started.process.wait(LIMIT) == 130
    assert not any(map(alive, workers(tmp_path)))
    assert states(tmp_path) == ["interrupted"]
    assert list(tmp_path.rglob("checkpoint.pt"))
