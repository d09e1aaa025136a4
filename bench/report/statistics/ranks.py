"""Many models and one score: which of them can be told apart, and what ranks they may have.

Runs of different models that share a seed are not pairs: they share the order of the data and no
weights, and their residuals do not correlate, so that these are tests of independent samples.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.samples import CONFIDENCE, holm, moments_of, welch_of


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


def ranking(
    samples: Mapping[str, Sequence[float]],
    paired: Mapping[frozenset[str], float] | None = None,
) -> Ranking:
    """Which models differ: Welch's tests of all pairs, corrected by Holm, and what follows.

    The rank of a model lies between 1 + the number of models that are separated above it, and the
    number of models minus those separated below it. In at least 95 % of all studies, every true
    rank lies in its range, as an error takes a pair that is separated wrongly. Models in one group
    have not been shown to be equal; the group of the best has the best model in it, in 95 % of all
    studies.

    Args:
        samples: at least three values for each model, higher ones better.
        paired: the p-values of pairs that are tested otherwise, as those that share their seeds.
    """
    names = sorted(samples, key=lambda name: -float(np.mean(samples[name])))
    moments = [moments_of(samples[name]) for name in names]
    pairs = [(i, j) for j in range(len(names)) for i in range(j)]
    known = paired or {}
    p_values = holm(
        [
            known[pair]
            if (pair := frozenset((names[i], names[j]))) in known
            else welch_of(moments[i], moments[j]).p
            for i, j in pairs
        ]
    )
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
