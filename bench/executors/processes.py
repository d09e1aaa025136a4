"""Runs side by side on this machine, in worker processes that take one run after another.

A worker shares a pipe with its parent. The parent sends jobs, or a word that asks the worker to
stop at the next step; the worker sends progress and, at last, the status of the run. A closed pipe
tells it that the parent is gone. A worker stays alive for the next run, as its libraries take
seconds to load; only an external model, of which nothing is known, gets a process of its own.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from bench.executors import Reporter
from bench.store.record import Status, read_record, read_status, write_status
from bench.worker import Job, Progress, run_job

PROGRESS_EVERY = 0.2  # seconds between two messages of a worker about the same phase

# glibc keeps what a training step frees for the next step, which wants the same again. By default
# it gives large blocks back, and a tenth of a step on the CPU goes into having them mapped anew.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}

_STOP, _END = "stop", "end"


@dataclass
class _Worker:
    """A worker process.

    Attributes:
        process: the process.
        pipe: the parent's end of its pipe.
        job: what it does now.
        used: whether it has had a job.
    """

    process: BaseProcess
    pipe: "Connection[Job | str, Progress | Status]"
    job: Job | None = None
    used: bool = False


def run_in_processes(
    jobs: Sequence[Job],
    slots: int,
    reporter: Reporter,
    *,
    fail_fast: bool = False,
    ended: Callable[[Job, Status], None] = lambda job, status: None,
) -> bool:
    """Carry out jobs, at most `slots` at a time.

    Ctrl-C or SIGTERM lets the workers write a checkpoint and end; a second one kills them.

    Args:
        jobs: what to do, in this order.
        slots: number of worker processes.
        reporter: told what happens.
        fail_fast: whether the first run that fails or diverges stops the others.
        ended: called for each job that has ended, with its status.

    Returns:
        Whether a signal stopped it.
    """
    waiting = deque(jobs)
    workers: list[_Worker] = []
    stopping = failed = False
    with _counting_signals() as signals:
        try:
            while waiting or any(worker.job for worker in workers):
                while waiting and (worker := _free(workers, slots, waiting[0])):
                    job = waiting.popleft()
                    if _give(worker, job):
                        reporter.started(job)
                    else:  # it died while it was idle: another one takes the job
                        waiting.appendleft(job)
                        workers.remove(worker)
                wait([worker.pipe for worker in workers], timeout=0.25)
                for worker in list(workers):
                    running = worker.job
                    status = _listen(worker, reporter, cut_short=len(signals) > 1)
                    if running and status:
                        failed = failed or status.state in ("failed", "diverged")
                        reporter.ended(running, status)
                        ended(running, status)
                    if worker.job is None and not (waiting and worker.process.is_alive()):
                        _dismiss(worker)
                        workers.remove(worker)
                if (signals or (failed and fail_fast)) and not stopping:
                    stopping = True
                    waiting.clear()
                    reporter.stopping()
                    for worker in workers:
                        with contextlib.suppress(OSError):
                            worker.pipe.send(_STOP)
                if len(signals) > 1:
                    for worker in workers:
                        worker.process.kill()
        finally:
            for worker in workers:
                if worker.job is not None:  # an error of ours, on the way out
                    worker.process.kill()
                _dismiss(worker)
        return bool(signals)


class Drawer:
    """Draws the pictures of finished runs, in a process beside the next trainings.

    What it could not draw, for whatever reason, is missing afterwards and nothing else is lost.
    """

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection[Path | str, Path] | None = None

    def draw(self, folder: Path) -> None:
        """Draw the pictures of a run's folder soon."""
        with contextlib.suppress(OSError):
            if self._pipe is None:
                self._process, self._pipe = _spawned(_draw, "drawer", threads=1)
            self._pipe.send(folder)

    def finish(self, *, at_once: bool = False) -> None:
        """Wait until everything is drawn, or leave the rest undrawn."""
        if self._process is None or self._pipe is None:
            return
        try:
            if at_once:
                self._process.kill()
            with contextlib.suppress(OSError):
                self._pipe.send(_END)
            self._process.join()
        except BaseException:  # Ctrl-C: it hears no signal itself, and this process waits for it
            self._process.kill()
            raise
        finally:
            self._pipe.close()


def environment_of_a_worker(threads: int) -> dict[str, str]:
    """Environment variables that the libraries of a worker process read when they are loaded."""
    return {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}


# --- in the parent


def _free(workers: list[_Worker], slots: int, job: Job) -> _Worker | None:
    """A worker that may take the job, started if there may be one more."""
    idle = [worker for worker in workers if worker.job is None]
    external = job.run.code is not None and not job.run.trained
    for worker in idle:
        if worker.process.is_alive() and not (external and worker.used):
            return worker
    if len(workers) >= slots:
        if not idle:
            return None
        _dismiss(idle[0])
        workers.remove(idle[0])
    worker = _Worker(*_spawned(_work, job.run.folder, job.threads))
    workers.append(worker)
    return worker


def _give(worker: _Worker, job: Job) -> bool:
    """Send a job to a worker; whether that went well."""
    try:
        worker.pipe.send(job)
    except OSError:
        return False
    worker.job, worker.used = job, True
    return True


def _listen(worker: _Worker, reporter: Reporter, cut_short: bool) -> Status | None:
    """Pass on a worker's progress; the status of its job if that has ended, in whichever way."""
    if worker.job is None:
        return None
    job = worker.job
    try:
        while worker.pipe.poll():
            message = worker.pipe.recv()
            if isinstance(message, Status):
                worker.job = None
                return message
            reporter.progress(job, message)
        return None
    except (EOFError, OSError):
        worker.job = None
        worker.process.join()
        code = worker.process.exitcode
        reason = f"the worker process ended with exit code {code}"
        if code == -9:  # SIGKILL, which Windows has not
            reason = "the worker process was killed (out of memory?)"
        status = replace(read_status(job.folder), state="failed", message=reason)
        if cut_short:
            status = replace(status, state="interrupted", message="stopped at once by Ctrl-C")
        with contextlib.suppress(OSError):
            write_status(job.folder, status)
        return status


def _dismiss(worker: _Worker) -> None:
    """Let a worker without a job end, and give its memory back."""
    with contextlib.suppress(OSError):
        worker.pipe.send(_END)
    worker.process.join()
    worker.pipe.close()


def _spawned(
    target: Callable[["Connection[Any, Any]"], None], name: str, threads: int
) -> tuple[BaseProcess, "Connection[Any, Any]"]:
    """A process that runs a function of one end of a pipe, and the other end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs,), name=name)
    with _inherited(threads):
        process.start()
    theirs.close()
    return process, ours


@contextlib.contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a process that starts now inherits: its libraries' settings, and no signals to stop.

    Libraries read the variables when they are loaded; a terminal's Ctrl-C, or a scheduler's
    SIGTERM, reaches all processes, but only the parent decides what to do about it.
    """
    variables = environment_of_a_worker(threads)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
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
    """Signals to stop that arrived inside, instead of an exception at any point of the work."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- in a worker process


def _work(pipe: "Connection[Progress | Status, Job | str]") -> None:
    """Carry out jobs until there are no more."""
    inbox, stopping = _listening(pipe)
    while (job := inbox.get()) != _END:
        last, phase = 0.0, ""

        def watch(progress: Progress) -> None:
            nonlocal last, phase
            now = time.monotonic()
            if progress.note or now - last > PROGRESS_EVERY or progress.phase != phase:
                last, phase = now, progress.phase
                _send(pipe, progress)

        _send(pipe, run_job(job, watch, stopping.is_set))
    _leave()


def _draw(pipe: "Connection[Path, Path | str]") -> None:
    """Draw the pictures of runs until there are no more."""
    inbox, _ = _listening(pipe)
    while (folder := inbox.get()) != _END:
        from bench.report.pictures import draw_run

        with contextlib.suppress(Exception):  # the report at the end tries again, and says why
            draw_run(read_record(folder))
    _leave()


def _listening(pipe: "Connection[Any, Any]") -> tuple["queue.SimpleQueue[Any]", threading.Event]:
    """What comes through the pipe: work in a queue, and whether to stop.

    If the parent is gone, the process ends at once, as nobody would stop it any more.
    """
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stopping = threading.Event()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = pipe.recv()
                if message == _STOP:
                    stopping.set()
                else:
                    inbox.put(message)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return inbox, stopping


def _send(pipe: "Connection[Any, Any]", message: Progress | Status) -> None:
    try:
        pipe.send(message)
    except OSError:  # the parent is gone, which is not the run's failure
        os._exit(1)


def _leave() -> None:
    """End the process: an interpreter with these libraries takes seconds to close down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
