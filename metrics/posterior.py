"""The posterior q(z | x), and the aggregate posterior q(z) = 1/N sum_n q(z | x_n) of N rows.

Given x the latents are independent: Gaussian continuous ones, and categorical ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import IntArray
from .representation import Representation

Floats = NDArray[np.float64]

LOGVAR_LIMIT = 50.0  # of |logvar|; beyond it a float64 cannot tell a sample from the mean
CHUNK = 1 << 16  # densities of samples under rows computed at a time; this many stay in the cache
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posteriors of N rows.

    Attributes:
        mean: (N, D) of the continuous latents.
        logvar: (N, D) of the continuous latents.
        probabilities: (N, S_c) of each categorical latent; rows sum to 1.
    """

    mean: Floats
    logvar: Floats
    probabilities: tuple[Floats, ...]

    @classmethod
    def of(cls, representation: Representation, metric: str) -> "Posterior":
        """The posterior of a representation.

        Raises:
            ValueError: there is none, or its numbers are not those of a posterior; the message
                names the metric.
        """
        r = representation
        if r.codes.shape[1] and r.logvar is None:
            raise ValueError(f"{metric} reads the posterior of the codes: give `logvar`")
        if r.category_sizes and r.probabilities is None:
            raise ValueError(f"{metric} reads the posterior of categories: give `probabilities`")
        mean = r.codes.astype(np.float64)
        logvar = np.zeros_like(mean) if r.logvar is None else r.logvar.astype(np.float64)
        if logvar.size and np.abs(logvar).max() > LOGVAR_LIMIT:
            raise ValueError(
                f"logvar runs from {logvar.min():.3g} to {logvar.max():.3g}: {metric} computes "
                f"with {-LOGVAR_LIMIT:g} to {LOGVAR_LIMIT:g} only, drop the diverged model or rows"
            )
        return cls(mean, logvar, category_probabilities(r))

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.mean)

    @property
    def deviation(self) -> Floats:
        """(N, D) standard deviations of the continuous latents."""
        return np.exp(0.5 * self.logvar)

    def take(self, rows: IntArray) -> "Posterior":
        """The posteriors of some rows only."""
        probabilities = tuple(p[rows] for p in self.probabilities)
        return Posterior(self.mean[rows], self.logvar[rows], probabilities)

    def kl(self) -> Floats:
        """(N, D + C) KL of each row and latent to the priors N(0, 1) and uniform, in nats."""
        continuous = 0.5 * (self.mean**2 + np.exp(self.logvar) - self.logvar - 1)
        categorical = [math.log(p.shape[1]) + negentropy(p) for p in self.probabilities]
        return np.column_stack([continuous, *categorical])


def category_probabilities(representation: Representation) -> tuple[Floats, ...]:
    """The probabilities (N, S_c) of each categorical latent, rows rescaled to sum to 1.

    Raises:
        ValueError: they are not probabilities.
    """
    if representation.probabilities is None:
        return ()
    parts, first = [], 0
    for name, size in zip(
        representation.latent_names[len(representation.widths) :],
        representation.category_sizes,
        strict=True,
    ):
        p = representation.probabilities[:, first : first + size].astype(np.float64)
        total = p.sum(axis=1, keepdims=True)
        if (p < 0).any() or (np.abs(total - 1) > 0.01).any():
            raise ValueError(
                f"probabilities of {name} are below 0 or do not sum to 1: take the softmax of "
                "logits, one categorical latent after the other"
            )
        parts.append(p / total)
        first += size
    return tuple(parts)


def negentropy(p: Floats) -> Floats:
    """Sum of p log p over the last axis, in nats; 0 log 0 is 0."""
    result: Floats = (p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
    return result


@dataclass(frozen=True, eq=False)
class Draw:
    """S samples of q(z): of the continuous latents of S rows, each row as often as any other.

    Attributes:
        rows: (S,) which row each sample belongs to.
        codes: (S, D).
        own: (S, D) log q(z_d | x) under the sample's own row.
        marginal: (S, D) log q(z_d).
    """

    rows: IntArray
    codes: Floats
    own: Floats
    marginal: Floats

    @classmethod
    def of(cls, posterior: Posterior, samples: int, rng: np.random.Generator) -> "Draw":
        """Draws samples.

        Raises:
            ValueError: there are fewer than 2 samples.
        """
        if samples < 2:
            raise ValueError(f"samples is {samples}: give at least 2")
        rows = rng.permutation(len(posterior))[np.arange(samples) % len(posterior)]
        noise = rng.normal(size=(samples, posterior.mean.shape[1]))
        deviation = posterior.deviation
        codes = posterior.mean[rows] + deviation[rows] * noise
        own = -HALF_LOG_2PI - 0.5 * (posterior.logvar[rows] + noise**2)
        marginal = np.empty_like(codes)
        for d, columns in enumerate(zip(codes.T, posterior.mean.T, deviation.T, strict=True)):
            marginal[:, d] = log_density(*columns)
        return cls(rows, codes, own, marginal)


def log_density(z: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Log of 1/n sum_i N(z; mean_i, deviation_i^2): (S,) samples, (n,) components -> (S,).

    A sample must come from one of the components, or lie close to one, or its density underflows.
    """
    dtype, least = precision(z, mean, deviation)
    z, mean = z.astype(dtype), mean.astype(dtype)
    scale = (math.sqrt(0.5) / deviation).astype(dtype)
    weight = (math.exp(-HALF_LOG_2PI) / (len(mean) * deviation)).astype(dtype)
    density = np.empty(len(z))
    step = max(1, CHUNK // len(mean))
    for start in range(0, len(z), step):
        part = slice(start, start + step)
        exponent = np.subtract.outer(z[part], mean)
        exponent *= scale
        exponent *= exponent
        np.negative(exponent, out=exponent)
        np.maximum(exponent, least, out=exponent)
        density[part] = np.exp(exponent, out=exponent) @ weight
    result: Floats = np.log(density)
    return result


def precision(z: Floats, mean: Floats, deviation: Floats) -> tuple[type[np.floating[Any]], float]:
    """The float type that holds (z - mean) / deviation well enough, and its least exponent.

    float32 takes half the time, and is good to 1e-4 here. Exponents below the least one are raised
    to it: exp would underflow, which is slow, and they are negligible compared with a sample's own
    row.
    """
    reach = np.abs(mean).max(initial=0.0) + np.abs(z).max(initial=0.0)
    if reach < 1e3 * deviation.min(initial=np.inf):
        return np.float32, -60.0
    return np.float64, -500.0
