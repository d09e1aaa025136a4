"""Named splits: which combinations are never trained on, by hand and on the known grids."""

import subprocess
import sys
from math import prod

import numpy as np
import pytest
from numpy.typing import ArrayLike

from bench.build import build_data, open_data
from bench.datasets import Factor, FactorData, dsprites, mpi3d, rooms3d, shapes3d
from bench.datasets.splits import SEEN, SPLITS, HeldOut, Random, split_of
from bench.datasets.subsets import Fixed, Scored, Subset
from bench.datasets.toy import Toy
from bench.errors import RequestError

RNG = np.random.default_rng
MPI3D = mpi3d._factors(mpi3d.GRIDS[1_036_800], {})
GRIDS = {
    "dsprites": dsprites.FACTORS,
    "shapes3d": shapes3d.FACTORS,
    "rooms3d": rooms3d.FACTORS,
    "mpi3d": MPI3D,
}
OF_A_SHARE = ("random", "composition", "interpolation", "extrapolation")


class Grid(FactorData):
    """A grid of some factors without pictures."""

    image_shape = (1, 1, 1)
    source = fingerprint = "grid"

    def __init__(self, factors: tuple[Factor, ...]) -> None:
        self.factors = factors

    def images(self, rows: ArrayLike) -> np.ndarray:
        return np.zeros((len(self.checked(rows)), 1, 1, 1), dtype=np.uint8)


def factor(name: str, size: int, kind: str = "ordinal") -> Factor:
    return Factor(name, size, kind, tuple(map(float, range(size))))


def unseen(name: str, factors: tuple[Factor, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The classes (N, K) of a whole grid, and which of them a split leaves out (N,)."""
    data = Subset(Grid(factors), split=name)
    rows = np.arange(len(data))
    return data.values(rows), data.unseen(rows)


# Definitions


def test_the_rules_on_a_small_grid() -> None:
    """Two factors of ten classes: of n seen ones, n^2 of 100 combinations, and 30 are wanted."""
    factors = (factor("a", 10), factor("b", 10))
    values, out = unseen("extrapolation", factors)
    np.testing.assert_array_equal(out, (values > 4).any(axis=1))  # 25 seen; six classes have 36
    values, out = unseen("interpolation", factors)
    left_out = ~np.isin(values, [0, 2, 5, 7, 9])  # evenly between the ends, rounded
    np.testing.assert_array_equal(out, left_out.any(axis=1))
    values, out = unseen("composition", factors)
    np.testing.assert_array_equal(out, (values > 1).all(axis=1))  # 100 - 64 seen; n = 1 has 19
    values, out = unseen("random", factors)
    assert 0.5 < out.mean() < 0.9


def test_factors_without_an_order_are_neither_interpolated_nor_extrapolated() -> None:
    factors = (factor("a", 10), factor("b", 10, "cyclic"), factor("c", 10, "categorical"))
    names = {name: [k for k, _ in split_of(name, factors).classes] for name in OF_A_SHARE[1:]}
    assert names == {"composition": [0, 1, 2], "interpolation": [0, 1], "extrapolation": [0]}
    two = (factor("a", 2), factor("b", 3))
    assert [k for k, _ in split_of("extrapolation", two).classes] == [1]


@pytest.mark.parametrize("name", OF_A_SHARE)
@pytest.mark.parametrize("grid", GRIDS)
def test_about_thirty_per_cent_are_seen(grid: str, name: str) -> None:
    factors = GRIDS[grid]
    sizes = [f.size for f in factors]
    rule = split_of(name, factors)
    assert rule.share(sizes) == pytest.approx(1 - SEEN, abs=0.05)
    values = RNG(0).integers(sizes, size=(20_000, len(sizes)))
    out = rule.matches(values)
    assert out.mean() == pytest.approx(rule.share(sizes), abs=0.015)
    seen = [set(column) for column in values[~out].T]
    if name in ("random", "composition"):  # each class, but no combination of the unseen ones
        assert [len(classes) for classes in seen] == sizes
    if name in ("interpolation", "extrapolation"):
        for k, left_out in rule.classes:
            kept = sorted(set(range(sizes[k])) - set(left_out))
            assert seen[k] == set(kept)
            assert kept[0] == 0
            if name == "interpolation":  # interior classes
                assert kept[-1] == sizes[k] - 1
                assert np.ptp(np.diff(kept)) <= 1
            else:  # upper classes
                assert kept == list(range(len(kept)))
                assert min(left_out) > max(kept)
    if name == "composition":
        upper = sum(np.isin(values[:, k], classes) for k, classes in rule.classes)
        np.testing.assert_array_equal(out, upper >= 2)
        assert all(min(classes) > 0 for _, classes in rule.classes)


def test_the_share_is_nearest_to_thirty_per_cent() -> None:
    """No other number of lower classes, the same share of each factor, is nearer."""
    for factors in GRIDS.values():
        sizes = [f.size for f in factors]
        rule = split_of("extrapolation", factors)
        chosen = [sizes[k] for k, _ in rule.classes]
        seen = {
            prod(min(max(round(s / 1000 * n), 2), n - 1) / n for n in chosen)
            for s in range(1, 1000)
        }
        assert abs(1 - rule.share(sizes) - SEEN) <= min(abs(x - SEEN) for x in seen) + 0.01


def test_the_random_split_is_the_same_everywhere_and_of_all_combinations() -> None:
    values = np.array([[0, 0, 0, 0, 0], [1, 2, 3, 4, 5], [2, 5, 39, 31, 31], [0, 0, 0, 0, 1]])
    code = (
        "import numpy as np; from bench.datasets.splits import Random; "
        f"print(Random(0.3).matches(np.array({values.tolist()})).tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(Random(0.3).matches(values).tolist())
    whole = np.indices((3, 6, 40, 8, 8)).reshape(5, -1).T
    out = Random(0.3).matches(whole)
    assert out.mean() == pytest.approx(0.7, abs=0.01)
    for k in range(5):  # a class is held out as often as another
        shares = np.bincount(whole[:, k], out) / np.bincount(whole[:, k])
        assert np.abs(shares - 0.7).max() < 0.05
    assert abs(np.corrcoef(out[:-1], out[1:])[0, 1]) < 0.02
    np.testing.assert_array_equal(Random(0.3).matches(whole[::-1]), out[::-1])
    assert (Random(0.6).matches(whole) <= out).all()


def conditions(name: str) -> dict[str, tuple[float, np.ndarray]]:
    """Of each known grid: the share, and the rows by the quantities of the authors' code."""
    found = {}
    values, _ = unseen("random", dsprites.FACTORS)
    shape, scale, angle, x, y = (
        np.array(f.values)[column] for f, column in zip(dsprites.FACTORS, values.T, strict=True)
    )
    third = 2 * np.pi / 3
    between = (angle > third + 1e-9) & (angle < 2 * third - 1e-9)
    element = (shape == 2) & (scale > 0.6 + 1e-9) & between & (x > 0.66) & (y > 0.66)
    found["dsprites"] = {
        "recombination-to-element": element,
        "recombination-to-range": (shape == 1) & (x > 0.5),
    }[name]
    values, _ = unseen("random", shapes3d.FACTORS)
    floor, wall, hue, scale, shape, angle = (
        np.array(f.values)[column] for f, column in zip(shapes3d.FACTORS, values.T, strict=True)
    )
    high = (hue >= 0.8 - 1e-9) & (wall >= 0.8 - 1e-9) & (floor >= 0.8 - 1e-9)
    found["shapes3d"] = found["rooms3d"] = {
        "recombination-to-element": high & (scale >= 1.1) & (shape == 1) & (angle > 20),
        "recombination-to-range": (shape == 3) & (hue >= 0.5 - 1e-9),
    }[name]
    values, _ = unseen("random", MPI3D)
    colour, shape, size, camera, background, across, up = values.T
    middle = (size == 1) & (camera == 1) & (background == 1)
    found["mpi3d"] = {
        "recombination-to-element": (colour == 5)
        & (shape == 2)
        & middle
        & (across > 35)
        & (up > 35),
        "recombination-to-range": (shape == 2) & (across < 20),
    }[name]
    return found


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("recombination-to-element", (5_808, 72, 72, 16)),
        ("recombination-to-range", (122_880, 60_000, 60_000, 86_400)),
    ],
)
def test_recombinations_are_those_of_the_code(name: str, counts: tuple[int, ...]) -> None:
    expected = conditions(name)
    for (grid, factors), count in zip(GRIDS.items(), counts, strict=True):
        _, out = unseen(name, factors)
        np.testing.assert_array_equal(out, expected[grid], err_msg=grid)
        assert out.sum() == count


def test_a_factor_that_does_not_matter_may_be_fixed() -> None:
    without = dsprites.FACTORS[:2] + dsprites.FACTORS[3:]
    rule = split_of("recombination-to-range", without)
    assert rule == HeldOut(((0, (0,)), (2, tuple(range(16, 32)))))
    with pytest.raises(ValueError, match="is defined for the factors of dsprites, shapes3d and m"):
        split_of("recombination-to-element", without)


# Data


@pytest.mark.parametrize("name", OF_A_SHARE)
def test_a_split_is_never_drawn_and_says_so(name: str) -> None:
    whole, data = Toy(), Subset(Toy(), split=name)
    drawn = data.draw(RNG(0), 5_000)
    out = data.unseen(np.arange(len(data)))
    assert out.any()
    assert not data.unseen(drawn).any()
    assert set(drawn) == set(np.flatnonzero(~out))
    assert len(data) == len(whole)
    assert f"of the combinations (split {name}), scored on all" in data.source
    assert data.fingerprint == f"{whole.fingerprint}:split-{name}"
    assert not whole.unseen(range(len(whole))).any()


def test_rules_hold_on_top_of_one_another() -> None:
    rows = np.arange(576)
    held = Subset(Toy(), hold_out=["shape=cross"])
    split = Subset(Toy(), split="extrapolation")
    both = Subset(Toy(), ["posX:posY=0.2"], ["shape=cross"], "extrapolation")
    expected = held.unseen(rows) | split.unseen(rows)
    np.testing.assert_array_equal(both.unseen(rows), expected)
    assert not both.unseen(both.draw(RNG(0), 2_000)).any()
    assert both.fingerprint.endswith(
        ":correlated-posX:posY=0.2:split-extrapolation:without-shape=cross"
    )
    nested = Subset(Subset(Toy(), hold_out=["shape=cross"]), split="extrapolation")
    np.testing.assert_array_equal(nested.unseen(rows), expected)
    np.testing.assert_array_equal(Scored(both, ["size"]).unseen(rows), expected)
    # improbable rows are none that are held out
    assert not Subset(Toy(), ["posX:posY=0.05"]).unseen(rows).any()


def test_a_part_of_the_data_keeps_the_rule() -> None:
    data = Subset(Fixed(Toy(), ["shape=cross"]), split="extrapolation")
    rows = np.arange(len(data))
    np.testing.assert_array_equal(
        data.unseen(rows), split_of("extrapolation", data.factors).matches(data.values(rows))
    )
    assert data.unseen([]).shape == (0,)
    with pytest.raises(IndexError):
        data.unseen([len(data)])


def test_data_are_built_with_a_split() -> None:
    settings = {"split": "composition", "fix": ["size=1"], "factors": ["posX"]}
    data = build_data("toy", settings, None)
    assert isinstance(data, Scored)
    assert data.unseen(np.arange(len(data))).any()


@pytest.mark.parametrize(
    ("name", "factors", "message"),
    [
        ("extrapolate", (factor("a", 9),), "no split 'extrapolate': choose from random, comp"),
        ("", (factor("a", 9),), "no split '': choose from"),
        ("random", (), "the data have no factors, leave the option out"),
        ("composition", (factor("a", 9),), "takes two factors that vary, these data have fewer"),
        ("interpolation", (factor("a", 9, "categorical"),), r"order \(continuous or cyclic or ord"),
        ("extrapolation", (factor("a", 9, "cyclic"),), r"order \(continuous or ordinal\), these"),
        ("extrapolation", (factor("a", 2),), "takes a factor of three classes or more"),
        ("recombination-to-range", Toy().factors, "choose composition, or hold out combinations"),
    ],
)
def test_splits_that_cannot_be_made(name: str, factors: tuple[Factor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Subset(Grid(factors), split=name)
    assert "\n" not in str(caught.value)


def test_a_wrong_name_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="no split 'half': choose from") as caught:
        open_data("toy", {"split": "half"}, None)
    assert all(name in str(caught.value) for name in SPLITS)


def test_a_split_and_a_rule_that_leave_nothing() -> None:
    with pytest.raises(ValueError, match="would be left to train on"):
        Subset(Toy(), hold_out=["posX=0-4"], split="extrapolation")
