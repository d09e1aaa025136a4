"""The comparison table: a function of records."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.presets import PRESETS
from bench.records import Record
from bench.statistics import Summary, summarise

_TITLES = {
    "mig": "MIG",
    "factorvae_score": "FactorVAE score",
    "discrete_accuracy": "Accuracy, majority",
    "discrete_accuracy.one_to_one": "Accuracy, one-to-one",
}
_EVALUATION = {
    "reconstruction": ("Reconstruction", 1),
    "kl_total": ("KL", 1),
    "active_latents": ("Active latents", 1),
}


@dataclass(frozen=True)
class Column:
    """A number of each run: `key` of `values_of`, its title, and the digits shown."""

    key: str
    title: str
    digits: int
    is_score: bool = True


@dataclass(frozen=True)
class Row:
    """A model (or a variant of it): its runs by status, and the summary of each column."""

    label: str
    states: Mapping[str, int]
    cells: Mapping[str, Summary | None]

    @property
    def scored(self) -> int:
        return self.states.get("done", 0) + self.states.get("collapsed", 0)

    @property
    def runs(self) -> str:
        """How many runs stand behind the numbers, and what became of the others."""
        asked = sum(self.states.values())
        count = f"{self.scored}" if self.scored == asked else f"{self.scored} of {asked}"
        others = [f"{n} {state}" for state, n in self.states.items() if state != "done"]
        return f"{count} ({', '.join(others)})" if others else count


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str]


def comparison(records: Sequence[Record], study: Mapping[str, Any]) -> Table:
    """The table of a study: a row a model, mean over seeds, every run accounted for.

    A model with collapsed runs has a second row without them. A metric that was scored by two
    definitions has a column for each.
    """
    metrics = Metrics.of(records)
    columns = _columns(records, metrics)
    rows = []
    for label in dict.fromkeys(record.run.label for record in records):
        group = [record for record in records if record.run.label == label]
        rows.append(_row(label, group, columns, metrics))
        sound = [record for record in group if record.status.state != "collapsed"]
        if any(r.scored for r in sound) and len(sound) < len(group):
            rows.append(_row(f"{label} without collapsed", sound, columns, metrics))
    title = f"{study['dataset']}, preset {study['preset']}"
    notes = [*_notes(records, study, metrics), *_fewer_runs(rows, columns)]
    return Table(title, columns, rows, notes)


def values_of(record: Record, metrics: "Metrics") -> dict[str, float]:
    """The numbers of one scored run by column key."""
    values: dict[str, float] = {}
    for score in record.scores.values():
        definition = score["definition"]
        values[metrics.key(definition)] = score["value"]
        values |= {metrics.key(definition, p): value for p, value in score["parts"].items()}
    return values | {key: record.evaluation[key] for key in _EVALUATION}


def run_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One flat row a run, for runs.csv; a run without a number has an empty cell."""
    metrics = Metrics.of(records)
    rows = []
    for record in records:
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


def score_columns(records: Sequence[Record]) -> list[Column]:
    """The columns that hold scores, in the order of the table."""
    return [column for column in _columns(records, Metrics.of(records)) if column.is_score]


@dataclass(frozen=True)
class Metrics:
    """The metrics of some records, by definition: two definitions never share a key.

    definitions: by identity; apart: what sets each apart from others of its name, or nothing.
    """

    definitions: Mapping[str, Mapping[str, Any]]
    apart: Mapping[str, str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Metrics":
        found = {
            _identity(score["definition"]): score["definition"]
            for record in records
            for score in record.scores.values()
        }
        apart = {}
        for identity, definition in found.items():
            rivals = [d for d in found.values() if d["name"] == definition["name"]]
            apart[identity] = f" ({_distinction(definition, rivals)})" if len(rivals) > 1 else ""
        return cls(found, apart)

    def key(self, definition: Mapping[str, Any], part: str | None = None) -> str:
        """`mig`, `discrete_accuracy.one_to_one`, or with two definitions `mig (bins=20)`."""
        name = definition["name"] if part is None else f"{definition['name']}.{part}"
        return name + self.apart[_identity(definition)]


def title_of(key: str) -> str:
    """`factorvae_score` is `FactorVAE score`; what sets two definitions apart stays behind it."""
    name, space, apart = key.partition(" (")
    return _TITLES.get(name, name.rpartition(".")[2].replace("_", " ")) + space + apart


def _identity(definition: Mapping[str, Any]) -> str:
    return json.dumps([definition[k] for k in ("name", "version", "options")], sort_keys=True)


def _distinction(definition: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> str:
    """What sets a definition apart from the others of its metric."""
    apart = [
        f"{key}={value}"
        for key, value in definition["options"].items()
        if any(rival["options"].get(key) != value for rival in rivals)
    ]
    if any(rival["version"] != definition["version"] for rival in rivals):
        apart.append(f"version {definition['version']}")
    return ", ".join(apart)


def _row(label: str, group: Sequence[Record], columns: Sequence[Column], metrics: Metrics) -> Row:
    scored = [values_of(record, metrics) for record in group if record.scored]
    cells = {
        column.key: summarise([values[column.key] for values in scored if column.key in values])
        for column in columns
    }
    return Row(label, Counter(record.status.state for record in group), cells)


def _columns(records: Sequence[Record], metrics: Metrics) -> list[Column]:
    parts: dict[str, list[str]] = {metrics.key(d): [] for d in metrics.definitions.values()}
    for record in records:
        for score in record.scores.values():
            definition = score["definition"]
            parts[metrics.key(definition)] += [metrics.key(definition, p) for p in score["parts"]]
    keys = [key for whole, own in parts.items() for key in (whole, *dict.fromkeys(own))]
    scores = [Column(key, title_of(key), 3) for key in keys]
    return [*scores, *(Column(k, *shown, is_score=False) for k, shown in _EVALUATION.items())]


def _notes(records: Sequence[Record], study: Mapping[str, Any], metrics: Metrics) -> list[str]:
    preset = PRESETS.get(study["preset"])
    notes = [
        f"Preset {study['preset']}: {preset.note}." if preset else f"Preset {study['preset']}."
    ]
    budgets = {(r.run.steps, r.run.batch_size): None for r in records}
    if len(budgets) == 1:
        ((steps, batch),) = budgets
        notes.append(f"Budget: {steps} steps of {batch} images a run.")
    else:
        each = dict.fromkeys((r.run.label, r.run.steps, r.run.batch_size) for r in records)
        shown = "; ".join(f"{label} {steps} steps of {batch}" for label, steps, batch in each)
        notes.append(f"Budgets differ: {shown}.")
    notes.append(f"Data: {study['source']}.")
    notes.append(
        "Mean over seeds ± standard deviation, and in brackets the 95 % t interval of the mean. "
        "Reconstruction and KL in nats an image; a latent is active from 0.1 nats."
    )
    for definition in metrics.definitions.values():
        options = ", ".join(f"{k} {v}" for k, v in definition["options"].items())
        by = f" ({options})" if options else ""
        notes.append(f"{title_of(metrics.key(definition))}: version {definition['version']}{by}.")
    return notes + _metric_notes(records)


def _fewer_runs(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Numbers behind which stand fewer runs than their row says; an empty cell says so itself."""
    fewer = [
        f"{column.title} of {row.label} {cell.n}"
        for row in rows
        for column in columns
        if (cell := row.cells[column.key]) is not None and cell.n < row.scored
    ]
    return [f"Fewer runs than the row has: {'; '.join(fewer)}."] if fewer else []


def _metric_notes(records: Sequence[Record]) -> list[str]:
    """Chance levels, and models whose continuous latents stood in for a category."""
    notes = []
    chance: dict[str, list[float]] = {}
    binned = []
    for record in records:
        for name, score in record.scores.items():
            if score["details"].get("chance") is not None:
                chance.setdefault(name, []).append(score["details"]["chance"])
            if score["details"].get("binned"):
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
