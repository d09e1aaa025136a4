"""Progress of a study on stderr: live bars on a terminal, plain lines in a log."""

import time
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.console import say
from bench.executors import Reporter
from bench.store.record import Status
from bench.worker import Job
from bench.worker import Progress as WorkerProgress

LINE_EVERY = 15.0  # seconds between two lines about the same run


def reporter(console: Console, runs: int) -> Reporter:
    """The reporter that suits the console."""
    return _Live(console, runs) if console.is_terminal else _Plain(console, runs)


def _loss(progress: WorkerProgress) -> str:
    loss = (progress.terms or {}).get("loss")
    return "" if loss is None else f"loss {loss:.1f}"


def _ending(status: Status) -> str:
    seconds = sum(v for phase, v in status.seconds.items() if phase != "data")
    spent = f" in {seconds:.0f} s" if seconds else ""
    # a collapse takes no time: it is how the training ended
    state = f"done{spent}, collapsed" if status.state == "collapsed" else f"{status.state}{spent}"
    return state + (f": {status.message}" if status.message else "")


class _Plain:
    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._runs = runs
        self._ended = 0
        self._start = time.monotonic()
        self._printed: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def started(self, job: Job) -> None:
        self._say(f"{job.run.title}: started")

    def progress(self, job: Job, progress: WorkerProgress) -> None:
        if progress.note:
            self._say(f"{job.run.title}: {progress.note}")
            return
        phase, printed = self._printed.get(job.run.identity, ("", 0.0))
        now = time.monotonic()
        if progress.phase == phase and now - printed < LINE_EVERY:
            return
        self._printed[job.run.identity] = (progress.phase, now)
        count = f" {progress.step}/{progress.steps}" if progress.steps else ""
        self._say(f"{job.run.title}: {progress.phase}{count} {_loss(progress)}")

    def ended(self, job: Job, status: Status) -> None:
        self._ended += 1
        self._say(f"{job.run.title}: {_ending(status)} ({self._ended} of {self._runs} runs)")

    def stopping(self) -> None:
        self._say("stopping: writing checkpoints")

    def _say(self, text: str) -> None:
        say(self._console, f"[{time.monotonic() - self._start:6.1f} s] {text}".rstrip())


class _Live:
    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._study = self._bars.add_task("all runs", total=runs, note="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def started(self, job: Job) -> None:
        self._forget(job)  # of an attempt that was out of memory
        self._tasks[job.run.identity] = self._bars.add_task(
            escape(job.run.title), total=job.run.steps, note="starting"
        )

    def progress(self, job: Job, progress: WorkerProgress) -> None:
        if progress.note:
            say(self._console, f"{job.run.title}: {progress.note}")
            return
        task = self._tasks.get(job.run.identity)
        if task is None:
            return
        if progress.phase == "training":
            self._bars.update(task, completed=progress.step, note=_loss(progress))
        else:
            self._bars.update(task, completed=job.run.steps, note=progress.phase)

    def ended(self, job: Job, status: Status) -> None:
        self._forget(job)
        self._bars.advance(self._study)
        say(self._console, f"{job.run.title}: {_ending(status)}")

    def stopping(self) -> None:
        say(self._console, "stopping: writing checkpoints")

    def _forget(self, job: Job) -> None:
        task = self._tasks.pop(job.run.identity, None)
        if task is not None:
            self._bars.remove_task(task)
