"""Means of samples made more precise by quantities whose mean is known: control variates."""

import math
from dataclasses import dataclass

import numpy as np

from .posterior import Floats

# In standard errors: a control that misses its known mean by more has a tail without any sample.
LARGEST_MISS = 5.0


@dataclass(frozen=True, eq=False)
class ControlledMeans:
    """Means over N rows of Y terms that are sampled S times, by linear regression on controls.

    Attributes:
        values: (Y,) the means.
        residuals: (S, Y) what the controls leave unexplained of each sample.
        rows: (N, Y) by how much the controls move each row's own mean from that of the others.
    """

    values: Floats
    residuals: Floats
    rows: Floats

    @classmethod
    def of(cls, terms: Floats, controls: Floats, expected: Floats) -> "ControlledMeans":
        """Regresses the terms on the controls.

        Least squares is linear in the terms, so that a linear relation between terms also holds
        between their means, except for rounding. Controls are left out if there are fewer than four
        samples per coefficient.

        Args:
            terms: (S, Y) sampled terms.
            controls: (S, P) sampled controls.
            expected: (N, P) the known mean of the controls in each row.
        """
        known = expected.mean(axis=0)
        centred = controls - known
        spread = centred.std(axis=0)
        tolerance = LARGEST_MISS * spread / math.sqrt(len(centred))
        missed = np.abs(centred.mean(axis=0)) > tolerance
        used = np.flatnonzero((spread > 1e-9) & ~missed)
        if len(centred) < 4 * (len(used) + 1):
            used = used[:0]
        design = np.column_stack([np.ones(len(centred)), centred[:, used] / spread[used]])
        slopes = np.linalg.lstsq(design, terms, rcond=None)[0]
        freedom = len(centred) - design.shape[1]
        return cls(
            values=slopes[0],
            residuals=(terms - design @ slopes) * math.sqrt(len(centred) / freedom),
            rows=(expected - known)[:, used] / spread[used] @ slopes[1:],
        )

    def sampling_error(self, weights: Floats) -> float:
        """Standard error over samples, with the rows fixed, of the means weighted by (Y,)."""
        return math.sqrt(float((self.residuals @ weights).var()) / len(self.residuals))

    def standard_error(self, weights: Floats, known: Floats | float = 0.0) -> float:
        """Standard error over samples and rows of the means weighted by (Y,), plus an exact term.

        Args:
            weights: (Y,) of the means.
            known: (N,) the exact term of each row, or a constant.
        """
        chance = float((self.residuals @ weights).var())
        by_row = float((self.rows @ weights + known).var())
        rows = len(self.rows)
        return math.sqrt(chance / min(len(self.residuals), rows) + by_row / rows)
