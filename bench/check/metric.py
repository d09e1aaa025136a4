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

from bench.check.promises import Broken, Odd, Promise, named, refuses, told
from bench.metrics import Representation, Score
from bench.metrics.arrays import MISSING
from bench.settings import parameters
from bench.store.files import plain

ROWS = 400
SIZES = (3, 4, 5)
KINDS = ("categorical", "ordinal", "cyclic")
SEEDS = 5  # behind the estimate of a metric's own noise

Arrays = dict[str, Any]
CASES: dict[str, Callable[[Arrays], Arrays]] = {
    "constant codes": lambda a: a | {"codes": np.full_like(a["codes"], 0.1)},
    "one latent": lambda a: {
        "factors": a["factors"],
        "codes": a["codes"][:, :1],
        "logvar": a["logvar"][:, :1],
    },
    "no categorical latent": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "codes", "logvar")
    },
    "categorical latents only": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "categories", "probabilities")
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


class Subject:
    """A metric with the options to call it by, and its author's file."""

    def __init__(
        self, metric: Callable[..., Any], options: Mapping[str, Any], file: Path | None
    ) -> None:
        self.metric, self.options, self.file = metric, options, file

    def score(self, arrays: Mapping[str, Any], seed: int = 0) -> Any:
        """What the metric answers about some arrays, by a generator of its own."""
        made = Representation.of(**arrays)
        with _same_globals():
            return self.metric(made, np.random.default_rng(seed), **self.options)

    @cached_property
    def usual(self) -> Any:
        """The answer about ordinary codes: entangled, noisy, of every kind."""
        return self.score(ordinary())

    @cached_property
    def noise(self) -> float:
        """How far its value moves by its own draws."""
        others = [self.score(ordinary(), seed).value for seed in range(1, SEEDS)]
        return float(np.ptp([self.usual.value, *others]))

    def moved(self, arrays: Mapping[str, Any]) -> float:
        """By how much these arrays move the value beyond its noise; 0 within it."""
        change = float(self.score(arrays).value) - float(self.usual.value)
        slack = 4 * self.noise + 1e-6 * max(1.0, abs(self.usual.value))
        return change if abs(change) > slack else 0.0


def ordinary() -> Arrays:
    """Arrays of codes at no end of any range, fresh at every call."""
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
    }


def _every(n: int, array: Any) -> Any:
    """True in every n-th place."""
    return np.arange(array.size).reshape(array.shape) % n == 0


@contextlib.contextmanager
def _same_globals() -> Iterator[None]:
    """A metric that draws from global generators fails the promise on these, and no other."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def signature(subject: Subject) -> str:
    arguments = list(inspect.signature(subject.metric).parameters.values())
    first, rest = arguments[:2], arguments[2:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(first) < 2 or any(a.kind not in positional or a.default is not a.empty for a in first):
        raise Broken(
            "metric(representation, rng, *, options)",
            str(inspect.signature(subject.metric)),
            "take the two without defaults, in this order",
        )
    for argument in rest:
        if argument.kind is not argument.KEYWORD_ONLY or argument.default is argument.empty:
            raise Broken(
                "options after a `*`, each with a default",
                f"`{argument}`",
                "write def metric(representation, rng, *, option=value)",
            )
    options = parameters(subject.metric)  # also reads the annotations, as --set does
    return f"options {', '.join(options)}" if options else "no options"


def docstring(subject: Subject) -> str:
    line = (inspect.getdoc(subject.metric) or "").partition("\n")[0].strip()
    if len(line.split()) < 2:
        raise Broken(
            "a first line that names the metric, and its paper and year",
            repr(line),
            'begin the function with """My score (Author year): what it tells."""',
        )
    return line


def answers(subject: Subject) -> str:
    score = subject.usual
    if not isinstance(score, Score):
        raise Broken(
            "a bench.metrics.Score",
            f"{type(score).__name__} {score!r}"[:80],
            "return Score(value, {...}) with a float, and what it was made of",
        )
    return f"{score.value:.4g} on ordinary codes"


def recorded(subject: Subject) -> None:
    score = subject.usual
    try:
        kept = {"value": score.value, "parts": dict(score.parts), "details": dict(score.details)}
        json.dumps(kept, default=plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(
            "details that a JSON file can hold",
            named(error),
            "use numbers, words, None, lists, arrays and mappings with words as keys; None for NaN",
        ) from error


def repeated(subject: Subject) -> None:
    again = subject.score(ordinary()).value
    if again != subject.usual.value:
        raise Broken(
            "the same value for the same generator",
            f"{subject.usual.value:.6g} and then {again:.6g}",
            "draw from rng only, and keep nothing between calls",
        )


def private(subject: Subject) -> None:
    made = Representation.of(**ordinary())
    before = _global_state()
    subject.metric(made, np.random.default_rng(0), **subject.options)
    if _global_state() != before:
        raise Broken(
            "draws from rng",
            "draws from the global generator of numpy or of random",
            "replace np.random.* and random.* by rng.*, and give scikit-learn a random_state "
            "that is drawn from rng",
        )


def untouched(subject: Subject) -> None:
    arrays = ordinary()
    made = Representation.of(**arrays)
    held = {name: value for name, value in vars(made).items() if isinstance(value, np.ndarray)}
    before = {name: value.copy() for name, value in held.items()}
    for value in held.values():
        value.setflags(write=False)
    trouble: ValueError | None = None
    try:
        subject.metric(made, np.random.default_rng(0), **subject.options)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        trouble = error
    changed = [name for name, value in held.items() if not np.array_equal(value, before[name])]
    if trouble or changed:
        what = f"a change of {', '.join(changed)}" if changed else named(trouble or ValueError())
        raise Broken("arrays left as they are", what, "work on a copy: codes.copy()")


def rows_order(subject: Subject) -> None:
    order = np.random.default_rng(1).permutation(ROWS)
    arrays = {key: a[order] if key != "factor_kinds" else a for key, a in ordinary().items()}
    if change := subject.moved(arrays):
        raise Odd(f"the value moves by {change:+.3g} when the rows are shuffled")


def latents_order(subject: Subject) -> None:
    arrays = ordinary()
    arrays |= {key: arrays[key][:, [2, 0, 1]] for key in ("codes", "logvar")}
    if change := subject.moved(arrays):
        raise Odd(f"the value moves by {change:+.3g} when the latents change places")


def chance(subject: Subject) -> None:
    arrays = ordinary()
    drawn = np.random.default_rng(2).integers(3, size=(ROWS, 1))
    arrays["categories"] = np.hstack([arrays["categories"], drawn])
    arrays["probabilities"] = np.hstack([arrays["probabilities"], np.full((ROWS, 3), 1 / 3)])
    if (change := subject.moved(arrays)) > 0:
        raise Odd(f"a category drawn at random raises the value by {change:.3g}")


def case(name: str) -> Callable[[Subject], str | None]:
    """The promise to answer about a case, or to refuse it clearly."""

    def keep(subject: Subject) -> str | None:
        try:
            score = subject.score(CASES[name](ordinary()))
        except Exception as error:
            unclear = str(error).endswith("a score must be finite")  # as Score itself says
            if isinstance(error, ValueError) and refuses(error) and not unclear:
                return f"refused: {error}"
            raise Broken(
                "a score, or a ValueError of one line that says why there is none",
                told(error, subject.file),
                f"look for {name} first, and raise ValueError('...: leave it out')",
            ) from error
        if not isinstance(score, Score):
            raise Broken("a Score", type(score).__name__, "return one here too")
        return None

    return keep


_CASES = tuple(
    Promise(f"{name}: a score, or a clear ValueError", case(name), (answers,)) for name in CASES
)
PROMISES = (
    Promise("it is called as metric(representation, rng, *, options)", signature),
    Promise("its docstring begins with a line that names it", docstring),
    Promise("it returns a Score with a finite value", answers, (signature,)),
    Promise("details can be written to a record", recorded, (answers,)),
    Promise("the same generator gives the same value", repeated, (answers,)),
    Promise("global generators are left alone", private, (answers,)),
    Promise("the arrays are left as they are", untouched, (answers,)),
    Promise("the order of rows does not count", rows_order, (answers,)),
    Promise("the order of latents does not count", latents_order, (answers,)),
    *_CASES,
    Promise("a useless category does not raise the value", chance, (answers,)),
)


def _global_state() -> bytes:
    return pickle.dumps((np.random.get_state(), random.getstate()))  # noqa: NPY002
