"""The jobs that are left of a study, of which other processes may do some."""

import time
from collections import deque
from collections.abc import Callable, Iterable

from bench.executors import Reporter
from bench.store.claims import Claims
from bench.store.record import UNSUCCESSFUL, Status, read_status
from bench.worker import Job, Progress, is_finished

LOOK_EVERY = 1.0  # seconds between two looks at the runs that other processes are at


class JobQueue:
    """Jobs that an executor takes one after another, each of them claimed for this process.

    A run that another process is at is left to it, and taken up here if that process has gone
    without ending it.

    An executor calls `take` whenever it has room, `ended` for each job that has ended, and goes on
    as long as there is something `left` or at work.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        reporter: Reporter,
        claims: Claims | None = None,
        prepare: Callable[[Job], None] = lambda job: None,
    ) -> None:
        """A queue.

        Args:
            jobs: what is to be done, in this order.
            reporter: told of runs that another process is at, and has ended.
            claims: of the study's folder; None where no other process can be at the runs.
            prepare: called for each job that is taken, once it is claimed.
        """
        self._fresh = deque((job, read_status(job.folder)) for job in jobs)
        self._elsewhere: deque[tuple[Job, Status]] = deque()
        self._claims = claims
        self._reporter = reporter
        self._prepare = prepare
        self._looked = -LOOK_EVERY

    @property
    def left(self) -> bool:
        """Whether jobs have not been taken; other processes may be at all of them."""
        return bool(self._fresh or self._elsewhere)

    def take(self) -> Job | None:
        """The next job, claimed; None if there is none, or other processes are at all of them."""
        while self._fresh:
            job, before = self._fresh.popleft()
            if not self._claim(job):
                self._elsewhere.append((job, before))
                self._reporter.progress(job, Progress("waiting", note="another bench is at it"))
            elif self._is_still_to_do(job, before):
                return job
        if self._elsewhere and time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            for _ in range(len(self._elsewhere)):
                job, before = self._elsewhere.popleft()
                if not self._claim(job):
                    self._elsewhere.append((job, before))
                elif self._is_still_to_do(job, before):
                    return job
        return None

    def put_back(self, job: Job) -> None:
        """Give back a job that has not started; it is the next one."""
        self._release(job)
        self._fresh.appendleft((job, read_status(job.folder)))

    def ended(self, job: Job) -> None:
        """A job that was taken has ended, in whichever way."""
        self._release(job)

    def clear(self) -> None:
        """Nothing more is to be taken."""
        self._fresh.clear()
        self._elsewhere.clear()

    def _claim(self, job: Job) -> bool:
        return self._claims is None or self._claims.claim(job.folder.name)

    def _release(self, job: Job) -> None:
        if self._claims is not None:
            self._claims.release(job.folder.name)

    def _is_still_to_do(self, job: Job, before: Status) -> bool:
        """Whether a claimed job is not done yet by another process; else it is given free."""
        status = read_status(job.folder)
        if status != before and (status.state in UNSUCCESSFUL or is_finished(job)):
            self._release(job)
            self._reporter.ended(job, status)
            return False
        self._prepare(job)
        return True
