"""A user's own images and labels, in an npz file."""

import difflib
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, labels, pictures
from .array_files import ArrayFile, open_arrays
from .blocks import WrongFileError
from .factors import LabelledData
from .pictures import Fit

KNOWN = ("images", "factors", "factor_names", "factor_kinds", "factor_sizes", "test", "pairs")

_IN_MEMORY = 2**28  # bytes: beyond them images are read from the cache folder
_HALF_BLACK = 16  # brightness: floats of 0 to 255 have a pixel above it
_ROUNDING = 1e-3  # by which floats of 0 to 1 may be out of their range

Channels = Literal["none", "first", "last"]


class Arrays(LabelledData):
    """Own arrays: the images and factors of an npz file that the user has made (no paper).

    Arrays of the file, as `numpy.savez` writes them; none of them may be a pickle:

    - `images`: (N, H, W), (N, H, W, C) or (N, C, H, W) with one channel, three, or four of which
      the last is the opacity (laid over black); whole numbers or floats of 0 to 255, floats of 0 to
      1, or nothing but 0 and 1. Square images with 28 to 128 pixels per side stay as they are. All
      others are made square and resized to 64x64, or to `image_size`
    - `factors`: (N, K), or (N,) for one; whole numbers, numbers with fractions, words, or true and
      false. May be absent: then metrics that need factors are left out
    - `factor_names`: (K,) words; v1, v2, ... if absent
    - `factor_kinds`: (K,) of categorical, ordinal, cyclic and continuous; if absent, words and true
      and false are categorical, whole numbers ordinal, and numbers with fractions continuous
    - `factor_sizes`: (K,) int, number of classes, which are then 0 to this number - 1; if absent,
      the classes that occur are numbered in sorted order
    - `test`: (N,) bool, true for images that are held out from training
    - `pairs`: (M, 2) int, rows of `images` that are pairs for weakly supervised models; without it,
      pairs are drawn by the factors, if these are a full grid

    A missing label is NaN, an empty word, or -1 among classes that are numbered from 0 (with a
    size, or with at least two more classes); labels of -1 and 1 are two classes. `notes` say what
    was taken for what. Images to train on come first, each part in the order of the file. Other
    arrays are ignored. Large images are unpacked into the user's cache folder on first use.

    Args:
        path: the npz file.
        image_size: pixels per side that the images are resized to, 28 to 128.
        fit: how images that are not square become so: `pad` with black, or `crop` the middle.

    Raises:
        ValueError: for a file that is missing, damaged or holds something else. The message names
            the array and says what to do.
    """

    def __init__(
        self, path: str | Path, *, image_size: int | None = None, fit: Fit = "pad"
    ) -> None:
        # Absolute, since a worker process may start in another folder.
        self._path = Path(path).expanduser().resolve()
        self.reopen_with = {"path": self._path, "image_size": image_size, "fit": fit}
        if not self._path.is_file():
            raise files.MissingFileError(f"{path}: there is no such file")
        if image_size is not None:
            pictures.check_size(self._path.name, image_size)
        checksum = files.digest(self._path, "sha256")
        with self._complaints():
            with open_arrays(self._path) as file:
                small, ignored = _small_arrays(file)
                self._shape, self._dtype = file.header("images")
            self._channels, shape = _layout(self._shape, self._dtype)
            # Before anything is allocated for so many images: it reads some of them.
            self._scale = self._brightness()
            count = self._shape[0]
            held_out = _held_out(small, count)
            own = _labels(small, count, ~held_out)
            self.held_out = int(held_out.sum())
            self._order = np.argsort(held_out, kind="stable")
            self.pairs, paired = _pairs(small, held_out, self._order)
        self._fit = None if image_size is None and pictures.suits(shape[:2]) else fit
        side = shape[0] if self._fit is None else image_size or pictures.OWN_SIZE
        if shape[:2] == (side, side):
            self._fit = None
        self.image_shape = (3 if shape[2] == 4 else shape[2], side, side)
        self.factors, self.labels = own.factors, own.classes[self._order]
        if own.numbers is not None:
            self.quantities = own.numbers[self._order]
        self._images = self._stored(checksum)
        size = "x".join(map(str, self.image_shape[1:]))
        resized = "" if self._fit is None else f":{shape[0]}x{shape[1]}-{self._fit}-bilinear"
        self.source = f"Own arrays, {len(self)} images of {size} pixels in {self._path.name}"
        self.fingerprint = f"arrays:sha256:{checksum[:16]}:{size}{resized}"
        self.notes = (
            self._images_in_words(shape),
            *(own.notes or ("no array 'factors': metrics that need factors are left out",)),
            *paired,
            *([f"arrays that are ignored: {labels.some(ignored)}"] if ignored else []),
        )

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self._order[self.checked(rows)])

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        """Put the name of the file before what is wrong with it."""
        try:
            yield
        except WrongFileError as error:
            raise ValueError(f"{self._path} {error}") from error

    def _images_in_words(self, shape: tuple[int, int, int]) -> str:
        height, width, channels = shape
        kind = {1: "grey", 3: "in colour", 4: "in colour with an opacity, laid over black"}
        layout = "" if self._channels == "none" else f", channels {self._channels}"
        scale = "0 to 255" if self._scale == 1 else "0 to 1, times 255"
        words = f"images: {height}x{width} pixels, {kind[channels]}{layout}, {self._dtype}, {scale}"
        if self._fit is None:
            return words
        return f"{words}, {pictures.in_words(self.image_shape[1], self._fit)}"

    def _stored(self, checksum: str) -> NDArray[np.uint8]:
        shape = (self._shape[0], *self.image_shape)
        if math.prod(shape) > _IN_MEMORY:
            resized = "" if self._fit is None else f"-{self.image_shape[1]}-{self._fit}"
            key = f"arrays-{checksum[:32]}{resized}"
            return cache.prepared(key, shape, np.uint8, self._blocks)
        images = np.concatenate(list(self._blocks()))
        images.setflags(write=False)
        return images

    def _brightness(self) -> int:
        """What pixels are multiplied by: 255 if none is above 1. Raises ValueError."""
        with open_arrays(self._path) as file, closing(file.blocks("images")) as stream:
            for block in stream:
                if self._dtype.kind == "b" or (block > 1 + _ROUNDING).any():
                    return 255 if self._dtype.kind == "b" else 1
        return 255

    def _blocks(self) -> Iterator[NDArray[np.uint8]]:
        """The images in blocks (m, C, H, W), in the order of the file. Raises ValueError."""
        first, alike, brightest, start = None, True, 0.0, 0
        with (
            self._complaints(),
            open_arrays(self._path) as file,
            closing(file.blocks("images")) as stream,
        ):
            for block in stream:
                brightest = max(brightest, float(block.max()))
                pixels = self._bytes(block, start)
                start += len(block)
                if first is None:
                    first = pixels[0].copy()
                alike = alike and bool((pixels == first).all())
                yield pixels
            if alike:
                count = "one image" if start == 1 else f"{start:,} images that are all the same"
                raise WrongFileError(f"has {count}: nothing can be learned, give images that vary")
            if self._scale == 1 and self._dtype.kind == "f" and brightest < _HALF_BLACK:
                raise WrongFileError(
                    f"has in the array 'images' numbers up to {brightest:g}: scale floats to 0 to "
                    "1, or to 0 to 255"
                )

    def _bytes(self, block: NDArray[Any], start: int) -> NDArray[np.uint8]:
        """A block of images as (m, C, H, W), 0 to 255. Raises WrongFileError."""
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            axes = tuple(range(1, block.ndim))
            row = start + int(np.flatnonzero(~np.isfinite(block).all(axis=axes))[0])
            raise WrongFileError(
                f"has NaN or infinite pixels in the array 'images', first in row {row}: fill them, "
                "or leave these images out"
            )
        low, high = block.min(), block.max()
        top = 1 if self._scale == 255 else 255
        if low < -_ROUNDING or high > top * (1 + _ROUNDING):
            raise WrongFileError(
                f"has in the array 'images' {float(low):g} to {float(high):g}: scale the pixels to "
                "0 to 255, or floats to 0 to 1"
            )
        if block.dtype.kind == "f":
            floats = np.rint(block.astype(np.float32) * self._scale)
            pixels = floats.clip(0, 255).astype(np.uint8)
        else:
            pixels = block.astype(np.uint8) * np.uint8(self._scale)
        if self._channels == "none":
            pixels = pixels[..., None]
        elif self._channels == "first":
            pixels = pixels.transpose(0, 2, 3, 1)
        if pixels.shape[3] == 4:
            pixels = pictures.over_black(pixels)
        if self._fit is not None:
            return pictures.squared(pixels, self.image_shape[1], self._fit)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _small_arrays(file: ArrayFile) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """All known arrays except the images, and the names of the unknown.

    Raises:
        WrongFileError: there are no images, an array has nearly a known name, or another number of
            rows than the images.
        ValueError: an array cannot be read.
    """
    for name in file.names:
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
        if near and near[0] not in file.names:
            raise WrongFileError(f"has an array {name!r}: rename it {near[0]!r} or leave it out")
    if "images" not in file.names:
        raise WrongFileError(f"has no array 'images' but {file.listed()}: add it")
    count = file.header("images").shape[:1]
    arrays = {}
    for name in (n for n in KNOWN[1:] if n in file.names):
        shape = file.header(name).shape
        if not shape:
            raise WrongFileError(f"has a single value as {name!r}: make it an array")
        if name in ("factors", "test") and shape[:1] != count:
            raise WrongFileError(
                f"has {name!r} of shape {shape} for images {count}: make the rows match"
            )
        arrays[name] = file.read(name)
    return arrays, [name for name in file.names if name not in KNOWN]


def _layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Channels, tuple[int, int, int]]:
    """Where the channels of an array of images are, and its (H, W, C). Raises WrongFileError."""
    if dtype.kind not in "buif":
        raise WrongFileError(
            f"has the array 'images' as {dtype}: make it uint8 of 0 to 255, or float of 0 to 1"
        )
    channels: Channels = "none"
    if len(shape) == 3:
        height, width, count = *shape[1:], 1
    elif len(shape) == 4 and shape[3] in (1, 3, 4):
        channels, (height, width, count) = "last", shape[1:]
    elif len(shape) == 4 and shape[1] in (1, 3, 4):
        channels, (count, height, width) = "first", shape[1:]
    else:
        raise WrongFileError(
            f"has the array 'images' of shape {shape}: make it (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with one or three channels, or four with an opacity"
        )
    if shape[0] < 1:
        raise WrongFileError("has no images")
    if height < 1 or width < 1 or height * width > pictures.MOST_PIXELS:
        raise WrongFileError(
            f"has images of {height}x{width} pixels: give each 1 to {pictures.MOST_PIXELS:,} pixels"
        )
    if channels == "none" and width in (3, 4) and height > width:
        raise WrongFileError(
            f"has the array 'images' of shape {shape}, which looks like one picture: make it "
            "(N, H, W) or (N, H, W, C)"
        )
    return channels, (height, width, count)


def _labels(
    small: dict[str, NDArray[Any]], rows: int, training: NDArray[np.bool_]
) -> labels.Labels:
    """The factors of all images. Raises WrongFileError."""
    described = [name for name in KNOWN if name.startswith("factor_") and name in small]
    if "factors" not in small:
        if described:
            raise WrongFileError(
                f"has an array {described[0]!r} but no 'factors': add these, or leave it out"
            )
        return labels.none_of(rows)
    factors = small["factors"]
    if factors.ndim == 1:
        factors = factors[:, None]
    if factors.ndim != 2 or factors.shape[1] < 1 or factors.dtype.kind not in "biufUS":
        raise WrongFileError(
            f"has the array 'factors' as {factors.dtype} {factors.shape}: make it (N, K) of "
            "numbers, words, or true and false, a column for each factor, or leave it out"
        )
    count = factors.shape[1]
    if count > labels.CLASSES:
        raise WrongFileError(
            f"has the array 'factors' with {count:,} columns, of at most {labels.CLASSES:,}: "
            "leave some out"
        )
    words: dict[str, list[Any] | None] = dict.fromkeys(described)
    for key in described:
        array, types = small[key], "iu" if key == "factor_sizes" else "U"
        if array.shape != (count,) or array.dtype.kind not in types:
            what = "words" if types == "U" else "integers"
            raise WrongFileError(
                f"has the array {key!r} as {array.dtype} {array.shape}: make it {count} {what}, "
                "one for each column of factors"
            )
        words[key] = array.tolist()
    names = words.get("factor_names") or [f"v{k + 1}" for k in range(count)]
    if len(set(names)) < count or not all(name.strip() for name in names):
        raise WrongFileError(
            "has in the array 'factor_names' empty or repeated names: give each its own"
        )
    return labels.read(
        list(factors.T), names, words.get("factor_kinds"), words.get("factor_sizes"), training
    )


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


def _pairs(
    small: dict[str, NDArray[Any]], held_out: NDArray[np.bool_], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """The pairs to train on as rows of the data set, and what is said of them."""
    pairs = small.get("pairs")
    if pairs is None:
        return None, ()
    count = len(order)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.dtype.kind not in "iu":
        raise WrongFileError(
            f"has the array 'pairs' as {pairs.dtype} {pairs.shape}: make it (M, 2) of integers, "
            "the rows of two images each"
        )
    if pairs.min() < 0 or pairs.max() >= count:
        wrong = pairs.min() if pairs.min() < 0 else pairs.max()
        raise WrongFileError(
            f"has in the array 'pairs' the row {wrong}: the images are the rows 0 to {count - 1}"
        )
    pairs = pairs.astype(np.int64)
    if (pairs[:, 0] == pairs[:, 1]).all():
        raise WrongFileError("has in the array 'pairs' only pairs of an image and itself")
    trained = ~held_out[pairs].any(axis=1)
    if not trained.any():
        raise WrongFileError(
            "has in the array 'pairs' no pair of two images to train on: 'test' holds one out of "
            "each"
        )
    note = f"pairs: {trained.sum():,} of the file, for weakly supervised models whatever `changed`"
    if not trained.all():
        note += f"; {(~trained).sum():,} more have an image that is held out, and are not used"
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    return place[pairs[trained]], (note,)
