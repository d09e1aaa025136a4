"""The traversals of a run as a moving picture: one latent after another moves, and says what it is.

A frame has the decoder's picture on the left, and on the right the latents as the page has them:
the most used one first, with the factor that it tells most, and where it stands.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.build import model_of
from bench.errors import RequestError
from bench.export.programs import finished
from bench.models import VAE
from bench.report.columns import shown
from bench.report.pictures import ROWS, Information, Use, mark
from bench.report.style import COLOURS
from bench.store import files as store
from bench.store import record as records
from bench.store.record import REACH, Evaluation, Record
from bench.store.representation import read_representation
from bench.store.study import unwritable

ANIMATION = "traversals.gif"

FRAMES = 24  # of a continuous latent, from where it stands to both ends and back
FRAME = 80  # milliseconds
EACH = 600  # milliseconds of a category
REST = 400  # milliseconds between two latents

_PICTURE = 240  # pixels that the decoder's picture has at least, if it is smaller
_ROW, _PAD, _TRACK, _TEXT = 22, 12, 110, 230  # pixels
_INK, _QUIET, _LINE, _ACCENT = "#1b1b1b", "#8a8a8a", "#d0d0d0", COLOURS[0]
_COLOURS = 128  # of a frame


@dataclass(frozen=True)
class _Latent:
    """A latent as it is drawn.

    Attributes:
        name: such as z3 or c1.
        words: what it tells, and how much it is used.
        columns: of the code.
        centre, width: of a continuous latent, in the units of the code.
        size: number of categories; 0 of a continuous latent.
    """

    name: str
    words: str
    columns: slice
    centre: float = 0.0
    width: float = 1.0
    size: int = 0

    def place(self, code: Tensor) -> float:
        """Where it stands: deviations from the centre, or the category."""
        own = code[self.columns]
        return int(own.argmax()) if self.size else (float(own) - self.centre) / self.width

    def codes(self, code: Tensor) -> list[tuple[Tensor, int]]:
        """The codes it goes through, each with how long it stays, in milliseconds."""
        if self.size:
            own = self.place(code)
            order = [(own + k) % self.size for k in range(1, self.size + 1)]
            return [(self._moved(code, torch.eye(self.size)[int(k)]), EACH) for k in order]
        place = self.place(code)
        swing = max(REACH, abs(place))
        start = math.asin(place / swing)
        angles = [start + 2 * math.pi * k / FRAMES for k in range(1, FRAMES + 1)]
        places = [swing * math.sin(angle) for angle in angles]
        return [
            (self._moved(code, torch.tensor([self.centre + self.width * p])), FRAME) for p in places
        ]

    def _moved(self, code: Tensor, own: Tensor) -> Tensor:
        moved = code.clone()
        moved[self.columns] = own
        return moved


def export_animation(folder: Path, output: Path) -> Path:
    """Write the traversals of a run as an animated GIF.

    They start from the image that the run's traversals start from. Each latent in use moves in
    turn, the one with the largest KL first: a continuous one over two standard deviations of the
    prior to each side and back, a categorical one through its categories. Of a model that uses no
    latent, all move.

    Args:
        folder: of the run.
        output: folder to write to.

    Returns:
        The file.

    Raises:
        RequestError: the run has no decoder, is not finished, or a file cannot be read or written.
    """
    record = finished(folder)
    evaluation, path = record.evaluation, folder / records.SAMPLES
    if evaluation is None or not path.exists():
        raise RequestError(f"{folder}: {record.run.model} has no decoder, and so no traversals")
    model = model_of(record)
    if not isinstance(model, VAE):
        raise RequestError(f"{folder}: {record.run.model} has no decoder, and so no traversals")
    try:
        samples = store.read_arrays(path)
        # before there was a reference, the traversals started from the first image
        image = samples.get("reference", samples["originals"])[:1]
        latents = _latents(record, evaluation)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise RequestError(f"{folder} cannot be read ({error}): train again") from error
    frames, durations = [], []
    for frame, duration in _frames(record, model, latents, torch.from_numpy(image) / 255):
        frames.append(frame.quantize(_COLOURS, dither=Image.Dither.NONE))
        durations.append(duration)
    store.sweep(output)
    target = output / ANIMATION
    try:
        with store.replacing(target) as file:
            frames[0].save(
                file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
            )
    except OSError as error:
        raise unwritable(output, error) from error
    return target


def _latents(record: Record, evaluation: Evaluation) -> list[_Latent]:
    """The latents that move, the most used one first."""
    use, information = Use.of(evaluation), Information.of(record)
    codes = read_representation(record.folder / records.REPRESENTATION)
    spread = codes.logvar is None  # without a prior, in deviations of its own
    starts = np.cumsum([use.continuous, *codes.category_sizes])
    latents = []
    for index in ([i for i in use.order if use.active[i]] or use.order)[:ROWS]:
        words = mark(index, use, information)
        if not words and information is not None:
            factor, share = information.best(index)
            words = f"{factor} {100 * share:.0f} %"
        words = f"{words}; {use.words(index)}" if words else use.words(index)
        if index < use.continuous:
            column = codes.codes[:, index].astype(np.float64)
            centre, width = (column.mean(), column.std() or 1.0) if spread else (0.0, 1.0)
            own = slice(index, index + 1)
            latents.append(_Latent(f"z{index + 1}", words, own, float(centre), float(width)))
        else:
            number = index - use.continuous
            own = slice(int(starts[number]), int(starts[number + 1]))
            size = codes.category_sizes[number]
            latents.append(_Latent(f"c{number + 1}", words, own, size=size))
    return latents


def _frames(
    record: Record, model: VAE, latents: list[_Latent], image: Tensor
) -> Iterator[tuple[Image.Image, int]]:
    """The frames, each with its duration in milliseconds."""
    (named,) = shown([record])
    title = f"{named.run.title}, on {named.run.data_name}"
    with torch.inference_mode():
        code = model.encode(image).mode()[0]
        for moving in latents:
            steps = moving.codes(code)
            durations = [duration for _, duration in steps]
            durations[-1] += REST
            codes = torch.stack([moved for moved, _ in steps])
            pictures = (model.pictures(codes) * 255).round().to(torch.uint8).numpy()
            for picture, moved, duration in zip(pictures, codes, durations, strict=True):
                yield _frame(picture, moved, moving, latents, title), duration


def _frame(
    picture: np.ndarray, code: Tensor, moving: _Latent, latents: list[_Latent], title: str
) -> Image.Image:
    """One frame: `picture` uint8 (C, H, W) beside the latents, of which one moves."""
    channels, height, width = picture.shape
    scale = max(1, -(-_PICTURE // max(height, width)))
    tile = Image.fromarray(picture[0] if channels == 1 else picture.transpose(1, 2, 0))
    tile = tile.convert("RGB").resize((width * scale, height * scale), Image.Resampling.NEAREST)
    head = _PAD + _ROW
    total = (
        width * scale + 3 * _PAD + 30 + _TRACK + _TEXT,
        head + max(height * scale, _ROW * len(latents)) + _PAD,
    )
    frame = Image.new("RGB", total, "white")
    frame.paste(tile, (_PAD, head))
    draw = ImageDraw.Draw(frame)
    plain, bold = _font("DejaVuSans.ttf"), _font("DejaVuSans-Bold.ttf")
    draw.text((_PAD, head / 2), _fitted(title, plain, total[0] - 2 * _PAD), _INK, plain, "lm")
    left = width * scale + 2 * _PAD
    for index, latent in enumerate(latents):
        middle, on = head + _ROW * (index + 0.5), latent is moving
        font, ink = (bold, _ACCENT) if on else (plain, _INK)
        draw.text((left, middle), latent.name, ink, font, "lm")
        _draw_place(draw, latent, code, left + 30, middle, _ACCENT if on else _QUIET)
        words = _fitted(latent.words, font, _TEXT - _PAD)
        draw.text((left + 30 + _TRACK + _PAD, middle), words, ink, font, "lm")
    return frame


def _draw_place(
    draw: ImageDraw.ImageDraw, latent: _Latent, code: Tensor, left: float, y: float, ink: str
) -> None:
    """Where a latent stands: a knob on a track, or one of some boxes."""
    place = latent.place(code)
    if latent.size:
        step = _TRACK / latent.size
        for k in range(latent.size):
            box = (left + k * step, y - 5, left + (k + 1) * step - 2, y + 5)
            draw.rectangle(box, fill=ink if k == place else None, outline=ink)
        return
    reach = max(REACH, abs(place))
    draw.line((left, y, left + _TRACK, y), fill=_LINE, width=3)
    x = left + 5 + (_TRACK - 10) * (place + reach) / (2 * reach)
    draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=ink)


def _font(name: str) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, so that frames are alike everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), 12)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, cut to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
