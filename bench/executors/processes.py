"""Runs side by side on this machine, each in a process of its own.

A worker may have several runs, which it trains together. It shares a pipe with its parent: the
worker tells news and, at last, the status of each run; a word from the parent asks it to stop at
the next step; a closed pipe tells it that the parent is gone.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from bench.cli.progress import Reporter
from bench.store.record import Status, read_status, write_status
from bench.worker import Job, News, work_together

NEWS_EVERY = 0.2  # seconds between a worker's news of a run

# glibc keeps what a training step frees for the next step, which wants the same again. By default
# it gives large blocks back, and a tenth of a step on the CPU goes into having them mapped anew.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


@dataclass(frozen=True)
class _Worker:
    """left: the jobs that have not ended, by their index in the worker."""

    left: dict[int, Job]
    process: BaseProcess
    pipe: "Connection[str, tuple[int, News | Status]]"


def execute(
    groups: Sequence[Sequence[Job]], slots: int, reporter: Reporter, fail_fast: bool = False
) -> bool:
    """Carry out jobs, each group in a worker, `slots` of these at a time: whether it was stopped.

    Ctrl-C or SIGTERM lets the workers write a checkpoint and end; a second one kills them.
    With `fail_fast` the first run that fails or diverges stops the others likewise.
    """
    waiting = deque(groups)
    active: list[_Worker] = []
    stopping = failed = False
    with _counting_signals() as signals:
        while active or (waiting and not stopping):
            while waiting and len(active) < slots and not stopping:
                group = waiting.popleft()
                active.append(_start(group))
                for job in group:
                    reporter.started(job)
            wait([worker.pipe for worker in active], timeout=0.25)
            for worker in list(active):
                for job, status in _listen(worker, reporter, cut_short=len(signals) > 1):
                    failed = failed or status.state in ("failed", "diverged")
                    reporter.ended(job, status)
                if not worker.left:
                    worker.process.join()
                    worker.pipe.close()
                    active.remove(worker)
            if (signals or (failed and fail_fast)) and not stopping:
                stopping = True
                reporter.stopping()
                for worker in active:
                    with contextlib.suppress(OSError):
                        worker.pipe.send("stop")
            if len(signals) > 1:
                for worker in active:
                    worker.process.kill()
        return bool(signals)


def _start(jobs: Sequence[Job]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(jobs, theirs), name=jobs[0].run.folder)
    with _inherited(threads=jobs[0].threads):
        process.start()
    theirs.close()
    return _Worker(dict(enumerate(jobs)), process, ours)


def _listen(worker: _Worker, reporter: Reporter, cut_short: bool) -> list[tuple[Job, Status]]:
    """Pass on the worker's news; the jobs that have ended, in whichever way, and how."""
    ended: list[tuple[Job, Status]] = []
    try:
        while worker.left and worker.pipe.poll():
            index, said = worker.pipe.recv()
            if isinstance(said, Status):
                ended.append((worker.left.pop(index), said))
            else:
                reporter.news(worker.left[index], said)
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        reason = f"the worker process ended with exit code {code}"
        if code == -9:
            reason = "the worker process was killed (out of memory?)"
        for job in worker.left.values():
            status = replace(read_status(job.folder), state="failed", message=reason)
            if cut_short:
                status = replace(status, state="interrupted", message="stopped at once by Ctrl-C")
            with contextlib.suppress(OSError):
                write_status(job.folder, status)
            ended.append((job, status))
        worker.left.clear()
    return ended


def _main(jobs: Sequence[Job], pipe: "Connection[tuple[int, News | Status], str]") -> None:
    """A worker process."""
    stopping = threading.Event()

    def obey() -> None:
        with contextlib.suppress(EOFError, OSError):
            while pipe.recv():
                stopping.set()
        os._exit(1)  # the parent is gone, and nobody would stop this process any more

    threading.Thread(target=obey, daemon=True).start()
    told: dict[int, tuple[float, str]] = {}

    def tell(index: int, news: News) -> None:
        before, phase = told.get(index, (0.0, ""))
        now = time.monotonic()
        if now - before > NEWS_EVERY or news.phase != phase:
            told[index] = now, news.phase
            send(index, news)

    def send(index: int, said: News | Status) -> None:
        try:
            pipe.send((index, said))
        except OSError:  # the parent is gone, which is not the run's failure
            os._exit(1)

    work_together(jobs, tell, send, stopping.is_set)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an interpreter with these libraries takes seconds to close down


def environment_of_a_worker(threads: int) -> dict[str, str]:
    """Environment variables that the libraries of a worker process read when they are loaded."""
    return {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}


@contextlib.contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a process that starts now inherits: its libraries' settings, deaf to signals.

    Libraries read the variables when they are loaded; a terminal's Ctrl-C, or a scheduler's
    SIGTERM, reaches all processes, but only the parent decides what to do about it.
    """
    given = environment_of_a_worker(threads)
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    stops = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in stops}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _counting_signals() -> Iterator[list[int]]:
    """Signals to stop that came inside, instead of an exception at any point of the work."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
