"""The page of a study: collects what stands on it, and fills the template."""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench import __version__
from bench.console import time_in_words
from bench.registry import entries
from bench.report.columns import (
    Column,
    Metrics,
    definition_words,
    is_ranked,
    title_of,
    values_of,
)
from bench.report.frame import BASELINES, kinds_of
from bench.report.html import charts
from bench.report.html.drawn import environment_of
from bench.report.html.explorer import Explorer
from bench.report.html.images import Strip, strips
from bench.report.html.texts import script_json, without_folders
from bench.report.pictures import MEANINGS, Information, Use, mark
from bench.report.render import mean_text, range_text
from bench.report.table import Row, Table
from bench.score import TRIED
from bench.store.files import write_text
from bench.store.record import ERROR, Record
from bench.store.study import StudyRecord

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent

ROWS = 2_000  # of a table; more are in the csv files
MODELS = 60  # with pictures and a heat map
PICTURES = 4_000_000  # bytes of all pictures, in text
FAILURES = 30  # whose traceback is shown
FIRST_FAILURES = 20  # in sight; more are one click away
TRACEBACK = 6_000  # characters, from the end
_QUIET = ("skipped", "interrupted", "running", "pending")  # nothing went wrong with these
VALUES = 6  # different values of a fact, such as a device, before the rest is counted


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return (HERE / name).read_text(encoding="utf-8")


def write_page(
    path: Path,
    study: StudyRecord,
    records: Sequence[Record],
    shown: Sequence[Record],
    table: Table,
    numbers: "pd.DataFrame",
) -> None:
    """Write the page of a study.

    Args:
        path: of the page.
        study: under the names that are shown.
        records: as they are stored.
        shown: the same under the names that are shown.
        table: their comparison.
        numbers: their frame.
    """
    write_text(path, page(study, records, shown, table, numbers))


def page(
    study: StudyRecord,
    records: Sequence[Record],
    shown: Sequence[Record],
    table: Table,
    numbers: "pd.DataFrame",
) -> str:
    """The page of a study as text; the arguments are those of `write_page`."""
    medians = medians_of(list(zip(records, shown, strict=True)), table, kinds_of(numbers))
    explorer = Explorer.of(medians)
    plots, kinds, more_models = charts.score_plots(numbers)
    drawn = _drawn_curves(shown, medians)
    curves, score_curves, labels = charts.curve_plots(drawn)
    models, no_pictures = _models(medians)
    return filled(
        "page.html.jinja",
        explorer,
        title=table.title,
        states=states_of(shown),
        facts=_facts(study, shown, records),
        table=comparison_cells(table),
        columns=table.columns,
        definitions=_definitions(shown),
        score_plots=plots,
        kinds=kinds,
        any_baseline=any(plot.baselines for plot in plots),
        any_collapsed=any(record.status.state == "collapsed" for record in shown),
        more_models=more_models,
        curve_plots=curves,
        score_curve_plots=score_curves,
        tried=TRIED,
        curve_labels=labels,
        more_curves=len(shown) - len(drawn),
        nats=charts.nats(numbers),
        kl_parts=list(charts.KL_PARTS.values()),
        models=models,
        no_pictures=no_pictures,
        more_pictures=max(0, len(medians) - MODELS),
        runs=_runs(shown, table.columns),
        run_columns=[column for column in table.columns if column.is_score],
        failures=_failures(records, shown),
        first_failures=FIRST_FAILURES,
        notes=list(table.notes),
        sections=list(table.sections),
        charts=charts,
    )


def filled(template: str, explorer: Explorer, **values: Any) -> str:
    """A template with what all pages have: the explorer, the looks, the controls, the policy."""
    script = Markup(asset("decoder.js") + asset("explorer.js") + asset("page.js"))
    style = Markup(asset("style.css"))
    return (
        _environment()
        .get_template(template)
        .render(
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            explorer=explorer,
            explorer_json=script_json(explorer.models),
            left_out=_by_reason(explorer.left_out),
            rows=ROWS,
            version=__version__,
            **values,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(HERE),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # all texts go through this before they are escaped
    environment.finalize = lambda value: without_folders(value) if type(value) is str else value
    return environment


def _hash(text: str) -> str:
    """By which the page's policy admits this very text as its script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# --- which runs


def medians_of(
    pairs: Sequence[tuple[Record, Record]], table: Table, kinds: Mapping[str, str]
) -> list[tuple[Record, Record]]:
    """Of each row of the table the run in the middle by the first score, as stored and as shown.

    The best model comes first, by its mean of the first score that models are ranked by; baselines,
    and models whose run collapsed, come last.
    """
    metrics = Metrics.of([shown for _, shown in pairs])
    keys = [column.source for column in table.columns if column.is_score]
    groups: dict[str, list[tuple[Record, Record]]] = {row.label: [] for row in table.rows}
    for stored, shown in pairs:
        if shown.scored:
            groups.setdefault(shown.run.label, []).append((stored, shown))

    def place(pair: tuple[Record, Record]) -> float:
        value = values_of(pair[1], metrics).get(keys[0], math.nan) if keys else math.nan
        return value if math.isfinite(value) else -math.inf

    ranked = next((column.key for column in table.columns if is_ranked(column.key)), None)
    cells = {row.label: row.cells.get(ranked) if ranked else None for row in table.rows}

    def rank(pair: tuple[Record, Record]) -> tuple[bool, bool, float]:
        run, status = pair[1].run, pair[1].status
        cell = cells.get(run.label)
        last = kinds.get(run.label) == BASELINES, status.state == "collapsed"
        return *last, math.inf if cell is None else -cell.mean

    ordered = (sorted(group, key=place) for group in groups.values())
    return sorted((group[(len(group) - 1) // 2] for group in ordered if group), key=rank)


def _drawn_curves(
    shown: Sequence[Record], medians: Sequence[tuple[Record, Record]]
) -> Sequence[Record]:
    """The runs whose curves are drawn: all of them, or with many the medians."""
    if len(shown) <= charts.LINES:
        return shown
    return [record for _, record in medians][: charts.LINES]


# --- what this is


def states_of(shown: Sequence[Record]) -> list[tuple[str, int]]:
    """How many runs have which status, the finished ones first."""
    counts = Counter(record.status.state for record in shown)
    return sorted(counts.items(), key=lambda item: (item[0] != "done", -item[1]))


def _facts(
    study: StudyRecord, shown: Sequence[Record], records: Sequence[Record]
) -> list[tuple[str, str]]:
    """What the numbers come from, name and words each."""
    runs = [record.run for record in shown]
    trained = [run for run in runs if run.trained]
    made = [environment_of(record) for record in records]
    seconds = sum(sum(record.status.seconds.values()) for record in shown)
    started = sorted(str(m["started"])[:10] for m in made if m.get("started"))
    packages = [m["packages"] for m in made if isinstance(m.get("packages"), Mapping)]
    budgets = _distinct(f"{run.steps:,} steps of {run.batch_size} images" for run in trained)
    facts = [
        ("Data", study.source),
        ("Pixels", study.fingerprint),
        ("Preset", study.preset),
        ("Budget per run", budgets),
        ("Seeds", _distinct(str(run.seed) for run in sorted(runs, key=lambda run: run.seed))),
        ("Images scored", _distinct(f"{run.rows:,}" for run in runs)),
        ("Networks", _distinct(str(run.settings.get("network", "")) for run in trained)),
        ("Likelihoods", _distinct(str(run.settings.get("likelihood", "")) for run in trained)),
        ("Precision", _distinct(run.precision for run in trained)),
        ("Devices", _distinct(str(m.get("device") or "") for m in made)),
        ("Processors", _distinct(str(m.get("processor") or "") for m in made)),
        ("Suite", _distinct(_suite(m) for m in made)),
        ("Python", _distinct(str(m.get("python") or "") for m in made)),
    ]
    for name in dict.fromkeys(name for held in packages for name in held):
        facts.append((name, _distinct(str(held.get(name) or "") for held in packages)))
    days = started[:1] if started[:1] == started[-1:] else [started[0], started[-1]]
    facts.append(("Runs begun", " to ".join(days)))
    facts.append(("Time of all runs", time_in_words(seconds) if seconds else ""))
    return [(name, words) for name, words in facts if words]


def _suite(made: Mapping[str, Any]) -> str:
    if not made.get("bench"):
        return ""
    commit = made.get("commit")
    return f"{made['bench']}{f', commit {commit}' if commit else ''}"


def _distinct(values: Iterable[str]) -> str:
    """Different values in their order; many are counted."""
    known = list(dict.fromkeys(value for value in values if value))
    more = f" and {len(known) - VALUES} more" if len(known) > VALUES else ""
    return "; ".join(known[:VALUES]) + more


def _by_reason(left_out: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Why models have no explorer, each reason with its models."""
    reasons: dict[str, list[str]] = {}
    for label, reason in left_out:
        reasons.setdefault(reason, []).append(label)
    return list(reasons.items())


# --- tables


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it shows.
        below: a second line.
        value: by which it is sorted; None of an empty one.
        best: whether it is in the group of the best of its column.
    """

    text: str
    below: str = ""
    value: float | None = None
    best: bool = False


def comparison_cells(table: Table) -> list[tuple[Row, list[Cell]]]:
    return [(row, [_cell(row, column) for column in table.columns]) for row in table.rows[:ROWS]]


def _cell(row: Row, column: Column) -> Cell:
    cell = row.cells[column.key]
    if cell is None:
        return Cell("–")
    best = row.is_best(column.key)
    return Cell(mean_text(cell, column), range_text(cell, column), cell.mean, best)


def _runs(
    shown: Sequence[Record], columns: Sequence[Column]
) -> list[tuple[Record, list[Cell], float]]:
    """The runs, each with its scores and its seconds."""
    metrics = Metrics.of(shown)
    scores = [column for column in columns if column.is_score]
    rows = []
    for record in shown[:ROWS]:
        values = values_of(record, metrics) if record.scored else {}
        cells = [
            Cell(f"{values[c.source]:.{c.digits}f}", "", values[c.source])
            if c.source in values and c.has(record.run.label)
            else Cell("–")
            for c in scores
        ]
        rows.append((record, cells, sum(record.status.seconds.values())))
    return rows


def _definitions(shown: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Of each definition of a metric: the heading, what it is, and its version and options."""
    metrics = Metrics.of(shown)
    lines = {entry.name: entry.line for entry in entries("metric")}
    return [
        (title_of(metrics.key(d)), lines.get(d.name, ""), definition_words(d))
        for d in metrics.definitions.values()
    ]


# --- what each model has learned


@dataclass(frozen=True)
class Model:
    """The pictures and the information of the run that stands for a model.

    Attributes:
        title: of the run.
        strips: its pictures.
        factors: over the columns of the heat map; empty without one.
        latents: its rows: the latent with its use, what is wrong with it, and of each factor the
            share and its step on the scale of colours, 0 to 10.
        by: what the latents are sorted by.
        meanings: of the words that say what is wrong with a latent.
    """

    title: str
    strips: Sequence[Strip]
    factors: Sequence[str]
    latents: Sequence[tuple[str, str, Sequence[tuple[float, int]]]]
    by: str
    meanings: Sequence[str] = ()


def _models(medians: Sequence[tuple[Record, Record]]) -> tuple[list[Model], list[str]]:
    """The models, and those whose pictures have no room."""
    models, without, room = [], [], PICTURES
    for _, record in medians[:MODELS]:
        pictures = strips(record) if room > 0 else []
        size = sum(len(picture.image) for picture in pictures)
        if room <= 0 or size > room:
            pictures, room = [], 0
            without.append(record.run.label)
        room -= size if pictures else 0
        model = _model(record, pictures)
        if model.strips or model.factors:
            models.append(model)
    return models, without


def _model(record: Record, pictures: Sequence[Strip]) -> Model:
    information, evaluation = Information.of(record), record.evaluation
    if information is None or evaluation is None:
        return Model(record.run.title, pictures, [], [], "")
    use = Use.of(evaluation)
    rows = []
    for index in use.order:
        if index < use.continuous:
            name = f"z{index + 1}"
        else:
            name = f"c{index - use.continuous + 1}"
        shares = [float(share) for share in information.shares[index]]
        steps = [min(10, max(0, round(10 * share))) for share in shares]
        words = mark(index, use, information)
        rows.append((f"{name}, {use.words(index)}", words, list(zip(shares, steps, strict=True))))
    marks = {words for _, words, _ in rows}
    meanings = [f"{word}: {meaning}" for word, meaning in MEANINGS.items() if word in marks]
    return Model(record.run.title, pictures, information.factors, rows, use.title, meanings)


# --- what went wrong


@dataclass(frozen=True)
class Failure:
    """A run without scores.

    Attributes:
        title: of the run.
        state: of its status.
        step: the last training step.
        message: why.
        traceback: of the error; empty where none is kept.
    """

    title: str
    state: str
    step: int
    message: str
    traceback: str


def _failures(records: Sequence[Record], shown: Sequence[Record]) -> list[Failure]:
    """Every run that has no scores, those that went wrong first; the first with their traceback."""

    def rank(pair: tuple[Record, Record]) -> int:
        return _QUIET.index(pair[1].status.state) + 1 if pair[1].status.state in _QUIET else 0

    failures: list[Failure] = []
    pairs = (pair for pair in zip(records, shown, strict=True) if not pair[1].scored)
    for stored, record in sorted(pairs, key=rank):
        text, path = "", stored.folder / ERROR
        if len(failures) < FAILURES and path.exists():
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            if len(text) > TRACEBACK:
                text = f"…\n{text[-TRACEBACK:]}"
        status = record.status
        failures.append(Failure(record.run.title, status.state, status.step, status.message, text))
    return failures
