"""What a metric promises: `bench check` on a function of a representation and a generator."""

import inspect
import json
import pickle
import random
from collections.abc import Callable

import numpy as np

from bench.check.metric_parts import CASES, ROWS, Subject, ordinary
from bench.check.promises import Broken, Odd, Promise, named, refuses, told
from bench.metrics import Representation, Score
from bench.settings import parameters
from bench.store.files import plain


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
