"""Runs that diverge, raise or are killed: rows with a status; the others go on."""

from pathlib import Path

import pytest

from bench.store.files import read_json
from bench.store.record import read_records

PLUG_INS = '''
import os, signal, time
from pathlib import Path
from bench.models import VAE, Objective


class Fine(VAE):
    """A model of somebody's own (nobody 2024)."""


class Diverges(VAE):
    def objective(self, x, step, generator):
        found = super().objective(x, step, generator)
        factor = float("nan") if step == 3 else 1.0
        terms = {name: term * factor for name, term in found.terms.items()}
        return Objective({p: loss * factor for p, loss in found.losses.items()}, terms)


class Raises(VAE):
    def objective(self, x, step, generator):
        if step == 2 and Path("broken").exists():
            raise RuntimeError("out of luck\\nand of words")
        return super().objective(x, step, generator)


class Killed(VAE):
    def objective(self, x, step, generator):
        if step == 2 and Path("broken").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().objective(x, step, generator)


class Endless(VAE):
    def objective(self, x, step, generator):
        Path("endless").touch()
        time.sleep(0.05)
        return super().objective(x, step, generator)


class Impatient(VAE):
    """Fails once the endless one is at work."""

    def objective(self, x, step, generator):
        while not Path("endless").exists():
            time.sleep(0.05)
        raise RuntimeError("enough")
'''


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "plug.py").write_text(PLUG_INS)
    return tmp_path


@pytest.fixture
def run(bench, here: Path):
    def call(*names: str, steps: int, more: tuple[str, ...] = ()):
        models = ",".join(f"./plug.py:{name}" for name in names)
        asked = ("--dataset", "toy", "--preset", "smoke", "--seeds", "1", "--jobs", "2")
        options = ("--steps", str(steps), "--output", "study", *more)
        return bench("run", "--models", models, *asked, *options, cwd=here)

    return call


def states(here: Path) -> dict[str, str]:
    records = read_records(here / "study")
    return {record.run.model.partition(":")[2]: record.status.state for record in records}


def folder(here: Path, name: str) -> Path:
    (found,) = (here / "study" / "runs").glob(f"*{name}*")
    return found


def test_what_goes_wrong_in_a_run_is_its_own_affair(run, here: Path) -> None:
    (here / "broken").touch()
    names = ("Diverges", "Raises", "Killed", "Fine")
    ran = run(*names, steps=5)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    fine = states(here)["Fine"]
    assert fine in ("done", "collapsed")
    wrong = {"Diverges": "diverged", "Raises": "failed", "Killed": "failed"}
    assert states(here) == {**wrong, "Fine": fine}

    status = {name: read_json(folder(here, name) / "status.json") for name in names}
    assert status["Diverges"]["step"] == 3
    assert "not finite by step 3" in status["Diverges"]["message"]
    history = (folder(here, "Diverges") / "history.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in history] == ["step", "1", "2"]
    assert status["Raises"]["message"] == "RuntimeError: out of luck and of words"
    assert "killed" in status["Killed"]["message"]
    error = (folder(here, "Raises") / "error.txt").read_text()
    assert error.startswith("Traceback")
    assert "plug.py" in error
    assert not (folder(here, "Fine") / "error.txt").exists()

    table = (here / "study" / "table.md").read_text()
    for row in ("Diverges | 0 of 1 (1 diverged)", "Raises | 0 of 1 (1 failed)", "Fine | 1"):
        assert row in table
    assert "(1 diverged)" in ran.stdout
    assert "Killed, seed 0: failed: the worker process was killed" in ran.stderr

    # What failed is tried again; what diverged would diverge again.
    kept = [(folder(here, n) / "status.json").stat().st_mtime_ns for n in ("Diverges", "Fine")]
    (here / "broken").unlink()
    again = run(*names, steps=5)
    assert "not tried again: 1 diverged (--retry diverged does)" in again.stderr
    assert "4 runs: 1 done, 2 to do" in again.stderr
    assert again.returncode == 1
    assert states(here) == {"Diverges": "diverged", **dict.fromkeys(names[1:], fine)}
    assert not (folder(here, "Raises") / "error.txt").exists()
    assert kept == [
        (folder(here, n) / "status.json").stat().st_mtime_ns for n in ("Diverges", "Fine")
    ]


def test_a_killed_worker_is_replaced_for_the_next_run(run, here: Path) -> None:
    (here / "broken").touch()
    ran = run("Killed", "Fine", "Raises", steps=3, more=("--jobs", "1"))
    assert ran.returncode == 1
    assert states(here)["Killed"] == states(here)["Raises"] == "failed"
    assert states(here)["Fine"] in ("done", "collapsed")


def test_an_edited_plug_in_shares_no_row_with_its_older_runs(run, here: Path) -> None:
    assert run("Fine", steps=3).returncode == 0
    before = (folder(here, "Fine") / "status.json").stat().st_mtime_ns
    (here / "plug.py").write_text(PLUG_INS + "# other code\n")
    refused = run("Fine", steps=3)
    assert refused.returncode == 2
    assert "were made with other code; train them again with --force" in refused.stderr
    assert (folder(here, "Fine") / "status.json").stat().st_mtime_ns == before
    assert run("Fine", steps=3, more=("--force",)).returncode == 0
    assert run("Fine", steps=3).returncode == 0


def test_fail_fast_stops_the_others(run, here: Path) -> None:
    ran = run("Endless", "Impatient", "Fine", steps=100_000, more=("--fail-fast",))
    assert ran.returncode == 1
    assert states(here) == {"Endless": "interrupted", "Impatient": "failed", "Fine": "pending"}
    assert (folder(here, "Endless") / "checkpoint.pt").exists()
    assert "Fine, seed 0: started" not in ran.stderr
    assert "Impatient, seed 0: failed: RuntimeError: enough" in ran.stderr
    assert "0 of 1 (1 interrupted)" in (here / "study" / "table.md").read_text()
