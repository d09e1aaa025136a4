"""The dSprites data set of Matthey et al. 2017, drawn here or read from the official file.

The official npz archive holds `imgs` uint8 (n, 64, 64) of 0 and 1, `latents_classes` int64 (n, 6)
and others; the HDF5 file has the latter as `latents/classes`. Loaded plainly the images take 3 GB,
so they are streamed once into packed bits, which are memory-mapped. The `metadata` of the archive
is a pickle and is never opened.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, cache, files, pictures, sprites
from .blocks import Stream, WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, FactorData, in_words

_BLOCK = 128  # images drawn at a time: intermediate arrays stay in the cache of the processor

FACTORS = (
    Factor("shape", 3, "categorical", (1.0, 2.0, 3.0), ("square", "ellipse", "heart")),
    Factor("scale", 6, "ordinal", tuple(sprites.SCALES.tolist())),
    Factor("orientation", 40, "cyclic", tuple(sprites.ORIENTATIONS.tolist())),
    Factor("posX", 32, "ordinal", tuple(sprites.POSITIONS.tolist())),
    Factor("posY", 32, "ordinal", tuple(sprites.POSITIONS.tolist())),
)

NPZ = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
HDF5 = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"

ENTRY = Entry(
    name="dsprites",
    title="dSprites",
    files=(
        File(
            NPZ,
            (
                f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{NPZ}",
                f"https://raw.githubusercontent.com/deepmind/dsprites-dataset/master/{NPZ}",
            ),
            "md5:7da33b31b13a06f4b04a70402ce90c2e",
            instead=(
                File(
                    HDF5,
                    digest="sha256:"
                    "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
                    size=28_024_106,
                ),
            ),
        ),
    ),
    origin="drawn by the suite",
    factors=in_words(FACTORS),
    licence="Apache-2.0",
    citation="Matthey, Higgins, Hassabis & Lerchner 2017, dSprites: Disentanglement testing "
    "Sprites dataset",
    page="https://github.com/google-deepmind/dsprites-dataset",
    counts=(737_280,),
    # Those of the built-in renderer differ by 7e-10 and 4e-9.
    published=Published(
        (0.042494423521889584,), image_deviation=(0.19516645880626055,), tolerance=1e-8
    ),
    remedy="remove it to use the built-in renderer, or fetch the official file again",
)


class DSprites(FactorData):
    """dSprites: 737,280 white 2D sprites on black (Matthey et al. 2017, "dSprites").

    Labels in the order of the official file, the last fastest: shape (square, ellipse, heart),
    scale (.5 to 1), orientation (0 to 2 pi, counter-clockwise), posX (to the right), posY (down).
    Its constant sixth factor, colour, is left out.

    Not every label shows in the pixels. Orientations 0 and 39 are the same angle, so their images
    are identical. A square looks the same after 90 degrees and an ellipse after 180; as 39 steps
    make the full turn, their other orientations only nearly coincide.

    `image_size` 64 gives pixels 0 and 255; 32 gives the mean of 2x2 pixels, rounded.

    The images are drawn by `sprites`, unless the official file
    dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz (Apache-2.0), or the one that ends in .hdf5, is
    in the data folder or its subfolder dsprites/. The data folder is `data_dir`, else the
    environment variable BENCH_DATA_DIR, else the user's cache folder. Nothing is downloaded. The
    first use of the official file packs it into the user's cache folder (377 MB), or into memory if
    that cannot be written.

    Raises:
        ValueError: for another `image_size`, a `data_dir` that is not a folder, and a file that is
            damaged or not the official one.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        pictures.check_full_or_half("dsprites", image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        self._bits: NDArray[np.uint64] | None = None
        (location,) = files.find(self.entry, data_dir)
        if location.path is None:
            origin = "dSprites drawn from its geometry by the built-in renderer, version 1"
            identity = f"dsprites-render-1:sha256:{sprites.SHA256[:16]}"
        else:
            files.check(self.entry, location.path, location.file)
            self._bits = _official_bits(location.path, location.file, self.sizes)
            origin = f"dSprites, official file {location.path}"
            kind = "official" if location.file.name == NPZ else "official-hdf5"
            identity = f"dsprites-{kind}:{location.file.digest}"
        self.source = f"{origin}, {pictures.full_or_half(image_size)}"
        self.fingerprint = f"{identity}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        indices = self.checked(rows)
        images = np.empty((len(indices), *self.image_shape), dtype=np.uint8)
        for start in range(0, len(indices), _BLOCK):
            block = indices[start : start + _BLOCK]
            if self._bits is None:
                bits = sprites.render(self.values(block))
            else:
                bits = cache.rows(self._bits, block)
            pixels = sprites.unpack(bits)
            drawn = images[start : start + _BLOCK, 0]
            if self.image_shape[1] == sprites.SIDE:
                np.negative(pixels, out=drawn)  # 1 becomes 255
            else:
                drawn[:] = _halved(pixels)
        return images


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2x2 pixels, uint8 (n, 32, 32): 0 to 4 white ones become round(255 k / 4)."""
    rows = pixels[:, 0::2] + pixels[:, 1::2]
    # Two neighbours read as one 16-bit number: far faster than strided bytes.
    pairs = rows.view(np.uint16)
    counts = (pairs & 255) + (pairs >> 8)
    return ((counts * 255 + 2) >> 2).astype(np.uint8)


def _official_bits(path: Path, file: File, sizes: tuple[int, ...]) -> NDArray[np.uint64]:
    """Bit rows (n, 64) of all images of an official file, as `sprites.unpack` takes them.

    Prepared on first use. `sizes` are those of the factors without colour. Raises ValueError if
    the content is not the official one.
    """
    # The key has the checksum, so that what is in the cache belongs to this very file.
    shape = (math.prod(sizes), sprites.SIDE)
    return cache.prepared(
        f"dsprites-{file.checksum}", shape, np.uint64, lambda: _blocks(path, sizes)
    )


def _blocks(path: Path, sizes: tuple[int, ...]) -> Iterator[NDArray[np.uint64]]:
    """Bit rows of the images in blocks, after a check of the labels. Raises ValueError."""
    with (
        files.reading(ENTRY, path),
        _streams(path, math.prod(sizes), 1 + len(sizes)) as (classes, images),
    ):
        start = 0
        for block in classes:
            rows = np.arange(start, start + len(block))
            expected = np.stack([0 * rows, *np.unravel_index(rows, sizes)], axis=1)
            if not np.array_equal(block, expected):
                raise WrongFileError("holds its images in another order")
            start += len(block)
        for pixels in images:
            if pixels.max() > 1:
                raise WrongFileError("holds pixels other than 0 and 1")
            yield sprites.pack(pixels)


@contextmanager
def _streams(path: Path, count: int, factors: int) -> Iterator[tuple[Stream, Stream]]:
    """Labels and images of either file. Both are closed at the end, or the file would stay open."""
    label, pixel = np.dtype("<i8"), np.dtype("u1")
    labels, images = (count, factors), (count, sprites.SIDE, sprites.SIDE)
    if path.name == NPZ:
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
