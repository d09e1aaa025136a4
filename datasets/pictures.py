"""Opening picture files, and bringing pictures to the size that is asked for, with Pillow."""

import io
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .blocks import Foreign

SMALLEST, LARGEST = 28, 128  # pixels a side

Filter = Literal["bilinear", "lanczos"]

_BLOCK = 256  # pictures at a time


def check_size(name: str, image_size: int) -> None:
    """Raise ValueError for a size that is not offered."""
    if not SMALLEST <= image_size <= LARGEST:
        raise ValueError(f"{name}: image_size must be {SMALLEST} to {LARGEST}, not {image_size}")


def opened(data: bytes, name: str, kind: Literal["JPEG", "PNG"], size: tuple[int, int]) -> Any:
    """The picture in a file that was called `name`, `size` wide and high. Raises Foreign."""
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=[kind])
        # Before memory is taken for its pixels.
        if picture.size != size:
            raise Foreign(f"has {name} of {picture.size} pixels, not {size}")
        picture.load()
    except Foreign:
        raise
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Foreign(f"has {name}, which is damaged or no {kind} ({reason})") from error
    return picture


def resized(pictures: NDArray[np.uint8], side: int, how: Filter) -> Iterator[NDArray[np.uint8]]:
    """Pictures (n, H, W) or (n, H, W, 3) as uint8 (m, C, side, side), in blocks.

    Pictures that are made smaller are smoothed as the filter needs it. Those that have the size
    already stay as they are.
    """
    from PIL import Image

    resample = Image.Resampling.BILINEAR if how == "bilinear" else Image.Resampling.LANCZOS
    for start in range(0, len(pictures), _BLOCK):
        block = pictures[start : start + _BLOCK]
        if block.shape[1:3] != (side, side):
            block = np.stack(
                [np.asarray(Image.fromarray(p).resize((side, side), resample)) for p in block]
            )
        planes = block[:, None] if block.ndim == 3 else block.transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(planes)


def scaling(size: tuple[int, int], side: int, how: Filter) -> str:
    """How pictures of `size` become `side` wide and high, in words."""
    shown = f"{size[0]}x{size[1]} pixels"
    return shown if size == (side, side) else f"{shown} resized to {side}x{side} ({how})"
