"""Latents that are vectors: which columns of the codes are one latent, and what a vector is worth.

A slot, a concept token, or the (cos, sin) of an angle is one latent of several columns. `groups`
says how many columns each latent has, in the order of the columns; None is one column each.
"""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray

Groups: TypeAlias = tuple[int, ...] | None
Widths: TypeAlias = str | Sequence[int] | NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]

_PART = re.compile(r"\s*(\d{1,9})\s*(?:x\s*(\d{1,9})\s*)?")
_MOST = 10_000_000  # latents: more are a slip of the pen
_USAGE = "write WIDTHxCOUNT, such as 16x20 for 20 latents of 16 columns each, or widths as in 4,4,2"

# How vectors can be made numbers, see `Representation.reduced`.
REDUCTIONS = ("pca1",)


def widths_in(given: Widths) -> tuple[int, ...]:
    """How many columns each latent has, from a list of widths or a text such as `16x20,1x3`.

    A part `16x20` of a text is 20 latents of 16 columns each, and a part `4` is one of 4.

    Raises:
        ValueError: it is neither, or a width is below 1.
    """
    if isinstance(given, str):
        widths: list[int] = []
        for part in given.split(","):
            match = _PART.fullmatch(part)
            if match is None or int(match[2] or 1) > _MOST:
                raise ValueError(f"groups is {given!r}: {_USAGE}")
            widths += [int(match[1])] * int(match[2] or 1)
    else:
        if np.ndim(given) != 1 or not all(isinstance(w, int | np.integer) for w in given):
            raise ValueError("groups is no list of whole numbers: give the columns of each latent")
        widths = [int(width) for width in given]
    if not widths or min(widths) < 1:
        raise ValueError(f"groups is {given!r}: each latent has at least one column")
    return tuple(widths)


def groups_of(given: Any, columns: int) -> Groups:
    """The widths of the latents of codes with so many columns; None if all are one column.

    Raises:
        ValueError: the widths do not add up to the columns.
    """
    if given is None:
        return None
    widths = widths_in(given)
    if sum(widths) != columns:
        raise ValueError(
            f"groups are {in_words(widths)}, {sum(widths):,} in all, and codes has {columns:,} "
            f"columns: {_USAGE}"
        )
    return None if max(widths) == 1 else widths


def flattened(name: str, array: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...] | None]:
    """(N, S, W) vectors side by side as (N, S W), and their widths; others as they are, and None.

    Raises:
        ValueError: the array has more dimensions, or vectors without columns.
    """
    if array.ndim < 3:
        return array, None
    rows, latents, width = (*array.shape[:2], int(np.prod(array.shape[2:])))
    if array.ndim > 3 or not latents or not width:
        raise ValueError(
            f"{name} has shape {array.shape}: give (N, D), or (N, latents, columns of each) where "
            "latents are vectors"
        )
    return array.reshape(rows, latents * width), (width,) * latents


def owners(widths: Sequence[int]) -> NDArray[np.intp]:
    """(columns,) which latent each column belongs to."""
    return np.repeat(np.arange(len(widths)), widths)


def summed(columns: NDArray[Any], groups: Groups) -> NDArray[Any]:
    """Sums over the columns of each latent: (..., columns) -> (..., D)."""
    if groups is None:
        return columns
    starts = np.cumsum((0, *groups[:-1]))
    sums: NDArray[Any] = np.add.reduceat(columns, starts, axis=-1)
    return sums


def in_words(widths: Sequence[int]) -> str:
    """How wide latents are: `20 vectors of 16 columns each`, `3 vectors of 4, 4 and 2 columns`."""
    if len(widths) == 1:
        return f"1 vector of {widths[0]:,} columns"
    count = f"{len(widths):,} vectors of"
    if len(set(widths)) == 1:
        return f"{count} {widths[0]:,} columns each"
    if len(widths) > 8:
        return f"{count} {min(widths):,} to {max(widths):,} columns"
    return f"{count} {', '.join(map(str, widths[:-1]))} and {widths[-1]} columns"


def first_component(vectors: FloatArray) -> tuple[Floats, Floats]:
    """The mean (W,) and the direction (W,) of largest variance of (N, W) vectors.

    The direction has length 1, and its largest entry is positive. Vectors that do not vary have
    no direction: it is 0, so that nothing is made of rounding.
    """
    codes = vectors.astype(np.float64)
    mean: Floats = codes.mean(axis=0)
    if not np.ptp(codes, axis=0).any():
        return mean, np.zeros_like(mean)
    # Scaled before it is squared, so that nothing overflows or underflows.
    centred = codes - mean
    centred /= np.abs(centred).max()
    direction: Floats = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return mean, direction * (1.0 if direction[np.abs(direction).argmax()] > 0 else -1.0)
