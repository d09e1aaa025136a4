"""Gradient boosting on binned columns, the trees of all classes of a factor at a time.

Same losses, leaves and importances as in `gradient_boosting`, but a split lies between two bins, a stage
takes a longer step, and a row is summed into the histograms of all classes at once.

Letters: N rows to fit on, M rows held out, F columns of the latents, S columns of scores, B bins,
Q nodes of a level.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .arrays import FloatArray, IntArray
from .gradient_boosting import Loss, Told, shares

# The first row of a class in a leaf of its own is a step without end (the curvature goes to 0).
LONGEST_STEP = 2.0
# Stages that could not change the importances by more than this share are not grown.
NEGLIGIBLE = 1e-3
# Bounds the memory: so many columns of scores are grown at a time.
CHUNK = 64
# Gains so close are the same: which column is split is then chance.
TIE = 1e-6


@dataclass(frozen=True)
class Bins:
    """Columns cut into bins of equal frequency; one of no more values than bins keeps them all.

    Args:
        fitted: (F, N) the bin of each row.
        held_out: (F, M) likewise.
        table: (F * B, N) sparse, 1 where a row lies in the bin of the column, in float32.
        counts: (F, B) rows fitted on in each bin.
    """

    fitted: IntArray
    held_out: IntArray
    table: csr_array
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, fitted: FloatArray, held_out: FloatArray, bins: int) -> "Bins":
        """Cuts (N, F) and (M, F) columns half way between two values of the rows fitted on."""
        rows, columns = fitted.shape
        cut = [_edges(column, bins) for column in fitted.T]
        sides = [
            np.array(
                [np.searchsorted(edges, x) for edges, x in zip(cut, side.T, strict=True)],
                np.min_scalar_type(bins),
            )
            for side in (fitted, held_out)
        ]
        cells = sides[0] + bins * np.arange(columns)[:, None]
        order = np.argsort(cells.ravel(), kind="stable") % rows
        counts = np.bincount(cells.ravel(), minlength=columns * bins)
        ends = np.concatenate([[0], counts.cumsum()])
        table = csr_array((np.ones(order.size, np.float32), order, ends), (columns * bins, rows))
        return cls(sides[0], sides[1], table, counts.reshape(columns, bins).astype(np.float64))

    def sums(self, numbers: FloatArray) -> NDArray[np.float64]:
        """(F, B, ...) sums of (N, ...) numbers over the rows of each bin."""
        flat = np.asarray(self.table @ numbers.reshape(len(numbers), -1), np.float64)
        return flat.reshape(*self.counts.shape, *numbers.shape[1:])


def boost_binned(
    loss: Loss,
    bins: Bins,
    rng: np.random.Generator,
    stages: int,
    depth: int,
    rate: float,
) -> Told:
    """Grows the trees of one factor; `loss` is one of float32."""
    scores = [np.tile(loss.start, (side.shape[1], 1)) for side in (bins.fitted, bins.held_out)]
    gains = np.zeros(len(bins.counts))
    # The leaves of all columns of scores, numbered one after the other.
    offsets = np.arange(loss.columns) << depth
    for stage in range(stages):
        residuals = loss.residuals(scores[0])
        trees = [
            _grow(bins, residuals[:, first : first + CHUNK], depth, rng)
            for first in range(0, loss.columns, CHUNK)
        ]
        gained = np.sum([tree.gains for tree in trees], axis=0)
        leaves = [
            np.ascontiguousarray(np.concatenate([tree.leaves[side] for tree in trees]).T) + offsets
            for side in range(2)
        ]
        sums = [
            np.bincount(leaves[0].ravel(), part.ravel(), loss.columns << depth)
            for part in (residuals, loss.curvature(residuals, loss.truth))
        ]
        steps = rate * loss.steps(sums[0], sums[1])
        if loss.classes is not None:
            steps = steps.clip(-LONGEST_STEP, LONGEST_STEP)
        for side in range(2):
            scores[side] += steps.astype(np.float32)[leaves[side]]
        gains += gained
        if gained.sum() * (stages - stage - 1) <= NEGLIGIBLE * gains.sum():
            break
    return Told(shares(gains), loss.told(scores[0]), loss.told(scores[1]))


@dataclass(frozen=True)
class _Trees:
    """One tree a column of scores: the leaf of each row, (S, N) and (S, M), and the gains (F,)."""

    leaves: list[NDArray[np.uint8]]
    gains: NDArray[np.float64]


def _grow(bins: Bins, residuals: FloatArray, depth: int, rng: np.random.Generator) -> "_Trees":
    """One tree a column of (N, S) residuals."""
    rows, columns = residuals.shape
    codes = (bins.fitted, bins.held_out)
    nodes = [np.zeros((columns, side.shape[1]), np.uint8) for side in codes]
    gains = np.zeros(len(bins.counts))
    # (F, B, 2, Q, S): sums of the residuals and numbers of rows
    sums = bins.sums(residuals)[:, :, None, None]
    counts = np.broadcast_to(bins.counts[:, :, None, None, None], sums.shape)
    table = np.concatenate([sums, counts], axis=2)
    for level in range(depth):
        if level:
            # Sums are taken of the left children only: the right ones have the rest.
            here = np.ascontiguousarray(nodes[0].T)
            left = np.empty((rows, 2, 1 << (level - 1), columns), np.float32)
            for parent in range(1 << (level - 1)):
                left[:, 1, parent] = here == 2 * parent
                np.multiply(residuals, left[:, 1, parent], out=left[:, 0, parent])
            children = bins.sums(left)
            table = np.stack([children, table - children], axis=4)
            table = table.reshape(*children.shape[:3], -1, columns)
        column, cut, gain = _best(table, rng)
        np.add.at(gains, column, gain)
        for side, code in enumerate(codes):
            above = np.zeros_like(nodes[side], dtype=bool)
            for node in range(1 << level):
                right = code[column[node]] > cut[node][:, None].astype(code.dtype)
                above |= right & (nodes[side] == node)
            nodes[side] = 2 * nodes[side] + above
    return _Trees(nodes, gains)


def _best(
    table: NDArray[np.float64], rng: np.random.Generator
) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
    """Column, last bin to the left and gain (Q, S) of the best split of each node."""
    below = table.cumsum(axis=1)
    whole, below = below[:1, -1:], below[:, :-1]
    # An empty side has neither sum nor rows: such a split gains 0.
    explained = below[:, :, 0] ** 2 / np.maximum(below[:, :, 1], 1)
    rest = whole - below
    explained += rest[:, :, 0] ** 2 / np.maximum(rest[:, :, 1], 1)
    cut = explained.argmax(axis=1)
    best = explained.max(axis=1)
    tied = best >= best.max(axis=0) * (1 - TIE)
    column = np.where(tied, rng.random(best.shape), -1.0).argmax(axis=0)
    nodes, scores = np.indices(column.shape)
    before = whole[0, 0, 0] ** 2 / np.maximum(whole[0, 0, 1], 1)
    gain = best[column, nodes, scores] - before
    gain[gain <= TIE * before + 1e-9] = 0
    return column, cut[column, nodes, scores], gain


def _edges(column: FloatArray, bins: int) -> FloatArray:
    """At most `bins` - 1 edges between the values of a column, as equally many rows apart."""
    values, counts = np.unique(column.astype(np.float64), return_counts=True)
    below = counts.cumsum()[:-1]
    if len(values) > bins:
        wanted = len(column) * np.arange(1, bins) / bins
        gaps = np.unique(np.searchsorted(below, wanted).clip(max=len(below) - 1))
    else:
        gaps = np.arange(len(below))
    return np.asarray(values[gaps] + (values[gaps + 1] - values[gaps]) / 2)
