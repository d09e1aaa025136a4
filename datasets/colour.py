"""Colour images of 64x64 pixels, as the files of 3D Shapes and MPI3D hold them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIDE = 64

_BLOCK = 1024  # images turned at a time: 12 MB


def check_size(name: str, image_size: int) -> None:
    """Raise ValueError for a size that is not offered."""
    if image_size not in (SIDE // 2, SIDE):
        raise ValueError(f"{name}: image_size must be {SIDE // 2} or {SIDE}, not {image_size}")


def scaling(image_size: int) -> str:
    """What was done to the pixels of the file, in words."""
    return "64x64 pixels" if image_size == SIDE else "64x64 pixels averaged to 32x32"


def planes(pixels: NDArray[np.uint8], side: int) -> Iterator[NDArray[np.uint8]]:
    """Images (n, 64, 64, 3) as blocks (m, 3, side, side), of 2x2 means where `side` is 32."""
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK]
        if side != SIDE:
            block = _halved(block)
        yield np.ascontiguousarray(block.transpose(0, 3, 1, 2))


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2x2 pixels, rounded, of images (n, H, W, C)."""
    pairs = pixels[:, 0::2].astype(np.uint16) + pixels[:, 1::2]
    return ((pairs[:, :, 0::2] + pairs[:, :, 1::2] + 2) >> 2).astype(np.uint8)
