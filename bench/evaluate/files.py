"""Scores of a representation, by what was asked for; of the codes in a file, or of weights."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError, UnknownNameError
from bench.evaluate.codes import read_codes
from bench.metrics import STUDY_METRICS, Representation
from bench.metrics.arrays import FACTOR_KINDS
from bench.score import definition, evaluated_names, score
from bench.settings import parse
from bench.store.environment import environment
from bench.store.files import write_json

# What files of released weights are called; all others hold codes.
WEIGHTS = (".pt", ".pth", ".safetensors")

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
    dataset: str | None = None
    data_dir: str | None = None
    into: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class Content:
    """What a file gives to be scored.

    evaluation: of the model behind it, as `encode` gives it, None of plain codes; source: which
    file it was, with its sha256, and what else is known of it.
    """

    representation: Representation
    evaluation: Mapping[str, Any] | None
    source: str


@dataclass(frozen=True)
class Evaluation:
    """Scores by metric of one representation, and the metrics that are undefined for it.

    title: what was scored; asked: whether the metrics were named one by one.
    """

    title: str
    scores: Scores
    refused: Mapping[str, str]
    asked: bool


def read_content(request: Request, tell: Tell) -> Content:
    """The codes in a file, or those of released weights. Raises RequestError."""
    path = request.target
    if path.suffix.lower() in WEIGHTS:
        if request.factors is not None or request.kinds:
            raise RequestError(
                f"{path} holds weights, their data set has the factors: name it "
                "with --dataset, and leave out --factors and --kind"
            )
        from bench.reproduce.released import evaluate_released

        return Content(*evaluate_released(path, request.dataset, request.data_dir, tell))
    check_codes(request)
    representation = read_codes(path, request.factors, _kinds(request.kinds))
    files = [path for path in (path, request.factors) if path is not None]
    try:
        source = " with ".join(f"{file.name}, sha256 {_sha256(file)}" for file in files)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror})") from error
    return Content(representation, None, source)


def check_codes(request: Request) -> None:
    """Raise RequestError where options are given that only weights need."""
    for option, value in (("--dataset", request.dataset), ("--data-dir", request.data_dir)):
        if value is not None:
            known = ", ".join(WEIGHTS)
            raise RequestError(f"{option} is for weights ({known}), not for {request.target}")


def evaluate_file(request: Request, tell: Tell) -> tuple[Content, Evaluation]:
    """What is in a file, and its scores. Raises RequestError."""
    path = request.target
    definitions = definitions_of(evaluated_names(request.metrics), request)
    for name in (asked["name"] for asked in definitions):
        if name in STUDY_METRICS and named(request):
            raise RequestError(f"{name} compares the runs of a study: name the study's folder")
    content = read_content(request, tell)
    representation = merged(content.representation, request.merges, str(path))
    seed = 0 if request.seed is None else request.seed
    scores, refused = scored(representation, definitions, seed, request.resamples, tell)
    if not scores:
        name, reason = next(iter(refused.items()))
        raise RequestError(f"{path}: {name}: {reason}")
    title = f"{path}, {shape(representation)}"
    return content, Evaluation(title, scores, refused, named(request))


def write_record(path: Path, request: Request, content: Content, evaluation: Evaluation) -> None:
    """The scores of a file as JSON, with what exactly was scored and where. Raises RequestError."""
    files = [path for path in (request.target, request.factors) if path is not None]
    try:
        record = {
            "files": {str(file): _sha256(file) for file in files},
            "source": content.source,
            "seed": 0 if request.seed is None else request.seed,
            "scores": evaluation.scores,
            "left_out": dict(evaluation.refused),
            "evaluation": content.evaluation,
            "environment": environment("cpu", 1),
        }
        write_json(path, record)
    except OSError as error:
        raise RequestError(f"{path} cannot be written ({error.strerror})") from error


def scored(
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


def definitions_of(names: Sequence[str], request: Request) -> list[dict[str, Any]]:
    """Definitions of some metrics with the options and merges asked for; raises RequestError."""
    given = parse("--set", request.sets)
    for assignment in given:
        if assignment.owner not in names:
            raise UnknownNameError("metric in --set", assignment.owner, names)
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
            raise UnknownNameError("kind of a factor", kind, FACTOR_KINDS)
        kinds[name] = kind
    return kinds


def merged(representation: Representation, merges: Sequence[str], what: str) -> Representation:
    """With the classes merged that were asked for; an error names `what`. Raises RequestError."""
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


def named(request: Request) -> bool:
    """Whether the metrics were named one by one."""
    return request.metrics is not None and request.metrics != "all"


def shape(representation: Representation) -> str:
    """Rows, latents and factors in words."""
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
