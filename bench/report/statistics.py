"""Numbers over seeds: intervals, tests, ranks and groups; apart from what shows them.

Everything is a function of values, or of the tidy frame of `frame.py`. What Student's t interval of
a mean covers was simulated (tests/bench/report/test_statistics.py) with scores in [0, 1] and 3, 5,
10 and 30 runs. Of scores with a normal distribution it covers 0.95 at all of them. Of skewed ones,
Beta(2, 8) and Beta(20, 2), it covers 0.92 to 0.94; a percentile bootstrap of five runs covers 0.83.
Where one run in ten collapses to 0 it covers 0.87, 0.76, 0.71 and 0.92, as few runs often show no
collapse at all; so the tables show the rows of collapsed runs twice, with and without those.

Runs of different models that share a seed are not pairs: they share the order of the data and no
weights, and their residuals do not correlate, so that all tests here are of independent samples.
"""

import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
ENOUGH = 3  # runs from which there are intervals and tests
POWER = 0.8

Bounds = tuple[float, float]


# --- one sample


@dataclass(frozen=True)
class Summary:
    """n values: mean, standard deviation (n - 1), and the t interval of the mean.

    Attributes:
        n: number of values.
        mean: of the values.
        sd: None of one value.
        low: of the 95 % interval; None of fewer than three values, and of values that are not
            independent.
        high: as `low`.
        values: where there is no interval they stand in its place.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    values: tuple[float, ...] = ()


def summarise(
    values: Sequence[float], bounds: Bounds | None = None, *, independent: bool = True
) -> Summary | None:
    """The summary of values over seeds, with a 95 % Student t interval; None of no values.

    Args:
        values: over seeds.
        bounds: the smallest and largest value there can be; the interval is clipped to them.
        independent: whether no two values are computed from the same run; else there is no
            interval.
    """
    if not values:
        return None
    n, mean = len(values), float(np.mean(values))
    own = tuple(map(float, values))
    if n == 1:
        return Summary(1, mean, None, None, None, own)
    sd = float(np.std(values, ddof=1))
    if n < ENOUGH or not independent:
        return Summary(n, mean, sd, None, None, own)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(n)
    low, high = mean - half, mean + half
    if bounds is not None:  # and whatever is outside of the bounds, the mean stays inside
        low, high = min(max(low, bounds[0]), mean), max(min(high, bounds[1]), mean)
    return Summary(n, mean, sd, low, high, own)


# --- two samples


@dataclass(frozen=True)
class Difference:
    """The mean of one sample minus that of another, by Welch.

    Attributes:
        mean: the difference.
        low: of its 95 % interval.
        high: of its 95 % interval.
        p: the two-sided p-value of no difference.
    """

    mean: float
    low: float
    high: float
    p: float


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Welch's t test (1947) of two independent samples, and its interval.

    Two samples without any spread differ (p = 0) or not (p = 1).

    Args:
        first: at least two values.
        second: at least two values.
    """
    return _welch(_moments(first), _moments(second))


class _Moments(NamedTuple):
    """Of a sample: mean, squared standard error of the mean, degrees of freedom."""

    mean: float
    error: float
    freedom: int


def _moments(values: Sequence[float]) -> _Moments:
    n = len(values)
    return _Moments(float(np.mean(values)), float(np.var(values, ddof=1)) / n, n - 1)


def _welch(first: _Moments, second: _Moments) -> Difference:
    mean, square = first.mean - second.mean, first.error + second.error
    error, scale = math.sqrt(square), max(abs(first.mean), abs(second.mean))
    if error <= 1e-12 * scale:  # nothing but rounding
        return Difference(mean, mean, mean, 0.0 if abs(mean) > 1e-9 * scale else 1.0)
    shares = ((m.error / square) ** 2 / m.freedom for m in (first, second))
    freedom = 1 / sum(shares)
    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Difference(mean, mean - half, mean + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected by Holm (1979): the family has an error in at most 5 % of all cases."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


@dataclass(frozen=True)
class Improvement:
    """How likely a run of one model is better than one of another.

    Attributes:
        probability: P(first > second) + P(equal) / 2.
        low: of its 95 % interval.
        high: of its 95 % interval.
    """

    probability: float
    low: float
    high: float


def improvement(first: Sequence[float], second: Sequence[float]) -> Improvement:
    """P(first > second), the Mann-Whitney U over mn, with the interval of Newcombe (2006).

    Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    part 2, Statistics in Medicine 25, method 5: all theta that |theta - estimate| does not put
    further away than z standard errors, which are those of Hanley & McNeil (1982) at theta:

        V(theta) = theta (1 - theta) (1 + N (1 - theta) / (2 - theta) + N theta / (1 + theta)) / mn

    with N = (m + n) / 2 - 1. It stays in [0, 1] and has a width also if no values overlap.
    """
    m, n = len(first), len(second)
    a, b = np.asarray(first, float)[:, None], np.asarray(second, float)
    estimate = float((np.sign(a - b) + 1).mean() / 2)
    z, more = float(ndtri(0.5 + CONFIDENCE / 2)), (m + n) / 2 - 1

    def inside(theta: float) -> bool:
        growth = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - estimate) ** 2 <= z**2 * theta * (1 - theta) * growth / (m * n)

    return Improvement(estimate, _end(inside, estimate, 0.0), _end(inside, estimate, 1.0))


def _end(inside: Callable[[float], bool], start: float, stop: float) -> float:
    """Where an interval around `start` ends on the way to `stop`, by bisection."""
    if start == stop:
        return stop
    near, far = start, stop
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (middle, far) if inside(middle) else (near, middle)
    return near


# --- how many runs


def power(difference: float, sd: float, n: int) -> float:
    """How often a t test of two models with n runs each sees a difference that is there.

    Args:
        difference: of the means.
        sd: standard deviation over seeds of both.
        n: runs of each, at least two.
    """
    freedom = 2 * n - 2
    critical = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
    shift = abs(difference) / sd * math.sqrt(n / 2)
    return float(1 - nctdtr(freedom, shift, critical) + nctdtr(freedom, shift, -critical))


def detectable(sd: float, n: int) -> float:
    """The difference of two means that n runs of each show in 80 % of all studies."""
    low, high = 0.0, sd
    while power(high, sd, n) < POWER:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, sd, n) >= POWER else (middle, high)
    return high


def runs_needed(sd: float, difference: float) -> int:
    """How many runs each of two models needs, so that 80 % of all studies show the difference."""
    low, high = 1, 2
    while power(difference, sd, high) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, sd, middle) >= POWER else (middle, high)
    return high


def pooled_sd(samples: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within samples, over all of them; None if none has two values."""
    freedom = sum(len(values) - 1 for values in samples)
    if freedom < 1:
        return None
    squares = sum(float(np.var(v, ddof=1)) * (len(v) - 1) for v in samples if len(v) > 1)
    return math.sqrt(squares / freedom)


# --- many samples


@dataclass(frozen=True)
class Standing:
    """Where a model stands among those that it can be compared with.

    Attributes:
        letters: two models without a common letter are separated.
        first: the best rank that it may have.
        last: the worst.
        of: the number of models.
        is_best: whether it is not separated from the model with the best mean.
    """

    letters: str
    first: int
    last: int
    of: int
    is_best: bool

    @property
    def rank(self) -> str:
        """`2 to 13 of 15`."""
        own = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{own} of {self.of}"


@dataclass(frozen=True)
class Ranking:
    """The models of one score.

    Attributes:
        standings: by model, the best mean first.
        separated: pairs of models that are separated.
        pairs: all pairs.
    """

    standings: Mapping[str, Standing]
    separated: int
    pairs: int


def ranking(samples: Mapping[str, Sequence[float]]) -> Ranking:
    """Which models differ: Welch's tests of all pairs, corrected by Holm, and what follows.

    The rank of a model lies between 1 + the number of models that are separated above it, and the
    number of models minus those separated below it. All ranks are in their intervals at once in
    95 % of all studies, as an error takes a pair that is separated wrongly. Models in one group
    have not been shown to be equal; the group of the best has the best model in it, in 95 % of all
    studies.

    Args:
        samples: at least three values for each model, higher ones better.
    """
    names = sorted(samples, key=lambda name: -float(np.mean(samples[name])))
    moments = [_moments(samples[name]) for name in names]
    pairs = [(i, j) for j in range(len(names)) for i in range(j)]
    p_values = holm([_welch(moments[i], moments[j]).p for i, j in pairs])
    apart = np.zeros((len(names), len(names)), dtype=bool)
    for (i, j), p in zip(pairs, p_values, strict=True):
        apart[i, j] = apart[j, i] = p < 1 - CONFIDENCE
    letters = tie_letters(apart)
    standings = {}
    for index, name in enumerate(names):
        above, below = int(apart[index, :index].sum()), int(apart[index, index + 1 :].sum())
        standings[name] = Standing(
            letters=letters[index],
            first=1 + above,
            last=len(names) - below,
            of=len(names),
            is_best=not apart[index, 0],
        )
    return Ranking(standings, int(apart.sum()) // 2, len(pairs))


def tie_letters(apart: NDArray[np.bool_]) -> list[str]:
    """A compact letter display: two rows have a letter in common if and only if they are not apart.

    By insertion and absorption: Piepho, "An algorithm for a letter-based representation of
    all-pairwise comparisons", Journal of Computational and Graphical Statistics 13, 2004.

    Args:
        apart: (n, n), symmetric.

    Returns:
        The letters of each row. A group with the first row has the `a`; with more groups than
        letters there are numbers behind them.
    """
    size = len(apart)
    groups = [frozenset(range(size))]
    for j in range(size):
        for i in range(j):
            if not apart[i, j]:
                continue
            split = [g - {k} for g in groups if i in g and j in g for k in (i, j)]
            groups = [g for g in groups if i not in g or j not in g]
            for group in sorted(split, key=len, reverse=True):
                if not any(group <= other for other in groups):
                    groups.append(group)
    groups.sort(key=sorted)
    names = [
        string.ascii_lowercase[index % 26] + (str(index // 26) if index >= 26 else "")
        for index in range(len(groups))
    ]
    return [
        "".join(name for name, group in zip(names, groups, strict=True) if row in group)
        for row in range(size)
    ]


# --- over metrics and settings


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
    half = float(ndtri(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + correlation**2 / 2) / (n - 3))
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
