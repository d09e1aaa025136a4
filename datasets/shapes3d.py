"""The 3D Shapes data set of Burgess & Kim 2018, read from the official file."""

import functools
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, colour, files, official
from .factors import Factor, FactorData

NAME = "3dshapes.h5"
BYTES = 267_573_662
SHA256 = "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785"

_SHAPES = ("cube", "cylinder", "sphere", "capsule")
_HUES = tuple(k / 10 for k in range(10))

FACTORS = (
    Factor("floor_hue", 10, "cyclic", _HUES),
    Factor("wall_hue", 10, "cyclic", _HUES),
    Factor("object_hue", 10, "cyclic", _HUES),
    Factor("scale", 8, "ordinal", tuple(np.linspace(0.75, 1.25, 8).tolist())),
    Factor("shape", 4, "categorical", (0.0, 1.0, 2.0, 3.0), _SHAPES),
    Factor("orientation", 15, "ordinal", tuple(np.linspace(-30.0, 30.0, 15).tolist())),
)


class Shapes3D(FactorData):
    """3D Shapes: 480,000 colour images of one solid in a room (Burgess & Kim 2018, "3D Shapes").

    Labels in the order of the official file, the last fastest: floor_hue, wall_hue and object_hue
    (0 to .9 of the circle), scale (.75 to 1.25), shape (cube, cylinder, sphere, capsule),
    orientation of the camera around the room (-30 to 30 degrees). The hues are cyclic: 0 and .9 are
    neighbours. No duplicates or symmetries are known.

    `image_size` 64 gives the pixels of the file; 32 the mean of 2x2 pixels, rounded.

    Reads 3dshapes.h5 (github.com/google-deepmind/3d-shapes, Apache-2.0) from the data folder or its
    subfolder shapes3d/; see `files.data_root`. The file is packed in a way that makes random rows
    slow, so the first use of a size unpacks it into the user's cache folder: 5.9 GB, or 1.5 GB at
    32x32. Its labels are checked on the way.

    Raises ValueError for another `image_size`, and a file that is missing, damaged or another.
    """

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        colour.check_size("shapes3d", image_size)
        self.factors = FACTORS
        self.image_shape = (3, image_size, image_size)
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        path = files.located("shapes3d", data_dir, [NAME])[NAME]
        official.check("shapes3d", path, "sha256", SHA256, size=BYTES)
        self._images = files.prepared(
            f"shapes3d-{SHA256[:32]}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(path, self.sizes, image_size),
        )
        self.source = f"3D Shapes, official file {path}, {colour.scaling(image_size)}"
        self.fingerprint = f"shapes3d:sha256:{SHA256[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return files.taken(self._images, self.checked(rows))

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            type(self), image_size=self.image_shape[1], data_dir=self._data_dir
        ), ()


def _refusal(path: Path, what: str) -> ValueError:
    return ValueError(f"shapes3d: {path} {what}; {official.AGAIN}")


def _blocks(path: Path, sizes: tuple[int, ...], side: int) -> Iterator[NDArray[np.uint8]]:
    """The images in blocks, after a check of the labels. Raises ValueError."""
    count = math.prod(sizes)
    labels, pixels = (count, len(sizes)), (count, colour.SIDE, colour.SIDE, 3)
    with (
        blocks.complaints(lambda what: _refusal(path, what)),
        blocks.open_h5(path) as file,
        closing(blocks.h5_blocks(file, "labels", np.dtype("<f8"), labels)) as values,
        closing(blocks.h5_blocks(file, "images", np.dtype("u1"), pixels)) as images,
    ):
        start = 0
        for found in values:
            classes = np.unravel_index(np.arange(start, start + len(found)), sizes)
            expected = [np.array(f.values)[c] for f, c in zip(FACTORS, classes, strict=True)]
            # The labels are the values and not the classes.
            if not np.allclose(found, np.stack(expected, axis=1), rtol=0, atol=1e-6):
                raise blocks.Foreign("holds its images in another order")
            start += len(found)
        for block in images:
            yield from colour.planes(block, side)
