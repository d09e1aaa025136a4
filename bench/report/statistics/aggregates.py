"""Many runs, or several data sets: interquartile means, performance profiles, critical differences.

The first two are those of Agarwal et al., "Deep reinforcement learning at the edge of the
statistical precipice", NeurIPS 2021; the third is that of Demšar, "Statistical comparisons of
classifiers over multiple data sets", JMLR 7, 2006. They need more runs than a mean does: `are_many`
says from when on there are any.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.report.statistics.samples import CONFIDENCE, ENOUGH

if TYPE_CHECKING:
    import pandas as pd

MANY_RUNS = 10
SEVERAL_DATA_SETS = 3
RANKED = 3  # models and blocks from which there are mean ranks
RESAMPLES = 2_000

Strata = Sequence[Sequence[float]]  # the runs of a model on each data set


def strata_of(rows: "pd.DataFrame", metric: str) -> dict[str, list[list[float]]]:
    """The runs of each model on each data set, of those models that have enough of them.

    The data sets are those on which two models have three runs or more, and a model is left out
    that has fewer on one of them. Of a model that several studies have on a data set, the runs are
    those of the first.

    Args:
        rows: a frame with the columns `label`, `metric` and `value`; of the other columns of
            `bench.report.frame`, `dataset`, `fingerprint`, `study` and `seed` are used.
        metric: as in the column `metric`.
    """
    own = rows[(rows["metric"] == metric) & rows["value"].notna()]
    about = [name for name in ("dataset", "fingerprint") if name in own]
    own = own.assign(data=own[about].astype(str).agg(" ".join, axis=1) if about else "")
    if "study" in own:
        first = own.groupby(["label", "data"], sort=False)["study"].transform("first")
        own = own[own["study"] == first]
    if "seed" in own:
        own = own.sort_values("seed", kind="stable")
    runs: dict[str, dict[str, list[float]]] = {str(label): {} for label in rows["label"]}
    for label, data, value in zip(own["label"], own["data"], own["value"], strict=True):
        runs[label].setdefault(data, []).append(float(value))
    shared = [
        data
        for data in dict.fromkeys(own["data"])
        if sum(len(by_data.get(data, ())) >= ENOUGH for by_data in runs.values()) > 1
    ]
    strata = {
        label: [by_data[data] for data in shared]
        for label, by_data in runs.items()
        if shared and all(data in by_data for data in shared)
    }
    return {label: own for label, own in strata.items() if are_many(own)}


def blocks_of(strata: Mapping[str, Strata]) -> list[dict[str, float]]:
    """The blocks over which models are ranked: data sets, or of a single one its runs.

    On a data set the score of a model is the mean over its runs. Runs on one data set are no pairs,
    and so any of them may share a block: the first of each model, the second, and so on.
    """
    data_sets = {len(own) for own in strata.values()}
    if data_sets == {1}:
        number = min(len(own[0]) for own in strata.values())
        return [{name: own[0][i] for name, own in strata.items()} for i in range(number)]
    return [
        {name: float(np.mean(own[i])) for name, own in strata.items()}
        for i in range(max(data_sets, default=0))
    ]


def are_many(strata: Strata) -> bool:
    """Whether a model has the runs for what is here: ten, or three data sets, with three each."""
    runs = [len(values) for values in strata]
    enough = sum(runs) >= MANY_RUNS or len(runs) >= SEVERAL_DATA_SETS
    return enough and min(runs) >= ENOUGH


@dataclass(frozen=True)
class Aggregate:
    """The interquartile mean of a model.

    Attributes:
        iqm: the mean of the middle half of all runs.
        low: of its 95 % interval.
        high: of its 95 % interval.
        runs: their number, over all data sets.
    """

    iqm: float
    low: float
    high: float
    runs: int


def interquartile_mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean without the lowest and the highest quarter, floor(n / 4) values each."""
    return float(_iqm(np.asarray(values, float)))


def aggregate(strata: Strata, rng: np.random.Generator, resamples: int = RESAMPLES) -> Aggregate:
    """The interquartile mean of all runs, with a percentile interval of a stratified bootstrap.

    The runs of each data set are drawn again with replacement, as many as there are.

    Args:
        strata: the scores of a model on each data set, which share a scale.
        rng: of the bootstrap.
        resamples: how many there are.
    """
    values = np.concatenate([np.asarray(own, float) for own in strata])
    low, high = _ends(_iqm(_resampled(strata, rng, resamples)))
    return Aggregate(float(_iqm(values)), float(low), float(high), len(values))


def _iqm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    n = values.shape[-1]
    cut = n // 4
    middle: NDArray[np.float64] = np.sort(values, axis=-1)[..., cut : n - cut].mean(axis=-1)
    return middle


def _resampled(strata: Strata, rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """(resamples, runs): the data sets one after another."""
    parts = [
        np.asarray(own, float)[rng.integers(len(own), size=(resamples, len(own)))] for own in strata
    ]
    return np.concatenate(parts, axis=1)


def _ends(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, ...): the ends of the middle 95 % over the first axis."""
    tail = (1 - CONFIDENCE) / 2
    ends: NDArray[np.float64] = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return ends


@dataclass(frozen=True)
class Profile:
    """How many runs of a model score more than each threshold.

    Attributes:
        thresholds: (T,), rising.
        shares: (T,), of the runs, averaged over data sets.
        low: (T,), of the pointwise 95 % interval.
        high: (T,), of the pointwise 95 % interval.
    """

    thresholds: NDArray[np.float64]
    shares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def profile(
    strata: Strata,
    thresholds: Sequence[float],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Profile:
    """The performance profile of a model: P(score > threshold), each data set counting the same.

    Its interval is that of the stratified bootstrap, point by point.

    Args:
        strata: the scores of a model on each data set, which share a scale.
        thresholds: in rising order.
        rng: of the bootstrap.
        resamples: how many there are.
    """
    at = np.asarray(thresholds, float)
    shares = np.mean([_above(np.asarray(own, float), at) for own in strata], axis=0)
    drawn = np.zeros((resamples, len(at)))
    for own in strata:
        drawn += _above(_resampled([own], rng, resamples), at) / len(strata)
    low, high = _ends(drawn)
    return Profile(at, shares, low, high)


def _above(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., runs) -> (..., T): the share of the runs above each threshold."""
    shares = np.empty((*values.shape[:-1], len(thresholds)))
    for index, threshold in enumerate(thresholds):
        shares[..., index] = (values > threshold).mean(axis=-1)
    return shares


@dataclass(frozen=True)
class MeanRanks:
    """Models by their mean rank over blocks, and the difference that separates two of them.

    Attributes:
        ranks: the mean rank of each model, the best first; 1 is the best there is.
        difference: Nemenyi's critical difference at 5 %.
        p: of Friedman's test that no model is better than another.
        blocks: the number of blocks.
        groups: the largest groups of models of which no two are separated, without single ones.
    """

    ranks: Mapping[str, float]
    difference: float
    p: float
    blocks: int
    groups: Sequence[Sequence[str]]


def mean_ranks(blocks: Sequence[Mapping[str, float]]) -> MeanRanks:
    """Friedman's test of models over blocks, and Nemenyi's critical difference of mean ranks.

    Two models are separated where their mean ranks differ by more than q sqrt(k (k + 1) / 6 n),
    with k models, n blocks and q the upper 5 % point of the studentised range over sqrt(2). As in
    Demšar's procedure, nothing is separated unless Friedman's test finds a difference.

    Args:
        blocks: the scores of the same three or more models, higher ones better: those on a data
            set, or those of a seed on a data set.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    names = list(blocks[0])
    scores = np.array([[block[name] for name in names] for block in blocks])
    n, k = scores.shape
    means = rankdata(-scores, axis=1).mean(axis=0)
    order = np.argsort(means, kind="stable")
    ranks = {names[i]: float(means[i]) for i in order}
    q = float(studentized_range.ppf(CONFIDENCE, k, np.inf)) / math.sqrt(2)
    difference = q * math.sqrt(k * (k + 1) / (6 * n))
    differs = not np.all(scores == scores[:, :1])  # else the test divides by 0
    p = float(friedmanchisquare(*scores.T).pvalue) if differs else 1.0
    width = difference if p < 1 - CONFIDENCE else math.inf
    return MeanRanks(ranks, difference, p, n, _groups(ranks, width))


def _groups(ranks: Mapping[str, float], width: float) -> list[list[str]]:
    """Runs of neighbours within a width, without those that lie in another."""
    names, values = list(ranks), list(ranks.values())
    groups: list[list[str]] = []
    last = 0
    for first, value in enumerate(values):
        end = max(i for i, other in enumerate(values) if other - value <= width)
        if end > first and (not groups or end > last):
            groups.append(names[first : end + 1])
            last = end
    return groups
