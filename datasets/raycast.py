"""A solid in a room, as a ray caster sees it: the geometry behind `rooms3d`, without its colours.

The proportions follow what can be measured on published pictures of 3D Shapes (Burgess & Kim 2018).
Lengths are in half room widths. The room is square and open to the sky; x runs to the right, y away
from the viewer of a frontal picture, z up from the floor. The camera stands on a circle around the
solid in the middle and looks slightly down at it.

A layout is a scale, a shape and an orientation. What it looks like is a weight for each material
and pixel: the share of the pixel that the material covers, times its brightness. A picture is then
the sum over materials of weight times colour, so that other colours cost no rays.

Weights are the same on every platform. They are made of additions, products, quotients and square
roots, which IEEE 754 rounds in one way, by array operations that no compiler fuses, and are summed
as whole numbers. The few sines are rounded to nine digits, more coarsely than libraries differ.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels
SHAPES = ("cube", "cylinder", "sphere", "capsule")
SCALES = tuple(0.75 + 0.5 * k / 7 for k in range(8))
ORIENTATIONS = tuple(-30.0 + 60.0 * k / 14 for k in range(15))  # degrees, of the camera
FLOOR, WALL, OBJECT, SKY = range(4)
WHOLE = 2**12  # weight of a material that fills a pixel and is in full light

# sha256 of all weights in the order of orientations, as little-endian uint16. A test holds it;
# if it changes, raise the version in the fingerprint of the data set.
SHA256 = "8ea6035e78f773274311be09f55439b064b48130db3e563ceb12825009175e64"

Array = NDArray[np.float64]
Coordinates = tuple[float | Array, ...]
Span = tuple[Array, Array]  # where rays enter and leave a body, in lengths of their directions

_DISTANCE = 0.77  # camera to the middle of the room
_FOCAL = 72.0  # pixels
_PITCH = 1.5  # degrees down
_EYE = 0.26  # camera above the floor
_TOP = _EYE + 0.335  # of the walls
_UNIT = 0.112  # solids are measured in this times the scale
_PROPORTIONS = {  # radius, or half the side, and height
    "cube": (1.0, 2.0),
    "cylinder": (1.0, 2.2),
    "sphere": (1.13, 2.26),
    "capsule": (0.9, 3.9),
}

_AMBIENT, _DIRECT = 0.6, 0.58
_WRAP = 0.5  # a large lamp also lights surfaces that are turned a little away from its middle
_OPEN = 0.55  # share of the ambient light that is left in full shadow
_SOLID = 0.95  # brightness of a solid in full light, so that it stands out from a wall of its hue
_AZIMUTH, _ELEVATION = -55.0, 45.0  # degrees, of the lamp, which stands still in the room
_SOFT = 0.16  # radius of the lamp over its distance: how soft shadows are
_SPOTS = 4  # of the lamp, across
_GRAIN = 0.02  # of the texture of the walls, in brightness

_RAYS = 4  # of a pixel, across
_STEPS = 2**16  # of brightness, before rays are averaged


@cache
def layouts(orientation: int) -> NDArray[np.uint16]:
    """Weights (8, 4, 4, 64, 64) by scale, shape and material in an orientation, read-only.

    Takes about 0.3 s, once for each of the 15 orientations; together they keep 16 MB.
    """
    view = _view(ORIENTATIONS[orientation])
    weights = np.empty((len(SCALES), len(SHAPES), 4, SIDE, SIDE), dtype=np.uint16)
    for i, scale in enumerate(SCALES):
        for j, shape in enumerate(SHAPES):
            radius, height = _PROPORTIONS[shape]
            solid = Solid(shape, radius * _UNIT * scale, height * _UNIT * scale)
            weights[i, j] = _weights(view, solid)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Solid:
    """A solid of `height` that stands on the floor, z = 0, around the axis x = y = 0."""

    shape: str
    radius: float  # half the side of a cube
    height: float

    @property
    def reach(self) -> float:
        """Radius of an upright cylinder that holds it."""
        return self.radius * (1.5 if self.shape == "cube" else 1.0)

    @property
    def rounded(self) -> bool:
        """Whether it ends in half balls: a sphere is a capsule without a middle."""
        return self.shape in ("sphere", "capsule")

    def entry(self, origin: Coordinates, direction: Coordinates) -> Array:
        """Where rays from outside enter, in lengths of `direction`; inf for those that miss it."""
        (x, y, z), (dx, dy, dz) = origin, direction
        r, low, high = self.radius, 0.0, self.height
        if self.rounded:
            low, high = r, high - r
        spans = [_slab(low, high, z, dz)]
        if self.shape == "cube":
            spans += [_slab(-r, r, x, dx), _slab(-r, r, y, dy)]
        else:
            spans += [_ball(r, (x, y), (dx, dy))]
        nearest = _first(spans)
        for centre in {low, high} if self.rounded else ():
            ball = _ball(r, (x, y, z - centre), (dx, dy, dz))
            nearest = np.minimum(nearest, _first([ball]))
        return nearest

    def facing(self, x: Array, y: Array, z: Array, lamp: tuple[float, float, float]) -> Array:
        """Cosine of the angle between its surface at points (n,) and the direction of a lamp."""
        if self.shape == "cube":
            ax, ay, az = np.abs(x), np.abs(y), np.abs(z - self.radius)
            sides = np.where(ax > ay, np.sign(x) * lamp[0], np.sign(y) * lamp[1])
            return np.where(az > np.maximum(ax, ay), lamp[2], sides)
        around = x * lamp[0] + y * lamp[1]
        if self.shape == "cylinder":
            on_top = z > self.height * (1 - 1e-9)
            return np.where(on_top, lamp[2], around / self.radius)
        centre = np.clip(z, self.radius, self.height - self.radius)
        return (around + (z - centre) * lamp[2]) / self.radius


def _first(spans: list[Span]) -> Array:
    """Where rays enter the intersection of convex bodies ahead of them, or inf."""
    enter, leave = spans[0]
    for a, b in spans[1:]:
        enter, leave = np.maximum(enter, a), np.minimum(leave, b)
    return np.where((enter < leave) & (leave > 0), enter, np.inf)


def _slab(low: float, high: float, origin: float | Array, direction: float | Array) -> Span:
    """The space between two parallel planes."""
    first = np.asarray((low - origin) / direction)
    second = np.asarray((high - origin) / direction)
    return np.minimum(first, second), np.maximum(first, second)


def _ball(radius: float, origin: Coordinates, direction: Coordinates) -> Span:
    """A ball around 0; with two coordinates, an endless cylinder."""
    a = sum(d * d for d in direction)
    b = sum(o * d for o, d in zip(origin, direction, strict=True))
    c = sum(o * o for o in origin) - radius * radius
    inside = np.asarray(b * b - a * c)
    root = np.sqrt(np.maximum(inside, 0.0))
    return np.where(inside > 0, (-b - root) / a, np.inf), (root - b) / a


@dataclass(frozen=True)
class _View:
    """What the rays (n,) of an orientation, row by row from the top left, meet in the empty room.

    Attributes:
        eye: where the rays start.
        rays: their directions.
        passing: the distance at which they pass the axis of the solid.
        material: what they meet first.
        brightness: of what they meet first.
        x, y: where on the floor they meet it.
    """

    eye: tuple[float, float, float]
    rays: tuple[Array, Array, Array]
    passing: Array
    material: NDArray[np.int64]
    brightness: Array
    x: Array
    y: Array


def _view(azimuth: float) -> _View:
    (c, s), (cp, sp) = _turn(azimuth), _turn(_PITCH)
    count = SIDE * _RAYS
    offsets = (np.arange(count) + 0.5 - count / 2) / (_RAYS * _FOCAL)
    right, up = np.tile(offsets, count), np.repeat(-offsets, count)
    ahead, dz = cp + sp * up, cp * up - sp
    dx, dy = c * right - s * ahead, s * right + c * ahead
    x, y = s * _DISTANCE, -c * _DISTANCE

    # From inside, the wall that is met is the nearer of the two that lie ahead.
    side, back = np.sign(dx), np.sign(dy)
    to_side, to_back = (side - x) / dx, (back - y) / dy
    to_wall = np.minimum(to_side, to_back)
    height = _EYE + to_wall * dz
    material = np.where(height < 0, FLOOR, np.where(height <= _TOP, WALL, SKY))
    at_side = to_side < to_back
    facing = np.where(at_side, -side * _lamp()[0], -back * _lamp()[1])
    along = np.where(at_side, y + to_wall * dy, x + to_wall * dx)
    brightness = np.where(material == WALL, _lit(facing) * _grain(along, height), 1.0)
    to_floor = np.where(material == FLOOR, -_EYE / dz, 0.0)
    passing = np.abs(x * dy - y * dx) / np.sqrt(dx * dx + dy * dy)
    ground = x + to_floor * dx, y + to_floor * dy
    return _View((x, y, _EYE), (dx, dy, dz), passing, material, brightness, *ground)


def _weights(view: _View, solid: Solid) -> NDArray[np.int64]:
    """Weights (4, 64, 64) by material."""
    material, brightness = view.material.copy(), view.brightness.copy()
    ground = np.flatnonzero(material == FLOOR)
    brightness[ground] = _lit(_lamp()[2], _unshaded(solid, view.x[ground], view.y[ground]))

    near = np.flatnonzero(view.passing < solid.reach)
    rays = [d[near] for d in view.rays]
    distance = solid.entry(view.eye, tuple(rays))
    hit = distance < np.inf
    x, y, z = (o + distance[hit] * d[hit] for o, d in zip(view.eye, rays, strict=True))
    material[near[hit]] = OBJECT
    brightness[near[hit]] = _SOLID * _lit(solid.facing(x, y, z, _lamp()))

    # Whole numbers, in floats that hold them exactly: the order of the sum does not matter.
    levels = np.rint(brightness * _STEPS)
    sums = np.bincount(material * SIDE**2 + _pixels(), levels, 4 * SIDE**2)
    unit = _STEPS * _RAYS**2 // WHOLE
    return (sums.astype(np.int64).reshape(4, SIDE, SIDE) + unit // 2) // unit


def _unshaded(solid: Solid, x: Array, y: Array) -> Array:
    """The share of the lamp that is seen from points (n,) of the floor."""
    (c, s), (ce, se) = _turn(_AZIMUTH), _turn(_ELEVATION)
    lx, ly, lz = _lamp()
    # The lowest spots of the lamp throw the longest shadows.
    low = se - _SOFT * ce
    wide = solid.reach + solid.height * _SOFT / low
    long = solid.reach + solid.height * (ce + _SOFT * se) / low
    beside, behind = np.abs(x * c + y * s), y * c - x * s
    near = np.flatnonzero((beside < wide) & (behind > -solid.reach) & (behind < long))
    origin = x[near], y[near], 0.0
    across = (2 * np.arange(_SPOTS) + 1) / _SPOTS - 1
    spots = [(_SOFT * p, _SOFT * q) for p in across for q in across if p * p + q * q <= 1]
    seen = np.zeros(len(near))
    for p, q in spots:
        spot = lx + p * c - q * se * s, ly + p * s + q * se * c, lz + q * ce
        seen += np.isinf(solid.entry(origin, spot))
    share = np.ones(len(x))
    share[near] = seen / len(spots)
    return share


def _lit(facing: float | Array, unshaded: float | Array = 1.0) -> Array:
    """Brightness of a surface turned to the lamp by a cosine, where a share of it is seen."""
    light = np.maximum(facing + _WRAP, 0.0) / (1 + _WRAP)
    ambient = _AMBIENT * (_OPEN + (1 - _OPEN) * unshaded)
    return np.asarray(np.minimum(1.0, ambient + _DIRECT * light * unshaded))


def _grain(along: Array, height: Array) -> Array:
    """A faint texture of a wall: crossed waves of straight lines."""
    phases = 9.0 * along + 4.0 * height, 13.0 * height - 3.0 * along
    one, two = (np.abs(4.0 * (p - np.floor(p)) - 2.0) - 1.0 for p in phases)
    return 1.0 - _GRAIN / 2 * (1.0 + one * two)


def _lamp() -> tuple[float, float, float]:
    """Direction of the lamp."""
    (c, s), (ce, se) = _turn(_AZIMUTH), _turn(_ELEVATION)
    return s * ce, -c * ce, se


def _turn(degrees: float) -> tuple[float, float]:
    """Cosine and sine, rounded as the head of this file says."""
    angle = math.radians(degrees)
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


@cache
def _pixels() -> NDArray[np.int64]:
    """The pixel of every ray."""
    across = np.arange(SIDE * _RAYS) // _RAYS
    return (across[:, None] * SIDE + across).reshape(-1)
