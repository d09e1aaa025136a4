"""`bench data preview`: what a data set looks like, one row of images per factor."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.build import open_data
from bench.datasets import Factor, FactorData
from bench.errors import RequestError, UnknownNameError
from bench.registry import resolve
from bench.settings import converted, parameters, parse
from bench.store.files import replacing

COLUMNS = 10  # images in a row
STRIPS = 20  # classes that get a row of their own

# Metadata of each kind of picture: without a date, equal pictures are equal files.
_METADATA = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
_DPI = 200
_TILE = 128  # dots that an image has at least, so that labels below it can be read
_GAP = 8  # dots between images
_LEFT, _BELOW, _TOP = 190, 34, 70  # dots for names, classes and the title
_LETTER = 13  # dots per letter of the title
_BACKGROUND = 140  # grey, against which black and white images both stand out


@dataclass(frozen=True)
class Strip:
    """A row of images.

    Attributes:
        name: shown on the left.
        rows: of the data, (n,).
        words: shown below each image.
    """

    name: str
    rows: NDArray[np.int64]
    words: tuple[str, ...]


def preview(
    name: str, sets: Sequence[str], data_dir: str | Path | None, output: Path | None
) -> Path:
    """Draw a data set into a file, and return its path.

    Raises RequestError for an unknown data set or setting, and a file that cannot be written.
    """
    if output is None:
        output = Path(f"preview-{re.sub(r'[^A-Za-z0-9_]+', '-', re.split(r'[:/]', name)[-1])}.png")
    if output.suffix.lower() not in _METADATA:
        raise RequestError(f"--output {output}: name a file that ends in {', '.join(_METADATA)}")
    data = _data(name, sets, data_dir)
    try:
        draw(data, name, output)
    except OSError as error:
        raise RequestError(
            f"--output {output} cannot be written ({error.strerror or error}): choose another place"
        ) from error
    return output


def _data(name: str, sets: Sequence[str], data_dir: str | Path | None) -> FactorData:
    """The data set with the settings of `--set`."""
    target = resolve("dataset", name)
    known = {k: p for k, p in parameters(target).items() if k != "data_dir"}
    settings = {}
    for assignment in parse("--set", sets):
        if assignment.owner != name:
            raise UnknownNameError("owner in --set", assignment.owner, [name])
        settings[assignment.key] = converted(assignment, known)
    return open_data(name, settings, data_dir, target)


def strips(data: FactorData) -> list[Strip]:
    """A row per factor around an image in the middle; without such a grid, images by class.

    Without factors it is one row of images.
    """
    if not data.factors:
        rows = np.unique(np.linspace(0, len(data) - 1, COLUMNS).astype(np.int64))
        return [Strip("images", rows, ("",) * len(rows))]
    if len(data.factors) == 1 and len(data) > data.sizes[0]:
        return _class_by_class(data)
    middle = _middle(data.factors)
    try:
        data.rows(middle[None])
    except ValueError:
        middle = data.values([len(data) // 2])[0]
    return [_strip(data, column, middle) for column in range(len(data.factors))]


def _middle(factors: Sequence[Factor]) -> NDArray[np.int64]:
    """The middle class of each factor that has one; otherwise some class, not always the same."""
    without = [k for k, factor in enumerate(factors) if factor.kind != "ordinal"]
    shares = {k: (1.0, 0.5, 0.25, 0.75)[index % 4] for index, k in enumerate(without)}
    classes = [round((f.size - 1) * shares.get(k, 0.5)) for k, f in enumerate(factors)]
    return np.array(classes, dtype=np.int64)


def _strip(data: FactorData, column: int, middle: NDArray[np.int64]) -> Strip:
    factor = data.factors[column]
    classes = _spread(factor.size)
    values = np.repeat(middle[None], len(classes), axis=0)
    values[:, column] = classes
    words = tuple(_word(factor, k) for k in classes)
    try:
        return Strip(factor.name, data.rows(values), words)
    except ValueError:
        # Some combinations do not occur: any images of each class, the same number of each.
        rng, most = np.random.default_rng(0), max(1, COLUMNS // len(classes))
        labels = data.values(np.arange(len(data)))[:, column]
        drawn = [_drawn(rng, np.flatnonzero(labels == k), most) for k in classes]
        shown = [word for word, rows in zip(words, drawn, strict=True) for _ in rows]
        return Strip(factor.name, np.concatenate(drawn), tuple(shown))


def _class_by_class(data: FactorData) -> list[Strip]:
    (factor,) = data.factors
    rng = np.random.default_rng(0)
    labels = data.values(np.arange(len(data)))[:, 0]
    strips = []
    for k in _spread(factor.size, STRIPS):
        rows = _drawn(rng, np.flatnonzero(labels == k), COLUMNS)
        strips.append(Strip(f"{factor.name} {_word(factor, k)}", rows, ("",) * len(rows)))
    return strips


def _spread(size: int, most: int = COLUMNS) -> list[int]:
    """Up to `most` classes, evenly spaced, the first and the last among them."""
    return sorted({round(k) for k in np.linspace(0, size - 1, min(size, most)).tolist()})


def _drawn(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rng.permutation(rows)[:most]


def _word(factor: Factor, k: int) -> str:
    return factor.labels[k] if factor.labels else f"{factor.values[k]:.3g}"


def draw(data: FactorData, name: str, path: Path) -> None:
    """Draw the strips of a data set; each pixel of an image is a whole number of dots wide."""
    shown = strips(data)
    _, height, width = data.image_shape
    scale = -(-_TILE // max(height, width))
    tile, line = width * scale + _GAP, height * scale + _GAP + _BELOW
    columns = max(len(strip.rows) for strip in shown)
    letters = (_LEFT + columns * tile) // _LETTER
    title = "\n".join(textwrap.wrap(f"{name}: {data.source}", max(40, letters)))
    top = _TOP + 24 * title.count("\n")
    dots = (_LEFT + columns * tile, top + len(shown) * line)
    with mpl.rc_context({"font.size": 7, "svg.hashsalt": name}):
        figure = Figure(figsize=(dots[0] / _DPI, dots[1] / _DPI), dpi=_DPI)
        figure.text(0.01, 1 - 16 / dots[1], title, va="top", fontsize=7)
        for number, strip in enumerate(shown):
            pixels = _tiled(data.images(strip.rows), scale)
            low = dots[1] - top - number * line - pixels.shape[0]
            panel = figure.add_axes(
                (
                    _LEFT / dots[0],
                    low / dots[1],
                    pixels.shape[1] / dots[0],
                    pixels.shape[0] / dots[1],
                )
            )
            panel.imshow(pixels, interpolation="nearest", aspect="auto")
            panel.set_yticks([])
            panel.set_xticks(
                [tile * k + tile / 2 for k in range(len(strip.words))],
                [textwrap.shorten(word, 14, placeholder="…") for word in strip.words],
                fontsize=5,
            )
            panel.tick_params(length=0, pad=1.5)
            for side in panel.spines.values():
                side.set_visible(False)
            label = textwrap.fill(strip.name, 15)
            panel.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=4)
        with replacing(path) as file:
            suffix = path.suffix.lower()
            figure.savefig(file, format=suffix[1:], metadata=_METADATA[suffix])


def _tiled(images: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Images (n, C, H, W) side by side as (h, w, 3), each pixel `scale` dots wide."""
    large = images.repeat(scale, axis=2).repeat(scale, axis=3)
    n, channels, height, width = large.shape
    strip = np.full((height + _GAP, n * (width + _GAP), 3), _BACKGROUND, dtype=np.uint8)
    for index, image in enumerate(large):
        left = index * (width + _GAP) + _GAP // 2
        pixels = image.transpose(1, 2, 0)
        strip[_GAP // 2 :][:height, left : left + width] = (
            pixels if channels == 3 else pixels.repeat(3, axis=2)
        )
    return strip
