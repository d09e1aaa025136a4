"""Where runs run: an executor takes jobs from a queue and says how each of them ended."""

from typing import Protocol, Self

from bench.store.record import Status
from bench.worker import Job, Progress


class Reporter(Protocol):
    """Who an executor tells what happens.

    A run that another process has carried out ends without having started here.
    """

    def started(self, job: Job) -> None: ...
    def progress(self, job: Job, progress: Progress) -> None: ...
    def ended(self, job: Job, status: Status) -> None: ...
    def stopping(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
