"""Metrics on representations whose score is known by hand."""

from typing import Any

import numpy as np
import pytest

from bench.metrics import METRICS, factorvae_score, mig
from bench.metrics.factorvae_score import _gini
from tests.metrics.conftest import WITHOUT_FACTORS, draw, grid, plain, represent, rng, score

ROWS = 20_000


# MIG


def test_mig_is_exactly_one_if_bins_separate_every_class() -> None:
    factors = grid(3, 4, 5)
    score = mig(represent(factors, -3.0 * factors + 1), rng())
    assert score.value == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(
        score.details["mutual_information"], np.diag(np.log([3, 4, 5])), atol=1e-12
    )


def test_mig_of_a_perfect_code_is_limited_by_its_bins() -> None:
    factors = draw(ROWS)
    values = [mig(represent(factors, 1.0 * factors), rng(), bins=b).value for b in (10, 20, 50)]
    assert values == pytest.approx([0.786, 0.895, 0.987], abs=0.01)


def test_mig_of_constant_codes_and_of_duplicated_latents_is_zero() -> None:
    factors = draw(2_000)
    assert mig(represent(factors, np.full((2_000, 3), 0.1)), rng()).value == 0
    twice = np.concatenate([factors, 5.0 - 2.0 * factors], axis=1)
    assert mig(represent(factors, twice), rng()).value < 0.02
    assert mig(represent(factors, np.tile(factors, 2) * 1.0), rng()).value == 0


def test_mig_takes_a_category_as_one_exact_latent() -> None:
    factors = draw(ROWS)
    shape = (factors[:, 0] + 1) % 3
    score = mig(represent(factors, 1.0 * factors[:, 1:], shape), rng())
    assert score.details["gaps"]["v0"] == pytest.approx(1, abs=0.01)
    assert score.details["latents"] == ["z1", "z2", "z3", "z4", "c1"]
    assert score.details["mutual_information"].argmax(axis=0)[0] == 4
    split = mig(represent(factors, np.hstack([factors[:, 1:], np.eye(3)[shape]])), rng())
    assert split.details["gaps"]["v0"] < 0.1


def test_mig_of_one_latent_has_no_second() -> None:
    factors = draw(2_000, (4,))
    assert mig(represent(factors, 1.0 * factors), rng()).value == pytest.approx(1)


def test_mig_draws_points_only_if_there_are_more() -> None:
    representation = represent(draw(3_000), rng(1).normal(size=(3_000, 4)))
    assert mig(representation, rng(0)).value == mig(representation, rng(1)).value
    drawn = [mig(representation, rng(seed), points=1_000) for seed in (0, 1)]
    assert drawn[0].details["points"] == 1_000
    assert drawn[0].value != drawn[1].value
    distinct = np.arange(3_000)[:, None]
    score = mig(represent(distinct, 1.0 * distinct), rng(), points=1_000)
    assert score.details["entropies"]["v0"] == pytest.approx(np.log(1_000))  # no row twice


# FactorVAE score


def test_factorvae_score_of_perfect_constant_and_useless_codes() -> None:
    factors = draw(ROWS)
    perfect = factorvae_score(represent(factors, 1.0 * factors), rng())
    assert perfect.value == 1
    assert np.count_nonzero(perfect.details["vote_matrix"]) == 5
    assert perfect.details["vote_matrix"].sum() == 10_000
    constant = factorvae_score(represent(factors, np.full((ROWS, 3), 0.1)), rng())
    assert constant.value == 0
    assert constant.details["note"] == "no latent is active"
    noise = factorvae_score(represent(factors, rng(1).normal(size=(ROWS, 10))), rng())
    assert noise.value == pytest.approx(0.2, abs=0.03)
    assert noise.details["chance"] == 0.2


@pytest.mark.parametrize("kl", [None, np.array([2.0] * 5 + [3.0] * 2 + [0.01])])
def test_collapsed_latents_win_no_votes(kl: np.ndarray | None) -> None:
    factors = draw(ROWS)
    codes = np.hstack([factors, np.full((ROWS, 2), 0.1), 1e-3 * rng(1).normal(size=(ROWS, 1))])
    # Only one category: its Gini variance is 0 as well.
    if kl is not None:
        kl = np.append(kl, 1.0)
    score = factorvae_score(represent(factors, codes, np.zeros(ROWS, dtype=int), kl=kl), rng())
    assert score.value == 1
    assert score.details["active"] == ["z1", "z2", "z3", "z4", "z5"]
    assert score.details["protocol"]["pruning"] == ("std" if kl is None else "kl")


def test_four_of_five_factors_score_080_unless_noise_inflates_it() -> None:
    factors = draw(ROWS)
    four = 1.0 * factors[:, 1:]

    def value(*args: Any, **more: Any) -> float:
        return factorvae_score(represent(factors, *args, **more), rng()).value

    assert value(four) == pytest.approx(0.796, abs=0.015)
    category = rng(1).integers(3, size=ROWS)
    assert value(np.hstack([four, np.eye(3)[category]])) == pytest.approx(0.882, abs=0.015)
    # As one latent a useless category must add nothing.
    assert value(four, category) == pytest.approx(0.80, abs=0.015)
    noisy = np.hstack([four, rng(2).normal(size=(ROWS, 6))])
    assert value(noisy) == pytest.approx(0.968, abs=0.015)
    assert value(noisy, kl=np.array([2.0] * 4 + [0.05] * 6)) == pytest.approx(0.796, abs=0.015)


def test_a_category_can_be_the_latent_of_a_factor() -> None:
    factors = draw(ROWS)
    score = factorvae_score(represent(factors, 1.0 * factors[:, 1:], 2 - factors[:, 0]), rng())
    assert score.value == 1
    assert score.details["assigned"]["c1"] == "v0"
    only = factorvae_score(represent(factors, None, factors), rng())
    assert only.value == 1


def test_gini_variance_is_half_the_share_of_unequal_pairs() -> None:
    labels = np.array([0, 0, 0, 2, 2, 1, 1])
    pairs = [labels[p] != labels[q] for p in range(7) for q in range(7) if p != q]
    assert _gini(np.bincount(labels)) == pytest.approx(np.mean(pairs) / 2)


def test_latents_without_a_training_vote_are_never_right() -> None:
    factors = draw(5_000)
    representation = represent(factors, 1.0 * factors)
    values = [factorvae_score(representation, rng(s), votes=1).value for s in range(10)]
    # Guessing the first factor for them would give 0.36.
    assert np.mean(values) == pytest.approx(0.2, abs=0.02)


def test_the_same_votes_can_be_scored() -> None:
    factors = draw(5_000)
    noise = represent(factors, rng(1).normal(size=(5_000, 40)))
    options = {"votes": 200, "batch": 100}
    same = factorvae_score(noise, rng(), test_votes=0, **options)
    fresh = factorvae_score(noise, rng(), test_votes=5_000, **options)
    table = same.details["vote_matrix"]
    assert same.value == pytest.approx(table.max(axis=1).sum() / 200)
    assert same.value > fresh.value + 0.1
    assert not same.details["protocol"]["fresh_votes"]


def test_a_factor_without_two_rows_to_a_value_is_left_out() -> None:
    factors = np.column_stack([draw(300, (3, 4)), np.arange(300), np.zeros(300, dtype=int)])
    score = factorvae_score(represent(factors, 1.0 * factors[:, :2]), rng())
    assert score.details["left_out"] == ["v2", "v3"]
    assert score.value == 1
    assert plain(score)["recall"] == {"v0": 1.0, "v1": 1.0, "v2": None, "v3": None}


# All


@pytest.mark.parametrize("name", [name for name in METRICS if name not in WITHOUT_FACTORS])
def test_a_factor_that_does_not_vary_is_left_out(name: str) -> None:
    factors = draw(2_000, (3, 4, 5))
    factors[:, 2] = 1
    kinds = ("categorical",) * 3
    sharp = np.full((2_000, 3), -6.0)
    perfect = represent(factors, 1.0 * factors, factor_kinds=kinds, logvar=sharp)
    result = score(name, perfect)
    assert plain(result)["left_out"] == ["v2"]
    # One line through a code separates only its outer classes: sap is small by construction.
    assert result.value > (0.5 if name == "sap" else 0.98)
    noise = rng().normal(size=(2_000, 2))
    constant = represent(0 * factors, noise, logvar=0 * noise)
    with pytest.raises(ValueError, match="undefined"):
        METRICS[name](constant, rng())


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (mig, {"bins": 1}),
        (mig, {"points": 0}),
        (factorvae_score, {"votes": 0}),
        (factorvae_score, {"test_votes": -1}),
        (factorvae_score, {"batch": 1}),
    ],
)
def test_options_out_of_range_are_refused(metric: Any, options: dict[str, int]) -> None:
    factors = draw(100)
    with pytest.raises(ValueError, match="at least"):
        metric(represent(factors, 1.0 * factors), rng(), **options)
