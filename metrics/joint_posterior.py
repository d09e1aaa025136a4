"""The joint aggregate posterior q(z, c) = 1/N sum_n q(z, c | x_n): its density at samples.

Letters: S samples, G joint categories of all categorical latents.
"""

import math
from dataclasses import dataclass

import numpy as np

from .arrays import IntArray
from .posterior import CHUNK, HALF_LOG_2PI, Draw, Floats, Posterior, arithmetic

EXACT = 256  # joint categories that are summed over; of more, some are sampled


@dataclass(frozen=True, eq=False)
class Joint:
    """Log densities at S samples, each with all G joint categories or with a sampled one (G = 1).

    Args:
        weights: (S, G) posterior probability of the categories in the sample's row; 1 if sampled.
        own: (S, G) log q(z, c | x) under the sample's own row.
        whole: (S, G) log q(z, c).
        others: (S, G) log q(z, c) of the rows but the sample's own; -inf where it is 0.
        drawn: (S, C) the sampled categories, or None where they are summed over.
    """

    weights: Floats
    own: Floats
    whole: Floats
    others: Floats
    drawn: IntArray | None

    @classmethod
    def of(cls, posterior: Posterior, draw: Draw, rng: np.random.Generator) -> "Joint":
        """At the samples of a draw; `rng` draws categories where there are too many to sum."""
        rows, total = draw.rows, len(posterior)
        drawn, logs = None, []
        if summed(posterior):
            table = cells(posterior)
            with np.errstate(divide="ignore"):
                own = draw.own.sum(axis=1, keepdims=True) + np.log(table[rows])
        else:
            table = np.ones((total, 1))
            drawn = np.stack([_drawn(p[rows], rng) for p in posterior.probabilities], axis=1)
            with np.errstate(divide="ignore"):
                logs = [np.log(p) for p in posterior.probabilities]
            own = draw.own.sum(axis=1, keepdims=True)
            own += sum(log[rows, c] for log, c in zip(logs, drawn.T, strict=True))[:, None]
        if drawn is None and not draw.codes.shape[1]:
            # Nothing but the categories: each row's probability beside those of all.
            with np.errstate(divide="ignore"):
                others = np.log((table.sum(axis=0) - table)[rows].clip(min=0))
        else:
            others = _sums(posterior, draw, table, logs, drawn)
        return cls(
            weights=table[rows],
            own=own,
            whole=np.logaddexp(others, own) - math.log(total),
            others=others - math.log(max(1, total - 1)),
            drawn=drawn,
        )

    def mean_ratio(self, one: Floats, other: Floats) -> Floats:
        """(S,) mean of one log density (S, G) less another over the categories in the row."""
        with np.errstate(invalid="ignore"):  # infinity less infinity, where no row is possible
            terms = self.weights * (one - other)
        result: Floats = np.where(self.weights > 0, terms, 0).sum(axis=1)
        return result


def summed(posterior: Posterior) -> bool:
    """Whether the joint categories are few enough to be summed over."""
    return math.prod(int(p.shape[1]) for p in posterior.probabilities) <= EXACT


def cells(posterior: Posterior) -> Floats:
    """(N, G) probabilities of the joint categories; one without categorical latents."""
    table = np.ones((len(posterior), 1))
    for p in posterior.probabilities:
        table = (table[:, :, None] * p[:, None, :]).reshape(len(p), -1)
    return table


def _drawn(p: Floats, rng: np.random.Generator) -> IntArray:
    """(S,) a category for each row of probabilities (S, S_c), none that is impossible."""
    below = np.cumsum(p, axis=1)
    result: IntArray = (below <= rng.random((len(p), 1)) * below[:, -1:]).sum(axis=1)
    return result


def _sums(
    posterior: Posterior,
    draw: Draw,
    table: Floats,
    logs: list[Floats],
    drawn: IntArray | None,
) -> Floats:
    """(S, G) log of the summed densities of all rows but the sample's own."""
    kind, far = arithmetic(draw.codes, posterior.mean, posterior.deviation)
    z, mean = draw.codes.astype(kind), posterior.mean.astype(kind)
    scale = (math.sqrt(0.5) / posterior.deviation).astype(kind)
    heights = (-0.5 * posterior.logvar - HALF_LOG_2PI).sum(axis=1).astype(kind)
    table, logs = table.astype(kind), [log.astype(kind) for log in logs]
    sums = np.empty((len(z), table.shape[1]))
    step = max(1, CHUNK // len(mean))
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        exponent = np.tile(heights, (len(z[part]), 1))
        for d in range(z.shape[1]):
            distance = np.subtract.outer(z[part, d], mean[:, d])
            distance *= scale[:, d]
            distance *= distance
            exponent -= distance
        if drawn is not None:
            for log, c in zip(logs, drawn[part].T, strict=True):
                exponent += log[:, c].T
        exponent[np.arange(len(exponent)), draw.rows[part]] = -np.inf
        peak = exponent.max(axis=1, keepdims=True)
        exponent -= np.where(np.isfinite(peak), peak, 0)
        np.maximum(exponent, far, out=exponent)
        with np.errstate(divide="ignore"):
            # Where no other row is possible, the peak is -inf and so is the sum.
            sums[part] = np.log(np.exp(exponent, out=exponent) @ table) + peak
    return sums
