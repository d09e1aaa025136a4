"""A worker that is ready before it is needed.

Loading torch takes seconds, in the process that plans the runs and in a worker. This module loads
nothing, so that the two can do it at the same time.
"""

from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

from bench.executors.start import spawned


class EarlyWorker:
    """A worker process that loads its libraries while the runs are still being planned.

    As a context manager it is there in the block; where nobody has taken it, it ends with it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._started: tuple[BaseProcess, Connection[Any, Any]] | None = None

    def __enter__(self) -> Self:
        self._started = spawned(_work, "worker", self._threads)
        return self

    def __exit__(self, *error: object) -> None:
        if (left := self.take()) is not None:
            process, pipe = left
            process.kill()  # it has no job
            process.join()
            pipe.close()

    def take(self) -> "tuple[BaseProcess, Connection[Any, Any]] | None":
        """The process and its pipe, for the one who takes it; None if it is taken."""
        started, self._started = self._started, None
        return started


def _work(pipe: "Connection[Any, Any]") -> None:
    """In the worker: load what a run needs, and then carry out jobs."""
    from bench.executors.processes import work

    work(pipe)
