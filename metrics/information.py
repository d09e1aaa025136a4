"""Entropy and mutual information of arrays. All entropies are in nats.

The estimator is the plug-in one: relative frequencies in place of probabilities. Over N rows of A
against B classes it is biased upwards by about (A - 1)(B - 1) / 2N nats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import IntArray

Counts = NDArray[np.int64]


def contingency(
    a: IntArray, b: IntArray, a_size: int | None = None, b_size: int | None = None
) -> Counts:
    """How often each pair of classes occurs: (A, B) counts from two (N,) integer arrays.

    Sizes that are not given are inferred from the largest class.
    """
    rows = int(a.max()) + 1 if a_size is None else a_size
    columns = int(b.max()) + 1 if b_size is None else b_size
    # Class indices may be uint8, in which the product would wrap around.
    joint = a.astype(np.int64) * columns + b
    return np.bincount(joint, minlength=rows * columns).reshape(rows, columns).astype(np.int64)


def entropy_of_counts(counts: NDArray[Any]) -> float:
    """Entropy in nats of the distribution that is proportional to the counts (any shape)."""
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
    # Negative only by rounding.
    return max(0.0, float((joint * np.log(joint / independent)).sum()))


def normalized_mutual_information(table: Counts) -> float:
    """Mutual information over the mean of the two entropies, in [0, 1].

    1 if both sides have only one class, since they then agree.
    """
    mean = (entropy_of_counts(table.sum(axis=1)) + entropy_of_counts(table.sum(axis=0))) / 2
    return min(1.0, mutual_information_of_table(table) / mean) if mean > 0 else 1.0


def adjusted_rand_index(table: Counts) -> float:
    """Rand index corrected for chance (Hubert & Arabie 1985): at most 1, 0 by chance."""

    def pairs(counts: Counts) -> float:
        return float((counts * (counts - 1) // 2).sum())

    cells, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(table.sum(keepdims=True))
    expected = rows * columns / total if total else 0.0
    largest = (rows + columns) / 2
    # Equal only if both sides are trivial in the same way, which is agreement.
    return (cells - expected) / (largest - expected) if largest != expected else 1.0
