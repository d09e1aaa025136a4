"""Shared by the metrics that fix a factor: the rows of each of its values, and active latents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import MISSING, FloatArray, IntArray
from .doubts import few
from .representation import Representation
from .vectors import summed


@dataclass(frozen=True)
class Pools:
    """The rows of each value of each factor that can be fixed.

    Attributes:
        order: (K * N,) the rows sorted by each factor in turn; a pool is a slice of it.
        starts: where each pool starts in `order`.
        counts: how many rows each pool has.
        first: (K,) the first pool of each factor.
        pools: (K,) how many pools each factor has.
        factors: the factors that can be fixed.
    """

    order: IntArray
    starts: IntArray
    counts: IntArray
    first: IntArray
    pools: IntArray
    factors: IntArray

    @classmethod
    def of(cls, factors: IntArray, metric: str, several: bool = False) -> "Pools":
        """The pools of (N, K) factors; rows without a label of a factor are in none of its pools.

        Args:
            factors: class indices.
            metric: its name, for the error.
            several: refuse a single factor too, as guessing which one was fixed is then trivial.

        Raises:
            ValueError: no factor can be fixed, or only one where `several` are needed.
        """
        order, starts, counts, pools = [], [], [], []
        for k, factor in enumerate(factors.T):
            # Few bytes per value make the stable sort a radix sort; missing labels come first.
            shifted = factor.astype(np.int64) - MISSING
            small = shifted.astype(np.min_scalar_type(int(shifted.max())))
            order.append(np.argsort(small, kind="stable").astype(np.int32))
            sizes = np.bincount(shifted)
            begins = (np.cumsum(sizes) - sizes + k * len(factor))[1:]
            sizes = sizes[1:]
            # Copies of one row agree in every latent and show nothing.
            usable = sizes >= 2
            if np.count_nonzero(sizes) < 2:
                usable[:] = False
            starts.append(begins[usable])
            counts.append(sizes[usable])
            pools.append(int(usable.sum()))
        many = np.array(pools)
        if not many.any():
            raise ValueError(
                "factors: no factor varies with two rows to a value, "
                f"{metric} is undefined: give more rows"
            )
        if several and np.count_nonzero(many) < 2:
            raise ValueError(
                f"only one factor can be fixed, so that {metric} would be 1 for any code: "
                "leave it out for this data"
            )
        return cls(
            order=np.concatenate(order),
            starts=np.concatenate(starts),
            counts=np.concatenate(counts),
            first=np.cumsum(many) - many,
            pools=many,
            factors=np.flatnonzero(many),
        )

    def details(self, representation: Representation, active: NDArray[np.bool_]) -> dict[str, Any]:
        """Which latents and factors take part, for the details of a score."""
        latents = np.array(representation.latent_names)
        names = representation.factor_names
        fixed = [names[k] for k in self.factors]
        return {
            "active": latents[active].tolist(),
            "pruned": latents[~active].tolist(),
            "active_count": int(active.sum()),
            "factors": list(names),
            "left_out": [name for name in names if name not in fixed],
            "chance": 1 / len(fixed),
        }


def standardised_columns(codes: FloatArray, columns: IntArray, ddof: int) -> FloatArray:
    """Some columns of (N, D) codes as float32 with mean 0 and variance 1, none of them constant.

    Centred in float64 first: float32 would lose a small spread around a large mean. One column at a
    time, as a copy of all in float64 would take twice the memory of the codes.
    """
    scaled = np.empty((len(codes), len(columns)), dtype=np.float32)
    for j, column in enumerate(columns):
        code = codes[:, column].astype(np.float64)
        scaled[:, j] = (code - code.mean()) / code.std(ddof=ddof)
    return scaled


def active_latents(
    representation: Representation, min_kl: float, min_std: float
) -> NDArray[np.bool_]:
    """(D + C,) which latents take part.

    By mean KL to the prior if it is known, else by standard deviation (continuous latents only, as
    `spreads` has it):
    at least `min_std`, or that share of the largest one where all are below 1, since codes without
    a posterior have any scale. None of them is constant, so no ratio is 0/0.
    """
    categories = representation.categories
    deviations = spreads(representation)
    varies = np.concatenate([deviations > 0, np.ptp(categories, axis=0) > 0])
    if representation.kl is not None:
        used = representation.kl >= min_kl
    else:
        least = min_std * unit_of(deviations)
        used = np.concatenate([deviations >= least, np.ones(categories.shape[1], dtype=bool)])
    active: NDArray[np.bool_] = varies & used
    return active


def spreads(representation: Representation) -> NDArray[np.float64]:
    """(D,) standard deviation of each continuous latent, exactly 0 if it is constant.

    That of a vector is the root of its total variance, the sum of those of its columns, which no
    rotation of the vector changes.
    """
    codes, groups = representation.codes, representation.groups
    deviations = np.array([column.std(ddof=1, dtype=np.float64) for column in codes.T])
    # Rounding can give a constant column a deviation above 0, and underflow a varying one 0.
    deviations[np.ptp(codes, axis=0) == 0] = 0.0
    return deviations if groups is None else np.sqrt(summed(deviations**2, groups))


def unit_of(deviations: NDArray[np.float64]) -> float:
    """The unit of thresholds on codes without a posterior: their largest deviation, at most 1."""
    return min(1.0, float(deviations.max(initial=0.0)))


def pruned_by_spread(
    representation: Representation, active: NDArray[np.bool_], threshold: str
) -> tuple[str, ...]:
    """A warning that names the varying latents that a threshold on the spread has left out.

    Args:
        representation: latents; with a KL nothing was left out by spread.
        active: (D + C,) those left in.
        threshold: in words, and which option moves it.
    """
    if representation.kl is not None:
        return ()
    split = len(representation.widths)
    varies = summed(np.ptp(representation.codes, axis=0), representation.groups) > 0
    pruned = np.flatnonzero(varies & ~active[:split])
    if not len(pruned):
        return ()
    names = few(np.array(representation.latent_names)[pruned].tolist())
    return (f"{names} left out: {threshold}; the scale of codes without a posterior decides it",)
