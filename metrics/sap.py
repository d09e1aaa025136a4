"""Separated attribute predictability: Kumar et al. 2018, arXiv 1711.00848, section 3."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .arrays import MISSING, FloatArray
from .calling import metric
from .doubts import DATA, few_rows_to_score
from .representation import Representation, Score
from .svm import fit


@metric(*DATA, few_rows_to_score)
def sap(
    representation: Representation,
    rng: np.random.Generator,
    *,
    factors: Literal["classes", "values"] = "classes",
    points: int = 10_000,
    penalty: float = 0.01,
    standardized: bool = False,
) -> Score:
    """Separated attribute predictability (Kumar et al. 2018): is one latent the best predictor?

    Kumar, Sattigeri & Balakrishnan, "Variational Inference of Disentangled Latent Concepts from
    Unlabeled Observations", arXiv 1711.00848. Each latent alone predicts each factor; the gap of a
    factor is that between its best and its second best latent, the score the mean gap.

    - `factors="classes"`: the accuracy of a linear classifier (one-vs-rest support vector machines
      with squared hinge loss and balanced classes, as scikit-learn's LinearSVC) fitted on a random
      half of the rows and scored on the other. A categorical latent is one latent: the classifier
      sees its one-hot columns together.
    - `factors="values"`: for ordinal and cyclic factors R^2, the squared correlation of latent and
      class index over all rows; for a categorical latent the correlation ratio. Categorical factors
      have no values and are scored as classes. Continuous factors are always scored by their
      values.

    Classes and penalty are those of Locatello et al. 2019, who fit on 10,000 and score on 5,000
    fresh points.

    Known flaws: the values are small by construction: one line separates only the outer classes of
    an ordinal factor, so that perfect dSprites codes score 0.24 as classes and 1.00 as values. The
    intercept is penalised too, so that mean and scale of a latent matter (a perfect code of six
    classes with mean 2 and deviation 0.5: accuracy 0.33 as given, 0.66 standardised). A cyclic
    factor as a value is cut open at 0. A good code in two latents, such as (cos, sin), has no gap.

    In the conformance table: perfect 0.24, rotated 0.02, noise 0.00.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent), (N, K) factors.
        rng: chooses the halves, and the rows of each; `test` rows are scored if there are any.
        factors: what ordinal and cyclic factors are taken as.
        points: at most this many rows of each half are used.
        penalty: C of the classifier; smaller is a stronger penalty.
        standardized: give every continuous latent mean 0 and variance 1 before it is classified.

    Returns:
        Score in [0, 1]. Details: `predictability` (D + C, K), `gaps`, `best` latent and `measures`
        ("accuracy" or "r2") by factor, `left_out`: factors that do not vary over the rows, for
        which the gap is undefined. With only one latent, the second best predictor is the largest
        class (accuracy), or 0 (R^2).

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    if factors not in ("classes", "values"):
        raise ValueError(f"factors is {factors!r}: use classes or values")
    if points < 2 or penalty <= 0:
        raise ValueError(f"points={points}, penalty={penalty}: give at least 2 and more than 0")
    fitted, scored = representation.split(rng, points)
    names, latent_names = representation.factor_names, representation.latent_names
    varying = np.flatnonzero(_varies(fitted, scored)).tolist()
    if not varying:
        raise ValueError("factors are all constant over the rows: sap is undefined, give more rows")

    table = np.zeros((len(latent_names), len(names)))
    gaps, measures = {}, {}
    for k in varying:
        kind = representation.factor_kinds[k]
        by_value = kind == "continuous" or (factors == "values" and kind != "categorical")
        first, second = fitted.labelled(k), scored.labelled(k)
        if by_value:
            table[:, k] = _determination(first, second, k)
        else:
            table[:, k] = _accuracies(first, second, k, penalty, standardized)
        ranked = -np.sort(-table[:, k])
        if len(ranked) == 1:
            ranked = np.append(ranked, 0.0 if by_value else _largest_class(first, second, k))
        gaps[names[k]] = max(0.0, float(ranked[0] - ranked[1]))
        measures[names[k]] = "r2" if by_value else "accuracy"
    return Score(
        value=float(np.mean(list(gaps.values()))),
        details={
            "gaps": {name: gaps.get(name) for name in names},
            "best": {names[k]: latent_names[table[:, k].argmax()] for k in varying},
            "measures": measures,
            "predictability": table,
            "latents": list(latent_names),
            "factors": list(names),
            "left_out": [name for name in names if name not in gaps],
            "rows_fitted": len(fitted),
            "rows_scored": len(scored),
        },
        rows_used=representation.rows_used(fitted, scored),
    )


def _varies(fitted: Representation, scored: Representation) -> NDArray[np.bool_]:
    """(K,) which factors have a label on both sides, and more than one over both together."""
    both = np.concatenate([fitted.factors, scored.factors])
    varies = np.array(
        [len(np.unique(column[column != MISSING])) > 1 for column in both.T], dtype=bool
    )
    for side in (fitted, scored):
        varies &= (side.factors != MISSING).any(axis=0)
    return varies


def _accuracies(
    fitted: Representation,
    scored: Representation,
    factor: int,
    penalty: float,
    standardized: bool,
) -> list[float]:
    """How often each of the D + C latents alone predicts the class, on rows not fitted on."""
    labels, truth = fitted.factors[:, factor], scored.factors[:, factor]
    if not np.ptp(labels):
        return [_largest_class(fitted, scored, factor)] * fitted.latents
    classes, own = np.unique(labels, return_inverse=True)
    each = np.eye(len(classes))[own]

    def accuracy(scores: FloatArray) -> float:
        return float((classes[scores.argmax(axis=1)] == truth).mean())

    found = []
    for first, second in zip(fitted.codes.T, scored.codes.T, strict=True):
        columns = first[:, None].astype(np.float64), second[:, None].astype(np.float64)
        if standardized:
            mean, deviation = columns[0].mean(), columns[0].std() or 1.0
            columns = (columns[0] - mean) / deviation, (columns[1] - mean) / deviation
        weights = fit(columns[0], each, penalty)
        found.append(accuracy(columns[1] * weights[0] + weights[1]))
    for j, size in enumerate(fitted.category_sizes):
        counts = np.zeros((size, len(classes)))
        np.add.at(counts, (fitted.categories[:, j], own), 1)
        weights = fit(np.eye(size), counts, penalty)
        found.append(accuracy(weights[scored.categories[:, j]] + weights[-1]))
    return found


def _largest_class(fitted: Representation, scored: Representation, factor: int) -> float:
    """How often the class that is largest in the fitted rows is right in the others."""
    largest = np.bincount(fitted.factors[:, factor]).argmax()
    return float((scored.factors[:, factor] == largest).mean())


def _determination(
    fitted: Representation, scored: Representation, factor: int
) -> NDArray[np.float64]:
    """R^2 (D + C,) of the factor as a number given each latent alone, over the rows of both."""
    value = np.concatenate([fitted.number(factor), scored.number(factor)])
    value = value - value.mean()
    total = value @ value
    shares = []
    for column in np.concatenate([fitted.codes, scored.codes]).T:
        code = column.astype(np.float64)
        # Scaled first, so that no square can overflow or underflow; a constant latent explains 0.
        code = (code - code.mean()) / (np.ptp(column.astype(np.float64)) or np.inf)
        spread = code @ code
        shares.append((code @ value) ** 2 / (spread * total) if spread > 0 else 0.0)
    for column in np.concatenate([fitted.categories, scored.categories]).T:
        counts = np.bincount(column)
        sums = np.bincount(column, weights=value)[counts > 0]
        shares.append((sums**2 / counts[counts > 0]).sum() / total)
    bounded: NDArray[np.float64] = np.clip(np.array(shares), 0.0, 1.0)
    return bounded
