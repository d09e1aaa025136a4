"""Progress on stderr: live bars on a terminal, plain lines in a log."""

import time
from typing import Protocol, Self

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

from bench.store.record import Status
from bench.worker import Job, News

LINE_EVERY = 15.0  # seconds between two lines about the same run


class Reporter(Protocol):
    """What the executor tells while it works."""

    def started(self, job: Job) -> None: ...
    def news(self, job: Job, news: News) -> None: ...
    def ended(self, job: Job, status: Status) -> None: ...
    def stopping(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


def reporter(console: Console, runs: int) -> Reporter:
    """The reporter that suits the console."""
    return _Live(console, runs) if console.is_terminal else _Plain(console, runs)


def _loss(news: News) -> str:
    loss = (news.terms or {}).get("loss")
    return "" if loss is None else f"loss {loss:.1f}"


def _ending(status: Status) -> str:
    seconds = sum(v for phase, v in status.seconds.items() if phase != "data")
    spent = f" in {seconds:.0f} s" if seconds else ""
    return f"{status.state}{spent}" + (f": {status.message}" if status.message else "")


class _Plain:
    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._runs = runs
        self._ended = 0
        self._start = time.monotonic()
        self._told: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def started(self, job: Job) -> None:
        self._say(f"{job.run.title}: started")

    def news(self, job: Job, news: News) -> None:
        phase, told = self._told.get(job.run.identity, ("", 0.0))
        now = time.monotonic()
        if news.phase == phase and now - told < LINE_EVERY:
            return
        self._told[job.run.identity] = (news.phase, now)
        count = f" {news.step}/{news.steps}" if news.steps else ""
        self._say(f"{job.run.title}: {news.phase}{count} {_loss(news)}")

    def ended(self, job: Job, status: Status) -> None:
        self._ended += 1
        self._say(f"{job.run.title}: {_ending(status)} ({self._ended} of {self._runs} runs)")

    def stopping(self) -> None:
        self._say("stopping: writing checkpoints")

    def _say(self, text: str) -> None:
        line = f"[{time.monotonic() - self._start:6.1f} s] {text}".rstrip()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Live:
    def __init__(self, console: Console, runs: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._study = self._progress.add_task("all runs", total=runs, note="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def started(self, job: Job) -> None:
        self._tasks[job.run.identity] = self._progress.add_task(
            escape(job.run.title), total=job.run.steps, note="starting"
        )

    def news(self, job: Job, news: News) -> None:
        task = self._tasks[job.run.identity]
        if news.phase == "training":
            self._progress.update(task, completed=news.step, note=_loss(news))
        else:
            self._progress.update(task, completed=job.run.steps, note=news.phase)

    def ended(self, job: Job, status: Status) -> None:
        self._progress.remove_task(self._tasks.pop(job.run.identity))
        self._progress.advance(self._study)
        self._console.print(f"{job.run.title}: {_ending(status)}", markup=False, highlight=False)

    def stopping(self) -> None:
        self._console.print("stopping: writing checkpoints", markup=False)
