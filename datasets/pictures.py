"""The sizes that images are offered in, and how pictures become that large, with Pillow.

Images drawn or stored at 64x64 pixels are offered at that size and at half of it; pictures of any
other size are resized to 28 to 128 pixels. A user's own pictures may have any shape.
"""

import io
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .blocks import WrongFileError, first_line

SMALLEST, LARGEST = 28, 128  # pixels per side
FULL = 64  # pixels per side of the images that are offered in full or in half size

Filter = Literal["bilinear", "lanczos"]
Fit = Literal["pad", "crop"]

MOST_PIXELS = 2**26  # of one picture: 200 MB in colour
OWN_SIZE = 64  # pixels per side that pictures of a user get if they cannot stay as they are

_RESIZED = 256  # pictures resized at a time
_HALVED = 1024  # images of 64x64 pixels converted at a time: 12 MB


def check_size(name: str, image_size: int) -> None:
    """Raise ValueError unless `image_size` is one that pictures are resized to."""
    if not SMALLEST <= image_size <= LARGEST:
        raise ValueError(f"{name}: image_size must be {SMALLEST} to {LARGEST}, not {image_size}")


def check_full_or_half(name: str, image_size: int) -> None:
    """Raise ValueError unless `image_size` is 64 or 32."""
    if image_size not in (FULL // 2, FULL):
        raise ValueError(f"{name}: image_size must be {FULL // 2} or {FULL}, not {image_size}")


def full_or_half(image_size: int) -> str:
    """How images of 64x64 pixels become `image_size` wide and high, in words."""
    return "64x64 pixels" if image_size == FULL else "64x64 pixels averaged to 32x32"


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2x2 pixels, rounded, of images (n, C, H, W)."""
    pairs = images[:, :, 0::2].astype(np.uint16) + images[:, :, 1::2]
    return ((pairs[..., 0::2] + pairs[..., 1::2] + 2) >> 2).astype(np.uint8)


def planes(pixels: NDArray[np.uint8], image_size: int) -> Iterator[NDArray[np.uint8]]:
    """Images (n, 64, 64, 3) in blocks (m, 3, H, W): as they are, or halved to 32x32 pixels."""
    for start in range(0, len(pixels), _HALVED):
        block = pixels[start : start + _HALVED].transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(block if image_size == FULL else halved(block))


def opened(data: bytes, name: str, kind: Literal["JPEG", "PNG"], size: tuple[int, int]) -> Any:
    """The picture in a file called `name`, `size` wide and high.

    Raises:
        WrongFileError: it is damaged, of another kind or of another size.
    """
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=[kind])
        # Before memory is allocated for its pixels.
        if picture.size != size:
            raise WrongFileError(f"has {name} of {picture.size} pixels, not {size}")
        picture.load()
    except WrongFileError:
        raise
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        reason = first_line(error)
        raise WrongFileError(f"has {name}, which is damaged or no {kind} ({reason})") from error
    return picture


def resized(
    pictures: NDArray[np.uint8], image_size: int, method: Filter
) -> Iterator[NDArray[np.uint8]]:
    """Pictures (n, H, W) or (n, H, W, 3) in blocks (m, C, image_size, image_size).

    Pictures that become smaller are smoothed as the filter requires. Those that have the size
    already stay as they are.
    """
    from PIL import Image

    shape = (image_size, image_size)
    resample = Image.Resampling.BILINEAR if method == "bilinear" else Image.Resampling.LANCZOS
    for start in range(0, len(pictures), _RESIZED):
        block = pictures[start : start + _RESIZED]
        if block.shape[1:3] != shape:
            block = np.stack(
                [np.asarray(Image.fromarray(p).resize(shape, resample)) for p in block]
            )
        channels_first = block[:, None] if block.ndim == 3 else block.transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(channels_first)


def squared(pictures: NDArray[np.uint8], image_size: int, fit: Fit) -> NDArray[np.uint8]:
    """Pictures (n, H, W, C) of one or three channels as (n, C, image_size, image_size).

    With `pad`, the longer side becomes `image_size`, and black fills what is missing on both sides
    of the shorter one; with `crop`, the square in the middle is resized. Resizing is bilinear, and
    smooths pictures that become smaller.
    """
    height, width, channels = pictures.shape[1:]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pictures = pictures[:, top : top + side, left : left + side]
        height = width = side
    longer = max(height, width)
    shape = [max(1, round(length * image_size / longer)) for length in (height, width)]
    top, left = ((image_size - length) // 2 for length in shape)
    whole = np.zeros((len(pictures), channels, image_size, image_size), dtype=np.uint8)
    inside = whole[:, :, top : top + shape[0], left : left + shape[1]]
    inside[:] = _resized(pictures, (shape[0], shape[1])).transpose(0, 3, 1, 2)
    return whole


def _resized(pictures: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures (n, H, W, C) of one or three channels, bilinearly as large as `shape`."""
    from PIL import Image

    if pictures.shape[1:3] == shape or not len(pictures):
        return pictures.reshape(len(pictures), *shape, pictures.shape[3])
    plain = pictures[..., 0] if pictures.shape[3] == 1 else pictures
    size, method = (shape[1], shape[0]), Image.Resampling.BILINEAR
    resized = [
        np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize(size, method)) for p in plain
    ]
    return np.stack(resized).reshape(len(pictures), *shape, pictures.shape[3])


def suits(shape: tuple[int, int]) -> bool:
    """Whether images of this height and width may stay as they are."""
    return shape[0] == shape[1] and SMALLEST <= shape[0] <= LARGEST


def in_words(image_size: int, fit: Fit) -> str:
    """What `squared` does to pictures, in words."""
    how = "padded with black to a square" if fit == "pad" else "cut to the square in the middle"
    return f"{how} and resized to {image_size}x{image_size} (bilinear; other sizes: image_size)"


def over_black(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n, H, W, 4) with an opacity, laid over black: (n, H, W, 3)."""
    opacity = pictures[..., 3:].astype(np.uint16)
    return ((pictures[..., :3] * opacity + 127) // 255).astype(np.uint8)


def scaling(size: tuple[int, int], image_size: int, method: Filter) -> str:
    """How pictures of `size` become `image_size` wide and high, in words."""
    pixels = f"{size[0]}x{size[1]} pixels"
    if size == (image_size, image_size):
        return pixels
    return f"{pixels} resized to {image_size}x{image_size} ({method})"
