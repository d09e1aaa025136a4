"""What a data set promises: `bench check` on a subclass of FactorData, or on a file of arrays."""

import pickle
import time

import numpy as np

from bench.check.dataset_parts import (
    LABELS,
    ROWS,
    Subject,
    alone,
    counted,
    described,
    factors,
    handed_over,
    image_shape,
    images,
    made,
    pixels,
    same,
    steady,
    visible,
)
from bench.check.promises import Broken, Odd, Promise, named

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
