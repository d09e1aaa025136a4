"""Where one's own model stands among the models of another study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.compare.studies import Source, changed_study, check_data, numbers_of, summary_of
from bench.errors import RequestError, UnknownNameError
from bench.report.columns import (
    Column,
    Metrics,
    columns_of,
    definition_words,
    is_ranked,
    title_of,
)
from bench.report.frame import BASELINES, frame, kinds_of
from bench.report.statistics import (
    CONFIDENCE,
    ENOUGH,
    Improvement,
    Summary,
    holm,
    improvement,
    welch,
)
from bench.report.table.comparable import Comparable
from bench.store.record import Record


@dataclass(frozen=True)
class Place:
    """Where a model stands in one score.

    Attributes:
        title: of the score.
        metric: its key.
        own: the model's values over seeds.
        first: the best rank that the model may have.
        last: the worst.
        of: the number of models, this one included.
        above: models that it is separated from and better than.
        tied: models that it is not separated from.
        below: models that it is separated from and worse than.
        improvements: by model, how likely a run of one's own is better.
    """

    title: str
    metric: str
    own: Summary
    first: int
    last: int
    of: int
    above: Sequence[str]
    tied: Sequence[str]
    below: Sequence[str]
    improvements: Mapping[str, Improvement] = field(default_factory=dict)


@dataclass(frozen=True)
class Placing:
    """Where one's own model stands among the models of a study.

    Attributes:
        model: its row.
        runs: how many of its runs are scored.
        studies: folders of the model's study and of the known models' one.
        places: by score, those that both studies have by one definition.
        notes: what has to be known to read them.
    """

    model: str
    runs: int
    studies: tuple[str, str]
    places: Sequence[Place]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def place(own: Path, known: Path, model: str) -> Placing:
    """Where a model of one study stands among the models of another.

    Each known model is compared with it by Welch's test, with Holm's correction over the models of
    a score. Baselines are left out, and so are rows of fewer than three runs.

    Args:
        own: folder of the study with the model.
        known: folder of the other.
        model: a row of the first study, as it was named to `bench run` or as tables show it.

    Raises:
        UnknownNameError: the study has no such row.
        RequestError: a folder holds no study or no run, the two are of different data, or the model
            has fewer than three runs that are scored.
    """
    sources = Source.read(own), Source.read(known)
    check_data(*sources)
    label = _label(sources[0], model)
    mine = sources[0].groups[label]
    scored = sum(record.scored for record in mine)
    if scored < ENOUGH:
        raise RequestError(
            f"{label} has {scored} scored runs in {own}: a comparison needs at least {ENOUGH} "
            f"(bench run --seeds {ENOUGH})"
        )
    metrics = Metrics.of([*mine, *sources[1].records])
    values = numbers_of(sources[0], metrics)[label], numbers_of(sources[1], metrics)
    kinds = kinds_of(frame(sources[1].records))
    rivals = [name for name in kinds if kinds[name] != BASELINES]
    few = [n for n in rivals if sum(r.scored for r in sources[1].groups[n]) < ENOUGH]
    together = _together(sources[1], label, mine, [n for n in rivals if n not in few])
    places = [
        _place(column, values[0][column.key], values[1], together.alike(_OWN, column.key))
        for column in columns_of(mine, metrics)
        if is_ranked(column.key) and len(values[0].get(column.key, ())) >= ENOUGH
    ]
    notes = [*_placing_notes(sources, label, mine), *_unlike(together)]
    if few:
        notes.append(f"Not compared, as they have fewer than {ENOUGH} runs: {', '.join(few)}.")
    present = [found for found in places if found.of > 1]
    return Placing(label, scored, (str(own), str(known)), present, notes)


def _label(source: Source, model: str) -> str:
    """The row that a name means: as tables show it, or as the model was named to `bench run`."""
    labels = list(source.groups)
    if model in labels:
        return model
    file, colon, name = model.rpartition(":")
    wanted = {model.removeprefix("./"), f"{Path(file).resolve()}{colon}{name}"}
    meant = [
        label
        for label, group in source.groups.items()
        for stored in (group[0].run.model, source.names[group[0].run.model])
        if stored.removeprefix("./") in wanted
    ]
    meant = list(dict.fromkeys(meant))
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise RequestError(f"several rows of {source.folder} are {model}: name one of {meant}")
    raise UnknownNameError("model", model, labels)


def _place(
    column: Column,
    own: Sequence[float],
    values: Mapping[str, Mapping[str, Sequence[float]]],
    rivals: Sequence[str],
) -> Place:
    others = {
        name: sample
        for name in rivals
        if len(sample := values.get(name, {}).get(column.key, ())) >= ENOUGH
    }
    found = [welch(own, sample) for sample in others.values()]
    corrected = holm([difference.p for difference in found])
    groups: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    for name, difference, p in zip(others, found, corrected, strict=True):
        groups[0 if p >= 1 - CONFIDENCE else 1 if difference.mean > 0 else -1].append(name)
    return Place(
        title=column.title,
        metric=column.key,
        own=summary_of(column.key, own),
        first=1 + len(groups[-1]),
        last=1 + len(others) - len(groups[1]),
        of=1 + len(others),
        above=groups[1],
        tied=groups[0],
        below=groups[-1],
        improvements={name: improvement(own, sample) for name, sample in others.items()},
    )


def _placing_notes(sources: tuple[Source, Source], label: str, mine: Sequence[Record]) -> list[str]:
    """What of the model's study and scores is not as that of the known ones."""
    notes = [f"{words}." for words in changed_study(*sources)]
    own = {score.definition.name: score.definition for r in mine for score in r.scores.values()}
    theirs: dict[str, list[Any]] = {}
    for record in sources[1].records:
        for name, score in record.scores.items():
            if score.definition not in theirs.setdefault(name, []):
                theirs[name].append(score.definition)
    for name, definition in own.items():
        if name in theirs and definition not in theirs[name]:
            other = " and ".join(map(definition_words, theirs[name]))
            notes.append(
                f"{title_of(name)} is not compared, as it has another definition: "
                f"{definition_words(definition)} / {other}."
            )
        elif name not in theirs:
            notes.append(f"{title_of(name)} is not compared, as only {label} has it.")
    return notes


_OWN = ""  # the label of one's own model among those of the other study, which may have it too


def _together(
    known: Source, label: str, mine: Sequence[Record], rivals: Sequence[str]
) -> Comparable:
    """One's own row among those of the other study."""
    kinds = {**kinds_of(frame(known.records)), _OWN: kinds_of(frame(mine))[label]}
    return Comparable.of({_OWN: mine, **{n: known.groups[n] for n in rivals}}, kinds)


def _unlike(together: Comparable) -> list[str]:
    """Which rows are not of the same kind as one's own; a baseline is of no kind."""
    notes = []
    for fact, by_label in together.facts.items():
        own = by_label.get(_OWN)
        if others := [n for n, value in by_label.items() if own is not None and value != own]:
            notes.append(
                f"Not of equal {fact} ({own} here), and yet compared: {', '.join(others)}."
            )
    own = together.categories.get(_OWN)
    unlike = [n for n, words in together.categories.items() if own and words and words != own]
    if unlike:
        notes.append(
            f"Not compared in accuracies, which are of other numbers of categories ({own} here): "
            f"{', '.join(unlike)}."
        )
    return notes
