"""Reading the official dSprites file.

The archive holds `imgs` uint8 (n, 64, 64) of 0 and 1, `latents_classes` int64 (n, 6) and others.
Loaded plainly it takes 3 GB, so it is streamed once into packed bits, which are memory-mapped. Its
`metadata` is a pickle and is never opened.
"""

import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from .sprites import SIDE, pack

NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"

_BLOCK = 4096  # images read at a time: 16 MB
_REMEDY = "remove it to use the built-in renderer, or fetch the official file again"


def official_bits(path: Path, sizes: tuple[int, ...], cache: Path) -> NDArray[np.uint64]:
    """Bit rows (n, 64) of all images of the official file, as `sprites.unpack` takes them.

    Read-only from a file in the folder `cache`, which is written if it is not there; in memory if
    it cannot be written. `sizes` are those of the factors without colour. Raises ValueError if the
    file is not the official one, names the file and says what to do.
    """
    _check_md5(path)
    # The name has the md5, so that what lies in the cache belongs to this very file.
    packed = cache / f"dsprites-{MD5}.npy"
    count = math.prod(sizes)
    # Without the lock at first: a cache that others have filled may be read-only.
    if _is_packed(packed, count):
        return _mapped(packed)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(packed.with_suffix(".lock")):
            if not _is_packed(packed, count):
                _write(packed, path, sizes)
            return _mapped(packed)
    except (OSError, NotImplementedError):  # the latter where the file system has no locks
        bits = np.empty((count, SIDE), dtype=np.uint64)
        start = 0
        for block in _blocks(path, sizes):
            bits[start : start + len(block)] = block
            start += len(block)
        bits.setflags(write=False)
        return bits


def _check_md5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from error
    if found.hexdigest() != MD5:
        kind = "another file" if zipfile.is_zipfile(path) else "truncated or not an npz file"
        raise _refusal(path, f"is {kind}: its md5 is {found.hexdigest()}, not {MD5}")


def _refusal(path: Path, what: str) -> ValueError:
    return ValueError(f"dsprites: {path} {what}; {_REMEDY}")


def _mapped(packed: Path) -> NDArray[np.uint64]:
    return np.asarray(np.load(packed, mmap_mode="r", allow_pickle=False))


def _is_packed(packed: Path, count: int) -> bool:
    try:
        bits = _mapped(packed)
    except (OSError, ValueError, EOFError):
        return False
    return bits.shape == (count, SIDE) and bits.dtype == np.dtype("<u8")


def _write(packed: Path, path: Path, sizes: tuple[int, ...]) -> None:
    # Written, not mapped: a full disk must be an OSError and not the end of the process. The name
    # is always the same, so that what an interrupted process left is overwritten.
    partial = packed.with_suffix(".partial")
    header = {"descr": "<u8", "fortran_order": False, "shape": (math.prod(sizes), SIDE)}
    try:
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in _blocks(path, sizes):
                file.write(block.astype("<u8", copy=False).tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, packed)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _blocks(path: Path, sizes: tuple[int, ...]) -> Iterator[NDArray[np.uint64]]:
    """Bit rows of the images in blocks, after a check of the labels. Raises ValueError."""
    count = math.prod(sizes)
    try:
        with zipfile.ZipFile(path) as archive:
            classes = _members(archive, "latents_classes", np.dtype("<i8"), (count, 1 + len(sizes)))
            imgs = _members(archive, "imgs", np.dtype("u1"), (count, SIDE, SIDE))
            # Closed here, or a complaint would leave the members, and with them the file, open.
            with closing(classes), closing(imgs):
                for start, found in classes:
                    rows = np.arange(start, start + len(found))
                    expected = np.stack([0 * rows, *np.unravel_index(rows, sizes)], axis=1)
                    if not np.array_equal(found, expected):
                        raise _Foreign("holds its images in another order")
                for _, pixels in imgs:
                    if pixels.max() > 1:
                        raise _Foreign("holds pixels other than 0 and 1")
                    yield pack(pixels)
    except _Foreign as error:
        raise _refusal(path, str(error)) from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise _refusal(path, f"is damaged ({error})") from error


class _Foreign(Exception):
    """The archive can be read but is not the official one."""


def _members(
    archive: zipfile.ZipFile, key: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Generator[tuple[int, NDArray[Any]], None, None]:
    """The array `key` in blocks along its first axis, each with its first index."""
    try:
        member = archive.open(f"{key}.npy")
    except KeyError:
        raise _Foreign(f"has no array {key!r}") from None
    with member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise _Foreign(f"has the array {key!r} in the npy version {version}")
        found = np.lib.format.read_array_header_1_0(member)
        if found != (shape, False, dtype):
            raise _Foreign(f"has the array {key!r} as {found[2]} {found[0]}, not {dtype} {shape}")
        width = dtype.itemsize * math.prod(shape[1:])
        for start in range(0, shape[0], _BLOCK):
            length = min(_BLOCK, shape[0] - start)
            data = member.read(length * width)
            if len(data) != length * width:
                raise EOFError(f"{key} ends early")
            yield start, np.frombuffer(data, dtype=dtype).reshape(length, *shape[1:])
        # Reading on to the end makes zipfile check the checksum of the member.
        if member.read(1):
            raise _Foreign(f"has more in the array {key!r} than its header says")
