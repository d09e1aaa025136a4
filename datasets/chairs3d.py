"""The 3D Chairs data set of Aubry et al. 2014, read from the official archive or what is in it."""

import functools
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import chairs3d_views, files, pictures
from .blocks import Foreign
from .factors import Factor, FactorData

ARCHIVE = "rendered_chairs.tar"
SIDE = 600

_BLOCK = 64
_SHOWN = 5  # chairs that lack views, by name in the warning


class Chairs3D(FactorData):
    """3D Chairs: 86,366 renderings of 1,393 chairs in grey (Aubry et al. 2014, CVPR).

    Labels, the last fastest: chair (in the order of the names of their folders), elevation (20 and
    30 degrees), azimuth (31 steps of a turn, from the number behind t in the name of a file; the
    running number there is in another order). No duplicates are known; symmetric chairs look alike
    from left and right but for the mirroring.

    A chair that lacks views is left out with a warning, and `source` says how many remain.

    `image_size` is 28 to 128, made by Pillow's bilinear filter from the central `crop` pixels of
    the 600x600, in grey. The background is white; `invert` makes it black. JointVAE (Dupont 2018)
    crops so that chairs fill most of the image, by a code that is lost; 400 comes near.

    Reads rendered_chairs.tar (di.ens.fr/willow/research/seeing3Dchairs; no licence is stated), or
    else the folder rendered_chairs/ that it holds, from the data folder or its subfolder chairs3d/;
    see `files.data_root`. No checksum is published, so what is checked are the names and sizes of
    the pictures. Nothing is extracted to disk. The first use of a variant takes minutes and puts
    the images into the user's cache folder (354 MB at 64x64).

    Raises ValueError for another `image_size` or `crop`, and files that are missing, damaged or
    others.
    """

    def __init__(
        self,
        *,
        image_size: int = 64,
        crop: int = 400,
        invert: bool = False,
        data_dir: str | Path | None = None,
    ) -> None:
        pictures.check_size("chairs3d", image_size)
        if not pictures.SMALLEST <= crop <= SIDE:
            raise ValueError(f"chairs3d: crop must be {pictures.SMALLEST} to {SIDE}, not {crop}")
        self.image_shape = (1, image_size, image_size)
        self._crop, self._invert = crop, invert
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        names = (ARCHIVE, chairs3d_views.FOLDER)
        (path,) = files.located("chairs3d", self._data_dir, [names]).values()
        key = f"chairs3d-{chairs3d_views.identity(path)}"
        every = chairs3d_views.CHAIRS
        (count,) = files.prepared(
            f"{key}-count",
            (1,),
            np.int64,
            lambda: iter([np.array([len(_whole(path)) // _all_views()])]),
        ).tolist()
        if count < every:
            warnings.warn(_lacking(path), stacklevel=2)
        self.factors = _factors(count)
        variant = f"{image_size}x{image_size}-crop{crop}" + ("-inverted" if invert else "")
        self._images = files.prepared(
            f"{key}-{variant}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(path, image_size, crop, invert),
        )
        # Of the pixels, as there is no official checksum; archive and folder give the same.
        digest = files.prepared(
            f"{key}-{variant}-sha256", (32,), np.uint8, lambda: iter([_digest(self._images)])
        ).tobytes()
        scaling = pictures.scaling((crop, crop), image_size, "bilinear")
        self.source = (
            f"3D Chairs, {count} of {every} chairs in {path}, central {scaling}, "
            f"grey on {'black' if invert else 'white'}"
        )
        self.fingerprint = f"chairs3d:sha256:{digest.hex()[:16]}:{variant}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return files.taken(self._images, self.checked(rows))

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            type(self),
            image_size=self.image_shape[1],
            crop=self._crop,
            invert=self._invert,
            data_dir=self._data_dir,
        ), ()


def _factors(chairs: int) -> tuple[Factor, ...]:
    elevations, steps = chairs3d_views.ELEVATIONS, chairs3d_views.AZIMUTHS
    return (
        Factor("chair", chairs, "categorical", tuple(map(float, range(chairs)))),
        Factor("elevation", len(elevations), "ordinal", tuple(map(float, elevations))),
        Factor("azimuth", steps, "cyclic", tuple(360 * k / steps for k in range(steps))),
    )


def _whole(path: Path) -> list[chairs3d_views.Place]:
    """Pictures, in row order, of the chairs of which no view is lacking. Raises ValueError."""
    views = chairs3d_views.found(path)
    numbers = chairs3d_views.counts(views)
    whole = [place for (chair, _, _), place in views.items() if numbers[chair] == _all_views()]
    with chairs3d_views.complaints(path):
        if len(numbers) > chairs3d_views.CHAIRS:
            raise Foreign(f"holds {len(numbers)} chairs, not {chairs3d_views.CHAIRS}")
        if not whole:
            raise Foreign(f"holds no chair with all {_all_views()} views")
    return whole


def _lacking(path: Path) -> str:
    """Which chairs are left out, in one line."""
    numbers = chairs3d_views.counts(chairs3d_views.found(path))
    lacking = [
        f"{chair} ({n} of {_all_views()} views)" for chair, n in numbers.items() if n < _all_views()
    ]
    absent = chairs3d_views.CHAIRS - len(numbers)
    parts = lacking[:_SHOWN]
    if len(lacking) > _SHOWN:
        parts.append(f"{len(lacking) - _SHOWN} others that lack views")
    if absent:
        parts.append(f"{absent} without any view")
    return f"chairs3d: {path} is not complete, these chairs are left out: {', '.join(parts)}"


def _all_views() -> int:
    return len(chairs3d_views.ELEVATIONS) * chairs3d_views.AZIMUTHS


def _blocks(path: Path, side: int, crop: int, invert: bool) -> Iterator[NDArray[np.uint8]]:
    """The images in row order. Raises ValueError."""
    places = _whole(path)
    with chairs3d_views.complaints(path):
        for start in range(0, len(places), _BLOCK):
            cut = np.stack([_centre(place, crop) for place in places[start : start + _BLOCK]])
            for block in pictures.resized(cut, side, "bilinear"):
                yield 255 - block if invert else block


def _centre(place: chairs3d_views.Place, crop: int) -> NDArray[np.uint8]:
    from PIL import Image

    picture = pictures.opened(place.read(), place.name, "PNG", (SIDE, SIDE))
    low = (SIDE - crop) // 2
    picture = picture.crop((low, low, low + crop, low + crop))
    if picture.has_transparency_data:
        # What is transparent shows the white page, and not whatever colour is stored below.
        page = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(page, picture.convert("RGBA"))
    return np.asarray(picture.convert("L"))


def _digest(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sha256 of the pixels in row order, as bytes."""
    digest = hashlib.sha256()
    for start in range(0, len(images), 4096):
        rows = np.arange(start, min(start + 4096, len(images)))
        digest.update(files.taken(images, rows).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
