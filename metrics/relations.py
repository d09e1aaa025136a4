"""Information of each latent about each factor: what MIG and its relatives are computed from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from .arrays import MISSING, FloatArray, IntArray
from .binning import Binning, apply_edges, equal_frequency_edges, equal_width_bins
from .doubts import few
from .information import Counts, contingency, entropy_of_counts, mutual_information_of_table
from .representation import Representation

# A share of a factor's entropy. If the bias exceeds it, what looks like information may be bias.
BIASED = 0.05

# In nats. Rounding alone leaves about 1e-16 of information between independent variables.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Relations:
    """Latents against factors over the rows that a metric uses; entropies are in nats.

    Attributes:
        information: (D + C, K) plug-in mutual information, continuous latents first.
        p_values: (D + C, K) of Pearson's test of independence of each latent and factor, 1 for a
            constant latent or factor.
        latent_entropies: (D + C, K) of the bins of the continuous latents and of the categories,
            over the rows where the factor is known.
        entropies: (K,) of the factors.
        varying: (K,) which factors take more than one value.
        rows: how many rows there are.
        details: what every metric that uses the relations reports.
        warnings: in one line, the factors for which the rows are too few for the estimator.
    """

    information: NDArray[np.float64]
    p_values: NDArray[np.float64]
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
        """The relations over at most `points` rows, drawn by `rng` if there are more.

        Args:
            representation: latents and factors.
            rng: chooses the rows.
            metric: its name, for the error.
            bins: number of bins per continuous latent.
            binning: bins of equal "width" or equal "frequency".
            points: at most this many rows are used.

        Raises:
            ValueError: no factor varies, or an option is out of range.
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

        def of_each(statistic: Callable[[Counts], float]) -> NDArray[np.float64]:
            return np.array([[statistic(table) for table in row] for row in tables])

        information = of_each(mutual_information_of_table)
        entropies = of_each(lambda table: entropy_of_counts(table.sum(axis=0)))[0]
        return cls(
            information=information,
            p_values=of_each(_p_value),
            latent_entropies=of_each(lambda table: entropy_of_counts(table.sum(axis=1))),
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
            warnings=_too_few_rows(names, entropies, of_each(_bias).max(axis=0)),
        )

    def active(self, kl: FloatArray | None, min_kl: float, level: float) -> NDArray[np.bool_]:
        """(D + C,) which latents carry anything: used by the posterior, dependent on some factor.

        A latent is active if its mean KL, where known, is at least `min_kl`, and it depends on some
        factor at the significance level `level` (with Sidak's correction for the number of factors
        that vary). At level 1 only latents without any information are left out.

        Raises:
            ValueError: `level` is out of range.
        """
        if not 0 < level <= 1:
            raise ValueError(f"level is {level}: give a number above 0 and at most 1")
        per_factor = 1 - (1 - level) ** (1 / int(self.varying.sum()))
        dependent = (self.information > ROUNDING) & (self.p_values <= per_factor)
        active: NDArray[np.bool_] = dependent.any(axis=1)
        return active if kl is None else active & (kl >= min_kl)


def bin_latents(
    representation: Representation, bins: int, binning: Binning = "width"
) -> list[IntArray]:
    """The D + C latents as (N,) classes: continuous ones cut into bins, categorical ones as given.

    Bins are of equal width, or of nearly equal numbers of rows; in the latter case, a latent of few
    distinct values has fewer than `bins`.

    Raises:
        ValueError: `binning` is neither "width" nor "frequency".
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
        return np.ones((1, 1), dtype=np.int64)  # like a constant: no entropy, no information
    return contingency(latent, factor) if known.all() else contingency(latent[known], factor[known])


def _bias(table: Counts) -> float:
    """How much the plug-in estimate exceeds the information of independent classes, in nats."""
    rows, columns = (int(table.any(axis=axis).sum()) for axis in (1, 0))
    return (rows - 1) * (columns - 1) / max(1, 2 * int(table.sum()))


def _too_few_rows(
    names: tuple[str, ...], entropies: NDArray[np.float64], biases: NDArray[np.float64]
) -> tuple[str, ...]:
    biased = [
        f"{name} by {bias:.2f} nats of {h:.2f}"
        for name, h, bias in zip(names, entropies, biases, strict=True)
        if h > 0 and bias > BIASED * h
    ]
    if not biased:
        return ()
    return (
        "the rows are too few for the bins: information of independent latents would come out "
        f"above 0, about {few(biased)}; give more rows or fewer bins",
    )


def _p_value(table: Counts) -> float:
    """P-value of Pearson's chi-squared test of independence.

    Unlike that of the G-test it is not too small if cells are nearly empty.
    """
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if not freedom:
        return 1.0
    total = table.sum()
    expected = table.sum(axis=1)[:, None] * (table.sum(axis=0) / total)
    # `scipy.stats.chi2.sf` to the last bit, without the half second in which that is imported
    return float(
        scipy.special.chdtrc(freedom, max(0.0, float((table**2 / expected).sum() - total)))
    )
