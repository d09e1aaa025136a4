"""What is known of a data set, and where its files are: `bench.datasets.files` for the command."""

from collections.abc import Sequence
from pathlib import Path

from bench.datasets import files
from bench.datasets.entry import Entry, File
from bench.datasets.files import Location
from bench.errors import RequestError
from bench.registry import resolve


def entry_of(name: str) -> Entry | None:
    """What is known of a data set; None if its class does not say."""
    entry = getattr(resolve("dataset", name), "entry", None)
    return entry if isinstance(entry, Entry) else None


def root_of(data_dir: str | Path | None) -> Path:
    """The data folder. Raises RequestError if it is not a folder."""
    try:
        return files.data_root(data_dir)
    except ValueError as error:
        raise RequestError(str(error)) from error


def find(entry: Entry, data_dir: str | Path | None) -> Sequence[Location]:
    """Where the files of a data set are, in the order of its entry."""
    root_of(data_dir)
    return files.find(entry, data_dir)


def problem(path: Path, file: File) -> str | None:
    """What is wrong with a file on disk; see `bench.datasets.files.problem`."""
    try:
        return files.problem(path, file)
    except ValueError as error:
        raise RequestError(str(error)) from error


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file. Raises RequestError if it cannot be read."""
    try:
        return files.digest(path, algorithm)
    except ValueError as error:
        raise RequestError(str(error)) from error
