"""What each latent tells about each factor: the ground that MIG and its relatives stand on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .arrays import MISSING, FloatArray, IntArray
from .binning import Binning, apply_edges, equal_frequency_edges, equal_width_bins
from .information import Counts, contingency, entropy_of_counts, mutual_information_of_table
from .representation import Representation

# Share of a factor's entropy. Above it, what looks like information may be mostly bias.
BIASED = 0.05

# Nats. Rounding alone leaves some 1e-16 of information between independent latents and factors.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Relations:
    """Latents against factors over the rows that a metric uses; entropies are in nats.

    Args:
        information: (D + C, K) plug-in mutual information, continuous latents first.
        chances: (D + C, K) how often independence would look as dependent: the p-value of
            Pearson's test of each contingency table, 1 for a constant latent or factor.
        latent_entropies: (D + C, K) of the bins of the continuous latents, of the categories, over
            the rows where the factor is known.
        entropies: (K,) of the factors.
        varying: (K,) which factors take more than one value.
        rows: how many rows there are.
        details: what every metric that reads this reports.
        warnings: the factors for which the rows are too few for the estimator, in a line.
    """

    information: NDArray[np.float64]
    chances: NDArray[np.float64]
    latent_entropies: NDArray[np.float64]
    entropies: NDArray[np.float64]
    varying: NDArray[np.bool_]
    rows: int
    details: dict[str, Any]
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        representation: Representation,
        rng: np.random.Generator,
        metric: str,
        bins: int,
        binning: Binning,
        points: int,
    ) -> "Relations":
        """The relations over at most `points` rows, drawn by `rng` where there are more.

        Raises:
            ValueError: no factor varies (the message names the metric), or an option is out of
                range.
        """
        if bins < 2 or points < 2:
            raise ValueError(f"bins is {bins} and points {points}: give at least 2 of each")
        representation = representation.at_most(points, rng)
        latents = bin_latents(representation, bins, binning)

        names, varying = representation.factor_names, representation.varying
        if not varying.any():
            raise ValueError(
                f"factors are all constant over the rows: {metric} is undefined, give more rows"
            )
        tables = [[_table(z, v) for v in representation.factors.T] for z in latents]

        def each(of: Callable[[Counts], float]) -> NDArray[np.float64]:
            return np.array([[of(table) for table in row] for row in tables])

        information = each(mutual_information_of_table)
        entropies = each(lambda table: entropy_of_counts(table.sum(axis=0)))[0]
        return cls(
            information=information,
            chances=each(_chance),
            latent_entropies=each(lambda table: entropy_of_counts(table.sum(axis=1))),
            entropies=entropies,
            varying=varying,
            rows=len(representation),
            details={
                "entropies": dict(zip(names, entropies.tolist(), strict=True)),
                "mutual_information": information,
                "latents": list(representation.latent_names),
                "factors": list(names),
                "left_out": np.array(names)[~varying].tolist(),
                "bins": bins,
                "binning": binning,
                "points": len(representation),
            },
            warnings=_too_few(names, entropies, each(_bias).max(axis=0)),
        )

    def active(self, kl: FloatArray | None, min_kl: float, level: float) -> NDArray[np.bool_]:
        """Which of the D + C latents tell anything: used by the posterior, and not by chance.

        A latent is active if its mean KL, where known, is at least `min_kl`, and it depends on
        some factor at the significance level `level` (Sidak's correction for the number of factors
        that vary). At level 1 only latents without any information are left out.

        Raises:
            ValueError: `level` is out of range.
        """
        if not 0 < level <= 1:
            raise ValueError(f"level is {level}: give a number above 0 and at most 1")
        each = 1 - (1 - level) ** (1 / int(self.varying.sum()))
        tells = (self.information > ROUNDING) & (self.chances <= each)
        active: NDArray[np.bool_] = tells.any(axis=1)
        return active if kl is None else active & (kl >= min_kl)


def bin_latents(
    representation: Representation, bins: int, binning: Binning = "width"
) -> list[IntArray]:
    """The D + C latents as (N,) classes: continuous ones cut into bins, categorical ones as given.

    Bins are of equal width, or of nearly equal numbers of rows; with the latter, a latent of few
    distinct values has fewer than `bins`.

    Raises:
        ValueError: no such binning.
    """
    if binning not in ("width", "frequency"):
        raise ValueError(f"binning is {binning!r}: use width or frequency")
    if binning == "width":
        continuous = list(equal_width_bins(representation.codes, bins).T)
    else:
        columns = representation.codes.T
        continuous = [apply_edges(z, equal_frequency_edges(z, bins)) for z in columns]
    return [*continuous, *representation.categories.T]


def _table(latent: IntArray, factor: IntArray) -> Counts:
    """Classes of a latent against those of a factor, over the rows where the factor is known."""
    known = factor != MISSING
    if not known.any():
        return np.ones((1, 1), dtype=np.int64)  # as of a constant: no entropy, no information
    return contingency(latent, factor) if known.all() else contingency(latent[known], factor[known])


def _bias(table: Counts) -> float:
    """How much the plug-in estimate exceeds the information of independent classes, in nats."""
    rows, columns = (int(table.any(axis=axis).sum()) for axis in (1, 0))
    return (rows - 1) * (columns - 1) / max(1, 2 * int(table.sum()))


def _too_few(
    names: tuple[str, ...], entropies: NDArray[np.float64], biases: NDArray[np.float64]
) -> tuple[str, ...]:
    worst = [
        f"{name} by {bias:.2f} nats of {h:.2f}"
        for name, h, bias in zip(names, entropies, biases, strict=True)
        if h > 0 and bias > BIASED * h
    ]
    if not worst:
        return ()
    return (
        "the rows are too few for the bins: information of independent latents would come out "
        f"above 0, about {', '.join(worst)}; give more rows or fewer bins",
    )


def _chance(table: Counts) -> float:
    """P-value of Pearson's chi-squared test of independence; unlike the G-test's, not too small
    where cells are nearly empty."""
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if not freedom:
        return 1.0
    total = table.sum()
    expected = table.sum(axis=1)[:, None] * (table.sum(axis=0) / total)
    return float(chi2.sf(max(0.0, float((table**2 / expected).sum() - total)), freedom))
