"""Scoring a representation: which metrics, by which definition, and what they gave."""

import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.datasets import FactorData
from bench.errors import RequestError
from bench.metrics import METRICS, VERSIONS, Representation, Score
from bench.resolve import resolve
from bench.settings import parameters
from bench.streams import numpy_stream

# what a comparison shows unless it is asked for more
DEFAULT = ("mig", "factorvae_score", "discrete_accuracy")

_LIBRARIES = ("numpy", "scipy", "scikit-learn")


def definition(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a score is: the metric's name, version and all of its options."""
    known = {
        key: parameter.default for key, parameter in parameters(resolve("metric", name)).items()
    }
    return {"name": name, "version": VERSIONS.get(name, 1), "options": {**known, **options}}


def score(
    representation: Representation, definitions: Iterable[Mapping[str, Any]], seed: int
) -> dict[str, Any]:
    """Every metric on one representation, as scores.json holds it: by name value, parts, details,
    definition with library versions, and seconds. Each metric draws from a stream of its own.
    """
    libraries = {library: version(library) for library in _LIBRARIES}
    scores = {}
    for asked in definitions:
        metric: Callable[..., Score] = resolve("metric", asked["name"])
        started = time.perf_counter()
        result = metric(representation, numpy_stream(seed, asked["name"]), **asked["options"])
        scores[asked["name"]] = {
            "value": result.value,
            "parts": dict(result.parts),
            "definition": {**asked, "libraries": libraries},
            "seconds": round(time.perf_counter() - started, 3),
            "details": dict(result.details),
        }
    return scores


def applicable(
    definitions: Iterable[Mapping[str, Any]], data: FactorData
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The metrics that are defined on a data set, and why the others are not.

    Each is tried on a few random codes. Refusing them with its default options means that the
    data does not suit it; refusing only the options asked for is a RequestError.
    """
    rng = np.random.default_rng(0)
    rows = rng.integers(len(data), size=min(2_000, len(data)))
    trial = Representation(
        codes=rng.normal(size=(len(rows), 2)),
        categories=np.zeros((len(rows), 0), dtype=np.int64),
        factors=data.values(rows),
        category_sizes=(),
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(factor.size for factor in data.factors),
    )
    good, refused = [], {}
    for asked in definitions:
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


def metric_names(texts: str | None) -> list[str]:
    """Names of a comma-separated list, where `all` is every registered one; without a list the
    default ones. Raises RequestError.
    """
    names = list(DEFAULT)
    if texts is not None:
        given = [name.strip() for name in texts.split(",") if name.strip()]
        names = [name for g in given for name in (METRICS if g == "all" else [g])]
    if not names:
        raise RequestError(f"no metric named: choose from {', '.join(METRICS)}, or all")
    for name in names:
        resolve("metric", name)
    return list(dict.fromkeys(names))
