"""Arrays that take long to make: made once, kept in the user's cache folder, read at random."""

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

SMALL = 10**9  # bytes: up to here an array is kept in memory if it cannot be kept on disk

_RESIDENT = 2**29  # bytes: from here on a mapped file does not stay in the memory of a process
_AT_A_TIME = 128  # rows of such a file read at a time: each may bring 2 MB with it


def cache_root() -> Path:
    """The user's cache folder; it may be absent."""
    return Path(platformdirs.user_cache_dir(APPLICATION)).resolve()


def prepared(
    key: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    blocks: Blocks,
) -> NDArray[Any]:
    """The array that `blocks` yields, in order along its first axis; read-only.

    It is a memory map of `cache_root()`/`key`.npy, which is written on first use. Up to `SMALL`
    bytes the array is in memory if the cache cannot be written.

    Args:
        key: has to change with the content.
        shape: of the whole array.
        dtype: of the whole array.
        blocks: called to make the array, if it is not in the cache. A ValueError that it raises
            goes through.

    Raises:
        ValueError: the blocks do not make up the array, or a large array finds no place in the
            cache.
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
                raise _UnwritableError(f"{path} changed while it was written: try again")
            return ready
    except _UnwritableError as error:
        if _bytes(shape, kind) > SMALL:
            raise ValueError(
                f"{key} cannot be prepared: {error}, or set XDG_CACHE_HOME to another folder"
            ) from error
    array = np.empty(shape, dtype=np.dtype(dtype))
    start = 0
    with closing(_checked(key, shape, kind, blocks)) as stream:
        for block in stream:
            array[start : start + len(block)] = block
            start += len(block)
    array.setflags(write=False)
    return array


def rows(array: NDArray[Any], indices: ArrayLike) -> NDArray[Any]:
    """A copy of some rows of a prepared array, without keeping a large one in memory."""
    chosen = np.asarray(indices, dtype=np.int64)
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if array.nbytes <= _RESIDENT or not hasattr(owner, "madvise"):
        return array[chosen]
    copy = np.empty((len(chosen), *array.shape[1:]), array.dtype)
    for start in range(0, len(chosen), _AT_A_TIME):
        copy[start : start + _AT_A_TIME] = array[chosen[start : start + _AT_A_TIME]]
        # Otherwise every page that was ever near a row counts as the process's own: soon the whole
        # file. The system still has the page, so reading it again is cheap, though not free.
        owner.madvise(mmap.MADV_DONTNEED)
    return copy


class _UnwritableError(Exception):
    """The cache cannot take a file."""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Be the only process to write a file, in a folder that exists. Raises _UnwritableError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise _unwritable(path, error) from error
    except NotImplementedError as error:
        raise _UnwritableError(
            f"the file system of {path.parent} has no locks: use another"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Blocks) -> None:
    _log.info("preparing %s (%s) once", path, _size(_bytes(shape, dtype)))
    # The name is always the same, so that what a killed process left is written over.
    partial = path.with_suffix(".partial")
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    try:
        partial.unlink(missing_ok=True)
        free, needed = shutil.disk_usage(path.parent).free, _bytes(shape, dtype)
        if free < needed:
            raise _UnwritableError(
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


def _unwritable(path: Path, error: OSError) -> _UnwritableError:
    return _UnwritableError(
        f"{path.parent} cannot be written ({error.strerror or error}): make it writable"
    )


def _checked(
    key: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Blocks
) -> Generator[NDArray[Any], None, None]:
    """The blocks. Raises ValueError unless they make up the array, and for an OSError of theirs."""
    count = 0
    stream = blocks()
    try:
        for block in stream:
            count += len(block)
            if block.shape[1:] != shape[1:] or block.dtype != dtype or count > shape[0]:
                raise ValueError(f"{key}: {block.dtype} {block.shape} is no part of {shape}")
            yield block
    except OSError as error:
        raise ValueError(f"{key}: its source cannot be read ({error})") from error
    finally:
        # Now and not some time later: an open generator holds its file.
        getattr(stream, "close", lambda: None)()
    if count != shape[0]:
        raise ValueError(f"{key}: {count} rows instead of {shape[0]}")


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
