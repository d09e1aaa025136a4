"""Downloading one file from one address: what arrives is kept, checked, and gone on from."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.console import size_in_words
from bench.data.progress import Watch
from bench.datasets.entry import File
from bench.datasets.official import is_page
from bench.errors import RequestError

_CONNECT, _SILENCE = 10, 60  # seconds to wait for a host, and for its next bytes
_BLOCK = 2**17
_PAGE = "answered with a web page, which is a notice or a limit of the host"


class NoLuck(Exception):
    """An address does not give the file; the message says why, without naming it."""


def download(url: str, target: Path, file: File, watch: Watch) -> None:
    """Bring a file to `target`, which is written only when all of it is there and right.

    Until then it is `part_of(target, file, url)`, from where a later call goes on. Raises NoLuck,
    RequestError where the disk is too small, and OSError where it cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # its messages are not for the user of bench
    part = part_of(target, file, url)
    known = file.digest if file.binding and file.digest else None
    while True:
        resumed = part.exists()
        try:
            pooch.retrieve(
                url,
                known_hash=known,
                fname=target.name,
                path=target.parent,
                downloader=_Resuming(part, file, watch),
            )
            return
        except ValueError as error:  # of pooch, which has removed what it got
            if not resumed:
                algorithm, _, value = file.digest.partition(":")
                raise NoLuck(f"sent another file: its {algorithm} is not {value}") from error
            # What had been there may have been wrong: once more, from the start.


def part_of(target: Path, file: File, url: str) -> Path:
    """Where a file lies until all of it has arrived."""
    # Without a checksum to tell in the end, what two hosts sent must not be put together.
    host = "" if file.binding and file.digest else f".{urlsplit(url).hostname}"
    return target.with_name(f"{target.name}{host}.part")


class _Resuming:
    """A downloader for pooch that goes on from a part of the file where there is one."""

    def __init__(self, part: Path, file: File, watch: Watch) -> None:
        self._part, self._file, self._watch = part, file, watch

    def __call__(self, url: str, output: Any, pooch: Any) -> None:
        import requests
        import urllib3

        try:
            if not self._whole(self._there()):
                self._go_on(url)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise NoLuck(_reason(error)) from error
        os.replace(self._part, output)

    def _there(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _whole(self, count: int) -> bool:
        return count == self._file.size and self._file.binding

    def _go_on(self, url: str) -> None:
        import requests

        start = self._there()
        # As it is: unpacked on the way, it would have another checksum.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE)
        ) as response:
            if start and response.status_code == 416:
                # There is nothing from here on: it is whole, or of something else.
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return
                self._part.unlink()
                return self._go_on(url)
            response.raise_for_status()
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise NoLuck(_PAGE)
            if response.status_code != 206:
                start = 0
            total = self._total(response, start)
            self._refuse_other_sizes(total)
            if total is not None:
                require_room(self._part.parent, total - start, self._file.name)
            self._receive(response, start, total)
        return None

    def _total(self, response: Any, start: int) -> int | None:
        """How many bytes the whole file has at this address. Raises NoLuck."""
        if start:
            begin, _, total = response.headers.get("Content-Range", "").partition("/")
            if not begin.startswith(f"bytes {start}-"):
                raise NoLuck("sent another part of the file than was asked for")
            return int(total) if total.isdecimal() else None
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None

    def _refuse_other_sizes(self, total: int | None) -> None:
        size = self._file.size
        if self._file.binding and None not in (total, size) and total != size:
            raise NoLuck(f"has a file of {total:,} bytes, not {size:,}")

    def _receive(self, response: Any, start: int, total: int | None) -> None:
        import urllib3

        count, broken = start, False
        with self._part.open("r+b" if start else "wb") as part:
            part.seek(start)
            try:
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    part.write(block)
                    count += len(block)
                    self._watch(count, total)
            except urllib3.exceptions.ProtocolError:
                broken = True
            part.flush()
            os.fsync(part.fileno())
        if is_page(self._part):
            self._part.unlink()
            raise NoLuck(_PAGE)
        wanted = self._file.size if self._file.binding and self._file.size else total
        if broken or (wanted is not None and count < wanted):
            of = "" if wanted is None else f" of {wanted:,}"
            raise NoLuck(f"broke off after {count:,}{of} bytes")


def require_room(folder: Path, count: int, what: str) -> None:
    """Raise RequestError unless a folder has room for so many bytes more."""
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
    words = [c.strerror for c in causes if isinstance(c, OSError) and isinstance(c.strerror, str)]
    if words:
        return words[-1].lower()
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return f"no connection ({type(error).__name__})"
