"""Which cells of a study are carried out, and for how long: --only, --shard, --retry, --timeout.

A cell of a study is one of its runs: a row of the table and a seed.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from bench.errors import RequestError, UnknownNameError
from bench.plan import Plan
from bench.store.record import UNSUCCESSFUL
from bench.store.run import Run

# What would end in the same way again is tried again when that is asked for.
RETRIED = ("failed", "out-of-memory", "skipped")

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 366 * 86400.0  # seconds


class NoCellsError(RequestError):
    """None of a study's cells is asked for."""


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a study's cells.

    Attributes:
        number: which of them, from 1 on.
        of: how many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Selection:
    """Which cells of a plan are asked for.

    Attributes:
        only: what they match, any of it, as `select` says; all if there is nothing.
        shard: the share of those; None for all.
        retry: which runs that ended without scores are tried again.
    """

    only: Sequence[str] = ()
    shard: Shard | None = None
    retry: Sequence[str] = field(default=RETRIED)


def parse_timeout(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h`, `1d`, or a number of seconds.

    Raises:
        RequestError: it is none of these, not positive, or longer than a year.
    """
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*([smhd]?)\s*", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
    if not 0 < seconds <= _LONGEST:
        raise RequestError(
            f"--timeout {text[:40]!r}: give the time that a run may take, as in 90s, 30m or 2h; "
            "at most a year"
        )
    return seconds


def parse_retry(text: str) -> tuple[str, ...]:
    """States of runs, comma-separated; `all` of them, or `none`.

    Raises:
        UnknownNameError: one is no state in which a run can end without scores.
    """
    names = [name.strip() for name in text.split(",")]
    if names in (["all"], ["none"]):
        return UNSUCCESSFUL if names == ["all"] else ()
    for name in names:
        if name not in UNSUCCESSFUL:
            raise UnknownNameError("state in --retry", name, (*UNSUCCESSFUL, "all", "none"))
    return tuple(dict.fromkeys(names))


def parse_shard(text: str) -> Shard:
    """The second of eight shares from `2/8`.

    Raises:
        RequestError: it is none.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise RequestError(
            f"--shard {text[:40]!r}: give which share of how many, as in 2/8; the first is 1/8"
        )
    return Shard(int(match[1]), int(match[2]))


def select(runs: Sequence[Run], selection: Selection) -> tuple[Run, ...]:
    """The cells that are asked for, in the order in which they are.

    A pattern matches the model, the data set, the row of the table, the seed as `seed=3`, the
    title `ROW, seed 3`, or the name of the run's folder; `*` and `?` stand for other letters.

    Args:
        runs: all cells of the study.
        selection: which of them.

    Raises:
        NoCellsError: a pattern matches no cell, or the share is empty.
    """
    chosen = set()
    for pattern in selection.only:
        matching = {run.identity for run in runs if _matches(run, pattern)}
        if not matching:
            raise NoCellsError(str(UnknownNameError("cell in --only", pattern, _names(runs))))
        chosen |= matching
    runs = [run for run in runs if not selection.only or run.identity in chosen]
    if selection.shard is not None:
        share = {run.identity for run in share_of(runs, selection.shard)}
        if not share:
            raise NoCellsError(
                f"--shard {selection.shard}: there are {len(runs)} cells, so this share is empty; "
                "use fewer shares"
            )
        runs = [run for run in runs if run.identity in share]
    return tuple(runs)


def share_of(runs: Iterable[Run], shard: Shard) -> list[Run]:
    """The cells of a share: every row of the table is dealt out in turn.

    So each share has as many runs of a row as any other, or one less, whatever the order of the
    runs; and the shares together have all cells once.
    """
    dealt = sorted(runs, key=lambda run: (run.dataset, run.label, run.seed, run.identity))
    return dealt[shard.number - 1 :: shard.of]


def plans_with_cells(plans: Sequence[Plan], selection: Selection) -> list[Plan]:
    """The plans of a study of which cells are asked for: --only may name one of its data sets.

    Raises:
        NoCellsError: there is none.
    """
    found: list[Plan] = []
    refused: NoCellsError | None = None
    for plan in plans:
        try:
            select(plan.runs, selection)
            found.append(plan)
        except NoCellsError as error:
            refused = refused or error
    if refused and not found:
        raise refused
    return found


def _matches(run: Run, pattern: str) -> bool:
    of_row = (run.model, run.shown_model, run.dataset, run.label)
    names = (*of_row, f"seed={run.seed}", run.title, run.folder)
    return any(pattern == name or fnmatchcase(name, pattern) for name in names)


def _names(runs: Iterable[Run]) -> list[str]:
    """What --only can name, without the single cells."""
    runs = list(runs)
    names = [name for run in runs for name in (run.shown_model, run.label)]
    return list(dict.fromkeys([*names, *(f"seed={run.seed}" for run in runs)]))
