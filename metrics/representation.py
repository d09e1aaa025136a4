"""What a metric reads (`Representation`) and what it answers (`Score`).

Letters: N rows, D continuous latents, C categorical latents, K factors.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]

FACTOR_KINDS = ("categorical", "ordinal", "cyclic")


@dataclass(frozen=True, eq=False)
class Representation:
    """The latents and the true factors of N rows of data; validated, never changed.

    Args:
        codes: (N, D) float, one value of each continuous latent a row, as a rule the posterior
            mean. D may be 0. float32 and float64 are kept, other types become float64.
        categories: (N, C) int, index of each categorical latent's category. C may be 0.
        factors: (N, K) int, class index of each factor.
        category_sizes: length C, number of categories of each categorical latent.
        factor_names: length K, all different.
        factor_kinds: length K, each "categorical", "ordinal" or "cyclic".
        factor_sizes: length K, number of classes of each factor.
        logvar: (N, D) float, log variance of the posterior, or None for plain codes.
        kl: (D + C,) float, mean KL to the prior of each latent in nats, continuous latents
            first, or None for plain codes.

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

    def __post_init__(self) -> None:
        codes = _floats("codes", self.codes, 2)
        categories = _classes("categories", self.categories, self.category_sizes)
        factors = _classes("factors", self.factors, self.factor_sizes)
        for name, value in (("codes", codes), ("categories", categories), ("factors", factors)):
            object.__setattr__(self, name, value)
        for name in ("category_sizes", "factor_names", "factor_kinds", "factor_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

        rows = {"codes": len(codes), "categories": len(categories), "factors": len(factors)}
        if len(set(rows.values())) > 1:
            raise ValueError(f"numbers of rows differ ({rows}): give one row an image in each")
        if len(codes) == 0:
            raise ValueError("codes has no rows: encode at least one image")
        if self.latents == 0:
            raise ValueError("codes and categories have no columns: give at least one latent")
        if factors.shape[1] == 0:
            raise ValueError("factors has no columns: give at least one factor")
        if not len(self.factor_names) == len(self.factor_kinds) == factors.shape[1]:
            raise ValueError(
                f"factors has {factors.shape[1]} columns: give as many factor_names and "
                f"factor_kinds, not {len(self.factor_names)} and {len(self.factor_kinds)}"
            )
        if len(set(self.factor_names)) < len(self.factor_names):
            raise ValueError(f"factor_names {self.factor_names} repeat: name each factor once")
        unknown = sorted(set(self.factor_kinds) - set(FACTOR_KINDS))
        if unknown:
            raise ValueError(f"factor_kinds has {unknown}: use {', '.join(FACTOR_KINDS)}")
        if self.logvar is not None:
            logvar = _floats("logvar", self.logvar, 2)
            if logvar.shape != codes.shape:
                raise ValueError(f"logvar is {logvar.shape}: it must be like codes, {codes.shape}")
            object.__setattr__(self, "logvar", logvar)
        if self.kl is not None:
            kl = _floats("kl", self.kl, 1)
            if len(kl) != self.latents:
                raise ValueError(
                    f"kl has {len(kl)} values: give one for each of the {self.latents} latents, "
                    "continuous ones first"
                )
            object.__setattr__(self, "kl", kl)

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

    def take(self, rows: IntArray) -> "Representation":
        """The representation of some rows only; `kl` remains that of all rows."""
        return replace(
            self,
            codes=self.codes[rows],
            categories=self.categories[rows],
            factors=self.factors[rows],
            logvar=None if self.logvar is None else self.logvar[rows],
        )


@dataclass(frozen=True, eq=False)
class Score:
    """What a metric answers.

    Args:
        value: the headline number, in [0, 1] unless the metric's docstring says otherwise.
        details: what the value was made of; numbers, strings, None, arrays, lists and mappings.
        parts: further headline numbers to print beside the value.

    Raises:
        ValueError: the value or a part is not a finite number.
    """

    value: float
    details: Mapping[str, Any]
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, number in {"value": self.value, **self.parts}.items():
            if not math.isfinite(number):
                raise ValueError(f"{name} is {number}: a score must be finite")


Metric: TypeAlias = Callable[Concatenate[Representation, np.random.Generator, ...], Score]


def _floats(name: str, array: FloatArray, dimensions: int) -> FloatArray:
    """The array with a float type; checks dimensions and finiteness."""
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name} has type {array.dtype}: give real numbers")
        array = array.astype(np.float64)
    if array.ndim != dimensions:
        letters = "(N, D)" if dimensions == 2 else "(D + C,)"
        raise ValueError(f"{name} has shape {array.shape}: reshape it to {letters}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values: drop the diverged model or rows")
    return array


def _classes(name: str, array: IntArray, sizes: tuple[int, ...]) -> IntArray:
    """The array of class indices; checks type, shape and range."""
    array = np.asarray(array)
    if array.ndim != 2:
        letter = "C" if name == "categories" else "K"
        raise ValueError(f"{name} has shape {array.shape}: reshape it to (N, {letter})")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} has type {array.dtype}: give integer class indices")
    if not np.can_cast(array.dtype, np.int64):  # uint64, whose sums with int64 are floats
        array = array.astype(np.int64)
    if array.shape[1] != len(sizes):
        raise ValueError(f"{name} has {array.shape[1]} columns but {len(sizes)} sizes: match them")
    for j, size in enumerate(sizes):
        column = array[:, j]
        if len(column) and (column.min() < 0 or column.max() >= size):
            raise ValueError(
                f"{name} column {j} runs from {column.min()} to {column.max()}: "
                f"class indices must lie in 0 to {size - 1}"
            )
    return array
