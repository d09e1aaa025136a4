"""A reproduction's table, reproduction.md and .csv: a function of its records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.errors import RequestError
from bench.report.columns import title_of
from bench.report.statistics import Summary
from bench.reproduce.published import Part, Row, Table
from bench.reproduce.tables import TABLES
from bench.reproduce.values import STANDARD, Obtained, Outcome, obtained, outcomes
from bench.reproduce.verdict import FULL, RULE, difference, verdict
from bench.store.files import read_json, write_rows, write_text

MANIFEST = "reproduction.json"
_TITLES = {
    "kl_total": "KL",
    "kl_continuous": "KL, continuous",
    "kl_categorical": "KL, categories",
    "reconstruction": "Reconstruction",
    "active_latents": "Active latents",
}
_NATS = ("kl_total", "kl_continuous", "kl_categorical", "reconstruction", "active_latents")
_HEAD = (
    "Model", "Data", "Metric", "Published", "Runs", "Certainty", "Obtained", "Runs here",
    "Without collapsed", "Standard protocol", "Difference", "Verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row, what was obtained for it, and the verdict."""

    row: Row
    obtained: Obtained
    verdict: str
    difference: float | None


@dataclass(frozen=True)
class Reproduction:
    """A table as it stands: text is reproduction.md."""

    lines: Sequence[Line]
    text: str
    files: Sequence[Path]


def lines_of(folder: Path, table: Table) -> list[Line]:
    """Rows with what the records of a folder hold for them. Raises RequestError."""
    found = outcomes(folder, table)
    return [_line(row, found) for row in table.rows]


def write_reproduction(folder: Path) -> Reproduction:
    """Write reproduction.md and .csv from the records of a folder. Raises RequestError."""
    manifest, table = manifest_of(folder)
    found = outcomes(folder, table)
    lines = [_line(row, found) for row in table.rows]
    text = markdown(table, lines, found, manifest)
    files = (folder / "reproduction.md", folder / "reproduction.csv")
    try:
        write_text(files[0], text)
        write_rows(files[1], [flat(line) for line in lines])
    except OSError as error:
        raise RequestError(f"{folder} cannot be written ({error.strerror})") from error
    return Reproduction(lines, text, files)


def is_reproduction(folder: Path) -> bool:
    """Whether a folder is that of a reproduction."""
    return (folder / MANIFEST).is_file()


def print_reproduction(folder: Path, out: Console, talk: Console) -> None:
    """Write the table of a folder anew and print it. Raises RequestError."""
    made = write_reproduction(folder)
    out.print(made.text, markup=False, highlight=False, soft_wrap=True)
    for path in made.files:
        talk.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def manifest_of(folder: Path) -> tuple[Mapping[str, Any], Table]:
    """What reproduction.json says, and the table it names. Raises RequestError."""
    path = folder / MANIFEST
    try:
        manifest: Mapping[str, Any] = read_json(path)
        _ = manifest["budget"], manifest["commands"]
        return manifest, TABLES[manifest["name"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} cannot be read ({error}): it names no table here") from error


def markdown(
    table: Table,
    lines: Sequence[Line],
    found: Mapping[str, Sequence[Outcome]],
    manifest: Mapping[str, Any],
) -> str:
    """The table in Markdown, with all that has to be known to read it below."""
    sources = list(dict.fromkeys(line.row.source for line in lines))
    head = [f"**{table.id}. {table.title}**", "", "| " + " | ".join(_HEAD) + " |"]
    head.append("| " + " | ".join(["---"] * 3 + ["---:"] * 2 + ["---"] * 7) + " |")
    body = ["| " + " | ".join(_cells(line, sources)) + " |" for line in lines]
    notes = [_budget_note(table, found, manifest), RULE, *table.about]
    notes += _protocol_notes(table)
    notes += _reasons(lines)
    notes += [
        "Obtained: mean ± standard deviation over runs by the paper's protocol, and in brackets "
        "the 95 % t interval of the mean. The difference is that which the verdict is on. KL and "
        "reconstruction in nats an image. Certainty: primary, read in the authors' own repository; "
        "quoted, by the source; derived, by simulation or measurement with other code; unverified, "
        "never a target.",
        *(f"[{place}] {source}." for place, source in enumerate(sources, 1)),
    ]
    commands = "; ".join(f"`{command}`" for command in manifest["commands"])
    notes.append(f"Made by {commands}.")
    return "\n".join([*head, *body, "", *(f"- {note}" for note in notes), ""])


def flat(line: Line) -> dict[str, Any]:
    """A line for reproduction.csv."""
    row, found = line.row, line.obtained
    numbers: dict[str, float | None] = {}
    for name, summary in (
        ("obtained", found.every), ("sound", found.sound), ("standard", found.standard)
    ):  # fmt: skip
        parts: Mapping[str, Any] = vars(summary) if summary else {}
        numbers |= {f"{name}.{key}": parts.get(key) for key in ("mean", "sd", "n", "low", "high")}
    return {
        "paper": row.paper, "table": row.table, "model": row.model, "dataset": row.dataset,
        "metric": row.metric, "published": row.shown, "spread_is": row.spread_is,
        "published_n": row.n, "certainty": row.certainty, "source": row.source, **numbers,
        "states": "; ".join(f"{n} {state}" for state, n in found.states.items()),
        "budget": round(found.share, 4), "difference": line.difference, "verdict": line.verdict,
    }  # fmt: skip


def shown_metric(key: str) -> str:
    """The key of a number in words."""
    plain = key.removesuffix(STANDARD)
    if plain.endswith("/nmi"):
        return "Normalised mutual information"
    if plain in _TITLES:
        return _TITLES[plain]
    return title_of(plain)


def _line(row: Row, found: Mapping[str, Sequence[Outcome]]) -> Line:
    numbers = obtained(row, found)
    return Line(row, numbers, verdict(row, numbers), difference(row, numbers))


def _cells(line: Line, sources: Sequence[str]) -> list[str]:
    row, found = line.row, line.obtained
    digits = 2 if row.metric in _NATS else 3
    states = [f"{n} {state}" for state, n in found.states.items() if state != "done"]
    runs = f"{sum(found.states.values())}" + (f" ({', '.join(states)})" if states else "")
    return [
        row.model,
        row.dataset,
        shown_metric(row.metric),
        row.shown,
        "–" if row.n is None else str(row.n),
        f"{row.certainty} [{sources.index(row.source) + 1}]",
        _shown(found.every, digits),
        runs if found.states else "–",
        _shown(found.sound, digits) if found.states.get("collapsed") else "–",
        _shown(found.standard, digits) if row.metric not in _NATS else "–",
        "–" if line.difference is None else f"{line.difference:+.{digits}f}",
        line.verdict,
    ]


def _shown(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return "–"
    if summary.sd is None or summary.low is None or summary.high is None:
        return f"{summary.mean:.{digits}f}"
    interval = f"[{summary.low:.{digits}f}, {summary.high:.{digits}f}]"
    return f"{summary.mean:.{digits}f} ± {summary.sd:.{digits}f} {interval}"


def _budget_note(
    table: Table, found: Mapping[str, Sequence[Outcome]], manifest: Mapping[str, Any]
) -> str:
    if not table.trained:
        return "Nothing is trained."
    shares = {outcome.share for runs in found.values() for outcome in runs}
    budget = float(manifest["budget"])
    if min([budget, *shares]) < FULL:
        return (
            f"REDUCED BUDGET: {budget:g} of the published steps, schedules in proportion. Such "
            "numbers are no reproduction, whatever they agree with."
        )
    return "Budget: the published steps."


def _protocol_notes(table: Table) -> list[str]:
    by_protocol: dict[tuple[str, str, str], list[Part]] = {}
    for part in table.parts:
        own = part.protocol
        changes = [*own.options, *["codes are sampled"] * own.sampled]
        changes += ["latents pruned by deviation"] * own.by_spread
        key = (own.words, ", ".join(changes), own.beyond)
        by_protocol.setdefault(key, []).append(part)
    notes = []
    for (words, options, beyond), parts in by_protocol.items():
        names = "; ".join(part.name for part in parts)
        here = f" Here: {options}." if options else ""
        rest = f" Not expressed or not known: {beyond}." if beyond else ""
        notes.append(f"The paper's protocol ({names}): {words}.{here}{rest}")
    return notes


def _reasons(lines: Sequence[Line]) -> list[str]:
    apart: dict[str, list[str]] = {}
    tolerances: dict[str, list[str]] = {}
    for line in lines:
        row = line.row
        what = f"{shown_metric(row.metric)} of {row.model} on {row.dataset}"
        if row.incomparable:
            apart.setdefault(row.incomparable, []).append(what)
        if row.tolerance is not None:
            reason = f"{row.tolerance:g} ({row.because})"
            tolerances.setdefault(reason, []).append(what)
    notes = [f"Not comparable: {'; '.join(which)}: {reason}." for reason, which in apart.items()]
    if tolerances:
        shown = "; ".join(f"{', '.join(which)} {reason}" for reason, which in tolerances.items())
        notes.append(f"Tolerances: {shown}.")
    return notes
