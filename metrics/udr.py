"""Unsupervised disentanglement ranking: Duan et al. 2020, arXiv 1905.12614, section 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import IntArray
from .calling import Seed, generator, refuse_vectors
from .correlations import association, correlation_ratio, unit_vector
from .representation import Representation, Score


def udr(
    representations: Sequence[Representation | ArrayLike],
    rng: Seed = 0,
    rows: Sequence[IntArray] | None = None,
    *,
    min_kl: float = 0.01,
    min_rows: int = 500,
    points: int = 10_000,
) -> list[Score]:
    """Unsupervised disentanglement ranking (Duan et al. 2020): do other seeds find these latents?

    Duan et al., "Unsupervised Model Selection for Variational Disentangled Representation
    Learning", ICLR 2020, arXiv 1905.12614. Models of one setting that disentangle agree with one
    another up to the order and the sign of their latents; models that do not, differ. With R(a, b)
    the absolute rank correlation of latent a of model i and latent b of model j over the same rows,
    r_b its maximum over a, r_a that over b, and informative latents only,

        UDR_ij = 1/(d_i + d_j) [ sum_b r_b^2 / sum_a R(a, b) + sum_a r_a^2 / sum_b R(a, b) ],

    and the score of model i is the median of UDR_ij over the other models: UDR_S of the paper,
    which also has one by Lasso weights. It needs no labels, so it can choose among settings if
    there are none. A latent is informative if its mean KL is at least `min_kl`, 0.01 nats in the
    paper; without `kl`, if it varies.

    A categorical latent is one latent: its R with a number is the square root of the correlation
    ratio, with another category that of phi^2 / (S - 1), both corrected for chance.

    Known flaws: models that all entangle in the same way agree, and a single latent that all of
    them find scores 1. Randomly rotated codes of four factors score 0.3 to 0.4, noise 0; the chance
    correlations of n rows keep equal codes below 1 (0.93 for four latents at 2,000 rows).

    Args:
        representations: M of them, at least two; or the codes (N, D) of each, without a posterior.
        rng: chooses the rows of a pair that shares more than `points`: a generator or a seed.
        rows: M times (N,), which image each row is; without it, row n is the same image in all.
        min_kl: latents with a smaller mean KL in nats do not count, if `kl` is known.
        min_rows: a pair that shares fewer is refused, as its latents would agree by chance.
        points: at most this many rows of a pair are used, drawn without replacement.

    Returns:
        A Score in [0, 1] for each representation. Details: `pairs` (M,) with None for itself,
        `shared` (M,) rows behind each, `informative` latents.

    Raises:
        ValueError: fewer than two representations, or a pair shares too few rows.
    """
    rng = generator(rng)
    models = _models(representations)
    if rows is None:
        rows = [np.arange(len(model)) for model in models]
    informative = [_informative(model, min_kl) for model in models]
    count = len(models)
    pairs, shared = np.full((count, count), np.nan), np.zeros((count, count), dtype=np.int64)
    for i in range(count):
        for j in range(i):
            _, first, second = np.intersect1d(rows[i], rows[j], return_indices=True)
            if len(first) < min_rows:
                raise ValueError(
                    f"udr: two models share {len(first)} rows, {min_rows} are needed: "
                    "encode more rows of each"
                )
            chosen = rng.choice(len(first), size=min(len(first), points), replace=False)
            pairs[i, j] = pairs[j, i] = _agreement(
                _Latents.of(models[i].take(first[chosen]), informative[i]),
                _Latents.of(models[j].take(second[chosen]), informative[j]),
            )
            shared[i, j] = shared[j, i] = len(chosen)
    return [
        Score(
            float(np.nanmedian(pairs[i])),
            {
                "pairs": [None if np.isnan(value) else float(value) for value in pairs[i]],
                "shared": shared[i],
                "informative": np.array(model.latent_names)[informative[i]].tolist(),
            },
        )
        for i, model in enumerate(models)
    ]


def _models(representations: Any) -> list[Representation]:
    """The representations, at least two, of what udr is called with."""
    if isinstance(representations, Representation) or not isinstance(representations, Sequence):
        raise ValueError("udr compares models: give a list of at least two representations")
    if len(representations) < 2 or isinstance(representations, str):
        raise ValueError("udr compares models: give at least two of them")
    models = []
    for model in representations:
        if not isinstance(model, Representation):
            # No factor is read.
            factors = np.zeros((np.shape(model)[:1] or (0,))[0], dtype=np.int64)
            model = Representation.of(codes=model, factors=factors[:, None])
        refuse_vectors("udr", model)
        models.append(model)
    return models


def _informative(representation: Representation, min_kl: float) -> NDArray[np.bool_]:
    """(D + C,) which latents are informative."""
    codes, categories = representation.codes, representation.categories
    varies: NDArray[np.bool_]
    varies = np.concatenate([np.ptp(codes, axis=0) > 0, np.ptp(categories, axis=0) > 0])
    return varies if representation.kl is None else varies & (representation.kl >= min_kl)


@dataclass(frozen=True)
class _Latents:
    """The informative latents of one model over some rows.

    Attributes:
        units: (N,) the ranks of each continuous latent as a unit vector.
        categories: (N,) of each categorical latent.
    """

    units: list[NDArray[np.float64]]
    categories: list[IntArray]

    @classmethod
    def of(cls, representation: Representation, informative: NDArray[np.bool_]) -> "_Latents":
        split = representation.codes.shape[1]
        codes, categories = representation.codes, representation.categories
        return cls(
            [unit_vector(codes[:, d], ranked=True) for d in np.flatnonzero(informative[:split])],
            [categories[:, c] for c in np.flatnonzero(informative[split:])],
        )


def _agreement(first: _Latents, second: _Latents) -> float:
    """UDR_ij; 0 if a model has no informative latent."""
    table = _correlations(first, second)
    if not table.size:
        return 0.0
    total = 0.0
    for matrix in (table, table.T):
        sums = matrix.sum(axis=0)
        best = matrix.max(axis=0)
        total += float(np.divide(best**2, sums, out=np.zeros_like(sums), where=sums > 0).sum())
    return min(1.0, total / sum(table.shape))


def _correlations(first: _Latents, second: _Latents) -> NDArray[np.float64]:
    """R (a, b), continuous latents first."""
    rows = [
        [abs(float(a @ b)) for b in second.units]
        + [correlation_ratio(a, c) for c in second.categories]
        for a in first.units
    ]
    rows += [
        [correlation_ratio(b, c) for b in second.units]
        + [association(c, d) for d in second.categories]
        for c in first.categories
    ]
    columns = len(second.units) + len(second.categories)
    return np.array(rows).reshape(len(rows), columns)
