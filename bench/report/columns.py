"""What is shown of records: which numbers they have, and under which names."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from bench.errors import UnknownNameError
from bench.metrics import STUDY_METRICS, TITLES, UNBOUNDED
from bench.store.record import Definition, Record, ScoreRecord
from bench.store.study import StudyRecord

# An absolute path within a text, up to its last folder. A path may hold spaces; what describes the
# data goes on after a comma or a semicolon.
_FOLDERS = re.compile(r"(?<!\S)(?:/|[A-Za-z]:[/\\])(?:[^,;/\\]+[/\\]+)+(?=[^,;/\\])")

_EVALUATION = {
    "reconstruction": ("Reconstruction", 1),
    "kl_total": ("KL", 1),
    "active_latents": ("Active latents", 1),
}
# shown only where there are any
_EVALUATION_APART = {
    "seen_reconstruction": ("Reconstruction, seen", 1),
    "unseen_reconstruction": ("Reconstruction, unseen", 1),
}


@dataclass(frozen=True)
class Column:
    """A number of each run.

    Attributes:
        key: of the cells of a table.
        title: the heading.
        digits: decimal places shown.
        is_score: whether it is a score, or else a fact about the training.
        metric: key of `values_of`, where it is another.
        labels: the rows that may have a number here; all if there is nothing.
    """

    key: str
    title: str
    digits: int
    is_score: bool = True
    metric: str | None = None
    labels: frozenset[str] | None = None

    @property
    def source(self) -> str:
        """The key of `values_of`."""
        return self.metric or self.key

    def has(self, label: str) -> bool:
        """Whether a row may have a number here."""
        return self.labels is None or label in self.labels


@dataclass(frozen=True)
class Metrics:
    """The metrics of some records, by definition: two definitions never share a key.

    Attributes:
        definitions: by identity.
        distinctions: by identity, what sets each definition apart from others of the same name;
            empty if there are none.
    """

    definitions: Mapping[str, Definition]
    distinctions: Mapping[str, str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Metrics":
        found = {
            score.definition.identity: score.definition
            for record in records
            for score in record.scores.values()
        }
        order = in_order(
            [score.definition.identity for score in record.scores.values()] for record in records
        )
        definitions = {identity: found[identity] for identity in order}
        distinctions = {}
        for identity, definition in definitions.items():
            rivals = [d for d in definitions.values() if d.name == definition.name]
            words = f" ({_distinction(definition, rivals)})" if len(rivals) > 1 else ""
            distinctions[identity] = words
        return cls(definitions, distinctions)

    def key(self, definition: Definition, part: str | None = None) -> str:
        """`mig`, `discrete_accuracy.one_to_one`, or with two definitions `mig (bins=20)`."""
        name = definition.name if part is None else f"{definition.name}.{part}"
        return name + self.distinctions.get(definition.identity, "")


@dataclass(frozen=True)
class Value:
    """A number of a scored run.

    Attributes:
        key: of its column.
        number: the value itself.
        score: that it belongs to; None of a fact about the training.
        part: of the score; None of the score itself.
    """

    key: str
    number: float
    score: ScoreRecord | None = None
    part: str | None = None


def in_order(lists: Iterable[Sequence[str]]) -> list[str]:
    """All names in the order of the longest list, and then those of the next.

    The first score sorts what is shown. A run with few scores, such as codes from elsewhere, does
    not decide which it is.
    """
    longest_first = sorted(lists, key=len, reverse=True)
    return list(dict.fromkeys(chain.from_iterable(longest_first)))


def columns_of(records: Sequence[Record], metrics: Metrics) -> list[Column]:
    """All columns of a table: scores in the order of `in_order`, then the evaluation."""
    parts: dict[str, list[str]] = {metrics.key(d): [] for d in metrics.definitions.values()}
    for record in records:
        for score in record.scores.values():
            definition = score.definition
            parts[metrics.key(definition)] += [metrics.key(definition, p) for p in score.parts]
    keys = [key for whole, own in parts.items() for key in (whole, *dict.fromkeys(own))]
    scores = [Column(key, title_of(key), 3) for key in keys]
    apart = any(record.evaluation and record.evaluation.unseen for record in records)
    facts = _EVALUATION | (_EVALUATION_APART if apart else {})
    return [*scores, *(Column(k, *shown, is_score=False) for k, shown in facts.items())]


def chosen(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns of these names, in this order: keys, also without what sets definitions apart.

    Raises:
        UnknownNameError: there is no such column.
    """
    found: dict[str, Column] = {}
    for name in names:
        own = [c for c in columns if name in (c.key, c.key.partition(" (")[0])]
        if not own:
            raise UnknownNameError("column", name, [column.key for column in columns])
        found |= {column.key: column for column in own}
    return list(found.values())


def score_columns(records: Sequence[Record]) -> list[Column]:
    """The columns that hold scores, in the order of the table."""
    return [column for column in columns_of(records, Metrics.of(records)) if column.is_score]


def values_of(record: Record, metrics: Metrics) -> dict[str, float]:
    """The numbers of one scored run by column key."""
    return {value.key: value.number for value in each_value(record, metrics)}


def each_value(record: Record, metrics: Metrics) -> Iterator[Value]:
    """The numbers of one scored run: each score and its parts, then the evaluation."""
    for score in record.scores.values():
        key = metrics.key(score.definition)
        yield Value(key, score.value, score)
        name = score.definition.name
        for part, number in score.parts.items():
            yield Value(f"{name}.{part}{key.removeprefix(name)}", number, score, part)
    for key in (*_EVALUATION, *_EVALUATION_APART):
        measured: float | None = getattr(record.evaluation, key, None)  # which may be lost
        if measured is not None:
            yield Value(key, measured)


def title_of(key: str) -> str:
    """The heading of a column; what sets two definitions apart is kept behind it."""
    for facts in (_EVALUATION, _EVALUATION_APART):
        if key in facts:
            return facts[key][0]
    name, space, distinction = key.partition(" (")
    return TITLES.get(name, name.rpartition(".")[2].replace("_", " ")) + space + distinction


def is_part(key: str) -> bool:
    """Whether a column holds a part of a score; the tables have those, the plots do not."""
    return "." in key.partition(" (")[0]


def is_bounded(key: str) -> bool:
    """Whether a column's values are known to lie between 0 and 1."""
    name = key.partition(" (")[0]
    return name in TITLES and name not in UNBOUNDED


def bounds_of(key: str) -> tuple[float, float] | None:
    """The smallest and largest value that a column may hold, where that is known."""
    if is_bounded(key):
        return 0.0, 1.0
    return (0.0, math.inf) if key in ("kl_total", "active_latents") else None


def is_independent(key: str) -> bool:
    """Whether no two values of a column are computed from the same run."""
    return key.partition(" (")[0].partition(".")[0] not in STUDY_METRICS


def is_ranked(key: str) -> bool:
    """Whether models are ranked by a column: scores of [0, 1] of runs on their own.

    Of all these, higher is better; of what has no known range, that is not known either.
    """
    return is_bounded(key) and is_independent(key)


def definition_words(definition: Definition) -> str:
    """`version 1 (bins 20, points 10000)`, which classes were merged, how vectors were reduced."""
    options = ", ".join(f"{k} {v}" for k, v in definition.options.items())
    merged = f", merged {', '.join(definition.merge)}" if definition.merge else ""
    merged += f", vectors reduced by {definition.reduce}" if definition.reduce else ""
    own = [definition.package or "", f"code {definition.code[:8]}" if definition.code else ""]
    source = "".join(f", {words}" for words in own if words)
    return f"version {definition.version}{f' ({options})' if options else ''}{merged}{source}"


def _distinction(definition: Definition, rivals: Sequence[Definition]) -> str:
    """What sets a definition apart from the others of its metric."""
    options = definition.options
    differences = [
        f"{key}={options[key]}" if key in options else f"no {key}"
        for key in dict.fromkeys(key for rival in rivals for key in rival.options)
        if any(rival.options.get(key) != options.get(key) for rival in rivals)
    ]
    if any(rival.merge != definition.merge for rival in rivals):
        differences.append(f"merged {', '.join(definition.merge or ['nothing'])}")
    if any(rival.reduce != definition.reduce for rival in rivals):
        differences.append(definition.reduce or "vectors as they are")
    if any(rival.version != definition.version for rival in rivals):
        differences.append(f"version {definition.version}")
    if any(rival.package != definition.package for rival in rivals):
        differences.append(definition.package or "no package")
    if any(rival.code != definition.code for rival in rivals):
        differences.append(f"code {(definition.code or 'unknown')[:8]}")
    return ", ".join(differences)


# --- names that people gave: on one line, without their folders


def shown(records: Sequence[Record]) -> list[Record]:
    """The records under the names that tables and pictures show.

    Of two models in files of the same name, each keeps the folders that tell them apart. Settings
    that were swept are named in all rows of the model, as `named` does it.
    """
    records = named(records)
    models = _shortest([record.run.model for record in records])
    renamed = []
    for record in records:
        run = record.run
        changed = {key: _value(value) for key, value in run.changed.items()}
        other = replace(
            run,
            model=models[run.model],
            dataset=_path_shown(run.dataset),
            changed=changed,
            display_name=one_line(run.display_name),
        )
        renamed.append(record if other == run else replace(record, run=other))
    return renamed


def named(records: Sequence[Record]) -> list[Record]:
    """The records under labels that name all swept settings of a model, also the preset's values.

    A run that has the preset's value of a setting which other runs of its model do not have is
    stored without it: whether there are others is not known of a run alone.
    """
    settings: dict[str, dict[str, None]] = {}
    for record in records:
        settings.setdefault(record.run.shown_model, {}).update(dict.fromkeys(record.run.changed))
    renamed = []
    for record in records:
        run = record.run
        keys = [
            key for key in settings[run.shown_model] if key in (run.settings.keys() | run.changed)
        ]
        if len(keys) > len(run.changed):
            changed = {key: run.changed.get(key, run.settings.get(key)) for key in keys}
            record = replace(record, run=replace(run, changed=changed))
        renamed.append(record)
    return renamed


def shown_study(study: StudyRecord) -> StudyRecord:
    """The study with the names of its files instead of their places."""
    source = study.source.replace(study.dataset, _path_shown(study.dataset))
    return replace(
        study, dataset=_path_shown(study.dataset), source=_FOLDERS.sub("", one_line(source))
    )


def one_line(text: str) -> str:
    """The text with spaces for line breaks and tabs, and `?` for what no table can show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def _value(value: Any) -> Any:
    return _path_shown(value) if isinstance(value, str) else value


def _shortest(names: Iterable[str]) -> dict[str, str]:
    """Each name without the folders of an absolute path, but for those that tell two apart."""
    names = list(dict.fromkeys(names))
    depth = {name: 1 for name in names}
    while True:
        short = {name: _path_shown(name, depth[name]) for name in names}
        by_short: dict[str, list[str]] = {}
        for name, text in short.items():
            by_short.setdefault(text, []).append(name)
        alike = [name for group in by_short.values() if len(group) > 1 for name in group]
        longer = [name for name in alike if _path_shown(name, depth[name] + 1) != short[name]]
        if not longer:
            return short
        for name in longer:
            depth[name] += 1


def _path_shown(text: str, depth: int = 1) -> str:
    """The last parts of an absolute path; any other text as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and depth < len(path.parts):
            return one_line("/".join(path.parts[-depth:]))
    return one_line(text)
