"""Entropy, mutual information and binning of arrays. All entropies are in nats.

The estimator is the plug-in one: relative frequencies put in the place of probabilities. Over N
rows of A against B classes it is biased upwards by about (A - 1)(B - 1) / 2N nats.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .representation import FloatArray, IntArray, Representation

Counts = NDArray[np.int64]
Binning: TypeAlias = Literal["width", "frequency"]


def contingency(
    a: IntArray, b: IntArray, a_size: int | None = None, b_size: int | None = None
) -> Counts:
    """How often each pair of classes occurs: (A, B) counts from two (N,) integer arrays.

    Sizes are taken from the largest class where they are not given.
    """
    rows = int(a.max()) + 1 if a_size is None else a_size
    columns = int(b.max()) + 1 if b_size is None else b_size
    # Class indices come as uint8 too, in which the product would wrap around.
    joint = a.astype(np.int64) * columns + b
    return np.bincount(joint, minlength=rows * columns).reshape(rows, columns).astype(np.int64)


def entropy_of_counts(counts: NDArray[Any]) -> float:
    """Entropy in nats of the distribution in proportion to the counts (any shape)."""
    present = counts[counts > 0] / counts.sum()
    # max() turns the -0.0 of a single class into 0.
    return max(0.0, float(-(present * np.log(present)).sum()))


def entropy(labels: IntArray) -> float:
    """Entropy in nats of (N,) non-negative integers."""
    return entropy_of_counts(np.bincount(labels))


def mutual_information_of_table(table: Counts) -> float:
    """Mutual information in nats of the rows and columns of a contingency table."""
    total = table.sum()
    a, b = np.nonzero(table)
    joint = table[a, b] / total
    independent = (table.sum(axis=1) / total)[a] * (table.sum(axis=0) / total)[b]
    # Never negative but for rounding.
    return max(0.0, float((joint * np.log(joint / independent)).sum()))


def normalized_mutual_information(table: Counts) -> float:
    """Mutual information over the mean of the two entropies, in [0, 1].

    1 where both sides have one class only, since they then agree.
    """
    mean = (entropy_of_counts(table.sum(axis=1)) + entropy_of_counts(table.sum(axis=0))) / 2
    return min(1.0, mutual_information_of_table(table) / mean) if mean > 0 else 1.0


def adjusted_rand_index(table: Counts) -> float:
    """Rand index corrected for chance (Hubert & Arabie 1985): at most 1, 0 by chance."""

    def pairs(counts: Counts) -> float:
        return float((counts * (counts - 1) // 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(table.sum(keepdims=True))
    expected = rows * columns / total if total else 0.0
    largest = (rows + columns) / 2
    # Equal only if both sides are trivial in the same way, which is agreement.
    return (both - expected) / (largest - expected) if largest != expected else 1.0


def equal_width_bins(codes: FloatArray, bins: int) -> IntArray:
    """Each column of (N, D) codes cut into bins of equal width from its minimum to its maximum.

    Bins are closed on the left, the last one on both sides; a constant column is all bin 0.
    Computed in float64, as float32 edges put rows on a grid into other bins.

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

    Rows of equal value stay together: each cut lies halfway between two distinct values, where
    the number of rows below is nearest to its quantile. A column of few distinct values thus
    has fewer edges than bins - 1, a constant one none.
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
    """The bin, 0 to len(edges), of each value of an (N,) column."""
    return np.searchsorted(edges, column.astype(np.float64), side="left")


def bin_latents(
    representation: Representation, bins: int, binning: Binning = "width"
) -> list[IntArray]:
    """The D + C latents as (N,) classes: continuous ones cut into bins, categorical ones as given.

    Bins are of equal width, or of nearly equal numbers of rows; with the latter, a latent of few
    distinct values has fewer than `bins`.

    Raises:
        ValueError: no such binning.
    """
    if binning not in ("width", "frequency"):
        raise ValueError(f"binning is {binning!r}: use width or frequency")
    if binning == "width":
        continuous = list(equal_width_bins(representation.codes, bins).T)
    else:
        columns = representation.codes.T
        continuous = [apply_edges(z, equal_frequency_edges(z, bins)) for z in columns]
    return [*continuous, *representation.categories.T]
