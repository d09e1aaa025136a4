"""What takes place on the nodes of a Ray cluster: a run, and the mailbox that it writes to."""

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bench
from bench.executors.processes import PROGRESS_EVERY
from bench.store.record import Status
from bench.store.transfer import pack, unpack
from bench.worker import Job, Progress, run_job

ASK_EVERY = 1.0  # seconds between two questions of a task whether to stop

STARTING = "starting"  # the phase of a task's first message


@dataclass(frozen=True)
class Home:
    """What a task needs to know of the driver.

    Attributes:
        version: of the suite.
        cwd: the driver's working directory.
        token: a file of the study's folder and what it holds: who reads that sees the folder.
    """

    version: str
    cwd: str
    token: tuple[Path, str]


@dataclass(frozen=True)
class Reply:
    """How a task ended.

    Attributes:
        status: of its run; None where the node does not see the folder and had no files.
        files: of the run's folder, where the driver does not see them.
    """

    status: Status | None
    files: Mapping[str, bytes] | None = None


class Mailbox:
    """Where tasks say how far they are, and learn whether to stop."""

    def __init__(self) -> None:
        self._news: list[tuple[str, Progress]] = []
        self._stopping = False

    def tell(self, identity: str, progress: Progress | None) -> bool:
        """Leave a message, if there is one; whether to stop."""
        if progress is not None:
            self._news.append((identity, progress))
        return self._stopping

    def take(self) -> list[tuple[str, Progress]]:
        """All messages since the last time."""
        news, self._news = self._news, []
        return news

    def stop(self) -> None:
        self._stopping = True


def carry_out(job: Job, home: Home, mailbox: Any, files: Mapping[str, bytes] | None) -> Reply:
    """The task: carry out a run, in its folder or in a copy of it."""
    if bench.__version__ != home.version:
        raise RuntimeError(
            f"{platform.node()} has version {bench.__version__} of the suite, and this is "
            f"{home.version}: install the same"
        )
    with contextlib.suppress(OSError):  # a model's file may be named from there
        os.chdir(home.cwd)
    path, text = home.token
    try:
        shared = path.read_text(encoding="utf-8") == text
    except OSError:
        shared = False
    if not shared and files is None:
        return Reply(None)
    line = _Line(mailbox, job.run.identity)
    line.tell(Progress(STARTING))
    if shared:
        return Reply(run_job(job, line.tell, line.stops))
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch) / "runs" / job.run.folder
        unpack(folder, files or {})
        status = run_job(replace(job, folder=folder), line.tell, line.stops)
        return Reply(status, pack(folder))


class _Line:
    """A task's line to the mailbox.

    It never waits for an answer: while a task waits, Ray gives its cores to another one.
    """

    def __init__(self, mailbox: Any, identity: str) -> None:
        self._mailbox = mailbox
        self._identity = identity
        self._answer: Future[bool] | None = None
        self._asked = 0.0
        self._phase = ""
        self._stops = False

    def tell(self, progress: Progress) -> None:
        """Pass on how far the run is, but not too often."""
        due = time.monotonic() - self._asked > PROGRESS_EVERY
        if due or progress.note or progress.phase != self._phase:
            self._phase = progress.phase
            self._send(progress)

    def stops(self) -> bool:
        """Whether the run is to stop."""
        if self._answer is not None and self._answer.done():
            try:
                self._stops = self._stops or self._answer.result()
            except Exception:  # the driver is gone, which is not the run's failure
                os._exit(1)
            self._answer = None
        if time.monotonic() - self._asked > ASK_EVERY:
            self._send(None)
        return self._stops

    def _send(self, progress: Progress | None) -> None:
        self._asked = time.monotonic()
        answer = self._mailbox.tell.remote(self._identity, progress).future()
        self._answer = self._answer or answer
