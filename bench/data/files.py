"""Which files of a data set are on disk, and whether they are the right ones."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets import files
from bench.datasets.catalogue import CATALOGUE
from bench.datasets.entry import Entry, File
from bench.datasets.official import is_page
from bench.errors import RequestError, UnknownNameError
from bench.registry import registry

_BLOCK = 2**20


@dataclass(frozen=True)
class Place:
    """A file of a data set, and where it lies, or one that does as well; None if it is missing."""

    wanted: File
    file: File
    path: Path | None


def entry_of(name: str) -> Entry | None:
    """What is known of a data set; None if it comes without files. Raises RequestError."""
    known = registry("dataset")
    if name not in known:
        raise UnknownNameError("dataset", name, known)
    return CATALOGUE.get(name)


def root_of(data_dir: str | Path | None) -> Path:
    """The data folder. Raises RequestError."""
    try:
        return files.data_root(data_dir)
    except ValueError as error:
        raise RequestError(str(error)) from error


def places(name: str, entry: Entry, data_dir: str | Path | None) -> Sequence[Place]:
    """The files of a data set in the order of the catalogue."""
    root = root_of(data_dir)
    elsewhere = [root / place for place in entry.places]
    found = []
    for wanted in entry.files:
        names = {file.name: file for file in (wanted, *wanted.instead)}
        path = files.found(name, data_dir, tuple(names), elsewhere)
        found.append(Place(wanted, names[path.name] if path else wanted, path))
    return found


def seen_at_once(path: Path, file: File) -> str | None:
    """What is wrong with a file on disk, as far as can be told without reading it; else None."""
    if file.folder or not path.is_file():
        return None if file.folder and path.is_dir() else "is not a file"
    if is_page(path):
        return "is a web page: the host answered with a notice"
    size = path.stat().st_size
    if file.size is not None and size < file.size and not file.content:
        return f"is truncated: it has {size:,} of {file.size:,} bytes"
    return None


def complaint(path: Path, file: File) -> str | None:
    """What is wrong with a file on disk, to be put behind its name; None if it is the right one.

    A checksum that does not bind is not looked at. Raises RequestError if it cannot be read.
    """
    wrong = seen_at_once(path, file)
    if wrong or file.folder or not file.digest or not file.binding:
        return wrong
    algorithm, _, known = file.digest.partition(":")
    checksum = digest(path, algorithm)
    if checksum == known or (file.content and content(path) == file.content):
        return None
    return f"is truncated or another file: its {algorithm} is {checksum}, not {known}"


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file. Raises RequestError if it cannot be read."""
    try:
        return files.digest(path, algorithm)
    except ValueError as error:
        raise RequestError(str(error)) from error


def content(path: Path) -> str | None:
    """sha256 of what a gzip file has packed; None if it is damaged or none."""
    value = hashlib.sha256()
    try:
        with gzip.open(path) as unpacked:
            while block := unpacked.read(_BLOCK):
                value.update(block)
    except (OSError, EOFError, zlib.error):
        return None
    return value.hexdigest()
