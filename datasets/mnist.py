"""MNIST of LeCun et al. 1998 and Fashion-MNIST of Xiao et al. 2017, read from their IDX files."""

import gzip
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, LabelledData, in_words

SIDE = 28  # pixels
COUNTS = {"train": 60_000, "t10k": 10_000}

FACTORS = (Factor("class", 10, "categorical", tuple(map(float, range(10)))),)

DEBIAN = Path("/usr/share/datasets/fashion-mnist")

_CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)


def _file(hosts: tuple[str, ...], name: str, size: int, md5: str, content: str) -> File:
    """A packed file, or the same one unpacked: its sha256 is `content`.

    Packed again, as Debian does, the content is the same and the md5 another one.
    """
    return File(
        f"{name}.gz",
        tuple(f"{host}{name}.gz" for host in hosts),
        f"md5:{md5}",
        size,
        content=content,
        instead=(File(name, digest=f"sha256:{content}"),),
    )


_MNIST_HOSTS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_HOSTS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)


class IDXData(LabelledData):
    """What MNIST and Fashion-MNIST share: 70,000 grey images of 28x28 pixels in ten classes.

    The one factor is `class`. Rows 0 to 59,999 are the official training images and the 10,000
    after them, which are held out, the test images, each in the order of its file.

    `image_size` is 28 to 128. Other sizes than 28 are made by Pillow's bilinear filter, as
    torchvision's Resize does to pictures; JointVAE (Dupont 2018) and others train on 32. Pixels
    stay grey.

    Reads {train,t10k}-{images-idx3,labels-idx1}-ubyte, packed as .gz or plain, from the data folder
    or its subfolder of the name of the set (see `files.data_root`), or from the subfolder where
    torchvision keeps them. The two sets name their files alike: give each its own subfolder. The
    first use of a size puts the resized images into the user's cache folder (72 MB at 32x32).

    Attributes:
        words: for the classes.

    Raises:
        ValueError: for another `image_size`, and a file that is missing, damaged or another one.
    """

    words: tuple[str, ...] = ()

    def __init__(self, *, image_size: int = 32, data_dir: str | Path | None = None) -> None:
        pictures.check_size(self.entry.name, image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        self.factors = (replace(FACTORS[0], labels=self.words),)
        self.image_shape = (1, image_size, image_size)
        paths = files.paths(self.entry, data_dir)
        self.labels = self._labels(paths)
        self.held_out = COUNTS["t10k"]
        self._images = self._prepared(paths)
        folder = paths["train-images-idx3-ubyte.gz"].parent
        scaling = pictures.scaling((SIDE, SIDE), image_size, "bilinear")
        self.source = f"{self.entry.title}, official files in {folder}, {scaling}"
        contents = "".join(file.content for file in self.entry.files)
        content = hashlib.sha256(contents.encode()).hexdigest()
        self.fingerprint = f"{self.entry.name}:sha256:{content[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self.checked(rows))

    def _labels(self, paths: Mapping[str, Path]) -> NDArray[np.int64]:
        parts = [
            self._read(f"{part}-labels-idx1-ubyte.gz", paths, (count,))
            for part, count in COUNTS.items()
        ]
        return np.concatenate(parts)[:, None].astype(np.int64)

    def _prepared(self, paths: Mapping[str, Path]) -> NDArray[np.uint8]:
        names = [f"{part}-images-idx3-ubyte.gz" for part in COUNTS]
        # The checksums of the files as they are, which need no unpacking: what is in the cache
        # was made of these very files, and their content was known.
        checksums = "".join(files.digest(paths[name], "sha256") for name in names)
        key = hashlib.sha256(checksums.encode()).hexdigest()[:32]
        return cache.prepared(
            f"{self.entry.name}-{key}-{self.image_shape[1]}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: self._blocks(names, paths),
        )

    def _blocks(self, names: list[str], paths: Mapping[str, Path]) -> Iterator[NDArray[np.uint8]]:
        for name, count in zip(names, COUNTS.values(), strict=True):
            images = self._read(name, paths, (count, SIDE, SIDE))
            yield from pictures.resized(images, self.image_shape[1], "bilinear")

    def _read(
        self, name: str, paths: Mapping[str, Path], shape: tuple[int, ...]
    ) -> NDArray[np.uint8]:
        """The array of a file whose content is the official one. Raises ValueError."""
        with files.reading(self.entry, paths[name]):
            array, checksum = read_idx(paths[name], shape)
            for other in (data.entry for data in IDXData.__subclasses__()):
                for file in other.files:
                    if checksum == file.content and (other, file.name) != (self.entry, name):
                        raise WrongFileError(
                            f"is {file.name.removesuffix('.gz')} of {other.name}: "
                            "put each set into its own subfolder"
                        )
            (known,) = (file.content for file in self.entry.files if file.name == name)
            if checksum != known:
                raise WrongFileError(
                    f"is another file: the sha256 of its content is {checksum}, not {known}"
                )
        return array


class MNIST(IDXData):
    """MNIST: 70,000 handwritten digits in grey (LeCun, Cortes & Burges 1998, "MNIST").

    One factor, class: the digit, 0 to 9, with 5,421 to 6,742 training images each. See `IDXData`
    for rows, sizes and files; torchvision's folder is MNIST/raw. No licence is stated.
    """

    entry = Entry(
        name="mnist",
        title="MNIST",
        files=(
            _file(
                _MNIST_HOSTS,
                "train-images-idx3-ubyte",
                9_912_422,
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            _file(
                _MNIST_HOSTS,
                "train-labels-idx1-ubyte",
                28_881,
                "d53e105ee54ea40749a09fcbcd1e9432",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            _file(
                _MNIST_HOSTS,
                "t10k-images-idx3-ubyte",
                1_648_877,
                "9fb629c4189551a2d022fa330f9573f3",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            _file(
                _MNIST_HOSTS,
                "t10k-labels-idx1-ubyte",
                4_542,
                "ec29112dd5afa0611ce80d1b7f02629c",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        factors=in_words(FACTORS),
        licence="none stated",
        citation="LeCun, Cortes & Burges 1998, The MNIST Database of Handwritten Digits",
        page="https://ossci-datasets.s3.amazonaws.com/mnist/",
        counts=(70_000,),
        training=60_000,
        per_class=(5_421, 6_742),
        folders=("MNIST/raw",),
        published=Published((0.1307,), (0.3081,), tolerance=1e-4, image_size=28),
        remedy="remove it or fetch the official file again",
    )


class FashionMNIST(IDXData):
    """Fashion-MNIST: 70,000 photographs of clothes in grey (Xiao, Rasul & Vollgraf 2017).

    One factor, class: T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag,
    ankle boot, with 6,000 training and 1,000 test images each. See `IDXData` for rows, sizes and
    files; torchvision's folder is FashionMNIST/raw, and the files of Debian's package
    dataset-fashion-mnist are found by themselves. MIT licence.
    """

    entry = Entry(
        name="fashionmnist",
        title="Fashion-MNIST",
        files=(
            _file(
                _FASHION_HOSTS,
                "train-images-idx3-ubyte",
                26_421_880,
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            _file(
                _FASHION_HOSTS,
                "train-labels-idx1-ubyte",
                29_515,
                "25c81989df183df01b3e8a0aad5dffbe",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            _file(
                _FASHION_HOSTS,
                "t10k-images-idx3-ubyte",
                4_422_102,
                "bef4ecab320f06d8554ea6380940ec79",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            _file(
                _FASHION_HOSTS,
                "t10k-labels-idx1-ubyte",
                5_148,
                "bb300cfdad3c16e7a12a480ee83cd310",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        factors=in_words(FACTORS),
        licence="MIT",
        citation="Xiao, Rasul & Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for "
        "Benchmarking Machine Learning Algorithms, arXiv 1708.07747",
        page="https://github.com/zalandoresearch/fashion-mnist",
        counts=(70_000,),
        training=60_000,
        per_class=(6_000, 6_000),
        folders=("FashionMNIST/raw", str(DEBIAN)),
        published=Published((0.28604,), (0.35302,), image_size=28),
        remedy="remove it or fetch the official file again",
    )
    words = _CLOTHES


# IDX, the format of MNIST: two zero bytes, 8 for unsigned bytes, the number of axes, the length of
# each axis as big-endian int32, and the values. Whether gzip has packed a file is seen from its
# first bytes.

_AXES = {1: "labels", 3: "images"}


def read_idx(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], str]:
    """The array of an IDX file, which has to have this shape, and the sha256 of its content.

    Raises:
        WrongFileError: it holds something else. Damage raises what `blocks.complaints` turns into
            a ValueError.
    """
    if files.is_page(path):
        raise WrongFileError("is a web page: the host answered with a notice")
    with _unpacked(path) as file:
        header = file.read(4)
        if len(header) < 4 or header[:2] != b"\0\0" or header[3] not in _AXES:
            raise WrongFileError("is no IDX file of images or labels")
        if header[2] != 8:
            raise WrongFileError(f"has values of the type {header[2]:#x}, not unsigned bytes")
        if header[3] != len(shape):
            raise WrongFileError(
                f"holds {_AXES[header[3]]}, not {_AXES[len(shape)]}: it is swapped"
            )
        lengths = file.read(4 * len(shape))
        if len(lengths) < 4 * len(shape):
            raise EOFError("it ends in its header")
        stored = struct.unpack(f">{len(shape)}i", lengths)
        if stored != shape:
            raise WrongFileError(f"holds {_AXES[len(shape)]} of shape {stored}, not {shape}")
        count = math.prod(shape)
        data = file.read(count)
        if len(data) < count:
            raise EOFError(f"it ends after {len(data):,} of {count:,} values")
        # Reading on to the end makes gzip check its checksum.
        if file.read(1):
            raise WrongFileError("goes on after its last value")
    digest = hashlib.sha256(header + lengths)
    digest.update(data)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape), digest.hexdigest()


def _unpacked(path: Path) -> IO[bytes]:
    file: Any = path.open("rb")
    with file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")
