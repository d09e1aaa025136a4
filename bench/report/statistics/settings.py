"""Over metrics and settings: which metrics agree, and what scores depend on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from bench.report.statistics.samples import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Agreement:
    """How far two metrics put the same models in the same order.

    Attributes:
        first: a metric.
        second: another.
        correlation: Spearman's, of the models' means.
        low: of its 95 % interval; None of fewer than five models.
        high: as `low`.
        models: their number.
    """

    first: str
    second: str
    correlation: float
    low: float | None
    high: float | None
    models: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation and its 95 % interval, by Fisher's z.

    The standard error of z is that of Bonett & Wright, "Sample size requirements for estimating
    Pearson, Kendall and Spearman correlations", Psychometrika 65, 2000: sqrt((1 + r^2 / 2) /
    (n - 3)). Without an order in one of both all three are NaN.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(values) for values in (first, second))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan, math.nan, math.nan
    correlation = float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
    n = len(first)
    if n < 5 or abs(correlation) > 1 - 1e-12:
        return correlation, math.nan, math.nan
    normal = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2))
    half = normal * math.sqrt((1 + correlation**2 / 2) / (n - 3))
    z = math.atanh(correlation)
    return correlation, math.tanh(z - half), math.tanh(z + half)


def agreement(rows: "pd.DataFrame") -> list[Agreement]:
    """The rank correlation of each two metrics over the models that both have scored.

    Args:
        rows: a frame with the columns `label`, `metric` and `value`; labels are the models.
    """
    known = rows[rows["value"].notna()]
    means = known.groupby(["label", "metric"], sort=False)["value"].mean().unstack("metric")
    keys = [key for key in known["metric"].unique() if key in means]
    pairs = []
    for j, second in enumerate(keys):
        for first in keys[:j]:
            both = means[[first, second]].dropna()
            if len(both) < 3:
                continue
            found = rank_correlation(both[first].tolist(), both[second].tolist())
            if math.isnan(found[0]):
                continue
            low, high = (None if math.isnan(end) else end for end in found[1:])
            pairs.append(Agreement(str(first), str(second), found[0], low, high, len(both)))
    return pairs


@dataclass(frozen=True)
class Shares:
    """The parts of a score's variance over all runs; their sum is 1.

    Attributes:
        model: between models.
        strength: between the settings of a model.
        seed: between the seeds of a setting.
    """

    model: float
    strength: float
    seed: float


def variance_shares(rows: "pd.DataFrame", metric: str) -> Shares | None:
    """How much of a metric's variance is due to the model, its settings, and the seed.

    As Locatello et al. (2019, section 5.3) ask: sums of squares of a nested analysis of variance,
    each over the total. With k settings and few seeds, chance alone gives the first two (k - 1) /
    (runs - 1).

    Args:
        rows: a frame with the columns `model`, `label`, `metric` and `value`; a label is a model
            with its settings.
        metric: as in the column `metric`.

    Returns:
        The shares; None where the values do not vary.
    """
    own = rows[(rows["metric"] == metric) & rows["value"].notna()]
    values = own["value"].astype(float)
    if len(own) < 2 or np.ptp(values) == 0:
        return None
    of_model = values.groupby([own["model"]]).transform("mean")
    of_label = values.groupby([own["model"], own["label"]]).transform("mean")
    total = float(((values - values.mean()) ** 2).sum())
    parts = of_model - values.mean(), of_label - of_model, values - of_label
    return Shares(*(float((part**2).sum()) / total for part in parts))
