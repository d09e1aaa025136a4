"""Progress of one long thing: a bar on a terminal, a line now and then elsewhere."""

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

from bench.console import size_in_words

Watch = Callable[[int, int | None], None]  # how much is done, and of how much if that is known

LINE_EVERY = 15.0  # seconds between two lines


@contextmanager
def watched(what: str, talk: Console, *, images: bool = False) -> Iterator[Watch]:
    """Something to tell how many bytes are done of how many, or how many images."""
    if talk.is_terminal:
        counts: list[ProgressColumn] = [DownloadColumn(), TransferSpeedColumn()]
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            *([MofNCompleteColumn()] if images else counts),
            TimeRemainingColumn(compact=True),
            console=talk,
            transient=True,
        ) as progress:
            task = progress.add_task(escape(what), total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        return

    talk.print(what, markup=False, highlight=False, soft_wrap=True)
    told = time.monotonic()

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_EVERY:
            told = time.monotonic()
            numbers = [f"{n:,}" if images else size_in_words(n) for n in (done, total) if n]
            line = f"{what}: {' of '.join(numbers)}"
            talk.print(line, markup=False, highlight=False, soft_wrap=True)

    yield tell
