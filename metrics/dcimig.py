"""DCIMIG: Sepliarskaia, Kiseleva & de Rijke 2019, arXiv 1910.05587."""

import numpy as np

from .binning import Binning
from .calling import metric
from .doubts import DATA
from .relations import Relations
from .representation import Representation, Score


@metric(*DATA)
def dcimig(
    representation: Representation,
    rng: np.random.Generator,
    *,
    bins: int = 20,
    binning: Binning = "width",
    points: int = 10_000,
) -> Score:
    """DCIMIG (Sepliarskaia et al. 2019): how much of the factors do latents of their own capture?

    Sepliarskaia, Kiseleva & de Rijke, "Evaluating Disentangled Representations" (also "How to Not
    Measure Disentanglement"), arXiv 1910.05587. Each latent is assigned to the factor about which
    it has most information, in nats, with its gap there; each factor keeps the best of its latents:

        gap_d = I(z_d; v_1st) - I(z_d; v_2nd),
        DCIMIG = sum_k max {gap_d : d assigned to k} / sum_k H(v_k).

    Unlike mig it does not require that only one latent captures a factor: a second copy costs
    nothing. Unlike in mig_sup, a factor that no latent captures counts, as does one that shares its
    latent with another.

    Known flaws: entropies are summed, so that factors with many classes weigh most (shape is 0.08
    of dSprites); a factor that is the best of no latent counts 0 however much is known about it.
    The bins limit the value as they limit that of mig (0.86 for perfect dSprites codes at 20 bins).
    Noise latents add no more than the bias of their information.

    In the conformance table: perfect 0.86, rotated 0.01, noise 0.00.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent, exact), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        bins: number of bins per continuous latent.
        binning: bins of equal "width" or equal "frequency".
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]. Details, in nats: `gaps` and `best` latent (None if no latent is assigned)
        by factor, `latent_gaps`, `mutual_information` (D + C, K), `entropies`, `left_out`: factors
        that do not vary over the rows. With only one factor, the second information is 0.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    relations = Relations.of(representation, rng, "dcimig", bins, binning, points)
    names, latents = representation.factor_names, representation.latent_names
    information, entropies = relations.information, relations.entropies
    # A factor that does not vary has no information: as a latent's best it has a gap of 0.
    ranked = -np.sort(-np.hstack([information, np.zeros((len(latents), 1))]), axis=1)
    gaps = ranked[:, 0] - ranked[:, 1]
    kept = np.zeros_like(information)
    kept[np.arange(len(latents)), information.argmax(axis=1)] = gaps
    best = kept.max(axis=0)
    return Score(
        value=min(1.0, float(best.sum() / entropies.sum())),
        details={
            "gaps": {
                name: float(best[k]) if relations.varying[k] else None
                for k, name in enumerate(names)
            },
            "best": {
                name: latents[kept[:, k].argmax()] if best[k] > 0 else None
                for k, name in enumerate(names)
            },
            "latent_gaps": dict(zip(latents, gaps.tolist(), strict=True)),
            **relations.details,
        },
        warnings=relations.warnings,
        rows_used=relations.rows,
    )
