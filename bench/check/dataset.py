"""What a data set promises: `bench check` on a subclass of FactorData, or on a file of arrays."""

import math
import pickle
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.check.promises import Broken, Odd, Promise, named
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


HEAVY = 2**20  # bytes


def values(subject: Subject) -> None:
    data = subject.data
    many = np.linspace(0, len(data) - 1, min(LABELS, len(data))).astype(np.int64)
    for some in (many, subject.rows, subject.rows[:1]):
        got = data.values(some)
        wanted = (len(some), len(data.factors))
        if not isinstance(got, np.ndarray) or got.dtype.kind not in "iu" or got.shape != wanted:
            came = f"{got.dtype} {got.shape}" if isinstance(got, np.ndarray) else type(got).__name__
            raise Broken(
                f"integers {wanted} for {len(some)} rows", came, "return a class for each factor"
            )
        for factor, column in zip(data.factors, got.T, strict=True):
            if column.min() < 0 or column.max() >= factor.size:
                raise Broken(
                    f"classes of {factor.name} from 0 to {factor.size - 1}",
                    f"{column.min()} to {column.max()}",
                    "number the classes from 0, or give the factor its true size",
                )


def inverse(subject: Subject) -> None:
    data, rows = subject.data, subject.rows
    wanted = data.values(rows)
    found = data.rows(wanted)
    if not same(data.values(found), wanted):
        raise Broken(
            "rows with the very values asked for",
            "rows with others",
            "let rows() undo values(); a full grid in C order, the last factor fastest, or a "
            "LabelledData needs no rows() of its own",
        )
    if subject.grid and not same(found, rows):
        raise Broken("the same rows", "other ones", "let rows() undo values()")


def outside(subject: Subject) -> None:
    data = subject.data
    for name, ask in (("images", data.images), ("values", data.values)):
        for row in (-1, len(data)):
            try:
                ask(np.array([row]))
            except IndexError:
                continue
            except Exception as error:
                came = named(error)
            else:
                came = "an answer"
            raise Broken(
                f"IndexError of {name}([{row}]), as rows are 0 to {len(data) - 1}",
                came,
                f"begin {name} by rows = self.checked(rows)",
            )


def split(subject: Subject) -> str | None:
    data = subject.data
    count, held_out = len(data), data.held_out
    if not isinstance(held_out, int | np.integer) or not 0 <= held_out < count:
        raise Broken(
            f"held_out from 0 to {count - 1}", repr(held_out), "leave some rows to train on"
        )
    if data.training != count - held_out:
        raise Broken(
            f"training = len - held_out = {count - held_out}",
            str(data.training),
            "set held_out only, and put these rows at the end",
        )
    return f"the last {held_out:,} images are held out" if held_out else None


def drawn(subject: Subject) -> None:
    data, count = subject.data, 500
    first, again, other = (data.draw(np.random.default_rng(s), count) for s in (0, 0, 1))
    if not isinstance(first, np.ndarray) or first.dtype.kind not in "iu" or first.shape != (count,):
        raise Broken(f"{count} integers", repr(first)[:80], "return an array of rows")
    if first.min() < 0 or first.max() >= data.training:
        raise Broken(
            f"rows to train on, 0 to {data.training - 1}",
            f"{first.min()} to {first.max()}",
            "never draw rows that are held out",
        )
    if not same(first, again) or (data.training > 1 and same(first, other)):
        raise Broken(
            "rows by the generator given: the same for one seed, others for another",
            "rows that do not follow it",
            "draw with rng, and from nothing else",
        )


def travels(subject: Subject) -> None:
    remedy = "define __reduce__ so that it makes the data set anew from its settings"
    try:
        sent = pickle.dumps(subject.data)
        received = pickle.loads(sent)
    except Exception as error:  # each class has its own
        raise Broken("a data set that pickle takes", named(error), remedy) from error
    rows = subject.rows[:8]
    kept = received.fingerprint == subject.data.fingerprint
    if not (kept and same(received.images(rows), subject.data.images(rows))):
        raise Broken("the same fingerprint and images", "others", remedy)
    if len(sent) > HEAVY:
        raise Odd(
            f"the pickle has {len(sent) / 2**20:.0f} MiB, which every worker process would get: "
            "a __reduce__ that makes the data set anew is lighter"
        )


def twice(subject: Subject) -> None:
    other = subject.make()
    if other.fingerprint != subject.data.fingerprint:
        raise Broken(
            "the same fingerprint",
            f"{subject.data.fingerprint!r} and then {other.fingerprint!r}",
            "make it of the content alone: no time, no counter, no random number",
        )
    if not same(other.images(subject.rows[:8]), subject.data.images(subject.rows[:8])):
        raise Broken(
            "the same images under one fingerprint", "others", "draw with a fixed seed in __init__"
        )


def timed(subject: Subject) -> str:
    started = time.perf_counter()
    subject.data.images(subject.rows)
    return f"{1e3 * (time.perf_counter() - started):.2g} ms"


_SEEN = (images, steady)
PROMISES = (
    Promise("it can be made, and is a FactorData", made),
    Promise("factors have names, kinds and sizes", factors, (made,)),
    Promise("image_shape is one that models take", image_shape, (made,)),
    Promise("len() counts the images", counted, (made, factors)),
    Promise("source and fingerprint are a line each", described, (made,)),
    Promise("images(rows) are uint8 (n, C, H, W)", images, (image_shape, counted)),
    Promise("images(rows) are the same at every call", steady, (images,)),
    Promise("an image does not depend on the rest of its batch", alone, _SEEN),
    Promise("images(rows) belong to the caller", handed_over, _SEEN),
    Promise("values(rows) are classes (n, K) within the factors' sizes", values, (counted,)),
    Promise("rows(values) finds rows with these values", inverse, (values,)),
    Promise("rows outside the data are an IndexError", outside, (images, values)),
    Promise("images differ, and their pixels use 0 to 255", pixels, _SEEN),
    Promise("a factor that varies alone changes the picture", visible, (*_SEEN, inverse, pixels)),
    Promise("held_out leaves rows to train on", split, (counted,)),
    Promise("draw(rng, n) follows the generator within the training rows", drawn, (split,)),
    Promise("a pickle gives the same data set in another process", travels, (*_SEEN, described)),
    Promise("made twice, it is the same", twice, (*_SEEN, described)),
    Promise(f"speed of a batch of {ROWS} images", timed, _SEEN),
)
