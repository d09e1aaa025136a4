"""Accuracy from few labels: the downstream task of Locatello et al. 2019, arXiv 1811.12359.

Two read-outs, linear and boosted, are the two metrics; all else is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .calling import metric
from .dci import Problem, Task, check_boosting
from .dci_fast import check_bins
from .doubts import few_rows_to_score, one_hot_factors, repeated_rows
from .gradient_boosting import Bins, boost_binned
from .logistic import Floats, features, fit
from .representation import Representation, Score

# Predicts the (M,) labels of the rows scored from those of some of the rows fitted on.
ReadOut: TypeAlias = Callable[[NDArray[np.intp]], NDArray[Any]]
ReadOuts: TypeAlias = Callable[[Problem, Task, np.random.Generator], ReadOut]


@metric(one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def few_labels_linear(
    representation: Representation,
    rng: np.random.Generator,
    *,
    fewest: int = 10,
    few: int = 100,
    some: int = 1_000,
    most: int = 10_000,
    test_points: int = 5_000,
    repeats: int = 10,
    penalty: float = 1e4,
    iterations: int = 100,
) -> Score:
    """Few labels, linear (Locatello et al. 2019): how much does a line read with 100 labels?

    Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
    Representations", ICML 2019, arXiv 1811.12359; in its code (disentanglement_lib) the metric
    `downstream_task`. A predictor of each factor from all latents is fitted on 10, 100, 1,000 and
    10,000 labelled rows; A(n) is its accuracy on rows that were not fitted on, averaged over the
    factors, and R^2 in the place of accuracy for a continuous factor:

        value = A(few),  efficiency = A(few) / A(most),  efficiency_some = A(some) / A(most).

    The value is that of 100 labels, as it is the same question however many rows there are.

    - The predictor is multinomial logistic regression, and ridge regression for a number, with C
      = `penalty` and at most `iterations` of L-BFGS. There, C is the best of ten from 1e-4 to 1e4
      by cross-validation, with 100 iterations; here it is the weakest of the ten.
    - There, one set of rows is drawn; here A(n) is the mean over up to `repeats` disjoint sets, as
      a hundred rows alone move it by some hundredths.
    - The latents are standardised over all rows fitted on, which needs no label; a categorical
      latent is one-hot, and of a vector all columns are read. A class that is not among the
      labels is never predicted.

    Known flaws: accuracy is not corrected for chance (useless codes of dSprites: 0.12), so the
    efficiency of useless codes is 1: read it with A(most). A factor of 40 classes cannot be read
    from 100 labels, of which 8 % of the classes have none; softmax cuts off the middle classes of
    one latent only with many, so that perfect codes of dSprites are far below 1. Many latents are
    overfitted, as nothing chooses a stronger penalty. The score says nothing about axes.

    In the conformance table: perfect 0.54 / 1.00 / 0.54, rotated 0.54 / 1.00 / 0.54, noise 0.12 /
    0.12 / 1.00 (few / most / efficiency).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses the rows. Without `test`, rows are fitted on one half and scored on the other.
        fewest: labels of the part `fewest`.
        few: labels of the value.
        some: labels of the part `some`.
        most: labels of the part `most`; no more rows are fitted on, nor scored.
        test_points: at most this many rows are scored.
        repeats: at most this many sets of rows for each number of labels.
        penalty: C of scikit-learn; smaller is a stronger penalty.
        iterations: the largest number of iterations.

    Returns:
        Score in [0, 1]: A(few); parts `fewest`, `some` and `most`, `efficiency`, `efficiency_some`,
        which are at most 1, and 0 if A(most) is. Details: `accuracy` by factor, one for each number
        of `labels`; `chances` by factor, the share of the most frequent class scored (0 for a
        number), and `chance`, their mean; `measures` ("accuracy" or "r2"), `read_out`, `left_out`:
        factors that do not vary over the rows fitted on, or have no label in those scored. A number
        of labels that a factor does not have stands for all that it has, which is a warning.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    counts = {"fewest": fewest, "few": few, "some": some, "most": most}
    options = {"name": "linear", "penalty": penalty, "iterations": iterations}
    read_out = linear(penalty, iterations)
    return _score(
        representation, rng, "few_labels_linear", counts, test_points, repeats, read_out, options
    )


@metric(one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def few_labels_boosted(
    representation: Representation,
    rng: np.random.Generator,
    *,
    fewest: int = 10,
    few: int = 100,
    some: int = 1_000,
    most: int = 10_000,
    test_points: int = 5_000,
    repeats: int = 10,
    stages: int = 32,
    depth: int = 3,
    rate: float = 0.3,
    bins: int = 64,
    longest_step: float = 2.0,
    negligible: float = 1e-3,
    tie: float = 1e-6,
) -> Score:
    """Few labels, boosted (Locatello et al. 2019): how much do trees read with 100 labels?

    Definition, parts and details are those of few_labels_linear, except for the predictor: boosted
    trees, which cut along the axes and so read an aligned code with fewer labels. Locatello et al.
    take gradient boosting as in scikit-learn; here it is that of dci_fast (on bins, 32 stages at
    the rate 0.3), with the same options: A(most) is the informativeness of dci_fast.

    Known flaws: those of few_labels_linear, except that it depends on the axes. What a code loses
    with any number of labels costs no efficiency: read it with A(most).

    In the conformance table: perfect 0.84 / 1.00 / 0.84, rotated 0.27 / 0.48 / 0.57, noise 0.12 /
    0.12 / 1.00 (few / most / efficiency).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses the rows, and among columns that split a node equally well.
        fewest: labels of the part `fewest`.
        few: labels of the value.
        some: labels of the part `some`.
        most: labels of the part `most`; no more rows are fitted on, nor scored.
        test_points: at most this many rows are scored.
        repeats: at most this many sets of rows for each number of labels.
        stages: boosting stages at most.
        depth: depth of the trees.
        rate: learning rate.
        bins: bins of each column, or the number of classes of the factor if that is larger.
        longest_step: of the score of a class in a leaf.
        negligible: stages that could change the importances by at most this share are left out.
        tie: gains whose relative difference is this small count as equal.

    Returns:
        Score in [0, 1], parts and details as those of few_labels_linear.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    read_out = boosted(stages, depth, rate, bins, longest_step, negligible, tie)
    counts = {"fewest": fewest, "few": few, "some": some, "most": most}
    options = {"name": "gradient boosting on bins", "stages": stages, "depth": depth}
    options |= {"rate": rate, "bins": bins}
    return _score(
        representation, rng, "few_labels_boosted", counts, test_points, repeats, read_out, options
    )


def linear(penalty: float, iterations: int) -> ReadOuts:
    """Softmax regression, and ridge regression for a number; see `few_labels_linear`.

    Raises:
        ValueError: an option is out of range.
    """
    if penalty <= 0 or iterations < 1:
        raise ValueError(
            f"penalty={penalty}, iterations={iterations}: give more than 0 and at least 1"
        )

    def read_out(problem: Problem, task: Task, draw: np.random.Generator) -> ReadOut:
        sides = (side.labelled(task.factor) for side in (problem.fitted, problem.scored))
        columns, others = features(*sides)

        def read(rows: NDArray[np.intp]) -> NDArray[Any]:
            if task.continuous:
                return _on_a_line(columns[rows], task.labels[rows], others, penalty)
            classes, labels = np.unique(task.labels[rows], return_inverse=True)
            model = fit(columns[rows], labels, penalty=penalty, iterations=iterations)
            predicted: NDArray[Any] = classes[model.log_probabilities(others).argmax(axis=1)]
            return predicted

        return read

    return read_out


def boosted(
    stages: int,
    depth: int,
    rate: float,
    bins: int,
    longest_step: float,
    negligible: float,
    tie: float,
) -> ReadOuts:
    """The boosted trees of dci_fast; see `few_labels_boosted`.

    Raises:
        ValueError: an option is out of range.
    """
    check_boosting(stages=stages, depth=depth, rate=rate)
    check_bins(bins=bins, longest_step=longest_step, negligible=negligible, tie=tie)

    def read_out(problem: Problem, task: Task, draw: np.random.Generator) -> ReadOut:
        def read(rows: NDArray[np.intp]) -> NDArray[Any]:
            part = replace(task, fitted=task.fitted[rows], labels=task.labels[rows])
            loss = part.loss(np.float32)
            cut = Bins.of(part.fitted, part.scored, max(bins, loss.columns))
            return boost_binned(
                loss, cut, draw, stages, depth, rate, longest_step, negligible, tie
            ).held_out

        return read

    return read_out


def _score(
    representation: Representation,
    rng: np.random.Generator,
    name: str,
    counts: Mapping[str, int],
    test_points: int,
    repeats: int,
    read_out: ReadOuts,
    options: Mapping[str, Any],
) -> Score:
    """The score of a read-out, from each number of labels."""
    numbers = list(counts.values())
    if numbers[0] < 1 or numbers != sorted(set(numbers)):
        listed = ", ".join(f"{key}={count}" for key, count in counts.items())
        raise ValueError(f"{listed}: give numbers of labels that grow, at least 1")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: give at least 1")
    problem = Problem.of(representation, rng, name, counts["most"], test_points, least=1)
    names = problem.fitted.factor_names
    accuracies, chances, measures = {}, {}, {}
    for task in problem.tasks:
        # Of its own for each factor, so that none changes what is drawn for another.
        draw = np.random.default_rng(task.seed)
        factor, order = names[task.factor], draw.permutation(len(task.labels))
        read = read_out(problem, task, draw)
        accuracies[factor] = [_accuracy(task, read, order, n, repeats) for n in numbers]
        measures[factor] = "r2" if task.continuous else "accuracy"
        common = np.unique(task.truth, return_counts=True)[1].max() / len(task.truth)
        chances[factor] = 0.0 if task.continuous else float(common)
    means: list[float] = np.mean(list(accuracies.values()), axis=0).tolist()
    parts = dict(zip(counts, means, strict=True))
    value = parts.pop("few")

    def share(part: float) -> float:
        return min(1.0, part / parts["most"]) if parts["most"] else 0.0

    return Score(
        value=value,
        details={
            "accuracy": {factor: accuracies.get(factor) for factor in names},
            "labels": numbers,
            "chance": float(np.mean(list(chances.values()))),
            "chances": {factor: chances.get(factor) for factor in names},
            "measures": {factor: measures.get(factor) for factor in names},
            "read_out": dict(options),
            "factors": list(names),
            "left_out": [factor for factor in names if factor not in accuracies],
            "rows_fitted": len(problem.fitted),
            "rows_scored": len(problem.scored),
        },
        parts={**parts, "efficiency": share(value), "efficiency_some": share(parts["some"])},
        warnings=_missing(counts, {names[task.factor]: len(task.labels) for task in problem.tasks}),
        rows_used=problem.rows_used,
    )


def _accuracy(
    task: Task, read: ReadOut, order: NDArray[np.intp], labels: int, repeats: int
) -> float:
    """Mean accuracy from `labels` of the rows, over as many disjoint sets of them as there are."""
    labels = min(labels, len(order))
    sets = [order[i * labels : (i + 1) * labels] for i in range(min(repeats, len(order) // labels))]
    values = []
    for rows in sets:
        known = task.labels[rows]
        constant = np.ptp(known) == 0
        predicted = np.full(len(task.truth), known[0]) if constant else read(rows)
        values.append(task.agreement(predicted, task.truth))
    return float(np.mean(values))


def _on_a_line(columns: Floats, numbers: Floats, others: Floats, penalty: float) -> Floats:
    """(M,) numbers predicted by ridge regression with an intercept, alpha = 1 / penalty."""
    middle, mean = columns.mean(axis=0), numbers.mean()
    shrink = np.eye(columns.shape[1]) / penalty**0.5
    design = np.vstack([columns - middle, shrink])
    target = np.concatenate([numbers - mean, np.zeros(len(shrink))])
    weights = np.linalg.lstsq(design, target, rcond=None)[0]
    predicted: Floats = (others - middle) @ weights + mean
    return predicted


def _missing(counts: Mapping[str, int], rows: Mapping[str, int]) -> list[str]:
    """A warning if a factor has fewer labels than are asked for."""
    factor = min(rows, key=lambda name: rows[name])
    short = [f"{key} ({count:,})" for key, count in counts.items() if count > rows[factor]]
    if not short:
        return []
    verb = "stands" if len(short) == 1 else "stand"
    return [
        f"{rows[factor]:,} labelled rows to fit {factor} on: {' and '.join(short)} {verb} for all "
        "of these; give more rows"
    ]
