"""Numbers over seeds; apart from the tables and pictures that show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """n values: mean, standard deviation (n - 1), and the t interval of the mean.

    With one value there is neither deviation nor interval: sd, low and high are None.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


def summarise(values: Sequence[float]) -> Summary | None:
    """The summary of values over seeds, with a 95 % Student t interval; None of no values."""
    if not values:
        return None
    mean = float(np.mean(values))
    if len(values) == 1:
        return Summary(1, mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(len(values))
    return Summary(len(values), mean, sd, mean - half, mean + half)
