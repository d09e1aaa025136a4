"""Active units: Burda, Grosse & Salakhutdinov 2016, arXiv 1509.00519, section 5."""

import numpy as np

from .calling import metric
from .doubts import one_hot_latents
from .pools import pruned_by_spread, unit_of
from .posterior import Floats, category_probabilities
from .representation import Representation, Score

NO_PROBABILITIES = (
    "categories come without their probabilities: a categorical latent counts as active even where "
    "the categories are chance; give `probabilities`"
)


@metric(one_hot_latents, vectors=True)
def active_units(
    representation: Representation,
    rng: np.random.Generator,
    *,
    threshold: float = 0.01,
    min_kl: float = 0.1,
) -> Score:
    """Active units (Burda et al. 2016): how many latents have a posterior mean that varies with x?

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, arXiv 1509.00519:
    a latent is active if its activity, the variance over the data of its posterior mean,

        A_d = Var_x(E_q(z_d|x)[z_d]),

    is above the threshold. The value is the number of active latents, from 0 for a collapsed
    posterior to D + C.

    A categorical latent is one latent. Its mean is the vector of the probabilities, and its
    activity the sum of their variances over the data, at most 1 - 1/S. For plain categories,
    without probabilities, the vector is one-hot and the activity the Gini variance: a posterior
    that is uniform but for rounding then counts as active, and a warning says so. A latent that is
    a vector is one latent, too, with the sum of the variances of its columns.

    Known flaws: no factor is used, so a latent of noise is active too. With a posterior, the
    variance has the scale of the codes and ignores the width of the posterior: means with a
    deviation of 0.09 are not active, and may carry 3 nats if posteriors are narrow; by KL, in the
    details, they are active.
    If q(z_d) is the prior N(0, 1), the default threshold is a KL of only 0.005 nats.

    Args:
        representation: (N, D) codes, (N, C) categories, with probabilities if they are known.
        rng: not used, as nothing is drawn.
        threshold: the activity above which a latent is active, at least 0. Codes without a
            posterior have any scale: where all their activities are below 1, it is a share of the
            largest; a warning names the latents that it leaves out.
        min_kl: mean KL in nats from which a latent is active by KL, if `kl` is known.

    Returns:
        Score: the number, not in [0, 1], with the part `share` of all latents. Details: `activity`
        by latent, `active` and `inactive` latents, `active_by_kl` (None if `kl` is not known),
        `points`.

    Raises:
        ValueError: the threshold is below 0, or the probabilities are invalid.
    """
    if threshold < 0:
        raise ValueError(f"threshold is {threshold}: give at least 0")
    columns = [vector.astype(np.float64) for vector in representation.vectors]
    plain = bool(representation.category_sizes) and representation.probabilities is None
    vectors = _one_hot(representation) if plain else category_probabilities(representation)
    activity = np.array([_variance(vector) for vector in (*columns, *vectors)])
    names, kl = np.array(representation.latent_names), None
    least = np.full(len(names), threshold)
    if representation.logvar is None:
        split = len(columns)
        least[:split] *= unit_of(np.sqrt(activity[:split])) ** 2
    active = activity > least
    doubts = pruned_by_spread(representation, active, f"variance below threshold={threshold:g}")
    if representation.kl is not None:
        kl = names[representation.kl >= min_kl].tolist()
    return Score(
        value=float(active.sum()),
        parts={"share": float(active.mean())},
        details={
            "activity": dict(zip(names.tolist(), activity.tolist(), strict=True)),
            "active": names[active].tolist(),
            "inactive": names[~active].tolist(),
            "active_by_kl": kl,
            "threshold": threshold,
            "points": len(representation),
        },
        warnings=[*([NO_PROBABILITIES] if plain else []), *doubts],
        rows_used=len(representation),
    )


def _one_hot(representation: Representation) -> list[Floats]:
    columns, sizes = representation.categories.T, representation.category_sizes
    return [np.eye(size)[column] for column, size in zip(columns, sizes, strict=True)]


def _variance(vectors: Floats) -> float:
    """Sum of the variances of (N, S) columns; exactly 0 for a constant column."""
    varies = np.ptp(vectors, axis=0) > 0
    return float(vectors[:, varies].var(axis=0).sum())
