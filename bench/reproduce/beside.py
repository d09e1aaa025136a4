"""Published numbers and the rows of a study side by side, a table per data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError, UnknownNameError
from bench.report.columns import definition_words, named
from bench.report.statistics import summarise
from bench.reproduce.published import EVALUATED, Row, Table, metric_of
from bench.reproduce.tables import TABLES
from bench.reproduce.values import metric_in_words, value_of_record
from bench.store.files import write_rows, write_text
from bench.store.record import Record, read_records
from bench.store.study import read_study, unwritable


@dataclass(frozen=True)
class Own:
    """What the runs of a study that have one label gave.

    Attributes:
        label: of the runs.
        runs: in words, with those that collapsed or have no scores.
        numbers: the values over the runs by the keys of the published numbers, see `Row`.
    """

    label: str
    runs: str
    numbers: Mapping[str, Sequence[float]]


def published_beside(folder: Path, name: str) -> tuple[str, list[Path]]:
    """Write what is published on the data of a study beside its own rows.

    Args:
        folder: of the study.
        name: of the published table.

    Returns:
        The text of published-NAME.md, and the files that were written.

    Raises:
        RequestError: there is no such table or study, it has nothing on these data, a record cannot
            be read, or the folder cannot be written.
    """
    if name not in TABLES:
        raise UnknownNameError("table", name, TABLES)
    read_study(folder)  # a folder without one is refused
    table, records = TABLES[name], named(read_records(folder))
    data = list(dict.fromkeys(record.run.dataset for record in records))
    known = list(dict.fromkeys(row.dataset for row in table.rows))
    if not set(data) & set(known):
        raise RequestError(
            f"{folder} is about {', '.join(data) or 'nothing yet'}, {name} about "
            f"{', '.join(known)}: name a study of these data"
        )
    rows = [row for row in table.rows if row.dataset in data and not row.epoch]
    if not rows:
        raise RequestError(f"{name} holds epochs of trainings, which no score stands beside")
    text = side_by_side(table, rows, records)
    paths = [folder / f"published-{name}{suffix}" for suffix in (".md", ".csv")]
    try:
        write_text(paths[0], text)
        write_rows(paths[1], _flat(rows, records))
    except OSError as error:
        raise unwritable(folder, error) from error
    return text, paths


def side_by_side(table: Table, rows: Sequence[Row], records: Sequence[Record] = ()) -> str:
    """Published rows, and below them those of a study, in Markdown: a table per data set."""
    sources = list(dict.fromkeys(row.source for row in rows))
    lines = [f"**{table.id}. {table.title}**", ""]
    for dataset in dict.fromkeys(row.dataset for row in rows):
        there = [row for row in rows if row.dataset == dataset]
        keys = list(dict.fromkeys(row.metric for row in there))
        head = ["Model", "Paper", "Runs", *map(metric_in_words, keys), "Certainty"]
        lines += [f"{dataset}:", "", f"| {' | '.join(head)} |"]
        lines.append("| --- | --- | ---: |" + " ---: |" * len(keys) + " --- |")
        for own in own_rows(records, dataset, keys):
            cells = [_shown(key, own.numbers[key]) for key in keys]
            lines.append(f"| **{own.label}** | here | {own.runs} | {' | '.join(cells)} | – |")
        models: dict[tuple[str, str, str], dict[str, Row]] = {}
        for row in there:
            models.setdefault((row.model, row.paper, row.table), {})[row.metric] = row
        for (model, paper, place), numbers in models.items():
            first = next(iter(numbers.values()))
            shown = [numbers[key].published if key in numbers else "–" for key in keys]
            certainty = f"{first.certainty} [{sources.index(first.source) + 1}]"
            cells = [model, f"{paper}, {place}", str(first.n or "–"), *shown, certainty]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    notes = [*table.about, *_definitions(records, rows)]
    notes.append(
        "Published: as printed, ± as printed. Certainty: primary, read in the authors' own "
        "repository; quoted, by the source."
    )
    if records:
        notes.append(f"Trained here: {'; '.join(_trained(records))}.")
        notes.append(
            "Here: mean ± standard deviation over all runs with scores, collapsed ones too; of one "
            "or two runs, what they gave. Nothing says that the protocols are the same: compare "
            "the definitions above with the published ones."
        )
    notes += [f"[{number}] {source}." for number, source in enumerate(sources, 1)]
    return "\n".join([*lines, *(f"- {note}" for note in notes), ""])


def own_rows(records: Sequence[Record], dataset: str, keys: Sequence[str]) -> list[Own]:
    """The runs of a study on a data set by their label."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.run.dataset == dataset:
            groups.setdefault(record.run.label, []).append(record)
    found = []
    for label, own in groups.items():
        scored = [record for record in own if record.scored]
        collapsed = sum(record.status.state == "collapsed" for record in scored)
        words = [f"{collapsed} collapsed"] if collapsed else []
        words += [f"{len(own) - len(scored)} without scores"] if len(scored) < len(own) else []
        runs = f"{len(own)}" + (f" ({', '.join(words)})" if words else "")
        values = {
            key: [v for record in scored if (v := value_of_record(record, key)) is not None]
            for key in keys
        }
        found.append(Own(label, runs, values))
    return found


def _shown(key: str, values: Sequence[float]) -> str:
    digits = 2 if key in EVALUATED else 3
    summary = summarise(values)
    if summary is None:
        return "–"
    if summary.low is None:
        return ", ".join(f"{value:.{digits}f}" for value in values)
    return f"{summary.mean:.{digits}f} ± {summary.sd:.{digits}f}"


def _trained(records: Sequence[Record]) -> list[str]:
    """On what the rows of a study rest, in words."""
    words: dict[str, None] = {}
    for run in (record.run for record in records):
        channels, height, width = run.image_shape
        how = f"{run.steps:,} steps of {run.batch_size} images" if run.trained else "nothing"
        words[f"{how} ({run.preset}; {height}x{width} pixels, channels: {channels})"] = None
    return list(words)


def _definitions(records: Sequence[Record], rows: Sequence[Row]) -> list[str]:
    """By which definitions the scores of a study are, and how to get those that are missing."""
    if not records:
        return []
    names = dict.fromkeys(metric_of(row.metric) for row in rows if row.metric not in EVALUATED)
    notes, missing = [], []
    for name in names:
        words = {
            definition_words(record.scores[name].definition)
            for record in records
            if name in record.scores
        }
        notes += [f"{name} here: {definition}." for definition in sorted(words)]
        missing += [] if words else [name]
    if missing:
        notes.append(
            f"No run here has {', '.join(missing)}: `bench evaluate FOLDER --metrics "
            f"{','.join(missing)}` adds it."
        )
    return notes


def _flat(rows: Sequence[Row], records: Sequence[Record]) -> list[dict[str, object]]:
    """A line per number for the CSV file, published ones first."""
    lines: list[dict[str, object]] = [
        {
            "model": row.model, "dataset": row.dataset, "metric": row.metric, "value": row.value,
            "spread": row.spread, "n": row.n, "where": f"{row.paper}, {row.table}",
            "certainty": row.certainty, "source": row.source,
        }
        for row in rows
    ]  # fmt: skip
    for dataset in dict.fromkeys(row.dataset for row in rows):
        keys = list(dict.fromkeys(row.metric for row in rows if row.dataset == dataset))
        for own in own_rows(records, dataset, keys):
            for key, values in own.numbers.items():
                summary = summarise(values)
                if summary is not None:
                    spread = "" if summary.sd is None else summary.sd
                    lines.append(
                        {
                            "model": own.label, "dataset": dataset, "metric": key,
                            "value": summary.mean, "spread": spread, "n": summary.n,
                            "where": "here", "certainty": "", "source": "",
                        }
                    )  # fmt: skip
    return lines
