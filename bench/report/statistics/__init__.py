"""Numbers over seeds: intervals, tests, ranks and groups; apart from what shows them.

Everything is a function of values, or of the tidy frame of `frame.py`. `samples.py` has one sample
and two, `ranks.py` many models and one score, `settings.py` many metrics and settings, and
`aggregates.py` what takes ten runs or several data sets.
"""

from bench.report.statistics.aggregates import (
    Aggregate,
    MeanRanks,
    Profile,
    aggregate,
    are_many,
    blocks_of,
    interquartile_mean,
    mean_ranks,
    profile,
    strata_of,
)
from bench.report.statistics.ranks import Ranking, Standing, ranking, tie_letters
from bench.report.statistics.samples import (
    CONFIDENCE,
    ENOUGH,
    Difference,
    Improvement,
    Summary,
    detectable,
    holm,
    improvement,
    paired,
    pooled_sd,
    power,
    runs_needed,
    summarise,
    welch,
)
from bench.report.statistics.settings import (
    Agreement,
    Shares,
    agreement,
    rank_correlation,
    variance_shares,
)

__all__ = [
    "CONFIDENCE",
    "ENOUGH",
    "Aggregate",
    "Agreement",
    "Difference",
    "Improvement",
    "MeanRanks",
    "Profile",
    "Ranking",
    "Shares",
    "Standing",
    "Summary",
    "aggregate",
    "agreement",
    "are_many",
    "blocks_of",
    "detectable",
    "holm",
    "improvement",
    "interquartile_mean",
    "mean_ranks",
    "paired",
    "pooled_sd",
    "power",
    "profile",
    "rank_correlation",
    "ranking",
    "runs_needed",
    "strata_of",
    "summarise",
    "tie_letters",
    "variance_shares",
    "welch",
]
