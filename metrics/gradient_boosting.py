"""The two predictors of DCI: gradient boosting, as in scikit-learn and on binned columns.

Friedman 2001, "Greedy function approximation", algorithms 3, 5 and 6. `boost` is for dci: the trees
are those of scikit-learn and so are the results; the loop is here so that the trees of one stage,
one per class of each factor, are grown in parallel on all cores.

`boost_binned` is for dci_fast: losses, leaves and importances are the same, but a split lies
between two bins, a stage takes a longer step, and a row is added to the histograms of all classes
of a factor at once.

Letters: N rows to fit on, M rows held out, F columns of the latents, S columns of scores, B bins, Q
nodes of a level.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import DTypeLike, NDArray

from .arrays import FloatArray, IntArray

_DRAWS = 2**31 - 1  # scikit-learn draws one number below this for each tree
# Columns of scores that are grown at a time, to bound the memory.
CHUNK = 64


@dataclass(frozen=True)
class Loss:
    """What is minimised: one column of scores for a number or for two classes, else one per class.

    Attributes:
        truth: (N, S) the number, or 1 where the class of the column is that of the row, else 0.
        start: (S,) the scores before the first stage.
        classes: (S,) or two classes; None if a number is predicted, by the squared loss.
    """

    truth: FloatArray
    start: FloatArray
    classes: IntArray | None

    @classmethod
    def of_number(cls, values: FloatArray, dtype: DTypeLike = np.float64) -> "Loss":
        """The squared loss of (N,) numbers."""
        return cls(values[:, None].astype(dtype), np.array([values.mean()], dtype), None)

    @classmethod
    def of_classes(cls, labels: IntArray, dtype: DTypeLike = np.float64) -> "Loss":
        """The binomial or multinomial loss of (N,) labels of two classes or more."""
        classes, column, counts = np.unique(labels, return_inverse=True, return_counts=True)
        logs = np.log(counts / len(labels))
        if len(classes) == 2:
            return cls(column[:, None].astype(dtype), np.array([logs[1] - logs[0]], dtype), classes)
        truth = np.zeros((len(labels), len(classes)), dtype)
        truth[np.arange(len(labels)), column] = 1
        return cls(truth, (logs - logs.mean()).astype(dtype), classes)

    @property
    def columns(self) -> int:
        """S."""
        return int(self.truth.shape[1])

    def residuals(self, scores: FloatArray) -> FloatArray:
        """(N, S) negative gradient of the loss at the scores, to which a stage is fitted."""
        if self.classes is None:
            return self.truth - scores
        if self.columns == 1:
            probabilities: FloatArray = scipy.special.expit(scores)
        else:
            probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return self.truth - probabilities

    def curvature(self, residuals: FloatArray, truth: FloatArray) -> FloatArray:
        """Second derivative of the loss at given residuals."""
        if self.classes is None:
            return np.ones_like(residuals)
        probabilities = truth - residuals
        curvature: FloatArray = probabilities * (1 - probabilities)
        return curvature

    def steps(self, slopes: NDArray[Any], curvatures: NDArray[Any]) -> FloatArray:
        """Newton steps from sums (or means) over the rows of a leaf; 0 if the loss is flat."""
        flat = np.abs(curvatures) < 1e-150
        steps: FloatArray = np.where(flat, 0, slopes / np.where(flat, 1, curvatures))
        return steps * ((self.columns - 1) / self.columns) if self.columns > 1 else steps

    def predicted(self, scores: FloatArray) -> NDArray[Any]:
        """(M,) the class or the number that (M, S) scores stand for."""
        if self.classes is None:
            return scores[:, 0]
        column = scores[:, 0] >= 0 if self.columns == 1 else scores.argmax(axis=1)
        classes: IntArray = self.classes[column.astype(np.intp)]
        return classes


@dataclass(frozen=True)
class Prediction:
    """What boosted trees predict for one factor.

    Attributes:
        importances: (F,) share of each column in what the splits explain; 0 without a split.
        fitted: (N,) the predicted class or number of the rows fitted on.
        held_out: (M,) that of the rows held out.
    """

    importances: NDArray[np.float64]
    fitted: NDArray[Any]
    held_out: NDArray[Any]


@dataclass
class GradientBoosting:
    """The boosted trees of one factor, as far as they are grown; only a tree's effect is kept.

    Attributes:
        inputs: (N, F) float32, C order.
        held_out: (M, F) float32, C order.
        loss: of the N rows.
        seed: chooses which column is split if several split a node equally well.
        scores: (N, S) and (M, S) sums of the trees' steps.
        gains: (S, F) what the splits of each column explain.
        residuals: (N, S) what the present stage is fitted to.
    """

    inputs: NDArray[np.float32]
    held_out: NDArray[np.float32]
    loss: Loss
    seed: int
    scores: list[FloatArray] = field(init=False)
    gains: FloatArray = field(init=False)
    residuals: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        from sklearn.utils import check_random_state

        # Stored column by column, as cores that write to the same cache lines slow each other down.
        self.loss = replace(self.loss, truth=np.asfortranarray(self.loss.truth))
        rows = (len(self.inputs), len(self.held_out))
        self.scores = [np.asfortranarray(np.tile(self.loss.start, (n, 1))) for n in rows]
        self.gains = np.zeros((self.loss.columns, self.inputs.shape[1]))
        # One generator per column of scores, each at its place in the sequence from which
        # scikit-learn draws tree by tree: the order in which trees are grown does not change them.
        self.draws = [check_random_state(self.seed) for _ in range(self.loss.columns)]
        for column, draw in enumerate(self.draws):
            draw.randint(_DRAWS, size=column)

    def update_residuals(self) -> None:
        """Computes what the trees of the next stage are fitted to."""
        self.residuals = self.loss.residuals(self.scores[0])

    def grow(self, column: int, depth: int, rate: float) -> None:
        """Adds a tree to one column of the scores."""
        from sklearn.tree import DecisionTreeRegressor

        slopes, truth = self.residuals[:, column], self.loss.truth[:, column]
        draw = self.draws[column]
        regressor = DecisionTreeRegressor(max_depth=depth, random_state=draw)
        tree = regressor.fit(self.inputs, slopes, check_input=False).tree_
        draw.randint(_DRAWS, size=self.loss.columns - 1)
        leaves = tree.apply(self.inputs)
        curvatures = self.loss.curvature(slopes, truth)
        # Means over the rows of each leaf in order: equal to those of scikit-learn to the last bit.
        order = np.argsort(leaves, kind="stable")
        slopes, curvatures = slopes[order], curvatures[order]
        means = np.zeros((2, tree.node_count))
        first = 0
        for node, count in enumerate(np.bincount(leaves, minlength=tree.node_count).tolist()):
            if count:
                rows = slice(first, first + count)
                means[:, node] = slopes[rows].sum() / count, curvatures[rows].sum() / count
                first += count
        steps = rate * self.loss.steps(means[0], means[1])
        self.scores[0][:, column] += steps[leaves]
        self.scores[1][:, column] += steps[tree.apply(self.held_out)]
        if tree.node_count > 1:
            self.gains[column] += tree.compute_feature_importances(normalize=False)

    def prediction(self) -> Prediction:
        """What the trees grown so far predict."""
        fitted, held_out = (self.loss.predicted(scores) for scores in self.scores)
        return Prediction(shares(self.gains.sum(axis=0)), fitted, held_out)


def boost(
    factors: Sequence[GradientBoosting], stages: int, depth: int, rate: float
) -> list[Prediction]:
    """Grows the trees of all factors, stage by stage; the number of cores changes no result."""
    from sklearn import config_context

    trees = [(factor, column) for factor in factors for column in range(factor.loss.columns)]
    largest_first = sorted(factors, key=lambda factor: -factor.loss.columns)
    workers = cores()

    def update(queue: Iterator[GradientBoosting]) -> None:
        for factor in queue:
            factor.update_residuals()

    def grow(queue: Iterator[tuple[GradientBoosting, int]]) -> None:
        with config_context(skip_parameter_validation=True):  # validation holds the interpreter
            for factor, column in queue:
                factor.grow(column, depth, rate)

    # Threads are enough: scikit-learn releases the interpreter while it grows a tree. All take
    # from one iterator, so that none waits while there is something to do.
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(stages):
            list(pool.map(update, [iter(largest_first)] * workers))
            list(pool.map(grow, [iter(trees)] * workers))
    return [factor.prediction() for factor in factors]


def cores() -> int:
    """How many cores this process may use: at most OMP_NUM_THREADS, if that is a number."""
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, max(1, int(limit))) if limit.isdecimal() else available


def shares(gains: FloatArray) -> NDArray[np.float64]:
    """(F,) gains divided by their sum; 0 if there are none."""
    total = float(gains.sum())
    return (gains / total if total > 0 else np.zeros(len(gains))).astype(np.float64)


@dataclass(frozen=True)
class Bins:
    """Columns cut into bins of equal frequency; one with no more values than bins keeps them all.

    Attributes:
        fitted: (F, N) the bin of each row.
        held_out: (F, M) the bin of each row.
        table: (F * B, N) sparse float32, 1 where a row lies in the bin of the column.
        counts: (F, B) how many rows fitted on lie in each bin.
    """

    fitted: IntArray
    held_out: IntArray
    table: "scipy.sparse.csr_array"
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, fitted: FloatArray, held_out: FloatArray, bins: int) -> "Bins":
        """Cuts (N, F) and (M, F) columns halfway between two values of the rows fitted on."""
        rows, columns = fitted.shape
        cuts = [_edges(column, bins) for column in fitted.T]
        sides = [
            np.array(
                [np.searchsorted(edges, x) for edges, x in zip(cuts, side.T, strict=True)],
                np.min_scalar_type(bins),
            )
            for side in (fitted, held_out)
        ]
        cells = sides[0] + bins * np.arange(columns)[:, None]
        order = np.argsort(cells.ravel(), kind="stable") % rows
        counts = np.bincount(cells.ravel(), minlength=columns * bins)
        ends = np.concatenate([[0], counts.cumsum()])
        table = scipy.sparse.csr_array(
            (np.ones(order.size, np.float32), order, ends), (columns * bins, rows)
        )
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
    longest_step: float,
    negligible: float,
    tie: float,
) -> Prediction:
    """Grows the trees of one factor.

    Args:
        loss: of the N rows, in float32.
        bins: the columns of both sides.
        rng: chooses among columns that split a node equally well.
        stages: at most this many.
        depth: of the trees.
        rate: learning rate.
        longest_step: a leaf moves the score of a class by at most this. Without a limit, the first
            row of a class in a leaf of its own would be a step of any length, as the curvature goes
            to 0.
        negligible: stages that could not change the importances by more than this share are not
            grown.
        tie: gains whose relative difference is this small count as equal; which column is split is
            then left to chance.
    """
    scores = [np.tile(loss.start, (side.shape[1], 1)) for side in (bins.fitted, bins.held_out)]
    gains = np.zeros(len(bins.counts))
    # The leaves of all columns of scores are numbered consecutively.
    offsets = np.arange(loss.columns) << depth
    for stage in range(stages):
        residuals = loss.residuals(scores[0])
        trees = [
            _grow(bins, residuals[:, first : first + CHUNK], depth, tie, rng)
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
            steps = steps.clip(-longest_step, longest_step)
        for side in range(2):
            scores[side] += steps.astype(np.float32)[leaves[side]]
        gains += gained
        if gained.sum() * (stages - stage - 1) <= negligible * gains.sum():
            break
    return Prediction(shares(gains), loss.predicted(scores[0]), loss.predicted(scores[1]))


@dataclass(frozen=True)
class _Trees:
    """One tree per column of scores.

    Attributes:
        leaves: (S, N) and (S, M) the leaf of each row.
        gains: (F,) what the splits of each column explain.
    """

    leaves: list[NDArray[np.uint8]]
    gains: NDArray[np.float64]


def _grow(
    bins: Bins, residuals: FloatArray, depth: int, tie: float, rng: np.random.Generator
) -> "_Trees":
    """Grows one tree per column of (N, S) residuals."""
    rows, columns = residuals.shape
    codes = (bins.fitted, bins.held_out)
    nodes = [np.zeros((columns, side.shape[1]), np.uint8) for side in codes]
    gains = np.zeros(len(bins.counts))
    # (F, B, 2, Q, S) sums of the residuals and numbers of rows
    sums = bins.sums(residuals)[:, :, None, None]
    counts = np.broadcast_to(bins.counts[:, :, None, None, None], sums.shape)
    table = np.concatenate([sums, counts], axis=2)
    for level in range(depth):
        if level:
            # Sums are computed for the left children only: the right ones have the rest.
            here = np.ascontiguousarray(nodes[0].T)
            left = np.empty((rows, 2, 1 << (level - 1), columns), np.float32)
            for parent in range(1 << (level - 1)):
                left[:, 1, parent] = here == 2 * parent
                np.multiply(residuals, left[:, 1, parent], out=left[:, 0, parent])
            children = bins.sums(left)
            table = np.stack([children, table - children], axis=4)
            table = table.reshape(*children.shape[:3], -1, columns)
        column, cut, gain = _best(table, tie, rng)
        np.add.at(gains, column, gain)
        for side, code in enumerate(codes):
            above = np.zeros_like(nodes[side], dtype=bool)
            for node in range(1 << level):
                right = code[column[node]] > cut[node][:, None].astype(code.dtype)
                above |= right & (nodes[side] == node)
            nodes[side] = 2 * nodes[side] + above
    return _Trees(nodes, gains)


def _best(
    table: NDArray[np.float64], tie: float, rng: np.random.Generator
) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
    """Column, last bin to the left and gain (Q, S) of the best split of each node."""
    below = table.cumsum(axis=1)
    whole, below = below[:1, -1:], below[:, :-1]
    # An empty side has no sum and no rows: such a split gains 0.
    explained = below[:, :, 0] ** 2 / np.maximum(below[:, :, 1], 1)
    rest = whole - below
    explained += rest[:, :, 0] ** 2 / np.maximum(rest[:, :, 1], 1)
    cut = explained.argmax(axis=1)
    best = explained.max(axis=1)
    tied = best >= best.max(axis=0) * (1 - tie)
    column = np.where(tied, rng.random(best.shape), -1.0).argmax(axis=0)
    nodes, scores = np.indices(column.shape)
    before = whole[0, 0, 0] ** 2 / np.maximum(whole[0, 0, 1], 1)
    gain = best[column, nodes, scores] - before
    gain[gain <= tie * before + 1e-9] = 0
    return column, cut[column, nodes, scores], gain


def _edges(column: FloatArray, bins: int) -> FloatArray:
    """At most `bins` - 1 edges between values of a column, with nearly equal numbers of rows."""
    values, counts = np.unique(column.astype(np.float64), return_counts=True)
    below = counts.cumsum()[:-1]
    if len(values) > bins:
        wanted = len(column) * np.arange(1, bins) / bins
        gaps = np.unique(np.searchsorted(below, wanted).clip(max=len(below) - 1))
    else:
        gaps = np.arange(len(below))
    return np.asarray(values[gaps] + (values[gaps + 1] - values[gaps]) / 2)
