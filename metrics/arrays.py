"""The arrays of a representation: their types, and what each must be.

Whatever is refused raises a ValueError of one line that names the array and the remedy.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

FACTOR_KINDS = ("categorical", "ordinal", "cyclic", "continuous")
MISSING = -1  # the class index of a missing label

_LAYOUTS = {
    "logvar": "one value per value of codes",
    "kl": "one value per latent, continuous ones first",
    "probabilities": "one column per category, one categorical latent after the other",
}


def matrix(name: str, array: NDArray[Any], letter: str) -> NDArray[Any]:
    """The array, if it has rows and columns."""
    if np.ma.is_masked(array):
        raise ValueError(f"{name} is masked: fill it (-1 or NaN is a missing label), or drop rows")
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}: reshape it to (N, {letter})")
    return array


def floats(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array with a float type, if all its values are finite."""
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        if array.dtype.kind != "f":
            raise ValueError(f"{name} has type {array.dtype}: give real numbers, as floats")
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values: drop the diverged model or rows")
    return array


def codes(array: NDArray[Any]) -> NDArray[Any]:
    """(N, D) floats; integers are refused, as they may be categories in the wrong place."""
    array = matrix("codes", array, "D")
    if array.dtype.kind in "iub" and array.shape[1]:
        raise ValueError(
            f"codes has type {array.dtype}: give categories as `categories`, "
            "or turn codes that are numbers into floats"
        )
    return floats("codes", array.astype(np.float64) if array.dtype.kind in "iub" else array)


def shaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array with a float type, if it has exactly this shape."""
    array = np.asarray(array)
    if array.shape != shape:
        raise ValueError(f"{name} is {array.shape}: it must be {shape}, {_LAYOUTS[name]}")
    return floats(name, array.astype(np.float64) if array.dtype.kind in "iu" else array)


def classes(name: str, array: NDArray[Any], sizes: Sequence[int], lowest: int) -> IntArray:
    """The (N, C) or (N, K) class indices, if each is at least `lowest` and below its size."""
    array = matrix(name, array, "C" if name == "categories" else "K")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} has type {array.dtype}: give integer class indices")
    if not np.can_cast(array.dtype, np.int64):  # uint64, whose sums with int64 are floats
        array = array.astype(np.int64)
    if array.shape[1] != len(sizes):
        raise ValueError(f"{name} has {array.shape[1]} columns but {len(sizes)} sizes: match them")
    missing = " (-1 where a label is missing)" if lowest < 0 else ""
    for j, size in enumerate(sizes):
        column = array[:, j]
        if len(column) and (column.min() < lowest or column.max() >= size):
            raise ValueError(
                f"{name} column {j} runs from {column.min()} to {column.max()}: "
                f"class indices must lie in 0 to {size - 1}{missing}"
            )
    return array


def flags(name: str, array: NDArray[Any], rows: int) -> BoolArray:
    """The (N,) booleans, if there is one for each row."""
    array = np.asarray(array)
    if array.dtype != bool or array.shape != (rows,):
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}: it must be bool ({rows},), one for each row"
        )
    return array


def same_rows(**arrays: NDArray[Any]) -> None:
    """Checks that all arrays have as many rows, and at least one."""
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"numbers of rows differ ({rows}): give one row per image in each")
    if not all(rows.values()):
        raise ValueError("codes has no rows: encode at least one image")


def factor_labels(names: Sequence[str], kinds: Sequence[str], columns: int) -> None:
    """Checks that each of the K factors has a name of its own and a kind."""
    if not columns:
        raise ValueError("factors has no columns: give at least one factor")
    if not len(names) == len(kinds) == columns:
        raise ValueError(
            f"factors has {columns} columns: give as many factor_names and "
            f"factor_kinds, not {len(names)} and {len(kinds)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"factor_names {tuple(names)} repeat: name each factor once")
    unknown = sorted(set(kinds) - set(FACTOR_KINDS))
    if unknown:
        raise ValueError(f"factor_kinds has {unknown}: use {', '.join(FACTOR_KINDS)}")


def values(
    array: NDArray[Any] | None, factors: NDArray[Any], kinds: Sequence[str]
) -> NDArray[np.float64]:
    """The (N, K) numbers, if they are finite wherever a continuous factor has a label."""
    if array is None:
        raise ValueError("a factor is continuous: give its numbers in values")
    array = np.asarray(array)
    if array.shape != factors.shape:
        raise ValueError(f"values is {array.shape}: it must be like factors, {factors.shape}")
    numbers = array.astype(np.float64)
    for k, kind in enumerate(kinds):
        if kind == "continuous" and not np.isfinite(numbers[factors[:, k] >= 0, k]).all():
            raise ValueError(f"values column {k} has NaN or infinite values: mark them by class -1")
    return numbers
