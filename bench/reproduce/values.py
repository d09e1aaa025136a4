"""What was obtained for the rows of a published table: a function of records.

The key of a number is a metric (`mig`), a part of it (`discrete_accuracy.one_to_one`), a detail
by factor (`discrete_accuracy/nmi`), or of a run's evaluation `reconstruction`, `kl_total`,
`kl_continuous`, `kl_categorical` or `active_latents`. With `:standard` behind it, it is by our
standard protocol where the row would take the paper's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.report.statistics import Summary, summarise
from bench.reproduce.published import Row, Table
from bench.store.files import read_json
from bench.store.record import Record, read_records
from bench.store.study import STUDY

PAPER = "paper.json"  # in a run's folder: its scores by the paper's protocol
RECORDS = "records"  # folder of what was not trained, a file a part

STANDARD = ":standard"


@dataclass(frozen=True)
class Outcome:
    """What one run, or one draw of simulated codes, gave.

    share: of the full budget; paper: scores by the paper's protocol, of those metrics for which
    it differs from the standard one.
    """

    run: str
    settings: Mapping[str, Any]
    state: str
    share: float
    evaluation: Mapping[str, Any]
    standard: Mapping[str, Any]
    paper: Mapping[str, Any]

    @property
    def scored(self) -> bool:
        return self.state in ("done", "collapsed")


@dataclass(frozen=True)
class Obtained:
    """The numbers of a row: by the paper's protocol of all runs and of those that have not
    collapsed, and by the standard protocol; `states` of all its runs; share: of the full budget.
    """

    every: Summary | None
    sound: Summary | None
    standard: Summary | None
    states: Mapping[str, int]
    share: float

    def compared(self, row: Row) -> Summary | None:
        """What stands against the published number."""
        return self.sound if row.without_collapsed else self.every


def outcomes(folder: Path, table: Table) -> dict[str, list[Outcome]]:
    """What the records of a reproduction's folder hold, by part. Raises RequestError."""
    return {
        part.name: _trained(folder / part.name, part.steps)
        if part.steps
        else _untrained(folder / RECORDS / f"{file_name(part.name)}.json", part.models)
        for part in table.parts
    }


def obtained(row: Row, found: Mapping[str, Sequence[Outcome]]) -> Obtained:
    """What the outcomes hold for one row."""
    runs = [
        outcome
        for outcome in found.get(row.part, ())
        if outcome.run == row.run
        and all(outcome.settings.get(key) == value for key, value in row.where.items())
    ]
    scored = [outcome for outcome in runs if outcome.scored]
    sound = [outcome for outcome in scored if outcome.state == "done"]
    standard = row.metric.removesuffix(STANDARD) + STANDARD
    return Obtained(
        every=_summary(scored, row.metric),
        sound=_summary(sound, row.metric),
        standard=_summary(scored, standard),
        states=Counter(outcome.state for outcome in runs),
        share=min((outcome.share for outcome in runs), default=1.0),
    )


def value_of(outcome: Outcome, key: str) -> float | None:
    """The number of a key, see above; None where there is none."""
    measured = outcome.evaluation
    if key in ("reconstruction", "kl_total", "active_latents"):
        return measured.get(key)
    if key in ("kl_continuous", "kl_categorical"):
        if measured.get("kl") is None:
            return None
        first = measured["continuous"]
        return float(sum(measured["kl"][:first] if key.endswith("us") else measured["kl"][first:]))
    plain = key.removesuffix(STANDARD)
    name = plain.partition(".")[0].partition("/")[0]
    scores = outcome.standard if key != plain else {**outcome.standard, **outcome.paper}
    if name not in scores:
        return None
    score = scores[name]
    if "/" in plain:
        detail = plain.partition("/")[2]
        return float(np.mean([entry[detail] for entry in score["details"]["factors"].values()]))
    part = plain.partition(".")[2]
    value: float | None = score["parts"].get(part) if part else score["value"]
    return value


def file_name(part: str) -> str:
    """A part's name as that of a file."""
    return part.replace(", ", "-").replace(" ", "-")


def _summary(runs: Sequence[Outcome], key: str) -> Summary | None:
    values = [value_of(outcome, key) for outcome in runs]
    return summarise([value for value in values if value is not None])


def _trained(folder: Path, full: int) -> list[Outcome]:
    if not (folder / STUDY).is_file():
        return []
    return [_of_record(record, full) for record in read_records(folder)]


def _of_record(record: Record, full: int) -> Outcome:
    path = record.folder / PAPER
    try:
        paper = read_json(path)["scores"] if path.exists() else {}
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read ({error}): remove it and run again") from error
    return Outcome(
        run=record.run.model,
        settings=record.run.settings,
        state=record.status.state,
        share=record.run.steps / full,
        evaluation=record.evaluation,
        standard=record.scores,
        paper=paper,
    )


def _untrained(path: Path, run: str) -> list[Outcome]:
    if not path.is_file():
        return []
    try:
        return [
            Outcome(
                run=run,
                settings={},
                state="done",
                share=1.0,
                evaluation=draw["evaluation"] or {},
                standard=draw["standard"],
                paper=draw["paper"],
            )
            for draw in read_json(path)["draws"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} cannot be read ({error}): remove it and run again") from error
