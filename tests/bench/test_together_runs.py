"""Runs that are trained as one model have the records of runs one by one, but for rounding."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.store.record import Status, read_status
from bench.store.run import Run, seeds_together
from bench.worker import Job, News, work, work_together

FUSES = """
import torch
from bench.models import VAE


class Fused(VAE):
    \"\"\"Some of its seeds diverge at step 3 (nobody 2024).\"\"\"

    def __post_init__(self):
        super().__post_init__()
        self.register_buffer("fuse", torch.rand(()))

    def regularizer(self, posterior, z, step):
        burnt = torch.where((self.fuse < 0.5) & (step >= 3), torch.nan, 0.0)
        return super().regularizer(posterior, z, step) + burnt
"""


THROUGH = ("done", "collapsed")  # which of both is no matter here


def forever() -> bool:
    return False


def together(
    jobs: list[Job], stop: Callable[[], bool] = forever
) -> tuple[list[Status], list[tuple[int, News]]]:
    ended: dict[int, Status] = {}
    news: list[tuple[int, News]] = []
    work_together(
        jobs, lambda *said: news.append(said), lambda i, status: ended.update({i: status}), stop
    )
    assert list(ended) == list(range(len(jobs)))
    return list(ended.values()), news


def jobs_of(run: Run, folder: Path, seeds: int = 2) -> list[Job]:
    runs = [replace(run, seed=seed) for seed in range(seeds)]
    return [Job(run, folder / run.folder, (), together=seeds) for run in runs]


@pytest.fixture
def short(make_run) -> Run:
    return make_run(steps=6, batch_size=8, rows=64)


def history(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))


def test_the_command_writes_the_records_of_runs_one_by_one(finished, bench, tmp_path: Path) -> None:
    options = ("--models", "jointvae", "--together", "2")
    ran = bench(*finished.command, *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "1 side by side on cpu, up to 2 seeds in each;" in ran.stderr
    assert "(2 of 2 runs)" in ran.stderr
    folders = sorted((finished.folder / "runs").glob("jointvae-*"))
    assert len(folders) == 2
    for alone in folders:
        folder = tmp_path / "study" / "runs" / alone.name
        assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
        assert (folder / "settings.json").read_bytes() == (alone / "settings.json").read_bytes()
        given, expected = read_status(folder), read_status(alone)
        assert (given.state, given.step) == (expected.state, expected.step)
        assert given.seconds.keys() == expected.seconds.keys()
        assert json.loads((folder / "environment.json").read_text())["together"] == 2
        rows = list(zip(history(folder), history(alone), strict=True))
        for row, wanted in rows:
            assert list(row) == list(wanted)
        for row, wanted in rows[:5]:  # rounding grows from step to step
            for name, value in wanted.items():
                assert float(row[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5)
        assert (folder / "history.csv").read_bytes() != (alone / "history.csv").read_bytes()


def test_a_group_that_is_stopped_goes_on_as_if_it_had_not_been(short: Run, tmp_path: Path) -> None:
    straight, jobs = jobs_of(short, tmp_path / "straight"), jobs_of(short, tmp_path / "stopped")
    statuses, news = together(straight)
    assert all(status.state in THROUGH for status in statuses)
    trained = [(index, said.step) for index, said in news if said.phase == "training"]
    assert trained[:12] == [(index, step) for step in range(1, 7) for index in (0, 1)]

    asked = iter([False, False, True, *[False] * 99])
    statuses, _ = together(jobs, lambda: next(asked))
    assert [(s.state, s.step, s.message) for s in statuses] == [
        ("interrupted", 3, "stopped at step 3 of 6")
    ] * 2
    assert statuses == [read_status(job.folder) for job in jobs]
    statuses, news = together(jobs)
    assert all(status.state in THROUGH for status in statuses)
    assert news[0] == (0, replace(news[0][1], phase="training", step=4))
    for job, undisturbed in zip(jobs, straight, strict=True):
        assert not (job.folder / "checkpoint.pt").exists()
        for name in ("weights.safetensors", "history.csv", "representation.npz"):
            assert (job.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


def test_a_stop_after_the_training_leaves_the_rest_to_the_next_time(
    short: Run, tmp_path: Path
) -> None:
    jobs = jobs_of(short, tmp_path)
    asked = iter([False] * 6 + [True] * 9)  # 5 times between steps, then before each run is encoded
    statuses, _ = together(jobs, lambda: next(asked))
    assert statuses[0].state in THROUGH
    assert (statuses[1].state, statuses[1].step) == ("interrupted", 6)
    # alone, from the checkpoint of the last step
    status = work(jobs[1], lambda news: None, forever)
    assert status.state in THROUGH
    assert status.step == 6
    one, other = (load_file(job.folder / "weights.safetensors") for job in jobs)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_each_status_is_that_of_the_run_alone(
    short: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fuses.py").write_text(FUSES)
    run = replace(short, model="fuses.py:Fused", settings={"continuous": 2})
    alone = [work(job, lambda n: None, forever) for job in jobs_of(run, tmp_path / "alone", 4)]
    jobs = jobs_of(run, tmp_path / "together", 4)
    statuses, _ = together(jobs)
    assert {status.state in THROUGH for status in alone} == {True, False}
    shown = [(s.state, s.step, s.message) for s in alone]
    assert [(s.state, s.step, s.message) for s in statuses] == shown
    lengths = [len(history(job.folder)) for job in jobs]
    assert lengths == [6 if status.state in THROUGH else 2 for status in alone]


def test_a_model_that_cannot_be_trained_so_fails_and_says_what_to_do(
    make_run, tmp_path: Path
) -> None:
    settings = {"continuous": 1, "categorical": (3,), "iterations": 2}
    jobs = jobs_of(make_run(model="cascadevae", settings=settings, steps=4), tmp_path)
    statuses, _ = together(jobs)
    for job, status in zip(jobs, statuses, strict=True):
        assert (status.state, status.step) == ("failed", 0)
        assert status.message.startswith("CannotStack: CascadeVAE: the objective of step 4 ")
        assert status.message.endswith(": leave out --together")
        assert "Traceback" in (job.folder / "error.txt").read_text()


def test_only_seeds_of_one_model_are_trained_as_one(make_run) -> None:
    def names(size: int) -> list[list[str]]:
        return [[run.title for run in group] for group in seeds_together(runs, size)]

    other = {"continuous": 3, "categorical": (), "beta": 4.0}
    runs = [
        *(make_run(seed=seed) for seed in (0, 1, 2)),
        make_run(seed=0, settings=other, changed={"continuous": 3}),
        make_run(seed=3),
        *(make_run(seed=seed, model="random", settings={}, steps=0) for seed in (0, 1)),
    ]
    assert names(1) == [[run.title] for run in runs]
    assert names(3) == [
        ["betavae, seed 0", "betavae, seed 1", "betavae, seed 2"],
        ["betavae (continuous=3), seed 0"],
        ["betavae, seed 3"],
        ["random, seed 0"],
        ["random, seed 1"],
    ]
    assert names(9)[0] == [f"betavae, seed {seed}" for seed in range(4)]


def test_less_than_one_seed_is_refused(cli_here, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli_here("run", "--models", "vae", "--dataset", "toy", "--together", "0")
    assert (said.code, said.err) == (2, "bench: --together 0: must be at least 1\n")
