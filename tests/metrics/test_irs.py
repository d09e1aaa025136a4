"""IRS on representations whose score is known by hand."""

from typing import Any

import numpy as np
import pytest

from bench.metrics.irs import irs
from tests.metrics.conftest import grid, represent, rng


def test_irs_of_perfect_constant_and_merged_codes() -> None:
    factors = grid(3, 4, 5)
    for codes in (-3.0 * factors[:, ::-1] + 1, np.hstack([factors, factors]), factors[:, :1]):
        score = irs(represent(factors, 1.0 * codes), rng())
        assert score.value == 1
        assert score.details["active_count"] == codes.shape[1]
    constant = irs(represent(factors, np.full((60, 3), 0.1), np.zeros(60, dtype=int)), rng())
    assert (constant.value, constant.details["active_count"]) == (0, 0)
    assert constant.details["constant"] == ["z1", "z2", "z3", "c1"]


def test_irs_by_hand() -> None:
    factors = grid(2, 2)
    x, y = factors.T
    # Values 0, 1, 3, 4 around 2: with y fixed x moves them by 0.5, with x fixed y by 1.5.
    score = irs(represent(factors, (x + 3.0 * y)[:, None]), rng(), quantile=1)
    np.testing.assert_allclose(score.details["irs"], [[0.25, 0.75]])
    assert score.value == pytest.approx(0.75)
    assert score.details["parents"] == {"z1": "v1"}
    # x has IRS 1 and weight 0.5; x + y moves by 0.5 of 1, and weighs 1; a constant nothing.
    codes = np.column_stack([x, x + y, 0.0 * x])
    score = irs(represent(factors, codes), rng(), quantile=1)
    assert score.details["scores"] == {"z1": 1, "z2": 0.5}
    assert score.details["weights"] == {"z1": 0.5, "z2": 1}
    assert score.value == pytest.approx(2 / 3)
    assert score.details["active"] == ["z1", "z2"]


def test_the_quantile_of_irs_forgives_outliers() -> None:
    factors = grid(2, 2, copies=1_000)
    codes = 1.0 * factors[:, :1]
    codes[:4] += 50  # one row in a thousand
    values = [irs(represent(factors, codes), rng(), quantile=q).value for q in (1.0, 0.99)]
    assert values[0] < 0.1
    assert values[1] > 0.98


def test_irs_takes_a_category_as_one_latent() -> None:
    factors = grid(3, 4, copies=200)
    x, y = factors.T
    perfect = irs(represent(factors, None, np.array([2, 0, 1])[x]), rng())
    assert (perfect.value, perfect.details["parents"]) == (1, {"c1": "v0"})
    # 12 equal categories; with x fixed 4 of them: 1 - (3/4) / (11/12), with y fixed 3.
    both = irs(represent(factors, None, 4 * x + y), rng())
    np.testing.assert_allclose(both.details["irs"], [[2 / 11, 3 / 11]], atol=1e-3)
    # It weighs as much as the mean code: x and 9 x, both perfect, and one without information.
    codes = np.column_stack([x, 9.0 * x])
    noise = rng(1).integers(3, size=len(x))
    mixed = irs(represent(factors, codes, noise), rng())
    assert mixed.details["weights"] == {"z1": 1, "z2": 9, "c1": 5}
    assert mixed.value == pytest.approx(10 / 15, abs=0.005)


@pytest.mark.parametrize("share", [1 / 3, 0.03, 0.004])
def test_a_useless_category_is_not_robust_however_rare(share: float) -> None:
    factors = grid(3, 6, 8, copies=60)
    category = (rng(1).random(len(factors)) < share).astype(int)
    # As a quantile of distances a share below 1 % would look like a constant.
    assert irs(represent(factors, None, category), rng()).value < 0.02
    # Nor if a value has only four rows, in which a category varies less by 1/4 unless corrected.
    few = np.arange(2_000)[:, None] // 4
    assert irs(represent(few, None, category[:2_000]), rng()).value < 0.1


def test_irs_leaves_out_what_cannot_be_fixed() -> None:
    factors = np.column_stack([grid(5, 60), np.arange(300), np.zeros(300, dtype=int)])
    score = irs(represent(factors, rng(1).normal(size=(300, 2))), rng())
    assert score.details["left_out"] == ["v2", "v3"]  # one row per value would be perfectly robust
    assert not score.details["irs"][:, 2:].any()
    assert score.value < 0.6
    drawn = irs(represent(factors, 1.0 * factors), rng(), points=200)
    assert drawn.details["points"] == 200


def test_irs_is_never_below_zero() -> None:
    # All but one row of each value lie at an end, far from the mean of the value.
    factors = np.repeat([[0], [1]], 100, axis=0)
    codes = np.where(factors == 0, 1.0, -1.0)
    codes[[0, 100]] *= -1
    assert irs(represent(factors, codes), rng(), quantile=1).value == 0


@pytest.mark.parametrize("options", [{"quantile": 0.0}, {"quantile": 1.1}, {"points": 1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    factors, name = grid(4, 4), next(iter(options))
    with pytest.raises(ValueError, match=f"{name} is .*give"):
        irs(represent(factors, 1.0 * factors), rng(), **options)


def test_constant_factors_leave_nothing_to_score() -> None:
    nothing = represent(np.zeros((100, 2), dtype=int), rng().normal(size=(100, 2)))
    with pytest.raises(ValueError, match="irs is undefined"):
        irs(nothing, rng())
