"""Starting processes, and what they inherit. This module loads no library."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

# glibc keeps what a training step frees for the next step, which wants the same again. By default
# it gives large blocks back, and a tenth of a step on the CPU goes into having them mapped anew.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


def environment_of_a_worker(threads: int) -> dict[str, str]:
    """Environment variables that the libraries of a worker process read when they are loaded."""
    return {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}


def spawned(
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
