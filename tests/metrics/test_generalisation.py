"""Generalisation: what holds for unseen rows, what does not, and which rows are which."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from bench.check.cases import rotation
from bench.datasets import dsprites
from bench.datasets.splits import split_of
from bench.datasets.subsets import Subset
from bench.datasets.toy import Toy
from bench.metrics import Representation, generalisation_boosted, generalisation_linear, shuffled
from tests.metrics.conftest import draw, grid, marked, plain, rng

BOTH = [generalisation_linear, generalisation_boosted]
SPLITS = ("random", "composition", "interpolation", "extrapolation")
SIZES = (6, 5, 8)
NAMES = ("scale", "posX", "posY")


def ordinal(codes: np.ndarray, factors: np.ndarray, **more: Any) -> Representation:
    """A grid of SIZES, unseen where a factor has one of its upper classes."""
    unseen = (factors >= (4, 4, 6)).any(axis=1)
    fields = {"factor_names": NAMES, "factor_sizes": SIZES, "unseen": unseen, **more}
    return Representation.of(codes=codes, factors=factors, **fields)


def of_dsprites(split: str, rows: int = 6_000) -> Representation:
    """The factors themselves as codes, with the rows that a split of dSprites leaves out."""
    sizes = [factor.size for factor in dsprites.FACTORS]
    factors = rng(3).integers(sizes, size=(rows, len(sizes)))
    return Representation.of(
        codes=1.0 * factors,
        factors=factors,
        factor_names=[factor.name for factor in dsprites.FACTORS],
        factor_kinds=[factor.kind for factor in dsprites.FACTORS],
        factor_sizes=sizes,
        unseen=split_of(split, dsprites.FACTORS).matches(factors),
    )


def lookup(factors: np.ndarray, width: int = 20) -> np.ndarray:
    """A random vector for each combination, which tells nothing of those that were never met."""
    _, combination = np.unique(factors, axis=0, return_inverse=True)
    vectors: np.ndarray = rng(8).normal(size=(combination.max() + 1, width))
    return vectors[combination.ravel()]


# Codes whose scores are known


@pytest.mark.parametrize("split", SPLITS)
def test_factors_with_a_line_extrapolate(split: str) -> None:
    score = generalisation_linear(of_dsprites(split))
    assert score.value == pytest.approx(1, abs=1e-6)
    assert score.parts["drop"] == pytest.approx(0, abs=1e-6)
    assert min(score.details["unseen"].values()) > 1 - 1e-6
    assert not score.warnings
    plain(score)


def test_trees_extrapolate_no_factor() -> None:
    """They say the last seen class of whatever lies beyond: the error is that of the distance."""
    score = generalisation_boosted(r := of_dsprites("extrapolation", 10_000))
    assert r.unseen is not None
    for name, last in (("scale", 3), ("posX", 20), ("posY", 20)):
        k = r.factor_names.index(name)
        column = r.factors[:, k]
        beyond = np.maximum(column[r.unseen] - last, 0)
        expected = 1 - (beyond**2).mean() / column.var()
        assert score.details["unseen"][name] == pytest.approx(expected, abs=0.02)
        assert score.details["seen"][name] > 0.999
    assert score.parts["drop"] > 0.15
    # within the range of what was seen they do as well as on seen rows
    assert generalisation_boosted(of_dsprites("random")).parts["drop"] < 0.01


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("kind", ["vectors", "one-hot"])
def test_a_lookup_of_combinations_scores_0_on_unseen_ones(metric: Any, kind: str) -> None:
    """On seen ones a table of the 100 of them is whole; on unseen ones R^2 is below 0, and clipped.

    A random vector is read as well as there are dimensions for the combinations.
    """
    factors = grid(*SIZES, copies=20)
    codes = lookup(factors, 400)
    if kind == "one-hot":
        _, combination = np.unique(factors, axis=0, return_inverse=True)
        codes = np.eye(combination.max() + 1)[combination.ravel()]
    score = metric(ordinal(codes, factors))
    assert score.value == 0
    assert max(score.details["unseen"].values()) < 0
    if metric is generalisation_linear:
        assert score.parts["seen"] > 0.999
        assert score.parts["drop"] > 0.999


@pytest.mark.parametrize("metric", BOTH)
def test_a_lookup_has_a_categorical_factor_at_chance(metric: Any) -> None:
    factors = grid(*SIZES, copies=20)
    codes, kinds = lookup(factors), ("ordinal", "categorical", "ordinal")
    score = metric(ordinal(codes, factors, factor_kinds=kinds))
    shape = score.details["unseen"]["posX"]
    assert score.value == pytest.approx(shape / 3)
    assert shape < 0.35  # a class of five, of which one is never seen


def test_pixels_by_principal_components_lie_between() -> None:
    """A hundred components of toy images: neither whole as the factors, nor nothing as a lookup."""
    toy = Subset(Toy(), split="extrapolation")
    rows = np.arange(len(toy))
    images = toy.images(rows).reshape(len(toy), -1) / 255.0
    left, scale, _ = np.linalg.svd(images - images.mean(axis=0), full_matrices=False)
    factors, unseen = toy.values(rows), toy.unseen(rows)

    def value(codes: np.ndarray) -> float:
        kinds = [factor.kind for factor in toy.factors]
        r = Representation.of(codes=codes, factors=factors, factor_kinds=kinds, unseen=unseen)
        numbers = list(generalisation_linear(r).details["unseen"].values())[1:]
        return float(np.mean(np.maximum(numbers, 0)))

    low, middle, high = (
        value(codes) for codes in (lookup(factors), left[:, :10] * scale[:10], 1.0 * factors)
    )
    assert low == 0
    assert high > 1 - 1e-6
    assert 0.03 < middle < 0.9


def test_a_rotation_changes_nothing_for_a_line_and_something_for_trees() -> None:
    r = of_dsprites("composition")
    deviation = r.codes.std(axis=0)
    noisy = r.codes / deviation + 0.3 * rng(1).normal(size=r.codes.shape)
    line, trees = (
        [metric(replace(r, codes=z), 2) for z in (noisy, noisy @ rotation())] for metric in BOTH
    )
    assert line[1].value == pytest.approx(line[0].value, abs=1e-3)
    assert line[1].parts == pytest.approx(line[0].parts, abs=1e-3)
    numbers = [{k: v for k, v in s.details["unseen"].items() if k != "shape"} for s in line]
    assert numbers[1] == pytest.approx(numbers[0], abs=1e-6)
    assert abs(trees[1].value - trees[0].value) > 0.01


# The score


def test_r2_is_that_of_the_protocol() -> None:
    """1 - error / variance over all rows, by scikit-learn's line on the same rows."""
    factors = draw(3_000, SIZES)
    codes = factors + 0.5 * rng(4).normal(size=factors.shape)
    r = ordinal(codes, factors)
    assert r.unseen is not None
    score = generalisation_linear(r, 5)
    order = rng(5).permutation(np.flatnonzero(~r.unseen))
    half = len(order) // 2
    line = LinearRegression().fit(codes[order[:half]], factors[order[:half]])
    squared = (line.predict(codes[r.unseen]) - factors[r.unseen]) ** 2
    expected = 1 - squared.mean(axis=0) / factors.var(axis=0)
    assert list(score.details["unseen"].values()) == pytest.approx(expected, abs=1e-3)
    seen = order[half:]
    squared = (line.predict(codes[seen]) - factors[seen]) ** 2
    expected = 1 - squared.mean(axis=0) / factors[seen].var(axis=0)
    assert list(score.details["seen"].values()) == pytest.approx(expected, abs=1e-3)
    assert score.details["measures"] == dict.fromkeys(NAMES, "r2")
    assert score.details["rows_unseen"] == r.unseen.sum()


@pytest.mark.parametrize("metric", BOTH)
def test_a_factor_below_0_counts_as_0(metric: Any) -> None:
    """One that is turned around in unseen rows has R^2 of about -3."""
    factors = draw(3_000, SIZES)
    codes = 1.0 * factors
    turned = (factors >= (4, 4, 6)).any(axis=1)
    codes[turned, 2] = 7 - codes[turned, 2]
    score = metric(ordinal(codes, factors))
    unseen = score.details["unseen"]
    assert unseen["posY"] < -1
    assert score.value == pytest.approx((unseen["scale"] + unseen["posX"]) / 3)


def test_guesses_have_the_level_of_chance() -> None:
    """Useless codes are at the chance that the details tell, and have no drop."""
    factors = draw(8_000, SIZES)
    for metric in BOTH:
        score = metric(ordinal(rng(6).normal(size=(8_000, 4)), factors))
        assert score.value == pytest.approx(score.details["chance"], abs=0.01)
        assert abs(score.parts["drop"]) < 0.02
        assert score.details["unseen"] == pytest.approx(score.details["chances"], abs=0.2)


def test_a_continuous_factor_counts_by_its_value() -> None:
    factors = draw(3_000, SIZES)
    values = factors[:, :1] + rng(7).random((3_000, 1))
    r = Representation.of(codes=values, factors=values, unseen=values[:, 0] > 4)
    score = generalisation_linear(r)
    assert r.factor_kinds == ("continuous",)
    assert score.value == pytest.approx(1, abs=1e-6)
    # by its class it would not be told whole
    assert generalisation_linear(replace(r, factor_kinds=("ordinal",))).value < 0.999


def test_a_class_that_was_never_seen_is_wrong_and_warned_of() -> None:
    factors = draw(3_000, (3, 6))
    kinds = ("categorical", "ordinal")
    unseen = factors[:, 0] == 2
    r = Representation.of(codes=1.0 * factors, factors=factors, factor_kinds=kinds, unseen=unseen)
    score = generalisation_linear(r)
    assert score.details["unseen"]["v1"] == 0
    assert score.details["unseen"]["v2"] == pytest.approx(1, abs=1e-6)
    assert any("v1: some unseen rows have a class" in line for line in score.warnings)


def test_unseen_rows_close_together_are_warned_of() -> None:
    """In the middle of a factor's range a guess of its mean is nearly right, whatever the code."""
    factors = draw(6_000, (11, 3))
    unseen = (factors[:, 0] == 5) & (factors[:, 1] == 1)
    codes = rng(1).normal(size=(6_000, 2))
    score = generalisation_linear(Representation.of(codes=codes, factors=factors, unseen=unseen))
    assert score.details["chances"]["v1"] > 0.99
    assert score.value == pytest.approx(score.details["chance"], abs=0.02)
    (line,) = score.warnings
    assert "v1, v2: unseen rows lie so close together that a constant guess has an R^2 of" in line


# Rows


def test_the_rows_of_a_score() -> None:
    r = of_dsprites("composition", 4_000)
    assert r.unseen is not None
    out = int(r.unseen.sum())
    score = generalisation_linear(r, points=300, test_points=200)
    details = score.details
    assert (details["rows_fitted"], details["rows_seen"]) == (300, 200)
    assert (details["rows_unseen"], details["rows_scored"]) == (200, 200)
    assert score.rows_used == 700
    whole = generalisation_linear(r)
    assert whole.details["rows_fitted"] + whole.details["rows_seen"] == 4_000 - out
    assert whole.details["rows_unseen"] == out


def test_further_rows_are_scored_with_the_others() -> None:
    r = of_dsprites("recombination-to-element", 8_000)
    assert r.unseen is not None
    few = int(r.unseen.sum())
    assert 20 < few < 150
    lost = r.take(np.flatnonzero(r.unseen))
    # in the further rows the code is turned around: they must count
    further = replace(lost, codes=39 - lost.codes, unseen=None).take(np.tile(np.arange(few), 3))
    both = generalisation_linear(replace(r, further=further))
    assert both.details["rows_unseen"] == 4 * few
    assert both.value < generalisation_linear(r).value - 0.1
    assert both.rows_used == len(r)
    only = replace(r.take(np.flatnonzero(~r.unseen)), further=lost)
    assert generalisation_linear(only).details["rows_unseen"] == few
    assert generalisation_linear(only).value == pytest.approx(1, abs=1e-6)
    alike = generalisation_linear(replace(r, further=further), test_points=few)
    assert alike.value == pytest.approx(1, abs=1e-6)  # those of the representation come first


def test_test_rows_and_the_posterior_are_not_read() -> None:
    r = of_dsprites("composition", 3_000)
    noise = replace(r, codes=rng(1).normal(size=r.codes.shape), unseen=None)
    posterior = replace(r, logvar=np.tanh(r.codes), test=noise)
    assert generalisation_linear(posterior).value == generalisation_linear(r).value


def test_missing_labels_are_left_out_factor_by_factor() -> None:
    r = of_dsprites("composition", 4_000)
    lost = np.where(rng(2).random(r.factors.shape) < 0.3, -1, r.factors)
    assert generalisation_linear(replace(r, factors=lost)).value == pytest.approx(1, abs=1e-6)
    assert r.unseen is not None
    lost = r.factors.copy()
    lost[r.unseen, 1] = -1  # no unseen row has a scale
    score = generalisation_linear(replace(r, factors=lost))
    assert score.details["left_out"] == ["scale"]
    assert score.details["unseen"]["scale"] is None
    lost[r.unseen] = -1
    with pytest.raises(ValueError, match="no factor has labels both in seen and in unseen rows"):
        generalisation_linear(replace(r, factors=lost))


FIRST = np.arange(500 * 5).reshape(500, 5) == 0  # the first label of the first row
CHANGES: dict[str, Callable[[Representation], Representation]] = {
    "some rows": lambda r: r.take(np.arange(1, len(r))),
    "labels": lambda r: replace(r, factors=r.factors - (r.factors + 1) * FIRST[: len(r)]).labelled(
        0
    ),
    "at most": lambda r: r.at_most(len(r) - 1, rng()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mark_stays_with_the_row(change: str) -> None:
    r = of_dsprites("extrapolation", 500)
    fewer = CHANGES[change](r)
    assert fewer.unseen is not None
    assert len(fewer.unseen) == len(fewer) == 499
    expected = split_of("extrapolation", dsprites.FACTORS).matches(np.maximum(fewer.factors, 0))
    np.testing.assert_array_equal(fewer.unseen, expected)


def test_vectors_are_read_by_their_columns() -> None:
    r = of_dsprites("extrapolation", 3_000)
    grouped = replace(r, groups=(2, 3))
    for metric in BOTH:
        assert metric(grouped).value == metric(r).value
    further = r.take(np.arange(50))
    reduced = replace(grouped, further=replace(further, groups=(2, 3))).reduced("pca1")
    assert reduced.codes.shape == (3_000, 2)
    assert reduced.unseen is not None
    assert reduced.further is not None
    np.testing.assert_allclose(reduced.further.codes, reduced.codes[:50])
    merged = replace(r, further=further).merged("orientation", 39, 0)
    assert merged.further is not None
    assert merged.further.factors[:, 2].max() < 39


def test_against_shuffled_factors_nothing_is_told() -> None:
    r = of_dsprites("composition", 3_000)
    r = replace(r, further=r.take(np.arange(100)))
    assert generalisation_linear(shuffled(r, rng())).value < 0.1


# Input


def test_marks_as_people_have_them() -> None:
    factors = draw(100, SIZES)
    codes, out = 1.0 * factors, marked(100)
    for given in (out, out.tolist(), out.astype(int), out.astype(float), out[:, None]):
        r = Representation.of(codes=codes, factors=factors, unseen=given)
        assert r.unseen is not None
        assert r.unseen.dtype == bool
        np.testing.assert_array_equal(r.unseen, out)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (marked(99), "unseen is bool \\(99,\\): it must be bool \\(100,\\)"),
        (np.arange(100), "unseen is not True or False in every row"),
        (np.where(marked(100), np.nan, 0.0), "unseen is not True or False in every row"),
        (["yes"] * 100, "unseen is not True or False in every row"),
        (np.zeros((100, 2), dtype=bool), "unseen has 2 columns: give one"),
        (True, "unseen is a bool: give an array"),
    ],
)
def test_what_is_no_mark_is_refused(given: Any, message: str) -> None:
    factors = draw(100, SIZES)
    with pytest.raises(ValueError, match=message) as caught:
        Representation.of(codes=1.0 * factors, factors=factors, unseen=given)
    assert "\n" not in str(caught.value)


def test_further_rows_must_have_the_same_latents() -> None:
    r = of_dsprites("composition", 200)
    with pytest.raises(ValueError, match="further has 4 codes, the other rows 5"):
        replace(r, further=replace(r, codes=r.codes[:, :4]))
    with pytest.raises(ValueError, match="further has a test of its own"):
        replace(r, further=replace(r, test=r.take(np.arange(9))))
    with pytest.raises(ValueError, match="factor_names of the further rows is"):
        replace(r, further=replace(r, factor_names=tuple("abcde")))
    with pytest.raises(ValueError, match="it must be bool"):
        replace(r, unseen=np.zeros(200))


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"unseen": None}, "no rows are marked as unseen: generalisation_.* --split or --hold-out"),
        ({"unseen": np.zeros(200, dtype=bool)}, "no rows are marked as unseen"),
        ({"unseen": np.ones(200, dtype=bool)}, "0 rows are seen"),
        ({"unseen": np.arange(200) > 0}, "1 rows are seen"),
        ({"factors": np.zeros((200, 5), dtype=int)}, "factors are all constant over the rows"),
    ],
)
def test_rows_that_cannot_be_scored(metric: Any, changed: dict[str, Any], message: str) -> None:
    r = replace(of_dsprites("composition", 200), **changed)
    with pytest.raises(ValueError, match=message) as caught:
        metric(r)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (generalisation_linear, {"penalty": 0.0}, "penalty=0.0"),
        (generalisation_linear, {"iterations": 0}, "iterations=0"),
        (generalisation_linear, {"points": 1}, "points=1"),
        (generalisation_linear, {"stages": 3}, "has no option 'stages'"),
        (generalisation_boosted, {"test_points": 1}, "test_points=1"),
        (generalisation_boosted, {"depth": 9}, "depth=9"),
        (generalisation_boosted, {"bins": 1}, "bins"),
    ],
)
def test_options_out_of_range(metric: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(of_dsprites("composition", 200), **options)
