"""The folder of a study: what all its runs share, and whether it may be written."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.store.files import json_text, read_as, write_text

STUDY = "study.json"

# Of a study's records, see bench/store/schema: it rises when a key changes its meaning or goes; a
# key that is added leaves it as it is. Studies without a number are version 1.
FORMAT = 1

ELSEWHERE = "choose another folder with --output"


@dataclass(frozen=True)
class StudyRecord:
    """What all runs of a study share, as study.json holds it.

    Attributes:
        dataset: name of the data set.
        data_settings: arguments of the data set's constructor, and what was left out of it.
        fingerprint: the exact pixels.
        source: where the pixels come from, in words; the one part that may change within a study.
        preset: name of the preset.
        steps: training steps that were asked for instead of the preset's.
        train: settings of the training that were asked for instead of the preset's.
        notes: what was taken for what in a user's own files; may change, as `source` may.
    """

    dataset: str
    data_settings: Mapping[str, Any]
    fingerprint: str
    source: str
    preset: str
    steps: int | None
    train: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def data_name(self) -> str:
        """The data set's name, which factors are fixed, and which are scored if not all."""
        parts = list(self.data_settings.get("fix", ()))
        if scored := self.data_settings.get("factors"):
            parts.append(f"scored by {'+'.join(scored)}")
        return f"{self.dataset} ({', '.join(parts)})" if parts else self.dataset


@dataclass(frozen=True)
class _Format:
    format: int = 1


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study."""
    return (folder / STUDY).is_file()


def read_study(folder: Path, remedy: str = "restore it, or name another folder") -> StudyRecord:
    """The study of a folder.

    Raises:
        RequestError: there is none, or it cannot be read; the message ends with the remedy.
    """
    if not is_study(folder):
        raise RequestError(f"{folder} holds no study: name a folder that bench run has written")
    try:
        written = read_as(folder / STUDY, _Format).format
        if written > FORMAT:
            raise ValueError(f"its format is {written}, newer than {FORMAT}: update this package")
        return read_as(folder / STUDY, StudyRecord)
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder / STUDY} cannot be read ({error}): {remedy}") from error


def check_folder(folder: Path, study: StudyRecord, remedy: str = ELSEWHERE) -> None:
    """Whether a study may go on in its folder. Changes nothing.

    Args:
        folder: of the study.
        study: what is to be written there.
        remedy: with what a message ends.

    Raises:
        RequestError: the folder is a file, cannot be written, holds something else, or another
            study.
    """
    # os.path, as Path.exists raises where a folder above may not be searched
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise RequestError(f"{folder} is a file: {remedy}")
    nearest = next(p for p in [folder, *folder.absolute().parents] if os.path.exists(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise RequestError(f"{folder} cannot be written ({nearest}): {remedy}")
    if not os.path.exists(folder / STUDY):
        # a kill may leave locks, and a temporary file of the store
        ours = (".lock", f".{STUDY}.")
        if nearest == folder and not all(p.name.startswith(ours) for p in folder.iterdir()):
            raise RequestError(f"{folder} is not empty and holds no study: {remedy}")
        return
    written, wanted = vars(read_study(folder, remedy)), _plain(vars(study))
    for key in wanted:
        if key not in ("source", "notes") and written[key] != wanted[key]:
            raise RequestError(
                f"{folder} was written with {key} {written[key]}, not {wanted[key]}: {remedy}"
            )


def write_study(folder: Path, study: StudyRecord) -> None:
    """Make the study's folder, unless it is there. Raises RequestError where that fails."""
    # without notes the file is as it was before there were any
    values = {key: value for key, value in vars(study).items() if key != "notes" or value}
    text = json_text({"format": FORMAT, **values})
    same = [text.encode()]
    if FORMAT == 1:  # a study from before there was a number stays as it is
        same.append(json_text(values).encode())
    path = folder / STUDY
    try:
        if not (path.exists() and path.read_bytes() in same):
            write_text(path, text)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError, remedy: str = ELSEWHERE) -> RequestError:
    """What to say where the study's folder refuses a file."""
    return RequestError(f"{folder} cannot be written ({error.strerror}): {remedy}")


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))
