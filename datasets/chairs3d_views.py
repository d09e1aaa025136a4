"""The picture files of 3D Chairs, in the official archive or in the folder that it holds."""

import functools
import hashlib
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import blocks, files, official
from .blocks import Foreign

FOLDER = "rendered_chairs"

CHAIRS = 1393
ELEVATIONS = (20, 30)  # degrees
AZIMUTHS = 31  # steps of a turn

REMEDY = "fetch rendered_chairs.tar again"

_NAME = re.compile(r"image_\d+_p(\d{3})_t(\d{3})_r\d{3}\.png")

_LARGEST = 2**24  # bytes of a picture that is read: they have about 20,000

View = tuple[str, int, int]  # name of the chair, class of the elevation, class of the azimuth


@dataclass(frozen=True)
class Place:
    """Where a picture lies: in a file of its own from 0 on, or somewhere in an archive."""

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


@contextmanager
def complaints(path: Path) -> Iterator[None]:
    """Whatever is wrong with the archive or folder becomes a ValueError of one line."""

    def refusal(what: str) -> ValueError:
        return ValueError(f"chairs3d: {path} {what}; {REMEDY}")

    with blocks.complaints(refusal):
        try:
            yield
        except tarfile.TarError as error:
            raise ValueError(str(error)) from error


def identity(path: Path) -> str:
    """A key that changes with the archive, or with names, sizes and times of files in a folder."""
    if not path.is_dir():
        return files.digest(path, "sha256")[:32]
    listing = hashlib.sha256()
    for file in _pictures(path):
        status = file.stat()
        name = file.relative_to(path).as_posix()
        listing.update(f"{name}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    return listing.hexdigest()[:32]


def found(path: Path) -> dict[View, Place]:
    """All pictures of an archive or folder, chair by chair in order of their names.

    Raises ValueError.
    """
    views: dict[View, Place] = {}
    places = list(_folder(path) if path.is_dir() else _archive(path))
    with complaints(path):
        for place in places:
            view = _view(place.name)
            if view is None:
                continue
            if view in views:
                raise Foreign(f"has the view of {place.name} twice")
            if place.size > _LARGEST:
                raise Foreign(f"has {place.name} of {place.size:,} bytes, not such a picture")
            views[view] = place
    return dict(sorted(views.items()))


def counts(views: dict[View, Place]) -> dict[str, int]:
    """How many views there are of each chair, in order of their names."""
    numbers: dict[str, int] = {}
    for chair, _, _ in views:
        numbers[chair] = numbers.get(chair, 0) + 1
    return numbers


def _view(name: str) -> View | None:
    """The view in a file FOLDER/chair/renders/image_..., None for other files. Raises Foreign."""
    parts = PurePosixPath(name).parts
    match = _NAME.fullmatch(parts[-1]) if parts else None
    if match is None or len(parts) != 4 or parts[0] != FOLDER or parts[2] != "renders":
        return None
    elevation, degrees = int(match[1]), int(match[2])
    steps = _steps(AZIMUTHS)
    if elevation not in ELEVATIONS or degrees not in steps:
        raise Foreign(f"has {name}, a view from another direction")
    return parts[1], ELEVATIONS.index(elevation), steps[degrees]


@functools.cache
def _steps(azimuths: int) -> dict[int, int]:
    """Class of the azimuth by its degrees in a name."""
    turns = [(k, 360 * k / azimuths) for k in range(azimuths)]
    # Cut to whole degrees in the names; rounded ones would be no other view.
    return {whole: k for k, degrees in turns for whole in (int(degrees), round(degrees))}


def _archive(path: Path) -> Iterator[Place]:
    if official.is_page(path):
        raise ValueError(f"chairs3d: {path} is a web page and no archive; {REMEDY}")
    with complaints(path), tarfile.open(path, "r:") as archive:
        members = archive.getmembers()
    official.check_members("chairs3d", path, (m.name for m in members), REMEDY)
    for member in members:
        # Links and sparse files are none of the set.
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield Place(member.name, path, member.offset_data, member.size)


def _folder(path: Path) -> Iterator[Place]:
    for file in _pictures(path):
        name = file.relative_to(path).as_posix()
        yield Place(f"{FOLDER}/{name}", file, 0, file.stat().st_size)


def _pictures(path: Path) -> list[Path]:
    return sorted(path.glob("*/renders/image_*.png"))
