"""A user's own images and labels, in an npz file."""

import difflib
import math
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, cache, files
from .blocks import WrongFileError
from .factors import KINDS, Factor, LabelledData
from .pictures import LARGEST, SMALLEST

KNOWN = ("images", "factors", "factor_names", "factor_kinds", "factor_sizes", "test")
CLASSES = 2_000  # of one factor: tables and predictors of the metrics have a column for each

_IN_MEMORY = 2**28  # bytes: beyond them images are read from the cache folder


class Arrays(LabelledData):
    """Own arrays: the images and factors of an npz file that the user has made (no paper).

    Arrays of the file, as `numpy.savez` writes them; none of them may be a pickle:

    - `images`: (N, H, W), (N, H, W, C) or (N, C, H, W), square with 28 to 128 pixels per side and
      one or three channels; uint8 of 0 to 255, or float of 0 to 1
    - `factors`: (N, K) int, classes from 0
    - `factor_names`: (K,) words; v1, v2, ... if absent
    - `factor_kinds`: (K,) of categorical, ordinal and cyclic; ordinal if absent
    - `factor_sizes`: (K,) int, number of classes; the number of those that occur if absent
    - `test`: (N,) bool, true for images that are held out from training

    Images to train on come first, each part in the order of the file. Other arrays are ignored.
    Large images are unpacked into the user's cache folder on first use.

    Args:
        path: the npz file.

    Raises:
        ValueError: for a file that is missing, damaged or holds something else. The message names
            the array and says what to do.
    """

    def __init__(self, path: str | Path) -> None:
        # Absolute, since a worker process may start in another folder.
        self._path = Path(path).expanduser().resolve()
        self.reopen_with = {"path": self._path}
        if not self._path.is_file():
            raise files.MissingFileError(f"{path}: there is no such file")
        if not zipfile.is_zipfile(self._path):
            raise ValueError(f"{path} is damaged or no npz file: write it with numpy.savez")
        checksum = files.digest(self._path, "sha256")
        with blocks.complaints(self._refusal), zipfile.ZipFile(self._path) as archive:
            small = _small_arrays(archive)
            self._shape, self._dtype = blocks.npz_header(archive, "images")
        with blocks.complaints(self._refusal):
            self.image_shape = _image_shape(self._shape, self._dtype)
            labels = _labels(small["factors"])
            self.factors = _factors(small, labels)
            held_out = _held_out(small, len(labels))
        self.held_out = int(held_out.sum())
        self._order = np.argsort(held_out, kind="stable")
        self.labels = labels[self._order]
        self._images = self._stored(checksum)
        size = "x".join(map(str, self.image_shape[1:]))
        self.source = f"Own arrays, {len(self)} images of {size} pixels in {self._path}"
        self.fingerprint = f"arrays:sha256:{checksum[:16]}:{size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self._order[self.checked(rows)])

    def _refusal(self, problem: str) -> ValueError:
        return ValueError(f"{self._path} {problem}")

    def _stored(self, checksum: str) -> NDArray[np.uint8]:
        shape = (self._shape[0], *self.image_shape)
        if math.prod(shape) > _IN_MEMORY:
            return cache.prepared(f"arrays-{checksum[:32]}", shape, np.uint8, self._blocks)
        images = np.concatenate(list(self._blocks()))
        images.setflags(write=False)
        return images

    def _blocks(self) -> Iterator[NDArray[np.uint8]]:
        """The images in blocks (m, C, H, W), in the order of the file. Raises ValueError."""
        brightest = 0
        with (
            blocks.complaints(self._refusal),
            zipfile.ZipFile(self._path) as archive,
            closing(blocks.npz_blocks(archive, "images", self._dtype, self._shape)) as stream,
        ):
            for block in stream:
                pixels = block if block.dtype == np.uint8 else _from_floats(block)
                brightest = max(brightest, int(pixels.max()))
                if pixels.ndim == 4 and pixels.shape[1:] != self.image_shape:
                    pixels = pixels.transpose(0, 3, 1, 2)
                yield np.ascontiguousarray(pixels).reshape(-1, *self.image_shape)
            if brightest == 1:
                raise WrongFileError(
                    "has in the array 'images' no value but 0 and 1: multiply it by 255"
                )


def _small_arrays(archive: zipfile.ZipFile) -> dict[str, NDArray[Any]]:
    """All known arrays except the images. Raises WrongFileError."""
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    for name in names:
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
        if near and near[0] not in names:
            raise WrongFileError(f"has an array {name!r}: rename it {near[0]!r} or leave it out")
    for name in ("images", "factors"):
        if name not in names:
            raise WrongFileError(
                f"has no array {name!r} but {', '.join(names) or 'nothing'}: add it"
            )
    count = blocks.npz_header(archive, "images")[0][:1]
    arrays = {}
    for name in (n for n in KNOWN[1:] if n in names):
        shape, dtype = blocks.npz_header(archive, name)
        # Before memory is allocated for it.
        if not shape:
            raise WrongFileError(f"has a single value as {name!r}: make it an array")
        if name in ("factors", "test") and shape[:1] != count:
            raise WrongFileError(
                f"has {name!r} of shape {shape} for images {count}: make the rows match"
            )
        with closing(blocks.npz_blocks(archive, name, dtype, shape)) as stream:
            arrays[name] = np.concatenate([*stream, np.empty((0, *shape[1:]), dtype)])
    return arrays


def _image_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """(C, H, W) of an array of images. Raises WrongFileError."""
    if dtype != np.uint8 and dtype.kind != "f":
        raise WrongFileError(
            f"has the array 'images' as {dtype}: make it uint8 of 0 to 255, or float of 0 to 1"
        )
    if len(shape) == 3:
        channels, height, width = 1, *shape[1:]
    elif len(shape) == 4 and shape[3] in (1, 3):
        height, width, channels = shape[1:]
    elif len(shape) == 4 and shape[1] in (1, 3):
        channels, height, width = shape[1:]
    else:
        raise WrongFileError(
            f"has the array 'images' of shape {shape}: make it (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with one or three channels"
        )
    if height != width or not SMALLEST <= height <= LARGEST:
        raise WrongFileError(
            f"has images of {height}x{width} pixels: make them square, "
            f"{SMALLEST} to {LARGEST} pixels per side"
        )
    if shape[0] < 1:
        raise WrongFileError("has no images")
    return channels, height, width


def _from_floats(block: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = block.min(), block.max()
    if not (0 <= low and high <= 1):  # which also refuses NaN
        raise WrongFileError(
            f"has in the array 'images' {low:g} to {high:g}: scale floats to 0 to 1"
        )
    pixels: NDArray[np.uint8] = np.rint(block.astype(np.float32) * 255).astype(np.uint8)
    return pixels


def _labels(factors: NDArray[Any]) -> NDArray[np.int64]:
    """The array of factors as int64 (N, K). Raises WrongFileError."""
    if factors.ndim != 2 or factors.shape[1] < 1 or factors.dtype.kind not in "iu":
        raise WrongFileError(
            f"has the array 'factors' as {factors.dtype} {factors.shape}: make it (N, K) of "
            "integers, a column for each factor"
        )
    if factors.min() < 0 or factors.max() >= CLASSES:
        raise WrongFileError(
            f"has in the array 'factors' classes outside 0 to {CLASSES - 1:,}: number them from 0"
        )
    return factors.astype(np.int64)


def _factors(small: dict[str, NDArray[Any]], labels: NDArray[np.int64]) -> tuple[Factor, ...]:
    count = labels.shape[1]
    words: dict[str, list[Any]] = {
        "factor_names": [f"v{k + 1}" for k in range(count)],
        "factor_kinds": ["ordinal"] * count,
        "factor_sizes": [0] * count,
    }
    for key, types in (("factor_names", "U"), ("factor_kinds", "U"), ("factor_sizes", "iu")):
        array = small.get(key)
        if array is None:
            continue
        if array.shape != (count,) or array.dtype.kind not in types:
            what = "words" if types == "U" else "integers"
            raise WrongFileError(
                f"has the array {key!r} as {array.dtype} {array.shape}: make it {count} {what}, "
                "one for each column of factors"
            )
        words[key] = array.tolist()
    names = words["factor_names"]
    if len(set(names)) < count or not all(name.strip() for name in names):
        raise WrongFileError(
            "has in the array 'factor_names' empty or repeated names: give each its own"
        )
    for kind in words["factor_kinds"]:
        if kind not in KINDS:
            raise WrongFileError(
                f"has in the array 'factor_kinds' {kind!r}: use {', '.join(KINDS)}"
            )
    factors = []
    for k, (name, kind, size) in enumerate(zip(*words.values(), strict=True)):
        used = np.unique(labels[:, k])
        if "factor_sizes" not in small and len(used) <= used[-1]:
            raise WrongFileError(
                f"has in the array 'factors' {len(used)} of the classes 0 to {used[-1]} of {name}: "
                "number them without gaps, or give factor_sizes"
            )
        size = size or len(used)
        if not used[-1] < size <= CLASSES:
            raise WrongFileError(
                f"has in the array 'factor_sizes' {size} for {name}, of class {used[-1]}"
            )
        factors.append(Factor(name, size, kind, tuple(map(float, range(size)))))
    return tuple(factors)


def _held_out(small: dict[str, NDArray[Any]], count: int) -> NDArray[np.bool_]:
    """Which images are held out. Raises WrongFileError."""
    test = small.get("test", np.zeros(count, dtype=bool))
    if test.dtype != bool or test.shape != (count,):
        raise WrongFileError(
            f"has the array 'test' as {test.dtype} {test.shape}: make it bool ({count},)"
        )
    if test.all():
        raise WrongFileError(
            "has only images for testing: leave some to train on in the array 'test'"
        )
    return test.astype(bool, copy=False)
