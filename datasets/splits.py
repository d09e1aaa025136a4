"""Which combinations of factors are never trained on: by classes, by chance, or by a known split.

The splits of the literature, by name:

- `random`, `composition`, `interpolation` and `extrapolation` after Schott et al. 2022, "Visual
  Representation Learning Does Not Generalize Strongly Within the Same Domain", ICLR 2022, arXiv
  2107.08221. Theirs are the four names and that about 30 % of the combinations are trained on and
  70 % are not (bethgelab/InDomainGeneralizationBenchmark, test/test_load_dataset.py). Which classes
  they leave out is in files of images only, and the paper's text was not read: the rules below,
  which take any factors, are ours.
- `recombination-to-element` and `recombination-to-range` after Montero et al. 2021, "The role of
  Disentanglement in Generalisation", ICLR 2021, and Montero et al. 2022, "Lost in Latent Space",
  NeurIPS 2022, arXiv 2204.02283. The classes are those of their code (mmrl/disent-and-gen and
  mmrl/lost-in-latent-space, scripts/configs/datasplits.py, the conditions that both have), for the
  factors of dSprites, 3D Shapes and MPI3D.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .factors import Factor

SPLITS = (
    *("random", "composition", "interpolation", "extrapolation"),
    *("recombination-to-element", "recombination-to-range"),
)

SEEN = 0.3  # of the combinations, for the splits after Schott et al.

# By split, for each known grid: the first and last class of each factor that is named.
_Ranges = dict[str, tuple[int, int]]
_RECOMBINATIONS: dict[str, tuple[_Ranges, ...]] = {
    "recombination-to-element": (
        # an ellipse, scale > .6, between 120 and 240 degrees, posX and posY > .66
        {
            "shape": (1, 1),
            "scale": (2, 5),
            "orientation": (14, 25),
            "posX": (21, 31),
            "posY": (21, 31),
        },
        # a cylinder, all hues >= .8, scale >= 1.1, orientation > 20
        {
            "floor_hue": (8, 9),
            "wall_hue": (8, 9),
            "object_hue": (8, 9),
            "scale": (5, 7),
            "shape": (1, 1),
            "orientation": (12, 14),
        },
        # a large olive cylinder, camera and background in the middle, both axes > 35
        {
            "object_color": (5, 5),
            "object_shape": (2, 2),
            "object_size": (1, 1),
            "camera_height": (1, 1),
            "background_color": (1, 1),
            "horizontal_axis": (36, 39),
            "vertical_axis": (36, 39),
        },
    ),
    "recombination-to-range": (
        {"shape": (0, 0), "posX": (16, 31)},  # a square, posX > .5
        {"shape": (3, 3), "object_hue": (5, 9)},  # a capsule, its hue >= .5
        {"object_shape": (2, 2), "horizontal_axis": (0, 19)},  # a cylinder, the axis < 20
    ),
}
_GRIDS = (
    {"shape": 3, "scale": 6, "orientation": 40, "posX": 32, "posY": 32},
    {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15},
    {
        "object_color": 6,
        "object_shape": 6,
        "object_size": 2,
        "camera_height": 3,
        "background_color": 3,
        "horizontal_axis": 40,
        "vertical_axis": 40,
    },
)


@dataclass(frozen=True)
class HeldOut:
    """Combinations that are never trained on, by their classes.

    Attributes:
        classes: index of each factor that matters, with its classes.
        least: how many of these factors must have one of these classes; None for all of them.
    """

    classes: tuple[tuple[int, tuple[int, ...]], ...]
    least: int | None = None

    def matches(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of factor classes (n, K) are such combinations, (n,)."""
        least = len(self.classes) if self.least is None else self.least
        counts = np.zeros(len(values), dtype=np.int64)
        for k, classes in self.classes:
            counts += np.isin(values[:, k], classes)
        matches: NDArray[np.bool_] = counts >= least
        return matches

    def share(self, sizes: Sequence[int]) -> float:
        """The share of the combinations of a full grid with these numbers of classes."""
        least = len(self.classes) if self.least is None else self.least
        chances = np.ones(1)  # of 0, 1, ... factors with such a class
        for k, classes in self.classes:
            share = len(classes) / sizes[k]
            chances = np.append(chances, 0) * (1 - share) + np.append(0, chances) * share
        return float(chances[least:].sum())


@dataclass(frozen=True)
class Random:
    """A share of the combinations, by a hash of the classes: the same in every process."""

    seen: float

    def matches(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of factor classes (n, K) are such combinations, (n,)."""
        # splitmix64 (Steele et al. 2014), once per factor
        keys = np.zeros(len(values), dtype=np.uint64)
        for column in values.T:
            keys += column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
            keys ^= keys >> np.uint64(31)
        matches: NDArray[np.bool_] = keys >= np.uint64(int(self.seen * 2**64))
        return matches

    def share(self, sizes: Sequence[int]) -> float:
        """The share of the combinations, whatever the numbers of classes."""
        return 1 - self.seen


Absence = HeldOut | Random


def split_of(name: str, factors: Sequence[Factor]) -> Absence:
    """The combinations that a split leaves out of training.

    - `random`: each combination with a chance of 70 %, by a hash of its classes.
    - `composition`: those in which at least two factors are in their upper part: the corners of
      the grid beyond the lower one, while each class is seen with the lower classes of the others.
    - `interpolation`: those in which at least one factor has a class that is left out. The classes
      that are seen lie evenly between the first and the last one, which are among them.
    - `extrapolation`: those in which at least one factor is in its upper part.
    - `recombination-to-element`, `recombination-to-range`: see the module.

    Composition takes all factors; interpolation those of at least three classes that are ordinal,
    continuous or cyclic; extrapolation those of at least three classes that are ordinal or
    continuous, as there is no end of a circle. Of each of them the same share of classes, rounded,
    is seen or is the lower part: of all shares in hundredths, the first by which the share of the
    combinations that are seen is nearest to 30 %.

    Raises:
        ValueError: there is no such split, or the factors do not allow it; the message says why.
    """
    if name not in SPLITS:
        raise ValueError(f"no split {name!r}: choose from {', '.join(SPLITS)}")
    if not factors:
        raise ValueError(f"split {name}: the data have no factors, leave the option out")
    if name in _RECOMBINATIONS:
        return _recombination(name, factors)
    if name == "random":
        return Random(SEEN)
    if name == "composition":
        chosen = [k for k, factor in enumerate(factors) if factor.size > 1]
        if len(chosen) < 2:
            raise ValueError(f"split {name} takes two factors that vary, these data have fewer")
        return _nearest(chosen, factors, name, least=2)
    kinds = {"ordinal", "continuous"} | ({"cyclic"} if name == "interpolation" else set())
    chosen = [k for k, f in enumerate(factors) if f.kind in kinds and f.size > 2]
    if not chosen:
        raise ValueError(
            f"split {name} takes a factor of three classes or more that have an order "
            f"({' or '.join(sorted(kinds))}), these data have none"
        )
    return _nearest(chosen, factors, name, least=1)


def _nearest(chosen: Sequence[int], factors: Sequence[Factor], name: str, least: int) -> HeldOut:
    """The rule of a split whose share of seen combinations is nearest to 30 %."""
    sizes = [factor.size for factor in factors]
    fewest = 1 if name == "composition" else 2  # classes that are seen or low: a line takes two
    rules = []
    for hundredths in range(1, 100):
        classes = []
        for k in chosen:
            seen = min(max((hundredths * sizes[k] + 50) // 100, fewest), sizes[k] - 1)
            kept = set(range(seen))
            if name == "interpolation":  # rounded, evenly from the first class to the last
                last, steps = sizes[k] - 1, seen - 1
                kept = {(2 * i * last + steps) // (2 * steps) for i in range(seen)}
            classes.append((k, tuple(c for c in range(sizes[k]) if c not in kept)))
        rules.append(HeldOut(tuple(classes), least))
    return min(rules, key=lambda rule: abs(1 - rule.share(sizes) - SEEN))


def _recombination(name: str, factors: Sequence[Factor]) -> HeldOut:
    sizes = {factor.name: factor.size for factor in factors}
    names = list(sizes)
    for grid, ranges in zip(_GRIDS, _RECOMBINATIONS[name], strict=True):
        # factors that are no part of the rule may be fixed
        if ranges.keys() <= sizes.keys() and sizes.items() <= grid.items():
            return HeldOut(
                tuple(
                    (names.index(factor), tuple(range(first, last + 1)))
                    for factor, (first, last) in ranges.items()
                )
            )
    raise ValueError(
        f"split {name} is defined for the factors of dsprites, shapes3d and mpi3d: choose "
        "composition, or hold out combinations of your own"
    )
