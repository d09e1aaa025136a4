"""Gaussian total correlation: Watanabe 1960; for codes Locatello et al. 2019, arXiv 1811.12359."""

import numpy as np

from .calling import metric
from .doubts import few_rows_for_covariance, one_hot_latents
from .representation import Representation, Score


@metric(one_hot_latents, few_rows_for_covariance)
def total_correlation(
    representation: Representation,
    rng: np.random.Generator,
    *,
    floor: float = 1e-6,
    points: int = 10_000,
) -> Score:
    """Total correlation (Locatello et al. 2019): nats that the codes share; lower is better.

    Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
    Representations", arXiv 1811.12359; the quantity is that of Watanabe 1960. If the codes were
    Gaussian with their covariance S and correlation matrix R, their total correlation would be

        TC = 1/2 (sum_d log S_dd - log det S) = -1/2 log det R,

    0 for uncorrelated codes, and not bounded by 1. Reported with it is the squared 2-Wasserstein
    distance of N(0, S) to its independent version, 2 tr S - 2 tr (S diag S)^(1/2), in squared units
    of the codes: it is finite for every S, and grows with their scale.

    TC is infinite if a latent is a linear function of others. Eigenvalues of R below `floor` are
    therefore raised to it: each then adds -1/2 log(floor), 6.9 nats, and is counted in the details
    with a note. Constant latents are independent of all others and are left out.

    Known flaws: no factor is used, so rotated codes of independent factors have 0, and so has a
    model that encodes nothing. Nonlinear relations are not seen. TC does not depend on the scale,
    so latents that are dead but for a trace of others count fully; noise has about D (D - 1) / 4N
    nats.

    Args:
        representation: (N, D) codes. Categorical latents have no covariance and are left out.
        rng: chooses the rows if there are more than `points`.
        floor: least eigenvalue of the correlation matrix, above 0 and below 1.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score of at least 0, in nats, with the part `wasserstein`. Details: `correlations` of the
        `latents` that vary, `floored` eigenvalues, `wasserstein_share` (of tr S), `left_out`:
        categorical latents, `constant` latents, and a `note` if something is degenerate.

    Raises:
        ValueError: an option is out of range.
    """
    if not 0 < floor < 1:
        raise ValueError(f"floor is {floor}: give a number above 0 and below 1")
    representation = representation.at_most(points, rng)
    names = np.array(representation.latent_names)
    split = representation.codes.shape[1]
    # Rounding can give a constant column a deviation above 0, and underflow a varying one 0.
    codes = representation.codes.astype(np.float64)
    deviations = codes.std(axis=0)
    varies = (np.ptp(codes, axis=0) > 0) & (deviations > 0)
    codes, deviations = codes[:, varies], deviations[varies]
    units = (codes - codes.mean(axis=0)) / deviations
    correlations = units.T @ units / len(units)
    eigenvalues = np.linalg.eigvalsh(correlations)
    floored = int((eigenvalues < floor).sum())

    variances = deviations**2 * len(units) / max(1, len(units) - 1)
    # (S diag S)^(1/2) has the trace of the root of a symmetric matrix with the same eigenvalues.
    scale = variances / variances.max(initial=0.0) if len(variances) else variances
    roots = np.linalg.eigvalsh(scale[:, None] * correlations * scale).clip(min=0)
    share = 2 * float(scale.sum() - np.sqrt(roots).sum())
    unit = float(variances.max(initial=0.0))
    notes = []
    if floored:
        notes.append(
            f"{floored} of {len(eigenvalues)} eigenvalues below {floor:g}: latents are linear "
            "functions of one another, the total correlation is infinite but for the floor"
        )
    if len(variances) < 2:
        notes.append(f"{len(variances)} continuous latents vary: nothing can be correlated")
    return Score(
        # Negative only by rounding.
        value=max(0.0, float(-0.5 * np.log(eigenvalues.clip(min=floor)).sum())),
        parts={"wasserstein": max(0.0, share * unit)},
        details={
            "correlations": correlations,
            "latents": names[:split][varies].tolist(),
            "floored": floored,
            "floor": floor,
            "wasserstein_share": max(0.0, share / float(scale.sum())) if len(scale) else 0.0,
            "left_out": names[split:].tolist(),
            "constant": names[:split][~varies].tolist(),
            "points": len(representation),
            **({"note": "; ".join(notes)} if notes else {}),
        },
        rows_used=len(representation),
    )
