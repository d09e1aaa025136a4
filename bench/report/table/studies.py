"""Several studies side by side: a table per score, and what their runs show together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.report.columns import Column, Metrics, is_part, is_ranked, title_of
from bench.report.frame import kinds_of, score_keys
from bench.report.statistics.aggregates import strata_of
from bench.report.table.comparable import Comparable
from bench.report.table.comparison import Row, Table
from bench.report.table.sections import Section, interquartile_means
from bench.store.record import Record

if TYPE_CHECKING:
    import pandas as pd


def score_tables(
    studies: Mapping[str, Sequence[Record]], tables: Mapping[str, Table]
) -> list[Table]:
    """A table per score that models are ranked by: a row per model, and a column per study.

    Args:
        studies: their records by name, under the names that are shown.
        tables: the comparison of each.
    """
    metrics = Metrics.of([record for records in studies.values() for record in records])
    names: dict[str, dict[str, str]] = {}  # by key of all, then study: the key in its own table
    for study, records in studies.items():
        own = Metrics.of(records)
        known = {own.key(d): metrics.key(d) for d in own.definitions.values()}
        for column in tables[study].columns:
            if is_ranked(column.key) and not is_part(column.key):
                names.setdefault(known.get(column.key, column.key), {})[study] = column.key
    notes = [
        "Mean over seeds ± standard deviation, and in brackets the 95 % t interval of the mean; "
        "with fewer than 3 runs instead, in parentheses, the runs themselves. Bold: not separated "
        "from the best of its study, whose own table has all notes.",
        *(f"{study}: {table.title}." for study, table in tables.items()),
    ]  # below the first
    found = [_table(key, own, tables) for key, own in names.items()]
    return [replace(table, notes=notes if i == 0 else ()) for i, table in enumerate(found)]


def _table(key: str, names: Mapping[str, str], tables: Mapping[str, Table]) -> Table:
    columns = [Column(study, study, 3) for study in names]
    rows: dict[str, Row] = {}
    for study, own in names.items():
        for row in tables[study].rows:
            before = rows.get(row.label, Row(row.label, {}, dict.fromkeys(names), row.trained))
            standing = row.standings.get(own)
            rows[row.label] = Row(
                label=row.label,
                states=Counter(before.states) + Counter(row.states),
                cells={**before.cells, study: row.cells[own]},
                trained=before.trained or row.trained,
                standings={**before.standings, **({study: standing} if standing else {})},
            )
    return Table(title_of(key), columns, list(rows.values()), ())


def classes_of(
    studies: Sequence[Sequence[Record]], numbers: "pd.DataFrame"
) -> dict[str, list[list[str]]]:
    """By score the models that have many runs, in groups that may be compared.

    Those of a group are alike on each data set that they share, as in its own table.

    Args:
        studies: the records of each, under the names that are shown.
        numbers: their frame.
    """
    kinds = kinds_of(numbers)
    alike: list[tuple[str, Comparable]] = []
    for records in studies:
        groups: dict[str, list[Record]] = {}
        for record in records:
            groups.setdefault(record.run.label, []).append(record)
        if groups:
            data = records[0].run.fingerprint
            alike.append((data, Comparable.of(groups, kinds)))
    classes: dict[str, list[list[str]]] = {}
    for key in score_keys(numbers):
        if not is_ranked(key):
            continue
        groups_of_key: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for label in strata_of(numbers, key):
            signatures: dict[str, tuple[str, ...]] = {}
            for data, comparable in alike:
                if label in comparable.categories:
                    signatures.setdefault(data, comparable.signature(label, key))
            if signatures:  # those of baselines have none
                signature = tuple(signatures[data] for data in sorted(signatures))
                groups_of_key.setdefault(signature, []).append(label)
        if groups_of_key:
            classes[key] = list(groups_of_key.values())
    return classes


def shared_sections(numbers: "pd.DataFrame") -> list[Section]:
    """The interquartile means over several studies, preset by preset."""
    sections = []
    for preset, rows in by_preset(numbers).items():
        titles = {key: title_of(key) for key in score_keys(rows) if is_ranked(key)}
        section = interquartile_means(rows, titles)
        if section is not None:
            sections.append(
                Section(
                    f"{section.title}, preset {preset}", section.head, section.rows, section.notes
                )
            )
    return sections


def by_preset(numbers: "pd.DataFrame") -> dict[str, "pd.DataFrame"]:
    """The rows of each preset: what differs in it is never one number."""
    return {str(preset): rows for preset, rows in numbers.groupby("preset", sort=False)}
