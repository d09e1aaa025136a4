"""The conformance table: every metric on representations whose score is known beforehand."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from bench.check.cases import CASES, ROWS, SEED, TEST_ROWS, cases
from bench.errors import RequestError
from bench.metrics import METRICS, VERSIONS, Score
from bench.streams import numpy_stream
from tests.metrics.conformance.expected.bounds import Expected, Table
from tests.metrics.conformance.expected.importance import IMPORTANCE
from tests.metrics.conformance.expected.information import INFORMATION
from tests.metrics.conformance.expected.posterior import POSTERIOR
from tests.metrics.conformance.expected.prediction import PREDICTION
from tests.metrics.conformance.expected.reading import READING
from tests.metrics.conformance.expected.structure import STRUCTURE

# By metric, or metric.part, and case.
EXPECTED: dict[str, Table] = {
    **INFORMATION,
    **STRUCTURE,
    **PREDICTION,
    **POSTERIOR,
    **READING,
    **IMPORTANCE,
}

# Where the defaults are not what is measured: exact DCI would take an hour of a core.
OPTIONS: dict[str, dict[str, Any]] = {"dci": {"points": 2_000, "test_points": 2_000, "stages": 20}}

COLUMNS = 8  # of one table, so that it fits a page

LIBRARIES = ("numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Row:
    """One cell: what a metric gave in a case, and the bounds it must keep.

    `metric` is the name of a metric, or of one of its parts as metric.part. `value` is None where
    the metric raised; `why` then ends with what it said.
    """

    case: str
    metric: str
    value: float | None
    low: float
    high: float
    why: str
    holds: bool


def conformance(
    metrics: Iterable[str] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    only: Collection[str] = tuple(CASES),
) -> list[Row]:
    """Each of the metrics (all that are registered) in each case, metric by metric.

    `only` some cases are shown; those that they are compared with are measured too. `tell` hears
    what is being measured, and how many values of a metric hold.

    Raises:
        RequestError: a metric has no expectation.
    """
    names = list(METRICS if metrics is None else metrics)
    for name in names:
        if name not in METRICS or name not in EXPECTED:
            raise RequestError(f"{name}: nobody has said what it must be in the conformance table")
    representations = cases()
    rows = []
    for name in names:
        tables = {key: EXPECTED[key] for key in EXPECTED if key.partition(".")[0] == name}
        compared = {table[case].than for table in tables.values() for case in only}
        scores: dict[str, Score | ValueError] = {}
        for case, representation in representations.items():
            if case not in only and case not in compared:
                continue
            tell(f"{name}: {case}")
            try:
                rng = numpy_stream(SEED, name)
                scores[case] = METRICS[name](representation, rng, **OPTIONS.get(name, {}))
            except ValueError as error:
                scores[case] = error
        made = [
            _row(key, case, expected, scores)
            for key, table in tables.items()
            for case, expected in table.items()
            if case in only
        ]
        tell(f"{name}: {sum(row.holds for row in made)} of {len(made)} hold")
        rows += made
    return rows


def _row(key: str, case: str, expected: Expected, scores: dict[str, Score | ValueError]) -> Row:
    """The row of a metric, or of a part, in a case."""
    part = key.partition(".")[2]

    def value_of(case: str) -> float | None:
        score = scores[case]
        if isinstance(score, ValueError):
            return None
        return float(score.parts[part] if part else score.value)

    value, score = value_of(case), scores[case]
    base = 0.0 if expected.than is None else value_of(expected.than)
    low, high = ((base or 0.0) + bound for bound in (expected.low, expected.high))
    holds = value is not None and base is not None and low <= value <= high
    raised = f"; raised: {score}" if isinstance(score, ValueError) else ""
    return Row(case, key, value, low, high, _compared(expected) + raised, holds)


def _compared(expected: Expected) -> str:
    if expected.than is None:
        return expected.why
    if -expected.low == expected.high:
        return f"{expected.than} ± {expected.high:g}: {expected.why}"
    return f"{expected.than} {expected.low:+g} to {expected.high:+g}: {expected.why}"


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown: values by case and metric, then what was expected, and why."""
    keys = list(dict.fromkeys(row.metric for row in rows))
    cell = {(row.case, row.metric): row for row in rows}
    failed = [row for row in rows if not row.holds]
    lines = [
        "# Conformance of the metrics",
        "",
        f"Made by `bench evaluate --conformance`: {ROWS:,} rows and {TEST_ROWS:,} held out of "
        "representations that are made in code, so that what they tell of which factor is known; "
        "the factors are those of dSprites, drawn independently. "
        "Each value stands against bounds that follow from how the case is made, with the reason "
        "(below, by metric), or from a simulation or another implementation, which the reason "
        "names. They were tried with other seeds too. Where a metric has a known flaw, the "
        "bounds are those of the flaw, and say so.",
        "",
        f"Seed {SEED}; {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}. Options are "
        f"the defaults{_changed(keys)}. A name with a dot is a further number of a metric.",
        "",
        f"**{len(rows) - len(failed)} of {len(rows)} hold.**"
        + (" Those that fail are marked **✗**." if failed else ""),
        "",
        *(f"- ✗ {said(row)}" for row in failed),
        *([""] if failed else []),
        "## Values",
        "",
    ]
    for first in range(0, len(keys), COLUMNS):
        lines += _grid(keys[first : first + COLUMNS], cell)
    lines += ["## Cases", "", *(f"- **{name}**: {what}." for name, what in CASES.items()), ""]
    lines += ["## Expected", ""]
    for key in keys:
        name = key.partition(".")[0]
        lines += [f"### {key} (version {VERSIONS.get(name, 1)})", ""]
        lines += ["| case | value | bounds | why |", "| --- | ---: | --- | --- |"]
        for row in rows:
            if row.metric == key:
                lines.append(f"| {row.case} | {_value(row)} | {_bounds(row)} | {row.why} |")
        lines.append("")
    return "\n".join(lines)


def _grid(keys: Sequence[str], cell: dict[tuple[str, str], Row]) -> list[str]:
    lines = ["| case | " + " | ".join(keys) + " |", "| --- |" + " ---: |" * len(keys)]
    for case in CASES:
        values = [_value(cell[case, key]) if (case, key) in cell else "" for key in keys]
        lines.append(f"| {case} | " + " | ".join(values) + " |")
    return [*lines, ""]


def _changed(keys: Sequence[str]) -> str:
    changed = [
        f"{name} ({', '.join(f'{option}={value}' for option, value in OPTIONS[name].items())})"
        for name in OPTIONS
        if name in keys
    ]
    return f" but for {', '.join(changed)}" if changed else ""


def _number(row: Row) -> str:
    # no -0.000
    return "raised" if row.value is None else f"{round(row.value, 3) + 0.0:.3f}"


def _value(row: Row) -> str:
    return _number(row) if row.holds else f"**{_number(row)} ✗**"


def _bounds(row: Row) -> str:
    # No -0.000, and no bound that reads narrower than it is.
    low, high = (f"{round(bound, 4) + 0.0:.4g}" for bound in (row.low, row.high))
    return low if low == high else f"{low} to {high}"


def said(row: Row) -> str:
    """A row that does not hold, in a line."""
    return f"{row.metric}, {row.case}: {_number(row)}, not {_bounds(row)}; {row.why}"
