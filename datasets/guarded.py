"""What every reader of somebody's arrays keeps to: nothing is believed before it is checked.

The readers themselves are in `array_files` and `tables`.
"""

import io
import math
import os
import struct
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**24  # bytes read at a time
_LISTED = 8  # names in a message


class ArrayFileError(ValueError):
    """A file, or an array of it, cannot be read; one line names it and says what to do."""


class Header(NamedTuple):
    """What a file declares of an array, before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class ArrayFile(ABC):
    """An open file of arrays, to be used in a `with` block.

    Attributes:
        path: of the file.
        names: of everything in the file, in its order, whether or not it can be read. Arrays in
            groups of an HDF5 file have their whole path, such as `train/codes`; the names of a
            table are those of its columns.
        is_table: whether the arrays are the columns of a table.
    """

    is_table = False

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path = path
        self.names = tuple(dict.fromkeys(names))
        self._repeated = {name for name, count in Counter(names).items() if count > 1}
        self.allowed = memory() // 2  # what is read is copied at least once
        self._headers: dict[str, Header] = {}

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def header(self, name: str) -> Header:
        """Shape and type of an array, as the file declares them.

        Raises:
            ArrayFileError: there is no such array, or it is one that is never read.
        """
        if name not in self._headers:
            self.require(name)
            with complaints(self.path, f"array {name}"):
                self._headers[name] = self._header(name)
        return self._headers[name]

    def read(self, name: str) -> NDArray[Any]:
        """A whole array: numbers, booleans, or text as `str`.

        Raises:
            ArrayFileError: as `header`, or the array is damaged, larger than the file can hold,
                or larger than what memory allows, together with those read before.
        """
        header = self.header(name)
        with complaints(self.path, f"array {name}"):
            self._check_stored(name, header)
            self.allow(size_of(header), f"array {name} {in_words(header)}")
            return self._read(name, header)

    def blocks(self, name: str) -> Generator[NDArray[Any], None, None]:
        """An array in blocks along its first axis, for those that are larger than the memory.

        Raises:
            ArrayFileError: as `read`, but for the size of the whole.
        """
        header = self.header(name)
        with complaints(self.path, f"array {name}"):
            self._check_stored(name, header)
            if not header.shape:
                raise self.error(name, "is a single value: make it an array")
            row = Header(header.shape[1:], header.dtype)
            if size_of(row) > self.allowed:
                raise self.too_large(f"a row of array {name} {in_words(row)}", size_of(row))
            yield from self._blocks(name, header, max(1, _BLOCK // size_of(row)))

    def listed(self) -> str:
        """The first few names, for messages."""
        more = len(self.names) - _LISTED
        names = ", ".join(self.names[:_LISTED]) or "nothing"
        return f"{names} and {more} more" if more > 0 else names

    def error(self, name: str, problem: str) -> ArrayFileError:
        """The error about an array, `problem` being what follows its name."""
        return ArrayFileError(f"{self.path}: array {name} {problem}")

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _header(self, name: str) -> Header: ...

    @abstractmethod
    def _check_stored(self, name: str, header: Header) -> None:
        """Raise ArrayFileError if an array declares more than the file can hold."""

    @abstractmethod
    def _read(self, name: str, header: Header) -> NDArray[Any]: ...

    @abstractmethod
    def _blocks(self, name: str, header: Header, rows: int) -> Iterator[NDArray[Any]]: ...

    def require(self, name: str) -> None:
        """Raise ArrayFileError unless exactly one array has the name."""
        what = "column" if self.is_table else "array"
        if name not in self.names:
            raise ArrayFileError(f"{self.path} has no {what} {name!r}: it has {self.listed()}")
        if name in self._repeated:
            raise ArrayFileError(f"{self.path} has the {what} {name} twice: rename one of them")

    def allow(self, size: int, what: str) -> None:
        """Raise ArrayFileError if something is too large for the memory, with all before it."""
        if size > self.allowed:
            raise self.too_large(what, size)
        self.allowed -= size

    def too_large(self, what: str, size: int) -> ArrayFileError:
        return ArrayFileError(
            f"{self.path}: {what} would take {size / 10**9:,.1f} GB of memory, and "
            f"{self.allowed / 10**9:,.1f} GB may be used for it: give fewer rows, or smaller types"
        )

    def too_short(self, name: str, header: Header, stored: int) -> ArrayFileError:
        return self.error(
            name,
            f"declares {in_words(header)}, but the file holds {stored:,} bytes of it: write it "
            "again",
        )


def memory() -> int:
    """Bytes of memory that this process may use at all."""
    limits = [2**63]
    with suppress(ValueError, OSError, AttributeError):  # where the system does not tell
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    with suppress(ImportError):
        import resource

        limits += [n for n in resource.getrlimit(resource.RLIMIT_AS)[:1] if n > 0]
    return min(limits)


def unpacked_size(content: bytes) -> int:
    """Bytes that an archive declares to unpack to; 0 for what is no archive or a damaged one."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return 0


@contextmanager
def complaints(path: Path, what: str) -> Iterator[None]:
    """Turn whatever is wrong with a file while it is read into an ArrayFileError."""
    try:
        yield
    except ArrayFileError:
        raise
    except MemoryError as error:
        raise ArrayFileError(f"{path}: {what} is too large for the memory: give less") from error
    except PermissionError as error:
        raise ArrayFileError(f"{path} cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged file makes its readers raise nearly anything
        said = " ".join(str(error).split())[:200] or type(error).__name__
        what = "the file" if what == "it" else what
        raise ArrayFileError(f"{path}: {what} is damaged ({said}): write it again") from error


def size_of(header: Header) -> int:
    """Bytes of an array; where a length or the item size is 0 it counts as 1."""
    return math.prod(max(1, n) for n in header.shape) * max(1, header.dtype.itemsize)


def in_words(header: Header) -> str:
    return f"{header.dtype} {header.shape}"
