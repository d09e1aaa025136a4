"""The CelebA data set of Liu et al. 2015, read from the official archive and text files."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File
from .factors import Factor, LabelledData

COUNT = 202_599
WIDTH, HEIGHT = 178, 218  # pixels
ATTRIBUTE_COUNT = 40

ARCHIVE = "img_align_celeba.zip"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"

_LARGEST = 2**20  # bytes of a picture that is read: they have about 7,000
_BLOCK = 64  # pictures read at a time

ENTRY = Entry(
    name="celeba",
    title="CelebA",
    files=(
        File(
            ARCHIVE,
            ("https://s3-us-west-1.amazonaws.com/udacity-dlnfd/datasets/celeba.zip",),
            "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
            1_443_490_838,
        ),
        File(ATTRIBUTES, digest="md5:75e246fa4810816ffd6ee81facbd244c"),
        File(PARTITION, digest="md5:d32c9cbf5e040fd4025c592c306e6668"),
    ),
    factors="40 attributes of 2",
    licence="non-commercial research only",
    citation="Liu, Luo, Wang & Tang 2015, Deep Learning Face Attributes in the Wild, ICCV",
    page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    counts=(COUNT,),
    training=162_770,
    remedy="fetch it again with a browser from mmlab.ie.cuhk.edu.hk/projects/CelebA.html "
    "(Align&Cropped Images, and Anno), where a busy host shows a notice instead",
)


class CelebA(LabelledData):
    """CelebA: 202,599 colour photographs of faces (Liu, Luo, Wang & Tang 2015, ICCV).

    No generative factors are known. The factors are the 40 attributes of the annotation, each
    absent (0) or present (1), with the names and in the order of list_attr_celeba.txt: from
    5_o_Clock_Shadow to Young. Combinations of them are absent or shared by many images.

    Rows are in the order of the names, 000001.jpg first. The official partition is kept: the
    162,770 training images come first, and both the 19,867 for validation and the 19,962 for
    testing after them are held out.

    `image_size` is 28 to 128, made by Pillow's bilinear filter from the 178x218 pixels: of the
    whole picture, which squashes it (`crop=None`, as JointVAE, Dupont 2018, does), or of the
    central square of `crop` pixels; 148 is usual too.

    Reads img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt
    (mmlab.ie.cuhk.edu.hk/projects/CelebA.html, for non-commercial research only) from the data
    folder or its subfolder celeba/; see `files.data_root`. Nothing is extracted to disk. The first
    use of a size or crop takes minutes and puts the resized images into the user's cache folder
    (2.5 GB at 64x64).

    Raises:
        ValueError: for another `image_size` or `crop`, and a file that is missing, damaged or
            another one.
    """

    entry = ENTRY

    def __init__(
        self,
        *,
        image_size: int = 64,
        crop: int | None = None,
        data_dir: str | Path | None = None,
    ) -> None:
        pictures.check_size("celeba", image_size)
        if crop is not None and not pictures.SMALLEST <= crop <= WIDTH:
            raise ValueError(
                f"celeba: crop must be None or {pictures.SMALLEST} to {WIDTH}, not {crop}"
            )
        self.reopen_with = {
            "image_size": image_size,
            "crop": crop,
            "data_dir": files.absolute(data_dir),
        }
        self.image_shape = (3, image_size, image_size)
        paths = files.paths(self.entry, data_dir)
        for file in self.entry.files:
            files.check(self.entry, paths[file.name], file)
        checksums = {file.name: file.checksum for file in self.entry.files}
        self.factors = _factors(paths[ATTRIBUTES])
        self.held_out = _held_out(paths[PARTITION])
        self.labels = cache.prepared(
            f"celeba-{checksums[ATTRIBUTES]}-attributes",
            (COUNT, ATTRIBUTE_COUNT),
            np.int8,
            lambda: _attributes(paths[ATTRIBUTES]),
        ).astype(np.int64)
        variant = f"{image_size}x{image_size}" + ("" if crop is None else f"-crop{crop}")
        self._images = cache.prepared(
            f"celeba-{checksums[ARCHIVE]}-{variant}",
            (COUNT, *self.image_shape),
            np.uint8,
            lambda: _blocks(paths[ARCHIVE], image_size, crop),
        )
        size = (WIDTH, HEIGHT) if crop is None else (crop, crop)
        scaling = pictures.scaling(size, image_size, "bilinear")
        part = "whole pictures" if crop is None else "centres"
        self.source = f"CelebA, official archive {paths[ARCHIVE]}, {part} of {scaling}"
        content = hashlib.sha256("".join(checksums.values()).encode()).hexdigest()
        self.fingerprint = f"celeba:sha256:{content[:16]}:{variant}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self.checked(rows))


def _name(row: int) -> str:
    return f"{row + 1:06d}.jpg"


def _lines(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Each row with the words behind its name.

    Raises:
        WrongFileError: the names are not those of the pictures, in order.
    """
    count = 0
    for row, line in enumerate(file):
        name, *words = line.split() or [""]
        if name != _name(row) or row >= COUNT:
            raise WrongFileError(f"names {name[:20]!r} in place of picture {row + 1} of {COUNT}")
        yield row, words
        count += 1
    if count != COUNT:
        raise WrongFileError(f"names {count} pictures, not {COUNT}")


def _factors(path: Path) -> tuple[Factor, ...]:
    with files.reading(ENTRY, path), path.open(encoding="ascii") as file:
        count, names = file.readline().strip(), file.readline().split()
        if count != str(COUNT) or len(set(names)) != ATTRIBUTE_COUNT:
            raise WrongFileError(
                f"begins with the count {count:.20} and {len(names)} attributes, "
                f"not {COUNT} and {ATTRIBUTE_COUNT}"
            )
    return tuple(Factor(name, 2, "categorical", (0.0, 1.0)) for name in names)


def _attributes(path: Path) -> Iterator[NDArray[np.int8]]:
    """1 where an attribute is present, else 0, in blocks (1, 40), one per picture."""
    with files.reading(ENTRY, path), path.open(encoding="ascii") as file:
        for _ in range(2):  # count and names
            file.readline()
        for row, words in _lines(file):
            if len(words) != ATTRIBUTE_COUNT or not set(words) <= {"1", "-1"}:
                raise WrongFileError(f"has no {ATTRIBUTE_COUNT} values 1 or -1 for {_name(row)}")
            yield np.array([[word == "1" for word in words]], dtype=np.int8)


def _held_out(path: Path) -> int:
    """Number of pictures at the end that are for validation or testing. Raises ValueError."""
    with files.reading(ENTRY, path), path.open(encoding="ascii") as file:
        parts = [words for _, words in _lines(file)]
        training = [part == ["0"] for part in parts]
        count = sum(training)
        if not all(training[:count]) or not all(p in (["1"], ["2"]) for p in parts[count:]):
            raise WrongFileError("does not name parts 0, then 1 and 2")
    return COUNT - count


def _blocks(path: Path, image_size: int, crop: int | None) -> Iterator[NDArray[np.uint8]]:
    """The resized pictures in the order of their names. Raises ValueError."""
    with files.reading(ENTRY, path):
        archive = zipfile.ZipFile(path)
    with archive:
        files.check_members(ENTRY, path, archive.namelist())
        with files.reading(ENTRY, path):
            yield from _resized(archive, image_size, crop)


def _resized(
    archive: zipfile.ZipFile, image_size: int, crop: int | None
) -> Iterator[NDArray[np.uint8]]:
    names = {f"img_align_celeba/{_name(row)}" for row in range(COUNT)}
    held = [info for info in archive.infolist() if info.filename in names]
    if len(held) != COUNT:
        raise WrongFileError(f"holds {len(held)} of the {COUNT} pictures")
    held.sort(key=lambda info: info.filename)
    for start in range(0, COUNT, _BLOCK):
        cut = [_picture(archive, info, crop) for info in held[start : start + _BLOCK]]
        yield from pictures.resized(np.stack(cut), image_size, "bilinear")


def _picture(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, crop: int | None
) -> NDArray[np.uint8]:
    if info.file_size > _LARGEST:
        raise WrongFileError(
            f"has {info.filename} of {info.file_size:,} bytes, which is no such picture"
        )
    picture = pictures.opened(archive.read(info), info.filename, "JPEG", (WIDTH, HEIGHT))
    if crop is not None:
        left, top = (WIDTH - crop) // 2, (HEIGHT - crop) // 2
        picture = picture.crop((left, top, left + crop, top + crop))
    return np.asarray(picture.convert("RGB"))
