"""Means of samples made more exact by quantities whose mean is known: control variates."""

import math
from dataclasses import dataclass

import numpy as np

from .posterior import Floats

# Standard errors. A control that misses its known mean by more has a tail that no sample is of.
MISSED = 5.0


@dataclass(frozen=True, eq=False)
class Controlled:
    """Means over N rows of Y terms that are sampled S times, by linear regression on controls.

    Args:
        means: (Y,).
        residuals: (S, Y) what the controls leave unexplained of each sample.
        rows: (N, Y) how far the controls move each row's own mean off the others.
    """

    means: Floats
    residuals: Floats
    rows: Floats

    @classmethod
    def of(cls, terms: Floats, controls: Floats, expected: Floats) -> "Controlled":
        """From (S, Y) terms, (S, P) controls, and (N, P) the known mean of the controls by row.

        Least squares is linear in the terms, so that a relation between them that is linear
        holds between their means to rounding. Controls are left out where the samples are fewer
        than four times as many.
        """
        known = expected.mean(axis=0)
        off = controls - known
        spread = off.std(axis=0)
        missed = np.abs(off.mean(axis=0)) > MISSED * spread / math.sqrt(len(off))
        used = np.flatnonzero((spread > 1e-9) & ~missed)
        if len(off) < 4 * (len(used) + 1):
            used = used[:0]
        design = np.column_stack([np.ones(len(off)), off[:, used] / spread[used]])
        slopes = np.linalg.lstsq(design, terms, rcond=None)[0]
        freedom = len(off) - design.shape[1]
        return cls(
            means=slopes[0],
            residuals=(terms - design @ slopes) * math.sqrt(len(off) / freedom),
            rows=(expected - known)[:, used] / spread[used] @ slopes[1:],
        )

    def sampling_error(self, weights: Floats) -> float:
        """Standard error of a sum of the means with weights (Y,), for the rows as they are."""
        return math.sqrt(float((self.residuals @ weights).var()) / len(self.residuals))

    def standard_error(self, weights: Floats, known: Floats | float = 0.0) -> float:
        """The same with that of the choice of rows; `known` (N,) is a row's exact addition."""
        chance = float((self.residuals @ weights).var())
        by_row = float((self.rows @ weights + known).var())
        rows = len(self.rows)
        return math.sqrt(chance / min(len(self.residuals), rows) + by_row / rows)
