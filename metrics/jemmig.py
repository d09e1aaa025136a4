"""JEMMIG: Do & Tran 2020, arXiv 1908.09961."""

import numpy as np

from .binning import Binning
from .calling import metric
from .doubts import DATA
from .relations import ROUNDING, Relations
from .representation import Representation, Score


@metric(*DATA)
def jemmig(
    representation: Representation,
    rng: np.random.Generator,
    *,
    bins: int = 20,
    binning: Binning = "width",
    points: int = 10_000,
) -> Score:
    """JEMMIG (Do & Tran 2020): is each factor captured by one latent that captures nothing else?

    Do & Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", ICLR 2020,
    arXiv 1908.09961: the joint entropy minus the mutual information gap,

        JEMMIG(v) = H(v, z*) - I(v; z*) + I(v; z_2nd),

    where z* and z_2nd are the latents with the largest and second largest information about v. It
    is 0 nats at best, when z* repeats v, and grows with everything else that z* captures, and with
    what other latents capture of v. The score is its mean over factors after rescaling each to

        1 - JEMMIG(v) / [H(v) + ln B],

    with B the number of classes that z* can have: `bins` if it is continuous, its number of
    categories (whether used or not) if it is categorical. Among latents with equally much
    information, the one with the worst score is z*.

    Known flaws: useless codes do not score 0: constant ones ln B / (H(v) + ln B), which is 0.5 for
    a factor of B classes, and noise 0.12 at 20 bins for dSprites. H(z*) depends on the bins, so a
    code is penalised for noise within a class; and outliers or a skewed warp, which leave most rows
    in few bins of equal width, can raise the score (0.15 to 0.40 for noisy, mixed codes through
    exp): bins of equal frequency are insensitive to them.

    In the conformance table: perfect 0.94, rotated 0.12, noise 0.12.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent, exact), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        bins: number of bins per continuous latent.
        binning: bins of equal "width" or equal "frequency".
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]. Details: `scores`, `best` latent and `unscaled` (nats, less is better) by
        factor, `mean_unscaled`, in nats `mutual_information` (D + C, K) and `entropies`,
        `left_out`: factors that do not vary over the rows. With only one latent, the second
        information is 0.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    relations = Relations.of(representation, rng, "jemmig", bins, binning, points)
    names = np.array(representation.factor_names)[relations.varying]
    information = relations.information[:, relations.varying]
    entropies = relations.entropies[relations.varying]
    classes = [bins] * representation.codes.shape[1] + list(representation.category_sizes)

    ranked = -np.sort(-np.vstack([information, np.zeros_like(entropies)]), axis=0)
    joint = relations.latent_entropies[:, relations.varying] + entropies - information
    # Every latent as z*: (D + C, K), at least 0 but for rounding.
    unscaled = np.maximum(0.0, joint - information + ranked[1])
    scores = 1 - unscaled / (entropies + np.log(classes)[:, None])
    chosen = np.where(information >= ranked[0] - ROUNDING, scores, np.inf).argmin(axis=0)
    at = (chosen, np.arange(len(names)))

    score_of = dict(zip(names.tolist(), scores[at].tolist(), strict=True))
    unscaled_of = dict(zip(names.tolist(), unscaled[at].tolist(), strict=True))
    return Score(
        value=max(0.0, float(scores[at].mean())),
        details={
            "scores": {name: score_of.get(name) for name in representation.factor_names},
            "unscaled": {name: unscaled_of.get(name) for name in representation.factor_names},
            "mean_unscaled": float(unscaled[at].mean()),
            "best": {
                name: representation.latent_names[d]
                for name, d in zip(names.tolist(), chosen, strict=True)
            },
            **relations.details,
        },
        warnings=relations.warnings,
        rows_used=relations.rows,
    )
