"""What a metric reads (`Representation`) and what it returns (`Score`).

Letters: N rows, D continuous latents, C categorical latents, K factors.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, inputs, vectors
from .arrays import MISSING, BoolArray, FloatArray, IntArray
from .columns import Given


@dataclass(frozen=True, eq=False)
class Representation:
    """The latents and the true factors of N rows of data; validated, and never changed.

    `Representation.of` infers from the arrays what is not given.

    Attributes:
        codes: (N, D) float, the value of each continuous latent in each row, usually the posterior
            mean. D may be 0. float32 and float64 are kept, other float types become float64. Where
            latents are vectors, the columns of one latent stand after those of another: D columns
            become the sum of `groups` here and in `logvar`, and D remains the number of latents.
        categories: (N, C) int, the index of each categorical latent's category. C may be 0.
        factors: (N, K) int, the class index of each factor, -1 where the label is missing. K may be
            0: only metrics that need no factors are then defined.
        category_sizes: length C, the number of categories of each categorical latent.
        factor_names: length K, all different.
        factor_kinds: length K, each "categorical", "ordinal", "cyclic" or "continuous".
        factor_sizes: length K, the number of classes of each factor.
        logvar: (N, D) float, the log variance of the posterior, or None for plain codes.
        kl: (D + C,) float, the mean KL of each latent to the prior in nats, continuous latents
            first, or None for plain codes.
        probabilities: (N, sum of category_sizes) float, the posterior probabilities of the
            categories, the columns of one categorical latent after those of another, or None for
            plain categories.
        values: (N, K) float, the number behind each label, read for continuous factors only (whose
            classes are in `factors`), or None if no factor is continuous.
        test: held-out rows with the same latents and factors, for metrics that fit on some rows
            and score on others; without it, these metrics split the rows into halves.
        notes: what `of` inferred from the arrays, one line per factor or array, to be printed or
            recorded; not stored in files.
        warnings: what is doubtful about it, one line each; every score repeats them.
        groups: length D, how many columns of the codes each continuous latent has, or None if
            each has one.
        unseen: (N,) bool, which rows the model was never trained on although they are no test
            rows, such as combinations that were held out; None if there are none.
        further: further unseen rows with the same latents and factors, where N holds few; only the
            metrics of generalisation read them.

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
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    groups: tuple[int, ...] | None = None
    unseen: BoolArray | None = None
    further: "Representation | None" = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("category_sizes", "factor_names", "factor_kinds", "factor_sizes"):
            put(name, tuple(getattr(self, name)))
        put("codes", arrays.codes(self.codes))
        put("groups", vectors.groups_of(self.groups, self.codes.shape[1]))
        put("categories", arrays.classes("categories", self.categories, self.category_sizes, 0))
        put("factors", arrays.classes("factors", self.factors, self.factor_sizes, MISSING))
        arrays.same_rows(codes=self.codes, categories=self.categories, factors=self.factors)
        if self.latents == 0:
            raise ValueError("codes and categories have no columns: give at least one latent")
        if self.factors.shape[1] or self.factor_names or self.factor_kinds:
            arrays.factor_labels(self.factor_names, self.factor_kinds, self.factors.shape[1])
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
        if self.unseen is not None:
            put("unseen", arrays.flags("unseen", self.unseen, len(self)))
        for side in ("test", "further"):
            if getattr(self, side) is not None:
                self._check_side(side, getattr(self, side))

    def _check_side(self, side: str, rows: "Representation") -> None:
        """Refuses rows of another side that have other latents or factors."""
        if rows.test is not None or rows.further is not None:
            raise ValueError(f"{side} has a test of its own: give its rows only")
        if rows.codes.shape[1] != self.codes.shape[1]:
            raise ValueError(
                f"{side} has {rows.codes.shape[1]} codes, the other rows {self.codes.shape[1]}: "
                "encode both by one model"
            )
        for name in ("groups", "category_sizes", "factor_names", "factor_kinds", "factor_sizes"):
            own, other = getattr(self, name), getattr(rows, name)
            if own != other:
                raise ValueError(f"{name} of the {side} rows is {other}, not {own}: give the same")

    @classmethod
    def of(
        cls,
        *,
        factors: Given,
        codes: Given | None = None,
        categories: Given | None = None,
        category_sizes: Sequence[int] | None = None,
        factor_names: Sequence[str] | None = None,
        factor_kinds: Sequence[str] | Mapping[str, str] | None = None,
        factor_sizes: Sequence[int] | None = None,
        logvar: Given | None = None,
        kl: Given | None = None,
        probabilities: Given | None = None,
        test: Mapping[str, Given] | None = None,
        groups: vectors.Widths | None = None,
        unseen: Given | None = None,
    ) -> "Representation":
        """A representation from arrays of any framework; only `factors` and latents are needed.

        Arrays are those of numpy (masked ones, too), torch or JAX, data frames, mappings of columns
        by name, or lists. One dimension is one column. What is inferred is in `notes` and, where it
        may be wrong, in `warnings`.

        Args:
            factors: (N, K) numbers, words or booleans; column names become factor names. Missing
                labels are NaN, None, NA or masked, or -1 where it cannot be a class; `labels` has
                the rules. A continuous factor is cut into classes of equal frequency, 20 of them
                unless its size is given.
            codes: as in `Representation`; or (N, D, W), where each latent is a vector of W numbers.
            categories: as in `Representation`; words and booleans are numbered in order.
            category_sizes: one more than the largest category, if not given.
            factor_names: v1 to vK, if neither given nor the names of columns.
            factor_kinds: of all factors, or of some by name. If not given, whole numbers are
                ordinal, words and booleans categorical, pandas' categories as they say, and all
                others continuous.
            factor_sizes: the number of classes; if not given, that of those that occur, or one more
                than the largest class index.
            logvar: as in `Representation`, or like codes (N, D, W).
            kl: computed from the posterior (`logvar` of codes, `probabilities` of categories), if
                not given.
            probabilities: as in `Representation`.
            test: the arrays of the held-out rows, by the names of the arguments here.
            groups: the columns of each continuous latent, as a list of widths or as text: `4,4,2`,
                or `16x20` for 20 latents of 16 columns each. Codes (N, D, W) need none.
            unseen: (N,) which rows were never trained on, such as combinations that were held out:
                True and False, or 1 and 0.

        Raises:
            ValueError: an array has the wrong shape, type or range; the message names it.
        """
        train, held_out = inputs.normalised(
            {
                "factors": factors,
                "codes": codes,
                "categories": categories,
                "logvar": logvar,
                "probabilities": probabilities,
                "kl": kl,
            },
            category_sizes,
            factor_names,
            factor_kinds,
            factor_sizes,
            test,
            groups,
        )
        return cls(
            **train,
            test=None if held_out is None else cls(**held_out),
            unseen=None if unseen is None else inputs.flags("unseen", unseen),
        )

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.codes)

    @property
    def latents(self) -> int:
        """D + C; a categorical latent is one latent, and so is a vector."""
        return len(self.widths) + int(self.categories.shape[1])

    @property
    def widths(self) -> tuple[int, ...]:
        """(D,) how many columns of the codes each continuous latent has."""
        return (1,) * int(self.codes.shape[1]) if self.groups is None else self.groups

    @property
    def vectors(self) -> list[FloatArray]:
        """The columns of each continuous latent, D times (N, W)."""
        ends = np.cumsum(self.widths).tolist()
        return [self.codes[:, e - w : e] for e, w in zip(ends, self.widths, strict=True)]

    @property
    def latent_names(self) -> tuple[str, ...]:
        """z1 to zD for the continuous latents, then c1 to cC for the categorical ones."""
        continuous = tuple(f"z{j + 1}" for j in range(len(self.widths)))
        return continuous + tuple(f"c{j + 1}" for j in range(self.categories.shape[1]))

    @property
    def varying(self) -> NDArray[np.bool_]:
        """(K,) which factors take more than one value over the rows; a missing label is none."""
        return np.array([_varies(column) for column in self.factors.T], dtype=bool)

    def number(self, factor: int) -> NDArray[np.float64]:
        """(N,) a factor as a number: the value of a continuous one, else the class index."""
        if self.factor_kinds[factor] == "continuous" and self.values is not None:
            return self.values[:, factor].astype(np.float64)
        return self.factors[:, factor].astype(np.float64)

    def take(self, rows: IntArray) -> "Representation":
        """Some of the rows; `kl` remains that of all rows; `test` and `further` are dropped."""

        def some(array: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if array is None else array[rows]

        return replace(
            self,
            codes=self.codes[rows],
            categories=self.categories[rows],
            factors=self.factors[rows],
            logvar=some(self.logvar),
            probabilities=some(self.probabilities),
            values=some(self.values),
            unseen=some(self.unseen),
            test=None,
            further=None,
        )

    def reduced(self, reduction: str) -> "Representation":
        """With one number for each latent that is a vector, by a stated reduction.

        `pca1` is the protocol of VCT (arXiv 2205.10093), DisDiff (arXiv 2301.13721) and EncDiff
        (arXiv 2402.09712): each vector is replaced by its first principal component over the rows,
        without scaling. The rows of `test` and `further` are projected by the component of the
        others. The rest of a vector is lost, and so is the posterior (`logvar` and `kl`). Latents
        of one column remain.

        Raises:
            ValueError: there is no such reduction.
        """
        if reduction not in vectors.REDUCTIONS:
            known = ", ".join(vectors.REDUCTIONS)
            raise ValueError(f"no reduction {reduction!r} of vectors: choose {known}")
        if self.groups is None:
            return self
        sides = [side for side in (self, self.test, self.further) if side is not None]
        columns: list[list[FloatArray]] = [[] for _ in sides]
        for of_sides in zip(*(side.vectors for side in sides), strict=True):
            if of_sides[0].shape[1] == 1:
                projected = [side[:, 0] for side in of_sides]
            else:
                mean, direction = vectors.first_component(of_sides[0])
                projected = [(side - mean) @ direction for side in of_sides]
            for of_side, column in zip(columns, projected, strict=True):
                of_side.append(column)
        plain = iter(
            replace(
                side,
                codes=np.column_stack(own),
                groups=None,
                logvar=None,
                kl=None,
                test=None,
                further=None,
            )
            for side, own in zip(sides, columns, strict=True)
        )
        return replace(
            next(plain),
            test=None if self.test is None else next(plain),
            further=None if self.further is None else next(plain),
        )

    def at_most(self, points: int, rng: np.random.Generator) -> "Representation":
        """At most `points` rows, drawn without replacement if there are more.

        Raises:
            ValueError: `points` is below 2.
        """
        if points < 2:
            raise ValueError(f"points is {points}: give at least 2")
        if len(self) <= points:
            return self
        return self.take(rng.choice(len(self), size=points, replace=False))

    def labelled(self, factor: int) -> "Representation":
        """The rows whose label of one factor is known.

        Raises:
            ValueError: there is no such row.
        """
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

        Each side has at most `points` rows, drawn without replacement.

        Raises:
            ValueError: there is only one row, or `points` is below 1.
        """
        if points is not None and points < 1:
            raise ValueError(f"points is {points}: give at least 1")
        if self.test is None:
            if len(self) < 2:
                raise ValueError("one row cannot be both fitted and scored: give more rows")
            order = rng.permutation(len(self))[: None if points is None else 2 * points]
            half = len(order) // 2
            return self.take(order[:half]), self.take(order[half:])
        sides = [replace(self, test=None, further=None), self.test]
        for side, whole in enumerate(sides):
            if points is not None and len(whole) > points:
                sides[side] = whole.take(rng.choice(len(whole), size=points, replace=False))
        return sides[0], sides[1]

    def rows_used(self, fitted: "Representation", scored: "Representation") -> int:
        """How many of these rows are on the two sides of a split; `test` is not one of them."""
        return len(fitted) + (len(scored) if self.test is None else 0)

    def merged(self, factor: str, label: int, into: int) -> "Representation":
        """With one class of a factor counted as another that cannot be distinguished from it.

        In dSprites orientations 0 and 39 look the same: `merged("orientation", 39, 0)`.

        Raises:
            ValueError: there is no such factor or class, or the factor is continuous.
        """
        if factor not in self.factor_names:
            names = ", ".join(self.factor_names)
            raise ValueError(f"no factor {factor!r} to merge classes of: choose from {names}")
        k = self.factor_names.index(factor)
        if self.factor_kinds[k] == "continuous":
            raise ValueError(f"{factor} is continuous: only classes can be merged")
        for index in (label, into):
            if not 0 <= index < self.factor_sizes[k]:
                raise ValueError(f"{factor} has no class {index}: 0 to {self.factor_sizes[k] - 1}")
        factors = self.factors.copy()
        factors[factors[:, k] == label, k] = into
        test, further = (
            None if side is None else side.merged(factor, label, into)
            for side in (self.test, self.further)
        )
        return replace(self, factors=factors, test=test, further=further)


class NonFiniteScoreError(ValueError):
    """A score or one of its parts is NaN or infinite."""


@dataclass(frozen=True, eq=False, repr=False)
class Score(float):
    """What a metric returns: a float, its value, with what the value was made of.

    Attributes:
        value: the headline number, in [0, 1] unless the metric's docstring says otherwise.
        details: what the value was made of: numbers, strings, None, arrays, lists and mappings.
        parts: further headline numbers to print beside the value.
        warnings: why the value should not be trusted as it is, one line per reason.
        rows_used: how many rows of the representation the score is based on, not counting its
            `test` rows; None if the metric does not say, which is taken for all of them.

    Raises:
        NonFiniteScoreError: the value or a part is not a finite number.
        TypeError: details or parts are no mapping, or warnings are no list of texts.
    """

    value: float
    details: Mapping[str, Any]
    parts: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    rows_used: int | None = None

    def __new__(cls, value: float, *args: Any, **kwargs: Any) -> "Score":
        """The float; the dataclass adds the other fields, which pickles hold beside it."""
        return super().__new__(cls, value)

    def __post_init__(self) -> None:
        for name, given in (("details", self.details), ("parts", self.parts)):
            if not isinstance(given, Mapping):
                raise TypeError(f"{name} of a Score are a {type(given).__name__}: give a dict")
        texts = self.warnings
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"warnings of a Score are {texts!r:.60}: give a list of texts")
        for name, number in {"value": self.value, **self.parts}.items():
            if not math.isfinite(number):
                raise NonFiniteScoreError(f"{name} is {number}: a score must be finite")

    def __repr__(self) -> str:
        parts = "".join(f", {name}={number:.4g}" for name, number in self.parts.items())
        return f"Score({self.value:.4g}{parts})"


def _varies(labels: IntArray) -> bool:
    known = labels[labels != MISSING]
    return bool(len(known) and np.ptp(known) > 0)
