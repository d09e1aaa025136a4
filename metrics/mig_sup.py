"""MIG-sup: Li, Murkute, Gyawali & Wang 2020, arXiv 2002.10549."""

from typing import Any, Literal

import numpy as np

from .binning import Binning
from .calling import metric
from .doubts import DATA
from .relations import Relations
from .representation import Representation, Score


@metric(*DATA)
def mig_sup(
    representation: Representation,
    rng: np.random.Generator,
    *,
    bins: int = 20,
    binning: Binning = "width",
    normalization: Literal["factors", "latents"] = "factors",
    min_kl: float = 0.1,
    level: float = 1e-3,
    points: int = 10_000,
) -> Score:
    """MIG-sup (Li et al. 2020): does each latent capture a single factor?

    Li et al., "Progressive Learning and Disentanglement of Hierarchical Representations", ICLR
    2020, arXiv 2002.10549; the counterpart of mig, with latents and factors exchanged:

        MIG-sup = 1/A sum_d [J(z_d; v_1st) - J(z_d; v_2nd)],   J(z; v) = I(z; v) / H(v),

    where v_1st and v_2nd are the factors with the largest and second largest J of the latent, and
    the sum runs over the A active latents. Latents that carry nothing have no factor and are left
    out: those with a small mean KL (Li et al. also count active units only), and those that depend
    on no factor beyond chance (Pearson's test of independence on the bins).

    Carbonneau et al. 2022 (arXiv 2012.09276) divide by H(z) instead of H(v), and count all latents:
    `normalization="latents", level=1`. A latent of few classes is then not penalised for capturing
    only a part of its factor; the two can differ by 0.2.

    Known flaws: factors that no latent captures cost nothing, and neither do two latents that
    capture the same factor: read it together with mig. The bins limit the value as they limit that
    of mig. Without `kl`, latents that a collapsed posterior barely moves count fully, as
    information ignores the scale. With few rows a weak latent can be taken for chance.

    In the conformance table: perfect 0.90, rotated 0.06, noise 0.00.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent, exact), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        bins: number of bins per continuous latent.
        binning: bins of equal "width" or equal "frequency".
        normalization: information as a share of the entropy of "factors" or of "latents".
        min_kl: latents with a smaller mean KL in nats are left out, if `kl` is known.
        level: significance level of the dependence of a latent on any factor; 1 leaves out only
            latents without any information.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]; 0 if no latent is active. Details: `gaps` (None if not active) and `best`
        factor by latent, `active` and `pruned` latents, in nats `mutual_information` (D + C, K) and
        `entropies`, `left_out`: factors that do not vary over the rows. With only one factor, the
        second information is 0.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    if normalization not in ("factors", "latents"):
        raise ValueError(f"normalization is {normalization!r}: use factors or latents")
    relations = Relations.of(representation, rng, "mig_sup", bins, binning, points)
    active = relations.active(representation.kl, min_kl, level)
    names = np.array(representation.factor_names)[relations.varying]
    latents = np.array(representation.latent_names)

    # Every active latent has information, and so an entropy above 0.
    shares = relations.information[active][:, relations.varying]
    if normalization == "factors":
        shares = shares / relations.entropies[relations.varying]
    else:
        shares = shares / relations.latent_entropies[active][:, relations.varying]
    ranked = -np.sort(-np.hstack([shares, np.zeros((len(shares), 1))]), axis=1)
    gaps = ranked[:, 0] - ranked[:, 1]
    gap_of = dict(zip(latents[active].tolist(), gaps.tolist(), strict=True))
    details: dict[str, Any] = {
        "gaps": {name: gap_of.get(name) for name in latents.tolist()},
        "best": dict(zip(gap_of, names[shares.argmax(axis=1)].tolist(), strict=True)),
        "active": list(gap_of),
        "pruned": latents[~active].tolist(),
        "active_count": int(active.sum()),
        "normalization": normalization,
        **relations.details,
    }
    if not active.any():
        note = "no latent is active"
        return Score(0.0, {**details, "note": note}, rows_used=relations.rows)
    return Score(
        value=min(1.0, float(gaps.mean())),
        details=details,
        warnings=relations.warnings,
        rows_used=relations.rows,
    )
