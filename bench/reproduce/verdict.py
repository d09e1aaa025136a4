"""Whether what was obtained agrees with what is published."""

import math

from bench.report.statistics import CONFIDENCE, ENOUGH, Summary
from bench.reproduce.published import Row, metric_of
from bench.reproduce.values import Obtained

AGREEMENT, UNDECIDED, OUTSIDE = "agreement", "undecided", "outside"
NOT_COMPARABLE, NOT_YET, NO_TARGET = "not comparable", "not yet run", "no target"
QUOTED = "quoted only"
FEW, COLLAPSED = "fewer than three runs", "all collapsed"
REDUCED, BESIDE = "reduced budget", "nothing published"

FULL = 0.999  # of the budget: what is lost by rounding the steps is no reduction

_OF_NATS = 0.05
_OF_LATENTS = 1.0
_OF_SCORES = 0.05
_LIKELY = 0.05  # a range with a less likely number of runs outside does not hold them

RULE = (
    "Verdicts: a published mean of m runs is outside if it does not lie in the 95 % interval that "
    "the n runs here give for the mean of m other runs: mean ± t · sd · sqrt(1/n + 1/m), with "
    "Student's t of n - 1 degrees of freedom and half a unit of the last printed digit added; "
    "where m is not known, it is taken to be n. Inside, it is agreement only if half of the "
    f"interval is at most the margin, {_OF_SCORES:g} for a score, {_OF_NATS:.0%} of the published "
    f"number for nats and {_OF_LATENTS:g} for active latents; a wider interval decides nothing. "
    "The runs here are compared with a published range of m single runs one by one, as 2/(m + 1) "
    "of other runs are expected outside of it: it is outside if so many or more of them were "
    f"outside with a probability below {_LIKELY:g}, and else agreement or undecided by half of "
    "its width. A number that is not a mean over seeds has the tolerance given below. Fewer than "
    "three runs give no verdict. Of twenty true numbers one is expected to be outside."
)


def verdict(row: Row, numbers: Obtained) -> str:
    """The verdict on a row.

    `no target` for an unverified number, whatever was obtained; `nothing published` for one that
    only stands beside; `not comparable` where the two are different things; `quoted only` where
    nothing is run for it; `not yet run` without runs; `all collapsed` where the published mean
    leaves such runs out and there are no others; `fewer than three runs`; otherwise `agreement`,
    `undecided` or `outside` by `RULE`. With less than the full budget the last four stand in
    brackets after `reduced budget`, and count for nothing.
    """
    if not row.is_target:
        return BESIDE if row.certainty == "beside" else NO_TARGET
    if row.incomparable:
        return NOT_COMPARABLE
    if not row.part:
        return QUOTED
    summary = numbers.compared(row)
    if summary is None:
        return NOT_YET if numbers.every is None else COLLAPSED
    full = _by_rule(row, summary)
    return f"{REDUCED} ({full})" if numbers.share < FULL else full


def difference(row: Row, numbers: Obtained) -> float | None:
    """Obtained minus published; None where one of them is missing, or a range is published."""
    summary = numbers.compared(row)
    return None if summary is None or not row.value else summary.mean - float(row.value)


def margin(row: Row) -> float:
    """How wide half of an interval may be so that a number inside it is one in agreement."""
    if row.metric == "active_latents":
        return _OF_LATENTS
    if metric_of(row.metric) in _IN_NATS:
        return _OF_NATS * abs(float(row.value))
    return _OF_SCORES


_IN_NATS = (
    "reconstruction", "kl_total", "kl_continuous", "kl_categorical", "total_correlation",
    "discriminator_loss",
)  # fmt: skip


def _by_rule(row: Row, summary: Summary) -> str:
    if row.tolerance is not None:
        apart = abs(summary.mean - float(row.value))
        return AGREEMENT if apart <= row.tolerance else OUTSIDE
    if summary.sd is None or summary.n < ENOUGH:
        return FEW
    if row.low:
        return _by_range(row, summary)
    from scipy.stats import t

    others = summary.n if row.n is None else row.n
    half = float(t.ppf(0.5 + CONFIDENCE / 2, summary.n - 1)) * summary.sd
    half *= math.sqrt(1 / summary.n + 1 / others)
    half += 0.5 * 10.0 ** -len(row.value.partition(".")[2])
    if abs(summary.mean - float(row.value)) > half:
        return OUTSIDE
    return AGREEMENT if half <= margin(row) else UNDECIDED


def _by_range(row: Row, summary: Summary) -> str:
    from scipy.stats import binom

    low, high = float(row.low), float(row.high)
    outside = sum(not low <= value <= high for value in summary.values)
    published = summary.n if row.n is None else row.n
    if outside and binom.sf(outside - 1, summary.n, 2 / (published + 1)) < _LIKELY:
        return OUTSIDE
    return AGREEMENT if (high - low) / 2 <= margin(row) else UNDECIDED
