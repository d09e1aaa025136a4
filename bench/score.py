"""Scoring a representation: which metrics, by which definition, and what they gave."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.datasets import FactorData
from bench.errors import RequestError
from bench.metrics import METRICS, STUDY_METRICS, VERSIONS, Representation, Score
from bench.registry import resolve
from bench.settings import Assignment, converted, parameters
from bench.streams import numpy_stream

# what a comparison shows unless it is asked for more
DEFAULT = ("mig", "factorvae_score", "discrete_accuracy", "dci_fast")

# minutes of all cores; every other metric takes seconds
SLOW = ("dci",)

_LIBRARIES = ("numpy", "scipy", "scikit-learn")


def definition(name: str, given: Iterable[Assignment] = ()) -> dict[str, Any]:
    """What a score is: the metric's name, version and all of its options.

    Of the assignments those of other owners are passed over. Raises RequestError.
    """
    known = parameters(resolve("metric", name))
    options = {key: parameter.default for key, parameter in known.items()}
    options |= {a.key: converted(a, known) for a in given if a.owner == name}
    return {"name": name, "version": VERSIONS.get(name, 1), "options": options}


def score(
    representation: Representation,
    asked: Mapping[str, Any],
    seed: int,
    resamples: int = 0,
) -> dict[str, Any]:
    """One metric by its definition, as scores.json holds it: value, parts, details, definition
    with library versions, seconds, and where there are any warnings and standard errors.

    Each metric draws from a stream of its own. Raises ValueError where it is undefined.
    """
    metric: Callable[..., Score] = resolve("metric", asked["name"])

    def once(rows: Representation, stream: str) -> Score:
        return metric(rows, numpy_stream(seed, stream), **asked["options"])

    started = time.perf_counter()
    result = once(representation, asked["name"])
    errors = {}
    if resamples:
        errors = standard_errors(
            representation,
            result,
            lambda rows, k: once(rows, f"{asked['name']} of resample {k}"),
            numpy_stream(seed, f"resamples of {asked['name']}"),
            resamples,
        )
    return {
        "value": result.value,
        "parts": dict(result.parts),
        "definition": {**asked, "libraries": {name: version(name) for name in _LIBRARIES}},
        "seconds": round(time.perf_counter() - started, 3),
        "details": dict(result.details),
        **({"warnings": list(result.warnings)} if result.warnings else {}),
        **({"standard_errors": errors, "resamples": resamples} if resamples else {}),
    }


def standard_errors(
    representation: Representation,
    whole: Score,
    metric: Callable[[Representation, int], Score],
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, float]:
    """Standard error of the value ("value") and of each part over the choice of rows.

    Random subsets of half as many rows as the score stands on, without replacement, so that no
    row is its own copy (delete-d jackknife, Shao & Wu 1989, Annals of Statistics 17): the
    deviation of m of N rows shows sqrt(1/m - 1/N) of a score's, wanted is sqrt(1/n) for its n rows.
    The chance of the metric's own draws is in it. Raises ValueError where a half is too small.
    """
    total = len(representation)
    used = min(total, _rows_used(representation, whole))
    half = used // 2
    if resamples < 2 or half < 2:
        raise ValueError(f"{resamples} resamples of {used} rows: give at least 2 of 4 rows")
    held_out = representation.test
    values = []
    for k in range(resamples):
        rows = representation.take(rng.choice(total, size=half, replace=False))
        if held_out is not None:
            some = rng.choice(len(held_out), size=max(1, len(held_out) // 2), replace=False)
            rows = replace(rows, test=held_out.take(some))
        score = metric(rows, k)
        values.append({"value": score.value, **score.parts})
    factor = math.sqrt((1 / used) / (1 / half - 1 / total))
    return {
        name: factor * float(np.std([each[name] for each in values], ddof=1)) for name in values[0]
    }


def _rows_used(representation: Representation, score: Score) -> int:
    """How many of the rows, those held out aside, a score stands on."""
    details = score.details
    if "rows_fitted" in details:
        halved = representation.test is None
        return int(details["rows_fitted"] + (details["rows_scored"] if halved else 0))
    return int(details.get("points", len(representation)))


def applicable(
    definitions: Iterable[Mapping[str, Any]], data: FactorData
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The metrics that are defined on a data set, and why the others are not.

    Each is tried on a few random codes. Refusing them with its default options means that the
    data does not suit it; refusing only the options asked for is a RequestError. Factors have a few
    of their classes here, as predictors of many take long.
    """
    rng = np.random.default_rng(0)
    rows = rng.integers(data.training, size=min(500, data.training))
    few = 3
    trial = Representation(
        codes=rng.normal(size=(len(rows), 2)),
        categories=np.zeros((len(rows), 0), dtype=np.int64),
        factors=data.values(rows) % few,
        category_sizes=(),
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(min(few, factor.size) for factor in data.factors),
        # every model has a posterior: here one much narrower than the codes vary
        logvar=np.full((len(rows), 2), -2.0),
    )
    good, refused = [], {}
    for asked in definitions:
        if asked["name"] in STUDY_METRICS:
            good.append(asked)
            continue
        name, metric = asked["name"], resolve("metric", asked["name"])
        try:
            metric(trial, rng)
        except ValueError as error:
            refused[name] = str(error)
            continue
        try:
            metric(trial, rng, **asked["options"])
        except ValueError as error:
            raise RequestError(f"{name}: {error}") from error
        good.append(asked)
    return good, refused


def metric_names(texts: str | None, default: Iterable[str] = DEFAULT) -> list[str]:
    """Names of a comma-separated list, where `all` is every registered one; without a list the
    default ones. Raises RequestError.
    """
    names = list(default)
    if texts is not None:
        given = [name.strip() for name in texts.split(",") if name.strip()]
        every = [*METRICS, *STUDY_METRICS]
        names = [name for g in given for name in (every if g == "all" else [g])]
    if not names:
        raise RequestError(f"no metric named: choose from {', '.join(METRICS)}, or all")
    for name in names:
        resolve("metric", name)
    return list(dict.fromkeys(names))


def evaluated_names(texts: str | None) -> list[str]:
    """Likewise for `bench evaluate`, whose default is all but the slow ones."""
    return metric_names(texts, [name for name in METRICS if name not in SLOW])
