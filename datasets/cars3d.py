"""The 3D Cars data set of Reed et al. 2015, read from the official archive."""

import io
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, FactorData, in_words

SIDE = 128  # pixels

_FOLDER = PurePosixPath("data/cars")
_LARGEST = 2**26  # bytes of a member that is read: a car has 4.7 MB of pixels and 1.6 MB of masks

FACTORS = (
    Factor("elevation", 4, "ordinal", tuple(map(float, range(4)))),
    Factor("azimuth", 24, "cyclic", tuple(map(float, range(0, 360, 15)))),
    Factor("object_type", 183, "categorical", tuple(map(float, range(183)))),
)

ENTRY = Entry(
    name="cars3d",
    title="3D Cars",
    files=(
        File(
            "nips2015-analogy-data.tar.gz",
            ("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",),
            "md5:4e866a7919c1beedf53964e6f7a23686",
        ),
    ),
    factors=in_words(FACTORS),
    licence="none stated",
    citation="Reed, Zhang, Zhang & Lee 2015, Deep Visual Analogy-Making, NIPS",
    page="http://www.scottreed.info",
    counts=(17_568,),
    published=Published((0.89767, 0.88917, 0.88515), tolerance=2e-3),
)


class Cars3D(FactorData):
    """Cars3D: 17,568 colour images of 183 car models (Reed, Zhang, Zhang & Lee 2015, NIPS).

    Labels, the last fastest: elevation (four heights of the camera, degrees unknown), azimuth (0 to
    345 degrees), object_type (the cars in the order of list.txt of the archive; disentanglement_lib
    numbers them by directory listing, which differs by machine). No duplicates are known.

    `image_size` is 28 to 128: the 128x128 pixels are resized by Pillow's Lanczos filter; the
    convention is 64.

    Reads nips2015-analogy-data.tar.gz (scottreed.info/files; no licence is stated) from the data
    folder or its subfolder cars3d/; see `files.data_root`. Nothing is extracted to disk. The first
    use of a size puts the resized images into the user's cache folder (216 MB at 64x64).

    Raises:
        ValueError: for another `image_size`, and a file that is missing, damaged or another one.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        pictures.check_size("cars3d", image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        self.factors = FACTORS
        self.image_shape = (3, image_size, image_size)
        (file,) = self.entry.files
        path = files.paths(self.entry, data_dir)[file.name]
        files.check(self.entry, path, file)
        # A packed archive is read from front to back, so the images are kept in its order.
        cars = self.sizes[2]
        members = cache.prepared(
            f"cars3d-{file.checksum}-members",
            (cars,),
            np.int64,
            lambda: iter([_members(path, cars)]),
        )
        self._places = np.searchsorted(np.sort(members), members)
        self._images = cache.prepared(
            f"cars3d-{file.checksum}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(path, set(members.tolist()), self.sizes, image_size),
        )
        scaling = pictures.scaling((SIDE, SIDE), image_size, "lanczos")
        self.source = f"3D Cars, official archive {path}, {scaling}"
        self.fingerprint = f"cars3d:md5:{file.checksum}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        elevation, azimuth, car = np.unravel_index(self.checked(rows), self.sizes)
        stored = (len(self._places), *self.sizes[:2])
        indices = np.ravel_multi_index((self._places[car], elevation, azimuth), stored)
        return cache.rows(self._images, indices)


def _members(path: Path, count: int) -> NDArray[np.int64]:
    """The position in the archive of each car of its list. Raises ValueError."""
    names, cars, listed = [], {}, None
    with files.reading(ENTRY, path), tarfile.open(path, "r:gz") as archive:
        for position, member in enumerate(archive):
            names.append(member.name)
            member_path = PurePosixPath(member.name)
            if member_path == _FOLDER / "list.txt":
                listed = _read(archive, member).decode("ascii").split()
            elif member_path.parent == _FOLDER and member_path.suffix == ".mat":
                cars[member_path.stem] = position
    files.check_members(ENTRY, path, names)
    with files.reading(ENTRY, path):
        if listed is None:
            raise WrongFileError(f"has no {_FOLDER}/list.txt")
        if len(set(listed)) != count or len(listed) != count:
            raise WrongFileError(f"lists {len(listed)} cars, not {count} different ones")
        for name in listed:
            if name not in cars:
                raise WrongFileError(f"has no {_FOLDER}/{name}.mat, which its list names")
    return np.array([cars[name] for name in listed], dtype=np.int64)


def _blocks(
    path: Path, positions: set[int], sizes: tuple[int, ...], image_size: int
) -> Iterator[NDArray[np.uint8]]:
    """The images of the members at `positions`, by elevation, in the order of the archive."""
    with files.reading(ENTRY, path), tarfile.open(path, "r:gz") as archive:
        for position, member in enumerate(archive):
            if position in positions:
                pixels = _pixels(_read(archive, member), member.name, sizes)
                yield from pictures.resized(pixels, image_size, "lanczos")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size > _LARGEST:
        raise WrongFileError(f"has {member.name} as something else than a file of usual size")
    return file.read()


def _pixels(data: bytes, name: str, sizes: tuple[int, ...]) -> NDArray[np.uint8]:
    """Images (n, H, W, 3) of one car, the azimuth fastest. Raises WrongFileError."""
    from scipy.io import loadmat, whosmat

    expected = ("im", (SIDE, SIDE, 3, sizes[1], sizes[0]), "uint8")
    try:
        # Before the values are read: nothing but an array of numbers is of use.
        if expected not in whosmat(io.BytesIO(data)):
            raise WrongFileError(f"has no array 'im' of {expected[2]} {expected[1]} in {name}")
        pixels: NDArray[np.uint8] = loadmat(io.BytesIO(data), variable_names=["im"])["im"]
    except WrongFileError:
        raise
    except Exception as error:  # scipy raises nearly anything for a damaged file
        raise WrongFileError(f"has {name}, which is damaged or no MATLAB file") from error
    turned = pixels.transpose(4, 3, 0, 1, 2)
    return np.ascontiguousarray(turned).reshape(math.prod(sizes[:2]), SIDE, SIDE, 3)
