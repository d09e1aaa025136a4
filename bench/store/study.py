"""The folder of a study: what all its runs share, and whether it may be written."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import RequestError
from bench.store.files import json_text, read_as, sweep_study, write_text

STUDY = "study.json"

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
        return read_as(folder / STUDY, StudyRecord)
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder / STUDY} cannot be read ({error}): {remedy}") from error


def check_folder(folder: Path, study: StudyRecord) -> None:
    """Whether a study may go on in its folder. Changes nothing.

    Raises:
        RequestError: the folder is a file, cannot be written, holds something else, or another
            study.
    """
    # os.path, as Path.exists raises where a folder above may not be searched
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise RequestError(f"{folder} is a file: {ELSEWHERE}")
    nearest = next(p for p in [folder, *folder.absolute().parents] if os.path.exists(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise RequestError(f"{folder} cannot be written ({nearest}): {ELSEWHERE}")
    if not os.path.exists(folder / STUDY):
        # a kill may leave the lock, and a temporary file of the store
        ours = (".lock", f".{STUDY}.")
        if nearest == folder and not all(p.name.startswith(ours) for p in folder.iterdir()):
            raise RequestError(f"{folder} is not empty and holds no study: {ELSEWHERE}")
        return
    written, wanted = vars(read_study(folder, ELSEWHERE)), _plain(vars(study))
    for key in wanted:
        if key not in ("source", "notes") and written[key] != wanted[key]:
            raise RequestError(
                f"{folder} was written with {key} {written[key]}, not {wanted[key]}: {ELSEWHERE}"
            )


def write_study(folder: Path, study: StudyRecord) -> None:
    """Make the study's folder, unless it is there. Raises RequestError where that fails."""
    # without notes the file is as it was before there were any
    text = json_text({key: value for key, value in vars(study).items() if key != "notes" or value})
    path = folder / STUDY
    try:
        if not (path.exists() and path.read_bytes() == text.encode()):
            write_text(path, text)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError, remedy: str = ELSEWHERE) -> RequestError:
    """What to say where the study's folder refuses a file."""
    return RequestError(f"{folder} cannot be written ({error.strerror}): {remedy}")


class locked:
    """The study's folder for this process alone; the system frees it even after a kill.

    What killed writers have left in it is removed at the start.
    """

    def __init__(self, folder: Path, remedy: str = ELSEWHERE) -> None:
        self._folder = folder
        self._remedy = remedy
        self._lock = FileLock(folder / ".lock", timeout=0)

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise RequestError(
                f"{self._folder}: another bench is at work there; wait for it, or {self._remedy}"
            ) from None
        except OSError as error:
            raise unwritable(self._folder, error, self._remedy) from error
        sweep_study(self._folder)

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))
