"""What differs between two studies: numbers beyond noise, runs, settings and definitions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.report.columns import (
    Column,
    Metrics,
    bounds_of,
    columns_of,
    definition_words,
    is_independent,
    shown,
    title_of,
    values_of,
)
from bench.report.statistics import (
    CONFIDENCE,
    ENOUGH,
    Improvement,
    Summary,
    holm,
    improvement,
    runs_needed,
    summarise,
    welch,
)
from bench.report.table.comparable import unreadable
from bench.store.record import Record, read_records
from bench.store.study import StudyRecord, read_study


@dataclass(frozen=True)
class Source:
    """A study that is compared.

    Attributes:
        folder: of the study.
        study: what its runs share.
        records: of its runs, under the names that are shown.
        names: of each model as it was stored, by the name that is shown.
    """

    folder: Path
    study: StudyRecord
    records: Sequence[Record]
    names: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Source":
        """The study of a folder.

        Raises:
            RequestError: it holds no study, or no run, or one cannot be read.
        """
        study, stored = read_study(folder), read_records(folder)
        if not stored:
            raise RequestError(f"{folder} holds no run yet: bench run fills it")
        records = shown(stored)
        pairs = zip(records, stored, strict=True)
        return cls(folder, study, records, {a.run.model: b.run.model for a, b in pairs})

    @property
    def groups(self) -> dict[str, list[Record]]:
        """The runs by label."""
        groups: dict[str, list[Record]] = {}
        for record in self.records:
            groups.setdefault(record.run.label, []).append(record)
        return groups


@dataclass(frozen=True)
class Cell:
    """A number of a row that both studies have.

    Attributes:
        label: the row.
        title: the column.
        metric: its key.
        first: in the first study.
        second: in the second.
        difference: second minus first.
        low: of its 95 % interval by Welch; None where one study has fewer than three runs.
        high: as `low`.
        p: corrected by Holm over the rows of the column; None as `low`.
        improvement: how likely a run of the second study has the larger number.
        needed: runs of each study that would show this difference; None where it has not been
            tested, is separated, or is none.
    """

    label: str
    title: str
    metric: str
    first: Summary
    second: Summary
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    improvement: Improvement | None = None
    needed: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the difference is beyond noise."""
        return self.p is not None and self.p < 1 - CONFIDENCE


@dataclass(frozen=True)
class Comparison:
    """What differs between two studies.

    Attributes:
        studies: their folders.
        identical: runs of the same identity with the same numbers.
        shared: runs that both studies have, by label and seed.
        only: runs of each study that the other has not, by row with their seeds.
        changed: what else is not the same, in words: preset, settings, definitions, statuses.
        cells: of the rows and columns that both have.
    """

    studies: tuple[str, str]
    identical: int
    shared: int
    only: tuple[Sequence[str], Sequence[str]]
    changed: Sequence[str]
    cells: Sequence[Cell]

    @property
    def differs(self) -> bool:
        """Whether anything does: a number beyond noise, a run that is missing, or what changed."""
        return any(c.differs for c in self.cells) or any(self.only) or bool(self.changed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        cells = [{**asdict(cell), "differs": cell.differs} for cell in self.cells]
        return {**asdict(self), "cells": cells, "differs": self.differs}


def compare(first: Path, second: Path) -> Comparison:
    """What differs between the studies of two folders.

    Numbers are compared row by row, by Welch's test where both studies have at least three runs,
    with Holm's correction over the rows of a column.

    Raises:
        RequestError: a folder holds no study or no run, or the two are of different data.
    """
    sources = Source.read(first), Source.read(second)
    check_data(*sources)
    runs = tuple({(r.run.label, r.run.seed): r for r in s.records} for s in sources)
    shared = [key for key in runs[0] if key in runs[1]]
    pairs = [(runs[0][key], runs[1][key]) for key in shared]
    changed = [*changed_study(*sources), *_changed_runs(pairs), *_changed_definitions(*sources)]
    return Comparison(
        studies=(str(first), str(second)),
        identical=sum(_is_identical(a, b) for a, b in pairs),
        shared=len(shared),
        only=(_missing(*runs), _missing(*reversed(runs))),
        changed=changed,
        cells=_cells(*sources),
    )


def _missing(
    here: Mapping[tuple[str, int], Record], there: Mapping[tuple[str, int], Record]
) -> list[str]:
    """`vae (seeds 3, 4)`: what is here and not there."""
    seeds: dict[str, list[str]] = {}
    for label, seed in here:
        if (label, seed) not in there:
            seeds.setdefault(label, []).append(str(seed))
    return [f"{label} (seeds {', '.join(own)})" for label, own in seeds.items()]


def check_data(first: Source, second: Source) -> None:
    """Whether two studies are of the same pixels and factors.

    Raises:
        RequestError: they are not.
    """
    a, b = first.study, second.study
    if (a.fingerprint, a.data_name) != (b.fingerprint, b.data_name):
        raise RequestError(
            f"{first.folder} and {second.folder} are of different data ({a.data_name}, "
            f"{a.fingerprint}; {b.data_name}, {b.fingerprint}): compare studies of the same data"
        )


def changed_study(first: Source, second: Source) -> list[str]:
    a, b = vars(first.study), vars(second.study)
    keys = ("preset", "steps", "train", "data_settings")
    return [f"{key} of the study: {a[key]} / {b[key]}" for key in keys if a[key] != b[key]]


def _changed_runs(pairs: Sequence[tuple[Record, Record]]) -> list[str]:
    """Settings and statuses that differ between runs of one label and seed."""
    by_words: dict[str, list[str]] = {}
    for a, b in pairs:
        difference = a.run.differs_from(b.run)
        if difference is not None:
            mine, theirs = _setting(a, difference.key), _setting(b, difference.key)
            known = None not in (mine, theirs)
            words = f"{difference.key} {mine} / {theirs}" if known else difference.words
            by_words.setdefault(f"{a.run.label}: {words}", []).append(str(a.run.seed))
        if a.status.state != b.status.state:
            words = f"{a.run.label}: {a.status.state} / {b.status.state}"
            by_words.setdefault(words, []).append(str(a.run.seed))
    return [f"{words} (seeds {', '.join(seeds)})" for words, seeds in by_words.items()]


def _setting(record: Record, key: str) -> Any:
    """A setting of the model or a field of the run; None of digests."""
    if key in ("code", "data_code"):
        return None
    return {**record.run.as_dict(), **record.run.settings}.get(key)


def _changed_definitions(first: Source, second: Source) -> list[str]:
    """Metrics that the two studies have scored by different definitions."""
    words = []
    for source in (first, second):
        by_name: dict[str, dict[str, None]] = {}
        for record in source.records:
            for name, score in record.scores.items():
                by_name.setdefault(name, {})[definition_words(score.definition)] = None
        words.append({name: " and ".join(several) for name, several in by_name.items()})
    return [
        f"definition of {title_of(name)}: {words[0][name]} / {words[1][name]}"
        for name in words[0]
        if name in words[1] and words[0][name] != words[1][name]
    ]


def _is_identical(first: Record, second: Record) -> bool:
    both = Metrics.of([first, second])
    numbers = [values_of(record, both) if record.scored else {} for record in (first, second)]
    return (
        first.run.identity == second.run.identity
        and first.status.state == second.status.state
        and numbers[0] == numbers[1]
    )


def _cells(first: Source, second: Source) -> list[Cell]:
    """The numbers of shared rows by one definition, corrected column by column.

    A row with collapsed runs is there a second time, without those of both studies.
    """
    both = [*first.records, *second.records]
    metrics = Metrics.of(both)
    values = numbers_of(first, metrics), numbers_of(second, metrics)
    collapsed = {record.run.label for record in both if record.status.state == "collapsed"}
    for source, numbers in zip((first, second), values, strict=True):
        sound = [
            record
            for record in source.records
            if record.run.label in collapsed and record.status.state != "collapsed"
        ]
        for label, own in numbers_of(replace(source, records=sound), metrics).items():
            numbers[f"{label} without collapsed"] = own
    cells: list[Cell] = []
    for column in columns_of(both, metrics):
        key = column.key
        labels = [
            label
            for label in values[0]
            if key in values[0][label] and key in values[1].get(label, {})
        ]
        tested = [_cell(label, column, values[0][label], values[1][label]) for label in labels]
        known = [cell.p for cell in tested if cell.p is not None]
        corrected = iter(holm(known))
        cells += [cell if cell.p is None else _corrected(cell, next(corrected)) for cell in tested]
    return cells


def _cell(
    label: str,
    column: Column,
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
) -> Cell:
    """A cell with its uncorrected p-value."""
    key = column.key
    a, b = first[key], second[key]
    summaries = [summary_of(key, values) for values in (a, b)]
    difference = summaries[1].mean - summaries[0].mean
    cell = Cell(label, column.title, key, summaries[0], summaries[1], difference)
    if min(len(a), len(b)) < ENOUGH or not is_independent(key):
        return cell
    found = welch(b, a)
    better = improvement(b, a)
    return replace(cell, low=found.low, high=found.high, p=found.p, improvement=better)


def _corrected(cell: Cell, p: float) -> Cell:
    needed = None
    if p >= 1 - CONFIDENCE and cell.difference:
        variances = [(summary.sd or 0.0) ** 2 for summary in (cell.first, cell.second)]
        sd = math.sqrt(sum(variances) / 2)
        # of a difference that is nothing beside the deviation, no number of runs is worth naming
        needed = runs_needed(sd, cell.difference) if abs(cell.difference) > 0.1 * sd else None
    return replace(cell, p=p, needed=needed)


def summary_of(key: str, values: Sequence[float]) -> Summary:
    found = summarise(values, bounds_of(key), independent=is_independent(key))
    assert found is not None  # there is at least one value
    return found


def numbers_of(source: Source, metrics: Metrics) -> dict[str, dict[str, list[float]]]:
    """Numbers by label and key of a column, without those that cannot be read."""
    values: dict[str, dict[str, list[float]]] = {}
    for record in source.records:
        if record.scored:
            for key, value in values_of(record, metrics).items():
                values.setdefault(record.run.label, {}).setdefault(key, []).append(value)
    for key, labels in unreadable(source.groups, metrics).items():
        for label in labels:
            values.get(label, {}).pop(key, None)
    return values
