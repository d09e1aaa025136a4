"""MNIST of LeCun et al. 1998 and Fashion-MNIST of Xiao et al. 2017, read from their IDX files."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, files, idx, pictures
from .factors import Factor, LabelledData

SIDE = 28
COUNTS = {"train": 60_000, "t10k": 10_000}

# sha256 of the unpacked files: packed again, as Debian does, they have other checksums.
CONTENT = {
    "mnist": {
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    "fashionmnist": {
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
}

DEBIAN = Path("/usr/share/datasets/fashion-mnist")

FACTORS = (Factor("class", 10, "categorical", tuple(map(float, range(10)))),)

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

    Raises ValueError for another `image_size`, and a file that is missing, damaged or another.
    """

    name: str
    title: str
    words: tuple[str, ...] = ()  # for the classes
    torchvision: str  # name of the folder
    places: tuple[Path, ...] = ()

    def __init__(self, *, image_size: int = 32, data_dir: str | Path | None = None) -> None:
        pictures.check_size(self.name, image_size)
        self.factors = (replace(FACTORS[0], labels=self.words),)
        self.image_shape = (1, image_size, image_size)
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        known = CONTENT[self.name]
        elsewhere = (files.data_root(data_dir) / self.torchvision / "raw", *self.places)
        found = files.located(
            self.name, self._data_dir, [(f"{file}.gz", file) for file in known], elsewhere
        )
        paths = {file: found[f"{file}.gz"] for file in known}
        self.labels = self._labels(paths)
        self.held_out = COUNTS["t10k"]
        self._images = self._prepared(paths)
        folder = paths["train-images-idx3-ubyte"].parent
        scaling = pictures.scaling((SIDE, SIDE), image_size, "bilinear")
        self.source = f"{self.title}, official files in {folder}, {scaling}"
        content = hashlib.sha256("".join(known.values()).encode()).hexdigest()
        self.fingerprint = f"{self.name}:sha256:{content[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return files.taken(self._images, self.checked(rows))

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            type(self), image_size=self.image_shape[1], data_dir=self._data_dir
        ), ()

    def _labels(self, paths: dict[str, Path]) -> NDArray[np.int64]:
        parts = [
            self._read(f"{part}-labels-idx1-ubyte", paths, (count,))
            for part, count in COUNTS.items()
        ]
        return np.concatenate(parts)[:, None].astype(np.int64)

    def _prepared(self, paths: dict[str, Path]) -> NDArray[np.uint8]:
        names = [f"{part}-images-idx3-ubyte" for part in COUNTS]
        # The checksums of the files as they are, which need no unpacking: what is in the cache
        # was made of these very files, and their content was known.
        checksums = "".join(files.digest(paths[file], "sha256") for file in names)
        key = hashlib.sha256(checksums.encode()).hexdigest()[:32]
        side = self.image_shape[1]
        return files.prepared(
            f"{self.name}-{key}-{side}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: self._blocks(names, paths),
        )

    def _blocks(self, names: list[str], paths: dict[str, Path]) -> Iterator[NDArray[np.uint8]]:
        for file, count in zip(names, COUNTS.values(), strict=True):
            images = self._read(file, paths, (count, SIDE, SIDE))
            yield from pictures.resized(images, self.image_shape[1], "bilinear")

    def _read(self, file: str, paths: dict[str, Path], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The array of a file whose content is the official one. Raises ValueError."""
        with blocks.complaints(lambda what: self._refusal(paths[file], what)):
            array, checksum = idx.read(paths[file], shape)
            for name, content in CONTENT.items():
                for other, known in content.items():
                    if checksum == known and (name, other) != (self.name, file):
                        raise blocks.Foreign(
                            f"is {other} of {name}: put each set into its own subfolder"
                        )
            if checksum != CONTENT[self.name][file]:
                raise blocks.Foreign(
                    f"is another file: the sha256 of its content is {checksum}, "
                    f"not {CONTENT[self.name][file]}"
                )
        return array

    def _refusal(self, path: Path, what: str) -> ValueError:
        return ValueError(f"{self.name}: {path} {what}; remove it or fetch the official file again")


class MNIST(IDXData):
    """MNIST: 70,000 handwritten digits in grey (LeCun, Cortes & Burges 1998, "MNIST").

    One factor, class: the digit, 0 to 9, with 5,421 to 6,742 training images each. See `IDXData`
    for rows, sizes and files; torchvision's folder is MNIST/raw. No licence is stated.
    """

    name = "mnist"
    title = "MNIST"
    torchvision = "MNIST"


class FashionMNIST(IDXData):
    """Fashion-MNIST: 70,000 photographs of clothes in grey (Xiao, Rasul & Vollgraf 2017).

    One factor, class: T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag,
    ankle boot, with 6,000 training and 1,000 test images each. See `IDXData` for rows, sizes and
    files; torchvision's folder is FashionMNIST/raw, and the files of Debian's package
    dataset-fashion-mnist are found by themselves. MIT licence.
    """

    name = "fashionmnist"
    title = "Fashion-MNIST"
    words = _CLOTHES
    torchvision = "FashionMNIST"
    places = (DEBIAN,)
