"""The page of several studies: their tables, and the decoders of their best models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from urllib.parse import quote

from bench.report.columns import Column, shown, shown_study
from bench.report.frame import frame, kinds_of
from bench.report.html.explorer import Explorer
from bench.report.html.page import Cell, comparison_cells, filled, medians_of, states_of
from bench.report.table import Row, comparison
from bench.store.files import write_text
from bench.store.record import Record, read_records
from bench.store.study import read_study


@dataclass(frozen=True)
class _Study:
    """A study on the page.

    Attributes:
        name: by which it is told from the others.
        page: where its own page is, as a link.
        title: data and preset.
        states: how many runs have which status.
        columns, rows: of its table.
        notes: below it.
        medians: the run that stands for each model, the best model first, as stored and as shown.
    """

    name: str
    page: str
    title: str
    states: Sequence[tuple[str, int]]
    columns: Sequence[Column]
    rows: Sequence[tuple[Row, list[Cell]]]
    notes: Sequence[str]
    medians: Sequence[tuple[Record, Record]]


def write_studies_page(path: Path, folders: Mapping[str, Path]) -> None:
    """Write the page of several studies, whose own pages lie in their folders.

    Args:
        path: of the page.
        folders: of the studies below that of the page, by their path from there.

    Raises:
        RequestError: a folder holds no study, or a record cannot be read.
        OSError: the page cannot be written.
    """
    studies = [_study(name, folder, path.name) for name, folder in folders.items()]
    # the best model of each study, then the next ones, as far as there is room
    ranked = zip_longest(*([(study.name, pair) for pair in study.medians] for study in studies))
    pairs = [pair for pair in chain.from_iterable(ranked) if pair is not None]
    explorer = Explorer.of([pair for _, pair in pairs], [name for name, _ in pairs])
    title = f"{len(studies)} studies"
    write_text(path, filled("studies.html.jinja", explorer, title=title, studies=studies))


def _study(name: str, folder: Path, page: str) -> _Study:
    about, records = shown_study(read_study(folder)), read_records(folder)
    visible = shown(records)
    table, numbers = comparison(visible, about), frame(visible)
    return _Study(
        name=name,
        page=f"{quote(name)}/{page}",
        title=table.title,
        states=states_of(visible),
        columns=table.columns,
        rows=comparison_cells(table),
        notes=table.notes,
        medians=medians_of(list(zip(records, visible, strict=True)), table, kinds_of(numbers)),
    )
