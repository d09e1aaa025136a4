"""Runs side by side on this machine, in worker processes that take one run after another.

A worker shares a pipe with its parent. The parent sends jobs, or a word that asks the worker to
stop at the next step; the worker sends progress and, at last, the status of the run. A closed pipe
tells it that the parent is gone. A worker stays alive for the next run, as its libraries take
seconds to load; only an external model, of which nothing is known, gets a process of its own.
"""

import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, Self

from bench.executors import Reporter
from bench.executors.jobs import JobQueue
from bench.store.record import UNSUCCESSFUL, Status, read_record, read_status, write_status
from bench.worker import Job, Progress, run_job, timed_out

POLL = 0.25  # seconds
GRACE = 30.0  # seconds after its time in which a run may end itself, with a checkpoint
PROGRESS_EVERY = 0.2  # seconds between two messages of a worker about the same phase

# glibc keeps what a training step frees for the next step, which wants the same again. By default
# it gives large blocks back, and a tenth of a step on the CPU goes into having them mapped anew.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}

_STOP, _END = "stop", "end"

# What every run needs and takes seconds to load.
_NEEDED = ("bench.build", "bench.encode", "bench.models", "bench.score", "bench.train.loop")


@dataclass
class _Worker:
    """A worker process.

    Attributes:
        process: the process.
        pipe: the parent's end of its pipe.
        job: what it does now.
        used: whether it has had a job.
        began: when it got its job, by the monotonic clock.
        oom_kills: how many processes the system had killed for want of memory by then.
    """

    process: BaseProcess
    pipe: "Connection[Job | str, Progress | Status]"
    job: Job | None = None
    used: bool = False
    began: float = 0.0
    oom_kills: int | None = None


def run_in_processes(
    jobs: JobQueue,
    slots: int,
    reporter: Reporter,
    *,
    fail_fast: bool = False,
    ended: Callable[[Job, Status], None] = lambda job, status: None,
    early: "EarlyWorker | None" = None,
) -> bool:
    """Carry out jobs, at most `slots` at a time.

    Ctrl-C or SIGTERM lets the workers write a checkpoint and end; a second one kills them. A worker
    that is still at its run `GRACE` seconds after the run's time is killed as well.

    Once a run is out of memory, half as many take place side by side. The run itself is tried once
    more, alone, when all others have ended.

    Args:
        jobs: what to do.
        slots: number of worker processes.
        reporter: told what happens.
        fail_fast: whether the first run that ends without scores stops the others.
        ended: called for each job that has ended, with its status.
        early: a worker that was started before, unless it is taken already.

    Returns:
        Whether a signal stopped it.
    """
    started = early.take() if early else None
    workers = [started] if started else []
    alone: deque[Job] = deque()  # out of memory beside others
    stopping = failed = last = False
    with counting_signals() as signals:
        try:
            while jobs.left or alone or any(worker.job for worker in workers):
                while len(_at_work(workers)) < slots and (job := jobs.take()):
                    _start(job, workers, slots, reporter)
                if alone and not last and not jobs.left and not _at_work(workers):
                    last, slots = True, 1
                if last and alone and not _at_work(workers):
                    _start(alone.popleft(), workers, slots, reporter)
                _wait(workers)
                for worker in list(workers):
                    running = worker.job
                    status = _listen(worker, reporter, cut_short=len(signals) > 1)
                    if running and status:
                        if status.state == "out-of-memory":
                            _dismiss(worker)  # its memory is free at once
                            workers.remove(worker)
                            if slots > 1 and not stopping:
                                slots //= 2
                                alone.append(running)
                                _tell(reporter, running, "out of memory: tried again alone later")
                                continue
                        failed = failed or status.state in UNSUCCESSFUL
                        jobs.ended(running)
                        reporter.ended(running, status)
                        ended(running, status)
                    idle = worker.job is None and worker in workers
                    if idle and not (jobs.left and worker.process.is_alive()):
                        _dismiss(worker)
                        workers.remove(worker)
                if (signals or (failed and fail_fast)) and not stopping:
                    stopping = True
                    jobs.clear()
                    alone.clear()
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


class EarlyWorker:
    """A worker process that loads its libraries while the runs are still being planned.

    Loading torch takes more than a second, in the process that plans and in a worker: so they do it
    at the same time. As a context manager it is there in the block, and ends with it if nobody has
    taken it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        self._worker = _Worker(*_spawned(_work, "early worker", self._threads))
        return self

    def __exit__(self, *error: object) -> None:
        if (worker := self.take()) is not None:
            worker.process.kill()  # at once: it has no job
            worker.process.join()
            worker.pipe.close()

    def take(self) -> _Worker | None:
        """The worker, for the one who takes it; None if it is taken."""
        worker, self._worker = self._worker, None
        return worker


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


def _at_work(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.job is not None]


def _start(job: Job, workers: list[_Worker], slots: int, reporter: Reporter) -> None:
    """Give a job to a worker, where fewer than `slots` have one."""
    while not _give(worker := _free(workers, slots, job), job):
        workers.remove(worker)  # it died while it was idle: another one takes the job
    reporter.started(job)


def _free(workers: list[_Worker], slots: int, job: Job) -> _Worker:
    """A worker that may take the job, started if there is none."""
    idle = [worker for worker in workers if worker.job is None]
    external = job.run.code is not None and not job.run.trained
    for worker in idle:
        if worker.process.is_alive() and not (external and worker.used):
            return worker
    while idle and len(workers) >= slots:
        worker = idle.pop()
        _dismiss(worker)
        workers.remove(worker)
    worker = _Worker(*_spawned(_work, job.run.folder, job.threads))
    workers.append(worker)
    return worker


def _give(worker: _Worker, job: Job) -> bool:
    """Send a job to a worker; whether that went well."""
    worker.oom_kills = oom_kills()
    try:
        worker.pipe.send(job)
    except OSError:
        return False
    worker.job, worker.used, worker.began = job, True, time.monotonic()
    return True


def _wait(workers: list[_Worker]) -> None:
    """Until a worker says something, but not for long."""
    if workers:
        wait([worker.pipe for worker in workers], timeout=POLL)
    else:
        time.sleep(POLL)


def _tell(reporter: Reporter, job: Job, note: str) -> None:
    reporter.progress(job, Progress("waiting", note=note))


def _listen(worker: _Worker, reporter: Reporter, cut_short: bool) -> Status | None:
    """Pass on a worker's progress; the status of its job if that has ended, in whichever way."""
    if worker.job is None:
        return None
    job = worker.job
    late = job.timeout is not None and time.monotonic() - worker.began > job.timeout + GRACE
    try:
        while worker.pipe.poll():
            message = worker.pipe.recv()
            if isinstance(message, Status):
                worker.job = None
                return message
            reporter.progress(job, message)
        if late:
            worker.process.kill()
            worker.process.join()
            raise EOFError
        return None
    except (EOFError, OSError):
        worker.job = None
        worker.process.join()
        status = _of_the_dead(worker, read_status(job.folder))
        if cut_short:
            status = replace(status, state="interrupted", message="stopped at once by Ctrl-C")
        elif late:
            status = timed_out(replace(status, message="its process was killed"), job)
        with contextlib.suppress(OSError):
            write_status(job.folder, status)
        return status


def _of_the_dead(worker: _Worker, status: Status) -> Status:
    """The status of a run whose process has ended without one."""
    code = worker.process.exitcode
    if code != -9:  # SIGKILL, which Windows has not
        reason = f"the worker process ended with exit code {code}"
        return replace(status, state="failed", message=reason)
    before, now = worker.oom_kills, oom_kills()
    if before is not None and now is not None and now > before:
        reason = "the system killed the worker process as memory was wanting"
        return replace(status, state="out-of-memory", message=reason)
    reason = "the worker process was killed"
    if now is None:
        reason += " (out of memory?)"
    return replace(status, state="failed", message=reason)


def oom_kills() -> int | None:
    """How many processes the system has killed for want of memory; None where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


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
def counting_signals() -> Iterator[list[int]]:
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
    """Load what a run needs, and then carry out jobs until there are no more."""
    inbox, stopping = _listening(pipe)
    with contextlib.suppress(ImportError):  # the run says what is missing
        for name in _NEEDED:
            importlib.import_module(name)
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
