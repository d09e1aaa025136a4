"""What came out of a run, as it stands in the run's folder.

A folder holds settings.json, status.json, evaluation.json (with the metrics that are `undefined`
for its representation), scores.json, history.csv, environment.json, weights.safetensors,
representation.npz, samples.npz, and plots; while it trains checkpoint.pt, after a failure
error.txt, and `export/` where bench export was asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.store.files import read_json, write_json
from bench.store.run import Run

SETTINGS = "settings.json"
STATUS = "status.json"
EVALUATION = "evaluation.json"
SCORES = "scores.json"
HISTORY = "history.csv"
ENVIRONMENT = "environment.json"
WEIGHTS = "weights.safetensors"
REPRESENTATION = "representation.npz"
SAMPLES = "samples.npz"
CHECKPOINT = "checkpoint.pt"
ERROR = "error.txt"

ACTIVE = 0.1  # nats of mean KL from which a latent counts as active
REACH = 2.0  # standard deviations of the prior that a traversal covers to each side

# done: trained and scored; collapsed: likewise, but the decoder uses no code;
# diverged: a loss stopped being finite; failed: an error, kept in error.txt;
# interrupted: stopped on request; running: under way, or killed if nothing runs
FINISHED = ("done", "collapsed", "diverged")


@dataclass(frozen=True)
class Status:
    """How far a run is. `seconds`: spent so far, by phase."""

    state: str
    step: int = 0
    message: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A run and what came out of it; `scores` are by metric, empty until they are there."""

    folder: Path
    run: Run
    status: Status
    scores: Mapping[str, Mapping[str, Any]]
    evaluation: Mapping[str, Any]

    @property
    def scored(self) -> bool:
        return self.status.state in ("done", "collapsed")


def read_status(folder: Path) -> Status:
    """The status of a run's folder; `pending` where there is none. Raises RequestError."""
    path = folder / STATUS
    if not path.exists():
        return Status("pending")
    try:
        return Status(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error


def read_scores(folder: Path) -> dict[str, Any]:
    """The scores of a run by metric, empty until they are there. Raises RequestError."""
    try:
        scores: dict[str, Any] = _optional(folder / SCORES)
        for score in scores.values():
            _ = score["value"], score["parts"], score["details"]
            _ = [score["definition"][key] for key in ("name", "version", "options")]
        return scores
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(folder, error) from error


def write_status(folder: Path, status: Status) -> None:
    write_json(folder / STATUS, vars(status))


def read_record(folder: Path) -> Record:
    """The record of one run's folder. Raises RequestError where it cannot be read."""
    try:
        return Record(
            folder=folder,
            run=Run.from_dict(read_json(folder / SETTINGS)),
            status=read_status(folder),
            scores=read_scores(folder),
            evaluation=_optional(folder / EVALUATION),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(folder, error) from error


def read_records(study: Path) -> list[Record]:
    """All runs of a study's folder, by label, then seed. Raises RequestError."""
    folders = [path.parent for path in (study / "runs").glob(f"*/{SETTINGS}")]
    records = [read_record(folder) for folder in sorted(folders)]
    return sorted(records, key=lambda r: (r.run.label, r.run.seed))


def definitions_differ(scores: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any of these metrics is missing among the scores, or scored by another definition."""
    return any(
        definition["name"] not in scores
        or any(
            scores[definition["name"]]["definition"].get(key) != definition.get(key)
            for key in ("version", "options", "merge")
        )
        for definition in definitions
    )


def _unreadable(folder: Path, error: Exception) -> RequestError:
    return RequestError(
        f"{folder}: not a readable run ({type(error).__name__}: {error}); "
        "remove the folder and run again"
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
