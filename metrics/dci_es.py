"""DCI-ES: Eastwood, Nicolicioiu, von Kügelgen et al. 2023, ICLR 2023, arXiv 2210.00364."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calling import metric
from .dci import Problem, Task
from .doubts import few, few_rows_to_score, one_hot_factors, one_hot_latents, repeated_rows
from .representation import Representation, Score

# Of an accuracy by chance, above which a factor is told.
DEVIATIONS = 3.0


@metric(one_hot_latents, one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def dci_es(
    representation: Representation,
    rng: np.random.Generator,
    *,
    depths: tuple[int, ...] = (1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20, 32),
    trees: int = 100,
    points: int = 10_000,
    test_points: int = 5_000,
) -> Score:
    """DCI-ES (Eastwood et al. 2023): how much capacity does it take to read the factors?

    Eastwood, Nicolicioiu, von Kügelgen et al., "DCI-ES: An Extended Disentanglement Framework with
    Connections to Identifiability", ICLR 2023, arXiv 2210.00364. Probes of growing capacity
    k_1 < ... < k_T predict each factor from all latents; l_t is the lowest loss of the first t, on
    rows that were not fitted on. The area between this loss-capacity curve and its lowest point is
    compared with a triangle, that of a loss which falls evenly from the loss l_b without latents to
    0 (their code, metrics/explitcitness.py and src/simple_gather.py):

        E = 1 - sum_t [(l_t-1 + l_t) / 2 - l_T] (k_t - k_t-1) / [l_b (k_T - k_1) / 2],
        S = K / L.

    Explicitness, the value, is the mean E over the K factors: 1 if the weakest probe already reads
    what can be read, 0 if the loss falls evenly, negative if later. Size S is the number of factors
    over the L latents, 1 at most; their code has no line for it, and the paper's text was not read.
    Their informativeness is that of the best probe.

    - The probes are the random forests of their configuration: 100 trees, capacity is the depth.
      Their perceptrons and random Fourier features are not here. One forest is grown to the largest
      depth and cut off at the others, which gives the same trees.
    - The loss is 1 - accuracy for classes, and 1 - R^2 for a continuous factor. l_b is that of
      guessing the most frequent class; theirs, 1 - 1/S for S classes, is the same if all are as
      frequent. E of a factor below 0 counts as 0 in the mean; the details have it as it is.
    - A categorical latent is one latent, whose one-hot columns the trees see, and so is a vector;
      constant ones count.

    Known flaws: E says how early, not how much: a curve that never falls has no area, so useless
    codes score 1. Read it with `informativeness`; a warning names the factors that no probe tells
    beyond chance. For the same reason a code that trees read only in part (rotated) can have a
    larger E than a perfect one, whose factors of many classes take some depth to be read whole. E
    depends on the probes and on the axis of capacity.

    In the conformance table: perfect 0.89 / 1.00 / 0.89, rotated 0.93 / 1.00 / 0.45, noise 1.00 /
    0.50 / 0.12 (E / S / I, by 20 trees on 2,000 rows).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses the rows and grows the trees. Without `test`, rows are fitted on one half and
            scored on the other.
        depths: of the probes, growing: their capacities.
        trees: of each forest.
        points: at most this many rows are fitted on.
        test_points: at most this many rows are scored.

    Returns:
        Score in [0, 1]: explicitness; parts `size`, `informativeness`. Details: `explicitness`,
        `losses` at each of the `depths`, `baselines` l_b, `informativeness`, and `told` (whether
        beyond chance), by factor; `left_out`: factors that do not vary over the rows fitted on, or
        have no label in those scored.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    if len(depths) < 2 or list(depths) != sorted(set(depths)) or depths[0] < 1:
        raise ValueError(f"depths is {depths}: give at least two depths that grow, from 1")
    if trees < 1:
        raise ValueError(f"trees is {trees}: give at least 1")
    problem = Problem.of(representation, rng, "dci_es", points, test_points, least=1)
    names, latents = problem.fitted.factor_names, problem.fitted.latents
    curves, baselines, raw, best, told = {}, {}, {}, {}, {}
    for task in problem.tasks:
        factor = names[task.factor]
        losses = 1 - _agreements(task, depths, trees)
        baselines[factor] = baseline = 1 - _without_latents(task)
        curves[factor] = losses.tolist()
        raw[factor] = explicitness(depths, losses, baseline)
        best[factor] = float(1 - losses.min())
        chance = baseline * (1 - baseline) / len(task.truth)
        told[factor] = bool(best[factor] > 1 - baseline + DEVIATIONS * chance**0.5)
    untold = [factor for factor in told if not told[factor]]
    warnings = []
    if untold:
        verb = "is" if len(untold) == 1 else "are"
        warnings.append(
            f"{few(untold)} {verb} not told beyond chance by any probe: a curve without a fall "
            "counts as explicit, so read the value with informativeness"
        )
    return Score(
        value=float(np.mean(np.maximum(list(raw.values()), 0))),
        details={
            "explicitness": {factor: raw.get(factor) for factor in names},
            "losses": {factor: curves.get(factor) for factor in names},
            "baselines": {factor: baselines.get(factor) for factor in names},
            "informativeness": {factor: best.get(factor) for factor in names},
            "told": {factor: told.get(factor) for factor in names},
            "depths": list(depths),
            "trees": trees,
            "latents": latents,
            "factors": list(names),
            "left_out": [factor for factor in names if factor not in raw],
            "rows_fitted": len(problem.fitted),
            "rows_scored": len(problem.scored),
        },
        parts={
            "size": min(1.0, len(problem.tasks) / latents),
            "informativeness": float(np.mean(list(best.values()))),
        },
        warnings=warnings,
        rows_used=problem.rows_used,
    )


def explicitness(
    capacities: Sequence[float], losses: NDArray[np.float64], baseline: float
) -> float:
    """E of one factor, from -1 to 1.

    Args:
        capacities: (T,) of the probes, growing.
        losses: (T,) of the probes; a probe counts with the best that no greater capacity reached.
        baseline: loss without latents, by which the area is divided; the lowest loss is taken as 0.
    """
    lowest = np.minimum.accumulate(losses)
    above = lowest - lowest[-1]
    capacity = np.asarray(capacities, dtype=np.float64)
    area = float(((above[1:] + above[:-1]) / 2 * np.diff(capacity)).sum())
    triangle = baseline * (capacity[-1] - capacity[0]) / 2
    return float(max(-1.0, 1 - area / triangle)) if triangle > 0 else 1.0


def _without_latents(task: Task) -> float:
    """Accuracy of the most frequent class fitted, or R^2 of the mean, which is 0."""
    if task.continuous:
        return 0.0
    classes, counts = np.unique(task.labels, return_counts=True)
    return float((task.truth == classes[counts.argmax()]).mean())


def _agreements(task: Task, depths: Sequence[int], trees: int) -> NDArray[np.float64]:
    """(T,) accuracy, or R^2, of random forests cut off at each depth.

    How a node is split does not depend on what lies below it, so that a tree cut off at a depth is
    one that was grown to it: one forest is enough.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    rng = np.random.default_rng(task.seed)
    rows = len(task.labels)
    classes, labels = np.unique(task.labels, return_inverse=True)
    votes = np.zeros((len(depths), len(task.truth), 1 if task.continuous else len(classes)))
    for _ in range(trees):
        counts = np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(np.float64)
        seed = int(rng.integers(2**31 - 1))
        if task.continuous:
            model = DecisionTreeRegressor(max_depth=depths[-1], random_state=seed)
            model.fit(task.fitted, task.labels, counts)
        else:
            model = DecisionTreeClassifier(
                max_depth=depths[-1], max_features="sqrt", random_state=seed
            )
            model.fit(task.fitted, labels, counts)
        value = model.tree_.value[:, 0]
        # Older scikit-learn counts the rows of each class, newer gives their shares.
        value = value if task.continuous else value / value.sum(axis=1, keepdims=True)
        for place, node in enumerate(_nodes(model.tree_, task.scored, depths)):
            votes[place] += value[node]
    predicted = votes[:, :, 0] / trees if task.continuous else classes[votes.argmax(axis=2)]
    return np.array([task.agreement(column, task.truth) for column in predicted])


def _nodes(
    tree: Any, inputs: NDArray[np.float32], depths: Sequence[int]
) -> Iterator[NDArray[np.intp]]:
    """The node that each row of (M, F) inputs reaches at each depth, or the leaf above it."""
    rows, node, reached = np.arange(len(inputs)), np.zeros(len(inputs), dtype=np.intp), 0
    feature = np.maximum(tree.feature, 0)  # a leaf has none
    for depth in depths:
        while reached < min(depth, tree.max_depth):
            left = inputs[rows, feature[node]] <= tree.threshold[node]
            below = np.where(left, tree.children_left[node], tree.children_right[node])
            node = np.where(tree.children_left[node] < 0, node, below)
            reached += 1
        yield node
