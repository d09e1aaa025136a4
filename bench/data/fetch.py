"""`bench data fetch`: the official files of a data set, from the first host that has them.

What arrives is kept, checked, and resumed from.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock
from rich.console import Console

from bench.console import say, size_in_words
from bench.data.files import digest, entry_of, find, problem, root_of
from bench.data.progress import Advance, progress_of
from bench.datasets.entry import File
from bench.datasets.files import Location, is_page
from bench.errors import RequestError

_CONNECT, _SILENCE = 10, 60  # seconds to wait for a host, and for its next bytes
_BLOCK = 2**17  # bytes
_PAGE = "answered with a web page, which is a notice or a limit of the host"


def fetch_all(names: Sequence[str], data_dir: str | Path | None, log: Console) -> None:
    """Fetch one data set after the other, even if one fails.

    Raises RequestError at the end if one failed.
    """
    for name in names:
        entry_of(name)
    failures = []
    for name in dict.fromkeys(names):
        try:
            fetch(name, data_dir, log)
        except RequestError as error:
            failures.append(error)
    for failure in failures[:-1]:
        say(log, f"bench: {failure}")
    if failures:
        raise failures[-1]


def fetch(name: str, data_dir: str | Path | None, log: Console) -> None:
    """Download what a data set lacks.

    A file gets its name when all of it is there and its checksum is right; a wrong file of that
    name is replaced then, and not before.

    Raises:
        RequestError: a file cannot be fetched. One line says what to do by hand.
    """
    entry = entry_of(name)
    if entry is None or not entry.files:
        origin = f"it is {entry.origin}" if entry else "its class names no files"
        say(log, f"{name}: nothing to fetch, {origin}")
        return
    needed = []
    for location in find(entry, data_dir):
        wrong = problem(location.path, location.file) if location.path else None
        if location.path is None or wrong:
            needed.append(location)
        else:
            say(log, f"{name}: {location.path} is already there")
        if wrong:
            remedy = "it will be replaced" if location.wanted.urls else "replace it"
            say(log, f"{name}: {location.path} {wrong}: {remedy}")
    folder = root_of(data_dir) / entry.name
    downloads = [location for location in needed if location.wanted.urls]
    by_hand = [location.wanted for location in needed if not location.wanted.urls]
    if downloads:
        say(log, f"{name}: {entry.citation}; licence: {entry.licence}")
        for file in by_hand:
            say(log, f"{name}: {file.name} can only be fetched with a browser, see below")
    try:
        with _locked(name, folder, bool(downloads)):
            _require_room_for_all(name, folder, downloads)
            for number, location in enumerate(downloads):
                later = [other.wanted.name for other in downloads[number + 1 :]]
                _fetch_file(name, location, folder, later, log)
    except OSError as error:
        raise RequestError(
            f"{name}: {folder} cannot be written ({error.strerror or error}): make it writable, or "
            "choose another folder with --data-dir; what has arrived stays there, and the same "
            "command resumes from it"
        ) from error
    if by_hand:
        file_names = " and ".join(file.name for file in by_hand)
        raise RequestError(
            f"{name}: {file_names} cannot be fetched by a program: open "
            f"{by_hand[0].page or entry.page} in a browser and put "
            f"{'it' if len(by_hand) == 1 else 'them'} into {folder}"
        )


def _fetch_file(
    name: str, location: Location, folder: Path, later: Sequence[str], log: Console
) -> None:
    """Fetch one file, from the first host that has it; `later` are the files after it."""
    file = location.wanted
    target = _target(location, folder)
    if location.path is not None and not _is_checked(file):
        location.path.unlink()  # a web page under the name of the file: nothing is lost with it
    reasons = []
    for url in file.urls:
        host = urlsplit(url).hostname or url
        try:
            with progress_of(f"fetching {file.name} from {host}", log) as advance:
                download(url, target, file, advance)
        except DownloadError as error:
            reasons.append(f"{host}: {error}")
            continue
        for other in file.urls:
            part_of(target, file, other).unlink(missing_ok=True)
        say(log, f"{name}: wrote {target} ({_verdict(target, file)})")
        return
    more = f"; {', '.join(later)} from there too" if later else ""
    raise RequestError(
        f"{name}: {file.name} could not be fetched ({'; '.join(reasons)}): try again later, or "
        f"download {file.urls[0]} elsewhere and put it into {target.parent} as {file.name}{more}"
    )


def _target(location: Location, folder: Path) -> Path:
    """Where the file will be: in location of a wrong one, which would be found before it."""
    wrong = location.path
    if wrong is not None and wrong.parent in (folder, folder.parent):
        return wrong.with_name(location.wanted.name)
    return folder / location.wanted.name


def _verdict(path: Path, file: File) -> str:
    """What the checksum of a new file says, in words."""
    checksum = digest(path, file.algorithm)
    if not file.checksum:
        return f"its {file.algorithm} is {checksum}; no checksum is published to compare it with"
    if checksum != file.checksum:
        return (
            f"its {file.algorithm} is {checksum}, not {file.checksum} as first published; hosts "
            "have changed the file since: `bench data verify` compares its statistics"
        )
    return f"its {file.algorithm} is right"


def _require_room_for_all(name: str, folder: Path, downloads: Sequence[Location]) -> None:
    """Raise RequestError unless all files of known size fit."""
    needed = 0
    for location in downloads:
        parts = [
            part_of(_target(location, folder), location.wanted, url) for url in location.wanted.urls
        ]
        received = max((part.stat().st_size for part in parts if part.exists()), default=0)
        needed += max(0, (location.wanted.size or 0) - received)
    require_room(folder, needed, name)


@contextmanager
def _locked(name: str, folder: Path, needed: bool) -> Iterator[None]:
    """Keep other processes from fetching into the folder, which is created; nothing if not needed.

    Raises RequestError if another process is fetching, OSError if the folder cannot be written.
    """
    if not needed:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".fetch.lock", timeout=0):
            for leftover in folder.glob("tmp????????"):  # of pooch, if it was killed
                if not leftover.stat().st_size:
                    leftover.unlink()
            yield
    except filelock.Timeout as error:
        raise RequestError(
            f"{name}: another bench data fetch is at work in {folder}: wait until it is done"
        ) from error


class DownloadError(Exception):
    """A host does not send the file; the message says why, without naming the file."""


def download(url: str, target: Path, file: File, advance: Advance) -> None:
    """Bring a file to `target`, which is written only when all of it is there and right.

    Until then it is `part_of(target, file, url)`, from where a later call resumes.

    Raises:
        DownloadError: the host does not send the file.
        RequestError: the disk is too small.
        OSError: the disk cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # its messages are not for the user of bench
    part = part_of(target, file, url)
    while True:
        resumed = part.exists()
        try:
            pooch.retrieve(
                url,
                known_hash=file.digest if _is_checked(file) else None,
                fname=target.name,
                path=target.parent,
                downloader=_Resuming(part, file, advance),
            )
            return
        except ValueError as error:  # from pooch, which has removed what it received
            if not resumed:
                raise DownloadError(
                    f"sent another file: its {file.algorithm} is not {file.checksum}"
                ) from error
            # What an earlier call left may have been wrong: once more, from the start.


def part_of(target: Path, file: File, url: str) -> Path:
    """Where a file is until all of it has arrived."""
    # Without a checksum to compare in the end, what two hosts sent must not be put together.
    host = "" if _is_checked(file) else f".{urlsplit(url).hostname}"
    return target.with_name(f"{target.name}{host}.part")


def _is_checked(file: File) -> bool:
    """Whether only a file with the published checksum is accepted."""
    return bool(file.digest and file.binding)


class _Resuming:
    """A downloader for pooch that resumes from a part of the file if there is one."""

    def __init__(self, part: Path, file: File, advance: Advance) -> None:
        self._part, self._file, self._advance = part, file, advance

    def __call__(self, url: str, output: Any, pooch: Any) -> None:
        import requests
        import urllib3

        try:
            if not (self._file.binding and self._received() == self._file.size):
                self._resume(url)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise DownloadError(_reason(error)) from error
        os.replace(self._part, output)

    def _received(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _resume(self, url: str) -> None:
        import requests

        start = self._received()
        # As it is: unpacked on the way, it would have another checksum.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE)
        ) as response:
            if start and response.status_code == 416:
                # There are no bytes from here on: the part is complete, or of another file.
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return
                self._part.unlink()
                return self._resume(url)
            response.raise_for_status()
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise DownloadError(_PAGE)
            if response.status_code != 206:
                start = 0
            total = self._total(response, start)
            self._refuse_other_sizes(total)
            if total is not None:
                require_room(self._part.parent, total - start, self._file.name)
            self._receive(response, start, total)
        return None

    def _total(self, response: Any, start: int) -> int | None:
        """How many bytes the whole file has at this address. Raises DownloadError."""
        if start:
            begin, _, total = response.headers.get("Content-Range", "").partition("/")
            if not begin.startswith(f"bytes {start}-"):
                raise DownloadError("sent another part of the file than requested")
            return int(total) if total.isdecimal() else None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None

    def _refuse_other_sizes(self, total: int | None) -> None:
        size = self._file.size
        if self._file.binding and None not in (total, size) and total != size:
            raise DownloadError(f"has a file of {total:,} bytes, not {size:,}")

    def _receive(self, response: Any, start: int, total: int | None) -> None:
        import urllib3

        count, broken_off = start, False
        with self._part.open("r+b" if start else "wb") as part:
            part.seek(start)
            try:
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    part.write(block)
                    count += len(block)
                    self._advance(count, total)
            except urllib3.exceptions.ProtocolError:
                broken_off = True
            part.flush()
            os.fsync(part.fileno())
        if is_page(self._part):
            self._part.unlink()
            raise DownloadError(_PAGE)
        expected = self._file.size if self._file.binding and self._file.size else total
        if broken_off or (expected is not None and count < expected):
            of = "" if expected is None else f" of {expected:,}"
            raise DownloadError(f"broke off after {count:,}{of} bytes")


def require_room(folder: Path, count: int, what: str) -> None:
    """Raise RequestError unless the disk of a folder has room for `count` more bytes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < count:
        raise RequestError(
            f"{what} needs {size_in_words(count)} in {folder}, which has {size_in_words(free)}: "
            "free some, or choose another folder with --data-dir"
        )


def _reason(error: BaseException) -> str:
    """Why there is no answer, in a few words."""
    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return "the host is not found"
    reasons = [c.strerror for c in causes if isinstance(c, OSError) and isinstance(c.strerror, str)]
    if reasons:
        return reasons[-1].lower()
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return f"no connection ({type(error).__name__})"
