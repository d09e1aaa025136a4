"""FactorVAE score: Kim & Mnih 2018, "Disentangling by Factorising", arXiv 1802.05983, section 4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray
from .calling import metric
from .doubts import DATA, few_rows_for_votes
from .pools import Pools, active_latents, pruned_by_spread, standardised_columns
from .representation import Representation, Score
from .vectors import Groups, summed

# Votes computed at a time, to bound the memory: they gather CHUNK * batch rows.
CHUNK = 512


@metric(*DATA, few_rows_for_votes, vectors=True)
def factorvae_score(
    representation: Representation,
    rng: np.random.Generator,
    *,
    votes: int = 10_000,
    test_votes: int = 5_000,
    batch: int = 64,
    min_kl: float = 0.1,
    min_std: float = 0.05,
) -> Score:
    """FactorVAE score (Kim & Mnih 2018): does the steadiest latent show which factor was fixed?

    Kim & Mnih, "Disentangling by Factorising", arXiv 1802.05983, section 4. One vote: choose a
    factor and one of its values at random, draw `batch` rows with that value, and divide each
    latent's variance over them by its variance over all rows. The latent with the smallest ratio
    votes for the factor. Each latent is assigned the factor it voted for most; the score is how
    often that is right on fresh votes. A latent without a training vote is never right.

    Variances are half the mean distance of two rows: unbiased variance for a continuous latent; for
    a vector half the mean squared distance, which is the sum of the variances of its columns. A
    categorical latent is one latent (Gini variance); with n_c of L rows in category c it has
    (L^2 - sum_c n_c^2) / (2 L (L - 1)).

    Known flaws: the score sees whether the latents are aligned with the factors, not how well they
    encode them. Useless codes score about 1/K, and latents of noise that are not pruned raise it
    (four aligned latents for five factors: 0.79; with six latents of noise: 0.955), so read it
    together with the vote matrix, the recall of each factor and the active latents. A very uneven
    categorical latent is often constant over a batch and then receives votes from every factor.

    Votes, batch and min_std are by default those of Locatello et al. 2019, min_kl that of Jeong &
    Song 2019. Dupont 2018: votes=500, test_votes=0, batch=100.

    In the conformance table: perfect 1.00, rotated 0.46, noise 0.20.

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses factors, values and rows.
        votes: training votes.
        test_votes: fresh votes; 0 scores the training votes themselves.
        batch: rows per vote (L), drawn with replacement.
        min_kl: latents with a smaller mean KL in nats are pruned, if `kl` is known.
        min_std: without `kl`, continuous latents with a smaller standard deviation are pruned, or
            with less than this share of the largest one where all are below 1, as such codes have
            any scale; a warning names them. Latents that are constant over all rows always are.

    Returns:
        Score in [0, 1]; 0 if no latent is left. Details: `vote_matrix` (active latents, K) counts
        of the training votes, `recall` by factor over the votes scored, `active` latents,
        `assigned` factor of each, `chance`, `protocol`, `left_out`: factors that do not vary, or of
        which no value has two rows.

    Raises:
        ValueError: fewer than two factors can be fixed while others vary, or an option is out of
            range.
    """
    if votes < 1 or test_votes < 0 or batch < 2:
        raise ValueError(
            f"votes={votes}, test_votes={test_votes}, batch={batch}: "
            "give at least 1, 0 and 2 of them"
        )
    pools = Pools.of(representation.factors, "factorvae_score", several=True)
    active = active_latents(representation, min_kl, min_std)
    names = representation.factor_names
    known = representation.kl is not None
    doubts = pruned_by_spread(representation, active, f"deviation below min_std={min_std:g}")
    details: dict[str, Any] = {
        **pools.details(representation, active),
        "protocol": {
            "votes": votes,
            "test_votes": test_votes,
            "fresh_votes": test_votes > 0,
            "batch": batch,
            "pruning": "kl" if known else "std",
            "threshold": min_kl if known else min_std,
        },
    }
    if not active.any():
        recall = {name: None if name in details["left_out"] else 0.0 for name in names}
        empty = np.zeros((0, len(names)), dtype=np.int64)
        details |= {"vote_matrix": empty, "assigned": {}, "recall": recall}
        details["note"] = "no latent is active"
        return Score(0.0, details, warnings=doubts, rows_used=len(representation))

    latents = _Latents.of(representation, active)
    voted, truth = _vote(latents, pools, votes, batch, rng)
    shape = (int(active.sum()), len(names))
    table = np.bincount(voted * shape[1] + truth, minlength=shape[0] * shape[1]).reshape(shape)
    assigned = np.where(table.any(axis=1), table.argmax(axis=1), -1)
    if test_votes:
        voted, truth = _vote(latents, pools, test_votes, batch, rng)
    correct = assigned[voted] == truth
    totals = np.bincount(truth, minlength=len(names))
    hits = np.bincount(truth[correct], minlength=len(names))
    recall = {
        name: float(hits[k] / totals[k]) if totals[k] else None for k, name in enumerate(names)
    }
    return Score(
        float(correct.mean()),
        {
            **details,
            "vote_matrix": table,
            "assigned": {
                name: names[k] if k >= 0 else None
                for name, k in zip(details["active"], assigned, strict=True)
            },
            "recall": recall,
        },
        warnings=doubts,
        rows_used=len(representation),
    )


def _unit_vectors(vectors: list[FloatArray], rows: int) -> FloatArray:
    """Vectors (N, W) side by side as float32, each with mean 0 and a total variance of 1."""
    scaled = [np.empty((rows, 0), dtype=np.float32)]
    for vector in vectors:
        codes = vector.astype(np.float64)
        codes -= codes.mean(axis=0)
        scaled.append((codes / np.sqrt(codes.var(axis=0, ddof=1).sum())).astype(np.float32))
    return np.hstack(scaled)


def _gini(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gini variance (...,) from counts of categories (..., S)."""
    total = counts.sum(axis=-1).astype(np.float64)
    squares = (counts.astype(np.float64) ** 2).sum(axis=-1)
    variance: NDArray[np.float64] = (total**2 - squares) / (2 * total * (total - 1))
    return variance


@dataclass(frozen=True)
class _Latents:
    """The active latents, scaled so that a variance over rows is the ratio that votes.

    Attributes:
        codes: (N, columns of the active continuous latents) float32, each latent of variance 1.
        groups: how many of these columns each has, or None if each has one.
        categories: (N, active categorical).
        sizes: number of categories of each.
        variances: Gini variance of each over all rows.
    """

    codes: FloatArray
    categories: IntArray
    sizes: tuple[int, ...]
    variances: tuple[float, ...]
    groups: Groups = None

    @classmethod
    def of(cls, representation: Representation, active: NDArray[np.bool_]) -> "_Latents":
        split = len(representation.widths)
        groups: Groups = None
        if representation.groups is None:
            columns = np.flatnonzero(active[:split])
            codes = standardised_columns(representation.codes, columns, ddof=1)
        else:
            continuous = np.flatnonzero(active[:split]).tolist()
            groups = tuple(representation.groups[d] for d in continuous)
            vectors = representation.vectors
            codes = _unit_vectors([vectors[d] for d in continuous], len(representation))
        chosen = np.flatnonzero(active[split:])
        categories = representation.categories[:, chosen]
        sizes = tuple(representation.category_sizes[j] for j in chosen)
        variances = tuple(
            float(_gini(np.bincount(categories[:, j]).astype(np.int64))) for j in range(len(chosen))
        )
        return cls(codes, categories, sizes, variances, groups)

    def ratios(self, rows: IntArray) -> FloatArray:
        """Variance over L rows by that over all rows: (L, V) row indices -> (V, active)."""
        batch, votes = rows.shape
        codes = self.codes[rows]
        # A latent that is constant over the batch gets exactly 0, and no result can be below 0.
        codes -= codes[0]
        codes -= codes.mean(axis=0)
        continuous = np.einsum("lvd,lvd->vd", codes, codes) / (batch - 1)
        if self.groups:
            continuous = summed(continuous, self.groups)
        categorical = np.empty((votes, len(self.sizes)))
        offsets = np.arange(votes)
        for j, (size, variance) in enumerate(zip(self.sizes, self.variances, strict=True)):
            cells = self.categories[rows, j] + offsets * size
            counts = np.bincount(cells.ravel(), minlength=votes * size).reshape(votes, size)
            categorical[:, j] = _gini(counts) / variance
        return np.concatenate([continuous, categorical], axis=1)


def _vote(
    latents: _Latents, pools: Pools, votes: int, batch: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Votes (M,) of the active latents and the factors (M,) that were fixed."""
    factor = pools.factors[rng.integers(len(pools.factors), size=votes)]
    pool = pools.first[factor] + rng.integers(pools.pools[factor])
    voted = np.empty(votes, dtype=np.int64)
    for begin in range(0, votes, CHUNK):
        chunk = pool[begin : begin + CHUNK]
        drawn = rng.integers(pools.counts[chunk], size=(batch, len(chunk)))
        rows = pools.order[pools.starts[chunk] + drawn]
        voted[begin : begin + CHUNK] = latents.ratios(rows).argmin(axis=1)
    return voted, factor
