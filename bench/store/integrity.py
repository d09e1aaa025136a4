"""Whether a run's files are there and whole, and where the run goes on if they are not.

Records that are not readable JSON are no matter of this module: reading them raises.
"""

import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.store.files import predecessor
from bench.store.record import (
    CHECKPOINT,
    EVALUATION,
    FINISHED,
    REPRESENTATION,
    SCORES,
    SETTINGS,
    WEIGHTS,
    Definition,
    Record,
    read_evaluation,
    read_scores,
    read_status,
    unscored,
)
from bench.store.run import Run

Stage = Literal["train", "encode", "score", "nothing"]

MISSING, DAMAGED = "is missing", "is cut or damaged"

_REMEDIES: dict[Stage, str] = {
    "train": "trained again",
    "encode": "encoded again",
    "score": "scored again",
    "nothing": "its scores stand; to have the file again, train with --force",
}


@dataclass(frozen=True)
class Condition:
    """What is wrong with the files of a run, and where it goes on.

    Attributes:
        faults: of a finished run, its files that are missing or damaged, each with which of the
            two it is.
        stage: the first part of the run that has to be carried out: `train` (from the checkpoint
            on, if there is one), `encode` (with the weights that are there), `score` or `nothing`.
    """

    faults: tuple[str, ...]
    stage: Stage

    @property
    def words(self) -> str:
        """The faults and what becomes of them; empty without faults."""
        if not self.faults:
            return ""
        remedy = _REMEDIES[self.stage]
        if self.stage == "nothing" and self.faults == (f"{SETTINGS} {MISSING}",):
            remedy = "written again, as the folder's name and the other files are those of the run"
        return f"{' and '.join(self.faults)}: {remedy}"


def condition(
    folder: Path,
    run: Run,
    definitions: Iterable[Definition] = (),
    *,
    thorough: bool = False,
    record: Record | None = None,
) -> Condition:
    """The condition of a run's folder.

    A finished run without its weights is complete as long as its representation is there: committed
    studies leave weights out. Weights that are there but damaged are made again.

    Args:
        folder: of the run.
        run: what the folder should hold.
        definitions: the metrics that it should be scored by.
        thorough: whether checksums are compared; else only what is missing or cut is seen.
        record: of the folder, if it has just been read.

    Raises:
        RequestError: a record of the folder cannot be read.
    """
    state = (read_status(folder) if record is None else record.status).state
    definitions = tuple(definitions)
    if record is None and not folder.is_dir():
        return Condition((), "train")
    names = [SETTINGS]
    if state != "diverged":
        names += [EVALUATION, REPRESENTATION, *([WEIGHTS] if run.trained else [])]
        names += [SCORES] if definitions else []
    faults = {name: words for name in names if (words := fault(folder / name, thorough=thorough))}
    finished = state in FINISHED
    named = tuple(f"{name} {words}" for name, words in faults.items()) if finished else ()
    return Condition(named, _stage(folder, run, definitions, state, faults, record))


def _stage(
    folder: Path,
    run: Run,
    definitions: tuple[Definition, ...],
    state: str,
    faults: dict[str, str],
    record: Record | None,
) -> Stage:
    finished = state in FINISHED
    if finished and SETTINGS in faults and run.code is not None:
        return "train"  # nothing tells which code the rest was made by
    if state == "diverged":
        return "nothing"
    if finished and faults.get(WEIGHTS) == DAMAGED:
        return "train"
    if EVALUATION in faults or REPRESENTATION in faults:
        checkpoint = folder / CHECKPOINT
        if run.trained and (checkpoint.exists() or predecessor(checkpoint).exists()):
            return "train"  # from its last step on: it also knows the history and the seconds
        return "train" if WEIGHTS in faults else "encode"
    scores = read_scores(folder) if record is None else record.scores
    evaluation = read_evaluation(folder) if record is None else record.evaluation
    if not finished or unscored(definitions, scores, evaluation):
        return "score"
    return "nothing"


def fault(path: Path, *, thorough: bool = False) -> str:
    """What is wrong with a file: `MISSING`, `DAMAGED`, or an empty text.

    Archives of arrays and files of weights are seen to be cut by their own lists of contents.
    """
    try:
        if not path.exists():
            return MISSING
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip() if thorough else None
            return DAMAGED if damaged else ""
        if path.suffix == ".safetensors":
            return "" if _is_whole(path) else DAMAGED
    except Exception:  # a damaged file makes the readers raise whatever they do
        return DAMAGED
    return ""


def lost_runs(study: Path) -> list[Path]:
    """The folders of runs whose settings.json is missing, so that they are no records."""
    folders = (path for path in sorted((study / "runs").glob("*")) if path.is_dir())
    return [folder for folder in folders if not (folder / SETTINGS).exists()]


def faults_of(records: Iterable[Record], *, thorough: bool = False) -> dict[Path, tuple[str, ...]]:
    """What finished runs of a study have lost, by the run's folder.

    A file that no run of the study has is not missed: committed studies leave the large ones out.
    """
    return missed({r.folder: faults_by_file(r, thorough=thorough) for r in records})


def faults_by_file(record: Record, *, thorough: bool = False) -> dict[str, str]:
    """What is wrong with each file that a finished run has; empty words where nothing is."""
    if not record.scored:
        return {}
    names = [EVALUATION, SCORES, REPRESENTATION, *[WEIGHTS] * record.run.trained]
    return {name: fault(record.folder / name, thorough=thorough) for name in names}


def missed(faults: Mapping[Path, Mapping[str, str]]) -> dict[Path, tuple[str, ...]]:
    """The faults of `faults_by_file`, but for files that none of the runs has."""
    kept = {name for own in faults.values() for name, words in own.items() if words != MISSING}
    return {
        folder: tuple(f"{name} {words}" for name, words in own.items() if words and name in kept)
        for folder, own in faults.items()
    }


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        size = path.stat().st_size - 8 - length
        if size < 0:
            return False
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    return bool(max(ends, default=0) == size)
