"""A data set to be checked: how it describes itself, and its images."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.check.promises import Broken, Odd
from bench.datasets import Factor, FactorData

ROWS = 64  # looked at, and in the batch that is timed
PAIRS = 24  # of images that differ in one factor
LABELS = 2_000  # rows whose values are looked at
SMALLEST, LARGEST = 28, 128  # pixels a side


class Subject:
    """A data set by how it is made; made once, on first use."""

    def __init__(self, make: Callable[[], FactorData]) -> None:
        self.make = make

    @cached_property
    def data(self) -> FactorData:
        return self.make()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Some rows in no order, one of them twice."""
        rows = np.random.default_rng(0).integers(len(self.data), size=ROWS)
        rows[-1] = rows[0]
        return rows

    @cached_property
    def grid(self) -> bool:
        """Whether every combination of factors is there once."""
        if len(self.data) != math.prod(self.data.sizes):
            return False
        some = self.data.values(np.arange(min(LABELS, len(self.data))))
        return len(np.unique(some, axis=0)) == len(some)

    def attribute(self, name: str) -> Any:
        if not hasattr(self.data, name):
            raise Broken(f"the attribute {name}", "none", f"set self.{name} in the constructor")
        return getattr(self.data, name)


def made(subject: Subject) -> None:
    if not isinstance(subject.data, FactorData):
        raise Broken(
            "a bench.datasets.FactorData", type(subject.data).__name__, "subclass FactorData"
        )


def factors(subject: Subject) -> str:
    given = subject.attribute("factors")
    if not isinstance(given, tuple | list) or not given:
        raise Broken("a tuple of factors", repr(given)[:80], "give at least one factor")
    for factor in given:
        if not isinstance(factor, Factor):
            came = type(factor).__name__
            raise Broken("each to be a Factor", came, "use bench.datasets.Factor(name, size, ...)")
    names = [factor.name for factor in given]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise Broken("a word as each name", str(names), "name every factor")
    if len(set(names)) < len(names):
        raise Broken("different names", ", ".join(names), "name each factor once")
    return ", ".join(f"{factor.name} {factor.size}" for factor in given)


def image_shape(subject: Subject) -> str:
    shape = subject.attribute("image_shape")
    good = isinstance(shape, tuple) and len(shape) == 3 and shape[0] in (1, 3)
    if not (good and shape[1] == shape[2] and SMALLEST <= shape[1] <= LARGEST):
        raise Broken(
            f"(C, H, W) with 1 or 3 channels, square, {SMALLEST} to {LARGEST} pixels a side",
            repr(shape)[:80],
            "resize the images, and set self.image_shape to their shape",
        )
    return "x".join(map(str, shape))


def counted(subject: Subject) -> str:
    if len(subject.data) < 1:
        raise Broken("at least one image", "len 0", "look at __len__ and at the files it counts")
    return f"{len(subject.data):,} images"


def described(subject: Subject) -> None:
    for name, about in (
        ("source", "what these pixels are and where they come from"),
        ("fingerprint", "an identifier that changes whenever a pixel or a label changes"),
    ):
        text = subject.attribute(name)
        if not (isinstance(text, str) and text.strip()) or "\n" in text:
            raise Broken(f"{name} as a line of text", repr(text)[:80], f"set it to {about}")


def images(subject: Subject) -> None:
    data, rows = subject.data, subject.rows
    for some in (rows[:1], rows, np.arange(min(3, len(data)))):
        got = data.images(some)
        wanted = (len(some), *data.image_shape)
        if not isinstance(got, np.ndarray) or got.dtype != np.uint8 or got.shape != wanted:
            came = f"{got.dtype} {got.shape}" if isinstance(got, np.ndarray) else type(got).__name__
            raise Broken(
                f"uint8 {wanted} for {len(some)} rows",
                came,
                "return (n, C, H, W), pixels of 0 to 255, converted by .astype(np.uint8)",
            )


def steady(subject: Subject) -> None:
    if not same(subject.data.images(subject.rows), subject.data.images(subject.rows)):
        raise Broken(
            "the same pixels at every call",
            "other ones at the second",
            "draw what is random once, from a generator with a fixed seed",
        )


def alone(subject: Subject) -> None:
    data, rows = subject.data, subject.rows
    together, turned = data.images(rows), data.images(rows[::-1])
    single = np.concatenate([data.images(rows[i : i + 1]) for i in range(8)])
    if not (same(single, together[:8]) and same(together, turned[::-1])):
        raise Broken(
            "each image by its own row, in the order asked for, repeated rows too",
            "other images alone than in a batch, or in another order",
            "let images(rows)[i] depend on rows[i] only",
        )


def handed_over(subject: Subject) -> None:
    data = subject.data
    for rows in (np.arange(min(4, len(data))), np.zeros(1, dtype=np.int64), subject.rows):
        got = data.images(rows)
        if not got.flags.writeable:
            raise Broken("an array that may be changed", "a read-only one", "return a copy")
        # Told without writing: the memory could be that of a file.
        if np.shares_memory(got, data.images(rows)):
            raise Broken(
                "an array of the caller's own",
                "the same memory at two calls",
                "return a copy: .copy()",
            )


def pixels(subject: Subject) -> None:
    some = subject.data.images(subject.rows)
    if len(np.unique(subject.rows)) > 1 and (some == some[0]).all():
        raise Broken("images that differ", "one image for all rows", "use `rows` in images()")
    if some.max() <= 1:
        raise Broken("pixels of 0 to 255", f"none above {some.max()}", "multiply the images by 255")


def visible(subject: Subject) -> None:
    hidden = []
    for k, factor in enumerate(subject.data.factors):
        one, other = _pairs(subject, k)
        if len(one) and same(subject.data.images(one), subject.data.images(other)):
            hidden.append(f"{factor.name} ({len(one)} pairs)")
    if hidden:
        raise Odd(
            f"no picture changed with {', '.join(hidden)} alone: right if that cannot be seen, "
            "but no model can learn it"
        )


def _pairs(subject: Subject, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows (m,) and (m,) that differ in factor k only; none where the data has no such pair."""
    data, rng = subject.data, np.random.default_rng(k)
    if data.factors[k].size < 2:
        return subject.rows[:0], subject.rows[:0]
    if subject.grid:
        one = subject.rows[:PAIRS]
        changed = data.values(one).astype(np.int64)
        changed[:, k] += rng.integers(1, data.factors[k].size, size=len(one))
        changed[:, k] %= data.factors[k].size
        return one, data.rows(changed)
    rows = np.unique(rng.integers(len(data), size=LABELS))
    labels = data.values(rows)
    _, group = np.unique(np.delete(labels, k, axis=1), axis=0, return_inverse=True)
    order = np.lexsort((labels[:, k], group.reshape(-1)))
    group, label = group.reshape(-1)[order], labels[order, k]
    ends = np.flatnonzero((group[1:] == group[:-1]) & (label[1:] != label[:-1]))[:PAIRS]
    return rows[order[ends]], rows[order[ends + 1]]


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other))
