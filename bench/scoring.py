"""Scores of codes in a file, and of the representations that runs have stored."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import records
from bench.agreement import score_agreement
from bench.codes import read_codes
from bench.environment import environment
from bench.errors import RequestError
from bench.folder import STUDY, locked, unwritable
from bench.measure import definition, evaluated_names, score
from bench.metrics import STUDY_METRICS, Representation
from bench.metrics.arrays import FACTOR_KINDS
from bench.records import Record, read_record, read_records
from bench.representations import read_representation
from bench.resolve import unknown
from bench.settings import parse
from bench.store import write_json

Scores = dict[str, dict[str, Any]]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, in its words."""

    target: Path
    factors: Path | None = None
    metrics: str | None = None
    sets: Sequence[str] = ()
    kinds: Sequence[str] = ()
    merges: Sequence[str] = ()
    seed: int | None = None
    resamples: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Scores by metric of one representation, and the metrics that are undefined for it.

    title: what was scored; asked: whether the metrics were named one by one.
    """

    title: str
    scores: Scores
    refused: Mapping[str, str]
    asked: bool


def evaluate_file(request: Request, tell: Tell) -> Evaluation:
    """Score the codes in a file. Raises RequestError."""
    path = request.target
    representation = read_codes(path, request.factors, _kinds(request.kinds))
    definitions = _definitions(evaluated_names(request.metrics), request)
    for name in (asked["name"] for asked in definitions):
        if name in STUDY_METRICS and _named(request):
            raise RequestError(f"{name} compares the runs of a study: name the study's folder")
    representation = _merged(representation, request.merges, str(path))
    seed = 0 if request.seed is None else request.seed
    scores, refused = _scored(representation, definitions, seed, request.resamples, tell)
    if not scores:
        name, reason = next(iter(refused.items()))
        raise RequestError(f"{path}: {name}: {reason}")
    return Evaluation(f"{path}, {_shape(representation)}", scores, refused, _named(request))


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
    with locked(study or folder):
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
            scores, reasons = score_agreement(stored, asked, anew=True)
            for record in stored:
                run, label = record.folder.name, record.run.label
                new = {name: scores[run]} if run in scores else {}
                refused = {name: f"{label}: {reasons[label]}"} if label in reasons else {}
                made[run] = _joined(made[run], new, refused)
    return made


def write_record(path: Path, request: Request, evaluation: Evaluation) -> None:
    """The scores of a file as JSON, with what exactly was scored and where. Raises RequestError."""
    files = [path for path in (request.target, request.factors) if path is not None]
    try:
        record = {
            "files": {str(file): _sha256(file) for file in files},
            "seed": 0 if request.seed is None else request.seed,
            "scores": evaluation.scores,
            "left_out": dict(evaluation.refused),
            "environment": environment("cpu", 1),
        }
        write_json(path, record)
    except OSError as error:
        raise RequestError(f"{path} cannot be written ({error.strerror})") from error


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or of a study."""
    return (folder / records.SETTINGS).exists() or (folder / STUDY).exists()


def _planned(record: Record, request: Request) -> list[dict[str, Any]]:
    """The definitions by which a run is scored: those asked for, or those it has.

    The latter in the present version, with the options that the run's scores have.
    """
    if request.metrics is not None or not record.scores:
        return _definitions(evaluated_names(request.metrics), request)
    planned = _definitions(list(record.scores), request)
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
    representation = _merged(representation, request.merges, str(path))
    seed = run.seed if request.seed is None else request.seed
    scores, refused = _scored(
        representation,
        definitions,
        seed,
        request.resamples,
        lambda what: tell(f"{run.title}: {what}"),
    )
    try:
        write_json(record.folder / records.SCORES, {**record.scores, **scores})
    except OSError as error:
        raise unwritable(record.folder, error) from error
    return Evaluation(f"{run.title}, {_shape(representation)}", scores, refused, _named(request))


def _scored(
    representation: Representation,
    definitions: Sequence[Mapping[str, Any]],
    seed: int,
    resamples: int,
    tell: Tell,
) -> tuple[Scores, dict[str, str]]:
    """Scores by metric, and why the other metrics are undefined."""
    scores, refused = {}, {}
    definitions = [asked for asked in definitions if asked["name"] not in STUDY_METRICS]
    for place, asked in enumerate(definitions, 1):
        tell(f"{asked['name']} ({place} of {len(definitions)})")
        try:
            scores[asked["name"]] = score(representation, asked, seed, resamples)
        except ValueError as error:
            refused[asked["name"]] = str(error)
    return scores, refused


def _definitions(names: Sequence[str], request: Request) -> list[dict[str, Any]]:
    given = parse("--set", request.sets)
    for assignment in given:
        if assignment.owner not in names:
            raise RequestError(unknown("metric in --set", assignment.owner, names))
    if request.resamples < 0 or request.resamples == 1:
        raise RequestError(f"--resamples {request.resamples}: give 0 (none) or at least 2")
    merge = {"merge": sorted(request.merges)} if request.merges else {}
    return [{**definition(name, given), **merge} for name in names]


def _kinds(texts: Sequence[str]) -> dict[str, str]:
    kinds = {}
    for text in texts:
        name, equals, kind = text.partition("=")
        if not (name and equals):
            raise RequestError(f"--kind {text!r}: write FACTOR=KIND, e.g. shape=categorical")
        if kind not in FACTOR_KINDS:
            raise RequestError(unknown("kind of a factor", kind, FACTOR_KINDS))
        kinds[name] = kind
    return kinds


def _merged(representation: Representation, merges: Sequence[str], what: str) -> Representation:
    for text in merges:
        factor, _, classes = text.partition(":")
        one, equals, other = classes.partition("=")
        if not (equals and one.strip().isdigit() and other.strip().isdigit()):
            raise RequestError(f"--merge {text!r}: write FACTOR:CLASS=CLASS, as orientation:39=0")
        try:
            representation = representation.merged(factor, int(one), int(other))
        except ValueError as error:
            raise RequestError(f"--merge {text!r}: {what}: {error}") from error
    return representation


def _study_of(folder: Path) -> Path | None:
    """The study's folder that a folder is, or lies in the runs of."""
    if (folder / STUDY).exists():
        return folder
    above = folder.absolute().parent.parent
    return above if (above / STUDY).exists() else None


def _named(request: Request) -> bool:
    return request.metrics is not None and request.metrics != "all"


def _shape(representation: Representation) -> str:
    r = representation
    test = f" and {len(r.test):,} held out" if r.test is not None else ""
    kinds = dict.fromkeys(r.factor_kinds)
    count = {kind: r.factor_kinds.count(kind) for kind in kinds}
    factors = ", ".join(f"{n} {kind}" for kind, n in count.items())
    return (
        f"{len(r):,} rows{test}, {r.codes.shape[1]} continuous and {r.categories.shape[1]} "
        f"categorical latents, factors: {factors}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
