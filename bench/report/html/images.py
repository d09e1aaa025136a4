"""Pictures of a run as data URIs: small PNGs inside the page."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from bench.report.pictures import ROWS, Information, Use, mark
from bench.store.files import read_arrays
from bench.store.record import SAMPLES, Record

_LINE = 120  # grey level between two images


def png(image: np.ndarray) -> Markup:
    """An image uint8 (C, H, W) as a data URI."""
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return Markup("data:image/png;base64,") + base64.b64encode(file.getvalue()).decode()


def strip(images: np.ndarray) -> np.ndarray:
    """Images uint8 (n, C, H, W) side by side, with a line between two, (C, H, n (W + 1) - 1)."""
    n, channels, height, width = images.shape
    row = np.full((channels, height, n * (width + 1) - 1), _LINE, dtype=np.uint8)
    for index, image in enumerate(images):
        row[:, :, index * (width + 1) : index * (width + 1) + width] = image
    return row


@dataclass(frozen=True)
class Strip:
    """Images side by side.

    Attributes:
        name: of the latent, or what the images are.
        text: what more is to be said of it.
        image: a data URI.
        count: number of images.
    """

    name: str
    text: str
    image: Markup
    count: int


def strips(record: Record) -> list[Strip]:
    """The reconstructions of a run, and the traversals of its latents in use, the most used first.

    Empty where the run has stored no images, or they cannot be read.
    """
    evaluation, path = record.evaluation, record.folder / SAMPLES
    if evaluation is None or not path.exists():
        return []
    try:
        samples = read_arrays(path)
        return [*_reconstructions(samples), *_traversals(samples, record)]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return []


def _reconstructions(samples: Mapping[str, np.ndarray]) -> list[Strip]:
    pairs = (("originals", "images of the data"), ("reconstructions", "what the model makes"))
    return [Strip(name, "", png(strip(samples[key])), len(samples[key])) for key, name in pairs]


def _traversals(samples: Mapping[str, np.ndarray], record: Record) -> list[Strip]:
    assert record.evaluation is not None
    use, information = Use.of(record.evaluation), Information.of(record)
    latents = [name for name in samples if name[1:].isdigit()]
    shown: Sequence[int] = [index for index in use.order if use.active[index]][:ROWS]
    rows = []
    for index in shown:
        text = use.words(index)
        if word := mark(index, use, information):
            text = f"{word}; {text}"
        elif information is not None:
            factor, share = information.best(index)
            text = f"{factor} {100 * share:.0f} %; {text}"
        images = samples[latents[index]]
        rows.append(Strip(latents[index], text, png(strip(images)), len(images)))
    return rows
