"""Measure every metric in every case, compare with the bounds, and say so in Markdown."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from bench.check.cases import CASES, ROWS, SEED, TEST_ROWS, cases
from bench.errors import RequestError
from bench.metrics import METRICS, VERSIONS, Score
from bench.streams import numpy_stream
from tests.metrics.conformance.expected import EXPECTED
from tests.metrics.conformance.expected.bounds import Expected

# Where the defaults are not what is measured: exact DCI would take an hour of a core.
OPTIONS: dict[str, dict[str, Any]] = {
    "dci": {"points": 2_000, "test_points": 2_000, "stages": 20},
    "dci_es": {"points": 2_000, "test_points": 2_000, "trees": 20},
}

COLUMNS = 8  # of one table, so that it fits a page

LIBRARIES = ("numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Cell:
    """What a metric gave in a case, and the bounds that it must keep.

    Attributes:
        case: name of the case.
        metric: name of a metric, or of one of its parts as metric.part.
        value: None if the metric raised; `why` then ends with its message.
        low: smallest value that holds.
        high: largest value that holds.
        why: where the bounds come from.
        holds: whether the value is within them.
    """

    case: str
    metric: str
    value: float | None
    low: float
    high: float
    why: str
    holds: bool


def measure(
    metrics: Iterable[str] | None = None,
    progress: Callable[[str], None] = lambda line: None,
    only: Collection[str] = tuple(CASES),
) -> list[Cell]:
    """Measure metrics in the cases, metric by metric.

    Args:
        metrics: names; all that are registered, if None.
        progress: is called with what is being measured, and with how many values of a metric hold.
        only: the cases to return; those that they are compared with are measured, too.

    Raises:
        RequestError: a metric has no bounds.
    """
    names = list(METRICS if metrics is None else metrics)
    for name in names:
        if name not in METRICS or name not in EXPECTED:
            raise RequestError(f"{name}: tests/metrics/conformance/expected/ has no bounds for it")
    representations = cases()
    cells = []
    for name in names:
        tables = {key: EXPECTED[key] for key in EXPECTED if key.partition(".")[0] == name}
        compared = {table[case].than for table in tables.values() for case in only}
        scores: dict[str, Score | ValueError] = {}
        for case, representation in representations.items():
            if case not in only and case not in compared:
                continue
            progress(f"{name}: {case}")
            try:
                rng = numpy_stream(SEED, name)
                scores[case] = METRICS[name](representation, rng, **OPTIONS.get(name, {}))
            except ValueError as error:
                scores[case] = error
        of_metric = [
            _cell(key, case, expected, scores)
            for key, table in tables.items()
            for case, expected in table.items()
            if case in only
        ]
        progress(f"{name}: {sum(cell.holds for cell in of_metric)} of {len(of_metric)} hold")
        cells += of_metric
    return cells


def _cell(key: str, case: str, expected: Expected, scores: dict[str, Score | ValueError]) -> Cell:
    """The cell of a metric, or of a part of one, in a case."""
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
    return Cell(case, key, value, low, high, _compared(expected) + raised, holds)


def _compared(expected: Expected) -> str:
    if expected.than is None:
        return expected.why
    if -expected.low == expected.high:
        return f"{expected.than} ± {expected.high:g}: {expected.why}"
    return f"{expected.than} {expected.low:+g} to {expected.high:+g}: {expected.why}"


def markdown(cells: Sequence[Cell]) -> str:
    """The page: values by case and metric, then what was expected of each metric, and why."""
    keys = list(dict.fromkeys(cell.metric for cell in cells))
    by_place = {(cell.case, cell.metric): cell for cell in cells}
    failed = [cell for cell in cells if not cell.holds]
    lines = [
        "# Conformance of the metrics",
        "",
        f"Made by `make conformance`: {ROWS:,} rows and {TEST_ROWS:,} held out of "
        "representations that are made in code, so that what they tell of which factor is known; "
        "the factors are those of dSprites, drawn independently. "
        "Each value stands against bounds that follow from how the case is made, with the reason "
        "(below, by metric), or from a simulation or another implementation, which the reason "
        "names. They were tried with other seeds too. Where a metric has a known flaw, the "
        "bounds are those of the flaw, and say so.",
        "",
        f"Seed {SEED}; {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}. Options are "
        f"the defaults{_changed_options(keys)}. A name with a dot is a further number of a metric.",
        "",
        f"**{len(cells) - len(failed)} of {len(cells)} hold.**"
        + (" Those that fail are marked **✗**." if failed else ""),
        "",
        *(f"- ✗ {in_one_line(cell)}" for cell in failed),
        *([""] if failed else []),
        "## Values",
        "",
    ]
    for first in range(0, len(keys), COLUMNS):
        lines += _grid(keys[first : first + COLUMNS], by_place)
    lines += ["## Cases", "", *(f"- **{name}**: {what}." for name, what in CASES.items()), ""]
    lines += ["## Expected", ""]
    for key in keys:
        name = key.partition(".")[0]
        lines += [f"### {key} (version {VERSIONS[name]})", ""]
        lines += ["| case | value | bounds | why |", "| --- | ---: | --- | --- |"]
        for cell in cells:
            if cell.metric == key:
                lines.append(f"| {cell.case} | {_value(cell)} | {_bounds(cell)} | {cell.why} |")
        lines.append("")
    return "\n".join(lines)


def in_one_line(cell: Cell) -> str:
    """What a metric gave, and what it should have given."""
    return f"{cell.metric}, {cell.case}: {_number(cell)}, not {_bounds(cell)}; {cell.why}"


def _grid(keys: Sequence[str], by_place: dict[tuple[str, str], Cell]) -> list[str]:
    lines = ["| case | " + " | ".join(keys) + " |", "| --- |" + " ---: |" * len(keys)]
    for case in CASES:
        values = [_value(by_place[case, key]) if (case, key) in by_place else "" for key in keys]
        lines.append(f"| {case} | " + " | ".join(values) + " |")
    return [*lines, ""]


def _changed_options(keys: Sequence[str]) -> str:
    changed = [
        f"{name} ({', '.join(f'{option}={value}' for option, value in OPTIONS[name].items())})"
        for name in OPTIONS
        if name in keys
    ]
    return f" but for {', '.join(changed)}" if changed else ""


def _number(cell: Cell) -> str:
    # no -0.000
    return "raised" if cell.value is None else f"{round(cell.value, 3) + 0.0:.3f}"


def _value(cell: Cell) -> str:
    return _number(cell) if cell.holds else f"**{_number(cell)} ✗**"


def _bounds(cell: Cell) -> str:
    # No -0.000, and no bound that reads narrower than it is.
    low, high = (f"{round(bound, 4) + 0.0:.4g}" for bound in (cell.low, cell.high))
    return low if low == high else f"{low} to {high}"
