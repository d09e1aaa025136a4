"""The small NORB data set of LeCun et al. 2004, read from the official files."""

import functools
import gzip
import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, files, official, pictures
from .blocks import Foreign
from .factors import Factor, FactorData

SIDE = 96

# Codes of element types in the header; the files have no others.
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


@dataclass(frozen=True)
class Part:
    """Half of the set: the start of its file names, and bytes and sha256 of its three files."""

    prefix: str
    files: dict[str, tuple[int, str]]

    def name(self, kind: str) -> str:
        return f"{self.prefix}-{kind}.mat.gz"


PARTS = (
    Part(
        "smallnorb-5x46789x9x18x6x2x96x96-training",
        {
            "dat": (
                131_896_188,
                "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
            ),
            "cat": (348, "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
            "info": (71_052, "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
        },
    ),
    Part(
        "smallnorb-5x01235x9x18x6x2x96x96-testing",
        {
            "dat": (
                130_799_817,
                "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
            ),
            "cat": (347, "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
            "info": (10_428, "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
        },
    ),
)


class SmallNORB(FactorData):
    """SmallNORB: 48,600 grey photographs of 50 toys (LeCun, Huang & Bottou 2004, CVPR).

    Labels, the last fastest: category (animal, human, airplane, truck, car), instance (ten toys a
    category; toy 3 of one category has nothing to do with toy 3 of another), elevation (30 to 70
    degrees), azimuth (0 to 340 degrees), lighting (six kinds). No duplicates are known.

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

    Raises ValueError for another `image_size`, and a file that is missing, damaged or another.
    """

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        pictures.check_size("smallnorb", image_size)
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        names = [part.name(kind) for part in PARTS for kind in part.files]
        paths = files.located("smallnorb", self._data_dir, names)
        checksums = ""
        for part in PARTS:
            for kind, (size, known) in part.files.items():
                official.check("smallnorb", paths[part.name(kind)], "sha256", known, size=size)
                checksums += known
        self._order = _order(paths, self.sizes)
        content = hashlib.sha256(checksums.encode()).hexdigest()
        self._images = files.prepared(
            f"smallnorb-{content[:32]}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: _blocks(paths, len(self) // len(PARTS), image_size),
        )
        folder = paths[names[0]].parent
        scaling = pictures.scaling((SIDE, SIDE), image_size, "lanczos")
        self.source = f"Small NORB, left camera, official files in {folder}, {scaling}"
        self.fingerprint = f"smallnorb:sha256:{content[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return files.taken(self._images, self._order[self.checked(rows)])

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            type(self), image_size=self.image_shape[1], data_dir=self._data_dir
        ), ()


def _refusal(path: Path, what: str) -> ValueError:
    return ValueError(f"smallnorb: {path} {what}; {official.AGAIN}")


def _order(paths: dict[str, Path], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Where the image of each row stands, counted through both parts. Raises ValueError."""
    count = math.prod(sizes) // len(PARTS)
    parts = []
    for part in PARTS:
        category = _labels(paths[part.name("cat")], (count,))
        info = _labels(paths[part.name("info")], (count, 4))
        classes = np.column_stack([category, info])
        path = paths[part.name("info")]
        # The azimuth counts in steps of ten degrees, of which every other one was photographed.
        if (classes[:, 3] % 2).any():
            raise _refusal(path, "holds an azimuth between the views")
        classes[:, 3] //= 2
        if (classes < 0).any() or (classes >= sizes).any():
            raise _refusal(path, "or the file of categories holds a class that does not exist")
        parts.append(classes)
    rows = np.ravel_multi_index(tuple(np.concatenate(parts).T), sizes)
    order = np.argsort(rows, kind="stable")
    if not np.array_equal(rows[order], np.arange(len(rows))):
        path = paths[PARTS[0].name("info")]
        raise _refusal(path, "and the other labels do not make up the grid of factors")
    return order.astype(np.int64, copy=False)


def _labels(path: Path, shape: tuple[int, ...]) -> NDArray[np.int64]:
    with blocks.complaints(lambda what: _refusal(path, what)), gzip.open(path) as file:
        _expect_header(file, np.dtype("<i4"), shape)
        data = _exactly(file, 4 * math.prod(shape))
        _expect_end(file)
        return np.frombuffer(data, dtype="<i4").reshape(shape).astype(np.int64)


def _blocks(paths: dict[str, Path], count: int, side: int) -> Iterator[NDArray[np.uint8]]:
    """Images of the left camera in the order of the files. Raises ValueError."""
    shape = (2, SIDE, SIDE)
    for part in PARTS:
        path = paths[part.name("dat")]
        with (
            blocks.complaints(lambda what, path=path: _refusal(path, what)),  # type: ignore[misc]
            gzip.open(path) as file,
        ):
            _expect_header(file, np.dtype("u1"), (count, *shape))
            for start in range(0, count, _BLOCK):
                pairs = min(_BLOCK, count - start)
                data = _exactly(file, pairs * math.prod(shape))
                stereo = np.frombuffer(data, dtype=np.uint8).reshape(pairs, *shape)
                yield from pictures.resized(stereo[:, 0], side, "lanczos")
            _expect_end(file)


def _expect_header(file: gzip.GzipFile, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Read a header of this type and shape, or raise Foreign."""
    magic, axes = struct.unpack("<ii", _exactly(file, 8))
    if magic not in _MAGIC or not 0 < axes <= 8:
        raise Foreign("is no NORB file of bytes or integers")
    # Never less than three lengths are written; those too many are 1.
    lengths = max(3, axes)
    found = struct.unpack(f"<{lengths}i", _exactly(file, 4 * lengths))[:axes]
    if (_MAGIC[magic], found) != (dtype, shape):
        raise Foreign(f"holds {_MAGIC[magic]} {found}, not {dtype} {shape}")


def _exactly(file: gzip.GzipFile, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends early")
    return data


def _expect_end(file: gzip.GzipFile) -> None:
    # Reading on to the end makes gzip check its checksum.
    if file.read(1):
        raise Foreign("goes on after its last value")
