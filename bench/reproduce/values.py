"""What was obtained for the rows of a published table: a function of records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.columns import bounds_of
from bench.report.statistics import Summary, summarise
from bench.reproduce.files import has_released, read_paper_scores, read_released
from bench.reproduce.published import STANDARD, Part, Row, Table, metric_of
from bench.store.record import Evaluation, Record, ScoreRecord, read_records
from bench.store.study import is_study


@dataclass(frozen=True)
class RunResult:
    """What one run gave, or released weights on one draw of images.

    Attributes:
        run: the model.
        settings: of the model.
        state: of the run, as in `Status`.
        share: of the full budget.
        evaluation: None until it is there.
        standard: scores by the standard protocol, by metric.
        paper: scores by the paper's protocol, of those metrics for which the two differ.
    """

    run: str
    state: str
    evaluation: Evaluation | None
    standard: Mapping[str, ScoreRecord]
    paper: Mapping[str, ScoreRecord]
    settings: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0

    @property
    def scored(self) -> bool:
        return self.state in ("done", "collapsed")


@dataclass(frozen=True)
class Obtained:
    """The numbers that stand against a published one.

    Attributes:
        every: by the paper's protocol, over all runs.
        sound: by the paper's protocol, over the runs that have not collapsed.
        standard: by the standard protocol, over all runs.
        states: number of runs in each state.
        share: the smallest share of the full budget.
    """

    every: Summary | None
    sound: Summary | None
    standard: Summary | None
    states: Mapping[str, int]
    share: float

    def compared(self, row: Row) -> Summary | None:
        """What is compared with the published number of a row."""
        return self.sound if row.without_collapsed else self.every


def results_of(folder: Path, table: Table) -> dict[str, list[RunResult]]:
    """What the records in a reproduction's folder hold, by part.

    Raises:
        RequestError: a record cannot be read.
    """
    return {
        part.name: _trained(folder, part) if part.steps else _released(folder, part)
        for part in table.parts
    }


def obtained(row: Row, results: Mapping[str, Sequence[RunResult]]) -> Obtained:
    """What the results, by part, hold for one row."""
    own = [
        result
        for result in results.get(row.part, ())
        if result.run == row.run
        and all(result.settings.get(key) == value for key, value in row.settings.items())
    ]
    scored = [result for result in own if result.scored]
    sound = [result for result in scored if result.state == "done"]
    standard = row.metric.removesuffix(STANDARD) + STANDARD
    return Obtained(
        every=_summary(scored, row.metric),
        sound=_summary(sound, row.metric),
        standard=_summary(scored, standard),
        states=Counter(result.state for result in own),
        share=min((result.share for result in own), default=1.0),
    )


def value_of(result: RunResult, key: str) -> float | None:
    """The number of a key, see `Row`; None where there is none."""
    plain = key.removesuffix(STANDARD)
    scores = result.standard if key != plain else {**result.standard, **result.paper}
    score = scores.get(metric_of(key))
    if score is None:
        return _evaluated(result.evaluation, key)
    if detail := plain.partition("/")[2]:
        factors = score.details["factors"].values()
        return float(np.mean([factor[detail] for factor in factors]))
    part = plain.partition(".")[2]
    return score.parts.get(part) if part else score.value


def _evaluated(evaluation: Evaluation | None, key: str) -> float | None:
    """The number of a key that is not a score."""
    if evaluation is None:
        return None
    if key == "reconstruction":
        return evaluation.reconstruction
    if key == "kl_total":
        return evaluation.kl_total
    if key == "active_latents":
        return evaluation.active_latents
    if evaluation.kl is None:
        return None
    if key == "kl_continuous":
        return float(sum(evaluation.kl[: evaluation.continuous]))
    if key == "kl_categorical":
        return float(sum(evaluation.kl[evaluation.continuous :]))
    return None


def _summary(results: Sequence[RunResult], key: str) -> Summary | None:
    values = [value_of(result, key) for result in results]
    bounds = bounds_of(key.removesuffix(STANDARD))
    return summarise([value for value in values if value is not None], bounds)


def _trained(folder: Path, part: Part) -> list[RunResult]:
    study = folder / part.name
    if not is_study(study):
        return []
    return [_of_record(record, part.steps) for record in read_records(study)]


def _of_record(record: Record, full_steps: int) -> RunResult:
    paper = read_paper_scores(record.folder)
    return RunResult(
        run=record.run.model,
        state=record.status.state,
        evaluation=record.evaluation,
        standard=record.scores,
        paper={} if paper is None else paper.scores,
        settings=record.run.settings,
        share=record.run.steps / full_steps,
    )


def _released(folder: Path, part: Part) -> list[RunResult]:
    if not has_released(folder, part.name):
        return []
    return [
        RunResult(part.models, "done", draw.evaluation, draw.standard, draw.paper)
        for draw in read_released(folder, part.name).draws
    ]
