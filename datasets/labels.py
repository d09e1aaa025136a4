"""A user's own labels, of whatever type, as the classes and numbers of factors.

The rule is that of `Representation.of` in the metrics, which a test compares with this one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blocks import WrongFileError, shown
from .factors import KINDS, MISSING, Factor

CLASSES = 2_000  # of one factor: tables and predictors of the metrics have a column for each
PARTS = 20  # classes of equal frequency that a continuous factor is cut into

_COUNTED = 20  # images from which consecutive numbers are taken for those of the images
_NAMED = 4  # factors that a note names before it counts the others
_SHOWN = 6  # classes that a note shows

_NO_WORD = ("", "nan")
_NO_NUMBER = (*_NO_WORD, "na", "n/a", "none", "null")
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Labels:
    """The factors of N images.

    Attributes:
        factors: K of them.
        classes: (N, K), -1 where a label is missing.
        numbers: (N, K), the value of each continuous factor; None if there is none.
        notes: what was taken for what, a line for each group of factors.
    """

    factors: tuple[Factor, ...]
    classes: NDArray[np.int64]
    numbers: NDArray[np.float64] | None
    notes: tuple[str, ...]


def none_of(count: int) -> Labels:
    """Images without a factor."""
    return Labels((), np.zeros((count, 0), dtype=np.int64), None, ())


def read(
    columns: Sequence[NDArray[Any]],
    names: Sequence[str],
    kinds: Sequence[str] | None,
    sizes: Sequence[int] | None,
    training: NDArray[np.bool_],
) -> Labels:
    """The factors behind columns of labels.

    Words, and true and false, are categorical; whole numbers are ordinal; numbers with fractions
    are continuous. A missing label is NaN, an empty word, or -1 where it is no class of its own,
    see `_marks_missing`. Words, and whole numbers that are no class indices (below 0, or with more
    gaps than classes), are numbered in sorted order; if there are `sizes`, all numbers are indices.
    A continuous factor is cut into classes of equal frequency.

    Args:
        columns: of each factor, (N,).
        names: of the factors.
        kinds: of the factors, if they are known.
        sizes: numbers of classes, if they are known.
        training: (N,) images that are not held out, by which continuous factors are cut.

    Raises:
        WrongFileError: a column has a type that is no label, no label at all, or too many classes.
    """
    factors, classes, numbers = [], [], []
    said: dict[str, list[str]] = {}
    for k, (column, name) in enumerate(zip(columns, names, strict=True)):
        kind = kinds[k] if kinds else None
        size = int(sizes[k]) if sizes and sizes[k] else None
        one = _column(_known_type(column, name), name, kind, size, training)
        factors.append(one.factor)
        classes.append(one.classes)
        numbers.append(one.numbers)
        said.setdefault(one.note, []).append(name)
    shape = (len(training), len(factors))
    return Labels(
        tuple(factors),
        np.stack(classes, axis=1) if factors else np.zeros(shape, dtype=np.int64),
        np.stack(numbers, axis=1) if any(f.kind == "continuous" for f in factors) else None,
        tuple(f"{some(names)}: {note}" for note, names in said.items()),
    )


def parsed(cells: Sequence[str]) -> NDArray[Any]:
    """A column of a text file as bool, whole numbers, floats (NaN is a missing one), or words.

    The words that stand for a missing number are those of pandas and R.
    """
    words = np.char.strip(np.array(cells, dtype=str))
    lower = np.char.lower(words)
    absent = np.isin(lower, _NO_NUMBER)
    rest = np.unique(lower[~absent]).tolist()
    if rest and all(_NUMBER.fullmatch(word) for word in rest):
        if absent.any() or not all(_WHOLE.fullmatch(word) for word in rest):
            return np.where(absent, "nan", words).astype(np.float64)
        return words.astype(np.int64)
    if rest and set(rest) <= {"true", "false"}:
        return np.where(absent, "", lower) if absent.any() else np.asarray(lower == "true")
    return words


def _known_type(column: NDArray[Any], name: str) -> NDArray[Any]:
    """A column as bool, numbers, or words, of which the empty ones are missing labels.

    Words that are all numbers, some with fractions, are numbers: they were turned into words by the
    column beside them.

    Raises:
        WrongFileError: its type is none of these.
    """
    if column.dtype.kind in "biuf":
        return column
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "replace")
    if column.dtype.kind != "U":
        raise WrongFileError(
            f"has labels of {name} as {column.dtype}: give numbers, words, or true and false"
        )
    words = np.where(np.isin(np.char.lower(column), _NO_WORD), "", column)
    rest = np.unique(words[words != ""]).tolist()
    if all(_NUMBER.fullmatch(w) for w in rest) and not all(_WHOLE.fullmatch(w) for w in rest):
        return np.where(words == "", "nan", words).astype(np.float64)
    return words


@dataclass(frozen=True)
class _Column:
    factor: Factor
    classes: NDArray[np.int64]
    numbers: NDArray[np.float64]
    note: str


def _column(
    column: NDArray[Any],
    name: str,
    kind: str | None,
    size: int | None,
    training: NDArray[np.bool_],
) -> _Column:
    """One factor; its kind and number of classes may be known."""
    if kind is not None and kind not in KINDS:
        raise WrongFileError(f"has {kind!r} as the kind of {name}: use {', '.join(KINDS)}")
    if column.dtype.kind == "f" and np.isinf(column).any():
        raise WrongFileError(f"has infinite labels of {name}: a missing label is NaN")
    what, guess = _guess(column)
    why = "" if kind else f" ({what})"
    kind = kind or guess
    if kind == "continuous":
        return _continuous(column, name, why, size, training)
    if column.dtype.kind == "f" and guess == "continuous":
        raise WrongFileError(f"has fractions as labels of {name}: call its kind continuous")
    known, marker = _known(column, size)
    if not known.any():
        raise WrongFileError(f"has no label of {name}: leave the factor out")
    indices, values, labels = _numbered(column[known], name, size)
    if len(values) > CLASSES:
        raise WrongFileError(
            f"has {len(values):,} classes of {name}, of at most {CLASSES:,}: call its kind "
            "continuous, or leave the factor out"
        )
    classes = np.full(len(column), MISSING, dtype=np.int64)
    classes[known] = indices
    occurring = len(np.unique(indices))
    parts = [f"{kind}{why}, {len(values)} {'class' if len(values) == 1 else 'classes'}"]
    if labels:
        parts[0] += f" ({_list(labels)})"
    elif occurring < len(values):
        parts.append(f"{occurring} of them occur")
    elif values != tuple(range(len(values))):
        parts[0] += f" (0 to {len(values) - 1} are {_list([f'{v:g}' for v in values])})"
    if not known.all():
        parts.append(f"{known.sum():,} of {len(known):,} labelled, the others are {marker}")
    if occurring == 1:
        parts.append("always the same, so that nothing can be scored of it")
    if _counts_rows(column):
        parts.append("it numbers the images, so leave it out if it is an index")
    return _Column(
        Factor(name, len(values), kind, values, labels),
        classes,
        np.where(known, classes, np.nan),
        "; ".join(parts),
    )


def _numbered(
    column: NDArray[Any], name: str, size: int | None
) -> tuple[NDArray[np.int64], tuple[float, ...], tuple[str, ...]]:
    """Indices of the classes in a column without missing labels, their values, and their words.

    Raises:
        WrongFileError: the declared size does not suit the classes.
    """
    present, indices = np.unique(column, return_inverse=True)
    if column.dtype.kind == "U" and all(_WHOLE.fullmatch(word) for word in present.tolist()):
        order = np.array(sorted(range(len(present)), key=lambda k: (int(present[k]), present[k])))
        present, indices = present[order], order.argsort()[indices]
    indices = indices.reshape(-1).astype(np.int64)
    if column.dtype.kind in "bU":
        if size not in (None, len(present)):
            raise WrongFileError(
                f"has the size {size} for {name}, of {len(present)} classes: leave it out"
            )
        words = present.tolist() if column.dtype.kind == "U" else map(str.lower, map(str, present))
        return indices, tuple(map(float, range(len(present)))), tuple(words)
    if size is None and (present[0] < 0 or 2 * len(present) <= present[-1]):
        return indices, tuple(map(float, present)), ()
    if size is None:
        return column.astype(np.int64), tuple(map(float, range(int(present[-1]) + 1))), ()
    wrong = present[0] if present[0] < 0 else present[-1]
    if wrong < 0 or not wrong < size <= CLASSES:
        raise WrongFileError(
            f"has in the array 'factor_sizes' {size} for {name}, of class {wrong:g}: give a size "
            f"above all classes, up to {CLASSES:,}"
        )
    return column.astype(np.int64), tuple(map(float, range(size))), ()


def _continuous(
    column: NDArray[Any],
    name: str,
    why: str,
    size: int | None,
    training: NDArray[np.bool_],
) -> _Column:
    if column.dtype.kind == "U":
        raise WrongFileError(f"has words as labels of {name}: they are not continuous")
    numbers = column.astype(np.float64)
    known = np.isfinite(numbers)
    if not (known & training).any():
        raise WrongFileError(f"has no label of {name} to train on: leave the factor out")
    if size is not None and not 2 <= size <= CLASSES:
        raise WrongFileError(
            f"has the size {size} for {name}, which is continuous: cut it into 2 to {CLASSES:,} "
            "classes, or leave it out of 'factor_sizes'"
        )
    edges = _edges(numbers[known & training], size or PARTS)
    classes = np.where(known, np.searchsorted(edges, numbers, side="left"), MISSING)
    count = len(edges) + 1
    # a part that only held-out images are in does not exist, as every edge has images on both sides
    values = tuple(float(np.median(numbers[training & (classes == part)])) for part in range(count))
    low, high = numbers[known].min(), numbers[known].max()
    parts = [f"continuous{why}, {low:g} to {high:g}, in {count} classes of equal frequency"]
    parts[0] += " for metrics that need classes"
    if not known.all():
        parts.append(f"{known.sum():,} of {len(known):,} labelled, the others are NaN")
    if count == 1:
        parts.append("always the same, so that nothing can be scored of it")
    factor = Factor(name, count, "continuous", values)
    return _Column(factor, classes.astype(np.int64), numbers, "; ".join(parts))


def _guess(column: NDArray[Any]) -> tuple[str, str]:
    """What a column of some type is, in words, and the kind of its factor."""
    match column.dtype.kind:
        case "U":
            return "words", "categorical"
        case "b":
            return "true or false", "categorical"
        case "f":
            known = column[np.isfinite(column)]
            if (known != np.rint(known)).any():
                return "numbers with fractions", "continuous"
    return "whole numbers", "ordinal"


def _known(column: NDArray[Any], size: int | None) -> tuple[NDArray[np.bool_], str]:
    """Which labels of a factor that is not continuous are there, and what marks the others."""
    if column.dtype.kind == "b":
        return np.ones(len(column), dtype=bool), ""
    if column.dtype.kind == "U":
        return column != "", "empty"
    explicit = np.isfinite(column)
    marker = "NaN" if not explicit.all() else ""
    if not _marks_missing(np.unique(column[explicit]), size):
        return explicit, marker
    return explicit & (column != MISSING), f"{marker} or -1" if marker else "-1"


def _marks_missing(present: NDArray[Any], size: int | None) -> bool:
    """Whether -1 among the `present` classes is a missing label, and not a class of its own.

    It is where classes are numbered from 0: where their number is declared, or beside at least two
    others, all of them at least 0, and not only 0 and 1; or if there is no other. Labels of -1 and
    1, as those of CelebA, are two classes.
    """
    if MISSING not in present:
        return False
    others = present[present != MISSING]
    if size is not None or not len(others):
        return True
    return bool(len(others) > 1 and others[0] >= 0 and others[-1] > 1)


def _counts_rows(column: NDArray[Any]) -> bool:
    """Whether a column of numbers is 0, 1, 2, ... or 1, 2, 3, ..."""
    if len(column) < _COUNTED or column.dtype.kind == "U" or column[0] not in (0, 1):
        return False
    return bool((column == column[0] + np.arange(len(column))).all())


def _edges(numbers: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Inner edges of parts with equally many numbers, as far as equal numbers allow."""
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) == 1:
        return np.empty(0)
    below = np.cumsum(counts)[:-1]
    wanted = np.arange(1, count) * len(numbers) / count
    upper = np.searchsorted(below, wanted).clip(max=len(below) - 1)
    lower = (upper - 1).clip(min=0)
    cuts = np.unique(np.where(wanted - below[lower] <= below[upper] - wanted, lower, upper))
    edges: NDArray[np.float64] = 0.5 * values[cuts] + 0.5 * values[cuts + 1]
    return edges


def some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    names = [shown(name) for name in names]
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def _list(words: Sequence[str]) -> str:
    words = [shown(word) for word in words]
    if len(words) <= _SHOWN:
        return ", ".join(words)
    return f"{', '.join(words[: _SHOWN - 1])}, ..., {words[-1]}"
