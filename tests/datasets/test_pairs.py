"""Pairs for weak supervision: in what they differ, how often, and which data have none."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from bench.datasets import Arrays, Factor, FactorData, LabelledData, Toy
from bench.datasets.pairs import draw_pairs
from bench.datasets.subsets import Fixed, Scored, Subset

RNG = np.random.default_rng
MANY = 40_000


def factors(sizes: tuple[int, ...]) -> tuple[Factor, ...]:
    return tuple(Factor(f"f{k}", n, "ordinal", tuple(range(n))) for k, n in enumerate(sizes))


class Grid(FactorData):
    """A full grid of any size, the last rows of which may be held out."""

    image_shape = (1, 1, 1)
    source = fingerprint = "grid"

    def __init__(self, sizes: tuple[int, ...], held_out: int = 0) -> None:
        self.factors, self.held_out = factors(sizes), held_out

    def images(self, rows: ArrayLike) -> np.ndarray:
        return np.zeros((len(self.checked(rows)), 1, 1, 1), dtype=np.uint8)


class Labelled(LabelledData):
    """Labels one by one, in any order."""

    image_shape = (1, 1, 1)
    source = fingerprint = "labelled"

    def __init__(self, sizes: tuple[int, ...], labels: np.ndarray) -> None:
        self.factors, self.labels = factors(sizes), labels

    def images(self, rows: ArrayLike) -> np.ndarray:
        return np.zeros((len(self.checked(rows)), 1, 1, 1), dtype=np.uint8)


def pairs(data: FactorData, changed: int, count: int = MANY, seed: int = 0) -> np.ndarray:
    """Factor classes (2, count / 2, K)."""
    rows = draw_pairs(data, RNG(seed), count, changed)
    assert rows.shape == (count,)
    assert rows.dtype == np.int64
    return data.values(rows).reshape(2, count // 2, len(data.factors))


@pytest.mark.parametrize("changed", [1, 2, 3])
def test_a_pair_differs_in_as_many_factors_as_requested(changed: int) -> None:
    one, other = pairs(Toy(), changed)
    assert ((one != other).sum(1) == changed).all()


def test_a_random_number_of_changes_is_drawn_evenly_and_leaves_a_factor_shared() -> None:
    one, other = pairs(Toy(), 0)
    numbers = np.bincount((one != other).sum(1), minlength=5)
    assert numbers[0] == numbers[4] == 0
    expected = MANY / 2 / 3
    assert (np.abs(numbers[1:4] - expected) < 5 * math.sqrt(expected)).all()


@pytest.mark.parametrize("changed", [1, 2])
def test_every_factor_and_every_other_class_has_an_even_chance(changed: int) -> None:
    data = Grid((3, 2, 4))
    one, other = pairs(data, changed)
    seen = np.zeros((24, 24))
    np.add.at(seen, (data.rows(one), data.rows(other)), 1)
    for v, w in itertools.product(range(24), repeat=2):
        a, b = data.values([v])[0], data.values([w])[0]
        moved = a != b
        chance = 0.0
        if moved.sum() == changed:
            chance = 1 / 24 / math.comb(3, changed) / np.prod(np.array([2, 1, 3])[moved])
        expected = MANY / 2 * chance
        assert abs(seen[v, w] - expected) <= 5 * math.sqrt(expected)


def test_a_factor_of_one_class_never_changes_and_is_not_counted() -> None:
    data = Grid((3, 1, 4))
    one, other = pairs(data, 1, 2_000)
    assert (one[:, 1] == other[:, 1]).all()
    assert ((one != other).sum(1) == 1).all()
    assert ((one != other)[:, [0, 2]].any(0)).all()
    with pytest.raises(ValueError, match=r"changed=2.*1 to 1 of the 2"):
        draw_pairs(data, RNG(0), 8, 2)


def test_the_first_half_is_what_the_data_draw() -> None:
    rows = draw_pairs(Toy(), RNG(3), 64, 1)
    assert np.array_equal(rows[:32], Toy().draw(RNG(3), 32))


def test_pairs_depend_on_their_generator_alone() -> None:
    one, two, other = (draw_pairs(Toy(), RNG(seed), 64, 0) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_no_partner_is_a_combination_held_out() -> None:
    subset = Subset(Toy(), hold_out=["shape=cross,posX=0-2+7", "shape=0,size=1"])
    values = pairs(subset, 1).reshape(MANY, 4)
    absent = (values[:, 0] == 2) & np.isin(values[:, 2], [0, 1, 2, 7])
    absent |= (values[:, 0] == 0) & (values[:, 1] == 1)
    assert not absent.any()
    # without the rule, many a partner would be
    free = pairs(Toy(), 1)[1]
    assert ((free[:, 0] == 2) & np.isin(free[:, 2], [0, 1, 2, 7])).mean() > 0.1


def test_no_partner_is_a_row_held_out_at_the_end() -> None:
    data = Grid((4, 3, 5), held_out=20)
    rows = draw_pairs(data, RNG(0), MANY, 1)
    assert rows.max() == 39
    assert Subset(data).held_out == 20
    assert draw_pairs(Subset(data), RNG(0), MANY, 1).max() == 39


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_pairs_of_a_grid_with_a_fixed_factor(changed: int) -> None:
    fixed = Fixed(Toy(), ["size=1"])
    one, other = pairs(fixed, changed, 4_000)
    moved = one != other
    assert set(moved.sum(1).tolist()) == ({changed} if changed else {1, 2})
    assert moved.any(0).tolist() == [True] * 3
    rows = draw_pairs(fixed, RNG(0), 64, changed)
    assert len(fixed.images(rows)) == 64
    with pytest.raises(ValueError, match="changed=3: .* 1 to 2 of the 3"):
        draw_pairs(fixed, RNG(0), 8, 3)


def test_no_partner_is_held_out_where_another_factor_is_fixed() -> None:
    subset = Subset(Fixed(Toy(), ["size=1"]), hold_out=["shape=cross,posX=0-2+7"])
    values = pairs(subset, 1).reshape(MANY, 3)
    assert not ((values[:, 0] == 2) & np.isin(values[:, 1], [0, 1, 2, 7])).any()
    assert len(np.unique(values, axis=0)) == 3 * 64 - 4 * 8


def test_labels_that_are_no_grid_are_none_with_a_fixed_factor() -> None:
    labels = Grid((3, 8, 16)).values(np.arange(384))
    for order in (labels[::-1], labels[[*range(383), 0]]):
        fixed = Fixed(Labelled((3, 8, 16), order), ["f0=2"])
        with pytest.raises(ValueError, match="pairs need a full grid"):
            draw_pairs(fixed, RNG(0), 200, 1)


def test_both_images_of_a_pair_follow_the_correlation() -> None:
    """Pairs that differ in one factor are drawn in proportion to w(v) w(v')."""
    subset = Subset(Grid((3, 3)), correlate=["f0:f1=0.4"], hold_out=["f0=0,f1=0"])
    one, other = pairs(subset, 1)
    seen = np.zeros((9, 9))
    np.add.at(seen, (subset.rows(one), subset.rows(other)), 1)
    grid = np.array(list(itertools.product(range(3), repeat=2)))
    w = np.exp(-(((grid[:, 0] - grid[:, 1]) / 2) ** 2) / (2 * 0.4**2))
    w[0] = 0
    expected = np.outer(w, w) * ((grid[:, None] != grid[None]).sum(-1) == 1)
    expected *= MANY / 2 / expected.sum()
    assert (np.abs(seen - expected) <= 5 * np.sqrt(expected)).all()


def test_it_gives_up_if_no_row_has_a_partner() -> None:
    diagonal = Subset(Grid((2, 2)), hold_out=["f0=0,f1=1", "f0=1,f1=0"])
    with pytest.raises(ValueError, match="partner to train on") as error:
        draw_pairs(diagonal, RNG(0), 8, 1)
    assert "\n" not in str(error.value)


def test_labels_in_the_order_of_a_grid_are_a_grid() -> None:
    labels = Grid((3, 4)).values(np.arange(12))
    one, other = pairs(Labelled((3, 4), labels), 1, 200)
    assert ((one != other).sum(1) == 1).all()


@pytest.mark.parametrize("order", ["mixed up", "doubled", "missing", "more"])
def test_labels_that_are_no_grid_are_refused(order: str) -> None:
    labels = Grid((3, 4)).values(np.arange(12))
    stored = {
        "mixed up": labels[::-1],
        "doubled": labels[[*range(11), 10]],
        "missing": labels[:-1],
        "more": np.concatenate([labels, labels]),
    }[order]
    data = Labelled((3, 4), stored)
    for whole in (data, Subset(data)):
        with pytest.raises(ValueError, match="pairs need a full grid.*one image of each") as error:
            draw_pairs(whole, RNG(0), 200, 1)
        assert "\n" not in str(error.value)


def test_images_with_one_label_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("arrays") / "mine.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    np.savez(path, images=images, factors=np.array([[0], [1], [2], [0], [1], [2]]))
    with pytest.raises(ValueError, match="pairs need a full grid"):
        draw_pairs(Arrays(path=str(path)), RNG(0), 8, 1)


class Paired(Labelled):
    """Images without a grid, with pairs of their own."""

    def __init__(self) -> None:
        super().__init__((2, 3), np.array([[0, 0], [0, 1], [1, 2], [1, 1], [0, 2], [1, 0]] * 40))
        self.pairs = np.array([[0, 1], [2, 5], [4, 3], [8, 8]])
        self.held_out = 20


@pytest.mark.parametrize("whole", [lambda data: data, lambda data: Scored(data, ["f1"])])
def test_pairs_of_their_own_are_all_that_is_drawn(whole) -> None:
    data = whole(Paired())
    rows = draw_pairs(data, RNG(0), 4_000, changed=5).reshape(2, -1).T
    seen, counts = np.unique(rows, axis=0, return_counts=True)
    assert seen.tolist() == sorted(Paired().pairs.tolist())
    assert (np.abs(counts - 500) < 5 * math.sqrt(500)).all()
    with pytest.raises(ValueError, match="even batch"):
        draw_pairs(data, RNG(0), 5)


def test_pairs_of_their_own_follow_the_rules_of_training() -> None:
    subset = Subset(Paired(), hold_out=["f0=1,f1=2"])  # row 2, of the second pair
    assert {2, 5}.isdisjoint(draw_pairs(subset, RNG(0), 400))
    fixed = Fixed(Paired(), ["f0=0"])  # both images of the first pair alone
    rows = draw_pairs(fixed, RNG(0), 40).reshape(2, -1)
    assert set(map(tuple, rows.T.tolist())) == {(0, 1)}
    assert fixed.values(rows[:, 0]).tolist() == [[0], [1]]
    with pytest.raises(ValueError, match="none of the data's own pairs may be trained on"):
        draw_pairs(Subset(Paired(), hold_out=["f0=1,f1=2", "f0=0,f1=0+2"]), RNG(0), 8)


def test_data_without_factors_or_pairs_say_what_is_missing() -> None:
    data = Labelled((), np.zeros((8, 0), dtype=np.int64))
    with pytest.raises(ValueError, match="these data have none: add an array 'pairs'"):
        draw_pairs(data, RNG(0), 4)


@pytest.mark.parametrize(
    ("data", "count", "changed", "message"),
    [
        (Grid((3, 4)), 7, 1, "even batch"),
        (Grid((3, 4)), 0, 1, "even batch"),
        (Grid((3, 4)), 8, 2, "changed=2"),
        (Grid((3, 4)), 8, 5, "changed=5"),
        (Grid((3, 4)), 8, -1, "changed=-1"),
        (Grid((3, 1)), 8, 1, "two factors"),
        (Grid((3,)), 8, 0, "two factors"),
    ],
)
def test_what_makes_no_pairs_is_refused(
    data: FactorData, count: int, changed: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        draw_pairs(data, RNG(0), count, changed)
    assert "\n" not in str(error.value)


def test_a_large_batch_costs_no_more_calls_than_a_small_one(monkeypatch) -> None:
    calls: list[int] = []
    values = Toy.values

    def counted(self: Toy, rows: ArrayLike) -> np.ndarray:
        calls.append(1)
        return values(self, rows)

    monkeypatch.setattr(Toy, "values", counted)
    counts = []
    for size in (8, 8_000):
        calls.clear()
        draw_pairs(Toy(), RNG(0), size, 0)
        counts.append(len(calls))
    assert counts[0] == counts[1]
