"""Random numbers that belong to a row of a data set and a seed, in whichever order rows are asked.

They come from splitmix64 (Steele, Lea & Flood 2014), a hash of whole numbers: the same everywhere
and fast on arrays, where a generator for each row would take longer than drawing its image.
"""

import numpy as np
from numpy.typing import NDArray

SEEDS = 2**63

Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys(seed: int, rows: NDArray[np.int64]) -> Words:
    """A key (n,) for each row, as good as independent between rows and between seeds."""
    start = mixed(np.array([seed], dtype=np.uint64) + _GOLDEN)
    return mixed(start + rows.astype(np.uint64))


def words(keys: Words, count: int) -> Words:
    """Random words (n, count) of each key, in little-endian order for a view as bytes."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return mixed(keys[:, None] + steps).astype("<u8", copy=False)


def mixed(words: Words) -> Words:
    """The output function of splitmix64 for each word; products overflow, as they should."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
