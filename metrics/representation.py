"""What a metric reads (`Representation`) and what it answers (`Score`).

Letters: N rows, D continuous latents, C categorical latents, K factors.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import arrays, inputs
from .arrays import MISSING, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Representation:
    """The latents and the true factors of N rows of data; validated, never changed.

    `Representation.of` fills in what can be told from the arrays.

    Args:
        codes: (N, D) float, one value of each continuous latent a row, as a rule the posterior
            mean. D may be 0. float32 and float64 are kept, other float types become float64.
        categories: (N, C) int, index of each categorical latent's category. C may be 0.
        factors: (N, K) int, class index of each factor, -1 where the label is missing.
        category_sizes: length C, number of categories of each categorical latent.
        factor_names: length K, all different.
        factor_kinds: length K, each "categorical", "ordinal", "cyclic" or "continuous".
        factor_sizes: length K, number of classes of each factor.
        logvar: (N, D) float, log variance of the posterior, or None for plain codes.
        kl: (D + C,) float, mean KL to the prior of each latent in nats, continuous latents
            first, or None for plain codes.
        probabilities: (N, sum of category_sizes) float, posterior probabilities of the categories,
            one categorical latent beside the other, or None for plain categories.
        values: (N, K) float, the number behind each label, read of continuous factors only (whose
            classes stand in `factors`), or None where there is none.
        test: rows held out, with the same latents and factors, for metrics that fit on some rows
            and score on others; None lets these metrics halve the rows.

    Raises:
        ValueError: an array has the wrong shape, type or range; the message names it.
    """

    codes: FloatArray
    categories: IntArray
    factors: IntArray
    category_sizes: tuple[int, ...]
    factor_names: tuple[str, ...]
    factor_kinds: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    logvar: FloatArray | None = None
    kl: FloatArray | None = None
    probabilities: FloatArray | None = None
    values: FloatArray | None = None
    test: "Representation | None" = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("category_sizes", "factor_names", "factor_kinds", "factor_sizes"):
            put(name, tuple(getattr(self, name)))
        put("codes", arrays.codes(self.codes))
        put("categories", arrays.classes("categories", self.categories, self.category_sizes, 0))
        put("factors", arrays.classes("factors", self.factors, self.factor_sizes, MISSING))
        arrays.same_rows(codes=self.codes, categories=self.categories, factors=self.factors)
        if self.latents == 0:
            raise ValueError("codes and categories have no columns: give at least one latent")
        arrays.factor_words(self.factor_names, self.factor_kinds, self.factors.shape[1])
        shapes = {
            "logvar": self.codes.shape,
            "kl": (self.latents,),
            "probabilities": (len(self), sum(self.category_sizes)),
        }
        for name, shape in shapes.items():
            if getattr(self, name) is not None:
                put(name, arrays.shaped(name, getattr(self, name), shape))
        if "continuous" in self.factor_kinds:
            put("values", arrays.values(self.values, self.factors, self.factor_kinds))
        if self.test is not None:
            arrays.same_kind(self, self.test)

    @classmethod
    def of(
        cls,
        *,
        factors: FloatArray | IntArray,
        codes: FloatArray | None = None,
        categories: IntArray | None = None,
        category_sizes: Sequence[int] | None = None,
        factor_names: Sequence[str] | None = None,
        factor_kinds: Sequence[str] | None = None,
        factor_sizes: Sequence[int] | None = None,
        logvar: FloatArray | None = None,
        kl: FloatArray | None = None,
        probabilities: FloatArray | None = None,
        test: Mapping[str, FloatArray | IntArray] | None = None,
    ) -> "Representation":
        """A representation from arrays of any framework; only `factors` and latents are needed.

        Without names, factors are v1 to vK; without kinds, those of whole numbers are ordinal and
        all others continuous; sizes are one more than the largest class. -1, and in an array of
        floats NaN, is a missing label. A continuous factor gets classes of equal frequency, 20 of
        them unless its size is given. `kl` is computed where the posterior is given (`logvar` of
        codes, `probabilities` of categories). `test` holds the arrays of the rows held out, by
        the names they have here.

        Raises:
            ValueError: an array has the wrong shape, type or range; the message names it.
        """
        given = {
            "factors": factors,
            "codes": codes,
            "categories": categories,
            "logvar": logvar,
            "probabilities": probabilities,
            "kl": kl,
        }
        return cls(
            **inputs.filled(given, category_sizes, factor_names, factor_kinds, factor_sizes, test)
        )

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.codes)

    @property
    def latents(self) -> int:
        """D + C; a categorical latent is one latent."""
        return int(self.codes.shape[1] + self.categories.shape[1])

    @property
    def latent_names(self) -> tuple[str, ...]:
        """z1 to zD for the continuous latents, then c1 to cC for the categorical ones."""
        continuous = tuple(f"z{j + 1}" for j in range(self.codes.shape[1]))
        return continuous + tuple(f"c{j + 1}" for j in range(self.categories.shape[1]))

    @property
    def varying(self) -> NDArray[np.bool_]:
        """(K,) which factors take more than one value over the rows; missing labels are none."""
        return np.array([_varies(column) for column in self.factors.T])

    def number(self, factor: int) -> NDArray[np.float64]:
        """(N,) a factor as a number: the value of a continuous one, of others the class index."""
        if self.factor_kinds[factor] == "continuous" and self.values is not None:
            return self.values[:, factor].astype(np.float64)
        return self.factors[:, factor].astype(np.float64)

    def take(self, rows: IntArray) -> "Representation":
        """The representation of some rows only; `kl` remains that of all rows, `test` goes."""

        def some(array: FloatArray | None) -> FloatArray | None:
            return None if array is None else array[rows]

        return replace(
            self,
            codes=self.codes[rows],
            categories=self.categories[rows],
            factors=self.factors[rows],
            logvar=some(self.logvar),
            probabilities=some(self.probabilities),
            values=some(self.values),
            test=None,
        )

    def at_most(self, points: int, rng: np.random.Generator) -> "Representation":
        """As many rows as `points`, drawn without replacement where there are more.

        Raises:
            ValueError: `points` is below 2.
        """
        if points < 2:
            raise ValueError(f"points is {points}: give at least 2")
        if len(self) <= points:
            return self
        return self.take(rng.choice(len(self), size=points, replace=False))

    def labelled(self, factor: int) -> "Representation":
        """The rows whose label of one factor is known; raises ValueError if there is none."""
        known = self.factors[:, factor] != MISSING
        if known.all():
            return self
        if not known.any():
            raise ValueError(f"{self.factor_names[factor]} has no label: leave the factor out")
        return self.take(np.flatnonzero(known))

    def split(
        self, rng: np.random.Generator, points: int | None = None
    ) -> tuple["Representation", "Representation"]:
        """Rows to fit on and rows to score on: these and `test`, or random halves of these.

        Of each at most `points`, drawn without replacement.

        Raises:
            ValueError: there is one row only, or `points` is below 1.
        """
        if points is not None and points < 1:
            raise ValueError(f"points is {points}: give at least 1")
        if self.test is None:
            if len(self) < 2:
                raise ValueError("one row cannot be both fitted and scored: give more rows")
            order = rng.permutation(len(self))[: None if points is None else 2 * points]
            half = len(order) // 2
            return self.take(order[:half]), self.take(order[half:])
        sides = [replace(self, test=None), self.test]
        for side, whole in enumerate(sides):
            if points is not None and len(whole) > points:
                sides[side] = whole.take(rng.choice(len(whole), size=points, replace=False))
        return sides[0], sides[1]

    def merged(self, factor: str, one: int, other: int) -> "Representation":
        """With class `one` of a factor counted as class `other`, since they cannot be told apart.

        dSprites has orientations 0 and 39 the same: `merged("orientation", 39, 0)`.

        Raises:
            ValueError: no such factor or class, or the factor is continuous.
        """
        if factor not in self.factor_names:
            names = ", ".join(self.factor_names)
            raise ValueError(f"no factor {factor!r} to merge classes of: choose from {names}")
        k = self.factor_names.index(factor)
        if self.factor_kinds[k] == "continuous":
            raise ValueError(f"{factor} is continuous: only classes can be merged")
        for label in (one, other):
            if not 0 <= label < self.factor_sizes[k]:
                raise ValueError(f"{factor} has no class {label}: 0 to {self.factor_sizes[k] - 1}")
        factors = self.factors.copy()
        factors[factors[:, k] == one, k] = other
        test = None if self.test is None else self.test.merged(factor, one, other)
        return replace(self, factors=factors, test=test)


@dataclass(frozen=True, eq=False)
class Score:
    """What a metric answers.

    Args:
        value: the headline number, in [0, 1] unless the metric's docstring says otherwise.
        details: what the value was made of; numbers, strings, None, arrays, lists and mappings.
        parts: further headline numbers to print beside the value.
        warnings: why the value should not be trusted as it stands, a line each.

    Raises:
        ValueError: the value or a part is not a finite number.
    """

    value: float
    details: Mapping[str, Any]
    parts: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, number in {"value": self.value, **self.parts}.items():
            if not math.isfinite(number):
                raise ValueError(f"{name} is {number}: a score must be finite")


Metric: TypeAlias = Callable[Concatenate[Representation, np.random.Generator, ...], Score]


def _varies(labels: IntArray) -> bool:
    known = labels[labels != MISSING]
    return bool(len(known) and np.ptp(known) > 0)
