"""Cutting continuous latents into classes."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray

Binning: TypeAlias = Literal["width", "frequency"]


def equal_width_bins(codes: FloatArray, bins: int) -> IntArray:
    """Each column of (N, D) codes cut into bins of equal width from its minimum to its maximum.

    Bins are closed on the left, the last one on both sides; a constant column is all bin 0.
    Computed in float64, as float32 edges would put rows on a grid into other bins.

    Returns:
        (N, D) int in 0 to bins - 1.
    """
    binned = np.zeros(codes.shape, dtype=np.int64)
    for j in range(codes.shape[1]):
        column = codes[:, j].astype(np.float64)
        low, high = column.min(), column.max()
        if low < high:
            edges = np.linspace(low, high, bins + 1)
            binned[:, j] = np.searchsorted(edges[1:-1], column, side="right")
    return binned


def equal_frequency_edges(column: FloatArray, bins: int) -> NDArray[np.float64]:
    """Inner edges that cut an (N,) column into bins of (nearly) equal numbers of rows.

    Rows of equal value stay together: each cut lies halfway between two distinct values, where the
    number of rows below is closest to its quantile. A column of few distinct values thus has fewer
    edges than bins - 1, a constant one none.
    """
    values, counts = np.unique(column.astype(np.float64), return_counts=True)
    if len(values) == 1:
        return np.empty(0)
    below = np.cumsum(counts)[:-1]
    wanted = np.arange(1, bins) * len(column) / bins
    upper = np.searchsorted(below, wanted).clip(max=len(below) - 1)
    lower = (upper - 1).clip(min=0)
    cuts = np.unique(np.where(wanted - below[lower] <= below[upper] - wanted, lower, upper))
    edges: NDArray[np.float64] = 0.5 * values[cuts] + 0.5 * values[cuts + 1]
    return edges


def apply_edges(column: FloatArray, edges: NDArray[np.float64]) -> IntArray:
    """(N,) the bin, 0 to len(edges), of each value of a column."""
    return np.searchsorted(edges, column.astype(np.float64), side="left")
