"""Runs side by side on this machine, each in a process of its own.

A worker and its parent share one pipe: the worker tells news and, at last, its status; a word
from the parent asks it to stop at the next step; a closed pipe tells it that the parent is gone.
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

from bench.progress import Reporter
from bench.records import Status, read_status, write_status
from bench.work import Job, News, work

NEWS_EVERY = 0.2  # seconds between a worker's news

# glibc keeps what a training step frees for the next step, which wants the same again. By default
# it gives large blocks back, and a tenth of a step on the CPU goes into having them mapped anew.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


@dataclass(frozen=True)
class _Worker:
    job: Job
    process: BaseProcess
    pipe: "Connection[str, News | Status]"


def execute(
    jobs: Sequence[Job], slots: int, reporter: Reporter, fail_fast: bool = False
) -> tuple[list[Status], bool]:
    """Carry out jobs, `slots` at a time: their statuses in order, and whether it was stopped.

    Ctrl-C or SIGTERM lets the workers write a checkpoint and end; a second one kills them.
    With `fail_fast` the first run that fails or diverges stops the others likewise.
    """
    ended: dict[int, Status] = {}
    waiting = deque(enumerate(jobs))
    active: dict[int, _Worker] = {}
    stopping = False
    with _counting_signals() as signals:
        while active or (waiting and not stopping):
            while waiting and len(active) < slots and not stopping:
                index, job = waiting.popleft()
                active[index] = _start(job)
                reporter.started(job)
            wait([worker.pipe for worker in active.values()], timeout=0.25)
            for index, worker in list(active.items()):
                status = _listen(worker, reporter, cut_short=len(signals) > 1)
                if status is not None:
                    ended[index] = status
                    reporter.ended(worker.job, status)
                    worker.process.join()
                    worker.pipe.close()
                    del active[index]
            failed = fail_fast and any(s.state in ("failed", "diverged") for s in ended.values())
            if (signals or failed) and not stopping:
                stopping = True
                reporter.stopping()
                for worker in active.values():
                    with contextlib.suppress(OSError):
                        worker.pipe.send("stop")
            if len(signals) > 1:
                for worker in active.values():
                    worker.process.kill()
        stopped = bool(signals)
    pending = Status("pending")
    return [ended.get(index, pending) for index in range(len(jobs))], stopped


def _start(job: Job) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(job, theirs), name=job.run.folder)
    with _inherited(threads=job.threads):
        process.start()
    theirs.close()
    return _Worker(job, process, ours)


def _listen(worker: _Worker, reporter: Reporter, cut_short: bool) -> Status | None:
    """Pass on the worker's news; its status once it has ended, in whichever way."""
    try:
        while worker.pipe.poll():
            said = worker.pipe.recv()
            if isinstance(said, Status):
                return said
            reporter.news(worker.job, said)
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        reason = f"the worker process ended with exit code {code}"
        if code == -9:
            reason = "the worker process was killed (out of memory?)"
        status = replace(read_status(worker.job.folder), state="failed", message=reason)
        if cut_short:
            status = replace(status, state="interrupted", message="stopped at once by Ctrl-C")
        with contextlib.suppress(OSError):
            write_status(worker.job.folder, status)
        return status
    return None


def _main(job: Job, pipe: "Connection[News | Status, str]") -> None:
    """A worker process."""
    stopping = threading.Event()

    def obey() -> None:
        with contextlib.suppress(EOFError, OSError):
            while pipe.recv():
                stopping.set()
        os._exit(1)  # the parent is gone, and nobody would stop this process any more

    threading.Thread(target=obey, daemon=True).start()
    told = 0.0
    phase = ""

    def tell(news: News) -> None:
        nonlocal told, phase
        now = time.monotonic()
        if now - told > NEWS_EVERY or news.phase != phase:
            told, phase = now, news.phase
            send(news)

    def send(said: News | Status) -> None:
        try:
            pipe.send(said)
        except OSError:  # the parent is gone, which is not the run's failure
            os._exit(1)

    send(work(job, tell, stopping.is_set))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an interpreter with these libraries takes seconds to close down


def environment_of_a_worker(threads: int) -> dict[str, str]:
    """Environment variables that the libraries of a worker process read when they are loaded."""
    return {"OMP_NUM_THREADS": str(threads), **_KEEP_MEMORY}


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
