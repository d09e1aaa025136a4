"""A user's own pictures: a folder of png and jpg files, with a csv file of factors or without."""

import csv
import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cache, files, labels, pictures
from .blocks import WrongFileError, first_line, shown
from .factors import LabelledData
from .pictures import Fit

SUFFIXES = (".png", ".jpg", ".jpeg")
FACTORS = "factors.csv"

_FORMATS = ("PNG", "JPEG")
_IN_MEMORY = 2**24  # bytes: beyond them pictures are decoded once, into the cache folder
_LARGEST_FILE = 2**28  # bytes of one picture or of the csv file
_BLOCK = 256  # pictures decoded at a time
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")


class Pictures(LabelledData):
    """Own pictures: the png and jpg files of a folder (no paper).

    Pictures come in the order of their names (by code points: `10.png` before `9.png`). Square
    pictures of one size of 28 to 128 pixels per side stay as they are; all others are made square
    and resized to 64x64, or to `image_size`. Opacity is laid over black, and 16 bits per pixel
    become 8. The pictures are grey if all files are, else in colour. Jpg files are turned as their
    camera says.

    The file `factors.csv`, which may be absent, has a line of names, and then a line for each
    picture: one column holds the names of the files, and every other column is a factor. Words, and
    true and false, are categorical; whole numbers are ordinal; numbers with fractions are
    continuous; an empty cell is a missing label, and so is -1 as in `Arrays`. A picture without a
    line has no labels. A column `test` of true and false holds pictures out of training; these come
    last. Without the file, metrics that need factors are left out.

    `notes` say what was taken for what. Many pictures are decoded into the user's cache folder on
    first use.

    Args:
        path: the folder.
        image_size: pixels per side that the pictures are resized to, 28 to 128.
        fit: how pictures that are not square become so: `pad` with black, or `crop` the middle.

    Raises:
        ValueError: there is no such folder, it holds no picture, or a file is damaged, too large or
            holds something else. The message names the file and says what to do.
    """

    def __init__(
        self, path: str | Path, *, image_size: int | None = None, fit: Fit = "pad"
    ) -> None:
        self._path = Path(path).expanduser().resolve()
        self.reopen_with = {"path": self._path, "image_size": image_size, "fit": fit}
        if not self._path.is_dir():
            raise files.MissingFileError(f"{path}: there is no such folder")
        if image_size is not None:
            pictures.check_size(self._path.name, image_size)
        try:
            self._names, others = _listed(self._path)
            digest = _digest(self._path, self._names)
            sizes, grey = self._headers()
            own, held_out, labelled = self._labels()
        except WrongFileError as error:
            raise ValueError(f"{self._path} {error}") from error
        except OSError as error:
            raise ValueError(
                f"{error.filename or self._path} cannot be read ({error.strerror or error})"
            ) from error
        (first, *more) = sorted(sizes)
        self._fit = fit if image_size or more or not pictures.suits(first) else None
        side = first[0] if self._fit is None else image_size or pictures.OWN_SIZE
        if not more and first == (side, side):
            self._fit = None
        self.image_shape = (1 if grey else 3, side, side)
        self.held_out = int(held_out.sum())
        self._order = np.argsort(held_out, kind="stable")
        self.factors, self.labels = own.factors, own.classes[self._order]
        if own.numbers is not None:
            self.quantities = own.numbers[self._order]
        self._images = self._stored(digest)
        self.source = (
            f"Own pictures, {len(self)} of {side}x{side} pixels in the folder {self._path.name}"
        )
        resized = "" if self._fit is None else f"-{self._fit}-bilinear"
        self.fingerprint = f"pictures:sha256:{digest[:16]}:{side}x{side}{resized}"
        kind = "grey" if grey else "in colour"
        how = "" if self._fit is None else f", {pictures.in_words(side, self._fit)}"
        self.notes = (
            f"pictures: {_span(sizes)}, {kind}{how}",
            *labelled,
            *own.notes,
            *([f"files that are ignored: {labels.some(others)}"] if others else []),
        )

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self._order[self.checked(rows)])

    def _headers(self) -> tuple[set[tuple[int, int]], bool]:
        """(H, W) of all pictures, and whether all are grey. Raises WrongFileError."""
        sizes, grey = set(), True
        for name in self._names:
            with _opened(self._path, name) as picture:
                sizes.add(_turned(picture))
                grey = grey and picture.mode in _GREY
        return sizes, grey

    def _labels(self) -> tuple[labels.Labels, NDArray[np.bool_], tuple[str, ...]]:
        """The factors, which pictures are held out, and what is said. Raises WrongFileError."""
        count = len(self._names)
        if not (self._path / FACTORS).is_file():
            note = f"no file {FACTORS}: metrics that need factors are left out"
            return labels.none_of(count), np.zeros(count, dtype=bool), (note,)
        table = _table(self._path / FACTORS)
        column, lines, notes = _matched(table, self._names)
        words = {
            name: labels.parsed([cells[line] if line >= 0 else "" for line in lines])
            for name, cells in table.items()
            if name != column
        }
        held_out = _test(words.pop("test", None), count)
        if not words:
            raise WrongFileError(f"has in {FACTORS} no column of a factor: add one, or remove it")
        own = labels.read(list(words.values()), list(words), None, None, ~held_out)
        return own, held_out, notes

    def _stored(self, digest: str) -> NDArray[np.uint8]:
        shape = (len(self), *self.image_shape)
        if math.prod(shape) > _IN_MEMORY:
            channels, side = self.image_shape[:2]
            key = f"pictures-{digest[:32]}-{channels}-{side}-{self._fit or 'whole'}"
            return cache.prepared(key, shape, np.uint8, self._blocks)
        images = np.concatenate(list(self._blocks()))
        images.setflags(write=False)
        return images

    def _blocks(self) -> Iterator[NDArray[np.uint8]]:
        """The pictures in blocks (m, C, H, W), in the order of their names. Raises ValueError."""
        first, alike = None, True
        for start in range(0, len(self._names), _BLOCK):
            names = self._names[start : start + _BLOCK]
            try:
                block = np.concatenate([self._decoded(name) for name in names])
            except WrongFileError as error:
                raise ValueError(f"{self._path} {error}") from error
            first = block[0].copy() if first is None else first
            alike = alike and bool((block == first).all())
            yield block
        if alike:
            count = len(self._names)
            what = "one picture" if count == 1 else f"{count:,} pictures that are all the same"
            raise ValueError(
                f"{self._path} has {what}: nothing can be learned, give pictures that vary"
            )

    def _decoded(self, name: str) -> NDArray[np.uint8]:
        """One picture, (1, C, H, W). Raises WrongFileError."""
        from PIL import ImageOps

        with _opened(self._path, name) as picture:
            try:
                picture.load()
                pixels = _pixels(ImageOps.exif_transpose(picture), self.image_shape[0] == 1)
            except Exception as error:  # Pillow raises nearly anything for a damaged file
                raise WrongFileError(
                    f"has {shown(name)}, which is damaged ({first_line(error)}): mend or remove it"
                ) from error
        if self._fit is None:
            return np.ascontiguousarray(pixels[None].transpose(0, 3, 1, 2))
        return pictures.squared(pixels[None], self.image_shape[1], self._fit)


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the pictures in a folder, in order, and of other files. Raises WrongFileError."""
    here = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    names = [p.name for p in here if p.suffix.lower() in SUFFIXES and p.is_file()]
    others = [p.name for p in here if p.name not in names and p.name != FACTORS]
    if names:
        return names, others
    inside = [p.name for p in here if p.is_dir() and any(_is_picture(q) for q in p.iterdir())]
    if inside:
        raise WrongFileError(
            f"has no png or jpg file itself but in folders ({labels.some(inside)}): name one of "
            f"them, or put all pictures into one folder with a {FACTORS}"
        )
    raise WrongFileError("has no png or jpg file: name a folder of pictures")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _digest(folder: Path, names: Sequence[str]) -> str:
    """Of names and contents of all files that decide the data. Raises WrongFileError, OSError."""
    whole = hashlib.sha256()
    extra = [FACTORS] if (folder / FACTORS).is_file() else []
    for name in (*names, *extra):
        if (folder / name).stat().st_size > _LARGEST_FILE:
            raise WrongFileError(f"has {shown(name)}, which is larger than {_LARGEST_FILE:,} bytes")
        with (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _opened(folder: Path, name: str) -> Any:
    """A picture of which only the header is read. Raises WrongFileError."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):  # about what is refused below
            picture = Image.open(folder / name, formats=_FORMATS)
    except OSError as error:
        if error.errno is not None:  # the file, not the picture
            raise
        raise WrongFileError(
            f"has {shown(name)}, which is no png or jpg picture: remove it"
        ) from error
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise WrongFileError(
            f"has {shown(name)}, which is damaged ({first_line(error)}): mend or remove it"
        ) from error
    # Before memory is allocated for its pixels.
    if not 0 < picture.width * picture.height <= pictures.MOST_PIXELS:
        picture.close()
        raise WrongFileError(
            f"has {shown(name)} of {picture.height}x{picture.width} pixels, of at most "
            f"{pictures.MOST_PIXELS:,}: make it smaller"
        )
    return picture


def _turned(picture: Any) -> tuple[int, int]:
    """(H, W) of a picture once it is turned as its camera says."""
    try:
        orientation = picture.getexif().get(0x0112, 1)
    except Exception:  # what cannot be read does not turn it
        orientation = 1
    height, width = picture.height, picture.width
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _pixels(picture: Any, grey: bool) -> NDArray[np.uint8]:
    """(H, W, C) of a decoded picture, over black, of one or three channels."""
    if picture.mode.startswith("I"):  # 16 bits
        deep = np.asarray(picture).astype(np.int64).clip(0, 2**16 - 1)
        pixels = ((deep + 128) // 257).astype(np.uint8)[..., None]
    elif picture.mode in ("1", "L"):
        pixels = np.asarray(picture.convert("L"))[..., None]
    elif picture.mode in ("RGB", "CMYK", "YCbCr") and "transparency" not in picture.info:
        pixels = np.asarray(picture.convert("RGB"))
    else:
        pixels = pictures.over_black(np.asarray(picture.convert("RGBA")))
    if grey:
        return pixels[..., :1]
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _table(path: Path) -> dict[str, list[str]]:
    """The columns of a csv file by their names. Raises WrongFileError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise WrongFileError(
            f"has {path.name}, which is no csv file ({first_line(error)}): write it as UTF-8 text "
            "with commas"
        ) from error
    if len(lines) < 2:
        raise WrongFileError(f"has {path.name} without a line of names and lines of pictures")
    names = [name.strip() for name in lines[0]]
    if not all(names) or len(set(names)) < len(names):
        raise WrongFileError(f"has {path.name} with empty or repeated names: give each its own")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise WrongFileError(
                f"has {path.name} with {len(line)} cells in line {number}, not {len(names)}"
            )
    return {name: [line[k].strip() for line in lines[1:]] for k, name in enumerate(names)}


def _matched(
    table: dict[str, list[str]], names: Sequence[str]
) -> tuple[str, list[int], tuple[str, ...]]:
    """The column of file names, the line of each picture (-1 for none), and what is said of them.

    Raises:
        WrongFileError: there is no such column, or it has a picture twice.
    """
    hits = {column: len(set(names) & set(cells)) for column, cells in table.items()}
    column = max(hits, key=lambda key: hits[key])
    if not hits[column]:
        raise WrongFileError(
            f"has {FACTORS} without a column of file names such as {names[0]!r}: add one"
        )
    lines: dict[str, int] = {}
    for line, cell in enumerate(table[column]):
        if cell in lines:
            raise WrongFileError(f"has {cell!r} twice in {FACTORS}: leave one line out")
        lines[cell] = line
    notes = [f"{FACTORS}: file names in the column {column!r}"]
    if absent := [name for name in names if name not in lines]:
        notes.append(
            f"pictures without a line in {FACTORS}, which have no labels: {labels.some(absent)}"
        )
    if unknown := [cell for cell in lines if cell not in set(names)]:
        notes.append(f"lines of {FACTORS} for which there is no picture: {labels.some(unknown)}")
    return column, [lines.get(name, -1) for name in names], tuple(notes)


def _test(column: NDArray[Any] | None, count: int) -> NDArray[np.bool_]:
    """Which pictures are held out. Raises WrongFileError."""
    if column is None:
        return np.zeros(count, dtype=bool)
    words = np.char.lower(column.astype(str))
    if not np.isin(words, ("true", "false", "1", "0", "1.0", "0.0", "nan", "")).all():
        raise WrongFileError(f"has in {FACTORS} a column 'test' of other words than true and false")
    held_out = np.asarray(np.isin(words, ("true", "1", "1.0")))
    if held_out.all():
        raise WrongFileError(f"has only pictures for testing: leave some to train on in {FACTORS}")
    return held_out


def _span(sizes: set[tuple[int, int]]) -> str:
    """`28x28 pixels`, or the range of the heights and widths."""
    if len(sizes) == 1:
        ((height, width),) = sizes
        return f"{height}x{width} pixels"
    (low, high), (left, right) = ((min(s), max(s)) for s in zip(*sizes, strict=True))
    return f"{len(sizes)} sizes of {low} to {high} by {left} to {right} pixels"
