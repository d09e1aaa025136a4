"""Pairs of images that differ in a few factors only, for weakly supervised training.

The pairs of Locatello et al. 2020 (arXiv 2002.02886, section 5).
"""

import math

import numpy as np
from numpy.typing import NDArray

from .factors import FactorData
from .subsets import Scored, Subset

_ROUNDS = 1_000  # of draws, before the search for partners to train on is given up


def draw_pairs(
    data: FactorData, rng: np.random.Generator, count: int, changed: int = 1
) -> NDArray[np.int64]:
    """Rows (count,) to train on: row i and row i + count / 2 differ in `changed` factors.

    The first half is drawn by `data.draw`. A partner has other classes in `changed` factors. They
    are drawn for each pair, with equal chances among the factors with more than one class, and so
    are the new classes. With `changed` 0 the number is drawn too, from 1 to one less than there
    are factors ("k = Rnd" of the paper).

    Data with pairs of their own (`data.pairs`) are asked for no factor: pairs are drawn from these
    with equal chances, in the order of their two images, and `changed` has no effect.

    disentanglement_lib's code differs twice: a redrawn factor may keep its class, so that a pair
    differs in at most k factors; and half of the pairs have one factor redrawn whatever k is
    (issue 31 there), where the paper has k.

    With held-out rows or correlated factors, a drawn pair is kept as often as its partner would be
    drawn, so that no held-out row is ever a partner, and both images of a pair have the same
    distribution.

    Raises:
        ValueError: the data have no pairs and are no full grid, the batch is odd, that many factors
            cannot change, or hardly any partner may be trained on.
    """
    if count < 2 or count % 2:
        raise ValueError(f"pairs fill an even batch, not one of {count}: make batch_size even")
    if isinstance(data, Scored):  # which factors are scored does not matter here
        return draw_pairs(data.whole, rng, count, changed)
    if data.pairs is not None:
        return _own_pairs(data, data.pairs, rng, count)
    if not data.factors:
        raise ValueError(
            "pairs are drawn by factors, and these data have none: add an array 'pairs' of rows to "
            "the file"
        )
    if len(data) != math.prod(data.sizes):
        raise _not_a_grid(data)
    free = np.flatnonzero(np.array(data.sizes) > 1)
    if len(free) < 2:
        raise ValueError(
            "pairs share a factor and differ in another, which takes data with two factors of "
            f"more than one class: these have {len(free)}"
        )
    if not 0 <= changed < len(free):
        raise ValueError(
            f"changed={changed}: a pair must share a factor, so 1 to {len(free) - 1} of the "
            f"{len(free)} of these data can change, or 0 for a random number in each pair"
        )
    half, missing = count // 2, count // 2
    kept: list[NDArray[np.int64]] = []
    for _ in range(_ROUNDS):
        first = data.draw(rng, half)
        second = _partners(data, rng, first, free, changed)
        chance = (second < data.training).astype(np.float64)
        if isinstance(data, Subset):
            chance *= data.weights(second)
        pairs = np.stack([first, second])[:, rng.random(half) < chance][:, :missing]
        kept.append(pairs)
        missing -= pairs.shape[1]
        if not missing:
            return np.concatenate(kept, axis=1).reshape(-1)
    raise ValueError(
        f"changed={changed}: hardly any row has a partner to train on: correlate less, "
        "or hold out less"
    )


def _own_pairs(
    data: FactorData, pairs: NDArray[np.int64], rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """Rows (count,) of pairs that come with the data."""
    if not isinstance(data, Subset):
        return pairs[rng.integers(len(pairs), size=count // 2)].T.reshape(-1)
    chances = data.weights(pairs[:, 0]) * data.weights(pairs[:, 1])
    if not chances.any():
        raise ValueError("none of the data's own pairs may be trained on: hold out less")
    chosen = rng.choice(len(pairs), size=count // 2, p=chances / chances.sum())
    return pairs[chosen].T.reshape(-1)


def _partners(
    data: FactorData,
    rng: np.random.Generator,
    rows: NDArray[np.int64],
    free: NDArray[np.intp],
    changed: int,
) -> NDArray[np.int64]:
    """A row for each of `rows` (n,), with other classes in `changed` of the `free` factors."""
    values = data.values(rows)
    shape = (len(rows), len(free))
    number = np.full(len(rows), changed) if changed else rng.integers(1, len(free), len(rows))
    rank = rng.random(shape).argsort(axis=1).argsort(axis=1)
    sizes = np.array(data.sizes)[free]
    step = rng.integers(1, sizes, shape)  # around the circle of classes, never all the way
    new = values.copy()
    new[:, free] = (values[:, free] + np.where(rank < number[:, None], step, 0)) % sizes
    raveled: NDArray[np.intp] = np.ravel_multi_index(tuple(new.T), data.sizes)
    partners = raveled.astype(np.int64, copy=False)
    if not np.array_equal(data.values(partners), new):
        raise _not_a_grid(data)
    return partners


def _not_a_grid(data: FactorData) -> ValueError:
    return ValueError(
        "pairs need a full grid, one image of each combination of factors in order, as dsprites "
        f"has it: these are {len(data):,} images for {math.prod(data.sizes):,} combinations; give "
        "own data an array 'pairs'"
    )
