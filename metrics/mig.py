"""Mutual information gap: Chen, Li, Grosse & Duvenaud 2018, arXiv 1802.04942, section 4.1."""

import numpy as np

from .binning import Binning
from .calling import metric
from .doubts import DATA
from .relations import Relations
from .representation import Representation, Score


@metric(*DATA)
def mig(
    representation: Representation,
    rng: np.random.Generator,
    *,
    bins: int = 20,
    binning: Binning = "width",
    points: int = 10_000,
) -> Score:
    """Mutual information gap (Chen et al. 2018): is each factor captured by a single latent?

    Chen et al., "Isolating Sources of Disentanglement in VAEs", arXiv 1802.04942, eq. 6:

        MIG = 1/K sum_k [I(z_1st; v_k) - I(z_2nd; v_k)] / H(v_k),

    where z_1st and z_2nd are the latents with the largest and second largest I(z; v_k).

    The estimator is that of Locatello et al. 2019: codes as given (posterior means), bins of equal
    width, all factors. Chen et al. themselves use samples of the posterior, the aggregate posterior
    of the whole data set, and leave out the factor of shape: their numbers are not comparable. The
    bins limit the value: codes that repeat the dSprites factors score 0.79 / 0.90 / 0.99 with
    10 / 20 / 50 bins, and a few outliers widen the bins and lower it; bins of equal frequency are
    insensitive to outliers and to any other monotone warp of a latent.

    In the conformance table: perfect 0.90, rotated 0.03, noise 0.00.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent, exact), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        bins: number of bins per continuous latent.
        binning: bins of equal "width" or equal "frequency".
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]. Details, in nats: `mutual_information` (D + C, K), `entropies` and `gaps`
        (as a share of the entropy) by factor, `left_out`: factors that do not vary over the rows,
        for which the gap is undefined. With only one latent, the second information is 0.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    relations = Relations.of(representation, rng, "mig", bins, binning, points)
    names, varying = representation.factor_names, relations.varying
    information, entropies = relations.information, relations.entropies
    ranked = -np.sort(-np.vstack([information, np.zeros_like(entropies)]), axis=0)
    gaps = (ranked[0] - ranked[1])[varying] / entropies[varying]
    gap_of = dict(zip(np.array(names)[varying].tolist(), gaps.tolist(), strict=True))
    return Score(
        value=float(gaps.mean()),
        details={
            "gaps": {name: gap_of.get(name) for name in names},
            **relations.details,
        },
        warnings=relations.warnings,
        rows_used=relations.rows,
    )
