"""The representations that runs have stored -> new scores, without training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.agreement import score_agreement
from bench.errors import RequestError
from bench.evaluation.files import (
    Scored,
    Scoring,
    Watch,
    definitions_of,
    merged,
    score_all,
    summary,
    with_options,
)
from bench.evaluation.reading import what_was_read
from bench.metrics import STUDY_METRICS
from bench.score import evaluated_names, usual
from bench.settings import parse
from bench.store.claims import locked
from bench.store.record import (
    REPRESENTATION,
    SETTINGS,
    Definition,
    Record,
    ScoreRecord,
    read_record,
    read_records,
    write_scores,
)
from bench.store.representation import read_representation
from bench.store.study import is_study, unwritable

# Scores of runs stay with the runs.
COPY = "score a copy of the folder elsewhere"


def holds_runs(folder: Path) -> bool:
    """Whether a folder is that of a run or of a study."""
    return (folder / SETTINGS).exists() or is_study(folder)


def evaluate_runs(
    folder: Path, scoring: Scoring, watch: Watch = lambda what: None
) -> dict[str, Scored]:
    """Score the stored representations of a run's or a study's folder, and store the scores.

    In a study, runs without a stored representation are passed over.

    Args:
        folder: of the run or the study.
        scoring: what to score by. Without metrics a run is scored by those that it has, with their
            options.
        watch: called with what is being done.

    Returns:
        By the name of the run's folder.

    Raises:
        RequestError: something cannot be read or written, or there is nothing to score.
    """
    study = _study_of(folder)
    with locked(study or folder, COPY):
        records = read_records(folder) if study == folder else [read_record(folder)]
        records = [record for record in records if (record.folder / REPRESENTATION).exists()]
        if not records:
            raise RequestError(
                f"{folder} holds no {REPRESENTATION}: train again, bench run stores it"
            )
        planned = {record.folder.name: _planned(record, scoring) for record in records}
        results = {
            record.folder.name: _score_run(record, planned[record.folder.name], scoring, watch)
            for record in records
        }
        comparing = {
            definition.name: definition
            for definitions in planned.values()
            for definition in definitions
            if definition.name in STUDY_METRICS
        }
        for name, definition in comparing.items():
            watch(name)
            if study != folder:
                reason = {name: "compares the runs of a study: name the study's folder"}
                results = {run: _joined(result, {}, reason) for run, result in results.items()}
                continue
            try:
                scores, reasons = score_agreement(records, definition, again=True)
            except OSError as error:
                raise unwritable(folder, error, COPY) from error
            for record in records:
                run, label = record.folder.name, record.run.label
                new = {name: scores[run]} if run in scores else {}
                reason = {name: f"{label}: {reasons[label]}"} if label in reasons else {}
                results[run] = _joined(results[run], new, reason)
    return results


def _planned(record: Record, scoring: Scoring) -> list[Definition]:
    """The definitions by which a run is scored: those that are named, or those that it has.

    The latter in their present version, with the options of the run's scores that are not set.
    """
    if scoring.metrics is not None or not record.scores:
        return definitions_of(evaluated_names(scoring.metrics), scoring)
    set_ = {(a.owner, a.key) for a in parse("--set", scoring.sets)}
    planned = []
    for definition in definitions_of(list(record.scores), scoring):
        stored = record.scores[definition.name].definition.options
        options = {key: v for key, v in stored.items() if (definition.name, key) not in set_}
        planned.append(with_options(definition, options))
    return planned


def _score_run(
    record: Record, definitions: Sequence[Definition], scoring: Scoring, watch: Watch
) -> Scored:
    """Score one run by the metrics that compare no runs, and store its scores."""
    run = record.run
    path = record.folder / REPRESENTATION
    try:
        representation = read_representation(path)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read ({error}): train again") from error
    if scoring.metrics is None and not record.scores:
        definitions = usual(definitions, representation)
    representation = merged(representation, scoring.merges, str(path))
    scores, undefined = score_all(
        representation,
        definitions,
        run.seed if scoring.seed is None else scoring.seed,
        scoring.resamples,
        lambda what: watch(f"{run.title}: {what}"),
        scoring.chance,
    )
    try:
        write_scores(record.folder, {**record.scores, **scores})
    except OSError as error:
        raise unwritable(record.folder, error, COPY) from error
    title = f"{run.title}, {summary(representation)}"
    return Scored(title, scores, undefined, what_was_read(representation))


def _joined(
    scored: Scored, scores: Mapping[str, ScoreRecord], undefined: Mapping[str, str]
) -> Scored:
    return replace(
        scored,
        scores={**scored.scores, **scores},
        undefined={**scored.undefined, **undefined},
    )


def _study_of(folder: Path) -> Path | None:
    """The study's folder that a folder is, or lies in the runs of."""
    if is_study(folder):
        return folder
    above = folder.absolute().parent.parent
    return above if is_study(above) else None
