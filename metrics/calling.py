"""How a metric is called: with a representation, or with codes and factors as somebody has them.

A metric is written as a pure function ``(representation, rng, *, options) -> Score``; the decorator
`metric()` lets people call it in all these ways, and turns wrong use into a ValueError of one line:

    mig(representation)        mig(representation, rng, bins=50)
    mig(codes, factors)        mig(codes, factors, rng=3, bins=50)
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from numbers import Real
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from .doubts import Check, warnings_of
from .representation import Representation, Score

Options = ParamSpec("Options")
Seed: TypeAlias = int | np.random.Generator | None


class ScoringFunction(Protocol[Options]):
    """A metric with the options of one definition."""

    __name__: str

    @overload
    def __call__(
        self,
        representation: Representation,
        rng: Seed = 0,
        *args: Options.args,
        **kwargs: Options.kwargs,
    ) -> Score: ...

    # By place, as sap has an option `factors` of its own; and by name.
    @overload
    def __call__(
        self,
        codes: ArrayLike,
        factors: ArrayLike,
        /,
        rng: Seed = 0,
        *args: Options.args,
        **kwargs: Options.kwargs,
    ) -> Score: ...

    @overload
    def __call__(
        self,
        codes: ArrayLike,
        factors: ArrayLike,
        rng: Seed = 0,
        *args: Options.args,
        **kwargs: Options.kwargs,
    ) -> Score: ...


Metric: TypeAlias = ScoringFunction[...]


def metric(
    *checks: Check,
    vectors: bool = False,
) -> Callable[
    [Callable[Concatenate[Representation, np.random.Generator, Options], Score]],
    ScoringFunction[Options],
]:
    """Makes a function a metric that takes a representation, or codes and factors.

    Codes are (N, D) and factors (N, K) or (N,): numpy arrays, tensors, data frames or lists, read
    as by `Representation.of`. `rng` is a generator, or the seed of one; 0 if it is left out. Wrong
    use is a ValueError. The signature that `inspect` shows, name, docstring and module remain those
    of the function. The score also has the warnings of the representation and of the checks.

    Args:
        checks: of `doubts`, which say when the score cannot be trusted.
        vectors: whether the function knows that a latent may be several columns of the codes, see
            `Representation.groups`; without it, such latents are refused.
    """

    def decorated(
        function: Callable[Concatenate[Representation, np.random.Generator, Options], Score],
    ) -> ScoringFunction[Options]:
        options = {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Score:
            name = function.__name__
            representation, rng, rest = _bound(name, args, kwargs, options)
            _check_options(name, rest, options)
            if not vectors:
                refuse_vectors(name, representation)
            # The options are those of the signature: they were checked by name and type.
            score = cast(Callable[..., Score], function)(representation, rng, **rest)
            doubts = warnings_of(representation, score, checks)
            if not representation.warnings and not doubts:
                return score
            return replace(score, warnings=(*score.warnings, *representation.warnings, *doubts))

        called.vectors = vectors  # type: ignore[attr-defined]  # for `takes_vectors`
        return cast(ScoringFunction[Options], called)

    return decorated


def takes_vectors(metric: Callable[..., Any]) -> bool:
    """Whether a metric knows that a latent may be a vector; one without the decorator does not."""
    return bool(getattr(metric, "vectors", False))


def refuse_vectors(name: str, representation: Representation) -> None:
    """Refuses latents of several columns for a metric that would take each column for a latent.

    Raises:
        ValueError: a latent is a vector.
    """
    if representation.groups is not None:
        latent, width = max(
            zip(representation.latent_names, representation.widths, strict=False),
            key=lambda pair: pair[1],
        )
        raise ValueError(
            f"{name} takes latents of one number each, and {latent} is a vector of {width}: reduce "
            "vectors to one number each (reduce pca1); factorvae_score, dci, infomec, "
            "mig_neighbours and the two of generalisation take them as they are"
        )


def generator(rng: Any) -> np.random.Generator:
    """The generator itself, or a new one for a seed; seed 0 for None.

    Raises:
        ValueError: it is neither a generator nor a seed.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng(0)
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    value = f" {rng!r}" if isinstance(rng, str | Real) else ""
    raise ValueError(
        f"rng is {_described(rng)}{value}: give a seed, an integer of at least 0, "
        "or numpy.random.default_rng(seed)"
    )


def _bound(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Collection[str]
) -> tuple[Representation, np.random.Generator, dict[str, Any]]:
    """The representation, the generator and the options of a call.

    Raises:
        ValueError: the call has too few or too many arguments, or no representation can be made.
    """
    rest = dict(kwargs)
    given = list(args)
    first = given[0] if given else rest.get("representation", rest.get("codes"))
    slots: tuple[str, ...] = ("codes", "factors", "rng")
    if isinstance(first, Representation):
        slots = ("representation", "rng")
    # sap has an option of the same name, whose value is a word.
    own = {}
    if "factors" in options and isinstance(rest.get("factors"), str):
        own["factors"] = rest.pop("factors")
    usage = f"{name}(representation) or {name}(codes, factors)"
    if "representation" in rest and (given or not isinstance(first, Representation)):
        raise ValueError(f"representation is {_described(rest['representation'])}: write {usage}")
    if isinstance(first, Representation) and "factors" in rest:
        raise ValueError(f"a representation has factors already: write {usage}")
    if isinstance(first, Representation) and "codes" in rest:
        raise ValueError(f"codes is a Representation: write {usage}")
    if len(given) > len(slots):
        raise ValueError(
            f"{name} was given {len(given)} arguments without a name: write {usage}, then rng, "
            "and name its options"
        )
    values: dict[str, Any] = dict(zip(slots, given, strict=False))
    for slot in slots:
        if slot in values and slot in rest:
            raise ValueError(f"{slot} was given to {name} twice: write {usage}")
        if slot in rest:
            values[slot] = rest.pop(slot)
    rng = generator(values.get("rng"))
    if isinstance(first, Representation):
        return first, rng, rest | own
    if "codes" not in values:
        raise ValueError(f"{name} was given no codes: write {usage}")
    if "factors" not in values or isinstance(values["factors"], np.random.Generator):
        raise ValueError(f"{name} was given {_described(first)} without factors: write {usage}")
    return Representation.of(codes=values["codes"], factors=values["factors"]), rng, rest | own


def _check_options(name: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuses options that a metric does not have, or whose type is another than the default's."""
    for key, value in given.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            options = f"it has {', '.join(known)}" if known else "it has none"
            extra = (
                "; give categories, logvar and the like to Representation.of"
                if key in inspect.signature(Representation.of).parameters
                else ""
            )
            raise ValueError(f"{name} has no option {key!r}: {hint}{options}{extra}")
        default = known[key]
        expected = {bool: "True or False", int: "an integer", float: "a number", str: "a text"}
        fits = {
            bool: isinstance(value, bool | np.bool_),
            int: isinstance(value, int | np.integer) and not isinstance(value, bool),
            float: isinstance(value, Real) and not isinstance(value, bool),
            str: isinstance(value, str),
        }
        if not fits.get(type(default), True):
            raise ValueError(f"{key}={value!r}: {name} takes {expected[type(default)]} for {key}")


def _described(thing: Any) -> str:
    """What a thing is, with its article: "a str", "an int", "an array of shape (3, 2)"."""
    kind = type(thing).__name__
    if isinstance(thing, np.ndarray):
        return f"an array of shape {thing.shape}"
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
