"""DCI-ES: closed forms of the area, codes that take a known depth, and scikit-learn's forests."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from bench.metrics import Representation, dci_es
from bench.metrics.dci import Problem
from bench.metrics.dci_es import _agreements, explicitness
from tests.metrics.conftest import draw, grid, noisy, plain, represent, rng

QUICK: dict[str, Any] = {"trees": 10}


def on_grid(sizes: tuple[int, ...], codes: Any, copies: int = 200) -> Representation:
    """The same rows fitted and scored, every combination as often."""
    factors = grid(*sizes, copies=copies)
    latents = codes(factors).astype(float)
    return Representation.of(
        codes=latents, factors=factors, test={"codes": latents, "factors": factors}
    )


# The area


def test_the_explicitness_of_simple_curves() -> None:
    depths = (1, 2, 4, 9)
    assert explicitness(depths, np.full(4, 0.3), 0.5) == 1
    assert explicitness(depths, np.array([0.5, 0, 0, 0]), 0.5) == pytest.approx(1 - 0.25 / 2)
    evenly = 0.8 * (1 - (np.array(depths) - 1) / 8)
    assert explicitness(depths, evenly, 0.8) == pytest.approx(0)
    assert explicitness(depths, np.array([0.8, 0.8, 0.8, 0]), 0.8) == pytest.approx(
        1 - (3 * 0.8 + 5 * 0.4) / (0.8 * 4)
    )
    late = explicitness((0, 99, 100), np.array([1.0, 1.0, 0.0]), 1.0)
    assert late == pytest.approx(-0.99)


def test_a_probe_counts_with_the_best_that_was_weaker() -> None:
    depths = (1, 2, 3, 4)
    rising = np.array([0.2, 0.1, 0.4, 0.3])
    assert explicitness(depths, rising, 0.6) == explicitness(
        depths, np.array([0.2, 0.1, 0.1, 0.1]), 0.6
    )
    assert explicitness(depths, rising, 0.6) == pytest.approx(1 - 0.05 / 0.9)


def test_nothing_to_tell_is_explicit_at_once() -> None:
    assert explicitness((1, 2), np.zeros(2), 0.0) == 1


# Codes that take a known depth


def test_two_classes_in_one_latent_take_one_cut() -> None:
    score = dci_es(on_grid((2, 2), lambda v: v), **QUICK)
    assert score.details["losses"]["v1"][2:] == [0] * 10
    assert score.parts == {"size": 1, "informativeness": 1}
    assert score.value > 0.98
    assert not [line for line in score.warnings if "chance" in line]
    plain(score)


def test_three_classes_in_one_latent_take_two_cuts() -> None:
    """A tree of one cut tells two classes of three."""
    whole = on_grid((3,), lambda v: v)
    score = dci_es(whole, depths=(1, 2, 4), trees=1)
    assert score.details["losses"]["v1"] == pytest.approx([1 / 3, 0, 0])
    assert score.details["baselines"]["v1"] == pytest.approx(2 / 3)
    assert score.value == pytest.approx(1 - (1 / 6) / ((2 / 3) * 3 / 2))


def test_a_class_that_is_the_parity_of_latents_takes_more_capacity() -> None:
    """The exclusive or of two latents cannot be told by one cut, and hardly by the first."""
    parity = on_grid((2, 2), lambda v: np.column_stack([v[:, 0] ^ v[:, 1], v[:, 1]]))
    options = {"depths": (1, 2, 4, 8), "trees": 25}
    straight = dci_es(on_grid((2, 2), lambda v: v), **options)
    crossed = dci_es(parity, **options)
    assert crossed.details["losses"]["v1"][0] > 0.2
    assert crossed.details["losses"]["v1"][-1] == 0
    assert crossed.value < straight.value - 0.05


def test_useless_codes_are_explicit_and_a_warning_says_so() -> None:
    factors = draw(3_000, (3, 4, 5))
    score = dci_es(rng(1).normal(size=(3_000, 4)), factors, **QUICK)
    assert score.value > 0.95
    assert score.parts["informativeness"] == pytest.approx(np.mean([1 / 3, 1 / 4, 1 / 5]), abs=0.05)
    (line,) = score.warnings
    assert line.startswith("v1, v2, v3 are not told beyond chance by any probe")
    assert score.details["told"] == {"v1": False, "v2": False, "v3": False}
    half = dci_es(factors[:, :1].astype(float), factors[:, :2], **QUICK)
    (line,) = half.warnings
    assert line.startswith("v2 is not told beyond chance")


# The forest


@pytest.mark.parametrize("continuous", [False, True])
def test_a_forest_cut_off_is_a_forest_of_that_depth(continuous: bool) -> None:
    whole = noisy(3_000)
    if continuous:
        numbers = whole.factors + 0.3 * rng(5).normal(size=whole.factors.shape)
        whole = Representation.of(codes=whole.codes, factors=numbers)
    problem = Problem.of(whole, rng(), "test", 1_500, 1_500)
    task = problem.tasks[1]
    depths = (1, 2, 4, 8, 32)
    found = _agreements(task, depths, 100)
    for depth, value in zip(depths, found, strict=True):
        kind = RandomForestRegressor if continuous else RandomForestClassifier
        forest = kind(100, max_depth=depth, random_state=7).fit(task.fitted, task.labels)
        assert value == pytest.approx(forest.score(task.scored, task.truth), abs=0.03)


def test_the_depths_that_are_looked_at_change_no_forest() -> None:
    whole = noisy(1_000)
    task = Problem.of(whole, rng(), "test", 500, 500).tasks[2]
    every, some = _agreements(task, (1, 2, 3, 6), 5), _agreements(task, (2, 6), 5)
    np.testing.assert_array_equal(every[[1, 3]], some)


# Size, rows and options


def test_size_is_the_number_of_factors_over_that_of_latents() -> None:
    factors = draw(400, (3, 4))
    codes = np.tile(1.0 * factors, 4)
    assert dci_es(codes, factors, trees=1).parts["size"] == 2 / 8
    assert dci_es(codes[:, :1], factors, trees=1).parts["size"] == 1
    with_category = represent(factors, 1.0 * factors, factors[:, :1])
    assert dci_es(with_category, trees=1).parts["size"] == 2 / 3
    one = np.column_stack([factors[:, 0], np.zeros(400, dtype=int)])
    constant = dci_es(codes[:, :4], one, trees=1)
    assert constant.parts["size"] == 1 / 4
    assert constant.details["left_out"] == ["v2"]


def test_a_curve_below_zero_counts_as_zero() -> None:
    """Of sixteen classes in four binary latents, each cut tells a little until the last."""
    whole = on_grid((2,) * 8, lambda v: v, copies=4)
    factors = whole.factors @ 2 ** np.arange(8)
    both = {"codes": whole.codes, "factors": factors}
    score = dci_es(Representation.of(**both, test=both), depths=(1, 2, 6, 7, 8), trees=1)
    raw = score.details["explicitness"]["v1"]
    assert score.value == max(0.0, raw)
    assert raw < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (4,)}, r"depths is \(4,\): give at least two depths that grow, from 1"),
        ({"depths": (2, 2)}, "that grow"),
        ({"depths": (0, 2)}, "from 1"),
        ({"depths": (3, 2)}, "that grow"),
        ({"trees": 0}, "trees is 0: give at least 1"),
        ({"points": 1}, "points=1, test_points=5000: give at least 2"),
    ],
)
def test_wrong_options_are_refused_in_a_line(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        dci_es(noisy(200), **options)
    assert "\n" not in str(caught.value)
