"""Runs one after another in this process, for scripts and notebooks: nothing is started."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

from bench.executors import Reporter
from bench.executors.jobs import JobQueue
from bench.store.record import UNSUCCESSFUL, Status
from bench.worker import Job, run_job

POLL = 0.25  # seconds


def run_inline(
    jobs: JobQueue,
    reporter: Reporter,
    *,
    fail_fast: bool = False,
    ended: Callable[[Job, Status], None] = lambda job, status: None,
) -> bool:
    """Carry out jobs in this process.

    Ctrl-C, and a notebook's stop button, let the run write a checkpoint and end; a second one
    raises KeyboardInterrupt at once. Torch's threads and settings are afterwards as before.

    Args:
        jobs: what to do.
        reporter: told what happens.
        fail_fast: whether the first run that ends without scores stops the others.
        ended: called for each job that has ended, with its status.

    Returns:
        Whether a signal stopped it.
    """
    with _stopped_by_interrupt() as stopping, _torch_as_before():
        while jobs.left and not stopping.is_set():
            job = jobs.take()
            if job is None:  # other processes are at what is left
                time.sleep(POLL)
                continue
            reporter.started(job)
            status = run_job(job, partial(reporter.progress, job), stopping.is_set)
            jobs.ended(job)
            reporter.ended(job, status)
            ended(job, status)
            if fail_fast and status.state in UNSUCCESSFUL:
                break
        return stopping.is_set()


@contextlib.contextmanager
def _stopped_by_interrupt() -> Iterator[threading.Event]:
    """An event that the first SIGINT inside sets; the next one raises KeyboardInterrupt.

    Only the main thread hears signals: elsewhere nothing is changed.
    """
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _torch_as_before() -> Iterator[None]:
    """What a run sets for its whole process is undone afterwards."""
    import torch

    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    deterministic = cudnn.deterministic
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic = deterministic
