"""Arrays that take long to make: made once, kept on disk, and read from there at random."""

import logging
import math
import mmap
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs
from numpy.typing import ArrayLike, DTypeLike, NDArray

APPLICATION = "disentanglement-bench"

_log = logging.getLogger(__name__)

Blocks = Callable[[], Iterator[NDArray[Any]]]

SMALL = 10**9  # bytes: up to here prepared data is kept in memory where it cannot be kept on disk

_RESIDENT = 2**29  # bytes: from here on a prepared file does not stay in the memory of a process
_TAKEN = 128  # rows of one that are read at a time: each may bring 2 MB with it


def cache_root() -> Path:
    """The folder for what is prepared; it may be absent."""
    return Path(platformdirs.user_cache_dir(APPLICATION)).resolve()


def prepared(
    key: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    blocks: Blocks,
) -> NDArray[Any]:
    """The array that `blocks` yields, in order along its first axis; read-only.

    A memory map of `cache_root()`/`key`.npy, which is written on first use. The key has to change
    with the content. Up to `SMALL` bytes the array is in memory where the cache cannot be written;
    beyond, that is a ValueError which says what to do. A ValueError of `blocks` goes through.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    path = cache_root() / f"{key}.npy"
    # Without the lock at first: a cache that others have filled may be read-only.
    if (ready := _mapped(path, shape, kind)) is not None:
        return ready
    try:
        with _locked(path):
            if (ready := _mapped(path, shape, kind)) is not None:
                return ready
            _write(path, shape, kind, blocks)
            if (ready := _mapped(path, shape, kind)) is None:
                raise _Unwritable(f"{path} changed while it was written: try again")
            return ready
    except _Unwritable as problem:
        if _bytes(shape, kind) > SMALL:
            raise ValueError(
                f"{key} cannot be prepared: {problem}, or set XDG_CACHE_HOME to another folder"
            ) from problem
    array = np.empty(shape, dtype=np.dtype(dtype))
    start = 0
    with closing(_checked(key, shape, kind, blocks)) as stream:
        for block in stream:
            array[start : start + len(block)] = block
            start += len(block)
    array.setflags(write=False)
    return array


def taken(array: NDArray[Any], rows: ArrayLike) -> NDArray[Any]:
    """A copy of some rows of a prepared array, without keeping a large one in memory."""
    indices = np.asarray(rows, dtype=np.int64)
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if array.nbytes <= _RESIDENT or not hasattr(owner, "madvise"):
        return array[indices]
    copy = np.empty((len(indices), *array.shape[1:]), array.dtype)
    for start in range(0, len(indices), _TAKEN):
        copy[start : start + _TAKEN] = array[indices[start : start + _TAKEN]]
        # Else every page that was ever near a row counts as the process's own, soon the whole file.
        # The system still has it, so to read it again is cheap, though not free.
        owner.madvise(mmap.MADV_DONTNEED)
    return copy


class _Unwritable(Exception):
    """The cache cannot take a file."""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The only one to write a file, in a folder that is there. Raises _Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise _unwritable(path, error) from error
    except NotImplementedError as error:
        raise _Unwritable(f"the file system of {path.parent} has no locks: take another") from error
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Blocks) -> None:
    _log.info("preparing %s (%s) once", path, _size(_bytes(shape, dtype)))
    # The name is always the same, so that what a killed process left is not left for ever.
    partial = path.with_suffix(".partial")
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    try:
        partial.unlink(missing_ok=True)
        free, needed = shutil.disk_usage(path.parent).free, _bytes(shape, dtype)
        if free < needed:
            raise _Unwritable(
                f"needs {_size(needed)} in {path.parent}, {_size(free)} free: free some"
            )
        # Written, not mapped: a full disk has to be an OSError and not the end of the process.
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            with closing(_checked(path.name.removesuffix(".npy"), shape, dtype, blocks)) as stream:
                for block in stream:
                    file.write(np.ascontiguousarray(block).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def _unwritable(path: Path, error: OSError) -> _Unwritable:
    return _Unwritable(f"{path.parent} cannot be written ({error.strerror or error}): mend it")


def _checked(
    key: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Blocks
) -> Generator[NDArray[Any], None, None]:
    """The blocks, if they make up the promised array. An OSError of theirs is a ValueError here."""
    rows = 0
    stream = blocks()
    try:
        for block in stream:
            rows += len(block)
            if block.shape[1:] != shape[1:] or block.dtype != dtype or rows > shape[0]:
                raise ValueError(f"{key}: {block.dtype} {block.shape} is no part of {shape}")
            yield block
    except OSError as error:
        raise ValueError(f"{key}: what it is made of cannot be read ({error})") from error
    finally:
        # Now and not some time later: an open generator holds its file.
        getattr(stream, "close", lambda: None)()
    if rows != shape[0]:
        raise ValueError(f"{key}: {rows} rows instead of {shape[0]}")


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """The prepared file, if it is whole."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
            return None
        whole = path.stat().st_size == array.offset + _bytes(shape, dtype)
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    return np.asarray(array) if whole else None


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"
