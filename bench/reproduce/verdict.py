"""Whether what was obtained agrees with what is published."""

import math

from bench.report.statistics import CONFIDENCE, Summary
from bench.reproduce.published import Row
from bench.reproduce.values import Obtained

WITHIN, OUTSIDE = "within", "outside"
NOT_COMPARABLE, NOT_YET, NO_TARGET = "not comparable", "not yet run", "no target"
ONE_RUN, REDUCED, BESIDE = "one run", "reduced budget", "nothing published"

FULL = 0.999  # of the budget: what rounding the steps costs is no reduction

RULE = (
    "Verdicts: a published mean of m runs is within if it lies in the 95 % interval, from the n "
    "runs here, for the mean of m others: mean ± t · sd · sqrt(1/n + 1/m), Student's t with n - 1 "
    "degrees of freedom, 1/m = 0 where m is not known, and half a unit of the last digit printed "
    "more. A published range holds the mean obtained or does not. A number that is no mean over "
    "seeds has the tolerance that stands below. Of one run there is no interval, and of few it is "
    "wide: within says that nothing here speaks against the published number, and of twenty true "
    "ones one is outside."
)


def verdict(row: Row, found: Obtained) -> str:
    """The verdict on a row.

    `no target` of an unverified number, whatever was obtained; `nothing published` of one that
    stands beside; `not comparable` where the two are different things; `not yet run` without
    runs; `one run` where an interval is needed and there is none; else `within` or `outside` by
    the rule of `RULE`. Of less than the full budget the latter two stand in brackets behind
    `reduced budget`, and count for nothing.
    """
    if not row.is_target:
        return BESIDE if row.certainty == "beside" else NO_TARGET
    if row.incomparable:
        return NOT_COMPARABLE
    summary = found.compared(row)
    if summary is None:
        return NOT_YET
    agrees = _agrees(row, summary)
    said = ONE_RUN if agrees is None else WITHIN if agrees else OUTSIDE
    return f"{REDUCED} ({said})" if found.share < FULL else said


def difference(row: Row, found: Obtained) -> float | None:
    """Obtained minus published; None where one of them is missing, or a range is published."""
    summary = found.compared(row)
    return None if summary is None or not row.value else summary.mean - float(row.value)


def _agrees(row: Row, summary: Summary) -> bool | None:
    """Whether the numbers agree by `RULE`; None where that takes more than one run."""
    if row.tolerance is not None:
        return abs(summary.mean - float(row.value)) <= row.tolerance
    if summary.sd is None:
        return None
    if row.low:
        return float(row.low) <= summary.mean <= float(row.high)
    from scipy.stats import t

    others = 0.0 if row.n is None else 1 / row.n
    half = float(t.ppf(0.5 + CONFIDENCE / 2, summary.n - 1)) * summary.sd
    rounding = 0.5 * 10.0 ** -len(row.value.partition(".")[2])
    apart = abs(summary.mean - float(row.value))
    return apart <= half * math.sqrt(1 / summary.n + others) + rounding
