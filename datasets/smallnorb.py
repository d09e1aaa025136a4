"""The small NORB data set of LeCun et al. 2004, read from the official files."""

import gzip
import hashlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, FactorData, in_words

SIDE = 96  # pixels

# Codes of the element types in the header; the official files have no others.
_MAGIC = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}

_BLOCK = 256  # stereo pairs read at a time: 4.7 MB

FACTORS = (
    Factor(
        "category",
        5,
        "categorical",
        tuple(map(float, range(5))),
        ("animal", "human", "airplane", "truck", "car"),
    ),
    Factor("instance", 10, "categorical", tuple(map(float, range(10)))),
    Factor("elevation", 9, "ordinal", tuple(map(float, range(30, 75, 5)))),
    Factor("azimuth", 18, "cyclic", tuple(map(float, range(0, 360, 20)))),
    Factor("lighting", 6, "categorical", tuple(map(float, range(6)))),
)

TRAINING = "smallnorb-5x46789x9x18x6x2x96x96-training"
TESTING = "smallnorb-5x01235x9x18x6x2x96x96-testing"
PARTS = (TRAINING, TESTING)


def file_name(part: str, kind: str) -> str:
    """The file of a part with its images (dat), categories (cat) or other labels (info)."""
    return f"{part}-{kind}.mat.gz"


def _file(part: str, kind: str, size: int, sha256: str) -> File:
    name = file_name(part, kind)
    url = f"https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/{name}"
    return File(name, (url,), f"sha256:{sha256}", size)


ENTRY = Entry(
    name="smallnorb",
    title="Small NORB",
    files=(
        _file(
            TRAINING,
            "dat",
            131_896_188,
            "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
        ),
        _file(
            TRAINING,
            "cat",
            348,
            "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
        ),
        _file(
            TRAINING,
            "info",
            71_052,
            "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
        ),
        _file(
            TESTING,
            "dat",
            130_799_817,
            "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
        ),
        _file(
            TESTING,
            "cat",
            347,
            "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff",
        ),
        _file(
            TESTING,
            "info",
            10_428,
            "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
        ),
    ),
    factors=in_words(FACTORS),
    licence="for research only",
    citation="LeCun, Huang & Bottou 2004, Learning Methods for Generic Object Recognition with "
    "Invariance to Pose and Lighting, CVPR",
    page="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
    counts=(48_600,),
    # Of the official training part, which has these toys.
    published=Published((0.75209,), tolerance=2e-3, only=("instance", (4, 6, 7, 8, 9))),
)


class SmallNORB(FactorData):
    """SmallNORB: 48,600 grey photographs of 50 toys (LeCun, Huang & Bottou 2004, CVPR).

    Labels, the last fastest: category (animal, human, airplane, truck, car), instance (ten toys
    per category; toy 3 of one category has nothing to do with toy 3 of another), elevation (30 to
    70 degrees), azimuth (0 to 340 degrees), lighting (six kinds). No duplicates are known.

    Both official parts make one full grid, and nothing is held out; the official training part has
    the instances 4, 6, 7, 8, 9 and the testing part 0, 1, 2, 3, 5. The image is that of the left
    camera. The usual convention (disentanglement_lib, Locatello et al. 2019) does the same except
    for the instance: there it is no factor but drawn at random for each image. Scores of metrics
    that use all factors therefore do not compare with those of that convention.

    `image_size` is 28 to 128: the 96x96 pixels are resized by Pillow's Lanczos filter; the
    convention is 64.

    Reads the six files smallnorb-5x...-{training,testing}-{dat,cat,info}.mat.gz
    (cs.nyu.edu/~ylclab/data/norb-v1.0-small, for research only) from the data folder or its
    subfolder smallnorb/; see `files.data_root`. The first use of a size puts the resized images
    into the user's cache folder (199 MB at 64x64).

    Raises:
        ValueError: for another `image_size`, and a file that is missing, damaged or another one.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        pictures.check_size("smallnorb", image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        paths = files.paths(self.entry, data_dir)
        for file in self.entry.files:
            files.check(self.entry, paths[file.name], file)
        self._order = _order(paths, self.sizes)
        checksums = "".join(file.checksum for file in self.entry.files)
        content = hashlib.sha256(checksums.encode()).hexdigest()
        self._images = cache.prepared(
            f"smallnorb-{content[:32]}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(paths, len(self) // len(PARTS), image_size),
        )
        folder = paths[self.entry.files[0].name].parent
        scaling = pictures.scaling((SIDE, SIDE), image_size, "lanczos")
        self.source = f"Small NORB, left camera, official files in {folder}, {scaling}"
        self.fingerprint = f"smallnorb:sha256:{content[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self._order[self.checked(rows)])


def _order(paths: dict[str, Path], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """The position of the image of each row, counted through both parts. Raises ValueError."""
    count = math.prod(sizes) // len(PARTS)
    parts = []
    for part in PARTS:
        path = paths[file_name(part, "info")]
        category = _labels(paths[file_name(part, "cat")], (count,))
        classes = np.column_stack([category, _labels(path, (count, 4))])
        # The azimuth counts in steps of ten degrees, of which every other one was photographed.
        if (classes[:, 3] % 2).any():
            raise files.refusal(ENTRY, path, "holds an azimuth between the views")
        classes[:, 3] //= 2
        if (classes < 0).any() or (classes >= sizes).any():
            problem = "or the file of categories holds a class that does not exist"
            raise files.refusal(ENTRY, path, problem)
        parts.append(classes)
    rows = np.ravel_multi_index(tuple(np.concatenate(parts).T), sizes)
    order = np.argsort(rows, kind="stable")
    if not np.array_equal(rows[order], np.arange(len(rows))):
        path = paths[file_name(TRAINING, "info")]
        raise files.refusal(ENTRY, path, "and the other labels do not make up the grid of factors")
    return order.astype(np.int64, copy=False)


def _labels(path: Path, shape: tuple[int, ...]) -> NDArray[np.int64]:
    with files.reading(ENTRY, path), gzip.open(path) as file:
        _expect_header(file, np.dtype("<i4"), shape)
        data = _exactly(file, 4 * math.prod(shape))
        _expect_end(file)
        return np.frombuffer(data, dtype="<i4").reshape(shape).astype(np.int64)


def _blocks(paths: dict[str, Path], count: int, image_size: int) -> Iterator[NDArray[np.uint8]]:
    """Images of the left camera in the order of the files. Raises ValueError."""
    shape = (2, SIDE, SIDE)
    for part in PARTS:
        path = paths[file_name(part, "dat")]
        with files.reading(ENTRY, path), gzip.open(path) as file:
            _expect_header(file, np.dtype("u1"), (count, *shape))
            for start in range(0, count, _BLOCK):
                pairs = min(_BLOCK, count - start)
                data = _exactly(file, pairs * math.prod(shape))
                stereo = np.frombuffer(data, dtype=np.uint8).reshape(pairs, *shape)
                yield from pictures.resized(stereo[:, 0], image_size, "lanczos")
            _expect_end(file)


def _expect_header(file: gzip.GzipFile, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Read a header of this type and shape, or raise WrongFileError."""
    magic, axes = struct.unpack("<ii", _exactly(file, 8))
    if magic not in _MAGIC or not 0 < axes <= 8:
        raise WrongFileError("is no NORB file of bytes or integers")
    # At least three lengths are written; surplus ones are 1.
    lengths = max(3, axes)
    stored = struct.unpack(f"<{lengths}i", _exactly(file, 4 * lengths))[:axes]
    if (_MAGIC[magic], stored) != (dtype, shape):
        raise WrongFileError(f"holds {_MAGIC[magic]} {stored}, not {dtype} {shape}")


def _exactly(file: gzip.GzipFile, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends early")
    return data


def _expect_end(file: gzip.GzipFile) -> None:
    # Reading on to the end makes gzip check its checksum.
    if file.read(1):
        raise WrongFileError("goes on after its last value")
