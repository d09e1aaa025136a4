"""A reproduction's table, reproduction.md and .csv: a function of its records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.report.statistics import Summary
from bench.reproduce.beside import side_by_side
from bench.reproduce.curves import draw_epochs, draw_steps
from bench.reproduce.files import MANIFEST, Manifest, read_manifest
from bench.reproduce.published import EVALUATED, Part, Row, Table
from bench.reproduce.tables import TABLES
from bench.reproduce.values import Obtained, RunResult, metric_in_words, obtained, results_of
from bench.reproduce.verdict import FULL, RULE, difference, verdict
from bench.store.files import sweep, write_rows, write_text

_HEAD = (
    "Model", "Data", "Metric", "Published", "Runs", "Certainty", "Obtained", "Runs here",
    "Without collapsed", "Standard protocol", "Difference", "Verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row, what was obtained for it, and the verdict.

    Attributes:
        row: the published number.
        obtained: the numbers that stand against it.
        verdict: in words.
        difference: obtained minus published; None where there is none.
    """

    row: Row
    obtained: Obtained
    verdict: str
    difference: float | None


@dataclass(frozen=True)
class Reproduction:
    """A table as it was written.

    Attributes:
        lines: a line for each row.
        text: of reproduction.md.
        files: that were written.
    """

    lines: Sequence[Line]
    text: str
    files: Sequence[Path]


def lines_of(table: Table, results: Mapping[str, Sequence[RunResult]]) -> list[Line]:
    """The rows of a table with what the results, by part, hold for them.

    Of the epochs of a training, those that a run here has reached; of none, the first.
    """
    reached = {
        part: max((epoch for result in own for epoch in result.epochs), default=1)
        for part, own in results.items()
    }
    lines = []
    for row in table.rows:
        if row.epoch > reached.get(row.part, 1):
            continue
        numbers = obtained(row, results)
        lines.append(Line(row, numbers, verdict(row, numbers), difference(row, numbers)))
    return lines


def write_reproduction(folder: Path) -> Reproduction:
    """Write reproduction.md and .csv from the records of a folder.

    Raises:
        RequestError: a record cannot be read, or the folder cannot be written.
    """
    manifest, table = manifest_of(folder)
    results = results_of(folder, table)
    lines = lines_of(table, results)
    text = markdown(table, lines, results, manifest)
    files = [folder / "reproduction.md", folder / "reproduction.csv"]
    sweep(folder)
    try:
        write_text(files[0], text)
        write_rows(files[1], [flat(line) for line in lines])
        files += draw_epochs(folder, table, results)
        files += draw_steps(folder, table, results)
    except OSError as error:
        raise RequestError(f"{folder} cannot be written ({error.strerror})") from error
    return Reproduction(lines, text, files)


def manifest_of(folder: Path) -> tuple[Manifest, Table]:
    """What reproduction.json says, and the table that it names.

    Raises:
        RequestError: it cannot be read, or names no table.
    """
    manifest = read_manifest(folder)
    if manifest.name not in TABLES:
        raise RequestError(
            f"{folder / MANIFEST} names the table {manifest.name}, which this version does not "
            f"have: choose from {', '.join(TABLES)}"
        )
    return manifest, TABLES[manifest.name]


def markdown(
    table: Table,
    lines: Sequence[Line],
    results: Mapping[str, Sequence[RunResult]],
    manifest: Manifest,
) -> str:
    """The table in Markdown, with all that has to be known to read it below.

    Where nothing is run, a table of models for each data set.
    """
    if not table.parts:
        return side_by_side(table, table.rows)
    sources = list(dict.fromkeys(line.row.source for line in lines))
    head = [f"**{table.id}. {table.title}**", "", "| " + " | ".join(_HEAD) + " |"]
    head.append("| " + " | ".join(["---"] * 3 + ["---:"] * 2 + ["---"] * 7) + " |")
    body = ["| " + " | ".join(_cells(line, sources)) + " |" for line in lines]
    notes = [_budget_note(table, results, manifest), RULE, *table.about]
    notes += _protocol_notes(table)
    notes += _reasons(lines)
    notes += [
        "Obtained: mean ± standard deviation over runs by the paper's protocol, and in brackets "
        "the 95 % t interval of the mean, within the range of the score; of one or two runs, what "
        "they gave. A run whose seed is marked as chosen is no part of any mean. The difference is "
        "the one that the verdict is about. KL and reconstruction are in nats per image. "
        "Certainty: primary, read in the authors' own repository; quoted, by the source; derived, "
        "by a measurement with other code; unverified, never a target.",
        *(f"[{number}] {source}." for number, source in enumerate(sources, 1)),
    ]
    commands = "; ".join(f"`{command}`" for command in manifest.commands)
    notes.append(f"Made by {commands}.")
    return "\n".join([*head, *body, "", *(f"- {note}" for note in notes), ""])


def flat(line: Line) -> dict[str, Any]:
    """A line for reproduction.csv."""
    row, numbers = line.row, line.obtained
    statistics: dict[str, float | None] = {}
    for name, summary in (
        ("obtained", numbers.every), ("sound", numbers.sound), ("standard", numbers.standard)
    ):  # fmt: skip
        known: Mapping[str, Any] = vars(summary) if summary else {}
        statistics |= {
            f"{name}.{key}": known.get(key) for key in ("mean", "sd", "n", "low", "high")
        }
    return {
        "paper": row.paper, "table": row.table, "model": row.model, "dataset": row.dataset,
        "metric": row.metric, "epoch": row.epoch or None, "step": row.step or None,
        "published": row.published, "spread_is": row.spread_is, "published_n": row.n,
        "certainty": row.certainty, "source": row.source, **statistics,
        "states": "; ".join(f"{n} {state}" for state, n in numbers.states.items()),
        "chosen": "; ".join(f"seed {seed}: {value}" for seed, value in numbers.chosen.items()),
        "budget": round(numbers.share, 4), "difference": line.difference, "verdict": line.verdict,
    }  # fmt: skip


def _cells(line: Line, sources: Sequence[str]) -> list[str]:
    row, numbers = line.row, line.obtained
    digits = 2 if row.metric in EVALUATED else 3
    states = [f"{n} {state}" for state, n in numbers.states.items() if state != "done"]
    runs = f"{sum(numbers.states.values())}" + (f" ({', '.join(states)})" if states else "")
    return [
        row.model,
        row.dataset,
        metric_in_words(row.metric) + _moment(row),
        row.published,
        "–" if row.n is None else str(row.n),
        f"{row.certainty} [{sources.index(row.source) + 1}]",
        "; ".join([_shown(numbers.every, digits), *_chosen(numbers, digits)]),
        runs if numbers.states else "–",
        _shown(numbers.sound, digits) if numbers.states.get("collapsed") else "–",
        _shown(numbers.standard, digits) if row.metric not in EVALUATED else "–",
        "–" if line.difference is None else f"{line.difference:+.{digits}f}",
        line.verdict,
    ]


def _moment(row: Row) -> str:
    if row.epoch:
        return f", epoch {row.epoch}"
    return f", after {row.step:,} steps" if row.step else ""


def _shown(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return "–"
    if summary.sd is None:
        return f"{summary.mean:.{digits}f}"
    if summary.low is None or summary.high is None:
        return ", ".join(f"{value:.{digits}f}" for value in summary.values)
    interval = f"[{summary.low:.{digits}f}, {summary.high:.{digits}f}]"
    return f"{summary.mean:.{digits}f} ± {summary.sd:.{digits}f} {interval}"


def _chosen(numbers: Obtained, digits: int) -> list[str]:
    return [f"seed {seed}, chosen: {value:.{digits}f}" for seed, value in numbers.chosen.items()]


def _budget_note(
    table: Table, results: Mapping[str, Sequence[RunResult]], manifest: Manifest
) -> str:
    if not table.trained:
        return "Nothing is trained."
    if any(row.epoch for row in table.rows):
        return (
            f"Budget: the published schedules, for the first {manifest.budget:.4g} of the steps: "
            "the epochs that are compared have their full budget."
        )
    shares = {result.share for runs in results.values() for result in runs}
    if min([manifest.budget, *shares]) < FULL:
        return (
            f"REDUCED BUDGET: {manifest.budget:g} of the published steps, schedules in proportion. "
            "Such numbers are not a reproduction, whatever they agree with."
        )
    return "Budget: the published steps."


def _protocol_notes(table: Table) -> list[str]:
    by_protocol: dict[tuple[str, str, str], list[Part]] = {}
    scored = {row.part for row in table.rows if not row.epoch}
    for part in (part for part in table.parts if part.name in scored):
        protocol = part.protocol
        changes = [*protocol.options, *["codes are sampled"] * protocol.sampled]
        changes += ["latents pruned by deviation"] * protocol.by_spread
        key = (protocol.words, ", ".join(changes), protocol.beyond)
        by_protocol.setdefault(key, []).append(part)
    notes = []
    for (words, options, beyond), parts in by_protocol.items():
        names = "; ".join(part.name for part in parts)
        here = f" Here: {options}." if options else ""
        rest = f" Not expressed or not known: {beyond}." if beyond else ""
        notes.append(f"The paper's protocol ({names}): {words}.{here}{rest}")
    return notes


def _reasons(lines: Sequence[Line]) -> list[str]:
    incomparable: dict[str, list[str]] = {}
    tolerances: dict[str, list[str]] = {}
    for line in lines:
        row = line.row
        number = f"{metric_in_words(row.metric)} of {row.model} on {row.dataset}"
        if row.incomparable:
            incomparable.setdefault(row.incomparable, []).append(number)
        if row.tolerance is not None:
            reason = f"{row.tolerance:g} ({row.basis})"
            tolerances.setdefault(reason, []).append(number)
    notes = [
        f"Not comparable: {'; '.join(numbers)}: {reason}."
        for reason, numbers in incomparable.items()
    ]
    if tolerances:
        by_reason = (f"{', '.join(numbers)} {reason}" for reason, numbers in tolerances.items())
        notes.append(f"Tolerances: {'; '.join(by_reason)}.")
    return notes
