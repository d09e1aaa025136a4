"""The dSprites data set of Matthey et al. 2017, drawn here or read from the official file."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dsprites_file, files, sprites
from .factors import Factor, FactorData

_BLOCK = 128  # images at a time: what is drawn on the way stays in the cache of the processor

FACTORS = (
    Factor("shape", 3, "categorical", (1.0, 2.0, 3.0), ("square", "ellipse", "heart")),
    Factor("scale", 6, "ordinal", tuple(sprites.SCALES.tolist())),
    Factor("orientation", 40, "cyclic", tuple(sprites.ORIENTATIONS.tolist())),
    Factor("posX", 32, "ordinal", tuple(sprites.POSITIONS.tolist())),
    Factor("posY", 32, "ordinal", tuple(sprites.POSITIONS.tolist())),
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
    dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz (Apache-2.0), or the one that ends in .hdf5, lies
    in the data folder or its subfolder dsprites/. The data folder is `data_dir`, else the
    environment variable BENCH_DATA_DIR, else the user's cache folder. Nothing is downloaded
    unasked. The first use of the official file packs it into the user's cache folder (377 MB), or
    into memory if that cannot be written.

    Raises ValueError for another `image_size`, a `data_dir` that is not a folder, and an official
    file that is damaged or not the official one.
    """

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        if image_size not in (32, 64):
            raise ValueError(f"dsprites: image_size must be 32 or 64, not {image_size}")
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        self._bits: NDArray[np.uint64] | None = None
        file = dsprites_file.official(self._data_dir)
        if file is None:
            origin = "dSprites drawn from its geometry by the built-in renderer, version 1"
            identity = f"dsprites-render-1:sha256:{sprites.SHA256[:16]}"
        else:
            self._bits = dsprites_file.official_bits(file, self.sizes)
            origin = f"dSprites, official file {file.path}"
            identity = file.identity
        scaling = "64x64 pixels" if image_size == 64 else "64x64 pixels averaged to 32x32"
        self.source = f"{origin}, {scaling}"
        self.fingerprint = f"{identity}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        indices = self.checked(rows)
        images = np.empty((len(indices), *self.image_shape), dtype=np.uint8)
        for start in range(0, len(indices), _BLOCK):
            block = indices[start : start + _BLOCK]
            if self._bits is None:
                bits = sprites.render(self.values(block))
            else:
                bits = files.taken(self._bits, block)
            pixels = sprites.unpack(bits)
            drawn = images[start : start + _BLOCK, 0]
            if self.image_shape[1] == 32:
                drawn[:] = _halved(pixels)
            else:
                np.negative(pixels, out=drawn)  # 1 becomes 255
        return images

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes open the data again; the packed bits would be 377 MB.
        return functools.partial(
            type(self), image_size=self.image_shape[1], data_dir=self._data_dir
        ), ()


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2x2 pixels, uint8 (n, 32, 32): 0 to 4 white ones become round(255 k / 4)."""
    rows = pixels[:, 0::2] + pixels[:, 1::2]
    # Two neighbours read as one 16-bit number: far faster than strided bytes.
    pairs = rows.view(np.uint16)
    counts = (pairs & 255) + (pairs >> 8)
    return ((counts * 255 + 2) >> 2).astype(np.uint8)
