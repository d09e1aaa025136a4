"""The 3D Chairs data set of Aubry et al. 2014, read from the official archive or its folder."""

import functools
import hashlib
import re
import tarfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File
from .factors import Factor, FactorData, in_words

FOLDER = "rendered_chairs"

SIDE = 600  # pixels
CHAIRS = 1393
ELEVATIONS = (20, 30)  # degrees
AZIMUTHS = 31  # steps of a turn

View = tuple[str, int, int]  # name of the chair, class of the elevation, class of the azimuth

_NAME = re.compile(r"image_\d+_p(\d{3})_t(\d{3})_r\d{3}\.png")
_LARGEST = 2**24  # bytes of a picture that is read: they have about 20,000
_BLOCK = 64  # pictures read at a time
_LISTED = 5  # incomplete chairs that the warning names


def _factors(chairs: int) -> tuple[Factor, ...]:
    return (
        Factor("chair", chairs, "categorical", tuple(map(float, range(chairs)))),
        Factor("elevation", len(ELEVATIONS), "ordinal", tuple(map(float, ELEVATIONS))),
        Factor("azimuth", AZIMUTHS, "cyclic", tuple(360 * k / AZIMUTHS for k in range(AZIMUTHS))),
    )


ENTRY = Entry(
    name="chairs3d",
    title="3D Chairs",
    files=(
        File(
            "rendered_chairs.tar",
            ("https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar",),
            instead=(File(FOLDER, folder=True),),
        ),
    ),
    factors=in_words(_factors(CHAIRS)),
    licence="none stated",
    citation="Aubry, Maturana, Efros, Russell & Sivic 2014, Seeing 3D Chairs, CVPR",
    page="https://www.di.ens.fr/willow/research/seeing3Dchairs",
    counts=(86_366,),
    remedy="fetch rendered_chairs.tar again",
)


class Chairs3D(FactorData):
    """3D Chairs: 86,366 renderings of 1,393 chairs in grey (Aubry et al. 2014, CVPR).

    Labels, the last fastest: chair (in the order of the names of their folders), elevation (20 and
    30 degrees), azimuth (31 steps of a turn, from the number behind t in the name of a file; the
    running number there is in another order). No duplicates are known; symmetric chairs look alike
    from left and right except for the mirroring.

    A chair that lacks views is left out with a warning, and `source` says how many remain.

    `image_size` is 28 to 128, made by Pillow's bilinear filter from the central `crop` pixels of
    the 600x600, in grey. The background is white; `invert` makes it black. JointVAE (Dupont 2018)
    crops so that chairs fill most of the image, by code that is lost; 400 comes near.

    Reads rendered_chairs.tar (di.ens.fr/willow/research/seeing3Dchairs; no licence is stated), or
    else the folder rendered_chairs/ that it holds, from the data folder or its subfolder chairs3d/;
    see `files.data_root`. No checksum is published, so the names and sizes of the pictures are
    checked. Nothing is extracted to disk. The first use of a variant takes minutes and puts the
    images into the user's cache folder (354 MB at 64x64).

    Raises:
        ValueError: for another `image_size` or `crop`, and files that are missing, damaged or
            other ones.
    """

    entry = ENTRY

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
        self.reopen_with = {
            "image_size": image_size,
            "crop": crop,
            "invert": invert,
            "data_dir": files.absolute(data_dir),
        }
        self.image_shape = (1, image_size, image_size)
        (path,) = files.paths(self.entry, data_dir).values()
        key = f"chairs3d-{_identity(path)}"
        (count,) = cache.prepared(
            f"{key}-count",
            (1,),
            np.int64,
            lambda: iter([np.array([len(_complete(path)) // _all_views()])]),
        ).tolist()
        if count < CHAIRS:
            warnings.warn(_incomplete(path), stacklevel=2)
        self.factors = _factors(count)
        variant = f"{image_size}x{image_size}-crop{crop}" + ("-inverted" if invert else "")
        self._images = cache.prepared(
            f"{key}-{variant}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(path, image_size, crop, invert),
        )
        # Of the pixels, as there is no official checksum; archive and folder give the same.
        digest = cache.prepared(
            f"{key}-{variant}-sha256", (32,), np.uint8, lambda: iter([_digest(self._images)])
        ).tobytes()
        scaling = pictures.scaling((crop, crop), image_size, "bilinear")
        self.source = (
            f"3D Chairs, {count} of {CHAIRS} chairs in {path}, central {scaling}, "
            f"grey on {'black' if invert else 'white'}"
        )
        self.fingerprint = f"chairs3d:sha256:{digest.hex()[:16]}:{variant}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self.checked(rows))


@dataclass(frozen=True)
class Picture:
    """The PNG file of a view, a file of its own or a part of an archive.

    Attributes:
        name: its path from the folder that holds `FOLDER`.
        file: the file that is opened.
        start: where the PNG file begins there, in bytes.
        size: in bytes.
    """

    name: str
    file: Path
    start: int
    size: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.size)
        if len(data) < self.size:
            raise EOFError("it ends early")
        return data


def _identity(path: Path) -> str:
    """A key that changes with the archive, or with names, sizes and times of files in a folder."""
    if not path.is_dir():
        return files.digest(path, "sha256")[:32]
    listing = hashlib.sha256()
    for file in _png_files(path):
        status = file.stat()
        name = file.relative_to(path).as_posix()
        listing.update(f"{name}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    return listing.hexdigest()[:32]


def _all_views() -> int:
    return len(ELEVATIONS) * AZIMUTHS


def _complete(path: Path) -> list[Picture]:
    """Pictures, in row order, of the chairs that have all views. Raises ValueError."""
    views = _views(path)
    counts = _counts(views)
    complete = [picture for view, picture in views.items() if counts[view[0]] == _all_views()]
    with files.reading(ENTRY, path):
        if len(counts) > CHAIRS:
            raise WrongFileError(f"holds {len(counts)} chairs, not {CHAIRS}")
        if not complete:
            raise WrongFileError(f"holds no chair with all {_all_views()} views")
    return complete


def _incomplete(path: Path) -> str:
    """Which chairs are left out, in one line."""
    counts = _counts(_views(path))
    incomplete = [
        f"{chair} ({n} of {_all_views()} views)" for chair, n in counts.items() if n < _all_views()
    ]
    absent = CHAIRS - len(counts)
    parts = incomplete[:_LISTED]
    if len(incomplete) > _LISTED:
        parts.append(f"{len(incomplete) - _LISTED} others that lack views")
    if absent:
        parts.append(f"{absent} without any view")
    return f"chairs3d: {path} is not complete, these chairs are left out: {', '.join(parts)}"


def _views(path: Path) -> dict[View, Picture]:
    """All pictures of an archive or folder by view, chairs in order of their names.

    Raises ValueError for damage, and for views that do not belong there.
    """
    views: dict[View, Picture] = {}
    stored = list(_folder(path) if path.is_dir() else _archive(path))
    with files.reading(ENTRY, path):
        for picture in stored:
            view = _view(picture.name)
            if view is None:
                continue
            if view in views:
                raise WrongFileError(f"has the view of {picture.name} twice")
            if picture.size > _LARGEST:
                raise WrongFileError(
                    f"has {picture.name} of {picture.size:,} bytes, not such a picture"
                )
            views[view] = picture
    return dict(sorted(views.items()))


def _counts(views: dict[View, Picture]) -> dict[str, int]:
    """How many views there are of each chair, in order of their names."""
    counts: dict[str, int] = {}
    for chair, _, _ in views:
        counts[chair] = counts.get(chair, 0) + 1
    return counts


def _view(name: str) -> View | None:
    """The view in a file FOLDER/chair/renders/image_..., None for other files.

    Raises WrongFileError for a direction that no official view has.
    """
    parts = PurePosixPath(name).parts
    match = _NAME.fullmatch(parts[-1]) if parts else None
    if match is None or len(parts) != 4 or parts[0] != FOLDER or parts[2] != "renders":
        return None
    elevation, degrees = int(match[1]), int(match[2])
    steps = _steps(AZIMUTHS)
    if elevation not in ELEVATIONS or degrees not in steps:
        raise WrongFileError(f"has {name}, a view from another direction")
    return parts[1], ELEVATIONS.index(elevation), steps[degrees]


@functools.cache
def _steps(azimuths: int) -> dict[int, int]:
    """Class of the azimuth by its degrees in a name."""
    turns = [(k, 360 * k / azimuths) for k in range(azimuths)]
    # The names have degrees cut to whole numbers; rounded ones would mean the same view.
    return {whole: k for k, degrees in turns for whole in (int(degrees), round(degrees))}


def _archive(path: Path) -> Iterator[Picture]:
    if files.is_page(path):
        raise files.refusal(ENTRY, path, "is a web page: the host answered with a notice")
    with files.reading(ENTRY, path), tarfile.open(path, "r:") as archive:
        members = archive.getmembers()
    files.check_members(ENTRY, path, (m.name for m in members))
    for member in members:
        # Links and sparse files are no pictures of the set.
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield Picture(member.name, path, member.offset_data, member.size)


def _folder(path: Path) -> Iterator[Picture]:
    for file in _png_files(path):
        name = file.relative_to(path).as_posix()
        yield Picture(f"{FOLDER}/{name}", file, 0, file.stat().st_size)


def _png_files(path: Path) -> list[Path]:
    return sorted(path.glob("*/renders/image_*.png"))


def _blocks(path: Path, image_size: int, crop: int, invert: bool) -> Iterator[NDArray[np.uint8]]:
    """The images in row order. Raises ValueError."""
    stored = _complete(path)
    with files.reading(ENTRY, path):
        for start in range(0, len(stored), _BLOCK):
            cut = np.stack([_centre(picture, crop) for picture in stored[start : start + _BLOCK]])
            for block in pictures.resized(cut, image_size, "bilinear"):
                yield 255 - block if invert else block


def _centre(stored: Picture, crop: int) -> NDArray[np.uint8]:
    from PIL import Image

    picture = pictures.opened(stored.read(), stored.name, "PNG", (SIDE, SIDE))
    low = (SIDE - crop) // 2
    picture = picture.crop((low, low, low + crop, low + crop))
    if picture.has_transparency_data:
        # Transparent parts show the white page, not whatever colour is stored below.
        page = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(page, picture.convert("RGBA"))
    return np.asarray(picture.convert("L"))


def _digest(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sha256 of the pixels in row order, as bytes."""
    digest = hashlib.sha256()
    for start in range(0, len(images), 4096):
        indices = np.arange(start, min(start + 4096, len(images)))
        digest.update(cache.rows(images, indices).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
