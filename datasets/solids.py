"""Solids that rays hit: where, and how their surface lies there. The bodies of `raycast`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ("cube", "cylinder", "sphere", "capsule")

Array = NDArray[np.float64]
Coordinates = tuple[float | Array, ...]
Span = tuple[Array, Array]  # where rays enter and leave a body, in lengths of their directions


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
    one = np.asarray((low - origin) / direction)
    two = np.asarray((high - origin) / direction)
    return np.minimum(one, two), np.maximum(one, two)


def _ball(radius: float, origin: Coordinates, direction: Coordinates) -> Span:
    """A ball around 0, or of two coordinates an endless cylinder."""
    a = sum(d * d for d in direction)
    b = sum(o * d for o, d in zip(origin, direction, strict=True))
    c = sum(o * o for o in origin) - radius * radius
    inside = np.asarray(b * b - a * c)
    root = np.sqrt(np.maximum(inside, 0.0))
    return np.where(inside > 0, (-b - root) / a, np.inf), (root - b) / a
