"""dSprites with a colour, a noise or a picture that no factor explains (Locatello et al. 2019).

The sprites are those of `DSprites`. What is random in an image is the nuisance. In the authors'
disentanglement_lib it is drawn again whenever an image is read. Here it is a function of the row
and of the option `nuisance_seed`: a row always has the same pixels, so that an interrupted run
resumes as if nothing had happened, all metrics see the same images, and the fingerprint says what
the pixels are. From row to row it is as good as independent, so it tells nothing about the factors;
but a model that sees a row twice sees the same nuisance twice.
"""

import functools
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import dsprites, files, pictures
from .blocks import first_line
from .dsprites import DSprites
from .entry import Entry
from .factors import FactorData, in_words

SIDE = 64  # pixels
FRAME = (350, 274)  # pixels: a picture is made to fit into it, wide and high
SEEDS = 2**63

_BLOCK = 64  # images at a time

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]


def _entry(name: str, title: str, licence: str = "MIT") -> Entry:
    return Entry(
        name=name,
        title=title,
        factors=in_words(dsprites.FACTORS),
        counts=dsprites.ENTRY.counts,
        licence=licence,
        citation="Locatello et al. 2019, Challenging Common Assumptions in the Unsupervised "
        "Learning of Disentangled Representations, ICML",
        page="https://github.com/google-research/disentanglement_lib",
        origin="drawn by the suite",
        made_of=dsprites.ENTRY,
    )


class ColorDSprites(FactorData):
    """Color-dSprites: each sprite in a random colour, on black (Locatello et al. 2019, ICML).

    Red, green and blue are uniform from 128 to 255. Factors and rows are those of `dsprites`, and
    the colour is none of them: it depends on the row and `nuisance_seed` alone. The images that
    `dsprites` has twice differ here.

    `image_size` 32 gives the means of 2x2 pixels of the coloured images of 64x64, rounded.

    Sprites are drawn, or read from the official file in `data_dir`; see `DSprites`.

    Raises:
        ValueError: as `DSprites`, and for a `nuisance_seed` that is not from 0 to 2^63 - 1.
    """

    entry = _entry("color_dsprites", "Color-dSprites")

    def __init__(
        self,
        *,
        image_size: int = SIDE,
        nuisance_seed: int = 0,
        data_dir: str | Path | None = None,
    ) -> None:
        self._sprites = _Sprites.of(self.entry.name, image_size, nuisance_seed, data_dir)
        self.reopen_with = self._sprites.options()
        self.factors = self._sprites.plain.factors
        self.image_shape = (3, image_size, image_size)
        self.source = self._sprites.source(self.entry.title, "sprites in random colours")
        self.fingerprint = self._sprites.fingerprint("color_dsprites-1")

    def images(self, rows: ArrayLike) -> Bytes:
        return self._sprites.images(self.checked(rows), _coloured)


class NoisyDSprites(FactorData):
    """Noisy-dSprites: white sprites on uniform colour noise (Locatello et al. 2019, ICML).

    Every channel of every pixel of the background is uniform from 0 to 255. Factors and rows are
    those of `dsprites`; the noise depends on the row and `nuisance_seed` alone.

    `image_size` 32 gives the means of 2x2 pixels of the noisy images of 64x64, rounded: the noise
    is then half as strong, and no longer uniform.

    Sprites are drawn, or read from the official file in `data_dir`; see `DSprites`.

    Raises:
        ValueError: as `DSprites`, and for a `nuisance_seed` that is not from 0 to 2^63 - 1.
    """

    entry = _entry("noisy_dsprites", "Noisy-dSprites")

    def __init__(
        self,
        *,
        image_size: int = SIDE,
        nuisance_seed: int = 0,
        data_dir: str | Path | None = None,
    ) -> None:
        self._sprites = _Sprites.of(self.entry.name, image_size, nuisance_seed, data_dir)
        self.reopen_with = self._sprites.options()
        self.factors = self._sprites.plain.factors
        self.image_shape = (3, image_size, image_size)
        self.source = self._sprites.source(self.entry.title, "sprites on uniform noise")
        self.fingerprint = self._sprites.fingerprint("noisy_dsprites-1")

    def images(self, rows: ArrayLike) -> Bytes:
        return self._sprites.images(self.checked(rows), _noisy)


class ScreamDSprites(FactorData):
    """Scream-dSprites: sprites that invert a patch of a picture (Locatello et al. 2019, ICML).

    The background is the mean of a random patch of the picture and a random colour, and the sprite
    inverts it. Factors and rows are those of `dsprites`; patch and colour depend on the row and
    `nuisance_seed` alone.

    The authors took The Scream by Edvard Munch, made to fit into 350x274 pixels; give a JPEG or PNG
    file of it as `picture` to do the same. Without one it is china.jpg, a photo that comes with
    scikit-learn: numbers are then not those of the published data set. `source` says which it is.

    `image_size` 32 gives the means of 2x2 pixels of the finished images of 64x64, rounded.

    Sprites are drawn, or read from the official file in `data_dir`; see `DSprites`.

    Raises:
        ValueError: as `DSprites`, for a `nuisance_seed` that is not from 0 to 2^63 - 1, and for a
            picture that is missing, damaged or too small.
    """

    entry = _entry("scream_dsprites", "Scream-dSprites", "MIT, its photo CC-BY-2.0")

    def __init__(
        self,
        *,
        image_size: int = SIDE,
        nuisance_seed: int = 0,
        picture: str | Path | None = None,
        data_dir: str | Path | None = None,
    ) -> None:
        self._sprites = _Sprites.of(self.entry.name, image_size, nuisance_seed, data_dir)
        # Absolute, since a worker process may start in another folder.
        path = None if picture is None else Path(picture).expanduser().resolve()
        self._canvas = _canvas(path)
        self.reopen_with = {**self._sprites.options(), "picture": path}
        self.factors = self._sprites.plain.factors
        self.image_shape = (3, image_size, image_size)
        high, wide = self._canvas.shape[1:]
        name = path or "the photo china.jpg of scikit-learn"
        what = f"sprites that invert patches of {name} at {wide}x{high} pixels"
        digest = hashlib.sha256(self._canvas.tobytes()).hexdigest()[:16]
        self.source = self._sprites.source(self.entry.title, what)
        self.fingerprint = self._sprites.fingerprint(f"scream_dsprites-1:{wide}x{high}-{digest}")

    def images(self, rows: ArrayLike) -> Bytes:
        paint = functools.partial(_inverting, self._canvas)
        return self._sprites.images(self.checked(rows), paint)


@dataclass(frozen=True)
class _Sprites:
    """The sprites behind a variant, and what all variants have in common.

    Attributes:
        plain: the sprites at 64x64 pixels.
        side: pixels per side of the images of the variant.
        seed: of the nuisance.
        data_dir: where the official file of dSprites may be.
    """

    plain: DSprites
    side: int
    seed: int
    data_dir: Path | None

    @classmethod
    def of(cls, name: str, side: int, seed: int, data_dir: str | Path | None) -> "_Sprites":
        pictures.check_full_or_half(name, side)
        if not 0 <= seed < SEEDS:
            raise ValueError(f"{name}: nuisance_seed must be 0 to 2^63 - 1, not {seed}")
        root = files.absolute(data_dir)
        return cls(DSprites(image_size=SIDE, data_dir=root), side, seed, root)

    def options(self) -> dict[str, Any]:
        return {"image_size": self.side, "nuisance_seed": self.seed, "data_dir": self.data_dir}

    def source(self, title: str, what: str) -> str:
        scaling = "" if self.side == SIDE else f", averaged to {self.side}x{self.side}"
        return f"{title}: {what}, nuisance seed {self.seed}; {self.plain.source}{scaling}"

    def fingerprint(self, name: str) -> str:
        return f"{name}:seed{self.seed}:{self.plain.fingerprint}:to-{self.side}x{self.side}"

    def images(self, rows: NDArray[np.int64], paint: Callable[[Bytes, Words], Bytes]) -> Bytes:
        """Images (n, 3, side, side) of `rows`.

        `paint` makes them from sprites (m, 1, 64, 64) and from keys (m,) that differ by row.
        """
        images = np.empty((len(rows), 3, self.side, self.side), dtype=np.uint8)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            painted = paint(self.plain.images(block), _keys(self.seed, block))
            images[start : start + _BLOCK] = (
                painted if self.side == SIDE else pictures.halved(painted)
            )
        return images


# Sprites are 255 and their background 0, so that the operations below take whole bytes.


def _coloured(sprites: Bytes, keys: Words) -> Bytes:
    colours = _words(keys, 1).view(np.uint8)[:, :3] | np.uint8(128)
    return sprites & colours[:, :, None, None]


def _noisy(sprites: Bytes, keys: Words) -> Bytes:
    noise = _words(keys, 3 * SIDE**2 // 8).view(np.uint8)
    return sprites | noise.reshape(-1, 3, SIDE, SIDE)


def _inverting(canvas: Bytes, sprites: Bytes, keys: Words) -> Bytes:
    words = _words(keys, 3)
    tints = words[:, :1].view(np.uint8)[:, :3, None, None]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (SIDE, SIDE), axis=(1, 2))
    # The upper half of a word, as a share of the possible positions.
    half = np.uint64(32)
    tops, lefts = (
        ((words[:, k] >> half) * np.uint64(windows.shape[k]) >> half).astype(np.intp)
        for k in (1, 2)
    )
    patches = windows[:, tops, lefts].transpose(1, 0, 2, 3)
    # The mean of two bytes, rounded up, within bytes.
    ground = (patches | tints) - ((patches ^ tints) >> np.uint8(1))
    return sprites ^ ground


def _canvas(path: Path | None) -> Bytes:
    """The picture (3, H, W) at its final size. Raises ValueError."""
    from PIL import Image

    if path is None:
        from sklearn.datasets import load_sample_image

        picture = Image.fromarray(load_sample_image("china.jpg"))
    else:
        picture = _opened(path)
    picture.thumbnail(FRAME, Image.Resampling.LANCZOS)
    if min(picture.size) < SIDE:
        wide, high = picture.size
        raise ValueError(
            f"scream_dsprites: picture {path} has {wide}x{high} pixels made to fit into "
            f"{FRAME[0]}x{FRAME[1]}: choose one that keeps {SIDE} each way"
        )
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _opened(path: Path) -> Any:
    from PIL import Image

    if not path.is_file():
        raise ValueError(f"scream_dsprites: picture {path} is not a file")
    try:
        with warnings.catch_warnings():
            # A picture that unpacks to gigabytes.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["JPEG", "PNG"]) as picture:
                return picture.convert("RGB")
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise ValueError(
            f"scream_dsprites: picture {path} is damaged or no JPEG or PNG ({first_line(error)})"
        ) from error


# Random numbers that belong to a row and a seed, in any order of reading. They come from
# splitmix64 (Steele, Lea & Flood 2014), a hash of whole numbers: the same everywhere, and fast on
# arrays, where a generator for each row would take longer than drawing its image.

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _keys(seed: int, rows: NDArray[np.int64]) -> Words:
    """A key (n,) for each row, as good as independent between rows and between seeds."""
    start = _mixed(np.array([seed], dtype=np.uint64) + _GOLDEN)
    return _mixed(start + rows.astype(np.uint64))


def _words(keys: Words, count: int) -> Words:
    """Random words (n, count) of each key, in little-endian order for a view as bytes."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return _mixed(keys[:, None] + steps).astype("<u8", copy=False)


def _mixed(words: Words) -> Words:
    """The output function of splitmix64 for each word; products overflow, as they should."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
