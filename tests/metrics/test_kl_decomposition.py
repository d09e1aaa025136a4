"""KL decomposition: Gaussians, categories, odd posteriors, and its control variates."""

import importlib
import itertools
from typing import Any

import numpy as np
import pytest

from bench.metrics import Representation, Score, kl_decomposition
from bench.metrics.control_variates import ControlledMeans
from tests.metrics.conftest import plain, rng, with_posterior

# bench.metrics.kl_decomposition is the function.
KL_MODULE = importlib.import_module("bench.metrics.kl_decomposition")
PARTS = ("mutual_information", "total_correlation", "dimension_wise")


def decompose(representation: Representation, seed: int = 0, **options: Any) -> Score:
    return kl_decomposition(representation, rng(seed), **options)


def parts_of(score: Score) -> np.ndarray:
    return np.array([score.parts[name] for name in PARTS])


def errors_of(score: Score, which: str = "standard_errors") -> np.ndarray:
    return np.array([score.details[which][name] for name in PARTS])


def consistent(score: Score) -> None:
    """The parts are the value, and what the latents have is the parts; JSON holds all of it."""
    details = score.details
    plain(score)
    rounding = 1e-12 * max(1, abs(score.value))
    assert score.value == pytest.approx(parts_of(score).sum(), abs=rounding)
    kl, own, prior = (
        np.array(list(details[name].values()))
        for name in ("kl", "mutual_information", "dimension_wise")
    )
    assert score.value == pytest.approx(kl.sum(), abs=rounding)
    np.testing.assert_allclose(own + prior, kl, atol=rounding)
    assert score.parts["dimension_wise"] == pytest.approx(prior.sum(), abs=10 * rounding)
    shared = own.sum() - score.parts["mutual_information"]
    assert score.parts["total_correlation"] == pytest.approx(shared, abs=rounding)


# Gaussian posteriors with a Gaussian mean over the data


def gaussian(
    rows: int, width: float, correlation: float, scales: Any, seed: int
) -> tuple[Representation, np.ndarray]:
    """Means N(0, S - width^2) and posteriors of that width, so that q(z) is N(0, S): the
    representation of some rows, and the three parts for infinitely many."""
    scales, d = np.array(scales), len(scales)
    cov = correlation * np.outer(scales, scales) + (1 - correlation) * np.diag(scales**2)
    factor = np.linalg.cholesky(cov - width**2 * np.eye(d))
    codes = rng(seed).normal(size=(rows, d)) @ factor.T
    log_det, variances = np.linalg.slogdet(cov)[1], np.diag(cov)
    truth = [
        0.5 * (log_det - d * np.log(width**2)),
        0.5 * (np.log(variances).sum() - log_det),
        0.5 * (variances - np.log(variances) - 1).sum(),
    ]
    return with_posterior(codes, 2 * np.log(width)), np.array(truth)


@pytest.mark.parametrize(
    ("width", "correlation", "scales"),
    [
        (0.5, 0.0, [0.8]),
        (0.5, 0.5, [1.5, 0.7]),
        (0.3, -0.6, [1.2, 0.6]),
        (0.6, 0.3, [1.0, 1.4, 0.8, 0.7]),
        (0.9, 0.0, [1.0, 1.0, 1.0, 1.5, 1.0, 1.0]),
    ],
)
def test_a_gaussian_aggregate_posterior(width: float, correlation: float, scales: Any) -> None:
    representation, truth = gaussian(10_000, width, correlation, scales, seed=1)
    score = decompose(representation)
    consistent(score)
    np.testing.assert_array_less(np.abs(parts_of(score) - truth), 4 * errors_of(score) + 2e-3)
    assert (errors_of(score) < 0.03).all()
    # Log densities whose mean is known explain nearly all of it; without them it is 0.02 and more.
    assert errors_of(score, "sampling_errors")[2] < 0.004
    own = np.array(list(score.details["mutual_information"].values()))
    np.testing.assert_allclose(own, np.log(np.array(scales) / width), atol=0.04)
    assert not any("rows" in warning for warning in score.warnings)


def test_the_value_is_the_mean_kl() -> None:
    codes, logvar = rng(1).normal(size=(500, 3)), rng(2).normal(size=(500, 3))
    p = rng(3).dirichlet(np.ones(4), size=500)
    p[0] = [1, 0, 0, 0]
    representation = with_posterior(codes, logvar, (p,))
    score = decompose(representation)
    assert representation.kl is not None
    np.testing.assert_allclose(list(score.details["kl"].values()), representation.kl)
    by_hand = (codes**2 + np.exp(logvar) - logvar - 1).sum(axis=1) / 2
    by_hand += np.log(4) + np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
    assert score.value == pytest.approx(by_hand.mean(), abs=1e-9)
    assert score.details["standard_errors"]["value"] == pytest.approx(by_hand.std() / np.sqrt(500))
    assert score.details["latents"] == ["z1", "z2", "z3", "c1"]


@pytest.mark.parametrize(("rows", "samples"), [(2_000, 400), (2_000, 2_000), (2_000, 4_000)])
def test_standard_errors_are_those_of_other_rows_and_samples(rows: int, samples: int) -> None:
    off = []
    for seed in range(40):
        representation, truth = gaussian(rows, 0.5, 0.5, [1.5, 0.7], seed=100 + seed)
        score = decompose(representation, seed, samples=samples)
        off.append((parts_of(score) - truth) / errors_of(score))
    spread, bias = np.std(off, axis=0), np.mean(off, axis=0)
    # The deviation of a deviation of 40 is 11 %; samples that share a row are counted once.
    assert (spread < 1.35).all()
    assert (spread > (0.7 if samples <= rows else 0.4)).all()
    assert (np.abs(bias) < 0.8).all()


def test_sampling_errors_are_those_of_other_samples() -> None:
    representation, _ = gaussian(500, 0.5, 0.5, [1.5, 0.7], seed=1)
    scores = [decompose(representation, seed, samples=500) for seed in range(40)]
    spread = np.std([parts_of(score) for score in scores], axis=0)
    errors = np.mean([errors_of(score, "sampling_errors") for score in scores], axis=0)
    # Every draw has all rows, while the errors include what a draw of the rows would add.
    assert (spread < 1.3 * errors).all()
    assert (spread > 0.4 * errors).all()


def test_mutual_information_cannot_exceed_the_log_of_the_rows() -> None:
    representation, truth = gaussian(2_000, 0.05, 0.5, [1.0] * 6, seed=1)
    score = decompose(representation)
    consistent(score)
    information, correlation, prior = parts_of(score)
    assert truth[0] > 16
    assert np.log(2_000) - 0.01 < information <= np.log(2_000)
    # All that is lacking went to the total correlation.
    assert correlation - truth[1] == pytest.approx(truth[0] - information, abs=0.2)
    assert prior == pytest.approx(truth[2], abs=0.1)
    low, high = score.details["mutual_information_bounds"]
    assert low == information
    assert high > truth[0]
    assert score.details["largest_mutual_information"] == np.log(2_000)
    assert "2000 rows are too few" in score.warnings[0]


def test_bounds_hold_the_information_of_infinitely_many_rows() -> None:
    """Well below the log of the rows: too low with a sample's own row, too high without."""
    low, high = [], []
    for seed in range(6):
        representation, truth = gaussian(2_000, 0.3, 0.3, [1.0] * 5, seed=seed)
        score = decompose(representation)
        bounds = score.details["mutual_information_bounds"]
        low.append(bounds[0])
        high.append(bounds[1])
        assert score.warnings
    error = np.std(low) / np.sqrt(6)
    assert np.mean(low) < truth[0] - 4 * error
    assert np.mean(high) > truth[0] + 4 * error
    assert np.mean(low) < 0.85 * np.log(2_000)


# Categories


def confused(rows_each: int = 500) -> tuple[np.ndarray, ...]:
    """Three latents that confuse six labels in their ways; every label equally often."""
    labels = np.tile(np.arange(6), rows_each)
    first = np.eye(3)[np.arange(6) // 2] * 0.8 + 0.2 / 3
    second = np.array([[1, 0], [0.3, 0.7]])[np.arange(6) % 2]
    third = rng(5).dirichlet(np.ones(4), size=6)
    return first[labels], second[labels], third[labels]


def by_enumeration(probabilities: tuple[np.ndarray, ...]) -> np.ndarray:
    """The three parts of categories, cell by cell of the joint distribution."""
    q = {
        cell: np.prod([p[:, c] for p, c in zip(probabilities, cell, strict=True)], axis=0)
        for cell in itertools.product(*(range(p.shape[1]) for p in probabilities))
    }
    sides = [p.mean(axis=0) for p in probabilities]
    information = correlation = prior = 0.0
    for cell, each in q.items():
        joint = each.mean()
        if joint == 0:
            continue
        apart = np.prod([side[c] for side, c in zip(sides, cell, strict=True)])
        some = each[each > 0]
        information += (some * np.log(some / joint)).sum() / len(each)
        correlation += joint * np.log(joint / apart)
        prior += joint * np.log(apart * len(q))
    return np.array([information, correlation, prior])


def test_categories_are_exact() -> None:
    probabilities = confused()
    score = decompose(with_posterior(probabilities=probabilities))
    consistent(score)
    np.testing.assert_allclose(parts_of(score), by_enumeration(probabilities), atol=1e-12)
    # Another draw of rows would still move the score, other samples would not.
    again = decompose(with_posterior(probabilities=probabilities), seed=1)
    np.testing.assert_allclose(parts_of(again), parts_of(score), atol=1e-12)
    for j, p in enumerate(probabilities):
        alone = by_enumeration((p,))
        assert score.details["mutual_information"][f"c{j + 1}"] == pytest.approx(alone[0])
        assert score.details["dimension_wise"][f"c{j + 1}"] == pytest.approx(alone[2])


def test_hard_categories_of_a_label_have_its_entropy() -> None:
    labels = np.tile(np.arange(4), 500)
    score = decompose(with_posterior(probabilities=(np.eye(4)[labels], np.eye(2)[labels % 2])))
    np.testing.assert_allclose(parts_of(score), [np.log(4), np.log(2), 0], atol=1e-12)
    assert not score.warnings


def test_probabilities_that_are_rounded_count_as_shares() -> None:
    whole = rng(1).dirichlet(np.ones(3), size=400)
    rounded = np.round(whole, 3)
    shares = rounded / rounded.sum(axis=1, keepdims=True)
    first, second = (decompose(with_posterior(probabilities=(p,))) for p in (rounded, shares))
    np.testing.assert_allclose(parts_of(first), parts_of(second), atol=1e-12)


def test_many_categories_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = confused()
    codes = 0.5 * rng(1).normal(size=(3_000, 2))
    for others in ({}, {"codes": codes, "logvar": -0.3}):
        representation = with_posterior(probabilities=probabilities, **others)
        exact = decompose(representation)
        monkeypatch.setattr(KL_MODULE, "EXACT", 1)
        sampled = decompose(representation)
        monkeypatch.undo()
        consistent(sampled)
        off = np.abs(parts_of(sampled) - parts_of(exact))
        np.testing.assert_array_less(off, 4 * errors_of(sampled) + 1e-6)
        assert (0.001 < errors_of(sampled)[:2]).all()
        assert (errors_of(sampled) < 0.03).all()
    # 4^5 joint categories, all of one label.
    labels = rng(2).integers(4, size=2_000)
    many = decompose(with_posterior(probabilities=(np.eye(4)[labels],) * 5))
    np.testing.assert_allclose(parts_of(many), [np.log(4), 4 * np.log(4), 0], atol=0.02)


def test_both_kinds_of_latents_are_reported_separately() -> None:
    labels = np.tile([0, 1], 2_000)
    other = np.repeat([0, 1], 2_000)
    codes = np.column_stack([np.where(labels, 5.0, -5.0), np.where(other, 4.0, -4.0)])
    # c1 repeats z1; c2 is independent of all.
    p = np.eye(2)[labels], np.tile([0.2, 0.8], (4_000, 1))
    score = decompose(with_posterior(codes, -4.0, p))
    consistent(score)
    assert score.parts["mutual_information"] == pytest.approx(2 * np.log(2), abs=1e-3)
    assert score.parts["total_correlation"] == pytest.approx(np.log(2), abs=1e-3)
    kinds = score.details["kinds"]
    assert kinds["continuous"]["mutual_information"] == pytest.approx(2 * np.log(2), abs=1e-3)
    assert kinds["continuous"]["total_correlation"] == pytest.approx(0, abs=1e-3)
    assert kinds["categorical"]["mutual_information"] == pytest.approx(np.log(2), abs=1e-9)
    prior = np.log(2) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8)
    assert kinds["categorical"]["dimension_wise"] == pytest.approx(prior, abs=1e-9)
    assert score.details["between_kinds"] == pytest.approx(np.log(2), abs=1e-3)
    whole = sum(kinds[kind]["dimension_wise"] for kind in kinds)
    assert whole == pytest.approx(score.parts["dimension_wise"], abs=1e-9)
    assert "kinds" not in decompose(with_posterior(codes, -4.0)).details


@pytest.mark.parametrize("sampled", [False, True])
def test_a_category_that_carries_nothing_adds_nothing(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(KL_MODULE, "EXACT", 1)
    codes = 0.8 * rng(1).normal(size=(3_000, 2))
    without = decompose(with_posterior(codes, -1.0))
    added = decompose(with_posterior(codes, -1.0, (np.full((3_000, 3), 1 / 3),)))
    assert added.value == pytest.approx(without.value, abs=1e-12)
    np.testing.assert_allclose(parts_of(added), parts_of(without), atol=1e-5)


# Odd posteriors


@pytest.mark.parametrize("kind", ["code", "both"])
@pytest.mark.parametrize(
    ("codes", "logvar"),
    [
        (rng(1).normal(size=(500, 3)), -40.0),
        (rng(1).normal(size=(500, 3)), 20.0),
        (np.full((500, 3), 0.1), -40.0),
        (np.full((500, 3), 0.1), 0.0),
        (np.zeros((500, 3)), 20.0),
        (rng(1).normal(size=(500, 3)) * 1e30, -6.0),
        (rng(1).normal(size=(500, 3)) + 1e6, -6.0),
        (rng(1).normal(size=(1, 3)), -1.0),
        (rng(1).normal(size=(2, 3)), -1.0),
        (rng(1).normal(size=(500, 3)), np.where(np.arange(500) == 7, 20.0, -3.0)[:, None]),
    ],
    ids="narrow wide constant equal dead huge offset one two heavy".split(),
)
def test_odd_posteriors_have_finite_parts(codes: np.ndarray, logvar: Any, kind: str) -> None:
    p = (rng(2).dirichlet(np.ones(3), size=len(codes)),) if kind == "both" else ()
    for samples in (2, 20, 300):
        score = decompose(with_posterior(codes, logvar, p), samples=samples)
        consistent(score)
        information, correlation, prior = parts_of(score)
        assert -1e-3 <= information <= np.log(len(codes)) + 1e-9
        error = errors_of(score)
        slack = 1e-12 * score.value + 1e-3
        assert correlation > -5 * error[1] - slack
        assert prior > -5 * error[2] - slack


def test_a_row_by_itself_has_nothing_but_its_distance_from_the_prior() -> None:
    score = decompose(with_posterior(np.array([[1.0, 2.0]]), -1.0))
    by_hand = 2.5 + 2 * (np.exp(-1) + 1 - 1) / 2
    np.testing.assert_allclose(parts_of(score), [0, 0, by_hand], atol=1e-6)
    assert "rows are too few" in score.warnings[0]


def test_a_posterior_that_is_the_prior_has_no_nats() -> None:
    score = decompose(with_posterior(np.zeros((400, 4)), 0.0, (np.full((400, 5), 0.2),)))
    np.testing.assert_allclose([score.value, *parts_of(score)], 0, atol=1e-4)
    assert not any("rows" in warning for warning in score.warnings)


def test_a_posterior_of_one_row_that_is_wide_does_not_spoil_the_rest() -> None:
    """Nobody samples the row, and its variance is in the known mean of a control."""
    logvar = np.full((2_000, 2), -1.0)
    codes = rng(1).normal(size=(2_000, 2))
    narrow = decompose(with_posterior(codes, logvar), samples=200)
    drawn = rng(0).permutation(2_000)[:200]
    logvar[np.setdiff1d(np.arange(2_000), drawn)[0], 0] = 20
    heavy = decompose(with_posterior(codes, logvar), samples=200)
    np.testing.assert_allclose(parts_of(heavy)[:2], parts_of(narrow)[:2], atol=0.15)


def test_no_factor_is_used() -> None:
    codes = rng(1).normal(size=(500, 2))
    none, some = np.zeros((500, 1), dtype=int), rng(2).integers(5, size=(500, 3))
    first, second = (decompose(with_posterior(codes, -1.0, factors=f)) for f in (none, some))
    assert (first.value, first.parts) == (second.value, second.parts)


def test_rows_beyond_points_are_left_out() -> None:
    representation, truth = gaussian(5_000, 0.5, 0.5, [1.5, 0.7], seed=1)
    score = decompose(representation, points=1_000)
    assert score.details["points"] == 1_000
    assert score.value == pytest.approx(
        truth.sum(), abs=4 * score.details["standard_errors"]["value"]
    )


# Control variates


def test_controls_remove_what_they_explain() -> None:
    x = rng(1).normal(size=(4_000, 2))
    noise = rng(2).normal(size=4_000)
    terms = np.column_stack([3 + x @ [2, -1] + 0.1 * noise, noise, 3 + x @ [2, -1] + 1.1 * noise])
    means = ControlledMeans.of(terms, x + [5, -5], np.tile([5.0, -5.0], (10, 1)))
    assert means.values[0] == pytest.approx(3, abs=4 * 0.1 / np.sqrt(4_000))
    assert means.sampling_error(np.array([1, 0, 0])) == pytest.approx(0.1 / np.sqrt(4_000), rel=0.1)
    # A linear relation of terms is one of their means.
    assert means.values[0] + means.values[1] == pytest.approx(means.values[2], abs=1e-12)
    # With too few samples, or far from the known mean, controls are not used.
    for few, known in ((5, 5.0), (4_000, 6.0)):
        uncontrolled = ControlledMeans.of(terms[:few], x[:few] + 5, np.full((10, 2), known))
        np.testing.assert_allclose(uncontrolled.values, terms[:few].mean(axis=0), atol=1e-12)


def test_a_mean_of_rows_that_controls_know_has_the_error_of_rows() -> None:
    by_row = rng(1).normal(size=(100, 1))
    rows = np.arange(1_000) % 100
    means = ControlledMeans.of(by_row[rows], by_row[rows], by_row)
    assert means.sampling_error(np.ones(1)) == pytest.approx(0, abs=1e-9)
    assert means.standard_error(np.ones(1)) == pytest.approx(by_row.std() / 10)
    assert means.standard_error(-np.ones(1), by_row[:, 0]) == pytest.approx(0, abs=1e-9)
