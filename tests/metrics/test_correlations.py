"""MCC and total correlation on representations whose score is known by hand."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import spearmanr

from bench.metrics.mcc import mcc
from bench.metrics.total_correlation import total_correlation
from tests.metrics.conftest import grid, represent, rng


def units(factors: np.ndarray) -> np.ndarray:
    """Factors with mean 0 and variance 1."""
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


# MCC


def test_mcc_of_perfect_permuted_and_missing_latents() -> None:
    factors = grid(3, 4, 5)
    for codes in (factors, -3.0 * factors[:, [2, 0, 1]] + 1, np.hstack([0 * factors, factors])):
        assert mcc(represent(factors, 1.0 * codes), rng()).value == pytest.approx(1)
    # Two latents for three factors, and one factor twice: the third factor has none.
    for codes in (factors[:, :2], factors[:, [0, 1, 1]]):
        score = mcc(represent(factors, 1.0 * codes), rng())
        assert score.value == pytest.approx(2 / 3)
        assert score.details["matched"]["v2"] == pytest.approx(0, abs=1e-12)
    assert mcc(represent(factors, 1.0 * factors[:, :2]), rng()).details["assigned"]["v2"] is None
    assert mcc(represent(factors, np.full((60, 3), 0.1)), rng()).value == 0
    noise = rng(1).normal(size=(6_000, 10))
    assert mcc(represent(grid(3, 4, 5, copies=100), noise), rng()).value < 0.04


def test_mcc_of_merged_and_rotated_codes() -> None:
    factors = grid(4, 4)
    x, y = units(factors).T
    # cos 45 for either, but one latent is assigned to only one factor.
    merged = mcc(represent(factors, (x + y)[:, None]), rng())
    assert merged.value == pytest.approx(0.5**0.5 / 2)
    rotated = mcc(represent(factors, np.column_stack([x + y, x - y])), rng())
    assert rotated.value == pytest.approx(0.5**0.5)


def test_mcc_takes_the_best_assignment_not_the_greedy_one() -> None:
    factors = grid(3, 4, 5)
    x, y, lost = units(factors).T
    codes = np.column_stack([0.8 * x + 0.6 * y, 0.6 * x + 0.8 * lost])
    score = mcc(represent(factors[:, :2], codes), rng())
    # Greedy would take 0.8 and leave 0.
    assert score.details["matched"] == {"v0": pytest.approx(0.6), "v1": pytest.approx(0.6)}
    assert score.details["assigned"] == {"v0": "z2", "v1": "z1"}


def test_mcc_of_ranks_is_insensitive_to_a_monotone_warp() -> None:
    factors = grid(6, 10)
    warped = np.exp(1.0 * factors)
    assert mcc(represent(factors, warped), rng(), correlation="spearman").value == pytest.approx(1)
    assert mcc(represent(factors, warped), rng()).value < 0.8
    codes = rng(1).normal(size=(60, 1)).round(1) + factors[:, :1]
    score = mcc(represent(factors[:, :1], codes), rng(), correlation="spearman")
    assert score.value == pytest.approx(spearmanr(codes[:, 0], factors[:, 0])[0])


def test_mcc_of_categories() -> None:
    factors = grid(4, 3, copies=1_000)
    x, shape = factors.T
    # Halves of 0 to 3: the correlation ratio is 0.8 (see SAP).
    half = mcc(represent(factors[:, :1], None, (x + 2) % 4 // 2), rng(), points=20_000)
    assert half.value == pytest.approx(0.8**0.5, abs=1e-4)

    def of_shape(codes: Any = None, category: Any = None) -> float:
        truth = represent(factors[:, 1:], codes, category, kind="categorical")
        return mcc(truth, rng(), points=20_000).value

    assert of_shape(category=(shape + 1) % 3) == pytest.approx(1)
    assert of_shape(category=2 * shape + rng(1).integers(2, size=len(shape))) == pytest.approx(1)
    # Two of three classes in one category: phi^2 is 1, of 2.
    assert of_shape(category=np.minimum(shape, 1)) == pytest.approx(0.5**0.5, abs=1e-3)
    assert of_shape(np.array([2.0, 7.0, 0.0])[shape][:, None]) == pytest.approx(1)
    assert of_shape(1.0 * x[:, None]) == 0


@pytest.mark.parametrize("kind", ["ordinal", "categorical"])
def test_a_useless_category_adds_nothing_to_mcc(kind: str) -> None:
    factors, seeds = grid(3, 6, 40, copies=10), range(5)
    many = [rng(s).integers(50, size=len(factors)) for s in seeds]
    alone = [mcc(represent(factors, None, c, kind), rng()).value for c in many]
    # Without the correction for chance 49 / 7,200 of the variance: 0.08 for each factor.
    assert np.mean(alone) < 0.015
    codes = 1.0 * factors[:, :2]
    before, after = (mcc(represent(factors, codes, c, kind), rng()).value for c in (None, many[0]))
    assert before == pytest.approx(2 / 3)
    assert after == pytest.approx(before, abs=0.015)


# Total correlation


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.99])
def test_total_correlation_of_two_latents_by_hand(rho: float) -> None:
    factors = grid(10, 10)
    x, y = units(factors).T
    codes = np.column_stack([x, rho * x + (1 - rho**2) ** 0.5 * y])
    score = total_correlation(represent(factors, codes), rng())
    assert score.value == pytest.approx(-0.5 * np.log(1 - rho**2))
    # Eigenvalues 1 + rho and 1 - rho; the covariance is the unbiased one.
    expected = 4 - 2 * ((1 + rho) ** 0.5 + (1 - rho) ** 0.5)
    assert score.parts["wasserstein"] == pytest.approx(expected * 100 / 99, abs=1e-9)
    scaled = total_correlation(represent(factors, [7, -1e-4] * codes + 3), rng())
    assert scaled.value == pytest.approx(score.value, abs=1e-9)


def test_wasserstein_correlation_is_the_root_of_a_matrix() -> None:
    codes = rng(1).normal(size=(500, 4)) @ rng(2).normal(size=(4, 4))
    covariance = np.cov(codes.T)
    root = sqrtm(covariance * np.diag(covariance)[:, None])
    score = total_correlation(represent(grid(500), codes), rng())
    expected = 2 * np.trace(covariance) - 2 * np.trace(root).real
    assert score.parts["wasserstein"] == pytest.approx(expected)
    share = score.details["wasserstein_share"]
    assert share == pytest.approx(expected / np.trace(covariance))


def test_total_correlation_of_copies_is_finite_and_says_why() -> None:
    factors = grid(10, 10)
    codes = np.column_stack([units(factors), 5 - 2.0 * factors[:, 0]])
    score = total_correlation(represent(factors, codes), rng())
    # Eigenvalues 2, 1 and 0, which is raised to the floor.
    assert score.value == pytest.approx(-0.5 * np.log(2 * 1e-6))
    assert score.details["floored"] == 1
    assert "infinite" in score.details["note"]
    lower = total_correlation(represent(factors, codes), rng(), floor=1e-8)
    assert lower.value == pytest.approx(score.value + np.log(10))


def test_total_correlation_leaves_out_categories_and_constants() -> None:
    factors = grid(10, 10)
    codes = np.column_stack([factors, np.full((100, 2), 0.1)])
    score = total_correlation(represent(factors, codes, factors[:, 0]), rng())
    assert score.value == pytest.approx(0, abs=1e-12)
    assert (score.details["left_out"], score.details["constant"]) == (["c1"], ["z3", "z4"])
    for nothing in (None, np.full((100, 2), 0.1)):
        empty = total_correlation(represent(factors, nothing, factors), rng())
        assert (empty.value, empty.parts) == (0, {"wasserstein": 0})
        assert "0 continuous latents vary" in empty.details["note"]
    one = represent(factors[:1], np.ones((1, 2)))
    assert total_correlation(one, rng()).value == 0


# All


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (mcc, {"correlation": "kendall"}),
        (mcc, {"points": 1}),
        (total_correlation, {"floor": 0.0}),
        (total_correlation, {"floor": 1.0}),
        (total_correlation, {"points": 1}),
    ],
)
def test_options_out_of_range_are_refused(metric: Any, options: dict[str, Any]) -> None:
    factors, name = grid(4, 4), next(iter(options))
    with pytest.raises(ValueError, match=f"{name} is .*(give|use)"):
        metric(represent(factors, 1.0 * factors), rng(), **options)


def test_constant_factors_leave_nothing_to_correlate() -> None:
    nothing = represent(np.zeros((100, 2), dtype=int), rng().normal(size=(100, 2)))
    with pytest.raises(ValueError, match="mcc is undefined"):
        mcc(nothing, rng())
