"""What was obtained for the rows of a published table: a function of records."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.epochs import OF_LATENT
from bench.report.columns import bounds_of, title_of
from bench.report.statistics import Summary, summarise
from bench.reproduce.files import has_released, read_paper_scores, read_released
from bench.reproduce.published import EVALUATED, STANDARD, Part, Row, Table, metric_of
from bench.store.record import (
    ACTIVE,
    EPOCHS,
    SCORE_HISTORY,
    Evaluation,
    Record,
    ScoreRecord,
    read_history,
    read_records,
)
from bench.store.study import is_study


@dataclass(frozen=True)
class RunResult:
    """What one run gave, or released weights on one draw of images.

    Attributes:
        run: the model.
        settings: of the model.
        seed: of the run; None for released weights.
        chosen: whether the seed leaves a gap to those before it, so that it was chosen for what it
            gives: it is shown, and no part of any mean.
        epochs: means over the epochs of the training, by epoch.
        steps: values of metrics while it trained, by step.
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
    seed: int | None = None
    chosen: bool = False
    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    steps: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

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
        share: the smallest share of the full budget; an epoch has its own whatever comes after.
        chosen: by the paper's protocol, of runs with a chosen seed, by seed; they are counted in
            `states` and in nothing else.
    """

    every: Summary | None
    sound: Summary | None
    standard: Summary | None
    states: Mapping[str, int]
    share: float
    chosen: Mapping[int, float] = field(default_factory=dict)

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
    if row.epoch or row.step:  # a finished run without this moment says nothing of it
        own = [result for result in own if not result.scored or _value(result, row) is not None]
    counted = [result for result in own if not result.chosen]
    scored = [result for result in counted if result.scored]
    sound = [result for result in scored if result.state == "done"]
    standard = row.metric.removesuffix(STANDARD) + STANDARD
    return Obtained(
        every=_summary(scored, row),
        sound=_summary(sound, row),
        standard=None if row.epoch or row.step else _summary(scored, replace(row, metric=standard)),
        states=Counter(result.state for result in own),
        share=1.0 if row.epoch else min((result.share for result in own), default=1.0),
        chosen={
            result.seed: value
            for result in own
            if result.chosen and result.scored and result.seed is not None
            and (value := _value(result, row)) is not None
        },
    )  # fmt: skip


def value_of(result: RunResult, key: str) -> float | None:
    """The number of a key, see `Row`, at the end of a run; None where there is none."""
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


def value_of_record(record: Record, key: str) -> float | None:
    """The number of a key by the definitions of a run's own scores; None where there is none."""
    result = RunResult(record.run.model, record.status.state, record.evaluation, record.scores, {})
    return value_of(result, key)


def metric_in_words(key: str) -> str:
    """The key of a number in words."""
    plain = key.removesuffix(STANDARD)
    if plain.endswith("/nmi"):
        return "Normalised mutual information"
    return EVALUATED.get(plain) or title_of(plain)


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


def _value(result: RunResult, row: Row) -> float | None:
    """What a run gave for a row: over its epoch, after its step, or at the end."""
    if row.epoch:
        return result.epochs.get(row.epoch, {}).get(row.metric)
    if row.step:
        return result.steps.get(row.step, {}).get(row.metric)
    return value_of(result, row.metric)


def _summary(results: Sequence[RunResult], row: Row) -> Summary | None:
    values = [_value(result, row) for result in results]
    bounds = None if row.epoch else bounds_of(row.metric.removesuffix(STANDARD))
    return summarise([value for value in values if value is not None], bounds)


def _trained(folder: Path, part: Part) -> list[RunResult]:
    study = folder / part.name
    if not is_study(study):
        return []
    records = read_records(study)
    in_order = _in_order({record.run.seed for record in records})
    return [_of_record(record, part, record.run.seed not in in_order) for record in records]


def _in_order(seeds: Collection[int]) -> set[int]:
    """The seeds from the lowest on without a gap: who takes them in order chooses none."""
    run = set()
    seed = min(seeds, default=0)
    while seed in seeds:
        run.add(seed)
        seed += 1
    return run


def _of_record(record: Record, part: Part, chosen: bool) -> RunResult:
    paper = read_paper_scores(record.folder)
    return RunResult(
        run=record.run.model,
        state=record.status.state,
        evaluation=record.evaluation,
        standard=record.scores,
        paper={} if paper is None else paper.scores,
        settings=record.run.settings,
        share=record.run.steps / part.steps,
        seed=record.run.seed,
        chosen=chosen,
        epochs={} if part.epochs is None else _epochs(record.folder),
        steps=_steps(record.folder),
    )


def _epochs(folder: Path) -> dict[int, dict[str, float]]:
    """The means over each epoch of a training, with the KL of all latents and how many are active.

    Raises:
        RequestError: they cannot be read.
    """
    means = {}
    for row in read_history(folder, EPOCHS).to_dict("records"):
        numbers = {str(key): float(value) for key, value in row.items()}
        kl = [
            value
            for key, value in numbers.items()
            if key.startswith(OF_LATENT) and key.removeprefix(OF_LATENT).isdecimal()
        ]
        active = float(sum(value >= ACTIVE for value in kl))
        means[int(numbers["epoch"])] = numbers | {"kl_total": sum(kl), "active_latents": active}
    return means


def _steps(folder: Path) -> dict[int, dict[str, float]]:
    """The scores while a model trained, by step. What is undefined at a step is left out.

    Raises:
        RequestError: they cannot be read.
    """
    return {
        int(row["step"]): {
            str(key): float(value)
            for key, value in row.items()
            if key != "step" and np.isfinite(value)
        }
        for row in read_history(folder, SCORE_HISTORY).to_dict("records")
    }


def _released(folder: Path, part: Part) -> list[RunResult]:
    if not has_released(folder, part.name):
        return []
    return [
        RunResult(part.models, "done", draw.evaluation, draw.standard, draw.paper)
        for draw in read_released(folder, part.name).draws
    ]
