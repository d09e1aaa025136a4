"""What a data set promises: `bench check` on a subclass of FactorData, or on a file of arrays."""

import math
import pickle
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.check.promises import Caveat, Promise, PromiseBrokenError, in_words
from bench.datasets import Factor, FactorData
from bench.datasets.factors import MISSING

ROWS = 64  # looked at, and in the batch that is timed
PAIRS = 24  # of images that differ in one factor
LABELS = 2_000  # rows whose values are looked at
DRAWN = 500  # rows drawn to train on
SMALLEST, LARGEST = 28, 128  # pixels per side
HEAVY = 2**20  # bytes


class DatasetSubject:
    """A data set by how it is made; made once, on first use."""

    def __init__(self, make: Callable[[], FactorData]) -> None:
        self.make = make

    @cached_property
    def data(self) -> FactorData:
        """The data set."""
        return self.make()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Some rows in no order, one of them twice."""
        rows = np.random.default_rng(0).integers(len(self.data), size=ROWS)
        rows[-1] = rows[0]
        return rows

    @cached_property
    def is_grid(self) -> bool:
        """Whether every combination of factors is there once."""
        if len(self.data) != math.prod(self.data.sizes):
            return False
        values = self.data.values(np.arange(min(LABELS, len(self.data))))
        return len(np.unique(values, axis=0)) == len(values)

    def attribute(self, name: str) -> Any:
        """An attribute that every data set has."""
        if not hasattr(self.data, name):
            raise PromiseBrokenError(
                f"the attribute {name}", "none", f"set self.{name} in the constructor"
            )
        return getattr(self.data, name)


def is_factor_data(subject: DatasetSubject) -> None:
    if not isinstance(subject.data, FactorData):
        raise PromiseBrokenError(
            "a bench.datasets.FactorData", type(subject.data).__name__, "subclass FactorData"
        )


def has_factors(subject: DatasetSubject) -> str:
    factors = subject.attribute("factors")
    if not isinstance(factors, tuple | list):
        raise PromiseBrokenError(
            "a tuple of factors", repr(factors)[:80], "give a tuple, () if there are none"
        )
    for factor in factors:
        if not isinstance(factor, Factor):
            raise PromiseBrokenError(
                "each to be a Factor",
                type(factor).__name__,
                "use bench.datasets.Factor(name, size, ...)",
            )
    names = [factor.name for factor in factors]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise PromiseBrokenError("a string as each name", str(names), "name every factor")
    if len(set(names)) < len(names):
        raise PromiseBrokenError("different names", ", ".join(names), "use each name once")
    return ", ".join(f"{factor.name} {factor.size}" for factor in factors) or "none"


def has_image_shape(subject: DatasetSubject) -> str:
    shape = subject.attribute("image_shape")
    good = isinstance(shape, tuple) and len(shape) == 3 and shape[0] in (1, 3)
    if not (good and shape[1] == shape[2] and SMALLEST <= shape[1] <= LARGEST):
        raise PromiseBrokenError(
            f"(C, H, W) with 1 or 3 channels, square, {SMALLEST} to {LARGEST} pixels per side",
            repr(shape)[:80],
            "resize the images, and set self.image_shape to their shape",
        )
    return "x".join(map(str, shape))


def has_length(subject: DatasetSubject) -> str:
    if len(subject.data) < 1:
        raise PromiseBrokenError(
            "at least one image", "len 0", "look at __len__ and at the files it counts"
        )
    return f"{len(subject.data):,} images"


def has_description(subject: DatasetSubject) -> None:
    for name, content in (
        ("source", "what these pixels are and where they come from"),
        ("fingerprint", "an identifier that changes whenever a pixel or a label changes"),
    ):
        text = subject.attribute(name)
        if not (isinstance(text, str) and text.strip()) or "\n" in text:
            raise PromiseBrokenError(
                f"{name} as a line of text", repr(text)[:80], f"set it to {content}"
            )


def gives_images(subject: DatasetSubject) -> None:
    data, rows = subject.data, subject.rows
    for some in (rows[:1], rows, np.arange(min(3, len(data)))):
        images = data.images(some)
        shape = (len(some), *data.image_shape)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape:
            raise PromiseBrokenError(
                f"uint8 {shape} for {_counted(some)}",
                _type_and_shape(images),
                "return (n, C, H, W), pixels of 0 to 255, converted by .astype(np.uint8)",
            )


def is_steady(subject: DatasetSubject) -> None:
    if not _identical(subject.data.images(subject.rows), subject.data.images(subject.rows)):
        raise PromiseBrokenError(
            "the same pixels at every call",
            "others at the second",
            "draw what is random once, from a generator with a fixed seed",
        )


def ignores_batch(subject: DatasetSubject) -> None:
    data, rows = subject.data, subject.rows
    batch, reverse = data.images(rows), data.images(rows[::-1])
    single = np.concatenate([data.images(rows[i : i + 1]) for i in range(8)])
    if not (_identical(single, batch[:8]) and _identical(batch, reverse[::-1])):
        raise PromiseBrokenError(
            "each image from its own row, in the order of the rows, repeated ones too",
            "other images alone than in a batch, or in another order",
            "let images(rows)[i] depend on rows[i] only",
        )


def gives_images_away(subject: DatasetSubject) -> None:
    data = subject.data
    for rows in (np.arange(min(4, len(data))), np.zeros(1, dtype=np.int64), subject.rows):
        images = data.images(rows)
        if not images.flags.writeable:
            raise PromiseBrokenError(
                "an array that may be changed", "a read-only one", "return a copy"
            )
        # Not tried by writing: the memory could be that of a file.
        if np.shares_memory(images, data.images(rows)):
            raise PromiseBrokenError(
                "an array of the caller's own",
                "the same memory at two calls",
                "return a copy: .copy()",
            )


def gives_values(subject: DatasetSubject) -> None:
    data = subject.data
    many = np.linspace(0, len(data) - 1, min(LABELS, len(data))).astype(np.int64)
    for rows in (many, subject.rows, subject.rows[:1]):
        values = data.values(rows)
        shape = (len(rows), len(data.factors))
        if (
            not isinstance(values, np.ndarray)
            or values.dtype.kind not in "iu"
            or values.shape != shape
        ):
            raise PromiseBrokenError(
                f"integers {shape} for {_counted(rows)}",
                _type_and_shape(values),
                "return a class for each factor",
            )
        for factor, column in zip(data.factors, values.T, strict=True):
            if column.min() < MISSING or column.max() >= factor.size:
                raise PromiseBrokenError(
                    f"classes of {factor.name} from 0 to {factor.size - 1}",
                    f"{column.min()} to {column.max()}",
                    "number the classes from 0 (-1 for a missing label), or give the factor its "
                    "true size",
                )


def inverts_values(subject: DatasetSubject) -> None:
    data, rows = subject.data, subject.rows
    values = data.values(rows)
    labelled = (values != MISSING).all(axis=1)
    rows, values = rows[labelled], values[labelled]
    if not values.size:
        return
    inverse = data.rows(values)
    if not _identical(data.values(inverse), values):
        raise PromiseBrokenError(
            "rows with these very values",
            "rows with others",
            "let rows() undo values(); a full grid in C order, the last factor fastest, or a "
            "LabelledData needs no rows() of its own",
        )
    if subject.is_grid and not _identical(inverse, rows):
        raise PromiseBrokenError("the same rows", "others", "let rows() undo values()")


def refuses_other_rows(subject: DatasetSubject) -> None:
    data = subject.data
    for name, method in (("images", data.images), ("values", data.values)):
        for row in (-1, len(data)):
            try:
                method(np.array([row]))
            except IndexError:
                continue
            except Exception as error:
                got = in_words(error)
            else:
                got = "an array"
            raise PromiseBrokenError(
                f"IndexError from {name}([{row}]), as rows are 0 to {len(data) - 1}",
                got,
                f"begin {name} with rows = self.checked(rows)",
            )


def uses_pixel_range(subject: DatasetSubject) -> None:
    images = subject.data.images(subject.rows)
    if len(np.unique(subject.rows)) > 1 and (images == images[0]).all():
        raise PromiseBrokenError(
            "images that differ", "one image for all rows", "use `rows` in images()"
        )
    if images.max() <= 1:
        raise PromiseBrokenError(
            "pixels of 0 to 255", f"none above {images.max()}", "multiply the images by 255"
        )


def shows_factors(subject: DatasetSubject) -> str | None:
    hidden = []
    for k, factor in enumerate(subject.data.factors):
        rows, others = _pairs(subject, k)
        if len(rows) and _identical(subject.data.images(rows), subject.data.images(others)):
            hidden.append(f"{factor.name} ({len(rows)} pairs)")
    if hidden:
        return Caveat(
            f"no image changed with {', '.join(hidden)} alone: right if it cannot be seen, "
            "but then no model can learn it"
        )
    return None


def holds_out_rows(subject: DatasetSubject) -> str | None:
    data = subject.data
    count, held_out = len(data), data.held_out
    if not isinstance(held_out, int | np.integer) or not 0 <= held_out < count:
        raise PromiseBrokenError(
            f"held_out from 0 to {count - 1}", repr(held_out), "leave some rows to train on"
        )
    if data.training != count - held_out:
        raise PromiseBrokenError(
            f"training = len - held_out = {count - held_out}",
            str(data.training),
            "set held_out only, and put these rows at the end",
        )
    return f"the last {held_out:,} images are held out" if held_out else None


def draws_training_rows(subject: DatasetSubject) -> None:
    data = subject.data
    rows, again, others = (data.draw(np.random.default_rng(s), DRAWN) for s in (0, 0, 1))
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "iu" or rows.shape != (DRAWN,):
        raise PromiseBrokenError(f"{DRAWN} integers", repr(rows)[:80], "return an array of rows")
    if rows.min() < 0 or rows.max() >= data.training:
        raise PromiseBrokenError(
            f"rows to train on, 0 to {data.training - 1}",
            f"{rows.min()} to {rows.max()}",
            "never draw rows that are held out",
        )
    if not _identical(rows, again) or (data.training > 1 and _identical(rows, others)):
        raise PromiseBrokenError(
            "rows from the given generator: the same for one seed, others for another",
            "rows that do not follow it",
            "draw with rng, and from nothing else",
        )


def can_be_pickled(subject: DatasetSubject) -> str | None:
    remedy = "set reopen_with to the arguments that build the data set again"
    try:
        sent = pickle.dumps(subject.data)
        received = pickle.loads(sent)
    except Exception as error:  # every class has its own
        raise PromiseBrokenError(
            "a data set that can be pickled", in_words(error), remedy
        ) from error
    rows = subject.rows[:8]
    same = received.fingerprint == subject.data.fingerprint
    if not (same and _identical(received.images(rows), subject.data.images(rows))):
        raise PromiseBrokenError("the same fingerprint and images", "others", remedy)
    if len(sent) > HEAVY:
        return Caveat(
            f"the pickle has {len(sent) / 2**20:.0f} MiB, which every worker process would get: "
            "set reopen_with to the arguments that build the data set again, which is lighter"
        )
    return None


def is_reproducible(subject: DatasetSubject) -> None:
    other = subject.make()
    if other.fingerprint != subject.data.fingerprint:
        raise PromiseBrokenError(
            "the same fingerprint",
            f"{subject.data.fingerprint!r} and then {other.fingerprint!r}",
            "compute it from the content alone: no time, no counter, no random number",
        )
    rows = subject.rows[:8]
    if not _identical(other.images(rows), subject.data.images(rows)):
        raise PromiseBrokenError(
            "the same images for one fingerprint", "others", "draw with a fixed seed in __init__"
        )


def is_timed(subject: DatasetSubject) -> str:
    started = time.perf_counter()
    subject.data.images(subject.rows)
    return f"{1e3 * (time.perf_counter() - started):.2g} ms"


_IMAGES = (gives_images, is_steady)
PROMISES = (
    Promise("it can be made, and is a FactorData", is_factor_data),
    Promise("factors have names, kinds and sizes", has_factors, (is_factor_data,)),
    Promise("image_shape is one that models take", has_image_shape, (is_factor_data,)),
    Promise("len() counts the images", has_length, (is_factor_data, has_factors)),
    Promise("source and fingerprint are one line each", has_description, (is_factor_data,)),
    Promise("images(rows) are uint8 (n, C, H, W)", gives_images, (has_image_shape, has_length)),
    Promise("images(rows) are the same at every call", is_steady, (gives_images,)),
    Promise("an image does not depend on the rest of its batch", ignores_batch, _IMAGES),
    Promise("images(rows) belong to the caller", gives_images_away, _IMAGES),
    Promise(
        "values(rows) are classes (n, K) within the factors' sizes", gives_values, (has_length,)
    ),
    Promise("rows(values) finds rows with these values", inverts_values, (gives_values,)),
    Promise(
        "rows outside the data are an IndexError", refuses_other_rows, (gives_images, gives_values)
    ),
    Promise("images differ, and their pixels use 0 to 255", uses_pixel_range, _IMAGES),
    Promise(
        "a factor that varies alone changes the image",
        shows_factors,
        (*_IMAGES, inverts_values, uses_pixel_range),
    ),
    Promise("held_out leaves rows to train on", holds_out_rows, (has_length,)),
    Promise(
        "draw(rng, n) follows the generator within the training rows",
        draws_training_rows,
        (holds_out_rows,),
    ),
    Promise(
        "a pickle gives the same data set in another process",
        can_be_pickled,
        (*_IMAGES, has_description),
    ),
    Promise("made twice, it is the same", is_reproducible, (*_IMAGES, has_description)),
    Promise(f"speed of a batch of {ROWS} images", is_timed, _IMAGES),
)


def _pairs(subject: DatasetSubject, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows (m,) and (m,) that differ in factor k only; none if the data has no such pair."""
    data, rng = subject.data, np.random.default_rng(k)
    if data.factors[k].size < 2:
        return subject.rows[:0], subject.rows[:0]
    if subject.is_grid:
        rows = subject.rows[:PAIRS]
        values = data.values(rows).astype(np.int64)
        values[:, k] += rng.integers(1, data.factors[k].size, size=len(rows))
        values[:, k] %= data.factors[k].size
        return rows, data.rows(values)
    rows = np.unique(rng.integers(len(data), size=LABELS))
    labels = data.values(rows)
    _, group = np.unique(np.delete(labels, k, axis=1), axis=0, return_inverse=True)
    order = np.lexsort((labels[:, k], group.reshape(-1)))
    group, label = group.reshape(-1)[order], labels[order, k]
    ends = np.flatnonzero((group[1:] == group[:-1]) & (label[1:] != label[:-1]))[:PAIRS]
    return rows[order[ends]], rows[order[ends + 1]]


def _identical(array: Any, other: Any) -> bool:
    return bool(np.array_equal(array, other))


def _counted(rows: NDArray[np.int64]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _type_and_shape(array: Any) -> str:
    return f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
