"""Reading the official dSprites files.

The npz archive holds `imgs` uint8 (n, 64, 64) of 0 and 1, `latents_classes` int64 (n, 6) and
others; the HDF5 file has the latter as `latents/classes`. Loaded plainly the images take 3 GB, so
they are streamed once into packed bits, which are memory-mapped. The `metadata` of the archive is a
pickle and is never opened.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import blocks, files
from .blocks import Foreign, Stream
from .sprites import SIDE, pack

NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
HDF5_NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
HDF5_SHA256 = "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb"

_REMEDY = "remove it to use the built-in renderer, or fetch the official file again"


@dataclass(frozen=True)
class Official:
    """An official file that is there: its checksum is the known one.

    identity: of the file, for the fingerprint of the data set.
    """

    path: Path
    algorithm: str
    checksum: str

    @property
    def identity(self) -> str:
        kind = "official" if self.path.name == NAME else "official-hdf5"
        return f"dsprites-{kind}:{self.algorithm}:{self.checksum}"


def official(data_dir: str | Path | None) -> Official | None:
    """The official file in the data folder, the npz before the HDF5 file.

    Raises ValueError if it is not the official one, names the file and says what to do.
    """
    path = files.found("dsprites", data_dir, (NAME, HDF5_NAME))
    if path is None:
        return None
    algorithm, known = ("md5", MD5) if path.name == NAME else ("sha256", HDF5_SHA256)
    checksum = files.digest(path, algorithm)
    if checksum != known:
        kind = "another file" if _is_whole(path) else f"truncated or not an {_kind(path)} file"
        raise _refusal(path, f"is {kind}: its {algorithm} is {checksum}, not {known}")
    return Official(path, algorithm, checksum)


def official_bits(file: Official, sizes: tuple[int, ...]) -> NDArray[np.uint64]:
    """Bit rows (n, 64) of all images of an official file, as `sprites.unpack` takes them.

    Prepared on first use. `sizes` are those of the factors without colour. Raises ValueError as
    `official` does.
    """
    # The name has the checksum, so that what lies in the cache belongs to this very file.
    key = f"dsprites-{file.checksum}"
    shape = (math.prod(sizes), SIDE)
    return files.prepared(key, shape, np.uint64, lambda: _blocks(file.path, sizes))


def _kind(path: Path) -> str:
    return "npz" if path.name == NAME else "HDF5"


def _is_whole(path: Path) -> bool:
    if path.name == NAME:
        return zipfile.is_zipfile(path)
    try:
        with blocks.open_h5(path):
            return True
    except OSError:
        return False


def _refusal(path: Path, what: str) -> ValueError:
    return ValueError(f"dsprites: {path} {what}; {_REMEDY}")


def _blocks(path: Path, sizes: tuple[int, ...]) -> Iterator[NDArray[np.uint64]]:
    """Bit rows of the images in blocks, after a check of the labels. Raises ValueError."""
    with (
        blocks.complaints(lambda what: _refusal(path, what)),
        _streams(path, math.prod(sizes), 1 + len(sizes)) as (classes, images),
    ):
        start = 0
        for found in classes:
            rows = np.arange(start, start + len(found))
            expected = np.stack([0 * rows, *np.unravel_index(rows, sizes)], axis=1)
            if not np.array_equal(found, expected):
                raise Foreign("holds its images in another order")
            start += len(found)
        for pixels in images:
            if pixels.max() > 1:
                raise Foreign("holds pixels other than 0 and 1")
            yield pack(pixels)


@contextmanager
def _streams(path: Path, count: int, factors: int) -> Iterator[tuple[Stream, Stream]]:
    """Labels and images of either file. Both are closed at the end, or the file would stay open."""
    label, pixel = np.dtype("<i8"), np.dtype("u1")
    labels, images = (count, factors), (count, SIDE, SIDE)
    if path.name == NAME:
        with (
            zipfile.ZipFile(path) as archive,
            closing(blocks.npz_blocks(archive, "latents_classes", label, labels)) as first,
            closing(blocks.npz_blocks(archive, "imgs", pixel, images)) as second,
        ):
            yield first, second
    else:
        with (
            blocks.open_h5(path) as file,
            closing(blocks.h5_blocks(file, "latents/classes", label, labels)) as first,
            closing(blocks.h5_blocks(file, "imgs", pixel, images)) as second,
        ):
            yield first, second
