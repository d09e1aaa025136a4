"""What came out of a run, as it is kept in the run's folder.

A folder holds settings.json, status.json, evaluation.json, scores.json, history.csv,
environment.json, weights.safetensors, representation.npz, samples.npz and pictures; of a run that
was scored while it trained score_history.csv; where report.html shows the run also decoder.json, by
which it draws; while it trains also checkpoint.pt and checkpoint.previous.pt, after a failure
error.txt, and `export/` after `bench export`.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import RequestError
from bench.store.files import read_as, uncollected, write_json
from bench.store.run import Run, read_run

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = "settings.json"
STATUS = "status.json"
EVALUATION = "evaluation.json"
SCORES = "scores.json"
HISTORY = "history.csv"
SCORE_HISTORY = "score_history.csv"
EPOCHS = "epochs.csv"
ENVIRONMENT = "environment.json"
WEIGHTS = "weights.safetensors"
REPRESENTATION = "representation.npz"
SAMPLES = "samples.npz"
CHECKPOINT = "checkpoint.pt"
CHECKPOINTS = "checkpoint*.pt"  # also the one before it, and damaged ones
ERROR = "error.txt"

ACTIVE = 0.1  # nats of mean KL from which a latent counts as active
REACH = 2.0  # standard deviations that a traversal covers to each side

# done: trained and scored; collapsed: also, but the decoder uses no code;
# diverged: a loss stopped being finite; failed: an error, kept in error.txt;
# timeout: stopped after the time that a run may take, its checkpoint is kept;
# out-of-memory: tried again alone before that is its end; skipped: cannot be carried out here;
# interrupted: stopped on request; running: under way, or killed if nothing runs
FINISHED = ("done", "collapsed", "diverged")
SCORED = ("done", "collapsed")
UNSUCCESSFUL = ("diverged", "failed", "timeout", "out-of-memory", "skipped")
STATES = ("pending", "running", *SCORED, *UNSUCCESSFUL, "interrupted")

_REASON = 200  # characters of what is wrong with a file

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        state: one of `STATES`.
        step: the last training step.
        message: why the run ended as it did, where there is something to say.
        seconds: time spent so far, by phase.
    """

    state: str
    step: int = 0
    message: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


# Options that metrics of the suite got after their first records, with the values they had before.
LATER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "dci_fast": {"longest_step": 2.0, "negligible": 1e-3, "tie": 1e-6}
}


@dataclass(frozen=True)
class Definition:
    """What a score is. Scores with different definitions are different numbers.

    Attributes:
        name: of the metric.
        version: of the metric's definition.
        options: all options of the metric, by name.
        merge: classes of factors that were merged before scoring, `FACTOR:CLASS=CLASS`.
        code: digest of the code of a metric that is not the suite's own.
        package: name and version of the package that such a metric comes from, if it comes from
            one.
        libraries: versions of the libraries that computed the score; two definitions that differ
            here alone are equal.
        reduce: how latents that are vectors were made numbers before scoring; None if they were
            scored as they are.
    """

    name: str
    version: int
    options: Mapping[str, Any]
    merge: tuple[str, ...] = ()
    code: str | None = None
    package: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict, compare=False)
    reduce: str | None = None

    def __post_init__(self) -> None:
        later = {} if self.code else LATER_OPTIONS.get(self.name, {})
        missing = {key: value for key, value in later.items() if key not in self.options}
        if missing:
            object.__setattr__(self, "options", {**self.options, **missing})

    @cached_property
    def identity(self) -> str:
        """A text that equal definitions share."""
        parts: list[Any] = [self.name, self.version, self.options, self.merge, self.reduce]
        return json.dumps([*parts, self.code, self.package], sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they are written."""
        return {
            "name": self.name,
            "version": self.version,
            "options": dict(self.options),
            **({"merge": list(self.merge)} if self.merge else {}),
            **({"reduce": self.reduce} if self.reduce else {}),
            **({"code": self.code} if self.code else {}),
            **({"package": self.package} if self.package else {}),
            **({"libraries": dict(self.libraries)} if self.libraries else {}),
        }


@dataclass(frozen=True)
class ScoreRecord:
    """One metric's score of one run, with all that it was made of.

    Attributes:
        value: the score.
        parts: further scores of the same metric, by name.
        definition: what the score is.
        details: what the score was computed from, as the metric gives it.
        seconds: time it took; None for a metric that compares runs.
        warnings: reasons not to trust the score.
        standard_errors: of the value (`value`) and of the parts, over the choice of rows.
        resamples: number of random halves of the rows behind the standard errors.
    """

    value: float
    parts: Mapping[str, float]
    definition: Definition
    details: Mapping[str, Any]
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    resamples: int = 0

    @property
    def chance(self) -> float | None:
        """What the value is by chance, where the details say it in one number."""
        level = self.details.get("chance")
        return level if isinstance(level, int | float) else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they are written."""
        return {
            "value": self.value,
            "parts": dict(self.parts),
            "definition": self.definition.as_dict(),
            **({} if self.seconds is None else {"seconds": self.seconds}),
            "details": dict(self.details),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
            **(
                {"standard_errors": dict(self.standard_errors), "resamples": self.resamples}
                if self.resamples
                else {}
            ),
        }


@dataclass(frozen=True)
class Undefined:
    """Why a representation has no score by a definition."""

    definition: Definition
    reason: str


@dataclass(frozen=True)
class Part:
    """The evaluation on some rows, such as those held out; units as in `Evaluation`."""

    reconstruction: float | None
    kl_total: float | None
    rows: int


@dataclass(frozen=True)
class Evaluation:
    """What a representation and its decoder are like. Losses are nats per image.

    Attributes:
        reconstruction: error of the mode's code over the first 10,000 rows; None without a decoder.
        mean_image_reconstruction: error of the best constant image over the same rows.
        kl: mean KL of each latent to its prior, continuous latents first; None where the codes
            have no distribution.
        kl_total: sum of `kl`.
        continuous: number of continuous latents; the others are categorical.
        spread: standard deviation of each continuous latent over the rows (of a vector the root of
            its total variance), entropy of each categorical one in nats.
        active: whether each latent is in use, by its KL or else by its spread.
        active_latents: number of latents in use.
        rows: number of rows.
        collapsed: whether no latent is in use, or the decoder does no better than the mean image.
        collapsed_from: the first step from which a collapsed training never used its codes again;
            None where the history does not tell.
        held_out: the evaluation on the data's own test rows; None where there are none.
        seen: of data of which combinations are held out of training, that on rows of the others.
        unseen: that on rows of the combinations held out, also on more of them than `rows` has.
        undefined: metrics that the representation has no score by, by name.
        found: what of an external network's output was taken for what; empty for the suite's own
            models.
    """

    reconstruction: float | None
    mean_image_reconstruction: float | None
    kl: tuple[float, ...] | None
    kl_total: float | None
    continuous: int
    spread: tuple[float, ...]
    active: tuple[bool, ...]
    active_latents: int
    rows: int
    collapsed: bool
    collapsed_from: int | None = None
    held_out: Part | None = None
    seen: Part | None = None
    unseen: Part | None = None
    undefined: Mapping[str, Undefined] = field(default_factory=dict)
    found: str = ""

    @property
    def explained(self) -> float | None:
        """The share of the mean image's error that the decoder does away with, 1 - R / R_mean.

        1 for a perfect reconstruction of images without noise, and 0 for a decoder that uses no
        code. None without a decoder, and where the mean image has no positive error, as with a
        density that exceeds 1.
        """
        error, of_mean = self.reconstruction, self.mean_image_reconstruction
        if error is None or of_mean is None or of_mean <= 0:
            return None
        return 1 - error / of_mean

    @property
    def seen_reconstruction(self) -> float | None:
        return None if self.seen is None else self.seen.reconstruction

    @property
    def unseen_reconstruction(self) -> float | None:
        return None if self.unseen is None else self.unseen.reconstruction

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they are written."""
        parts = {name: getattr(self, name) for name in ("held_out", "seen", "unseen")}
        optional = {name: vars(part) for name, part in parts.items() if part is not None}
        if self.collapsed:
            optional["collapsed_from"] = self.collapsed_from
        if self.undefined:
            optional["undefined"] = {
                name: {"definition": entry.definition.as_dict(), "reason": entry.reason}
                for name, entry in self.undefined.items()
            }
        if self.found:
            optional["found"] = self.found
        always = {k: v for k, v in vars(self).items() if k not in _OPTIONAL}
        return {**always, **optional}


_OPTIONAL = ("collapsed_from", "held_out", "seen", "unseen", "undefined", "found")


@dataclass(frozen=True)
class Record:
    """A run and what came out of it.

    Attributes:
        folder: of the run.
        run: what was asked for.
        status: how far it is.
        scores: by metric, empty until they are there.
        evaluation: None until it is there.
    """

    folder: Path
    run: Run
    status: Status
    scores: Mapping[str, ScoreRecord]
    evaluation: Evaluation | None

    @property
    def scored(self) -> bool:
        return self.status.state in SCORED


def read_record(folder: Path) -> Record:
    """The record of one run's folder. Raises RequestError where it cannot be read."""
    try:
        run = read_run(folder / SETTINGS)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, SETTINGS, error) from error
    return Record(folder, run, read_status(folder), read_scores(folder), read_evaluation(folder))


def read_records(study: Path) -> list[Record]:
    """All runs of a study's folder, by label, then seed."""
    return Records(study).read()


class Records:
    """The records of a study that is read again and again: only what has changed is read anew.

    A file that has been replaced is known by its inode, its size and the time of the change.
    """

    def __init__(self, study: Path) -> None:
        self._runs = study / "runs"
        self._known: dict[str, tuple[Stamps, Record]] = {}

    def read(self) -> list[Record]:
        """All runs as they are now, by label, then seed."""
        with uncollected():
            known = {}
            for name in self._names():
                folder = self._runs / name
                now = stamps(folder)  # first: what changes meanwhile is read again next time
                if now[0] is None:  # without its settings it is no run
                    continue
                entry = self._known.get(name)
                if entry is None or entry[0] != now:
                    entry = now, read_record(folder)
                known[name] = entry
            self._known = known
            records = [record for _, record in known.values()]
            return sorted(records, key=lambda r: (r.run.label, r.run.seed))

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._runs) as entries:
                return sorted(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return []


def state_of(study: Path) -> str:
    """A digest that changes whenever anything changes that a report shows.

    It compares no times, as a clock may have been set back.
    """
    digest = hashlib.sha256()
    runs = study / "runs"
    for name in sorted(os.listdir(runs)) if runs.is_dir() else ():
        found = stamps(runs / name, (*_RECORD, HISTORY, SCORE_HISTORY))
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()


Stamps = tuple[tuple[int, int, int] | None, ...]


_RECORD = (SETTINGS, STATUS, SCORES, EVALUATION)


def stamps(folder: Path, names: Iterable[str] = _RECORD) -> Stamps:
    """Inode, size and time of the change of each file of a record; None where there is none."""
    known: list[tuple[int, int, int] | None] = []
    for name in names:
        try:
            found = os.stat(f"{folder}/{name}")
            known.append((found.st_ino, found.st_size, found.st_mtime_ns))
        except OSError:
            known.append(None)
    return tuple(known)


def read_status(folder: Path) -> Status:
    """The status of a run's folder; `pending` where there is none."""
    return _read(folder, STATUS, Status) or Status("pending")


def read_scores(folder: Path) -> dict[str, ScoreRecord]:
    """The scores of a run by metric, empty until they are there."""
    scores = _read(folder, SCORES, dict[str, ScoreRecord]) or {}
    for name, score in scores.items():
        if not all(map(math.isfinite, (score.value, *score.parts.values()))):  # such as 1e400
            raise _unreadable(folder, SCORES, ValueError(f"{name}: no finite number"))
    return scores


def read_evaluation(folder: Path) -> Evaluation | None:
    """The evaluation of a run; None until it is there."""
    return _read(folder, EVALUATION, Evaluation, _completed)


def read_history(folder: Path, name: str = HISTORY) -> "pd.DataFrame":
    """The means of all terms of the objective, in nats per image, a row per interval of steps.

    Or, of the other files, the scores while training, or the means per epoch. Empty for a run that
    has no such file.

    Raises:
        RequestError: it cannot be read, or holds what is no number.
    """
    import pandas as pd

    path = folder / name
    try:
        rows = pd.read_csv(path) if path.exists() else pd.DataFrame({"step": []})
    except pd.errors.EmptyDataError:
        rows = pd.DataFrame({"step": []})
    except (OSError, ValueError) as error:
        raise _unreadable(folder, name, error) from error
    for column in ["step", *rows.columns]:
        if column not in rows.columns or not pd.api.types.is_numeric_dtype(rows[column]):
            raise _unreadable(folder, name, ValueError(f"{column} is no column of numbers"))
    return rows


def write_status(folder: Path, status: Status) -> None:
    write_json(folder / STATUS, vars(status))


def write_scores(folder: Path, scores: Mapping[str, ScoreRecord]) -> None:
    write_json(folder / SCORES, {name: score.as_dict() for name, score in scores.items()})


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    write_json(folder / EVALUATION, evaluation.as_dict())


def unscored(
    definitions: Iterable[Definition],
    scores: Mapping[str, ScoreRecord],
    evaluation: Evaluation | None = None,
) -> tuple[Definition, ...]:
    """The definitions by which there is neither a score nor a reason why there can be none."""
    refused = {} if evaluation is None else evaluation.undefined
    return tuple(
        definition
        for definition in definitions
        if not any(
            definition.name in entries and entries[definition.name].definition == definition
            for entries in (scores, refused)
        )
    )


def _completed(values: Any) -> Any:
    """The values of an evaluation; the earliest records have only the KL of the latents."""
    kl = values["kl"] if "spread" not in values else None
    if kl is None:
        return values
    return {**values, "continuous": len(kl), "spread": kl, "active": [k >= ACTIVE for k in kl]}


def _read(
    folder: Path, name: str, kind: type[T], completed: Callable[[Any], Any] = lambda values: values
) -> T | None:
    """One JSON file of a run, validated; None where there is none."""
    try:
        return read_as(folder / name, kind, completed)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(folder, name, error) from error


def _unreadable(folder: Path, name: str, error: Exception) -> RequestError:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."
    return RequestError(
        f"{folder}: not a readable run ({name}: {reason}); remove the folder and run again"
    )
