"""Logistic regression of a factor on all latents at once, defined here down to the stopping rule.

A library's defaults must not decide a score: when scikit-learn went from one-vs-rest to
multinomial, the explicitness of a perfect code went from 0.94 to 0.99. Both are here, by name.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from .arrays import IntArray
from .representation import Representation

Classifier: TypeAlias = Literal["multinomial", "one_vs_rest"]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """A classifier fitted on M columns and S classes.

    Attributes:
        weights: (M + 1, S), the last row holds the intercepts.
        classifier: what they were fitted as.
        converged: whether the gradient fell below the tolerance.
    """

    weights: Floats
    classifier: Classifier
    converged: bool

    def log_probabilities(self, columns: Floats) -> Floats:
        """(N, S); those of "one_vs_rest" answer S separate questions and do not sum to 1."""
        scores = columns @ self.weights[:-1] + self.weights[-1]
        softmax = self.classifier == "multinomial"
        logs: Floats = (
            scipy.special.log_softmax(scores, axis=1)
            if softmax
            else scipy.special.log_expit(scores)
        )
        return logs


def features(fitted: Representation, *others: Representation) -> list[Floats]:
    """What a classifier sees of each representation: (N, D + sum of category_sizes) columns.

    Continuous latents are standardised by the mean and the variance that they have in the fitted
    rows; one that is constant there is 0 everywhere. Categorical latents are one-hot columns.
    """
    codes = fitted.codes.astype(np.float64)
    low, spread = codes.min(axis=0), np.ptp(codes, axis=0)
    # Scaled before they are squared, so that nothing overflows or underflows.
    scale = np.where(spread > 0, spread, np.inf)
    unit = (codes - low) / scale
    mean, deviation = unit.mean(axis=0), unit.std(axis=0)
    deviation[deviation == 0] = 1.0

    def columns(rows: Representation) -> Floats:
        standardized = ((rows.codes.astype(np.float64) - low) / scale - mean) / deviation
        categories = zip(rows.category_sizes, rows.categories.T, strict=True)
        return np.hstack([standardized, *(np.eye(size)[column] for size, column in categories)])

    return [columns(rows) for rows in (fitted, *others)]


def fit(
    columns: Floats,
    labels: IntArray,
    *,
    classifier: Classifier = "multinomial",
    penalty: float = 1.0,
    balanced: bool = False,
    iterations: int = 1_000,
    tolerance: float = 1e-4,
) -> Fit:
    """Fits a classifier to N rows.

    It minimises

        sum_i w_i loss_i + |weights without intercepts|^2 / (2 N penalty),   sum_i w_i = 1,

    starting from 0, by L-BFGS with ten corrections, until no entry of the gradient exceeds
    `tolerance`, or for at most `iterations` iterations. The loss of a row is the negative log
    probability of its class: for "multinomial" by a softmax over the S classes, for "one_vs_rest"
    summed over S independent questions whether it is of class s.

    Args:
        columns: (N, M).
        labels: (N,) int, each of 0 to S - 1 at least once.
        classifier: "multinomial" or "one_vs_rest".
        penalty: C of scikit-learn; infinity for none.
        balanced: whether all classes weigh the same, instead of all rows.
        iterations: the largest number of iterations.
        tolerance: the largest entry of the gradient at convergence.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    losses = _multinomial if classifier == "multinomial" else _one_vs_rest
    rows, counts = len(labels), np.bincount(labels)
    row_weights = 1 / (counts[labels] * len(counts)) if balanced else np.full(rows, 1 / rows)
    # Classes by rows: sums over the classes then run along memory.
    design = np.vstack([columns.T, np.ones(rows)])
    transposed = np.ascontiguousarray(design.T)
    shape = (len(counts), len(design))
    buffer = np.empty((len(counts), rows))
    own = labels.astype(np.int64), np.arange(rows)
    shrink = np.full(len(design), 1 / (penalty * rows))
    shrink[-1] = 0.0

    def objective(vector: Floats) -> tuple[float, Floats]:
        weights = vector.reshape(shape)
        scores = np.matmul(weights, design, out=buffer)
        loss = losses(scores, own, row_weights)
        gradient = scores @ transposed + shrink * weights
        return loss + 0.5 * float((shrink * weights**2).sum()), gradient.ravel()

    options = {"maxiter": iterations, "maxcor": 10, "maxls": 50, "gtol": tolerance, "ftol": 0.0}
    start = np.zeros(shape[0] * shape[1])
    # With products this small, threads wait for one another: 30 times as long on two busy cores.
    with threadpool_limits(1, user_api="blas"):
        result = minimize(objective, start, method="L-BFGS-B", jac=True, options=options)
    converged = bool(np.abs(result.jac).max() <= tolerance)
    return Fit(result.x.reshape(shape).T, classifier, converged)


def _multinomial(scores: Floats, own: tuple[IntArray, IntArray], row_weights: Floats) -> float:
    """Weighted loss of (S, N) scores, which are overwritten by its gradient.

    `own` indexes the score of each row's own class.
    """
    scores -= scores.max(axis=0)
    loss = -float(scores[own] @ row_weights)
    np.exp(scores, out=scores)
    total = scores.sum(axis=0)
    scores *= row_weights / total
    scores[own] -= row_weights
    return loss + float(np.log(total) @ row_weights)


def _one_vs_rest(scores: Floats, own: tuple[IntArray, IntArray], row_weights: Floats) -> float:
    """The same for independent questions, one per class."""
    loss = float((np.maximum(scores, 0).sum(axis=0) - scores[own]) @ row_weights)
    positive = scores >= 0
    # Never above 1, so that nothing overflows.
    np.exp(-np.abs(scores), out=scores)
    loss += float(np.log1p(scores).sum(axis=0) @ row_weights)
    np.divide(np.where(positive, 1.0, scores), 1 + scores, out=scores)
    scores *= row_weights
    scores[own] -= row_weights
    return loss
