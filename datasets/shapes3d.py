"""The 3D Shapes data set of Burgess & Kim 2018, read from the official file."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, FactorData, in_words

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

ENTRY = Entry(
    name="shapes3d",
    title="3D Shapes",
    files=(
        File(
            "3dshapes.h5",
            ("https://storage.googleapis.com/3d-shapes/3dshapes.h5",),
            "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
            267_573_662,
        ),
    ),
    factors=in_words(FACTORS),
    licence="Apache-2.0",
    citation="Burgess & Kim 2018, 3D Shapes Dataset",
    page="https://github.com/google-deepmind/3d-shapes",
    counts=(480_000,),
    published=Published(
        mean=(0.502585, 0.578760, 0.603450), image_deviation=(0.294081, 0.344398, 0.366169)
    ),
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

    Raises:
        ValueError: for another `image_size`, and a file that is missing, damaged or another one.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        pictures.check_full_or_half("shapes3d", image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        self.factors = FACTORS
        self.image_shape = (3, image_size, image_size)
        (file,) = self.entry.files
        path = files.paths(self.entry, data_dir)[file.name]
        files.check(self.entry, path, file)
        self._images = cache.prepared(
            f"shapes3d-{file.checksum[:32]}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(path, self.sizes, image_size),
        )
        self.source = f"3D Shapes, official file {path}, {pictures.full_or_half(image_size)}"
        self.fingerprint = f"shapes3d:sha256:{file.checksum[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self.checked(rows))


def _blocks(path: Path, sizes: tuple[int, ...], image_size: int) -> Iterator[NDArray[np.uint8]]:
    """The images in blocks, after a check of the labels. Raises ValueError."""
    count = math.prod(sizes)
    labels, pixels = (count, len(sizes)), (count, pictures.FULL, pictures.FULL, 3)
    with (
        files.reading(ENTRY, path),
        blocks.open_h5(path) as file,
        closing(blocks.h5_blocks(file, "labels", np.dtype("<f8"), labels)) as values,
        closing(blocks.h5_blocks(file, "images", np.dtype("u1"), pixels)) as images,
    ):
        start = 0
        for block in values:
            classes = np.unravel_index(np.arange(start, start + len(block)), sizes)
            expected = [np.array(f.values)[c] for f, c in zip(FACTORS, classes, strict=True)]
            # The labels are the values and not the classes.
            if not np.allclose(block, np.stack(expected, axis=1), rtol=0, atol=1e-6):
                raise WrongFileError("holds its images in another order")
            start += len(block)
        for block in images:
            yield from pictures.planes(block, image_size)
