"""Telling official files from broken downloads and from other files of the same name."""

from collections.abc import Iterable
from pathlib import Path

from . import files

AGAIN = "fetch the official file again"


def check(
    name: str,
    path: Path,
    algorithm: str,
    known: str,
    *,
    size: int | None = None,
    remedy: str = AGAIN,
) -> None:
    """Raise ValueError, of one line with the remedy, unless a file of the set `name` is official.

    `size` in bytes is compared before the file is read.
    """
    if not path.is_file():
        raise ValueError(f"{name}: {path} is not a file; {remedy}")
    found = path.stat().st_size
    # A quota page of a host says more than the checksum, and is seen without reading it all.
    if is_page(path):
        what = f"is a web page and not {path.name}: the host answered with a notice"
    elif size is not None and found < size:
        what = f"is truncated: it has {found:,} of {size:,} bytes"
    elif (checksum := files.digest(path, algorithm)) != known:
        what = f"is truncated or another file: its {algorithm} is {checksum}, not {known}"
    else:
        return
    raise ValueError(f"{name}: {path} {what}; {remedy}")


def check_members(name: str, path: Path, members: Iterable[str], remedy: str = AGAIN) -> None:
    """Raise ValueError if a member of the archive of the set `name` leaves its folder."""
    try:
        files.refuse_escapes(path, members)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; {remedy}") from error


def is_page(path: Path) -> bool:
    """Whether a file begins as a page of HTML."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return False
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head"))
