"""How runs end besides done: over their time, out of memory, skipped; and which are tried again."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cells import RETRIED, Selection
from bench.errors import RequestError
from bench.execute import Options, Outcome, execute, outstanding
from bench.plan import Plan, Request, plan
from bench.report.write import write_report
from bench.store.claims import Claims
from bench.store.record import SCORES, UNSUCCESSFUL, Status, read_record, read_status, write_status
from bench.store.study import write_study
from bench.worker import Job, announce, run_job
from tests.bench.test_claims import Notes

PLUG_IN = '''
import time
from pathlib import Path

import torch

from bench.models import VAE


class Mine(VAE):
    """A model of somebody's own (nobody 2024)."""

    def objective(self, x, step, generator):
        found = super().objective(x, step, generator)
        for name, error in (
            ("memory", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")),
            ("host", MemoryError()),
            ("bug", ValueError("a bug")),
        ):
            if step == 3 and Path(name).exists():
                raise error
        if step == 3 and Path("cpu").exists():
            torch.empty(10**15)
        if Path("slow").exists() and step > 2:
            time.sleep(0.3)
        return found
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plug.py").write_text(PLUG_IN)
    monkeypatch.setattr("bench.execute.write_report", lambda *arguments, **options: None)
    return tmp_path


def planned(models: str = "./plug.py:Mine", seeds: str = "1", metrics: str = "mig") -> Plan:
    return plan(
        Request(
            models=models,
            dataset="toy",
            preset="smoke",
            seeds=seeds,
            steps=5,
            metrics=metrics,
            output=Path("study"),
        )
    )


def carried_out(made: Plan, *retry: str, **options: Any) -> Outcome:
    selection = Selection(retry=retry or RETRIED)
    given = Options(device="cpu", in_process=True, selection=selection, **options)
    return execute(made, given, lambda todo: Notes())


def only_status(outcome: Outcome) -> Status:
    (status,) = outcome.statuses.values()
    return status


def test_a_run_over_its_time_goes_on_from_its_checkpoint(here: Path) -> None:
    made = planned()
    folder = made.run_folder(made.runs[0])
    Path("slow").touch()
    outcome = carried_out(made, timeout=0.5)
    status = only_status(outcome)
    assert status.state == "timeout"
    assert 1 <= status.step < 5
    assert status.message == f"took longer than 0.5 s; stopped at step {status.step} of 5"
    assert outcome.failed
    assert (folder / "checkpoint.pt").exists()
    write_report(made.folder)
    assert "0 of 1 (1 timeout)" in Path("study/table.md").read_text()
    assert 'class="state timeout"' in Path("study/report.html").read_text()

    Path("slow").unlink()
    again = outstanding(made, Options(device="cpu"))  # not by default: it would take as long again
    assert (again.runs, again.ended) == ([], {made.runs[0].title: status})
    assert only_status(carried_out(made)) == status

    after = carried_out(made, "timeout")
    assert not after.failed
    history = (folder / "history.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in history] == ["step", "1", "2", "3", "4", "5"]
    assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("why", "words"),
    [("memory", "CUDA out of memory"), ("host", "MemoryError"), ("cpu", "can't allocate memory")],
)
def test_out_of_memory_is_a_status_of_its_own(here: Path, why: str, words: str) -> None:
    made = planned()
    Path(why).touch()
    outcome = carried_out(made)
    assert only_status(outcome).state == "out-of-memory"
    assert words in only_status(outcome).message
    (path,) = outcome.errors.values()
    assert words in path.read_text()
    Path(why).unlink()
    assert not carried_out(made).failed  # by default


def test_what_is_not_here_is_skipped_with_the_reason(here: Path, monkeypatch) -> None:
    made = planned()

    def missing(*arguments: Any) -> None:
        raise RequestError("toy.npz is not in /data: fetch it by bench data fetch toy")

    with monkeypatch.context() as patch:
        patch.setattr("bench.build.build_data", missing)
        outcome = carried_out(made)
    assert only_status(outcome).state == "skipped"
    assert only_status(outcome).message.startswith("toy.npz is not in /data")
    assert outcome.failed
    assert not outcome.errors
    assert not carried_out(made).failed


@pytest.mark.parametrize("state", UNSUCCESSFUL)
def test_which_ended_runs_are_tried_again(here: Path, state: str) -> None:
    made = planned()
    write_study(made.folder, made.study)
    announce(Job(made.runs[0], made.run_folder(made.runs[0]), ()))
    write_status(made.run_folder(made.runs[0]), Status(state))

    def runs(*retry: str) -> int:
        selection = Selection(retry=retry)
        return len(outstanding(made, Options(device="cpu", selection=selection)).runs)

    assert runs() == 0
    assert runs(state) == 1
    others = [name for name in UNSUCCESSFUL if name != state]
    assert runs(*others) == 0
    by_default = outstanding(made, Options(device="cpu"))
    assert len(by_default.runs) == (state in ("failed", "out-of-memory", "skipped"))
    assert len(by_default.ended) == (state in ("diverged", "timeout"))
    assert len(outstanding(made, Options(device="cpu", force=True)).runs) == 1


def test_a_diverged_run_that_is_tried_again_starts_from_the_start(here: Path) -> None:
    made = planned()
    folder = made.run_folder(made.runs[0])
    assert not carried_out(made).failed
    scores = (folder / SCORES).read_bytes()
    for name in (SCORES, "evaluation.json", "representation.npz", "weights.safetensors"):
        (folder / name).unlink()
    (folder / "checkpoint.pt").write_bytes(b"of the diverged training")
    write_status(folder, Status("diverged", 3))
    assert only_status(carried_out(made)).state == "diverged"
    assert not carried_out(made, "diverged").failed
    assert read_record(folder).scores["mig"].value == json.loads(scores)["mig"]["value"]
    assert not list(folder.glob("checkpoint*"))


def test_a_run_may_stop_between_two_metrics(here: Path) -> None:
    made = planned(metrics="mig,sap")
    write_study(made.folder, made.study)
    asked = iter([False] * 5 + [True] * 10)  # after the five steps and the first metric
    job = Job(made.runs[0], made.run_folder(made.runs[0]), made.definitions)
    status = run_job(job, stop=lambda: next(asked))
    assert status.state == "interrupted"
    assert status.message == "stopped before sap was scored"
    assert list(read_record(job.folder).scores) == ["mig"]
    outcome = carried_out(made)
    assert not outcome.failed
    assert list(read_record(job.folder).scores) == ["mig", "sap"]


def test_only_the_cells_that_are_asked_for_count(here: Path) -> None:
    made = planned(models="random,pca", seeds="2")
    given = Options(device="cpu", in_process=True, selection=Selection(only=["random, seed 1"]))
    outcome = execute(made, given, lambda todo: Notes())
    assert list(outcome.statuses) == ["random, seed 1"]
    assert not outcome.failed
    assert len(list(Path("study/runs").iterdir())) == 1


def test_two_share_one_folder(here: Path) -> None:
    made = planned(models="random", seeds="3")
    first = made.runs[0]
    with Claims(made.folder) as other:
        assert other.claim(first.folder)
        notes = Notes()

        class Watching(Notes):
            def ended(self, job, status) -> None:
                notes.ended(job, status)
                if len(notes.told) == 2:  # the other has ended its run meanwhile
                    write_status(made.run_folder(first), Status("failed", message="elsewhere"))
                    other.release(first.folder)

        outcome = execute(made, Options(device="cpu", in_process=True), lambda todo: Watching())
    assert [name for _, name in notes.told] == [run.folder for run in (*made.runs[1:], first)]
    assert [title for title in outcome.failed] == [first.title]
    assert read_status(made.run_folder(first)).message == "elsewhere"
