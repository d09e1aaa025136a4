"""Arrays of npz and HDF5 files in blocks. No file is trusted, and nothing is unpickled.

An array that is read has the expected type and shape, or is refused before memory is allocated
for it.
"""

import math
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stream = Generator[NDArray[Any], None, None]

_BLOCK = 2**24  # bytes read at a time, unless the chunks of the file require more
_LIMIT = 2**28  # bytes of the largest block that the chunks of an HDF5 file may require


class WrongFileError(Exception):
    """A readable file is not the expected one; the message is to be put behind its name."""


@contextmanager
def complaints(refusal: Callable[[str], ValueError]) -> Iterator[None]:
    """Turn whatever is wrong with a file while it is read into one ValueError, made by `refusal`.

    `refusal` gets the problem, to be put behind the name of the file.
    """
    try:
        yield
    except WrongFileError as error:
        raise refusal(str(error)) from error
    # A damaged archive makes its readers raise nearly anything.
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        NotImplementedError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise refusal(f"is damaged ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def shown(name: str) -> str:
    """A name of somebody else's as it may stand in a line."""
    return name if name.isprintable() else ascii(name)


def npz_header(archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array `key`. Raises WrongFileError."""
    with _opened(archive, key) as member:
        return _header(member, key)


def npz_blocks(
    archive: zipfile.ZipFile, key: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Stream:
    """The array `key` in blocks along its first axis.

    Raises:
        WrongFileError: it is absent, or has another type or shape. Damage raises what
            `complaints` turns into a ValueError.
    """
    with _opened(archive, key) as member:
        _expect(key, _header(member, key), (shape, dtype))
        width = dtype.itemsize * math.prod(shape[1:])
        rows = max(1, _BLOCK // max(1, width))
        for start in range(0, shape[0], rows):
            length = min(rows, shape[0] - start)
            data = member.read(length * width)
            if len(data) != length * width:
                raise EOFError(f"{key} ends early")
            yield np.frombuffer(data, dtype=dtype).reshape(length, *shape[1:])
        # Reading on to the end makes zipfile check the checksum of the member.
        if member.read(1):
            raise WrongFileError(f"has more in the array {key!r} than its header says")


def h5_blocks(file: Any, key: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Stream:
    """The array at the path `key` of an open h5py.File in blocks along its first axis.

    Raises:
        WrongFileError: it is absent, elsewhere, or has another type or shape. Damage raises what
            `complaints` turns into a ValueError.
    """
    import h5py

    node = file
    for part in key.split("/"):
        # A link to another file would read what the author of this one may not see.
        if not isinstance(node, h5py.Group) or not isinstance(
            node.get(part, getlink=True), h5py.HardLink
        ):
            raise WrongFileError(f"has no array {key!r}")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise WrongFileError(f"has no array {key!r} of its own")
    _expect(key, (node.shape, node.dtype), (shape, dtype))
    width = max(1, dtype.itemsize * math.prod(shape[1:]))
    rows = max(1, _BLOCK // width)
    if node.chunks is not None:
        # In whole chunks: otherwise each is unpacked once for every block that has a part of it.
        rows = min(-(-rows // node.chunks[0]) * node.chunks[0], max(1, _LIMIT // width))
    for start in range(0, shape[0], rows):
        yield node[start : start + rows]


def open_h5(path: Path) -> Any:
    """The h5py.File, for reading; without a lock, which a read-only folder may not allow."""
    import h5py

    return h5py.File(path, "r", locking=False)


def _opened(archive: zipfile.ZipFile, key: str) -> Any:
    try:
        return archive.open(f"{key}.npy")
    except KeyError:
        raise WrongFileError(f"has no array {key!r}") from None


def _header(member: Any, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise WrongFileError(f"has the array {key!r} in the npy version {version}")
    if dtype.hasobject:
        raise WrongFileError(
            f"has the array {key!r} as a pickle, which is never opened: save it plainly"
        )
    if fortran and len(shape) > 1:
        raise WrongFileError(f"has the array {key!r} in Fortran order: save a C copy")
    return shape, dtype


def _expect(
    key: str,
    header: tuple[tuple[int, ...], np.dtype[Any]],
    expected: tuple[tuple[int, ...], np.dtype[Any]],
) -> None:
    if header != expected:
        raise WrongFileError(
            f"has the array {key!r} as {header[1]} {header[0]}, not {expected[1]} {expected[0]}"
        )
