"""Scores of the representations that runs have stored, without training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.agreement import score_agreement
from bench.errors import RequestError
from bench.evaluate.files import (
    Evaluation,
    Request,
    Scores,
    Tell,
    definitions_of,
    merged,
    named,
    scored,
    shape,
)
from bench.metrics import STUDY_METRICS
from bench.score import evaluated_names
from bench.settings import parse
from bench.store import record as records
from bench.store.files import write_json
from bench.store.record import Record, read_record, read_records
from bench.store.representation import read_representation
from bench.store.study import STUDY, locked, unwritable

# Scores of runs stay with the runs.
COPY = "score a copy of the folder elsewhere"


def evaluate_runs(request: Request, tell: Tell) -> dict[str, Evaluation]:
    """Score the stored representations of a run's or a study's folder anew, and store the scores.

    Without metrics named those that the runs have, with their options. In a study a run without
    a stored representation is passed over.

    Returns:
        By the name of the run's folder.

    Raises:
        RequestError: something cannot be read or written, or there is nothing to score.
    """
    folder = request.target
    if request.factors is not None or request.kinds:
        raise RequestError(f"{folder} is a run's folder, which has its factors: leave them out")
    study = _study_of(folder)
    with locked(study or folder, COPY):
        found = read_records(folder) if study == folder else [read_record(folder)]
        stored = [r for r in found if (r.folder / records.REPRESENTATION).exists()]
        if not stored:
            raise RequestError(
                f"{folder} holds no {records.REPRESENTATION}: train again, bench run stores it"
            )
        plans = {record.folder.name: _planned(record, request) for record in stored}
        made = {
            record.folder.name: _rescored(record, plans[record.folder.name], request, tell)
            for record in stored
        }
        across = {
            asked["name"]: asked
            for plan in plans.values()
            for asked in plan
            if asked["name"] in STUDY_METRICS
        }
        for name, asked in across.items():
            tell(name)
            if study != folder:
                refused = {name: "compares the runs of a study: name the study's folder"}
                made = {run: _joined(each, {}, refused) for run, each in made.items()}
                continue
            try:
                scores, reasons = score_agreement(stored, asked, anew=True)
            except OSError as error:
                raise unwritable(folder, error, COPY) from error
            for record in stored:
                run, label = record.folder.name, record.run.label
                new = {name: scores[run]} if run in scores else {}
                refused = {name: f"{label}: {reasons[label]}"} if label in reasons else {}
                made[run] = _joined(made[run], new, refused)
    return made


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or of a study."""
    return (folder / records.SETTINGS).exists() or (folder / STUDY).exists()


def _planned(record: Record, request: Request) -> list[dict[str, Any]]:
    """The definitions by which a run is scored: those asked for, or those it has.

    The latter in the present version, with the options that the run's scores have.
    """
    if request.metrics is not None or not record.scores:
        return definitions_of(evaluated_names(request.metrics), request)
    planned = definitions_of(list(record.scores), request)
    given = {(a.owner, a.key) for a in parse("--set", request.sets)}
    for asked in planned:
        stored = record.scores[asked["name"]]["definition"]["options"]
        kept = {k: v for k, v in stored.items() if (asked["name"], k) not in given}
        asked["options"] |= {k: v for k, v in kept.items() if k in asked["options"]}
    return planned


def _joined(evaluation: Evaluation, scores: Scores, refused: Mapping[str, str]) -> Evaluation:
    return replace(
        evaluation,
        scores={**evaluation.scores, **scores},
        refused={**evaluation.refused, **refused},
    )


def _rescored(
    record: Record, definitions: Sequence[Mapping[str, Any]], request: Request, tell: Tell
) -> Evaluation:
    run = record.run
    path = record.folder / records.REPRESENTATION
    try:
        representation = read_representation(path)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read ({error}): train again") from error
    representation = merged(representation, request.merges, str(path))
    seed = run.seed if request.seed is None else request.seed
    scores, refused = scored(
        representation,
        definitions,
        seed,
        request.resamples,
        lambda what: tell(f"{run.title}: {what}"),
    )
    try:
        write_json(record.folder / records.SCORES, {**record.scores, **scores})
    except OSError as error:
        raise unwritable(record.folder, error, COPY) from error
    return Evaluation(f"{run.title}, {shape(representation)}", scores, refused, named(request))


def _study_of(folder: Path) -> Path | None:
    """The study's folder that a folder is, or lies in the runs of."""
    if (folder / STUDY).exists():
        return folder
    above = folder.absolute().parent.parent
    return above if (above / STUDY).exists() else None
