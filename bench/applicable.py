"""Definitions of metrics -> those that are defined on a data set, before anything is trained."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bench.datasets import FactorData
from bench.datasets.factors import MISSING
from bench.errors import RequestError
from bench.metrics import STUDY_METRICS, Representation, Score
from bench.score import called, options_of
from bench.store.record import Definition

_TRIAL = 500  # rows of random codes on which a metric is tried


def applicable(
    definitions: Iterable[Definition], metrics: Mapping[str, Callable[..., Score]], data: FactorData
) -> tuple[list[Definition], dict[str, str]]:
    """The metrics that are defined on a data set, and why the others are not.

    Each of the `metrics` is tried on a few random codes. If it refuses them with its default
    options, the data does not suit it. Factors have only a few of their classes here, as predictors
    of many classes are slow.

    Raises:
        RequestError: a metric refuses only the options that it was given.
    """
    rng = np.random.default_rng(0)
    rows = rng.integers(data.training, size=min(_TRIAL, data.training))
    trial = _trial(data, rows, rng)
    unseen = np.flatnonzero(data.unseen(np.arange(data.training)))[:_TRIAL]
    if len(unseen):
        further = _trial(data, unseen, np.random.default_rng(1))
        trial = replace(trial, unseen=data.unseen(rows), further=further)
    suitable, refused = [], {}
    for definition in definitions:
        name, metric = definition.name, metrics[definition.name]
        if name in STUDY_METRICS:
            suitable.append(definition)
            continue
        reason = _refusal(name, metric, trial, rng)
        if reason is not None:
            # without factors, whatever a metric says is about those that it needs
            refused[name] = reason if data.factors else "needs factors, the data have none"
            continue
        if definition.options == {k: p.default for k, p in options_of(name, metric).items()}:
            suitable.append(definition)
            continue
        try:
            reason = _refusal(name, metric, trial, rng, **definition.options)
            if reason is not None:
                raise RequestError(f"{name}: {reason}")
        except MemoryError as error:
            options = ", ".join(f"{k}={v}" for k, v in definition.options.items())
            raise RequestError(f"{name}: not enough memory for {options}") from error
        suitable.append(definition)
    return suitable, refused


def _trial(data: FactorData, rows: np.ndarray, rng: np.random.Generator) -> Representation:
    """Random codes of some rows, with a few classes of each factor."""
    few = 3
    classes = data.values(rows)
    return Representation(
        codes=rng.normal(size=(len(rows), 2)),
        categories=np.zeros((len(rows), 0), dtype=np.int64),
        factors=np.where(classes == MISSING, MISSING, classes % few),
        category_sizes=(),
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(min(few, factor.size) for factor in data.factors),
        values=data.numbers(rows) if any(f.kind == "continuous" for f in data.factors) else None,
        # every model has a posterior: here one much narrower than the codes vary
        logvar=np.full((len(rows), 2), -2.0),
    )


# What metrics have said of the codes and factors that they were tried on. The data sets of a study
# often have the same factors, and exact DCI takes a second to try.
_REFUSALS: dict[tuple[Any, ...], tuple[Any, str | None]] = {}  # with the metric, for its id


def _refusal(
    name: str, metric: Any, trial: Representation, rng: np.random.Generator, **options: Any
) -> str | None:
    """Why a metric is undefined for a representation; None if it is not. Raises as `called`."""
    further = None if trial.further is None else trial.further.factors
    given = (trial.codes, trial.factors, trial.values, trial.unseen, further)
    arrays = [array for array in given if array is not None]
    factors = (trial.factor_names, trial.factor_kinds, trial.factor_sizes)
    key = (id(metric), repr(options), factors, *(array.tobytes() for array in arrays))
    if key not in _REFUSALS:
        try:
            called(name, metric, trial, rng, **options)
            _REFUSALS[key] = metric, None
        except ValueError as error:
            _REFUSALS[key] = metric, str(error)
    return _REFUSALS[key][1]
