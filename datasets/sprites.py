"""Drawing of the dSprites images from their geometry.

The data set of Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing Sprites
dataset" (2017), was rendered on a GPU: vertices snap to a grid of 1/256 pixel and a pixel is on if
its centre is in the outline. This module does the same in integers, so its result is the same on
every machine.
The outline constants are not published; they were fitted to official images, which they reproduce
without a wrong pixel. About 1e2 of the 737,280 images may differ from the official ones by a pixel.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels
SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, posX, posY
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = np.linspace(0.0, 2.0 * np.pi, 40)  # both ends: the first angle is also the last
POSITIONS = np.linspace(0.0, 1.0, 32)

# sha256 of all images in row order, one byte 0 or 1 per pixel. A slow test holds it; if it
# changes, raise the version in the fingerprint of the data set.
SHA256 = "2c612e5234d21c2b576c375ebe1faa1b363ab97d340164c5d2dcf27f35dd5eb6"

_RADIUS = 0.15 * SIDE
_SUBPIXELS = 256
_CENTRE = _SUBPIXELS // 2

# _FROM[c] has the columns c, c+1, ... of a row set; column k is bit k, and c = 64 sets none.
_FROM = np.array([(2**SIDE - 1) >> c << c for c in range(SIDE + 1)], dtype=np.uint64)


def render(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Draw sprites of factor classes `values` (n, 5), in range: bit rows uint64 (n, 64).

    Bit k of row r is the pixel in column k; row 0 is the top. `unpack` makes pixels of them. Takes
    about 6 kB per image on the way: draw many in blocks.
    """
    shape, scale, orientation, *position = values.T
    outlines = _outlines()[(shape * SIZES[1] + scale) * SIZES[2] + orientation]
    outlines += _offsets()[np.stack(position, axis=1)][:, :, None]
    # Products below stay under 2**30: coordinates are under 64 * 256 = 2**14.
    x, y = np.rint(outlines, out=outlines).astype(np.int32).transpose(1, 0, 2)

    # Row r has its centre line at 256 r + 128. A vertex lies on or below the line of row `above`
    # and above that of the next, so an edge crosses the lines between its two ends. A vertex on a
    # line counts as below it: that includes the bottom edge of the outline and excludes the top.
    above = (y - _CENTRE) // _SUBPIXELS
    steps = above[:, 1:] - above[:, :-1]
    image, edge = np.nonzero(steps)
    counts = steps[image, edge]
    first = np.minimum(above[image, edge], above[image, edge + 1]) + 1
    x0, y0 = x[image, edge], y[image, edge]
    dx, dy = x[image, edge + 1] - x0, y[image, edge + 1] - y0

    # One entry for each crossing of an edge and a line.
    counts = np.abs(counts)
    owner = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    row = first[owner] + (np.arange(len(owner)) - (ends - counts)[owner]).astype(np.int32)
    dx, dy = dx[owner], dy[owner]

    # The first column with its centre on or right of the crossing: a ceiling, in exact integers.
    reach = (x0[owner] - _CENTRE) * dy + dx * (row * _SUBPIXELS + _CENTRE - y0[owner])
    column = -(-reach // (_SUBPIXELS * dy))
    # Even-odd filling: every crossing turns over all pixels from its column on.
    bits = np.zeros((len(values), SIDE), dtype=np.uint64)
    np.bitwise_xor.at(bits.reshape(-1), image[owner] * SIDE + row, _FROM[column])
    return bits


def unpack(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Pixels uint8 (n, 64, 64), 0 or 1, of bit rows (n, 64)."""
    little = np.ascontiguousarray(bits, dtype="<u8")
    return np.unpackbits(little.view(np.uint8), bitorder="little").reshape(-1, SIDE, SIDE)


def pack(pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Bit rows (n, 64) of pixels (n, 64, 64): the inverse of `unpack`."""
    packed = np.packbits(pixels.reshape(-1, SIDE), axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False).reshape(-1, SIDE)


@cache
def _offsets() -> NDArray[np.float64]:
    """Sprite centres by position class, in 1/256 pixel."""
    return (SIDE / 4 + SIDE / 2 * POSITIONS) * _SUBPIXELS


@cache
def _outlines() -> NDArray[np.float64]:
    """Closed outlines (720, 2, 151) by shape, scale and orientation, in 1/256 pixel, y down.

    Shorter outlines stay at the vertex that closes them: an edge of no length crosses nothing.
    """
    shapes = (_square(), _ellipse(), _heart())
    length = max(shape.shape[1] for shape in shapes) + 1
    closed = np.stack(
        [np.append(s, np.repeat(s[:, :1], length - s.shape[1], axis=1), axis=1) for s in shapes]
    )
    cos, sin = np.cos(ORIENTATIONS), np.sin(ORIENTATIONS)
    turns = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
    scaled = closed[:, None] * (SCALES * _SUBPIXELS)[:, None, None]
    turned: NDArray[np.float64] = np.einsum("oij,szjv->szoiv", turns, scaled)
    return turned.reshape(-1, 2, length)


def _square() -> NDArray[np.float64]:
    return _RADIUS * np.array([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])


def _ellipse() -> NDArray[np.float64]:
    t = 2.0 * np.pi * np.arange(100) / 100
    return _RADIUS * np.stack([1.33 * np.cos(t), np.sin(t) / 1.33])


def _heart() -> NDArray[np.float64]:
    t = 2.0 * np.pi * np.arange(150) / 150
    lobes = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return _RADIUS * np.stack([np.sin(t) ** 3, -(lobes / 14.5 + 0.15)])
