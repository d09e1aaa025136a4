"""One normalisation of labels for all inputs: from a column of anything to the classes of a factor.

The rules, in this order:

- NaN, None, NA and masked values are missing labels, whatever else there is.
- Words, booleans and pandas' categories are classes; words in sorted order (as numbers if they all
  are), false before true, categories in their own order. Only classes that occur are counted.
- Numbers with fractions are continuous: classes of equal frequency, and the number itself.
- Whole numbers are ordinal classes. Those that start near 0 and leave out no more than they use
  are class indices as they are; all others, and negative ones, are numbered in sorted order.
- Among whole numbers, -1 is a missing label only where it cannot be a class of its own: beside at
  least two others, all of them at least 0, and not only 0 and 1; or if there is no other. So -1 is
  a class in {-1, 1}, {-1, 0}, {-2, -1, 0} and {-1, 0, 1}, and a missing label in {-1, 0, 1, 2}.
  What was decided is a note, and a warning where it may be wrong. If the number of classes is
  given, numbers are class indices as they are, and -1 is a missing label.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import MISSING, IntArray
from .binning import apply_edges, equal_frequency_edges
from .columns import Column

CLASSES = 20  # classes of a continuous factor, for the metrics that need classes
LARGEST = 2_000  # classes of a factor or latent: tables and predictors have a column for each
ROW_NUMBERS = 20  # from as many rows on, a factor that has each number once is an index
UNDECIDED = 0.5  # of the rows of a mean class: from so many -1 on, they may be a class


@dataclass(frozen=True, eq=False)
class Labels:
    """A factor of N rows.

    Attributes:
        classes: (N,) the class index, -1 where the label is missing.
        values: (N,) the number behind each label of a continuous factor, else NaN.
        kind: of the factor.
        size: the number of its classes.
        note: one line on what was read and how.
        warnings: what may have been read wrongly.
    """

    classes: IntArray
    values: NDArray[np.float64]
    kind: str
    size: int
    note: str
    warnings: tuple[str, ...]


def inferred_kind(column: Column) -> str:
    """The kind of a factor unless it is given.

    Words and booleans are categorical, pandas' categories as they say; whole numbers are ordinal,
    all others continuous.
    """
    if column.order is not None:
        return "ordinal" if column.ordered else "categorical"
    if column.values.dtype.kind in "Ub":
        return "categorical"
    return "ordinal" if _whole(column.known) else "continuous"


def labels(column: Column, name: str, kind: str | None, size: int, rows: int) -> Labels:
    """The labels of one factor.

    Args:
        column: the values of all rows, those held out last.
        name: of the factor.
        kind: None if it is to be inferred.
        size: the number of classes, 0 if it is to be inferred.
        rows: how many of the rows are not held out; a continuous factor is cut by these.

    Raises:
        ValueError: the values are infinite, or do not suit the kind, or have too many classes.
    """
    numbers = column.values.dtype.kind == "f"
    if numbers and np.isinf(column.known).any():
        raise ValueError(f"factors has infinite values in {name}: a missing label is NaN")
    known_kind = inferred_kind(column) if kind is None else kind
    values, missing = np.full(len(column), np.nan), column.missing
    said, warnings = [_what(column)], list(_row_numbers(column, name))
    if known_kind == "continuous":
        if column.values.dtype.kind == "U":
            raise ValueError(f"factor {name} holds words: they are classes, not a continuous kind")
        values = np.where(missing, np.nan, column.values.astype(np.float64))
        classes = _cut(values, rows, size or CLASSES)
        size = max(int(classes.max(initial=0)) + 1, 1)
    elif column.values.dtype.kind in "Ub":
        classes, size = _by_order(column, _ordered(column), size)
    else:
        if not _whole(column.known):
            raise ValueError(
                f"factor {name} has fractions: call its kind continuous, or give classes"
            )
        index = np.where(missing, MISSING, column.values).astype(np.int64)
        if size:
            classes = index
        else:
            lost, remark, doubt = _sentinel(index, missing, name)
            missing = missing | lost
            said += remark
            warnings += doubt
            classes, size, remark = _numbered(index, missing)
            said += remark
    if size > LARGEST:
        raise ValueError(
            f"factor {name} has {size:,} classes, of at most {LARGEST:,}: "
            + (
                "it looks like an index, leave it out"
                if warnings
                else "call its kind continuous, or leave it out"
            )
        )
    said.append(f"taken as {known_kind}" if kind is None else f"{kind} as given")
    said.append(f"{size} classes" + (" of equal frequency" if known_kind == "continuous" else ""))
    kept = int((classes[:rows] != MISSING).sum())
    said.append(f"{kept:,} of {rows:,} rows kept" if kept < rows else f"all {rows:,} rows kept")
    return Labels(
        classes, values, known_kind, size, f"factor {name}: {', '.join(said)}", tuple(warnings)
    )


def class_indices(column: Column) -> IntArray | None:
    """(N,) classes of a column of booleans or words, none missing; None for numbers."""
    if column.values.dtype.kind not in "Ub" or column.missing.any():
        return None
    return _by_order(column, _ordered(column), 0)[0]


def _whole(known: NDArray[np.generic]) -> bool:
    return known.dtype.kind != "f" or bool((known == np.rint(known)).all())


def _what(column: Column) -> str:
    if column.order is not None:
        return "categories in order" if column.ordered else "categories"
    named = {"U": "words", "b": "true or false"}
    if (kind := column.values.dtype.kind) in named:
        return named[kind]
    return "whole numbers" if _whole(column.known) else "numbers"


def _ordered(column: Column) -> NDArray[np.generic]:
    """The classes of words or booleans that occur, in their order."""
    occurring = np.unique(column.known)
    if column.order is not None:
        return np.array([word for word in column.order if word in set(occurring.tolist())])
    words = occurring.tolist()
    if occurring.dtype.kind == "U" and all(word.lstrip("+-").isdecimal() for word in words):
        return np.array(sorted(words, key=lambda word: (int(word), word)))
    return occurring


def _by_order(column: Column, classes: NDArray[np.generic], size: int) -> tuple[IntArray, int]:
    """(N,) the place of each value among the classes, and their number."""
    index = np.full(len(column), MISSING, dtype=np.int64)
    if len(classes):
        sorter = np.argsort(classes, kind="stable")
        index[~column.missing] = sorter[np.searchsorted(classes, column.known, sorter=sorter)]
    return index, size or max(len(classes), 1)


def _sentinel(
    index: IntArray, missing: NDArray[np.bool_], name: str
) -> tuple[NDArray[np.bool_], list[str], list[str]]:
    """Where -1 is a missing label; what was decided, and what is doubtful about it."""
    marked = ~missing & (index == -1)
    count = int(marked.sum())
    others = np.unique(index[~missing & ~marked])
    if not count or (len(others) and others[0] < 0):
        return np.zeros_like(marked), [], []
    if not len(others):
        return marked, ["-1 is a missing label"], []
    doubt = []
    if len(others) == 1 or others[-1] < 2:
        if len(others) > 1:
            doubt.append(
                f"factor {name}: -1, 0 and 1 were taken for three classes; if -1 is a missing "
                "label, give NaN instead"
            )
        return np.zeros_like(marked), ["-1 is a class"], doubt
    if count >= UNDECIDED * (int((~missing).sum()) - count) / len(others):
        doubt.append(
            f"factor {name}: -1 was taken for a missing label in {count:,} rows; number the "
            "classes from 0 if it is one of them"
        )
    return marked, [f"-1 is a missing label in {count:,} rows"], doubt


def _numbered(index: IntArray, missing: NDArray[np.bool_]) -> tuple[IntArray, int, list[str]]:
    """Class indices as they are, or by sorted order where they are none; how many; a remark."""
    classes = np.unique(index[~missing])
    if not len(classes):
        return np.full_like(index, MISSING), 1, []
    low, high = int(classes[0]), int(classes[-1])
    if low >= 0 and 2 * len(classes) > high:
        return np.where(missing, MISSING, index), high + 1, []
    numbered = np.full_like(index, MISSING)
    numbered[~missing] = np.searchsorted(classes, index[~missing])
    return numbered, len(classes), [f"{low} to {high} numbered in order"]


def _cut(numbers: NDArray[np.float64], rows: int, size: int) -> IntArray:
    """(N,) classes of equal frequency among the known of the first `rows` numbers."""
    known = np.isfinite(numbers)
    first = numbers[:rows][known[:rows]]
    edges = equal_frequency_edges(first, size) if len(first) else np.empty(0)
    return np.where(known, apply_edges(numbers, edges), MISSING)


def _row_numbers(column: Column, name: str) -> list[str]:
    """A warning if a column numbers the rows, in whatever order."""
    values = column.values
    if len(values) < ROW_NUMBERS or values.dtype.kind not in "iuf" or column.missing.any():
        return []
    first = values.min()
    if first not in (0, 1) or values.max() - first != len(values) - 1 or not _whole(values):
        return []
    if len(np.unique(values)) < len(values):
        return []
    return [
        f"factor {name} numbers the rows from {int(first)} to {int(values.max())}: it looks like "
        "an index, leave it out"
    ]
