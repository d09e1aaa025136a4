"""Several processes in one study's folder: every run is claimed by one of them."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.executors import jobs as queue_of_jobs
from bench.executors.jobs import JobQueue
from bench.store import claims as claims_of_store
from bench.store.claims import Claims, claimed, locked, others_at_work
from bench.store.record import Status, write_status
from bench.worker import Job

LIMIT = 300  # seconds for any event: never reached but where it does not come

HOLDER = """
import sys, time
from pathlib import Path
from bench.store.claims import Claims
with Claims(Path("study")) as claims:
    assert claims.claim("one")
    print("claimed", flush=True)
    time.sleep(1000)
"""


class Notes:
    """Who is told what happens, and keeps it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, job) -> None:
        self.told.append(("started", job.folder.name))

    def progress(self, job, progress) -> None:
        self.told.append((progress.note or progress.phase, job.folder.name))

    def ended(self, job, status) -> None:
        self.told.append((status.state, job.folder.name))

    def stopping(self) -> None:
        self.told.append(("stopping", ""))

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None: ...


def test_a_run_is_claimed_by_one(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        assert mine.others() == 0
        with Claims(tmp_path) as theirs:
            assert (mine.others(), theirs.others()) == (1, 1)
            assert mine.claim("a")
            assert mine.claim("a")  # it is mine already
            assert not theirs.claim("a")
            assert theirs.claim("b")
            assert claimed(tmp_path, "abc") == {"a", "b"}
            mine.release("a")
            mine.release("never claimed")
            assert theirs.claim("a")
        assert mine.claim("b")  # the other has ended
        assert claimed(tmp_path, "abc") == {"b"}
        assert mine.others() == 0
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_who_wants_the_folder_alone_waits_for_nobody(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(claims_of_store, "PATIENCE", 0.1)
    with Claims(tmp_path), pytest.raises(RequestError, match="another bench is at work there"):
        locked(tmp_path).__enter__()
    with locked(tmp_path), pytest.raises(RequestError, match="another bench is at work there"):
        Claims(tmp_path).__enter__()
    with Claims(tmp_path):
        pass


def test_reports_are_written_one_after_another(tmp_path: Path) -> None:
    order = []

    def report() -> None:
        with Claims(tmp_path) as theirs:
            order.append("waits")
            with theirs.reporting():
                order.append("theirs")

    with Claims(tmp_path) as mine, mine.reporting():
        other = threading.Thread(target=report)
        other.start()
        while not order:
            time.sleep(0.01)
        time.sleep(0.1)
        order.append("mine")
    other.join()
    assert order == ["waits", "mine", "theirs"]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed the run `one`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.wait(LIMIT)
    process.stdout.close()


@pytest.fixture
def job(make_run, tmp_path: Path) -> Callable[[str], Job]:
    return lambda name: Job(make_run(), tmp_path / "study" / "runs" / name, ())


def test_what_a_dead_process_had_claimed_is_free(holder, job, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(queue_of_jobs, "LOOK_EVERY", 0.0)
    study, notes = tmp_path / "study", Notes()
    with Claims(study) as claims:
        assert claims.others() == 1
        queue = JobQueue([job("one"), job("two")], notes, claims)
        assert queue.take() == job("two")
        assert queue.take() is None
        assert queue.left  # it waits for the other process
        write_status(study / "runs" / "one", Status("running"))
        holder.kill()
        holder.wait(LIMIT)
        assert queue.take() == job("one")
        assert not queue.left
        assert claims.others() == 0
    assert others_at_work(study) == 0
    assert notes.told == [("another bench is at it", "one")]


def test_what_another_has_ended_is_not_carried_out_again(job, tmp_path: Path) -> None:
    study, notes, prepared = tmp_path / "study", Notes(), []
    names = ("ended", "old", "stopped", "new")
    write_status(study / "runs" / "old", Status("failed", message="before"))
    with Claims(study) as claims:
        queue = JobQueue([job(name) for name in names], notes, claims, prepared.append)
        write_status(study / "runs" / "ended", Status("failed", message="meanwhile"))
        write_status(study / "runs" / "stopped", Status("interrupted", 3))
        taken = [queue.take() for _ in range(4)]
        assert taken == [job("old"), job("stopped"), job("new"), None]
        assert not queue.left
        assert prepared == taken[:3]
        assert notes.told == [("failed", "ended")]
        assert claimed(study, names) == {"old", "stopped", "new"}
        queue.put_back(job("old"))
        queue.ended(job("new"))
        assert claimed(study, names) == {"stopped"}
        assert queue.take() == job("old")
        queue.clear()
        assert queue.take() is None
