"""Interventional robustness score: Suter et al. 2019, arXiv 1811.00007, sections 4 and 5."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray
from .calling import metric
from .doubts import DATA, few_rows_per_value
from .pools import Pools
from .representation import Representation, Score


@metric(*DATA, few_rows_per_value)
def irs(
    representation: Representation,
    rng: np.random.Generator,
    *,
    quantile: float = 0.99,
    points: int = 10_000,
) -> Score:
    """Interventional robustness (Suter et al. 2019): are latents stable while one factor is fixed?

    Suter et al., "Robustly Disentangled Causal Mechanisms", arXiv 1811.00007. For a factor k fixed
    at a value v, the change of latent z is the `quantile` of |z - mean of z| over the rows with
    that value: how far the other factors can push it. Averaged over the values and divided by the
    largest |z - mean of z| over all rows it gives

        IRS(z, k) = 1 - mean_v change(z, k = v) / largest change(z).

    The score of a latent is its largest IRS over the factors; the score is their average over the
    active latents, weighted by the largest change. Factors are taken as they are, each class one
    intervention, and never binned again.

    A categorical latent is one latent. A quantile of its distances, which are 0 or 1, would be 0 or
    1 as well, so its change is the mean one: the Gini variance over the rows with a value, relative
    to that over all rows. It has no unit that compares with that of the codes and weighs as much as
    the mean active continuous latent.

    Known flaws: noise does not score 0, as a quantile is smaller than a maximum (0.38 for Gaussian
    noise at 10,000 rows), and outliers and more rows raise it; a factor that no latent encodes
    costs nothing, so that one good latent is enough for 1; a latent counts by its scale; values
    with few rows look robust.

    In the conformance table: perfect 1.00, rotated 0.39, noise 0.38.

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        quantile: of the changes of one intervention; 1 is the maximum of the definition, 0.99 is
            that of Locatello et al. 2019.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]; 0 if no latent is active. Details: `irs` (active latents, K), not below 0,
        `scores`, `parents` (the factor of the largest IRS) and `weights` by active latent, `active`
        and `constant` latents, `left_out`: factors that do not vary over the rows, or of which no
        value has two rows, with 0 in `irs`.

    Raises:
        ValueError: no factor can be fixed while others vary, or an option is out of range.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile is {quantile}: give a number above 0 and at most 1")
    representation = representation.at_most(points, rng)
    pools = Pools.of(representation.factors, "irs")
    names, latent_names = representation.factor_names, np.array(representation.latent_names)
    codes = representation.codes.astype(np.float64)
    # Rounding can give the mean of a constant column a distance above 0.
    varies = np.ptp(codes, axis=0) > 0
    informative = np.ptp(representation.categories, axis=0) > 0
    active = np.concatenate([varies, informative])
    fixed = [names[k] for k in pools.factors]
    details: dict[str, Any] = {
        "active": latent_names[active].tolist(),
        "active_count": int(active.sum()),
        "constant": latent_names[~active].tolist(),
        "factors": list(names),
        "left_out": [name for name in names if name not in fixed],
        "quantile": quantile,
        "points": len(representation),
    }
    if not active.any():
        details |= {"irs": np.zeros((0, len(names))), "scores": {}, "parents": {}, "weights": {}}
        details["note"] = "no latent is active"
        return Score(0.0, details, rows_used=len(representation))

    continuous, largest = _continuous(codes[:, varies], pools, quantile)
    categorical = _categorical(representation.categories[:, informative], pools)
    # A change within a value can exceed the largest change from the overall mean.
    matrix = np.maximum(0.0, 1 - np.concatenate([continuous, categorical])[:, pools.factors])
    weights = np.full(len(matrix), largest.mean() if len(largest) else 1.0)
    weights[: len(largest)] = largest
    scores, parents = matrix.max(axis=1), pools.factors[matrix.argmax(axis=1)]
    whole = np.zeros((len(matrix), len(names)))
    whole[:, pools.factors] = matrix
    return Score(
        # Divided by the largest weight first, so that no sum can overflow.
        value=min(1.0, float(np.average(scores, weights=weights / weights.max()))),
        details={
            **details,
            "irs": whole,
            "scores": dict(zip(details["active"], scores.tolist(), strict=True)),
            "parents": dict(zip(details["active"], [names[k] for k in parents], strict=True)),
            "weights": dict(zip(details["active"], weights.tolist(), strict=True)),
        },
        rows_used=len(representation),
    )


def _continuous(
    codes: FloatArray, pools: Pools, quantile: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Changes (D, K) of (N, D) codes relative to the largest ones, and these (D,)."""
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)

    def change(rows: IntArray) -> FloatArray:
        group = codes[rows]
        moved: FloatArray = np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0)
        moved /= largest
        return moved

    return _mean_changes(pools, codes.shape[1], change), largest


def _categorical(categories: IntArray, pools: Pools) -> NDArray[np.float64]:
    """Changes (C, K) of (N, C) categories: Gini variance with a factor fixed over that without."""

    def variance(column: IntArray) -> float:
        counts = np.bincount(column).astype(np.float64)
        total = counts.sum()
        return float((total**2 - (counts**2).sum()) / (total * (total - 1)))

    whole = [variance(column) for column in categories.T]

    def change(rows: IntArray) -> FloatArray:
        pairs = zip(categories[rows].T, whole, strict=True)
        return np.array([variance(column) / total for column, total in pairs])

    return _mean_changes(pools, categories.shape[1], change)


def _mean_changes(
    pools: Pools, latents: int, change: Callable[[IntArray], FloatArray]
) -> NDArray[np.float64]:
    """Changes (latents, K) averaged over the values of each factor that can be fixed."""
    means = np.zeros((latents, len(pools.first)))
    for k in pools.factors:
        values = range(pools.first[k], pools.first[k] + pools.pools[k])
        slices = [slice(pools.starts[p], pools.starts[p] + pools.counts[p]) for p in values]
        means[:, k] = np.mean([change(pools.order[rows]) for rows in slices], axis=0)
    return means
