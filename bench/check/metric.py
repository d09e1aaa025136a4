"""What a metric promises: `bench check` on a function of a representation and a generator."""

import contextlib
import inspect
import json
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.check.cases import CASES, cases
from bench.check.promises import (
    FAILS,
    Caveat,
    Finding,
    Promise,
    PromiseBrokenError,
    in_words,
    is_refusal,
    located,
)
from bench.metrics import Representation, Score
from bench.metrics.arrays import MISSING
from bench.metrics.representation import NonFiniteScoreError
from bench.settings import parameters
from bench.store.files import plain

ROWS = 400
SIZES = (3, 4, 5)
KINDS = ("categorical", "ordinal", "cyclic")
SEEDS = 5  # behind the estimate of a metric's own noise

CASE_ROWS, CASE_TEST_ROWS = 2_000, 1_000  # the conformance table has five times as many
VALUE, UNDEFINED = "value", "none"  # marks of a finding on a case

Arrays = dict[str, Any]
# Arrays that a metric may not expect, made from ordinary ones.
UNUSUAL: dict[str, Callable[[Arrays], Arrays]] = {
    "constant codes": lambda a: a | {"codes": np.full_like(a["codes"], 0.1)},
    "one latent": lambda a: {
        "factors": a["factors"],
        "codes": a["codes"][:, :1],
        "logvar": a["logvar"][:, :1],
        "unseen": a["unseen"],
    },
    "no categorical latent": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "codes", "logvar", "unseen")
    },
    "categorical latents only": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "categories", "probabilities", "unseen")
    },
    "missing labels (-1)": lambda a: (
        a | {"factors": np.where(_every(7, a["factors"]), MISSING, a["factors"])}
    ),
    "a continuous factor": lambda a: (
        a
        | {
            "factors": np.hstack([a["factors"][:, :2], a["codes"][:, 2:]]),
            "factor_kinds": ("categorical", "ordinal", "continuous"),
        }
    ),
}


class MetricSubject:
    """A metric and the options to call it with.

    Attributes:
        metric: the function.
        options: its keyword arguments.
        source: the author's file, if there is one.
    """

    def __init__(
        self, metric: Callable[..., Any], options: Mapping[str, Any], source: Path | None
    ) -> None:
        self.metric, self.options, self.source = metric, options, source

    def score(self, representation: Representation, seed: int = 0) -> Any:
        """What the metric returns, with a generator of its own."""
        with _fixed_global_generators():
            return self.metric(representation, np.random.default_rng(seed), **self.options)

    @cached_property
    def usual(self) -> Any:
        """What it returns for ordinary codes."""
        return self.score(Representation.of(**ordinary()))

    @cached_property
    def noise(self) -> float:
        """How far its own draws move its value."""
        representation = Representation.of(**ordinary())
        others = [self.score(representation, seed).value for seed in range(1, SEEDS)]
        return float(np.ptp([self.usual.value, *others]))

    def change(self, arrays: Mapping[str, Any]) -> float:
        """By how much these arrays move the value beyond its noise; 0 within it."""
        score = self.score(Representation.of(**arrays))
        change = float(score.value) - float(self.usual.value)
        slack = 4 * self.noise + 1e-6 * max(1.0, abs(self.usual.value))
        return change if abs(change) > slack else 0.0


def ordinary() -> Arrays:
    """Arrays of `ROWS` rows for which no metric is at an end of its range, new at every call.

    Unlike in `cases.py`, codes are entangled and noisy at once, beside a category that is right in
    about 7 of 10 rows, so that a metric can both rise and fall; and few rows and classes suffice.
    """
    rng = np.random.default_rng(7)
    factors = rng.integers(SIZES, size=(ROWS, 3))
    mixing = np.array([[1.0, 0.6, 0.1], [0.3, 1.0, 0.5], [0.6, 0.3, 1.0]])
    codes = factors / np.array(SIZES) @ mixing + 0.2 * rng.normal(size=(ROWS, 3))
    lost = rng.random(ROWS) < 0.4
    shape = np.where(lost, rng.integers(3, size=ROWS), factors[:, 0])
    return {
        "factors": factors,
        "factor_kinds": KINDS,
        "codes": codes,
        "categories": shape[:, None],
        "logvar": 0.5 * np.tanh(codes) - 2.5,
        "probabilities": 0.1 + 0.7 * np.eye(3)[shape],
        "unseen": np.arange(ROWS) % 3 == 0,
    }


def takes_representation(subject: MetricSubject) -> str:
    arguments = list(inspect.signature(subject.metric).parameters.values())
    first, rest = arguments[:2], arguments[2:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(first) < 2 or any(a.kind not in positional or a.default is not a.empty for a in first):
        raise PromiseBrokenError(
            "metric(representation, rng, *, options)",
            str(inspect.signature(subject.metric)),
            "take the two without defaults, in this order",
        )
    for argument in rest:
        if argument.kind is not argument.KEYWORD_ONLY or argument.default is argument.empty:
            raise PromiseBrokenError(
                "options after a `*`, each with a default",
                f"`{argument}`",
                "write def metric(representation, rng, *, option=value)",
            )
    options = parameters(subject.metric)  # also reads the annotations, as --set does
    return f"options {', '.join(options)}" if options else "no options"


def has_docstring(subject: MetricSubject) -> str:
    line = (inspect.getdoc(subject.metric) or "").partition("\n")[0].strip()
    if len(line.split()) < 2:
        raise PromiseBrokenError(
            "a first line that names the metric, and its paper and year",
            repr(line),
            'begin the function with """My score (Author year): what it measures."""',
        )
    return line


def returns_score(subject: MetricSubject) -> str:
    score = subject.usual
    if not isinstance(score, Score):
        raise PromiseBrokenError(
            "a bench.metrics.Score",
            f"{type(score).__name__} {score!r}"[:80],
            "return Score(value, {...}) with a float, and what it was made of",
        )
    return f"{score.value:.4g} for ordinary codes"


def fits_record(subject: MetricSubject) -> None:
    score = subject.usual
    try:
        entry = {"value": score.value, "parts": dict(score.parts), "details": dict(score.details)}
        json.dumps(entry, default=plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PromiseBrokenError(
            "details that a JSON file can hold",
            in_words(error),
            "use numbers, strings, None, lists, arrays and mappings with strings as keys; None for "
            "NaN",
        ) from error


def repeats(subject: MetricSubject) -> None:
    score, again = subject.usual, subject.score(Representation.of(**ordinary()))
    if (again.value, dict(again.parts)) != (score.value, dict(score.parts)):
        raise PromiseBrokenError(
            "the same value and parts for the same generator",
            f"{_values(score)} and then {_values(again)}",
            "draw from rng only, and keep nothing between calls",
        )


def leaves_global_generators(subject: MetricSubject) -> None:
    representation = Representation.of(**ordinary())
    before = _global_state()
    subject.metric(representation, np.random.default_rng(0), **subject.options)
    if _global_state() != before:
        raise PromiseBrokenError(
            "draws from rng",
            "draws from the global generator of numpy or of random",
            "replace np.random.* and random.* by rng.*, and give scikit-learn a random_state "
            "that is drawn from rng",
        )


def leaves_arrays(subject: MetricSubject) -> None:
    representation = Representation.of(**ordinary())
    arrays = {n: a for n, a in vars(representation).items() if isinstance(a, np.ndarray)}
    before = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.setflags(write=False)
    refused: ValueError | None = None
    try:
        subject.metric(representation, np.random.default_rng(0), **subject.options)
    except ValueError as error:  # as the same arrays have a score where they can be written to
        refused = error
    changed = [name for name, array in arrays.items() if not np.array_equal(array, before[name])]
    if refused or changed:
        got = in_words(refused) if refused else f"a change of {', '.join(changed)}"
        raise PromiseBrokenError("arrays left as they are", got, "work on a copy: codes.copy()")


def ignores_row_order(subject: MetricSubject) -> str | None:
    order = np.random.default_rng(1).permutation(ROWS)
    arrays = {key: a[order] if key != "factor_kinds" else a for key, a in ordinary().items()}
    if change := subject.change(arrays):
        return Caveat(f"the value moves by {change:+.3g} when the rows are shuffled")
    return None


def ignores_latent_order(subject: MetricSubject) -> str | None:
    arrays = ordinary()
    arrays |= {key: arrays[key][:, [2, 0, 1]] for key in ("codes", "logvar")}
    if change := subject.change(arrays):
        return Caveat(f"the value moves by {change:+.3g} when the latents change places")
    return None


def is_not_raised_by_chance(subject: MetricSubject) -> str | None:
    arrays = ordinary()
    drawn = np.random.default_rng(2).integers(3, size=(ROWS, 1))
    arrays["categories"] = np.hstack([arrays["categories"], drawn])
    arrays["probabilities"] = np.hstack([arrays["probabilities"], np.full((ROWS, 3), 1 / 3)])
    if (change := subject.change(arrays)) > 0:
        return Caveat(f"a category drawn at random raises the value by {change:.3g}")
    return None


def accepts(name: str) -> Callable[[MetricSubject], str | None]:
    """The check that a metric scores an unusual case, or refuses it clearly."""

    def check(subject: MetricSubject) -> str | None:
        score = _score_or_refusal(subject, Representation.of(**UNUSUAL[name](ordinary())), name)
        return f"refused: {score}" if isinstance(score, str) else None

    return check


PROMISES = (
    Promise("it is called as metric(representation, rng, *, options)", takes_representation),
    Promise("its docstring begins with a line that names it", has_docstring),
    Promise("it returns a Score with a finite value", returns_score, (takes_representation,)),
    Promise("its details fit into a record", fits_record, (returns_score,)),
    Promise("the same generator gives the same value", repeats, (returns_score,)),
    Promise("global generators are left alone", leaves_global_generators, (returns_score,)),
    Promise("the arrays are left as they are", leaves_arrays, (returns_score,)),
    Promise("the order of rows does not matter", ignores_row_order, (returns_score,)),
    Promise("the order of latents does not matter", ignores_latent_order, (returns_score,)),
    *(
        Promise(f"{name}: a score, or a clear ValueError", accepts(name), (returns_score,))
        for name in UNUSUAL
    ),
    Promise(
        "a useless category does not raise the value", is_not_raised_by_chance, (returns_score,)
    ),
)


def values_on_cases(subject: MetricSubject) -> Iterator[Finding]:
    """The metric's value on each of `CASES`, whose quality is known in advance.

    A finding is marked `VALUE`, or `UNDEFINED` where the metric refuses the codes, or `FAILS`.
    There is none for a metric that has no score for ordinary codes either.
    """
    if not _scores(subject):
        return
    for name, representation in cases(CASE_ROWS, CASE_TEST_ROWS).items():
        try:
            score = _score_or_refusal(subject, representation, name)
        except PromiseBrokenError as error:
            yield Finding(FAILS, name, str(error))
            continue
        if isinstance(score, str):
            yield Finding(UNDEFINED, name, score)
        else:
            # no -0.00
            yield Finding(VALUE, name, f"{round(score.value, 2) + 0.0:.2f} ({CASES[name]})")


def _scores(subject: MetricSubject) -> bool:
    try:
        return isinstance(subject.usual, Score)
    except Exception:  # a promise has said what it was
        return False


def _score_or_refusal(
    subject: MetricSubject, representation: Representation, name: str
) -> Score | str:
    """The score, or the message by which the metric refuses the case.

    Raises:
        PromiseBrokenError: the metric does neither.
    """
    try:
        score = subject.score(representation)
    except Exception as error:
        clear = is_refusal(error) and not isinstance(error, NonFiniteScoreError)
        if isinstance(error, ValueError) and clear:
            return str(error)
        raise PromiseBrokenError(
            "a score, or a ValueError of one line that says why there is none",
            located(error, subject.source),
            f"look for {name} first, and raise ValueError('...: leave it out')",
        ) from error
    if not isinstance(score, Score):
        raise PromiseBrokenError("a Score", type(score).__name__, "return one here, too")
    return score


def _values(score: Score) -> str:
    parts = "".join(f", {name} {value:.6g}" for name, value in score.parts.items())
    return f"{score.value:.6g}{parts}"


def _every(n: int, array: Any) -> Any:
    """True at every n-th place."""
    return np.arange(array.size).reshape(array.shape) % n == 0


def _global_state() -> bytes:
    return pickle.dumps((np.random.get_state(), random.getstate()))  # noqa: NPY002


@contextlib.contextmanager
def _fixed_global_generators() -> Iterator[None]:
    """Inside, global generators start from fixed seeds; afterwards they are as before.

    So a metric that draws from them breaks the promise about them, and no other.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
