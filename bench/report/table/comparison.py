"""The comparison table: a function of records."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.presets import PRESETS
from bench.report.columns import (
    Column,
    Metrics,
    bounds_of,
    chosen,
    columns_of,
    definition_words,
    is_independent,
    is_ranked,
    shown,
    shown_study,
    title_of,
    values_of,
)
from bench.report.frame import frame, kinds_of
from bench.report.statistics import ENOUGH, Standing, Summary, summarise
from bench.report.table.comparable import (
    Comparable,
    split,
    unreadable,
    unreadable_notes,
)
from bench.report.table.sections import Section, paired_p_values, sections_of, swept_values
from bench.store.record import Record
from bench.store.study import StudyRecord

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """A model (or a variant of it) over its seeds.

    Attributes:
        label: the model and what was changed of it.
        states: number of runs by status.
        cells: the summary of each column, by key.
        trained: whether the suite trained it, or else only scored it.
        standings: by key of a column, where it stands among the rows that it can be compared with;
            nothing where it cannot.
    """

    label: str
    states: Mapping[str, int]
    cells: Mapping[str, Summary | None]
    trained: bool = True
    standings: Mapping[str, Standing] = field(default_factory=dict)

    def is_best(self, key: str) -> bool:
        """Whether it is in the group of the best of a column that has more than one row."""
        standing = self.standings.get(key)
        return standing is not None and standing.of > 1 and standing.is_best

    @property
    def scored(self) -> int:
        return self.states.get("done", 0) + self.states.get("collapsed", 0)

    @property
    def runs(self) -> str:
        """How many runs the numbers come from, and what became of the others."""
        total = sum(self.states.values())
        count = f"{self.scored}" if self.scored == total else f"{self.scored} of {total}"
        others = [f"{n} {state}" for state, n in self.states.items() if state != "done"]
        others += [] if self.trained else ["not trained here"]
        return f"{count} ({', '.join(others)})" if others else count


@dataclass(frozen=True)
class Table:
    """A comparison.

    Attributes:
        title: data and preset.
        columns: of numbers.
        rows: the models.
        notes: all that has to be known to read it.
        warnings: those of the notes without which it would be misread.
        sections: further tables, which stand below the notes.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str]
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = ()


def comparison(
    records: Sequence[Record], study: StudyRecord, only: Sequence[str] | None = None
) -> Table:
    """The table of a study: a row per model, mean over seeds, every run accounted for.

    Rows come by kind of model, unsupervised ones first and baselines last. A model with collapsed
    runs has a second row without them. A metric that was scored by two definitions has a column for
    each.

    Args:
        records: of the study.
        study: what its runs share.
        only: names of the columns to show, in their order; all if none are named.

    Raises:
        UnknownNameError: there is no such column.
    """
    records, study = shown(records), shown_study(study)
    kinds = kinds_of(frame(records))
    groups: dict[str, list[Record]] = {label: [] for label in kinds}
    for record in records:
        groups[record.run.label].append(record)
    metrics = Metrics.of(records)
    without_meaning = unreadable(groups, metrics)
    columns = split(columns_of(records, metrics), groups, without_meaning)
    if only is not None:
        columns = chosen(columns, only)
        records = [_with(record, metrics, columns) for record in records]
        metrics = Metrics.of(records)
    sources = {column.source for column in columns}
    without_meaning = {k: labels for k, labels in without_meaning.items() if k in sources}
    numbers = _by_column(frame(records), columns, without_meaning)
    values, sound_values = _values(numbers), _values(numbers[~numbers["collapsed"]])
    keys = [column.key for column in columns]
    comparable = Comparable.of(groups, kinds)
    swept = swept_values(numbers)
    pairs = paired_p_values(swept, list(filter(is_ranked, keys)))
    rankings = comparable.rankings(keys, values, pairs)
    rows = []
    for label, group in groups.items():
        own = {
            key: found.standings[label]
            for key, several in rankings.items()
            for found in several
            if label in found.standings
        }
        cells = _row(label, group, columns, values.get(label, {}))
        rows.append(replace(cells, standings=own))
        sound = [record for record in group if record.status.state != "collapsed"]
        if any(r.scored for r in sound) and len(sound) < len(group):
            named = f"{label} without collapsed"
            rows.append(_row(named, sound, columns, sound_values.get(label, {})))
    title = f"{study.data_name}, preset {study.preset}"
    fewer = _fewer_runs(rows, columns)
    warned, undefined = _warned(records), _undefined(records)
    notes = [*_notes(records, study, metrics), *warned, *undefined]
    notes += unreadable_notes(without_meaning)
    notes += [*comparable.notes(rankings, values, any(pairs.values())), *fewer]
    warnings = [*_budget_warnings(records), *_two_definitions(metrics), *warned, *fewer]
    standings = {row.label: row.standings for row in rows}
    titles = {column.key: column.title for column in columns}
    sections = sections_of(numbers, titles, standings, swept, pairs)
    return Table(title, columns, rows, notes, warnings, sections)


def run_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One flat row per run, for runs.csv; a run without a number has an empty cell."""
    metrics = Metrics.of(records)
    rows = []
    for record in shown(records):
        run = record.run
        rows.append(
            {
                "model": run.label,
                "seed": run.seed,
                "status": record.status.state,
                "message": record.status.message,
                "steps": run.steps,
                "batch_size": run.batch_size,
                **(values_of(record, metrics) if record.scored else {}),
                **{f"seconds.{phase}": s for phase, s in record.status.seconds.items()},
                "run": record.folder.name,
            }
        )
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]


def _by_column(
    numbers: "pd.DataFrame",
    columns: Sequence[Column],
    without_meaning: Mapping[str, Mapping[str, None]],
) -> "pd.DataFrame":
    """The numbers by keys of columns, where one metric has several, and those that can be read."""
    for key, labels in without_meaning.items():
        own = (numbers["metric"] == key) & numbers["label"].isin(list(labels))
        numbers.loc[own, "value"] = math.nan
    for column in columns:
        if column.key != column.source:
            own = (numbers["metric"] == column.source) & numbers["label"].map(column.has)
            numbers.loc[own, "metric"] = column.key
    return numbers


def _values(numbers: "pd.DataFrame") -> dict[str, dict[str, list[float]]]:
    """The numbers of each row of the table, by label and metric."""
    known = numbers[numbers["value"].notna()]
    values: dict[str, dict[str, list[float]]] = {}
    for label, metric, value in zip(known["label"], known["metric"], known["value"], strict=True):
        values.setdefault(label, {}).setdefault(metric, []).append(value)
    return values


def _row(
    label: str,
    group: Sequence[Record],
    columns: Sequence[Column],
    values: Mapping[str, Sequence[float]],
) -> Row:
    cells = {
        key: summarise(values.get(key, []), bounds_of(key), independent=is_independent(key))
        for key in (column.key for column in columns)
    }
    trained = any(record.run.trained for record in group)
    return Row(label, Counter(record.status.state for record in group), cells, trained)


def _with(record: Record, metrics: Metrics, columns: Sequence[Column]) -> Record:
    """The record with the scores of some columns only."""
    keys = {column.source for column in columns}
    scores = {
        name: score
        for name, score in record.scores.items()
        if keys & {metrics.key(score.definition, part) for part in (None, *score.parts)}
    }
    if record.evaluation is None:
        return replace(record, scores=scores)
    undefined = {
        name: entry
        for name, entry in record.evaluation.undefined.items()
        if any(key.partition(" (")[0].partition(".")[0] == name for key in keys)
    }
    evaluation = replace(record.evaluation, undefined=undefined)
    return replace(record, scores=scores, evaluation=evaluation)


def _notes(records: Sequence[Record], study: StudyRecord, metrics: Metrics) -> list[str]:
    preset = PRESETS.get(study.preset)
    about = f": {preset.note}" if preset else ""
    budget = {"steps": study.steps, **study.train}
    changed = ", ".join(f"{key} {value}" for key, value in budget.items() if value is not None)
    notes = [f"Preset {study.preset}{about}{f'; but {changed}' if changed else ''}."]
    notes += _budget_notes(records)
    notes.append(f"Data: {study.source}.")
    spread = any(r.evaluation is not None and r.evaluation.kl is None for r in records)
    without = ", of codes without a KL from 1 % of the largest spread" if spread else ""
    shared = ""
    if not all(is_independent(name) for r in records for name in r.scores):
        shared = " Values that share runs, as those of UDR, have no interval."
    notes.append(
        "Mean over seeds ± standard deviation, and in brackets the 95 % t interval of the mean, "
        f"within the range of the score; with fewer than {ENOUGH} runs instead, in parentheses, "
        f"the runs themselves.{shared} "
        f"Reconstruction and KL in nats per image; a latent is active from 0.1 nats{without}."
    )
    for definition in metrics.definitions.values():
        title = title_of(metrics.key(definition))
        notes.append(f"{title}: {definition_words(definition)}.")
    return notes + _two_definitions(metrics) + _metric_notes(records)


def _budget_notes(records: Sequence[Record]) -> list[str]:
    """How long the rows were trained, and where the others come from."""
    rows = dict.fromkeys(
        (r.run.label, r.run.steps, r.run.batch_size) for r in records if r.run.trained
    )
    budgets = {(steps, batch) for _, steps, batch in rows}
    notes = []
    if len(budgets) == 1:
        ((steps, batch),) = budgets
        notes.append(f"Budget: {steps} steps of {batch} images per run.")
    elif budgets:
        shown = "; ".join(f"{label} {steps} steps of {batch}" for label, steps, batch in rows)
        notes.append(f"Budgets differ: {shown}.")
    runs = [record.run for record in records]
    untrained = [run.label for run in runs if not run.trained and not run.from_file]
    if untrained:
        notes.append(f"Not trained here, only scored: {', '.join(dict.fromkeys(untrained))}.")
    for record in records:
        if record.run.from_file:
            source = record.run.settings["source"]
            measured = (
                record.evaluation is not None and record.evaluation.reconstruction is not None
            )
            of = "; reconstruction and KL are of the images named there" if measured else ""
            notes.append(f"Not trained here: {record.run.label}, from {source}{of}.")
    return notes


def _budget_warnings(records: Sequence[Record]) -> list[str]:
    return [note for note in _budget_notes(records) if note.startswith("Budgets differ")]


def _fewer_runs(
    rows: Sequence[Row],
    columns: Sequence[Column],
) -> list[str]:
    """Numbers that come from fewer runs than their row says; an empty cell speaks for itself."""
    fewer = [
        f"{column.title} of {row.label} {cell.n}"
        for row in rows
        for column in columns
        if (cell := row.cells[column.key]) is not None and cell.n < row.scored
    ]
    return [f"Fewer runs than the row has: {'; '.join(fewer)}."] if fewer else []


def _two_definitions(metrics: Metrics) -> list[str]:
    """Metrics that runs have by different definitions, and the remedy."""
    names = Counter(definition.name for definition in metrics.definitions.values())
    several = [name for name, count in names.items() if count > 1]
    if not several:
        return []
    return [
        f"Scored by several definitions, which are not comparable: "
        f"{', '.join(title_of(name) for name in several)}. To score all runs by one, without "
        f"training: bench evaluate FOLDER --metrics {','.join(several)}."
    ]


def _metric_notes(records: Sequence[Record]) -> list[str]:
    """Chance levels, and models whose continuous latents stood in for a category."""
    notes = []
    chance: dict[str, list[float]] = {}
    binned: list[str] = []
    for record in records:
        for name, score in record.scores.items():
            if score.chance is not None:
                chance.setdefault(name, []).append(score.chance)
            if score.details.get("binned"):
                binned.append(record.run.label)
    if chance:
        levels = "; ".join(f"{title_of(n)} {sum(v) / len(v):.3f}" for n, v in chance.items())
        notes.append(f"Chance: {levels}.")
    if binned:
        models = ", ".join(dict.fromkeys(binned))
        notes.append(
            f"Accuracy of {models}: no categorical latent, so the best continuous latent "
            "in equal-frequency bins."
        )
    return notes


def _warned(records: Sequence[Record]) -> list[str]:
    """Reasons not to trust a score."""
    return _by_model(
        (name, warning, record.run.label)
        for record in records
        for name, score in record.scores.items()
        for warning in score.warnings
    )


def _undefined(records: Sequence[Record]) -> list[str]:
    """Why a model has no score."""
    return _by_model(
        (name, f"undefined, {entry.reason}", record.run.label)
        for record in records
        if record.evaluation is not None
        for name, entry in record.evaluation.undefined.items()
        if name not in record.scores
    )


def _by_model(told: Iterable[tuple[str, str, str]]) -> list[str]:
    """A note per metric and text, from triples of metric, text and label."""
    labels: dict[tuple[str, str], list[str]] = {}
    for name, text, label in told:
        labels.setdefault((name, text), []).append(label)
    return [
        f"{title_of(name)} of {', '.join(dict.fromkeys(own))}: {text}."
        for (name, text), own in labels.items()
    ]
