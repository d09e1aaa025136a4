"""BetaVAE score: Higgins et al. 2017, "beta-VAE", ICLR 2017, section 3."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray
from .calling import metric
from .doubts import DATA, few_rows_for_pairs
from .logistic import fit
from .pools import Pools, active_latents, pruned_by_spread, standardised_columns
from .representation import Representation, Score

# Points computed at a time, to bound the memory: they gather 2 * CHUNK * pairs rows.
CHUNK = 256


@metric(*DATA, few_rows_for_pairs)
def betavae_score(
    representation: Representation,
    rng: np.random.Generator,
    *,
    points: int = 10_000,
    test_points: int = 5_000,
    pairs: int = 64,
    min_kl: float = 0.1,
    min_std: float = 0.05,
) -> Score:
    """BetaVAE score (Higgins et al. 2017): do differences of pairs show which factor was fixed?

    Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", ICLR 2017, section 3. One point: choose a factor at random; draw `pairs` pairs of
    rows, both rows of a pair with the same value of that factor (a random value for each pair);
    average the absolute difference of the two over the pairs, for each latent. A linear classifier
    is trained to predict the factor from the point; the score is its accuracy on fresh points. A
    categorical latent is one latent: its difference is 1 if the categories of a pair differ and 0
    if they agree.

    Points, pairs and the classifier (multinomial logistic regression as in scikit-learn, C=1) are
    those of Locatello et al. 2019. Unlike there, each column of the points is standardised, so that
    the scale of a latent does not matter and the fit converges, and latents that carry nothing are
    pruned as in factorvae_score, since standardising would amplify them. Higgins et al. drop the
    worse half of the runs: their numbers are not plain means.

    Known flaws: the score saturates: it is 1 as soon as all factors but one are encoded, and
    a random rotation of five factors costs little (0.96), though one that mixes all axes evenly
    costs half (0.55). Useless codes score 1/K.

    In the conformance table: perfect 1.00, rotated 0.55, noise 0.20.

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses factors, values and rows.
        points: training points.
        test_points: fresh points, on which the accuracy is measured.
        pairs: pairs per point (L), each of two different rows.
        min_kl: latents with a smaller mean KL in nats are pruned, if `kl` is known.
        min_std: without `kl`, continuous latents with a smaller standard deviation are pruned, or
            with less than this share of the largest one where all are below 1, as such codes have
            any scale; a warning names them. Latents that are constant over all rows always are.

    Returns:
        Score in [0, 1]; 0 if no latent is left. Details: `confusion` (K fixed, K predicted) counts
        of the fresh points, `recall` by factor, `active` latents, `chance`, `protocol`,
        `converged`, `left_out`: factors that do not vary, or of which no value has two rows.

    Raises:
        ValueError: fewer than two factors can be fixed while others vary, or an option is out of
            range.
    """
    if points < 1 or test_points < 1 or pairs < 1:
        raise ValueError(
            f"points={points}, test_points={test_points}, pairs={pairs}: give at least 1 of each"
        )
    pools = Pools.of(representation.factors, "betavae_score", several=True)
    active = active_latents(representation, min_kl, min_std)
    names = representation.factor_names
    known = representation.kl is not None
    doubts = pruned_by_spread(representation, active, f"deviation below min_std={min_std:g}")
    details: dict[str, Any] = {
        **pools.details(representation, active),
        "protocol": {
            "points": points,
            "test_points": test_points,
            "pairs": pairs,
            "pruning": "kl" if known else "std",
            "threshold": min_kl if known else min_std,
        },
    }
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    if not active.any():
        recall = {name: None if name in details["left_out"] else 0.0 for name in names}
        details |= {"confusion": confusion, "recall": recall, "note": "no latent is active"}
        return Score(0.0, details, warnings=doubts, rows_used=len(representation))

    latents = _latents(representation, active)
    fitted, labels = _points(*latents, pools, points, pairs, rng)
    scored, truth = _points(*latents, pools, test_points, pairs, rng)
    predicted, converged = _classify(fitted, labels, scored)
    np.add.at(confusion, (truth, predicted), 1)
    totals = confusion.sum(axis=1)
    recall = {
        name: float(confusion[k, k] / totals[k]) if totals[k] else None
        for k, name in enumerate(names)
    }
    return Score(
        float((predicted == truth).mean()),
        {**details, "confusion": confusion, "recall": recall, "converged": converged},
        warnings=doubts,
        rows_used=len(representation),
    )


def _latents(
    representation: Representation, active: NDArray[np.bool_]
) -> tuple[FloatArray, IntArray]:
    """The active latents: (N, active continuous) float32, centred, and (N, active categorical)."""
    split = representation.codes.shape[1]
    codes = standardised_columns(representation.codes, np.flatnonzero(active[:split]), ddof=0)
    return codes, representation.categories[:, active[split:]]


def _points(
    codes: FloatArray,
    categories: IntArray,
    pools: Pools,
    points: int,
    pairs: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, IntArray]:
    """Mean differences (P, active) of pairs and the factors (P,) that were fixed."""
    factor = pools.factors[rng.integers(len(pools.factors), size=points)]
    differences = []
    for begin in range(0, points, CHUNK):
        chunk = factor[begin : begin + CHUNK]
        pool = pools.first[chunk] + rng.integers(pools.pools[chunk], size=(pairs, len(chunk)))
        starts, counts = pools.starts[pool], pools.counts[pool]
        first = rng.integers(counts)
        # One of the others: a step of 1 to counts - 1 around the pool.
        second = (first + 1 + rng.integers(counts - 1)) % counts
        a, b = pools.order[starts + first], pools.order[starts + second]
        continuous = np.abs(codes[a] - codes[b]).mean(axis=0)
        categorical = (categories[a] != categories[b]).mean(axis=0)
        differences.append(np.concatenate([continuous, categorical], axis=1))
    return np.concatenate(differences), factor


def _classify(fitted: FloatArray, labels: IntArray, scored: FloatArray) -> tuple[IntArray, bool]:
    """The factors (P,) that a linear classifier predicts, and whether its fit converged."""
    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) == 1:
        return np.full(len(scored), labels[0]), True
    mean, deviation = fitted.mean(axis=0), fitted.std(axis=0)
    deviation[deviation == 0] = 1
    # The one set of weights that scikit-learn fits for two classes is penalised half as much as the
    # two opposite halves of it here.
    penalty = 0.5 if len(classes) == 2 else 1.0
    made = fit((fitted - mean) / deviation, own, penalty=penalty)
    predicted = made.log_probabilities((scored - mean) / deviation).argmax(axis=1)
    return classes[predicted], made.converged
