"""The files of a reproduction that are not those of its studies.

Its folder holds a study for each part that is trained, `reproduction.json`, in `records/` a file
for each part with released weights, and the table. In the folder of each run, `paper.json` holds
the scores by the paper's protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.errors import RequestError
from bench.store.files import read_json, write_json
from bench.store.record import Evaluation, ScoreRecord
from bench.store.study import unwritable

MANIFEST = "reproduction.json"
RECORDS = "records"
PAPER = "paper.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Manifest:
    """What reproduction.json says.

    Attributes:
        name: of the table.
        budget: share of the published steps.
        commands: all that have filled the folder, without paths of the machine.
    """

    name: str
    budget: float
    commands: Sequence[str]


@dataclass(frozen=True)
class PaperScores:
    """A run's scores by the paper's protocol, as paper.json holds them.

    Attributes:
        command: that asked for them.
        run: identity of the run.
        environment: where and with what they were computed.
        seconds: time it took.
        protocol: fields of the protocol.
        scores: by metric, those that the protocol computes otherwise than the standard one.
    """

    command: str
    run: str
    environment: Mapping[str, Any]
    seconds: float
    protocol: Mapping[str, Any]
    scores: Mapping[str, ScoreRecord]


@dataclass(frozen=True)
class Draw:
    """Scores of one draw of images.

    Attributes:
        seed: of the draw, and of the metrics.
        evaluation: of the model behind the codes.
        paper: scores by the paper's protocol, by metric.
        standard: scores by the standard protocol, by metric.
    """

    seed: int
    evaluation: Evaluation
    paper: Mapping[str, ScoreRecord]
    standard: Mapping[str, ScoreRecord]


@dataclass(frozen=True)
class ReleasedRecord:
    """What released weights gave, as a file in `records/` holds it.

    Attributes:
        command: that asked for it.
        part: name of the part.
        environment: where and with what it was computed.
        seconds: time it took.
        files: SHA-256 of each file of weights, by name.
        source: what exactly was encoded by what, in one line.
        draws: what was obtained.
    """

    command: str
    part: str
    environment: Mapping[str, Any]
    seconds: float
    files: Mapping[str, str]
    source: str
    draws: Sequence[Draw]


def is_reproduction(folder: Path) -> bool:
    """Whether a folder is that of a reproduction."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a reproduction's folder."""
    return _read(folder / MANIFEST, Manifest, "restore it, or write to another folder")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    _write(folder / MANIFEST, vars(manifest), folder)


def read_paper_scores(run_folder: Path) -> PaperScores | None:
    """The scores of a run by the paper's protocol; None where there are none."""
    path = run_folder / PAPER
    return _read(path, PaperScores) if path.exists() else None


def write_paper_scores(run_folder: Path, scores: PaperScores) -> None:
    _write(run_folder / PAPER, {**vars(scores), "scores": _plain(scores.scores)}, run_folder)


def has_released(folder: Path, part: str) -> bool:
    """Whether a reproduction's folder holds a record of a part with released weights."""
    return _released(folder, part).is_file()


def read_released(folder: Path, part: str) -> ReleasedRecord:
    """The record of a part with released weights."""
    return _read(_released(folder, part), ReleasedRecord)


def write_released(folder: Path, record: ReleasedRecord) -> None:
    draws = [
        {
            "seed": draw.seed,
            "evaluation": draw.evaluation.as_dict(),
            "paper": _plain(draw.paper),
            "standard": _plain(draw.standard),
        }
        for draw in record.draws
    ]
    _write(_released(folder, record.part), {**vars(record), "draws": draws}, folder)


def _released(folder: Path, part: str) -> Path:
    return folder / RECORDS / f"{part}.json"


def _plain(scores: Mapping[str, ScoreRecord]) -> dict[str, Any]:
    return {name: score.as_dict() for name, score in scores.items()}


def _read(path: Path, kind: type[T], remedy: str = "remove it and run again") -> T:
    try:
        return TypeAdapter(kind).validate_python(read_json(path))
    except ValidationError as error:  # its own words would fill several lines
        problem = error.errors()[0]
        reason = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise RequestError(f"{path} cannot be read ({reason}): {remedy}")


def _write(path: Path, content: Mapping[str, Any], folder: Path) -> None:
    try:
        write_json(path, content)
    except OSError as error:
        raise unwritable(folder, error) from error
