"""A look-alike of 3D Shapes that the suite draws itself. It belongs to no paper."""

import colorsys
import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import pictures, raycast
from .entry import Entry
from .factors import Factor, FactorData, in_words

SKY = (153, 226, 249)

_HUES = tuple(k / 10 for k in range(10))
_BLOCK = 16  # images at a time: intermediate arrays stay in the cache of the processor

FACTORS = (
    Factor("floor_hue", 10, "cyclic", _HUES),
    Factor("wall_hue", 10, "cyclic", _HUES),
    Factor("object_hue", 10, "cyclic", _HUES),
    Factor("scale", 8, "ordinal", raycast.SCALES),
    Factor("shape", 4, "categorical", (0.0, 1.0, 2.0, 3.0), raycast.SHAPES),
    Factor("orientation", 15, "ordinal", raycast.ORIENTATIONS),
)

ENTRY = Entry(
    name="rooms3d",
    title="Rooms3D",
    factors=in_words(FACTORS),
    counts=(480_000,),
    licence="MIT",
    origin="drawn by the suite",
)


class Rooms3D(FactorData):
    """Rooms3D: 480,000 images of a solid in a room, a look-alike of 3D Shapes (no paper).

    This is not the data set of Burgess & Kim 2018, which is `shapes3d`: the pixels differ, and so
    do the numbers that models reach on them. Factors, sizes and order are the same, the last
    fastest: floor_hue, wall_hue and object_hue (0 to .9 of the circle), scale (.75 to 1.25), shape
    (cube, cylinder, sphere, capsule), orientation (-30 to 30 degrees, with the camera moving to the
    right). The hues are cyclic: 0 and .9 are neighbours. All images differ.

    `image_size` 64 gives the images as drawn, with 4x4 rays per pixel; 32 the mean of 2x2 pixels.

    No files are needed. The 480 layouts without colour are drawn by `raycast` when they are first
    needed, in about 5 seconds altogether; then an image is a sum of coloured layers.

    Raises:
        ValueError: for another `image_size`.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 64) -> None:
        pictures.check_full_or_half("rooms3d", image_size)
        self.reopen_with = {"image_size": image_size}
        self.factors = FACTORS
        self.image_shape = (3, image_size, image_size)
        size = f"{image_size}x{image_size}"
        self.source = (
            "Rooms3D drawn by the suite's own ray caster, version 1, a look-alike of 3D Shapes and "
            f"not the official set, {pictures.full_or_half(image_size)}"
        )
        self.fingerprint = f"rooms3d-1:sha256:{raycast.SHA256[:16]}:{size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        values = self.values(rows)
        side = self.image_shape[1]
        # Scaled by a power of two, so that everything below is exact, in any order.
        colours = (_palette() / (raycast.WHOLE * (raycast.SIDE // side) ** 2)).astype(np.float32)
        images = np.empty((len(values), 3, side * side), dtype=np.uint8)
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            layers = np.stack([_layers(o, side)[s, shape] for *_, s, shape, o in block.tolist()])
            palettes = np.stack([*colours[block[:, :3].T], np.tile(colours[-1], (len(block), 1))])
            drawn = palettes.transpose(1, 2, 0) @ layers.astype(np.float32)
            drawn += 0.5
            images[start : start + _BLOCK] = drawn  # cut off: together with the half, rounded
        return images.reshape(-1, *self.image_shape)


@functools.cache
def _layers(orientation: int, side: int) -> NDArray[np.uint16]:
    """Weights (8, 4, 4, side * side) by scale, shape and material; of 2x2 pixels, their sum."""
    weights = raycast.layouts(orientation)
    if side != raycast.SIDE:
        rows = weights[..., 0::2, :] + weights[..., 1::2, :]
        weights = rows[..., 0::2] + rows[..., 1::2]
    return weights.reshape(*weights.shape[:3], -1)


@functools.cache
def _palette() -> NDArray[np.int64]:
    """Colours (11, 3) of the hues, in full saturation, and of the sky."""
    hues = [[round(255 * part) for part in colorsys.hsv_to_rgb(h, 1.0, 1.0)] for h in _HUES]
    return np.array([*hues, SKY])
