"""Finding the files of data sets, knowing them again, and preparing them for random access.

Files of a data set called NAME are looked for in the data folder, then in its subfolder NAME. What
takes long to make of them is made once and kept in the user's cache folder. Nothing is downloaded.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from .cache import APPLICATION, cache_root, prepared, taken

__all__ = [
    "APPLICATION",
    "DATA_DIR_VARIABLE",
    "MissingFile",
    "cache_root",
    "data_root",
    "digest",
    "found",
    "located",
    "prepared",
    "refuse_escapes",
    "taken",
]

DATA_DIR_VARIABLE = "BENCH_DATA_DIR"

_SETTLED = 2 * 10**9  # ns: a file touched later than this may change again unnoticed


class MissingFile(ValueError):
    """A data set lacks a file; the message says which, and where to put it."""


def data_root(data_dir: str | Path | None = None) -> Path:
    """The data folder: `data_dir`, else $BENCH_DATA_DIR, else the user's cache folder; absolute.

    Raises ValueError if `data_dir` is no folder, or the variable names something else than one. A
    folder named by the variable may still be absent: it says where files would be.
    """
    given = os.environ.get(DATA_DIR_VARIABLE)
    if data_dir is not None:
        root = Path(data_dir).expanduser().resolve()
        if not root.is_dir():
            raise ValueError(f"data_dir {root} is not a folder")
        return root
    root = Path(given).expanduser().resolve() if given else cache_root()
    if given and root.exists() and not root.is_dir():
        raise ValueError(f"{DATA_DIR_VARIABLE} {root} is not a folder")
    return root


def found(
    name: str,
    data_dir: str | Path | None,
    file: str | Sequence[str],
    elsewhere: Iterable[str | Path] = (),
) -> Path | None:
    """Where a file of the data set `name` lies, or the first of several alternatives; else None.

    Looks into the data folder, its subfolder `name`, and the folders `elsewhere`, in this order.
    """
    root = data_root(data_dir)
    alternatives = (file,) if isinstance(file, str) else tuple(file)
    for folder in (root, root / name, *(Path(place) for place in elsewhere)):
        for alternative in alternatives:
            if (folder / alternative).exists():
                return folder / alternative
    return None


def located(
    name: str,
    data_dir: str | Path | None,
    files: Iterable[str | Sequence[str]],
    elsewhere: Iterable[str | Path] = (),
    *,
    fetch: bool = True,
) -> dict[str, Path]:
    """Where all files of the data set `name` lie, by their names; see `found`.

    Of alternatives the key is the first. Raises MissingFile, a ValueError of one line; `fetch`
    says whether `bench data fetch` can get the files.
    """
    places = [Path(place) for place in elsewhere]
    paths, missing = {}, []
    for file in files:
        alternatives = (file,) if isinstance(file, str) else tuple(file)
        path = found(name, data_dir, alternatives, places)
        if path is None:
            missing.append(" or ".join(alternatives))
        else:
            paths[alternatives[0]] = path
    if missing:
        one = len(missing) == 1
        way = f", or `bench data fetch {name}` downloads {'it' if one else 'them'}" if fetch else ""
        raise MissingFile(
            f"{name}: {', '.join(missing)} {'is' if one else 'are'} missing: "
            f"put {'it' if one else 'them'} into {data_root(data_dir) / name}{way}"
        )
    return paths


def digest(path: Path, algorithm: str = "md5") -> str:
    """The checksum of a file in hexadecimal; remembered while its size and time stay the same.

    Raises ValueError if it cannot be read.
    """
    try:
        before = path.stat()
        known = f"{algorithm}\n{path.resolve()}\n{before.st_size}\n{before.st_mtime_ns}"
        note = cache_root() / "digests" / hashlib.sha256(known.encode()).hexdigest()
        remembered = _read(note)
        if remembered is not None and remembered.startswith(f"{known}\n"):
            return remembered.splitlines()[-1]
        started = time.time_ns()
        with path.open("rb") as file:
            value = hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            ).hexdigest()
        after = path.stat()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    # A file that has just been written could change again within the resolution of its time.
    unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if unchanged and started - after.st_mtime_ns > _SETTLED:
        _remember(note, f"{known}\n{value}")
    return value


def refuse_escapes(archive: Path, members: Iterable[str]) -> None:
    """Raise ValueError if a member of an archive would lie outside the folder it is put into."""
    for member in members:
        parts = [*PurePosixPath(member).parts, *PureWindowsPath(member).parts]
        absolute = PurePosixPath(member).is_absolute() or PureWindowsPath(member).anchor
        if absolute or ".." in parts:
            raise ValueError(f"{archive} is refused: its member {member!r} leaves the folder")


def _read(note: Path) -> str | None:
    try:
        return note.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _remember(note: Path, text: str) -> None:
    # Best effort: without a cache the file is read again.
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(text)
        os.replace(partial, note)
