"""Several folders of one study -> one: the runs of shards, or of several machines, together.

Nothing of the folders changes. What two of them have of the same run has to be the same; where it
is not, both records are kept, and the run is named.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.agreement import score_agreement
from bench.errors import RequestError
from bench.metrics import STUDY_METRICS
from bench.report.write import Report, write_report
from bench.store.claims import locked, others_at_work
from bench.store.files import copy_folder, write_bytes
from bench.store.record import (
    FINISHED,
    Definition,
    Record,
    read_record,
    read_records,
    write_scores,
)
from bench.store.study import StudyRecord, check_folder, read_study, unwritable, write_study

CONFLICTS = "conflicts"

_ELSEWHERE = "choose another folder with --into"


@dataclass(frozen=True)
class Conflict:
    """A run of which two folders have different results.

    Attributes:
        title: of the run.
        difference: the first thing that differs, in words.
        kept: the folder of the run that is in the tables.
        aside: the copy of the other one, which is not.
    """

    title: str
    difference: str
    kept: Path
    aside: Path


@dataclass(frozen=True)
class Merged:
    """What came of several folders.

    Attributes:
        report: of the folder with all runs.
        copied: number of runs that only one of the folders had.
        same: number of times that a folder had a run with the same results as another.
        further: number of times that a run had come further in one folder than in another; that
            one is kept.
        conflicts: the runs of which two folders have different results.
    """

    report: Report
    copied: int
    same: int
    further: int
    conflicts: Sequence[Conflict]


def merge(
    folders: Sequence[Path], into: Path, watch: Callable[[str], None] = lambda what: None
) -> Merged:
    """Put the runs of several folders of one study into one, and write its report.

    Metrics that compare the runs of a row are scored again, as the rows have more runs now.

    Args:
        folders: of studies by one definition: the same data, preset and settings of the training.
        into: a new folder, or one that holds runs of the same study.
        watch: called with what is being done.

    Raises:
        RequestError: a folder holds no study or a broken record, is in use, or is named twice; the
            studies or their metrics are defined differently; or the folder cannot be written.
    """
    _check_names(folders, into)
    studies = {folder: read_study(folder) for folder in folders}
    for folder in folders:
        if others_at_work(folder):
            raise RequestError(
                f"{folder}: a bench is at work there; merge when it has ended, or stop it"
            )
    _check_same_study(studies)
    study = studies[folders[0]]
    check_folder(into, study, _ELSEWHERE)
    records = {folder: read_records(folder) for folder in folders}
    _check_same_definitions({**records, into: read_records(into)})
    counts: Counter[str] = Counter()
    conflicts = []
    with locked(into, _ELSEWHERE):
        write_study(into, study)
        try:
            for folder in folders:
                for record in records[folder]:
                    watch(f"{folder}: {record.run.title}")
                    placed = _place(record, into)
                    if isinstance(placed, Conflict):
                        conflicts.append(placed)
                    else:
                        counts[placed] += 1
            for definition in _comparing(read_records(into)):
                watch(definition.name)
                score_agreement(read_records(into), definition)
        except OSError as error:
            raise unwritable(into, error, _ELSEWHERE) from error
        report = write_report(into, pictures="stale", watch=watch)
    return Merged(report, counts["copied"], counts["same"], counts["further"], conflicts)


def _check_names(folders: Sequence[Path], into: Path) -> None:
    """Raise RequestError where a folder is named twice."""
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() == into.resolve():
            raise RequestError(f"{folder} is to be merged into itself: name it by --into alone")
        if folder.resolve() in seen:
            raise RequestError(f"{folder} is named twice")
        seen.add(folder.resolve())


def _check_same_study(studies: Mapping[Path, StudyRecord]) -> None:
    """Raise RequestError where two studies are defined differently."""
    (first, mine), *others = studies.items()
    for folder, theirs in others:
        for key, value in vars(mine).items():
            if key not in ("source", "notes") and vars(theirs)[key] != value:
                raise RequestError(
                    f"{folder} was written with {key} {vars(theirs)[key]}, {first} with {value}: "
                    "only folders of one study can be merged"
                )


def _check_same_definitions(records: Mapping[Path, Sequence[Record]]) -> None:
    """Raise RequestError where rows or metrics of two folders have one name and differ."""
    rows: dict[tuple[str, str], tuple[Path, Record]] = {}
    metrics: dict[str, tuple[Path, set[str]]] = {}
    for folder, own in records.items():
        for record in own:
            label = record.run.label
            other, first = rows.setdefault((record.run.dataset, label), (folder, record))
            if other != folder and (difference := record.run.differs_from(first.run)):
                raise RequestError(
                    f"{folder}: the runs of {label} differ from those of {other}, which were made "
                    f"with {difference.words}: only runs of one definition share a row"
                )
        names = {name for record in own for name in record.scores}
        for name in names:
            scores = (record.scores[name] for record in own if name in record.scores)
            found = {score.definition.identity for score in scores}
            other, known = metrics.setdefault(name, (folder, found))
            if found != known:
                raise RequestError(
                    f"{folder} and {other} have scores of {name} by different definitions: score "
                    "one of them again by bench evaluate, and merge then"
                )


def _comparing(records: Sequence[Record]) -> list[Definition]:
    """The metrics that compare runs, of which there are scores."""
    found = (
        score.definition
        for record in records
        for name, score in record.scores.items()
        if name in STUDY_METRICS
    )
    return list({definition.identity: definition for definition in found}.values())


def _place(record: Record, into: Path) -> str | Conflict:
    """Put a run where it belongs; how it went: `copied`, `same`, `further`, or a conflict."""
    target = into / "runs" / record.folder.name
    if not target.exists():
        copy_folder(record.folder, target, into / ".copy")
        return "copied"
    there = read_record(target)
    if record.status.state in FINISHED and there.status.state in FINISHED:
        if difference := _difference(there, record):
            return _put_aside(record, target, into, difference)
        _complete(there, record)
        return "same"
    if _far(record) > _far(there):
        copy_folder(record.folder, target, into / ".copy")
    return "same" if _far(record) == _far(there) else "further"


def _far(record: Record) -> tuple[int, int]:
    """How far a run has come, to compare."""
    state = record.status.state
    return (2 if state in FINISHED else 0 if state == "pending" else 1), record.status.step


def _difference(first: Record, second: Record) -> str:
    """The first result in which two records of a run differ; empty if they agree in all."""
    if first.status.state != second.status.state:
        return f"status {first.status.state} / {second.status.state}"
    mine, theirs = (_results(record) for record in (first, second))
    for key, value in mine.items():
        if key in theirs and theirs[key] != value:
            return f"{key} {value} / {theirs[key]}"
    return ""


def _results(record: Record) -> dict[str, Any]:
    """The numbers of a run; those that depend on the other runs of a folder are left out."""
    results: dict[str, Any] = {}
    if record.evaluation is not None:
        values = record.evaluation.as_dict()
        results |= {key: value for key, value in values.items() if key != "undefined"}
    for name, score in record.scores.items():
        if name not in STUDY_METRICS:
            results[name] = score.value
            results |= {f"{name}.{part}": value for part, value in score.parts.items()}
    return results


def _complete(there: Record, record: Record) -> None:
    """Add to a run what only another record of the same results has: files and scores."""
    for path in sorted(record.folder.iterdir()):
        copy = there.folder / path.name
        if path.is_file() and not path.name.startswith(".") and not copy.exists():
            write_bytes(copy, path.read_bytes())
    if missing := {k: v for k, v in record.scores.items() if k not in there.scores}:
        write_scores(there.folder, {**there.scores, **missing})


def _put_aside(record: Record, target: Path, into: Path, difference: str) -> Conflict:
    """Keep a record that differs from the one in the tables."""
    text = json.dumps([record.status.state, _results(record)], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    aside = into / CONFLICTS / f"{target.name}-{digest}"
    if not aside.exists():
        copy_folder(record.folder, aside, into / ".copy")
    return Conflict(record.run.title, difference, target, aside)
