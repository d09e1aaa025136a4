"""Processes beside the trainings end whatever happens to their parent."""

import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from bench.cli import main
from bench.executors.processes import Drawer, EarlyWorker
from bench.plan import Plan
from bench.report.pictures import is_drawn
from bench.store.files import write_arrays, write_json
from bench.store.record import (
    SAMPLES,
    SETTINGS,
    read_record,
    write_evaluation,
    write_scores,
    write_status,
)
from bench.studyfile.definition import StudyDefinition

LIMIT = 120  # seconds for any event: never reached but where it does not come
# of two latents and a category
MEASURED = {"kl": (3.0, 2.0, 1.0), "spread": (1.0, 1.0, 1.0), "active": (True, True, True)}


@pytest.fixture
def run_folder(make_record, hand_made_samples, tmp_path: Path) -> Path:
    """The folder of a scored run without its pictures."""
    record = make_record({}, folder=tmp_path / "run", evaluation=MEASURED)
    write_json(record.folder / SETTINGS, record.run.as_dict())
    write_status(record.folder, record.status)
    write_scores(record.folder, record.scores)
    write_evaluation(record.folder, record.evaluation)
    write_arrays(record.folder / SAMPLES, hand_made_samples(1))
    return record.folder


def test_a_drawer_draws_what_it_can_and_ends(run_folder: Path, tmp_path: Path) -> None:
    drawer = Drawer()
    drawer.draw(tmp_path / "no run")
    drawer.draw(run_folder)
    drawer.finish()
    assert is_drawn(read_record(run_folder))
    assert drawer._process is not None
    assert drawer._process.exitcode == 0


def test_a_drawer_that_was_not_needed_has_no_process() -> None:
    Drawer().finish()


def test_an_interrupted_wait_leaves_no_process(run_folder: Path, monkeypatch) -> None:
    drawer = Drawer()
    drawer.draw(run_folder)
    process = drawer._process
    assert process is not None

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(process, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            drawer.finish()
    end = time.monotonic() + LIMIT
    while process.is_alive():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_early_worker_that_nobody_takes_ends_with_its_block() -> None:
    before = set(multiprocessing.active_children())
    with EarlyWorker(threads=1) as early:
        (process,) = set(multiprocessing.active_children()) - before
    assert not process.is_alive()
    assert early.take() is None


def test_an_early_worker_is_there_while_the_plan_is_made(tmp_path: Path, monkeypatch) -> None:
    """And is the one that carries out the run."""
    pids = []
    made = StudyDefinition.plans

    def plans(definition: StudyDefinition) -> list[Plan]:
        pids.extend(child.pid for child in multiprocessing.active_children())
        return made(definition)

    monkeypatch.setattr(StudyDefinition, "plans", plans)
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "from bench.models import PCA\n"
        "class Mine(PCA):\n"
        "    def fit(self, images):\n"
        "        super().fit(images)\n"
        f"        open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    )
    arguments = ["run", "--models", f"{tmp_path / 'mine.py'}:Mine", "--dataset", "toy"]
    monkeypatch.setattr(sys, "argv", ["bench", *arguments, "--seeds", "1", "--metrics", "mig"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert int((tmp_path / "pid").read_text()) in pids
