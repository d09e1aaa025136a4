"""What a data set with known generative factors offers to the rest of the suite."""

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .entry import Entry

KINDS = ("categorical", "ordinal", "cyclic", "continuous")
MISSING = -1  # the class of a missing label


@dataclass(frozen=True)
class Factor:
    """One generative factor.

    Attributes:
        name: what it is called.
        size: its number of classes.
        kind: how the classes relate: `categorical` (in no order), `ordinal` (on a line),
            `cyclic` (on a circle) or `continuous` (parts of a line: the factor is a real number,
            which `FactorData.numbers` gives, and its classes are for metrics that need some).
        values: the quantity behind each class.
        labels: a word for each class, or none.

    Raises:
        ValueError: `kind` is none of these, or `values` or `labels` do not have `size` entries.
    """

    name: str
    size: int
    kind: str
    values: tuple[float, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"factor {self.name}: kind {self.kind!r} is none of {KINDS}")
        if self.size < 1 or len(self.values) != self.size:
            raise ValueError(f"factor {self.name}: {len(self.values)} values for size {self.size}")
        if self.labels and len(self.labels) != self.size:
            raise ValueError(f"factor {self.name}: {len(self.labels)} labels for size {self.size}")


def in_words(factors: Iterable[Factor]) -> str:
    """Names and sizes: `shape 3, scale 6`."""
    return ", ".join(f"{factor.name} {factor.size}" for factor in factors)


class FactorData(ABC):
    """Images on the full grid of K factors, numbered in C order: the last factor varies fastest.

    A subclass sets the attributes below and draws or loads `images`. Data that does not cover its
    grid overrides `__len__`, `values` and `rows`, and raises ValueError for absent combinations.

    Attributes:
        entry: what `bench data` knows of the data set besides its pixels; may be left out.
        factors: the K factors, in label order.
        image_shape: (C, H, W).
        source: what exactly these pixels are and where they come from, in one line.
        notes: what the data set has decided about a user's files, such as which kind a factor is
            of and how pictures were resized; a line each.
        fingerprint: a short identifier that changes whenever a pixel or a label changes.
        held_out: number of rows at the end that are for testing only; 0 without a split.
        pairs: (M, 2) rows to train on that are pairs for weakly supervised models; None where
            pairs are drawn by their factors.
        reopen_with: arguments of the constructor. If they are set, a pickle holds them in place of
            the images: a worker process then opens the data set itself.
    """

    entry: ClassVar[Entry]

    factors: tuple[Factor, ...]
    image_shape: tuple[int, int, int]
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    held_out: int = 0
    pairs: NDArray[np.int64] | None = None
    reopen_with: Mapping[str, Any] | None = None

    @abstractmethod
    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Images of `rows` (n,) as uint8 (n, C, H, W), 0 to 255; IndexError outside the data."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes of each factor, (K,)."""
        return tuple(factor.size for factor in self.factors)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def __getitem__(self, row: SupportsIndex) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """One image, float32 (C, H, W) in [0, 1], and its factor classes (K,).

        With this and `__len__` the data set is one for a `torch.utils.data.DataLoader`.

        Raises:
            IndexError: the row is outside the data.
        """
        rows = np.array([operator.index(row)])
        return self.images(rows)[0].astype(np.float32) / 255, self.values(rows)[0]

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if self.reopen_with is None:
            return super().__reduce_ex__(protocol)
        return functools.partial(type(self), **self.reopen_with), ()

    @property
    def training(self) -> int:
        """Number of rows to train on, 0 to training - 1; the rows after them are held out."""
        return len(self) - self.held_out

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Rows (count,) to train on, drawn with replacement."""
        return rng.integers(self.training, size=count)

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        """Factor classes of `rows` (n,) as int64 (n, K), -1 where a label is missing.

        Raises:
            IndexError: a row is outside the data.
        """
        unravelled = np.unravel_index(self.checked(rows), self.sizes)
        return np.stack(unravelled, axis=1).astype(np.int64, copy=False)

    def numbers(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Factors of `rows` (n,) as numbers (n, K): of a continuous one its value, else its class.

        A missing label is NaN. Data with continuous factors overrides this.
        """
        classes = self.values(rows)
        return np.where(classes == MISSING, np.nan, classes)

    def unseen(self, rows: ArrayLike) -> NDArray[np.bool_]:
        """Which of `rows` (n,) are never trained on although they are no test rows, (n,).

        Rows that a rule such as `hold_out` leaves out, not those that are merely improbable.
        """
        return np.zeros(len(self.checked(rows)), dtype=bool)

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        """Rows (n,) whose factor classes are `values` (n, K); ValueError off the grid."""
        classes = self.on_grid(values)
        raveled: NDArray[np.intp] = np.ravel_multi_index(tuple(classes.T), self.sizes)
        return raveled.astype(np.int64, copy=False)

    def on_grid(self, values: ArrayLike) -> NDArray[np.int64]:
        """`values` as int64 (n, K); ValueError off the grid."""
        classes = _integers(values, "values")
        if classes.ndim != 2 or classes.shape[1] != len(self.factors):
            raise ValueError(f"values must be (n, {len(self.factors)}), not {classes.shape}")
        for column, factor in zip(classes.T, self.factors, strict=True):
            wrong = column[(column < 0) | (column >= factor.size)]
            if wrong.size:
                raise ValueError(f"{factor.name} {wrong[0]} is outside 0..{factor.size - 1}")
        return classes

    def checked(self, rows: ArrayLike) -> NDArray[np.int64]:
        """`rows` as int64 (n,); IndexError outside the data, ValueError if not integers (n,)."""
        indices = _integers(rows, "rows")
        if indices.ndim != 1:
            raise ValueError(f"rows must be one-dimensional, not {indices.shape}")
        # Negative rows are a mistake here: nobody counts from the end of a grid.
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            wrong = indices[(indices < 0) | (indices >= len(self))][0]
            raise IndexError(f"row {wrong} is outside 0..{len(self) - 1}")
        return indices


class LabelledData(FactorData):
    """Images with labels of their own, where combinations may be absent or occur many times.

    A subclass sets `labels` besides the attributes of `FactorData`.

    Attributes:
        labels: (N, K) int64, the class of each factor, -1 where a label is missing.
        quantities: (N, K), the value of each continuous factor, NaN where a label is missing; None
            if no factor is continuous.
    """

    labels: NDArray[np.int64]
    quantities: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        return self.labels[self.checked(rows)]

    def numbers(self, rows: ArrayLike) -> NDArray[np.float64]:
        numbers = super().numbers(rows)
        if self.quantities is not None:
            continuous = [k for k, factor in enumerate(self.factors) if factor.kind == "continuous"]
            numbers[:, continuous] = self.quantities[self.checked(rows)][:, continuous]
        return numbers

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        """First row (n,) with each combination (n, K); ValueError off the grid or if absent."""
        wanted = self.on_grid(values)
        # The grid may have more combinations than int64 can number, so rows are compared whole.
        both = np.concatenate([self.labels, wanted])
        _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
        rows = first[inverse.reshape(-1)[len(self.labels) :]]
        absent = wanted[rows >= len(self.labels)]
        if len(absent):
            classes = zip(self.factors, absent[0], strict=True)
            raise ValueError(f"no image has {', '.join(f'{f.name} {c}' for f, c in classes)}")
        return rows.astype(np.int64, copy=False)


def _integers(numbers: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, not {array.dtype}")
    return array.astype(np.int64, copy=False)
