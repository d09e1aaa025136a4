"""MIG of the aggregate posterior: Chen, Li, Grosse & Duvenaud 2018, arXiv 1802.04942, section 4."""

from dataclasses import dataclass

import numpy as np

from .arrays import MISSING, IntArray
from .calling import metric
from .doubts import DATA, few
from .information import entropy
from .posterior import Draw, Floats, Posterior, log_density, negentropy
from .relations import BIASED
from .representation import Representation, Score


@metric(*DATA)
def mig_posterior(
    representation: Representation,
    rng: np.random.Generator,
    *,
    samples: int = 2_000,
    points: int = 10_000,
    categorical_factors: bool = True,
) -> Score:
    """MIG by the aggregate posterior (Chen et al. 2018): does one latent capture each factor?

    Chen et al., "Isolating Sources of Disentanglement in VAEs", arXiv 1802.04942, eq. 6 and section
    4.1, with their own estimator. mig has the same formula, the mean over factors of
    [I(z_1st; v) - I(z_2nd; v)] / H(v), on bins of posterior means (Locatello et al. 2019); the two
    are different metrics. Here latents are samples of their posterior, and

        I(z_d; v) = E[log q(z_d | v) - log q(z_d)],

    where q(z_d) is the mean of q(z_d | x) over all rows and q(z_d | v) that over the rows with the
    value v. A negative estimate counts as 0. Chen et al. draw samples for each entropy; here all
    terms share the same samples, so that most of the noise cancels. For a categorical latent the
    posterior probabilities give the information exactly.

    Their published numbers on dSprites are for four factors, without the shape, 10,000 samples and
    all images: `categorical_factors=False, samples=10_000, points=737_280` (about three minutes on
    one core).

    If each factor has a latent of its own with a narrow posterior, the score is about 1 (0.987 with
    the factors of dSprites, 10,000 rows and deviations of 0.001, where mig has 0.896 because of its
    bins). The width of the posterior counts, as it does not for mig: the same means with deviations
    of 0.1 and 0.3 score 0.740 and 0.464. A code of noise scores about 0.

    Known flaw: a sample's own row is in q(z_d | v), as in Chen's. If few rows share a value or
    posteriors are very narrow, it has more weight there than in q(z_d), which looks like
    information: one latent of noise with 10,000 rows scores 0.002, 0.007, 0.05 and 0.30 with
    deviations of 0.3, 0.1, 0.01 and 0.001. With several latents it is in both terms of the gap. A
    warning names the factors about which it adds information of more than 5 % of the entropy.

    In the conformance table: perfect 0.99, rotated 0.03, noise 0.00.

    Args:
        representation: (N, D) codes with logvar, (N, C) categories with probabilities, (N, K)
            factors; rows without a label of a factor are ignored for that factor.
        rng: chooses the rows if there are more than `points`, and draws the samples.
        samples: draws from the posterior, from different rows as far as there are enough.
        points: at most this many rows are used, drawn without replacement.
        categorical_factors: whether factors of this kind count; False leaves the shape out.

    Returns:
        Score in [0, 1]. Details: `gaps` (as a share of the entropy) by factor, with their
        `standard_errors` over the samples and the `standard_error` of the value; in nats
        `mutual_information` (D + C, K) and `entropies`; `left_out`: factors that do not vary over
        the rows, or are not to be counted. With only one latent, the second information is 0.

    Raises:
        ValueError: no factor varies, the posterior is missing or invalid, or an option is out of
            range.
    """
    representation = representation.at_most(points, rng)
    posterior = Posterior.of(representation, "mig_posterior")
    names, counted = representation.factor_names, representation.varying
    if not categorical_factors:
        counted &= np.array(representation.factor_kinds) != "categorical"
    if not counted.any():
        constant = "constant" if categorical_factors else "constant or categorical"
        raise ValueError(
            f"factors are all {constant} over the rows: mig_posterior is undefined, give more rows"
        )

    whole = Draw.of(posterior, samples, rng)
    information = np.zeros((representation.latents, len(names)))
    entropies = np.zeros(len(names))
    gaps: dict[str, float | None] = dict.fromkeys(names)
    errors: dict[str, float | None] = dict.fromkeys(names)
    # Gaps by the same samples are summed before their error is taken; the others are independent.
    shared_gaps, other_variance, biased = np.zeros(samples), 0.0, []
    for k in np.flatnonzero(counted):
        known = np.flatnonzero(representation.factors[:, k] != MISSING)
        labels = representation.factors[known, k]
        rows, draw = posterior, whole
        if len(known) < len(posterior):
            rows = posterior.take(known)
            draw = Draw.of(rows, samples, rng)
        estimate = _Estimate.of(rows, draw, labels)
        information[:, k], entropies[k] = estimate.information, entropy(labels)
        gap = estimate.gap / entropies[k]
        # Rare values can be more frequent among the samples than among the rows.
        gaps[names[k]], errors[names[k]] = min(1.0, float(gap.mean())), _error(gap)
        if draw is whole:
            shared_gaps += gap
        else:
            other_variance += _error(gap) ** 2
        if estimate.bias > BIASED * entropies[k]:
            biased.append(f"{names[k]} by {estimate.bias:.2f} nats of {entropies[k]:.2f}")

    count = int(counted.sum())
    warnings = []
    if biased:
        warnings.append(
            "the rows that share a value are too few for the aggregate posterior: each sample is "
            f"recognised by its own row, which adds information about {few(biased)}; "
            "give more rows"
        )
    return Score(
        value=float(np.mean([gap for gap in gaps.values() if gap is not None])),
        details={
            "gaps": gaps,
            "standard_error": float(np.sqrt(_error(shared_gaps) ** 2 + other_variance)) / count,
            "standard_errors": errors,
            "entropies": dict(zip(names, entropies.tolist(), strict=True)),
            "mutual_information": information,
            "latents": list(representation.latent_names),
            "factors": list(names),
            "left_out": np.array(names)[~counted].tolist(),
            "samples": samples,
            "points": len(representation),
        },
        warnings=warnings,
        rows_used=len(representation),
    )


@dataclass(frozen=True, eq=False)
class _Estimate:
    """The information of the latents about one factor, in nats.

    Attributes:
        information: (D + C,) at least 0.
        gap: (S,) numbers whose mean is the gap between the two largest.
        bias: about how much of some latent's information is due to too few rows.
    """

    information: Floats
    gap: Floats
    bias: float

    @classmethod
    def of(cls, posterior: Posterior, draw: Draw, labels: IntArray) -> "_Estimate":
        """From samples of the rows and the labels (N,) of the same rows, none missing."""
        mean, deviation = posterior.mean, posterior.deviation
        conditional, share = np.empty_like(draw.codes), np.empty_like(draw.codes)
        values = labels[draw.rows]
        for value in np.unique(values):
            hits, members = np.flatnonzero(values == value), np.flatnonzero(labels == value)
            for d in range(mean.shape[1]):
                conditional[hits, d] = log_density(
                    draw.codes[hits, d], mean[members, d], deviation[members, d]
                )
            share[hits] = np.exp(draw.own[hits] - conditional[hits]) / len(members)
        marginal = np.exp(draw.own - draw.marginal) / len(labels)
        lost = _without(share) - _without(marginal)
        terms = conditional - draw.marginal
        exact, limits = [], [0.5 * lost.max(initial=0.0)]
        for p in posterior.probabilities:
            table = np.zeros((int(labels.max()) + 1, p.shape[1]))
            np.add.at(table, labels, p)
            table /= len(labels)
            sides = negentropy(table.sum(axis=0)) + negentropy(table.sum(axis=1))
            exact.append(float(negentropy(table.ravel()) - sides))
            occurring = [np.count_nonzero(table.sum(axis=axis)) for axis in (1, 0)]
            freedom = (occurring[0] - 1) * (occurring[1] - 1)
            limits.append(freedom / (2 * len(labels)))
        # The last column stands for the second latent if there is only one.
        terms = np.column_stack([terms, np.tile([*exact, 0.0], (len(terms), 1))])
        terms[:, terms.mean(axis=0) < 0] = 0
        information = terms.mean(axis=0)
        first, second = np.argsort(-information, kind="stable")[:2]
        return cls(information[:-1], terms[:, first] - terms[:, second], max(limits))


def _without(share: Floats) -> Floats:
    """(D,) by how many nats a log density falls without a row that is this share (S, D) of it."""
    result: Floats = -np.log1p(-np.minimum(share.mean(axis=0), 1 - 1e-3))
    return result


def _error(terms: Floats) -> float:
    """Standard error of the mean of independent terms (S,)."""
    return float(terms.std(ddof=1) / np.sqrt(len(terms)))
