"""Correlation of two latents, or of a latent and a factor, whatever kinds they are of."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .arrays import FloatArray, IntArray
from .information import contingency


def unit(column: FloatArray | IntArray, ranked: bool) -> NDArray[np.float64]:
    """An (N,) column, or its ranks, with mean 0 and length 1; all 0 where it is constant."""
    number = rankdata(column) if ranked else column.astype(np.float64)
    low, spread = number.min(), np.ptp(number)
    if spread == 0:
        return np.zeros(len(number))
    # Scaled before it is squared, so that nothing overflows or underflows.
    number = (number - low) / spread
    number -= number.mean()
    unit: NDArray[np.float64] = number / np.linalg.norm(number)
    return unit


def ratio(unit: NDArray[np.float64], categories: IntArray) -> float:
    """Square root of the correlation ratio of (N,) numbers of mean 0, length 1 and categories."""
    counts = np.bincount(categories)
    sums = np.bincount(categories, weights=unit)[counts > 0]
    between = float((sums**2 / counts[counts > 0]).sum())
    spare = len(unit) - len(sums)
    if not unit.any() or spare == 0:
        return 0.0
    return float(max(0.0, 1 - (1 - between) * (len(unit) - 1) / spare) ** 0.5)


def association(latent: IntArray, factor: IntArray) -> float:
    """sqrt(phi^2 / (S - 1)) of (N,) categories and a factor of S classes, corrected for chance."""
    table = contingency(latent, factor)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    categories, classes = table.shape
    if min(categories, classes) == 1:
        return 0.0
    total = float(table.sum())
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    phi = float(((table - expected) ** 2 / expected).sum()) / total
    # Rescaled so that a latent that tells every class still has 1.
    chance = (categories - 1) * (classes - 1) / (total - 1)
    largest = classes - 1 - chance
    return min(1.0, max(0.0, phi - chance) / largest) ** 0.5 if largest > 0 else 0.0
