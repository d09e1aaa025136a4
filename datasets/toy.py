"""A tiny grid of three shapes, for tests and first steps. It belongs to no paper."""

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import pictures
from .entry import Entry
from .factors import Factor, FactorData, in_words

SHAPES = 3  # square, disc, cross
WIDTHS = (0.1, 0.14, 0.18)  # half the width of a shape, by size class, in image widths
POSITIONS = tuple(0.25 + 0.5 * k / 7 for k in range(8))  # centres, in image widths

FACTORS = (
    Factor("shape", SHAPES, "categorical", (1.0, 2.0, 3.0), ("square", "disc", "cross")),
    Factor("size", len(WIDTHS), "ordinal", WIDTHS),
    Factor("posX", len(POSITIONS), "ordinal", POSITIONS),
    Factor("posY", len(POSITIONS), "ordinal", POSITIONS),
)

ENTRY = Entry(
    name="toy",
    title="Toy",
    factors=in_words(FACTORS),
    counts=(576,),
    licence="MIT",
    origin="drawn by the suite",
)


class Toy(FactorData):
    """Toy: 576 images of a square, disc or cross, for tests and first steps (no paper).

    Labels, the last fastest: shape (square, disc, cross), size, posX (to the right), posY (down).
    Pixels are 0 or 255 and no two images are the same.

    Raises:
        ValueError: unless `image_size` is 28 to 128.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 32) -> None:
        pictures.check_size("toy", image_size)
        self.reopen_with = {"image_size": image_size}
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        self._images = _grid(image_size)
        digest = hashlib.sha256(self._images.tobytes()).hexdigest()
        self.source = f"Toy shapes drawn by the suite, {image_size}x{image_size} pixels"
        self.fingerprint = f"toy-1:sha256:{digest[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self._images[self.checked(rows)]


def _grid(side: int) -> NDArray[np.uint8]:
    """All images (n, 1, H, W) in row order."""
    # Whole pixels only, so that every shape is the same wherever it is.
    widths = np.rint(np.array(WIDTHS) * side).astype(np.int64)
    centres = np.rint(np.array(POSITIONS) * side).astype(np.int64)
    pixels = np.arange(side)
    half = widths[:, None, None, None, None]
    dx = np.abs(pixels[None, :] - centres[:, None, None, None])
    dy = np.abs(pixels[:, None] - centres[:, None, None])
    square = (dx <= half) & (dy <= half)
    disc = dx**2 + dy**2 <= half**2
    cross = square & ((dx <= half // 3) | (dy <= half // 3))
    white = np.stack([square, disc, cross]).reshape(-1, 1, side, side)
    return white.astype(np.uint8) * np.uint8(255)
