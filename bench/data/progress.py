"""Progress of one long operation: a bar on a terminal, a line from time to time elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bench.console import say, size_in_words

Advance = Callable[[int, int | None], None]  # how much is done, and of how much if that is known

LINE_EVERY = 15.0  # seconds between two lines


@contextmanager
def progress_of(what: str, log: Console, *, images: bool = False) -> Iterator[Advance]:
    """A function to call with how many bytes are done of how many, or how many images."""
    if log.is_terminal:
        counts: list[ProgressColumn] = [DownloadColumn(), TransferSpeedColumn()]
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            *([MofNCompleteColumn()] if images else counts),
            TimeRemainingColumn(compact=True),
            console=log,
            transient=True,
        ) as progress:
            task = progress.add_task(escape(what), total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        return

    say(log, what)
    last = time.monotonic()

    def advance(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            numbers = [f"{n:,}" if images else size_in_words(n) for n in (done, total) if n]
            say(log, f"{what}: {' of '.join(numbers)}")

    yield advance
