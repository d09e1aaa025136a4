"""How runs share this machine: times that are over, memory that is wanting, dead workers."""

import os
import threading
import time
from collections.abc import Callable
from itertools import accumulate
from multiprocessing import Pipe
from pathlib import Path

import pytest

from bench.executors import processes
from bench.executors.jobs import JobQueue
from bench.executors.processes import EarlyWorker, run_in_processes
from bench.store.claims import Claims, claimed
from bench.store.record import Status, read_status, write_status
from bench.worker import Job, Progress
from tests.bench.test_claims import Notes


class Played:
    """A worker process that is a thread: it ends each run as its name says.

    `large` is out of memory the first time, and then beside others, `huge` always; `killed` kills
    the process, `stuck` goes on until it is killed.
    """

    busy = 0
    tried: set[str] = set()

    def __init__(self, pipe) -> None:
        self._pipe = pipe
        self._gone = threading.Event()
        self.exitcode: int | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._pipe.recv()) != "end":
            Played.busy += 1
            beside = Played.busy > 1
            name = job.folder.name.partition("-")[0]
            write_status(job.folder, Status("running"))
            self._pipe.send(Progress("training"))
            if name in ("stuck", "killed"):
                if name == "stuck":
                    self._gone.wait(60)
                self.exitcode = -9
                Played.busy -= 1
                break
            time.sleep(0.05)  # beside those that start now
            beside = beside or Played.busy > 1 or name not in Played.tried
            Played.tried.add(name)
            out = name == "huge" or (name == "large" and beside)
            status = Status("out-of-memory" if out else "done")
            write_status(job.folder, status)
            Played.busy -= 1
            self._pipe.send(status)
        self._pipe.close()

    def kill(self) -> None:
        self._gone.set()

    def join(self) -> None:
        self._thread.join()

    def is_alive(self) -> bool:
        return self._thread.is_alive()


@pytest.fixture
def carried_out(make_run, tmp_path: Path, monkeypatch) -> Callable[..., Notes]:
    """Carry out runs of these names with played workers; what was told, and `spawned`."""

    spawned = []

    def spawn(target, name, threads):
        spawned.append(name)
        ours, theirs = Pipe()
        return Played(theirs), ours

    monkeypatch.setattr(processes, "_spawned", spawn)
    monkeypatch.setattr(Played, "busy", 0)
    monkeypatch.setattr(Played, "tried", set())

    def call(
        *names: str,
        slots: int = 2,
        timeout: float | None = None,
        early: EarlyWorker | None = None,
    ) -> Notes:
        notes = Notes()
        jobs = [Job(make_run(), tmp_path / "runs" / name, (), timeout=timeout) for name in names]
        with Claims(tmp_path) as claims:
            queue = JobQueue(jobs, notes, claims)
            assert not run_in_processes(queue, slots, notes, early=early)
            assert claimed(tmp_path, names) == set()
        notes.spawned = spawned
        return notes

    return call


def state(folder: Path, name: str) -> str:
    return read_status(folder / "runs" / name).state


def test_a_run_that_is_out_of_memory_is_tried_once_more_alone(carried_out, tmp_path: Path) -> None:
    notes = carried_out("large", "a", "b", "c", "huge", "d", slots=2).told
    later = ("out of memory: tried again alone later", "large")
    assert later in notes
    assert notes.count(("started", "large")) == 2
    second = notes.index(("started", "large"), notes.index(later))
    ended = {name: notes.index(("done", name)) for name in ("a", "b", "c", "d", "large")}
    assert all(ended[name] < second for name in "abcd")
    assert state(tmp_path, "large") == "done"
    assert notes.count(("out-of-memory", "huge")) == 1
    assert state(tmp_path, "huge") == "out-of-memory"


@pytest.mark.parametrize("slots", [1, 2])
def test_a_worker_that_was_started_before_takes_the_first_run(carried_out, slots: int) -> None:
    with EarlyWorker(threads=1) as early:
        notes = carried_out("a", "b", "c", slots=slots, early=early)
        assert early.take() is None
    assert sorted(name for what, name in notes.told if what == "done") == ["a", "b", "c"]
    first, *others = notes.spawned
    assert first == "early worker"
    assert len(others) == slots - 1


def test_alone_from_the_start_it_is_tried_once(carried_out, tmp_path: Path) -> None:
    notes = carried_out("huge", "a", slots=1).told
    assert notes.count(("started", "huge")) == 1
    assert state(tmp_path, "huge") == "out-of-memory"
    assert state(tmp_path, "a") == "done"


def test_half_as_many_take_place_once_one_is_out_of_memory(carried_out) -> None:
    names = [f"n-{k}" for k in range(8)]
    notes = carried_out("large", *names, slots=4).told
    since = notes.index(("out of memory: tried again alone later", "large"))
    changes = [{"started": 1, "done": -1}.get(what, 0) for what, _ in notes]
    changes[since] = -1
    at_work = list(accumulate(changes))
    assert max(at_work[:since]) == 4
    fewer = next(k for k in range(since, len(notes)) if at_work[k] <= 2)  # the others have ended
    assert max(at_work[fewer:]) == 2


def test_a_run_that_does_not_end_itself_in_its_time_is_killed(
    carried_out, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    began = time.monotonic()
    notes = carried_out("stuck", "a", timeout=0.2).told
    assert time.monotonic() - began < 30
    assert ("timeout", "stuck") in notes
    status = read_status(tmp_path / "runs" / "stuck")
    assert status.state == "timeout"
    assert status.message == "took longer than 0.2 s; its process was killed"
    assert state(tmp_path, "a") == "done"


@pytest.mark.parametrize(
    ("kills", "state", "words"),
    [
        ([4, 5], "out-of-memory", "the system killed the worker process as memory was wanting"),
        ([4, 4], "failed", "the worker process was killed"),
        ([None, None], "failed", "the worker process was killed (out of memory?)"),
    ],
)
def test_a_killed_worker_was_out_of_memory_if_the_system_says_so(
    carried_out, tmp_path: Path, monkeypatch, kills, state: str, words: str
) -> None:
    counts = iter(kills)
    monkeypatch.setattr(processes, "oom_kills", lambda: next(counts))
    carried_out("killed", slots=1)
    assert read_status(tmp_path / "runs" / "killed") == Status(state, message=words)


@pytest.mark.skipif(not os.path.exists("/proc/vmstat"), reason="a system without /proc/vmstat")
def test_the_system_counts_what_it_kills() -> None:
    found = processes.oom_kills()
    assert found is None or found >= 0
