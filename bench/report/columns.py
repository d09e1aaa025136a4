"""The columns of a table: which numbers a record has, and what they are called."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.metrics import TITLES, UNBOUNDED
from bench.store.record import Definition, Record, ScoreRecord

_EVALUATION = {
    "reconstruction": ("Reconstruction", 1),
    "kl_total": ("KL", 1),
    "active_latents": ("Active latents", 1),
}


@dataclass(frozen=True)
class Column:
    """A number of each run.

    Attributes:
        key: of `values_of`.
        title: the heading.
        digits: decimal places shown.
        is_score: whether it is a score, or else a fact about the training.
    """

    key: str
    title: str
    digits: int
    is_score: bool = True


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
        definitions = {
            _identity(score.definition): score.definition
            for record in records
            for score in record.scores.values()
        }
        distinctions = {}
        for identity, definition in definitions.items():
            rivals = [d for d in definitions.values() if d.name == definition.name]
            words = f" ({_distinction(definition, rivals)})" if len(rivals) > 1 else ""
            distinctions[identity] = words
        return cls(definitions, distinctions)

    def key(self, definition: Definition, part: str | None = None) -> str:
        """`mig`, `discrete_accuracy.one_to_one`, or with two definitions `mig (bins=20)`."""
        name = definition.name if part is None else f"{definition.name}.{part}"
        return name + self.distinctions.get(_identity(definition), "")


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


def columns_of(records: Sequence[Record], metrics: Metrics) -> list[Column]:
    """All columns of a table: scores in the order of the records, then the evaluation."""
    parts: dict[str, list[str]] = {metrics.key(d): [] for d in metrics.definitions.values()}
    for record in records:
        for score in record.scores.values():
            definition = score.definition
            parts[metrics.key(definition)] += [metrics.key(definition, p) for p in score.parts]
    keys = [key for whole, own in parts.items() for key in (whole, *dict.fromkeys(own))]
    scores = [Column(key, title_of(key), 3) for key in keys]
    return [*scores, *(Column(k, *shown, is_score=False) for k, shown in _EVALUATION.items())]


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
    for key in _EVALUATION:
        measured: float | None = getattr(record.evaluation, key, None)  # which may be lost
        if measured is not None:
            yield Value(key, measured)


def title_of(key: str) -> str:
    """The heading of a column; what sets two definitions apart is kept behind it."""
    if key in _EVALUATION:
        return _EVALUATION[key][0]
    name, space, distinction = key.partition(" (")
    return TITLES.get(name, name.rpartition(".")[2].replace("_", " ")) + space + distinction


def is_part(key: str) -> bool:
    """Whether a column holds a part of a score; the tables have those, the plots do not."""
    return "." in key.partition(" (")[0]


def is_bounded(key: str) -> bool:
    """Whether a column's values are known to lie between 0 and 1."""
    name = key.partition(" (")[0]
    return name in TITLES and name not in UNBOUNDED


def definition_words(definition: Definition) -> str:
    """`version 1 (bins 20, points 10000)`, and which classes were merged."""
    options = ", ".join(f"{k} {v}" for k, v in definition.options.items())
    merged = f", merged {', '.join(definition.merge)}" if definition.merge else ""
    own = [definition.package or "", f"code {definition.code[:8]}" if definition.code else ""]
    source = "".join(f", {words}" for words in own if words)
    return f"version {definition.version}{f' ({options})' if options else ''}{merged}{source}"


def _identity(definition: Definition) -> str:
    parts: list[Any] = [definition.name, definition.version, definition.options, definition.merge]
    parts += [definition.code, definition.package]
    return json.dumps(parts, sort_keys=True)


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
    if any(rival.version != definition.version for rival in rivals):
        differences.append(f"version {definition.version}")
    if any(rival.package != definition.package for rival in rivals):
        differences.append(definition.package or "no package")
    if any(rival.code != definition.code for rival in rivals):
        differences.append(f"code {(definition.code or 'unknown')[:8]}")
    return ", ".join(differences)
