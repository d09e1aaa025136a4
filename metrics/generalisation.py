"""Generalisation: what is read from rows that the model was trained on holds for unseen rows, too?

The protocol of Schott et al. 2022, arXiv 2107.08221. Two read-outs, linear and boosted, are the two
metrics; they are those of `few_labels`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import MISSING
from .calling import metric
from .dci import Problem, Task
from .doubts import few, few_rows_to_score, one_hot_factors, repeated_rows
from .few_labels import ReadOuts, boosted, linear
from .representation import Representation, Score

EASY = 0.5  # R^2 of a constant guess on the unseen rows, from which a factor is named
_ALL = 2**62  # rows: the sides are chosen here


@metric(one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def generalisation_linear(
    representation: Representation,
    rng: np.random.Generator,
    *,
    points: int = 10_000,
    test_points: int = 5_000,
    penalty: float = 1e4,
    iterations: int = 100,
) -> Score:
    """Generalisation, linear (Schott et al. 2022): does a line fitted on seen rows hold for others?

    Schott et al., "Visual Representation Learning Does Not Generalize Strongly Within the Same
    Domain", ICLR 2022, arXiv 2107.08221. The model was trained on some combinations of the factors
    (`seen` rows) and not on others (`unseen` rows). A predictor of each factor from all latents is
    fitted on half of the seen rows, and scored on the other half and on the unseen rows:

        value = mean over the factors of the score on unseen rows,  drop = seen - value.

    - The score of a factor on unseen rows is theirs (their code, evaluate_model.py): R^2 = 1 -
      error / variance, with the mean squared error of the class index (the value, if continuous)
      and its variance over all rows, seen and unseen. On seen rows the variance is their own: by
      that of all rows, a guess would have an R^2 well above 0 wherever seen classes lie close
      together. R^2 below 0 counts as 0 in the means; the details have it as it is.
    - A categorical factor has no order, and is scored by accuracy. There, it is a number, too.
    - There, networks are trained to predict the factors, or perceptrons on the latents of others.
      Here it is ridge regression, and softmax regression for a categorical factor, as in
      few_labels_linear, on standardised latents.

    Known flaws: the accuracy of a categorical factor is not corrected for chance, and a class that
    was never seen is always wrong (a warning says so). Where the unseen rows lie close together, as
    in a recombination to an element, guessing the mean has an R^2 far above 0, and the drop can be
    negative: `chance` in the details is what a guess has, and a warning names factors where it is
    above 0.5. A cyclic factor counts as a line from its first class to its last. A code that tells
    nothing has no drop, so read the drop with the value. The score says nothing about axes.

    In the conformance table, with upper classes unseen: perfect 1.00 / 1.00 / 0.00, rotated 1.00 /
    1.00 / 0.00, noise 0.07 / 0.07 / 0.00 (unseen / seen / drop).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors, and `unseen`; `further`
            unseen rows are scored with the others, `test` is not read.
        rng: chooses the rows.
        points: at most this many seen rows are fitted on.
        test_points: at most this many seen rows, and as many unseen ones, are scored.
        penalty: C of scikit-learn; smaller is a stronger penalty.
        iterations: the largest number of iterations.

    Returns:
        Score in [0, 1]: that of the unseen rows; parts `seen`, and `drop`, which is at most 1 and
        negative if unseen rows are told better. Details: `seen`, `unseen` and `chances` (of the
        best constant guess on the unseen rows) by factor, `chance`, what the latter would score,
        `measures` ("accuracy" or "r2"), `read_out`, `left_out`: factors that do not vary over the
        rows fitted on, or have no label on one of the sides scored.

    Raises:
        ValueError: no row is unseen, fewer than two are seen, no factor varies, or an option is out
            of range.
    """
    read_outs = linear(penalty, iterations)
    options = {"name": "linear", "penalty": penalty, "iterations": iterations}
    return _score(
        representation, rng, "generalisation_linear", points, test_points, read_outs, options
    )


@metric(one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def generalisation_boosted(
    representation: Representation,
    rng: np.random.Generator,
    *,
    points: int = 10_000,
    test_points: int = 5_000,
    stages: int = 32,
    depth: int = 3,
    rate: float = 0.3,
    bins: int = 64,
    longest_step: float = 2.0,
    negligible: float = 1e-3,
    tie: float = 1e-6,
) -> Score:
    """Generalisation, boosted (Schott et al. 2022): do trees fitted on seen rows hold for others?

    Definition, parts and details are those of generalisation_linear, except for the predictor:
    boosted trees, as in few_labels_boosted.

    Known flaws: those of generalisation_linear, except that it depends on the axes. Trees predict
    no number beyond those that they were fitted on, so that they do not extrapolate from any code:
    for such splits the linear one is the one to read.

    In the conformance table, with upper classes unseen: perfect 0.81 / 1.00 / 0.19, rotated 0.81 /
    0.97 / 0.16, noise 0.07 / 0.06 / 0.00 (unseen / seen / drop).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors, and `unseen`; `further`
            unseen rows are scored with the others, `test` is not read.
        rng: chooses the rows, and among columns that split a node equally well.
        points: at most this many seen rows are fitted on.
        test_points: at most this many seen rows, and as many unseen ones, are scored.
        stages: boosting stages at most.
        depth: depth of the trees.
        rate: learning rate.
        bins: bins of each column, or the number of classes of the factor if that is larger.
        longest_step: of the score of a class in a leaf.
        negligible: stages that could change the importances by at most this share are left out.
        tie: gains whose relative difference is this small count as equal.

    Returns:
        Score in [0, 1], parts and details as those of generalisation_linear.

    Raises:
        ValueError: no row is unseen, fewer than two are seen, no factor varies, or an option is out
            of range.
    """
    read_outs = boosted(stages, depth, rate, bins, longest_step, negligible, tie)
    options = {"name": "gradient boosting on bins", "stages": stages, "depth": depth}
    options |= {"rate": rate, "bins": bins}
    return _score(
        representation, rng, "generalisation_boosted", points, test_points, read_outs, options
    )


def _score(
    representation: Representation,
    rng: np.random.Generator,
    name: str,
    points: int,
    test_points: int,
    read_outs: ReadOuts,
    options: Mapping[str, Any],
) -> Score:
    """The score of a read-out on unseen rows."""
    if points < 2 or test_points < 2:
        raise ValueError(f"points={points}, test_points={test_points}: give at least 2 of each")
    r = _with_numbers(representation)
    fitted, seen, unseen = _sides(r, rng, name, points, test_points)
    scored = _stacked([seen, *unseen])
    is_unseen = np.arange(len(scored)) >= len(seen)
    problem = Problem.of(replace(fitted, test=scored), rng, name, _ALL, _ALL, least=1)
    names, kinds = representation.factor_names, r.factor_kinds
    of_seen: dict[str, float] = {}
    of_unseen: dict[str, float] = {}
    chances: dict[str, float] = {}
    unknown = []
    for task in problem.tasks:
        factor, k = names[task.factor], task.factor
        beyond = is_unseen[problem.scored.factors[:, k] != MISSING]
        if beyond.all() or not beyond.any():
            continue
        draw = np.random.default_rng(task.seed)
        predicted = read_outs(problem, task, draw)(np.arange(len(task.labels)))
        guess, own, variance = _guess(task), 1.0, 1.0
        if task.continuous:  # of the numbers as they are standardised
            own = float(task.truth[~beyond].var()) or 1.0
            variance = float(r.labelled(k).number(k).var() / fitted.labelled(k).number(k).var())
        for by_factor, guesses, rows, spread in (
            (of_seen, predicted, ~beyond, own),
            (of_unseen, predicted, beyond, variance),
            (chances, guess, beyond, variance),
        ):
            by_factor[factor] = _agreement(guesses[rows], task.truth[rows], spread, kinds[k])
        if not (task.continuous or np.isin(task.truth[beyond], task.labels).all()):
            unknown.append(factor)
    if not of_unseen:
        raise ValueError(
            f"no factor has labels both in seen and in unseen rows: {name} is undefined"
        )

    def mean(by_factor: Mapping[str, float]) -> float:
        return float(np.mean(np.maximum(list(by_factor.values()), 0)))

    value, of_others = mean(of_unseen), mean(of_seen)
    marked = 0 if r.unseen is None else min(test_points, int(r.unseen.sum()))
    measures = {
        factor: "r2" if kind == "continuous" else "accuracy"
        for factor, kind in zip(names, kinds, strict=True)
    }
    warnings = []
    if unknown:
        warnings.append(
            f"{few(unknown)}: some unseen rows have a class that no row fitted on has, which is "
            "never predicted: they count as wrong"
        )
    easy = [f for f in of_unseen if measures[f] == "r2" and chances[f] > EASY]
    if easy:
        warnings.append(
            f"{few(easy)}: unseen rows lie so close together that a constant guess has an R^2 of "
            f"{max(chances[f] for f in easy):.2f} there: read the value with the level of chance"
        )
    return Score(
        value=value,
        details={
            "seen": {factor: of_seen.get(factor) for factor in names},
            "unseen": {factor: of_unseen.get(factor) for factor in names},
            "chance": mean(chances),
            "chances": {factor: chances.get(factor) for factor in names},
            "measures": {f: measures[f] if f in of_unseen else None for f in names},
            "read_out": dict(options),
            "factors": list(names),
            "left_out": [factor for factor in names if factor not in of_unseen],
            "rows_fitted": len(fitted),
            "rows_seen": len(seen),
            "rows_unseen": int(is_unseen.sum()),
            "rows_scored": min(len(seen), int(is_unseen.sum())),
        },
        parts={"seen": of_others, "drop": of_others - value},
        warnings=warnings,
        rows_used=len(fitted) + len(seen) + marked,
    )


def _with_numbers(r: Representation) -> Representation:
    """With all factors as numbers but the categorical ones: those that have an order, or a circle.

    The test rows are dropped, and the posterior, which no read-out sees.
    """
    kinds = tuple("categorical" if k == "categorical" else "continuous" for k in r.factor_kinds)
    numbers = [r.number(k) for k in range(len(kinds))]
    return replace(
        r,
        factor_kinds=kinds,
        values=np.column_stack(numbers) if "continuous" in kinds else None,
        logvar=None,
        kl=None,
        probabilities=None,
        test=None,
        further=None if r.further is None else _with_numbers(r.further),
    )


def _sides(
    r: Representation, rng: np.random.Generator, name: str, points: int, test_points: int
) -> tuple[Representation, Representation, list[Representation]]:
    """Seen rows to fit on, seen rows to score, and unseen ones: those of r, then further ones.

    Raises:
        ValueError: no row is unseen, or fewer than two are seen.
    """
    mask = np.zeros(len(r), dtype=bool) if r.unseen is None else r.unseen
    if not mask.any() and r.further is None:
        raise ValueError(
            f"no rows are marked as unseen: {name} is for combinations held out of training (bench "
            "run --split or --hold-out, or an array unseen)"
        )
    order = rng.permutation(np.flatnonzero(~mask))
    if len(order) < 2:
        raise ValueError(f"{len(order)} rows are seen: {name} fits on some and scores others")
    half = len(order) // 2
    beyond = rng.permutation(np.flatnonzero(mask))[:test_points]
    unseen = [r.take(beyond)] if len(beyond) else []
    left = test_points - len(beyond)
    if r.further is not None and left:
        unseen.append(r.further.take(rng.permutation(len(r.further))[:left]))
    return r.take(order[:half][:points]), r.take(order[half:][:test_points]), unseen


def _stacked(sides: Sequence[Representation]) -> Representation:
    """The rows of some representations one after another."""
    first = sides[0]
    return replace(
        first,
        codes=np.concatenate([side.codes for side in sides]),
        categories=np.concatenate([side.categories for side in sides]),
        factors=np.concatenate([side.factors for side in sides]),
        values=None if first.values is None else np.concatenate([side.values for side in sides]),
        unseen=None,
    )


def _guess(task: Task) -> NDArray[Any]:
    """(M,) the best constant: the mean of a number, which is standardised, or the usual class."""
    if task.continuous:
        return np.zeros(len(task.truth))
    classes, counts = np.unique(task.labels, return_counts=True)
    return np.full(len(task.truth), classes[counts.argmax()])


def _agreement(predicted: NDArray[Any], truth: NDArray[Any], variance: float, kind: str) -> float:
    """Accuracy of (M,) predictions; of numbers 1 - error / variance."""
    if kind == "categorical":
        return float((predicted == truth).mean())
    return float(1 - ((predicted - truth) ** 2).mean() / variance)
