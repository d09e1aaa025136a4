"""Representation -> scores: which metrics, by which definition, and what they gave."""

import contextlib
import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy

from bench.datasets import FactorData
from bench.datasets.factors import MISSING
from bench.errors import RequestError
from bench.metrics import METRICS, STUDY_METRICS, VERSIONS, Representation, Score
from bench.metrics.calling import refuse_vectors, takes_vectors
from bench.metrics.inputs import posterior_kl
from bench.metrics.vectors import summed
from bench.registry import digest, package, resolve
from bench.settings import Assignment, Parameter, converted, is_plain, parameters
from bench.store.files import plain
from bench.store.record import (
    ACTIVE,
    Definition,
    Evaluation,
    Part,
    ScoreRecord,
)
from bench.streams import numpy_stream

# what a comparison shows unless other metrics are named
DEFAULT = ("mig", "factorvae_score", "discrete_accuracy", "dci_fast")

# what is shown besides, for data without factors; all that need none
UNLABELLED = ("active_units", "total_correlation", "kl_decomposition", "udr")

# what is shown besides, for data of which combinations are held out of training; all that need it
UNSEEN = ("generalisation_linear", "generalisation_boosted")

# many seconds of a core, or minutes of all; every other metric takes seconds
SLOW = ("dci", "few_labels_linear", "few_labels_boosted", "dci_es")

# scored while a model trains: a few tenths of a second on `TRIED` rows of ten latents
QUICK = tuple(
    name
    for name in METRICS
    if name not in ("dci", "dci_fast", "betavae_score", "infomec", "generalisation_boosted")
)
TRIED = 2_000  # rows that are scored while a model trains
_TRIAL = 500  # rows of random codes on which a metric is tried before anything is trained

SPREAD = 0.01  # of the largest standard deviation, from which a deterministic latent is active
COLLAPSED = 0.99  # of the mean image's error: above, the decoder uses no code
CLEARLY = 0.05  # of the mean image's error: its noise over an interval is below that

_METRIC = "metric(representation, rng, *, options) -> bench.metrics.Score"

_LIBRARIES = ("numpy", "scipy", "scikit-learn")


# --- which metrics, by which definition


def metric_names(texts: str | None, default: Iterable[str] = DEFAULT) -> list[str]:
    """Names in a comma-separated list, where `all` stands for every registered metric.

    Without a list they are the default ones.
    """
    names = list(default)
    if texts is not None:
        listed = [name.strip() for name in texts.split(",") if name.strip()]
        every = [*METRICS, *STUDY_METRICS]
        names = [name for entry in listed for name in (every if entry == "all" else [entry])]
    if not names:
        raise RequestError(f"no metric named: choose from {', '.join(METRICS)}, or all")
    return list(dict.fromkeys(names))


def evaluated_names(texts: str | None) -> list[str]:
    """The same for `bench evaluate`, whose default is all metrics but the slow ones."""
    return metric_names(texts, [name for name in METRICS if name not in SLOW])


def usual(definitions: Iterable[Definition], representation: Representation) -> list[Definition]:
    """Of the default metrics those that are for such a representation: unseen rows are rare."""
    unseen = representation.unseen is not None or representation.further is not None
    return [d for d in definitions if unseen or d.name not in UNSEEN]


def definition(
    name: str,
    assignments: Iterable[Assignment] = (),
    metric: Callable[..., Score] | None = None,
) -> Definition:
    """The present definition of a metric, with the options that are assigned to it.

    Args:
        name: of the metric.
        assignments: options; those of other owners are passed over.
        metric: what the name means, if that is known already.

    Raises:
        RequestError: an option is unknown or wrong, or the name means nothing that can be called.
    """
    metric = resolve("metric", name) if metric is None else metric
    known = _options(name, metric)
    options = {key: parameter.default for key, parameter in known.items()}
    options |= {a.key: converted(a, known) for a in assignments if a.owner == name}
    code, origin = digest(name, metric, "metric"), package(name, metric, "metric")
    return Definition(name, VERSIONS.get(name, 1), options, code=code, package=origin)


def _options(name: str, metric: Any) -> dict[str, Parameter]:
    """The options of a metric that a record can hold; any other keeps its default."""
    if not callable(metric):
        raise RequestError(f"{name} is of type {type(metric).__name__}: name a function, {_METRIC}")
    try:
        known = parameters(metric)
    except Exception as error:  # annotations that cannot be read raise whatever they do
        raise RequestError(f"{name}: its signature cannot be read ({_in_words(error)})") from error
    return {key: option for key, option in known.items() if is_plain(option.default)}


def of_one_run(definitions: Iterable[Definition]) -> tuple[Definition, ...]:
    """Without the metrics that compare runs."""
    return tuple(d for d in definitions if d.name not in STUDY_METRICS)


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
        if definition.options == {k: p.default for k, p in _options(name, metric).items()}:
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
    """Why a metric is undefined for a representation; None if it is not. Raises as `_called`."""
    further = None if trial.further is None else trial.further.factors
    given = (trial.codes, trial.factors, trial.values, trial.unseen, further)
    arrays = [array for array in given if array is not None]
    factors = (trial.factor_names, trial.factor_kinds, trial.factor_sizes)
    key = (id(metric), repr(options), factors, *(array.tobytes() for array in arrays))
    if key not in _REFUSALS:
        try:
            _called(name, metric, trial, rng, **options)
            _REFUSALS[key] = metric, None
        except ValueError as error:
            _REFUSALS[key] = metric, str(error)
    return _REFUSALS[key][1]


class MetricError(RequestError):
    """A metric has raised something else than the ValueError of one that is undefined."""


def _called(name: str, metric: Any, *arguments: Any, **options: Any) -> Score:
    """What a metric returns.

    Raises:
        ValueError: the metric is undefined.
        MemoryError: there is too little memory.
        MetricError: it raises anything else, or returns no score; the message names the metric.
    """
    try:
        result = metric(*arguments, **options)
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever it raises, its authors mend it
        raise MetricError(f"{name} raises {_in_words(error)}: try bench check {name}") from error
    if not isinstance(result, Score):
        raise MetricError(f"{name} returns {type(result).__name__}, no Score: name {_METRIC}")
    return result


def _in_words(error: Exception) -> str:
    """Type and message of an exception, in one line."""
    words = " ".join(str(error).split())
    words = words if len(words) <= 200 else f"{words[:200]}..."
    return f"{type(error).__name__}: {words}".removesuffix(": ")


# --- the scores of one representation


def score(
    representation: Representation, definition: Definition, seed: int, resamples: int = 0
) -> ScoreRecord:
    """One metric by its definition. Each metric draws from a stream of its own.

    Args:
        representation: what is scored.
        definition: of the metric; the libraries' versions are added to it.
        seed: of the metric's random draws.
        resamples: random halves of the rows, for standard errors; 0 for none.

    Raises:
        ValueError: the metric is undefined for the representation.
        MetricError: it raises anything else, or returns no score.
    """
    name = definition.name
    metric: Callable[..., Score] = resolve("metric", name)
    if definition.reduce:
        representation = representation.reduced(definition.reduce)
    if not takes_vectors(metric):  # one without our decorator would take columns for latents
        refuse_vectors(name, representation)

    def once(rows: Representation, stream: str) -> Score:
        return _called(name, metric, rows, numpy_stream(seed, stream), **definition.options)

    started = time.perf_counter()
    result = once(representation, name)
    errors = {}
    if resamples:
        errors = standard_errors(
            representation,
            result,
            lambda rows, k: once(rows, f"{name} of resample {k}"),
            numpy_stream(seed, f"resamples of {name}"),
            resamples,
        )
    entry = ScoreRecord(
        value=result.value,
        parts=dict(result.parts),
        definition=replace(definition, libraries=versions(_LIBRARIES)),
        details=dict(result.details),
        seconds=round(time.perf_counter() - started, 3),
        warnings=tuple(result.warnings),
        standard_errors=errors,
        resamples=resamples,
    )
    try:
        json.dumps(entry.as_dict(), default=plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{name} returns a score that no record can hold ({_in_words(error)}): use numbers, "
            "texts, lists and arrays, and None for NaN"
        ) from error
    return entry


def quick_scores(
    representation: Representation,
    definitions: Iterable[Definition],
    seed: int,
    *,
    reconstruction: float | None = None,
) -> dict[str, float]:
    """The values of the definitions that are in `QUICK`, then what `evaluate` says, by name.

    What is undefined or not finite is left out.

    Args:
        representation: what is scored.
        definitions: of metrics, quick or not.
        seed: of the metrics' random draws.
        reconstruction: the decoder's error, in nats per image.
    """
    numbers: dict[str, float] = {}
    for definition in definitions:
        if definition.name in QUICK:
            # what is wrong with a metric, the scores of the finished run say
            with contextlib.suppress(ValueError, MetricError):
                numbers[definition.name] = score(representation, definition, seed).value
    evaluation = evaluate(representation, reconstruction=reconstruction)
    for name in ("reconstruction", "kl_total", "active_latents"):
        number = getattr(evaluation, name)
        if number is not None:
            numbers[name] = number
    return {name: float(number) for name, number in numbers.items() if math.isfinite(number)}


def standard_errors(
    representation: Representation,
    whole: Score,
    metric: Callable[[Representation, int], Score],
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, float]:
    """Standard error of the value ("value") and of each part over the choice of rows.

    Each resample is a random half of the rows that the score uses, without replacement, so that no
    row is its own copy (delete-d jackknife, Shao & Wu 1989, Annals of Statistics 17). The
    deviation over subsets of m of N rows estimates sqrt(1/m - 1/N) of a score's own, and what is
    wanted is sqrt(1/n) for its n rows. The chance of the metric's own draws is included.

    Raises:
        ValueError: there are fewer than 2 resamples or 4 rows, or a half is too small.
    """
    total = len(representation)
    used = total if whole.rows_used is None else min(total, whole.rows_used)
    half = used // 2
    if resamples < 2 or half < 2:
        raise ValueError(f"{resamples} resamples of {used} rows: give at least 2 of 4 rows")
    values = []
    for k in range(resamples):
        rows = representation.take(rng.choice(total, size=half, replace=False))
        for name in ("test", "further"):
            side = getattr(representation, name)
            if side is not None:
                some = rng.choice(len(side), size=max(1, len(side) // 2), replace=False)
                rows = replace(rows, **{name: side.take(some)})
        score = metric(rows, k)
        values.append({"value": score.value, **score.parts})
    factor = math.sqrt((1 / used) / (1 / half - 1 / total))
    return {
        name: factor * float(np.std([entry[name] for entry in values], ddof=1))
        for name in values[0]
    }


# --- which latents are in use


def evaluate(
    r: Representation,
    *,
    reconstruction: float | None = None,
    mean_image_reconstruction: float | None = None,
    held_out_reconstruction: float | None = None,
    seen_reconstruction: float | None = None,
    seen_mean_image_reconstruction: float | None = None,
    unseen_reconstruction: float | None = None,
) -> Evaluation:
    """What a representation tells of the model behind it: which latents it uses, and how much.

    A latent is active from a mean KL of 0.1 nats on; without a posterior, from a spread of 1 % of
    the largest one on. Where some rows are unseen, the others tell whether the decoder does better
    than the mean image.

    Args:
        r: the representation; with a `test`, that of held-out rows.
        reconstruction: the decoder's error, in nats per image; None without a decoder.
        mean_image_reconstruction: error of the best constant image for the same images.
        held_out_reconstruction: the decoder's error on held-out rows.
        seen_reconstruction: of a representation with unseen rows, the error on the others.
        seen_mean_image_reconstruction: error of the best constant image for these.
        unseen_reconstruction: the error on the unseen ones.
    """
    entropies = [
        scipy.special.entr(np.bincount(column, minlength=size) / len(column)).sum()
        for column, size in zip(r.categories.T, r.category_sizes, strict=True)
    ]
    deviations = r.codes.std(0, dtype=np.float64)
    if r.groups is not None:
        deviations = np.sqrt(summed(deviations**2, r.groups))
    spread = np.concatenate([deviations, np.array(entropies)])
    active = spread > SPREAD * spread.max(initial=0.0) if r.kl is None else r.kl >= ACTIVE
    held_out = None
    if r.test is not None:
        kl = r.test.kl
        held_out = Part(
            held_out_reconstruction, None if kl is None else float(kl.sum()), len(r.test)
        )
    seen, unseen = _seen_and_unseen(r, seen_reconstruction, unseen_reconstruction)
    errors = reconstruction, mean_image_reconstruction
    if unseen is not None:
        errors = seen_reconstruction, seen_mean_image_reconstruction
    return Evaluation(
        reconstruction=reconstruction,
        mean_image_reconstruction=mean_image_reconstruction,
        kl=None if r.kl is None else tuple(r.kl.tolist()),
        kl_total=None if r.kl is None else float(r.kl.sum()),
        continuous=len(r.widths),
        spread=tuple(spread.tolist()),
        active=tuple(active.tolist()),
        active_latents=int(active.sum()),
        rows=len(r),
        collapsed=bool(not active.any() or _blind(*errors)),
        held_out=held_out,
        seen=seen,
        unseen=unseen,
    )


def _seen_and_unseen(
    r: Representation, seen_reconstruction: float | None, unseen_reconstruction: float | None
) -> tuple[Part | None, Part | None]:
    """The evaluation on seen and on unseen rows; None for both if no row is unseen."""
    mask = np.zeros(len(r), dtype=bool) if r.unseen is None else r.unseen
    seen, unseen = ([r.take(np.flatnonzero(rows))] if rows.any() else [] for rows in (~mask, mask))
    if r.further is not None:
        unseen.append(r.further)
    if not unseen:
        return None, None
    return _part(seen_reconstruction, seen), _part(unseen_reconstruction, unseen)


def _part(reconstruction: float | None, sides: Sequence[Representation]) -> Part | None:
    """The evaluation on the rows of some representations; None if there are none."""
    if not sides:
        return None
    total, rows = 0.0, sum(map(len, sides))
    for side in sides:
        kl = posterior_kl(
            side.codes, side.logvar, side.probabilities, side.category_sizes, side.groups
        )
        if kl is None:
            return Part(reconstruction, None, rows)
        total += float(kl.sum()) * len(side)
    return Part(reconstruction, total / rows, rows)


def _blind(error: float | None, of_mean_image: float | None) -> bool:
    """Whether a decoder does no better than the mean image."""
    if error is None or of_mean_image is None:
        return False
    return error > of_mean_image - (1 - COLLAPSED) * abs(of_mean_image)


def collapsed_from(
    history: Sequence[Mapping[str, float]], mean_image_reconstruction: float | None
) -> int | None:
    """The first step from which a collapsed training never used its codes again.

    Codes are in use where the mean reconstruction of an interval is clearly below that of the mean
    image and the KL is that of an active latent. None where the history does not tell, or where
    they were in use to its end.
    """
    constant = mean_image_reconstruction
    if constant is None or not history or "reconstruction" not in history[0]:
        return None
    since = 1
    for row in history:
        kl = [row[name] for name in ("kl_continuous", "kl_categorical") if name in row]
        better = row["reconstruction"] < constant - CLEARLY * abs(constant)
        if better and (not kl or sum(kl) >= ACTIVE):
            since = int(row["step"]) + 1
    return None if since > history[-1]["step"] else since


@functools.cache  # as it reads files of the packages
def versions(libraries: tuple[str, ...]) -> Mapping[str, str]:
    """The versions of some libraries that are installed."""
    return {name: version(name) for name in libraries}
