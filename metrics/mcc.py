"""Mean correlation coefficient: Hyvarinen & Morioka 2016, arXiv 1605.06336, section 6."""

from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from .calling import metric
from .correlations import association, correlation_ratio, unit_vector
from .doubts import DATA, few_rows_to_correlate
from .representation import Representation, Score


@metric(*DATA, few_rows_to_correlate)
def mcc(
    representation: Representation,
    rng: np.random.Generator,
    *,
    correlation: Literal["pearson", "spearman"] = "pearson",
    points: int = 10_000,
) -> Score:
    """Mean correlation coefficient (Hyvarinen & Morioka 2016): one latent per factor, how close?

    Hyvarinen & Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and Nonlinear
    ICA", arXiv 1605.06336; Khemakhem et al. 2020, arXiv 1907.04809. Latents are assigned to factors
    one to one so that the sum of the absolute correlations is largest; the score is their mean over
    the factors. A factor for which no latent is left counts 0, so at least K latents are needed to
    reach 1.

    The papers have no categories. Here the correlation of a pair that involves one is the largest
    that any numbering of the categories could reach, or below:

    - a category and a number: the square root of the correlation ratio, the share of the variance
      of the number (or of its ranks) that lies between the categories;
    - a categorical latent and a categorical factor of S classes: sqrt(phi^2 / (S - 1)), with phi^2
      the chi-squared statistic over N. It is 1 only if the latent determines every class.

    Both are corrected for chance (Kelley 1935, Bergsma 2013), as otherwise they never average to 0.

    Known flaws: the score sees only linear (Pearson) or monotone (Spearman) relations: a good code
    of a cyclic factor, which is cut open at 0, is neither, and neither is a categorical factor in
    two latents. Unused latents never lower it: what else a latent encodes shows only in its
    correlation. Useless codes score the largest of many correlations by chance, about 0.02 at
    10,000 rows.

    In the conformance table: perfect 1.00, rotated 0.56, noise 0.02.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        correlation: "pearson", or "spearman" for that of the ranks, ties sharing their mean rank.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1]. Details: `correlations` (D + C, K), absolute, 0 for what is constant;
        `assigned` latent and `matched` correlation by factor; `left_out`: factors that do not vary
        over the rows, for which a correlation is undefined.

    Raises:
        ValueError: no factor varies, or an option is out of range.
    """
    if correlation not in ("pearson", "spearman"):
        raise ValueError(f"correlation is {correlation!r}: use pearson or spearman")
    representation = representation.at_most(points, rng)
    names, latent_names = representation.factor_names, representation.latent_names
    varying = np.flatnonzero(representation.varying)
    if not len(varying):
        raise ValueError("factors are all constant over the rows: mcc is undefined, give more rows")
    table = _correlations(representation, ranked=correlation == "spearman")
    latents, columns = scipy.optimize.linear_sum_assignment(table[:, varying], maximize=True)
    assigned = dict(zip(varying[columns].tolist(), latents.tolist(), strict=True))
    matched = {
        names[k]: float(table[assigned[k], k]) if k in assigned else 0.0 for k in varying.tolist()
    }
    return Score(
        value=float(np.mean(list(matched.values()))),
        details={
            "assigned": {
                name: latent_names[assigned[k]] if k in assigned else None
                for k, name in enumerate(names)
            },
            "matched": {name: matched.get(name) for name in names},
            "correlations": table,
            "latents": list(latent_names),
            "factors": list(names),
            "left_out": [name for name in names if name not in matched],
            "correlation": correlation,
            "points": len(representation),
        },
        rows_used=len(representation),
    )


def _correlations(representation: Representation, ranked: bool) -> NDArray[np.float64]:
    """Absolute correlations (D + C, K) of each latent and each factor."""
    table = np.zeros((representation.latents, representation.factors.shape[1]))
    whole = [unit_vector(column, ranked) for column in representation.codes.T]
    for k in np.flatnonzero(representation.varying).tolist():
        rows = representation.labelled(k)
        # The vectors of all rows serve every factor without a missing label.
        complete = rows is representation
        codes = whole if complete else [unit_vector(column, ranked) for column in rows.codes.T]
        if rows.factor_kinds[k] == "categorical":
            factor = rows.factors[:, k]
            correlations = [correlation_ratio(code, factor) for code in codes]
            correlations += [association(column, factor) for column in rows.categories.T]
        else:
            value = unit_vector(rows.number(k), ranked)
            correlations = [abs(float(code @ value)) for code in codes]
            correlations += [correlation_ratio(value, column) for column in rows.categories.T]
        table[:, k] = correlations
    return np.minimum(table, 1.0)
