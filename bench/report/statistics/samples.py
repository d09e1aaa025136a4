"""One sample or two: intervals, tests, and how many runs show a difference.

What Student's t interval of a mean covers was simulated (tests/bench/report/test_statistics.py)
with scores in [0, 1] and 3, 5, 10 and 30 runs. Of scores with a normal distribution it covers 0.95
at all of them. Of skewed ones, Beta(2, 8) and Beta(20, 2), it covers 0.92 to 0.94; a percentile
bootstrap of five runs covers 0.83. Where one run in ten collapses to 0 it covers 0.87, 0.76, 0.72
and 0.92, as few runs often show no collapse at all; so the tables show the rows of collapsed runs
twice, with and without those.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

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
    half = float(scipy.special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(n)
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
    return welch_of(moments_of(first), moments_of(second))


class Moments(NamedTuple):
    """What Welch's test needs of a sample.

    Attributes:
        mean: of the values.
        error: the squared standard error of the mean.
        freedom: degrees of freedom.
    """

    mean: float
    error: float
    freedom: int


def moments_of(values: Sequence[float]) -> Moments:
    """The moments of at least two values."""
    n = len(values)
    return Moments(float(np.mean(values)), float(np.var(values, ddof=1)) / n, n - 1)


def welch_of(first: Moments, second: Moments) -> Difference:
    """As `welch`, of samples whose moments are known."""
    mean, square = first.mean - second.mean, first.error + second.error
    error, scale = math.sqrt(square), max(abs(first.mean), abs(second.mean))
    if error <= 1e-12 * scale:  # nothing but rounding
        return Difference(mean, mean, mean, 0.0 if abs(mean) > 1e-9 * scale else 1.0)
    shares = ((m.error / square) ** 2 / m.freedom for m in (first, second))
    freedom = 1 / sum(shares)
    half = float(scipy.special.stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    p = 2 * float(scipy.special.stdtr(freedom, -abs(mean) / error))
    return Difference(mean, mean - half, mean + half, p)


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The paired t test: of two settings of one model whose runs share their seeds.

    Pairs without any spread differ (p = 0) or not (p = 1).

    Args:
        first: at least two values.
        second: as many, those of the same seeds in the same order.
    """
    differences = np.subtract(first, second)
    mean, error, freedom = moments_of(differences.tolist())
    scale = max(abs(float(np.mean(first))), abs(float(np.mean(second))))
    if math.sqrt(error) <= 1e-12 * scale:  # nothing but rounding
        return Difference(mean, mean, mean, 0.0 if abs(mean) > 1e-9 * scale else 1.0)
    half = float(scipy.special.stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(error)
    p = 2 * float(scipy.special.stdtr(freedom, -abs(mean) / math.sqrt(error)))
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
    z, more = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2)), (m + n) / 2 - 1

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
    critical = float(scipy.special.stdtrit(freedom, 0.5 + CONFIDENCE / 2))
    shift = abs(difference) / sd * math.sqrt(n / 2)
    above, below = scipy.special.nctdtr(freedom, shift, [critical, -critical])
    return float(1 - above + below)


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
