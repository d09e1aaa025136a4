"""Whether what was obtained agrees with what is published."""

import math

from bench.report.statistics import CONFIDENCE, Summary
from bench.reproduce.published import Row
from bench.reproduce.values import Obtained

WITHIN, OUTSIDE = "within", "outside"
NOT_COMPARABLE, NOT_YET, NO_TARGET = "not comparable", "not yet run", "no target"
ONE_RUN, REDUCED, BESIDE = "one run", "reduced budget", "nothing published"

FULL = 0.999  # of the budget: what is lost by rounding the steps is no reduction

RULE = (
    "Verdicts: a published mean of m runs is within if it lies in the 95 % interval that the n "
    "runs here give for the mean of m other runs: mean ± t · sd · sqrt(1/n + 1/m), with Student's "
    "t of n - 1 degrees of freedom, 1/m = 0 where m is not known, and half a unit of the last "
    "printed digit added. A published range holds the mean obtained or does not. A number that is "
    "not a mean over seeds has the tolerance given below. One run gives no interval, and few runs "
    "give a wide one: within means that nothing here speaks against the published number, and of "
    "twenty true numbers one is expected to be outside."
)


def verdict(row: Row, numbers: Obtained) -> str:
    """The verdict on a row.

    `no target` for an unverified number, whatever was obtained; `nothing published` for one that
    only stands beside; `not comparable` where the two are different things; `not yet run` without
    runs; `one run` where an interval is needed and there is none; otherwise `within` or `outside`
    by `RULE`. With less than the full budget the last three stand in brackets after
    `reduced budget`, and count for nothing.
    """
    if not row.is_target:
        return BESIDE if row.certainty == "beside" else NO_TARGET
    if row.incomparable:
        return NOT_COMPARABLE
    summary = numbers.compared(row)
    if summary is None:
        return NOT_YET
    agrees = _agrees(row, summary)
    full = ONE_RUN if agrees is None else WITHIN if agrees else OUTSIDE
    return f"{REDUCED} ({full})" if numbers.share < FULL else full


def difference(row: Row, numbers: Obtained) -> float | None:
    """Obtained minus published; None where one of them is missing, or a range is published."""
    summary = numbers.compared(row)
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
