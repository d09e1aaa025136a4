"""Modularity: Ridgeway & Mozer 2018, arXiv 1802.05312."""

from typing import Any

import numpy as np

from .binning import Binning
from .calling import metric
from .doubts import DATA
from .relations import Relations
from .representation import Representation, Score


@metric(*DATA)
def modularity(
    representation: Representation,
    rng: np.random.Generator,
    *,
    bins: int = 20,
    binning: Binning = "width",
    min_kl: float = 0.1,
    level: float = 1e-3,
    points: int = 10_000,
) -> Score:
    """Modularity (Ridgeway & Mozer 2018): how close is each latent to capturing a single factor?

    Ridgeway & Mozer, "Learning Deep Disentangled Embeddings With the F-Statistic Loss", NeurIPS
    2018, arXiv 1802.05312. The template of a latent has its largest information with a factor and 0
    elsewhere; the score is one minus the mean squared deviation from it,

        modularity = 1 - 1/A sum_d sum_{k not best} I(z_d; v_k)^2 / [I(z_d; v_best)^2 (K - 1)],

    over the A active latents and the K factors that vary, with information in nats. The bins are
    those of Locatello et al. 2019, who get 0/0 for a latent without information. Here latents that
    carry nothing are left out: those with a small mean KL, and those that depend on no factor
    beyond chance (Pearson's test of independence on the bins), since noise would add a modularity
    of its own (0.66 for Gaussian noise with 10,000 rows of dSprites factors). `level=1` leaves out
    only latents without any information.

    Known flaws: the scale begins far above 0: a latent scores 0 only if it has the same information
    about all factors, a rotated code 0.66. Factors that no latent captures cost nothing, and
    neither do two latents that capture the same factor; a code of one good latent scores 1.
    Information in nats favours factors with many classes. Without `kl`, latents that a collapsed
    posterior barely moves count fully. With few rows a weak latent can be taken for chance.

    In the conformance table: perfect 1.00, rotated 0.66, noise 0.00.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent, exact), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        bins: number of bins per continuous latent.
        binning: bins of equal "width" or equal "frequency".
        min_kl: latents with a smaller mean KL in nats are left out, if `kl` is known.
        level: significance level of the dependence of a latent on any factor.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]; 0 if no latent is active. Details: `scores` (None if not active) and `best`
        factor by latent, `active` and `pruned` latents, in nats `mutual_information` (D + C, K) and
        `entropies`, `left_out`: factors that do not vary over the rows.

    Raises:
        ValueError: fewer than two factors vary, or an option is out of range.
    """
    relations = Relations.of(representation, rng, "modularity", bins, binning, points)
    active = relations.active(representation.kl, min_kl, level)
    names = np.array(representation.factor_names)[relations.varying]
    if len(names) < 2:
        raise ValueError(
            f"{names[0]} is the only factor that varies: modularity is undefined, "
            "leave it out for this data"
        )
    latents = np.array(representation.latent_names)

    # As a share of the largest, which is above 0 for every active latent.
    shares = relations.information[active][:, relations.varying]
    shares = shares / shares.max(axis=1, keepdims=True)
    scores = 1 - ((shares**2).sum(axis=1) - 1) / (len(names) - 1)
    score_of = dict(zip(latents[active].tolist(), scores.tolist(), strict=True))
    details: dict[str, Any] = {
        "scores": {name: score_of.get(name) for name in latents.tolist()},
        "best": dict(zip(score_of, names[shares.argmax(axis=1)].tolist(), strict=True)),
        "active": list(score_of),
        "pruned": latents[~active].tolist(),
        "active_count": int(active.sum()),
        **relations.details,
    }
    if not active.any():
        note = "no latent is active"
        return Score(0.0, {**details, "note": note}, rows_used=relations.rows)
    return Score(
        value=float(np.clip(scores.mean(), 0.0, 1.0)),
        details=details,
        warnings=relations.warnings,
        rows_used=relations.rows,
    )
