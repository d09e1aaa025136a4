"""Damaged checkpoints and lost files: the run goes on by itself, to the same results."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.execute import Options, outstanding
from bench.plan import Plan, Request, plan
from bench.score import of_one_run
from bench.store import files, integrity, record
from bench.store.run import Run
from bench.store.study import write_study
from bench.worker import Job, Progress, is_finished, run_job

STEPS = 20


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Plan:
    request = Request(
        models="betavae,random",
        dataset="toy",
        preset="smoke",
        seeds="1",
        metrics="mig",
        steps=STEPS,
        sets=["train.rows=100"],
        output=tmp_path_factory.mktemp("planned") / "study",
    )
    return plan(request)


def job_of(run: Run, study: Path, planned: Plan) -> Job:
    definitions = of_one_run(planned.definitions)
    return Job(run, study / "runs" / run.folder, definitions, checkpoint_seconds=0)


def results(folder: Path) -> dict[str, object]:
    """All that a run has computed; seconds are no results."""
    scores = {k: {**v, "seconds": 0} for k, v in files.read_json(folder / "scores.json").items()}
    names = ("weights.safetensors", "evaluation.json", "representation.npz")
    optional = [name for name in ("history.csv", "samples.npz") if (folder / name).exists()]
    return {"scores": scores, **{n: (folder / n).read_bytes() for n in (*names, *optional)}}


@pytest.fixture(scope="module")
def whole(planned, tmp_path_factory) -> Path:
    """A study whose runs are finished. Copy it to change it."""
    study = tmp_path_factory.mktemp("whole") / "study"
    write_study(study, planned.study)
    for run in planned.runs:
        assert run_job(job_of(run, study, planned)).state in ("done", "collapsed")
    return study


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "study")


@pytest.fixture
def stopped(planned, tmp_path: Path) -> tuple[Job, int]:
    """A training with two checkpoints, and the step of the newer one."""
    job = job_of(planned.runs[0], tmp_path / "stopped", planned)
    reached: list[int] = []

    def watch(progress: Progress) -> None:
        reached.append(progress.step)

    assert run_job(job, watch, lambda: len(reached) >= 8).state == "interrupted"
    return job, reached[-1]


# checkpoints


def flipped(path: Path) -> None:
    """Other weights, in a file that torch reads without a complaint."""
    data = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["model"]
    tensor = max(weights.values(), key=torch.numel).contiguous().numpy().tobytes()
    data[data.index(tensor) + 6] ^= 0x55
    path.write_bytes(data)
    torch.load(path, weights_only=True)


def changed(path: Path, **values: object) -> None:
    held = torch.load(path, weights_only=True)
    torch.save({**held, **values}, path)


def beyond(path: Path) -> None:
    progress = torch.load(path, weights_only=True)["progress"]
    changed(path, progress={**progress, "step": STEPS + 1})


def of_another_model(path: Path) -> None:
    changed(path, model={"weight": torch.zeros(3)})


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut by a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "flipped bits": flipped,
    "text": lambda path: path.write_text("no checkpoint"),
    "no mapping": lambda path: torch.save([1, 2], path),
    "beyond the last step": beyond,
    "a negative step": lambda path: changed(path, progress={"step": -1}),
    "a step that is no number": lambda path: changed(path, progress={"step": "7"}),
    "of another model": of_another_model,
    "of another run": lambda path: changed(path, run="0" * 64),
    "without optimisers": lambda path: changed(path, optimizers={}),
    "without noise": lambda path: changed(path, noise=None),
    "with more progress": lambda path: changed(path, progress={"stop": 3}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken(
    stopped, whole: Path, damage
) -> None:
    job, step = stopped
    damage(job.folder / record.CHECKPOINT)
    notes, steps = [], []

    def watch(progress: Progress) -> None:
        (notes if progress.note else steps).append(progress)
        if progress.note:
            assert (job.folder / "checkpoint.damaged.pt").exists()

    assert run_job(job, watch).state in ("done", "collapsed")
    (note,) = [progress.note for progress in notes]
    assert note.startswith("checkpoint.pt cannot be used (")
    assert note.endswith(f"kept as checkpoint.damaged.pt: training goes on from step {step - 1}")
    assert "\n" not in note
    assert steps[0].step == step
    assert results(job.folder) == results(whole / "runs" / job.run.folder)
    assert list(job.folder.glob("*.pt")) == []


def test_without_a_good_checkpoint_the_training_starts_again(stopped, whole: Path) -> None:
    job, _ = stopped
    of_another_model(job.folder / record.CHECKPOINT)  # half of it could be taken
    flipped(job.folder / "checkpoint.previous.pt")
    notes = []
    run_job(job, lambda progress: notes.append(progress.note) if progress.note else None)
    assert len(notes) == 2
    assert all("training starts again" in note for note in notes)
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


def test_a_kill_between_the_two_renames_loses_nothing(stopped, whole: Path) -> None:
    job, step = stopped
    checkpoint = job.folder / record.CHECKPOINT
    checkpoint.replace(files.predecessor(checkpoint))
    steps, notes = [], []
    run_job(job, lambda progress: (notes if progress.note else steps).append(progress.step))
    assert (steps[0], notes) == (step + 1, [])
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(3))
def test_a_kill_beside_a_status_leaves_no_checkpoint_behind(
    number: int, after: bool, stopped, whole: Path, monkeypatch
) -> None:
    job, _ = stopped
    write, states = record.write_status, []

    def killed(folder: Path, status: record.Status) -> None:
        states.append(status.state)
        if len(states) <= number or after:
            write(folder, status)
        if len(states) > number:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record, "write_status", killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(job)
    assert states == ["running", "running", "collapsed"][: number + 1]
    finished = is_finished(job)
    assert finished == (number == 2 and after)
    if not finished:
        run_job(job)
    assert not list(job.folder.glob(record.CHECKPOINTS))
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


def test_a_checkpoint_of_older_versions_is_gone_on_from(stopped, whole: Path) -> None:
    job, step = stopped
    path = job.folder / record.CHECKPOINT
    held = torch.load(path, weights_only=True)
    torch.save({key: value for key, value in held.items() if key != "run"}, path)
    files.predecessor(path).unlink()
    steps, notes = [], []
    run_job(job, lambda progress: (notes if progress.note else steps).append(progress.step))
    assert (steps[0], notes) == (step + 1, [])
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


def test_a_full_disk_keeps_both_checkpoints(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        files.write_checkpoint(path, {"step": step})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("BENCH_FSYNC", "1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_checkpoint(path, {"step": 3})
    held = [files.read_checkpoint(p, torch.device("cpu")) for p in sorted(tmp_path.iterdir())]
    assert held == [{"step": 1}, {"step": 2}]
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["checkpoint.previous.pt", path.name]


# finished runs


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


LOST: dict[str, tuple[dict[str, Callable[[Path], object]], str, str]] = {
    "settings": ({"settings.json": Path.unlink}, "nothing", "written again"),
    "representation": ({"representation.npz": Path.unlink}, "encode", "encoded again"),
    "empty representation": ({"representation.npz": emptied}, "encode", "encoded again"),
    "cut representation": ({"representation.npz": cut}, "encode", "encoded again"),
    "evaluation": ({"evaluation.json": Path.unlink}, "encode", "encoded again"),
    "cut weights": ({"weights.safetensors": cut}, "train", "trained again"),
    "empty weights": ({"weights.safetensors": emptied}, "train", "trained again"),
    "both": (
        {"weights.safetensors": Path.unlink, "representation.npz": Path.unlink},
        "train",
        "trained again",
    ),
    "scores": ({"scores.json": Path.unlink}, "score", "scored again"),
    "all but the status": (
        dict.fromkeys(
            ("settings.json", "evaluation.json", "scores.json", "representation.npz")
            + ("weights.safetensors", "history.csv", "samples.npz"),
            Path.unlink,
        ),
        "train",
        "trained again",
    ),
}


@pytest.mark.parametrize(("changes", "stage", "words"), LOST.values(), ids=LOST.keys())
def test_what_a_finished_run_has_lost_is_named_and_made_again(
    planned, whole: Path, study: Path, changes, stage: str, words: str
) -> None:
    run = planned.runs[0]
    job = job_of(run, study, planned)
    for name, change in changes.items():
        change(job.folder / name)
    todo = outstanding(replace(planned, folder=study), Options(jobs=1, device="cpu"))
    assert [r.model for r in todo.runs] == ([] if stage == "nothing" else ["betavae"])
    assert [r.model for r in todo.encoded] == (["betavae"] if stage in ("encode", "score") else [])
    (title, said), *others = todo.damaged.items()
    assert (title, others) == (run.title, [])
    assert all(name in said for name in changes if name not in ("history.csv", "samples.npz"))
    assert words in said
    steps: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.phase == "training" and not progress.note:
            steps.append(progress.step)

    assert run_job(job, watch).state in ("done", "collapsed")
    assert len(steps) == (STEPS if stage == "train" else 0)
    assert results(job.folder) == results(whole / "runs" / run.folder)


def test_flipped_bits_in_a_representation_are_seen_where_it_is_read(
    planned, whole: Path, study: Path
) -> None:
    job = job_of(planned.runs[0], study, planned)
    path = job.folder / record.REPRESENTATION
    data = bytearray(path.read_bytes())
    data[200] ^= 0x55
    path.write_bytes(data)
    (job.folder / record.SCORES).unlink()
    assert run_job(job).state in ("done", "collapsed")
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


def test_a_model_that_is_not_trained_is_encoded_again(planned, whole: Path, study: Path) -> None:
    job = job_of(planned.runs[1], study, planned)
    cut(job.folder / record.REPRESENTATION)
    assert run_job(job).state in ("done", "collapsed")
    assert results(job.folder) == results(whole / "runs" / job.run.folder)


def test_a_run_without_its_weights_is_complete_but_named(planned, study: Path) -> None:
    for path in study.glob("runs/*/weights.safetensors"):
        path.unlink()
    todo = outstanding(replace(planned, folder=study), Options(jobs=1, device="cpu"))
    assert todo.runs == []
    (words,) = todo.damaged.values()
    assert words.startswith("weights.safetensors is missing: its scores stand")


def test_settings_of_a_model_by_other_code_cannot_be_written_again(planned, study: Path) -> None:
    run = planned.runs[0]
    folder = study / "runs" / run.folder
    (folder / "settings.json").unlink()
    own = replace(run, code="0123456789abcdef")  # not part of the identity
    assert own.folder == run.folder
    assert integrity.condition(folder, own).stage == "train"


def test_scores_by_metrics_that_are_not_planned_go_with_their_weights(planned, study: Path) -> None:
    job = job_of(planned.runs[0], study, planned)
    scores = record.read_scores(job.folder)
    record.write_scores(job.folder, {**scores, "sap": scores["mig"]})
    cut(job.folder / record.WEIGHTS)
    notes = []
    run_job(job, lambda progress: notes.append(progress.note) if progress.note else None)
    assert notes == ["older scores are removed (sap): name them in --metrics to have them again"]
    assert list(record.read_scores(job.folder)) == ["mig"]


# what killed writers leave


def test_what_a_killed_writer_left_is_swept_everywhere_and_a_living_one_is_not(
    study: Path,
) -> None:
    run = next((study / "runs").iterdir())
    for folder in (study, study / "plots", run, run / "export"):
        folder.mkdir(exist_ok=True)
        (folder / ".table.md.abc.tmp").write_text("half")
    with files.replacing(run / "scores.json") as file:
        file.write(b"{}")
        file.flush()
        files.sweep_study(study)
        assert [path.parent for path in study.rglob(".*.tmp")] == [run]
    assert json.loads((run / "scores.json").read_text()) == {}
    assert list(study.rglob(".*.tmp")) == []
