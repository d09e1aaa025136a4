"""The folder of a study: its name, and whether it may be written."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import RequestError
from bench.presets import Preset
from bench.store.files import read_json, write_json

STUDY = "study.json"

ELSEWHERE = "choose another folder with --output"


def default_name(study: Mapping[str, Any], preset: Preset) -> str:
    """Data and preset, and whatever else makes the study one of its own."""
    parts = [study["dataset"], study["preset"]]
    if study["steps"] is not None:
        parts.append(f"steps{study['steps']}")
    own = {
        k: v
        for k, v in study["data_settings"].items()
        if (k, v) != ("image_size", preset.size_of(study["dataset"]))
    }
    parts += [f"{key}{value}" for key, value in {**own, **study["train"]}.items()]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(map(str, parts)))


def check_folder(folder: Path, study: Mapping[str, Any]) -> None:
    """Whether a study may go on in its folder. Raises RequestError; changes nothing."""
    other = ELSEWHERE
    # os.path, as Path.exists raises where a folder above may not be searched
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise RequestError(f"{folder} is a file: {other}")
    nearest = next(p for p in [folder, *folder.absolute().parents] if os.path.exists(p))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise RequestError(f"{folder} cannot be written ({nearest}): {other}")
    manifest = folder / STUDY
    if not os.path.exists(manifest):
        # a kill may leave the lock, and a temporary file of the store
        ours = (".lock", f".{STUDY}.")
        if nearest == folder and not all(p.name.startswith(ours) for p in folder.iterdir()):
            raise RequestError(f"{folder} is not empty and holds no study: {other}")
        return
    try:
        written = read_json(manifest)
        differing = [key for key in study if written[key] != _plain(study[key])]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RequestError(f"{manifest} cannot be read ({error}): {other}") from error
    differing = [key for key in differing if key != "source"]
    if differing:
        key = differing[0]
        raise RequestError(
            f"{folder} was written with {key} {written[key]}, not {study[key]}: {other}"
        )


def write_study(folder: Path, study: Mapping[str, Any]) -> None:
    """Make the study's folder. Raises RequestError where that fails."""
    try:
        write_json(folder / STUDY, study)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError, remedy: str = ELSEWHERE) -> RequestError:
    """What to say where the study's folder refuses a file."""
    return RequestError(f"{folder} cannot be written ({error.strerror}): {remedy}")


class locked:
    """The study's folder for this process alone; freed by the system even after a kill."""

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

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))
