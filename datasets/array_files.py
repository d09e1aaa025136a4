"""Arrays by name from npz, HDF5, csv and parquet files that nobody has to trust.

    with open_arrays("codes.npz") as file:
        file.names                          # ("codes", "factors", "metadata")
        file.header("codes")                # Header(shape=(2000, 10), dtype=dtype('float32'))
        codes = file.read("codes")          # the array metadata, a pickle, stays closed

Opening a file reads the names of its arrays and nothing else. An array that is read is checked
first: the size that it declares must fit what the file holds and the memory of this machine.
Nothing is unpickled, and no other file is opened, whatever this one points at.

Every problem is an `ArrayFileError` of one line that names the file and the array.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .guarded import ArrayFile, ArrayFileError, Header, complaints, in_words, memory, size_of
from .tables import Csv, Parquet, Table

__all__ = [
    "ArrayFile",
    "ArrayFileError",
    "Header",
    "Table",
    "is_array_file",
    "memory",
    "open_arrays",
]

_BLOCK = 2**24  # bytes read at a time
_HOPS = 40  # soft links that may lead to an array
_NPY_HEADER = 2**16  # bytes of the longest header that is parsed
_RATIO = 1_100  # deflate writes no more than 1,032 bytes per byte


def open_arrays(path: str | Path) -> ArrayFile:
    """Open a file of arrays; its ending says which kind of file it is.

    Raises:
        ArrayFileError: there is no such file, its kind is unknown, or it is damaged.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise ArrayFileError(f"{path}: arrays are read from {', '.join(_KINDS)} files")
    if not os.path.isfile(path):  # also false where the system does not allow the name
        exists = os.path.exists(path)
        raise ArrayFileError(f"{path}: {'not a file' if exists else 'no such file'}")
    with complaints(path, "it"):
        return kind(path)


def is_array_file(path: str | Path) -> bool:
    """Whether the ending of a path is that of a file of arrays."""
    return Path(path).suffix.lower() in _KINDS


# --- npz


class _Npz(ArrayFile):
    def __init__(self, path: Path) -> None:
        if not zipfile.is_zipfile(path):
            raise ArrayFileError(f"{path} is damaged or not an npz file: write it with numpy.savez")
        self._archive = zipfile.ZipFile(path)
        members = self._archive.infolist()
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        super().__init__(path, [member.filename.removesuffix(".npy") for member in members])
        self._starts: dict[str, tuple[int, bool]] = {}

    def close(self) -> None:
        self._archive.close()

    def _header(self, name: str) -> Header:
        member = self._members[name]
        if not member.filename.endswith(".npy"):
            raise self.error(name, "is not an array: write it with numpy.savez")
        with self._archive.open(member) as stream:
            head = io.BytesIO(stream.read(_NPY_HEADER))
        if head.getvalue()[:6] != np.lib.format.MAGIC_PREFIX:
            raise self.error(name, "is not an array: write it with numpy.savez")
        version = np.lib.format.read_magic(head)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
        else:
            raise self.error(name, f"has the npy version {version}: give it a plain type")
        if dtype.hasobject:
            raise self.error(
                name,
                "is a pickle, which is never opened: save it with a plain type, text as "
                "numpy.array([...], dtype=str)",
            )
        if min(shape, default=0) < 0:
            raise self.error(name, f"declares the shape {shape}: write it again")
        self._starts[name] = head.tell(), fortran
        if dtype.names:
            raise self.error(name, f"holds records of {', '.join(dtype.names[:8])}: split it")
        return Header(shape, dtype)

    def _check_stored(self, name: str, header: Header) -> None:
        member, (start, _) = self._members[name], self._starts[name]
        stored = member.file_size - start
        if member.compress_type == zipfile.ZIP_STORED:
            stored = min(stored, member.compress_size - start)
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            stored = min(stored, _RATIO * member.compress_size)
        stored = min(stored, _RATIO * os.path.getsize(self.path))
        if math.prod(header.shape) * header.dtype.itemsize > stored:
            raise self.too_short(name, header, stored)

    def _read(self, name: str, header: Header) -> NDArray[Any]:
        _, fortran = self._starts[name]
        shape = header.shape[::-1] if fortran else header.shape
        data = bytearray(math.prod(shape) * header.dtype.itemsize)
        view, filled = memoryview(data), 0
        for part in self._parts(name, len(data), _BLOCK):
            view[filled : filled + len(part)] = part
            filled += len(part)
        if header.dtype.itemsize == 0:  # of empty words, which no buffer can hold
            return np.zeros(header.shape, header.dtype)
        array = np.frombuffer(data, dtype=header.dtype).reshape(shape)
        return array.T if fortran else array

    def _blocks(self, name: str, header: Header, rows: int) -> Iterator[NDArray[Any]]:
        if self._starts[name][1] and len(header.shape) > 1:
            raise self.error(name, "is in Fortran order: save a C copy")
        width = math.prod(header.shape[1:]) * header.dtype.itemsize
        if not width:
            raise self.error(name, f"holds nothing: it is {in_words(header)}")
        for part in self._parts(name, header.shape[0] * width, rows * width):
            yield np.frombuffer(part, dtype=header.dtype).reshape(-1, *header.shape[1:])

    def _parts(self, name: str, size: int, block: int) -> Iterator[bytes]:
        """The bytes of an array in blocks, of which all but the last have the same size."""
        with self._archive.open(self._members[name]) as stream:
            stream.read(self._starts[name][0])
            for start in range(0, size, block):
                part = stream.read(min(block, size - start))
                if len(part) < min(block, size - start):
                    raise self.error(name, "is damaged (it ends early): write it again")
                yield part
            # reading on to the end makes zipfile check the checksum of the member
            if stream.read(1):
                raise self.error(name, "has more than its header declares: write it again")


# --- HDF5


class _H5(ArrayFile):
    def __init__(self, path: Path) -> None:
        import h5py

        try:
            # without a lock, which a read-only folder may not allow
            self._file = h5py.File(path, "r", locking=False)
        except OSError as error:
            said = " ".join(str(error).split())
            raise ArrayFileError(f"{path} cannot be read ({said}): write it again") from error
        try:
            super().__init__(path, list(self._names(self._file, "", set())))
        except Exception:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _names(self, group: Any, prefix: str, seen: set[Any]) -> Iterator[str]:
        """Every data set below a group, and every link that may lead to one, by its path."""
        import h5py

        # a group that is its own member is entered once
        seen.add(h5py.h5o.get_info(group.id).addr)
        for key in group:
            if not isinstance(key, str):
                raise ArrayFileError(f"{self.path} has names that are not UTF-8: rename {key!r}")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                yield prefix + key
                continue
            node = group[key]
            if not isinstance(node, h5py.Group):
                yield prefix + key
            elif h5py.h5o.get_info(node.id).addr not in seen:
                yield from self._names(node, f"{prefix}{key}/", seen)

    def _node(self, name: str) -> Any:
        """The data set at a path of this file, which may go through soft links of its own."""
        import h5py

        node, parts, hops = self._file, [part for part in name.split("/") if part], 0
        while parts:
            part = parts.pop(0)
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if isinstance(link, h5py.ExternalLink):
                raise self.error(
                    name,
                    f"is a link to {link.filename}, and other files are never opened: copy it here",
                )
            if isinstance(link, h5py.SoftLink) and hops < _HOPS:
                hops += 1
                target = link.path
                parts = [p for p in target.split("/") if p] + parts
                node = self._file if target.startswith("/") else node
            elif not isinstance(link, h5py.HardLink):
                raise self.error(name, "is a link that leads nowhere: write it again")
            else:
                node = node[part]
        if not isinstance(node, h5py.Dataset):
            raise self.error(name, "is no array but a group or type: name an array")
        others = [file for file, *_ in node.external or ()]
        if node.is_virtual:
            others = [source.file_name for source in node.virtual_sources()]
        if others:
            raise self.error(
                name, f"points at {others[0]}, and other files are never opened: copy it here"
            )
        return node

    def _header(self, name: str) -> Header:
        import h5py

        node = self._node(name)
        if node.shape is None:
            raise self.error(name, "is empty: write it again")
        dtype = node.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if dtype.hasobject and not text:
            raise self.error(
                name, "holds lists or references: give one number or word in each place"
            )
        if dtype.names:
            raise self.error(name, f"holds records of {', '.join(dtype.names[:8])}: split it")
        return Header(node.shape, np.dtype(object) if text and dtype.hasobject else dtype)

    def _check_stored(self, name: str, header: Header) -> None:
        node = self._node(name)
        size = math.prod(header.shape) * header.dtype.itemsize
        stored = node.id.get_storage_size()
        if stored > os.path.getsize(self.path):
            raise self.too_short(name, header, os.path.getsize(self.path))
        if node.chunks is not None:
            chunk = math.prod(node.chunks) * header.dtype.itemsize
            chunks = math.prod(-(-n // c) for n, c in zip(header.shape, node.chunks, strict=True))
            if node.id.get_num_chunks() < chunks:
                raise self.too_short(name, header, stored)
            if chunk > self.allowed:
                raise self.too_large(f"a chunk of array {name}", chunk)
        elif stored < size and not header.dtype.hasobject:
            raise self.too_short(name, header, stored)

    def _read(self, name: str, header: Header) -> NDArray[Any]:
        node = self._node(name)
        if header.dtype.kind not in "OS":
            return np.asarray(node[()])
        # Words may all be the same long one, so they are read a few at a time.
        rows = max(1, min(2**16, self.allowed // os.path.getsize(self.path)))
        words: list[str] = []
        for start in range(0, header.shape[0] if header.shape else 1, rows):
            part = node[start : start + rows] if header.shape else node[()]
            new = [self._decoded(name, word) for word in np.ravel(part)]
            self.allow(sum(map(len, new)), f"array {name} of words")
            words += new
        self.allow(4 * len(words) * max(map(len, words), default=0), f"array {name} of words")
        return np.array(words, dtype=str).reshape(header.shape)

    def _decoded(self, name: str, word: Any) -> str:
        try:
            return word.decode() if isinstance(word, bytes) else str(word)
        except UnicodeDecodeError:
            raise self.error(
                name, f"has {word[:40]!r}, which is no UTF-8 text: write it again"
            ) from None

    def _blocks(self, name: str, header: Header, rows: int) -> Iterator[NDArray[Any]]:
        node = self._node(name)
        if node.chunks is not None:
            # in whole chunks, as far as memory allows, as each is unpacked for every block
            chunk = node.chunks[0]
            most = self.allowed // size_of(Header(header.shape[1:], header.dtype))
            rows = max(1, min(-(-rows // chunk) * chunk, most))
        for start in range(0, header.shape[0], rows):
            yield np.asarray(node[start : start + rows])


_KINDS: dict[str, Callable[[Path], ArrayFile]] = {
    ".npz": _Npz,
    ".h5": _H5,
    ".hdf5": _H5,
    ".csv": Csv,
    ".parquet": Parquet,
}
