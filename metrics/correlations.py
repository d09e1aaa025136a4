"""Correlation of two latents, or of a latent and a factor, of whatever kinds they are."""

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray
from .information import contingency


def ranks(column: FloatArray | IntArray) -> NDArray[np.float64]:
    """The rank of each of (N,) numbers, from 1; equal ones share their mean rank.

    As `scipy.stats.rankdata`, without the half second in which that is imported.
    """
    _, value, counts = np.unique(column, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = counts.cumsum() - (counts - 1) / 2
    return means[value]


def unit_vector(column: FloatArray | IntArray, ranked: bool) -> NDArray[np.float64]:
    """An (N,) column, or its ranks, with mean 0 and norm 1; all 0 if it is constant."""
    number = ranks(column) if ranked else column.astype(np.float64)
    low, spread = number.min(), np.ptp(number)
    if spread == 0:
        return np.zeros(len(number))
    # Scaled before it is squared, so that nothing overflows or underflows.
    number = (number - low) / spread
    number -= number.mean()
    vector: NDArray[np.float64] = number / np.linalg.norm(number)
    return vector


def correlation_ratio(vector: NDArray[np.float64], categories: IntArray) -> float:
    """Square root of the correlation ratio of an (N,) unit vector and categories.

    It is corrected for chance: Kelley 1935.
    """
    counts = np.bincount(categories)
    sums = np.bincount(categories, weights=vector)[counts > 0]
    between = float((sums**2 / counts[counts > 0]).sum())
    freedom = len(vector) - len(sums)
    if not vector.any() or freedom == 0:
        return 0.0
    return float(max(0.0, 1 - (1 - between) * (len(vector) - 1) / freedom) ** 0.5)


def association(latent: IntArray, factor: IntArray) -> float:
    """sqrt(phi^2 / (S - 1)) of (N,) categories and a factor of S classes.

    It is corrected for chance: Bergsma 2013.
    """
    table = contingency(latent, factor)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    categories, classes = table.shape
    if min(categories, classes) == 1:
        return 0.0
    total = float(table.sum())
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    phi = float(((table - expected) ** 2 / expected).sum()) / total
    # Rescaled so that a latent that determines every class still has 1.
    chance = (categories - 1) * (classes - 1) / (total - 1)
    largest = classes - 1 - chance
    return min(1.0, max(0.0, phi - chance) / largest) ** 0.5 if largest > 0 else 0.0
