"""Finding the files of data sets, and telling official files from broken and wrong ones.

Files of a data set called NAME are looked for in the data folder, then in its subfolder NAME.
Nothing is downloaded, and nothing is unpacked to disk.
"""

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from . import blocks
from .cache import cache_root
from .entry import Entry, File

DATA_DIR_VARIABLE = "BENCH_DATA_DIR"

_BLOCK = 2**20  # bytes unpacked at a time
_SETTLED = 2 * 10**9  # nanoseconds: a file changed later than this may change again unnoticed


class MissingFileError(ValueError):
    """A data set lacks a file; the message says which, and where to put it."""


@dataclass(frozen=True)
class Location:
    """A file of a data set, and where it is on disk.

    Attributes:
        wanted: the file as the entry of the data set lists it.
        file: the file that is there: `wanted`, or one that serves instead.
        path: where it is; None if it is missing.
    """

    wanted: File
    file: File
    path: Path | None


def data_root(data_dir: str | Path | None = None) -> Path:
    """The data folder: `data_dir`, else $BENCH_DATA_DIR, else the user's cache folder; absolute.

    Raises:
        ValueError: `data_dir` is not a folder, or the variable names something that is not one. A
            folder named by the variable may be absent: it then says where files would be.
    """
    if data_dir is not None:
        root = Path(data_dir).expanduser().resolve()
        if not root.is_dir():
            raise ValueError(f"data_dir {root} is not a folder")
        return root
    variable = os.environ.get(DATA_DIR_VARIABLE)
    root = Path(variable).expanduser().resolve() if variable else cache_root()
    if variable and root.exists() and not root.is_dir():
        raise ValueError(f"{DATA_DIR_VARIABLE} {root} is not a folder")
    return root


def absolute(data_dir: str | Path | None) -> Path | None:
    """`data_dir` as an absolute path, since a worker process may start in another folder.

    None stays None. Raises ValueError if it is not a folder.
    """
    return None if data_dir is None else data_root(data_dir)


def find(entry: Entry, data_dir: str | Path | None) -> list[Location]:
    """Where the files of a data set are, in the order of its entry.

    Folders are searched one after the other, each for the wanted file before its alternatives.
    """
    root = data_root(data_dir)
    folders = [root, root / entry.name, *(root / folder for folder in entry.folders)]
    locations = []
    for wanted in entry.files:
        candidates = (
            Location(wanted, file, folder / file.name)
            for folder in folders
            for file in (wanted, *wanted.instead)
            if (folder / file.name).exists()
        )
        locations.append(next(candidates, Location(wanted, wanted, None)))
    return locations


def paths(entry: Entry, data_dir: str | Path | None) -> dict[str, Path]:
    """The paths of all files of a data set, by the names of the wanted ones.

    Raises:
        MissingFileError: a file is missing. The message names it, and says in one line where to
            put it and whether `bench data fetch` can get it.
    """
    locations = find(entry, data_dir)
    require(entry, locations, data_dir)
    return {
        location.wanted.name: location.path for location in locations if location.path is not None
    }


def require(entry: Entry, locations: Iterable[Location], data_dir: str | Path | None) -> None:
    """Raise MissingFileError unless all files are there; see `paths`."""
    missing = [location.wanted for location in locations if location.path is None]
    if not missing:
        return
    names = [" or ".join(f.name for f in (wanted, *wanted.instead)) for wanted in missing]
    verb, pronoun = ("is", "it") if len(missing) == 1 else ("are", "them")
    command = f"`bench data fetch {entry.name}`"
    if all(wanted.urls for wanted in missing):
        way = f", or {command} downloads {pronoun}"
    else:
        way = f"; {command} says where to get {pronoun}"
    raise MissingFileError(
        f"{entry.name}: {', '.join(names)} {verb} missing: "
        f"put {pronoun} into {data_root(data_dir) / entry.name}{way}"
    )


def refusal(entry: Entry, path: Path, problem: str) -> ValueError:
    """The error for a wrong file of a data set: one line with the remedy."""
    return ValueError(f"{entry.name}: {path} {problem}; {entry.remedy}")


@contextmanager
def reading(entry: Entry, path: Path) -> Iterator[None]:
    """Turn whatever is wrong with a file while it is read into the ValueError of `refusal`."""
    with blocks.complaints(lambda problem: refusal(entry, path, problem)):
        yield


def check(entry: Entry, path: Path, file: File) -> None:
    """Raise the ValueError of `refusal` unless a file is the official one."""
    wrong = problem(path, file)
    if wrong is not None:
        raise refusal(entry, path, wrong)


def problem(path: Path, file: File) -> str | None:
    """What is wrong with a file on disk, to be put behind its name; None if it is the right one.

    A checksum that does not bind is not compared. Raises ValueError if the file cannot be read.
    """
    wrong = quick_problem(path, file)
    if wrong or file.folder or not file.digest or not file.binding:
        return wrong
    checksum = digest(path, file.algorithm)
    if checksum == file.checksum or (file.content and content_digest(path) == file.content):
        return None
    return f"is truncated or another file: its {file.algorithm} is {checksum}, not {file.checksum}"


def quick_problem(path: Path, file: File) -> str | None:
    """As `problem`, as far as the size and the first bytes of the file show it."""
    if file.folder:
        return None if path.is_dir() else "is not a folder"
    if not path.is_file():
        return "is not a file"
    # What a host says about its limits is more telling than a wrong checksum.
    if is_page(path):
        return "is a web page: the host answered with a notice"
    size = path.stat().st_size
    if file.size is not None and size < file.size and not file.content:
        return f"is truncated: it has {size:,} of {file.size:,} bytes"
    return None


def is_page(path: Path) -> bool:
    """Whether a file begins as an HTML page does."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return False
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head"))


def check_members(entry: Entry, archive: Path, members: Iterable[str]) -> None:
    """Raise the ValueError of `refusal` if a member of an archive would lie outside its folder."""
    for member in members:
        parts = [*PurePosixPath(member).parts, *PureWindowsPath(member).parts]
        is_absolute = PurePosixPath(member).is_absolute() or PureWindowsPath(member).anchor
        if is_absolute or ".." in parts:
            raise refusal(entry, archive, f"is refused: its member {member!r} leaves the folder")


def digest(path: Path, algorithm: str = "md5") -> str:
    """The checksum of a file in hexadecimal; remembered while its size and time stay the same.

    Raises ValueError if the file cannot be read.
    """
    try:
        before = path.stat()
        key = f"{algorithm}\n{path.resolve()}\n{before.st_size}\n{before.st_mtime_ns}"
        note = cache_root() / "digests" / hashlib.sha256(key.encode()).hexdigest()
        remembered = _read(note)
        if remembered is not None and remembered.startswith(f"{key}\n"):
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
        _remember(note, f"{key}\n{value}")
    return value


def content_digest(path: Path) -> str | None:
    """The sha256 of the unpacked content of a gzip file; None if it is damaged or no gzip file."""
    value = hashlib.sha256()
    try:
        with gzip.open(path) as unpacked:
            while block := unpacked.read(_BLOCK):
                value.update(block)
    except (OSError, EOFError, zlib.error):
        return None
    return value.hexdigest()


def _read(note: Path) -> str | None:
    try:
        return note.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _remember(note: Path, text: str) -> None:
    # Best effort: without a cache the file is read again.
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, note)
