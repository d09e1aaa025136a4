"""Linear support vector machines on one latent, fitted to the exact minimum.

The problem is that of scikit-learn's `LinearSVC(dual=False, class_weight="balanced")`, which stops
near the same minimum; here the latent is known to be one column or one-hot columns, and nothing has
to be imported for a second.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_ITERATIONS = 200  # a handful are needed


def fit(columns: Floats, counts: Floats, penalty: float) -> Floats:
    """Fits one machine per class, which tells the class from the rest.

    Each minimises, over its weights w and its intercept b,

        (|w|^2 + b^2) / 2 + penalty * sum_i v_i max(0, 1 - y_i (w x_i + b))^2,

    where y_i is 1 for rows of the class, which weigh rows / (classes * rows of the class), and -1
    for the others, which weigh 1. Of two classes there is one machine, with such weights for both.

    Newton's method: the objective is a parabola as long as the same rows have a loss, so that its
    minimum is exact once they stay the same.

    Args:
        columns: (R, M) different rows; no row has more than one entry other than 0.
        counts: (R, S) how often each row is of each of the S >= 2 classes, each at least once.
        penalty: C of scikit-learn.

    Returns:
        (M + 1, S) weights, the last row holds the intercepts; those of two classes are opposite.
    """
    balance = counts.sum() / (counts.shape[1] * counts.sum(axis=0))
    inside = 2 * penalty * balance * counts
    if counts.shape[1] == 2:
        inside, outside = inside[:, 1:], inside[:, :1]
    else:
        outside = 2 * penalty * (counts.sum(axis=1, keepdims=True) - counts)
    squares = columns**2

    def scores(weights: Floats) -> Floats:
        scored: Floats = columns @ weights[:-1] + weights[-1]
        return scored

    def objective(weights: Floats, scored: Floats) -> Floats:
        losses = inside * np.maximum(0, 1 - scored) ** 2 + outside * np.maximum(0, 1 + scored) ** 2
        total: Floats = (weights**2).sum(axis=0) + losses.sum(axis=0)
        return total

    weights = np.zeros((columns.shape[1] + 1, inside.shape[1]))
    scored = scores(weights)
    for _ in range(_ITERATIONS):
        lost = scored < 1, scored > -1
        near, far = np.where(lost[0], inside, 0), np.where(lost[1], outside, 0)
        slopes = near * (scored - 1) + far * (scored + 1)
        # No two columns meet in a row: the Hessian is diagonal but for the intercept.
        bend = near + far
        diagonal = 1 + squares.T @ bend
        edge = columns.T @ bend
        gradient = weights[:-1] + columns.T @ slopes
        last = weights[-1] + slopes.sum(axis=0) - (edge * gradient / diagonal).sum(axis=0)
        last /= 1 + bend.sum(axis=0) - (edge**2 / diagonal).sum(axis=0)
        step = np.vstack([(gradient - edge * last) / diagonal, last])
        before = objective(weights, scored)
        for _ in range(_ITERATIONS):
            moved = weights - step
            now = scores(moved)
            worse = objective(moved, now) > before * (1 + 1e-12)
            if not worse.any():
                break
            step[:, worse] /= 2
        weights, scored = moved, now
        if np.array_equal(lost[0], scored < 1) and np.array_equal(lost[1], scored > -1):
            break
    return np.hstack([-weights, weights]) if counts.shape[1] == 2 else weights
