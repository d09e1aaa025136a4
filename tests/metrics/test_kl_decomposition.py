"""The metrics that read the posterior: MIG by the aggregate posterior, KL decomposition, units."""

import importlib
import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from bench.datasets import Toy
from bench.metrics import Representation, Score, active_units, kl_decomposition, mig_posterior
from bench.metrics.control_variates import ControlledMeans
from bench.metrics.posterior import log_density
from bench.score import applicable, definition

# bench.metrics.kl_decomposition is the function
KL_MODULE = importlib.import_module("bench.metrics.kl_decomposition")
PARTS = ("mutual_information", "total_correlation", "dimension_wise")
POSTERIOR = (mig_posterior, kl_decomposition)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def represent(
    codes: np.ndarray | None = None,
    logvar: Any = None,
    probabilities: tuple[np.ndarray, ...] = (),
    factors: np.ndarray | None = None,
    **more: Any,
) -> Representation:
    """A posterior; a logvar that is a number is that of all. Categories are the likeliest."""
    rows = len(codes if codes is not None else probabilities[0])
    if factors is None:
        factors = rng(50).integers(3, size=(rows, 1))
    given: dict[str, Any] = {"factors": factors, **more}
    if codes is not None:
        given |= {"codes": codes, "logvar": np.broadcast_to(logvar, codes.shape)}
    if probabilities:
        given["categories"] = np.stack([p.argmax(axis=1) for p in probabilities], axis=1)
        given["probabilities"] = np.hstack(probabilities)
        given["category_sizes"] = [p.shape[1] for p in probabilities]
    return Representation.of(**given)


def decompose(representation: Representation, seed: int = 0, **options: Any) -> Score:
    return kl_decomposition(representation, rng(seed), **options)


def parts_of(score: Score) -> np.ndarray:
    return np.array([score.parts[name] for name in PARTS])


def errors_of(score: Score, which: str = "standard_errors") -> np.ndarray:
    return np.array([score.details[which][name] for name in PARTS])


def consistent(score: Score) -> None:
    """The parts are the value, and what the latents have is the parts; JSON holds all of it."""
    details = score.details
    json.dumps(dict(details), default=lambda a: a.tolist(), allow_nan=False)
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


# Densities


@pytest.mark.parametrize("rows", [1, 300, 70_000])
@pytest.mark.parametrize("deviation", [1e-9, 1e-3, 0.1, 1.0, 1e4])
def test_the_density_of_a_mixture(deviation: float, rows: int) -> None:
    mean = rng(1).normal(size=rows)
    deviations = deviation * np.exp(0.5 * rng(2).normal(size=rows))
    picked = rng(3).integers(rows, size=6)
    z = mean[picked] + deviations[picked] * rng(4).normal(size=6)
    expected = logsumexp(norm.logpdf(z[:, None], mean, deviations), axis=1) - np.log(rows)
    np.testing.assert_allclose(log_density(z, mean, deviations), expected, atol=1e-4)


# KL decomposition: Gaussian posteriors with a Gaussian mean over the data


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
    return represent(codes, 2 * np.log(width)), np.array(truth)


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
    assert not score.warnings


def test_the_value_is_the_mean_kl() -> None:
    codes, logvar = rng(1).normal(size=(500, 3)), rng(2).normal(size=(500, 3))
    p = rng(3).dirichlet(np.ones(4), size=500)
    p[0] = [1, 0, 0, 0]
    representation = represent(codes, logvar, (p,))
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
    told = np.mean([errors_of(score, "sampling_errors") for score in scores], axis=0)
    # The rows are all in each draw: told is what a draw of the rows would add, too.
    assert (spread < 1.3 * told).all()
    assert (spread > 0.4 * told).all()


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


# KL decomposition: categories


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
    score = decompose(represent(probabilities=probabilities))
    consistent(score)
    np.testing.assert_allclose(parts_of(score), by_enumeration(probabilities), atol=1e-12)
    # Another draw of rows would still move the score, other samples would not.
    again = decompose(represent(probabilities=probabilities), seed=1)
    np.testing.assert_allclose(parts_of(again), parts_of(score), atol=1e-12)
    for j, p in enumerate(probabilities):
        alone = by_enumeration((p,))
        assert score.details["mutual_information"][f"c{j + 1}"] == pytest.approx(alone[0])
        assert score.details["dimension_wise"][f"c{j + 1}"] == pytest.approx(alone[2])


def test_hard_categories_of_a_label_have_its_entropy() -> None:
    labels = np.tile(np.arange(4), 500)
    score = decompose(represent(probabilities=(np.eye(4)[labels], np.eye(2)[labels % 2])))
    np.testing.assert_allclose(parts_of(score), [np.log(4), np.log(2), 0], atol=1e-12)
    assert not score.warnings


def test_probabilities_that_are_rounded_count_as_shares() -> None:
    whole = rng(1).dirichlet(np.ones(3), size=400)
    rounded = np.round(whole, 3)
    shares = rounded / rounded.sum(axis=1, keepdims=True)
    first, second = (decompose(represent(probabilities=(p,))) for p in (rounded, shares))
    np.testing.assert_allclose(parts_of(first), parts_of(second), atol=1e-12)


def test_many_categories_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = confused()
    codes = 0.5 * rng(1).normal(size=(3_000, 2))
    for given in ({}, {"codes": codes, "logvar": -0.3}):
        representation = represent(probabilities=probabilities, **given)
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
    many = decompose(represent(probabilities=(np.eye(4)[labels],) * 5))
    np.testing.assert_allclose(parts_of(many), [np.log(4), 4 * np.log(4), 0], atol=0.02)


def test_both_kinds_of_latents_are_told_apart() -> None:
    labels = np.tile([0, 1], 2_000)
    other = np.repeat([0, 1], 2_000)
    codes = np.column_stack([np.where(labels, 5.0, -5.0), np.where(other, 4.0, -4.0)])
    # c1 repeats z1; c2 is independent of all.
    p = np.eye(2)[labels], np.tile([0.2, 0.8], (4_000, 1))
    score = decompose(represent(codes, -4.0, p))
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
    assert "kinds" not in decompose(represent(codes, -4.0)).details


@pytest.mark.parametrize("sampled", [False, True])
def test_a_category_that_carries_nothing_adds_nothing(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(KL_MODULE, "EXACT", 1)
    codes = 0.8 * rng(1).normal(size=(3_000, 2))
    without = decompose(represent(codes, -1.0))
    added = decompose(represent(codes, -1.0, (np.full((3_000, 3), 1 / 3),)))
    assert added.value == pytest.approx(without.value, abs=1e-12)
    np.testing.assert_allclose(parts_of(added), parts_of(without), atol=1e-5)


# KL decomposition: odd posteriors


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
        score = decompose(represent(codes, logvar, p), samples=samples)
        consistent(score)
        information, correlation, prior = parts_of(score)
        assert -1e-3 <= information <= np.log(len(codes)) + 1e-9
        error = errors_of(score)
        slack = 1e-12 * score.value + 1e-3
        assert correlation > -5 * error[1] - slack
        assert prior > -5 * error[2] - slack


def test_a_row_by_itself_has_nothing_but_its_distance_from_the_prior() -> None:
    score = decompose(represent(np.array([[1.0, 2.0]]), -1.0))
    by_hand = 2.5 + 2 * (np.exp(-1) + 1 - 1) / 2
    np.testing.assert_allclose(parts_of(score), [0, 0, by_hand], atol=1e-6)
    assert "rows are too few" in score.warnings[0]


def test_a_posterior_that_is_the_prior_has_no_nats() -> None:
    score = decompose(represent(np.zeros((400, 4)), 0.0, (np.full((400, 5), 0.2),)))
    np.testing.assert_allclose([score.value, *parts_of(score)], 0, atol=1e-4)
    assert not score.warnings


def test_a_posterior_of_one_row_that_is_wide_does_not_spoil_the_rest() -> None:
    """Nobody samples the row, and its variance is in the known mean of a control."""
    logvar = np.full((2_000, 2), -1.0)
    codes = rng(1).normal(size=(2_000, 2))
    plain = decompose(represent(codes, logvar), samples=200)
    drawn = rng(0).permutation(2_000)[:200]
    logvar[np.setdiff1d(np.arange(2_000), drawn)[0], 0] = 20
    heavy = decompose(represent(codes, logvar), samples=200)
    np.testing.assert_allclose(parts_of(heavy)[:2], parts_of(plain)[:2], atol=0.15)


def test_no_factor_is_asked() -> None:
    codes = rng(1).normal(size=(500, 2))
    none, some = np.zeros((500, 1), dtype=int), rng(2).integers(5, size=(500, 3))
    first, second = (decompose(represent(codes, -1.0, factors=f)) for f in (none, some))
    assert (first.value, first.parts) == (second.value, second.parts)


def test_rows_beyond_points_are_left_out() -> None:
    representation, truth = gaussian(5_000, 0.5, 0.5, [1.5, 0.7], seed=1)
    score = decompose(representation, points=1_000)
    assert score.details["points"] == 1_000
    assert score.value == pytest.approx(
        truth.sum(), abs=4 * score.details["standard_errors"]["value"]
    )


# Control variates


def test_controls_take_out_what_they_explain() -> None:
    x = rng(1).normal(size=(4_000, 2))
    noise = rng(2).normal(size=4_000)
    terms = np.column_stack([3 + x @ [2, -1] + 0.1 * noise, noise, 3 + x @ [2, -1] + 1.1 * noise])
    means = ControlledMeans.of(terms, x + [5, -5], np.tile([5.0, -5.0], (10, 1)))
    assert means.values[0] == pytest.approx(3, abs=4 * 0.1 / np.sqrt(4_000))
    assert means.sampling_error(np.array([1, 0, 0])) == pytest.approx(0.1 / np.sqrt(4_000), rel=0.1)
    # A linear relation of terms is one of their means.
    assert means.values[0] + means.values[1] == pytest.approx(means.values[2], abs=1e-12)
    # Without samples enough, or far off what is known, means are plain.
    for few, known in ((5, 5.0), (4_000, 6.0)):
        plain = ControlledMeans.of(terms[:few], x[:few] + 5, np.full((10, 2), known))
        np.testing.assert_allclose(plain.values, terms[:few].mean(axis=0), atol=1e-12)


def test_a_mean_of_rows_that_controls_know_has_the_error_of_rows() -> None:
    by_row = rng(1).normal(size=(100, 1))
    rows = np.arange(1_000) % 100
    means = ControlledMeans.of(by_row[rows], by_row[rows], by_row)
    assert means.sampling_error(np.ones(1)) == pytest.approx(0, abs=1e-9)
    assert means.standard_error(np.ones(1)) == pytest.approx(by_row.std() / 10)
    assert means.standard_error(-np.ones(1), by_row[:, 0]) == pytest.approx(0, abs=1e-9)


# MIG by the aggregate posterior


def labelled(rows: int = 2_000) -> Representation:
    """Three latents, of different widths, and a category: each tells something of each factor."""
    factors = rng(1).integers([3, 8], size=(rows, 2))
    scaled = (factors - [1, 3.5]) / [1, 2.5]
    mixed = scaled @ np.array([[1.0, 0.4, 0.1], [0.2, 1.0, 0.5]])
    codes = mixed + 0.3 * rng(2).normal(size=(rows, 3))
    logvar = np.log([0.3, 0.5, 0.8]) * 2 + 0.2 * rng(3).normal(size=(rows, 3))
    p = 0.1 + 0.7 * np.eye(3)[factors[:, 0]]
    kinds = ("categorical", "ordinal")
    return represent(codes, logvar, (p,), factors, factor_kinds=kinds)


def density_information(mean: np.ndarray, logvar: np.ndarray, labels: np.ndarray) -> float:
    """I(z; v) of a latent whose posteriors are those of the rows, by quadrature."""
    grid = np.linspace(-8, 8, 401)
    step = grid[1] - grid[0]

    def entropy(rows: np.ndarray) -> float:
        q = norm.pdf(grid[:, None], mean[rows], np.exp(logvar[rows] / 2)).mean(axis=1)
        return -float((q * np.log(np.maximum(q, 1e-300))).sum() * step)

    shares = np.bincount(labels) / len(labels)
    within = [share * entropy(labels == value) for value, share in enumerate(shares)]
    return entropy(labels >= 0) - sum(within)


def test_information_is_that_of_the_mixtures() -> None:
    representation = labelled()
    assert representation.logvar is not None
    score = mig_posterior(representation, rng(), samples=8_000)
    matrix = score.details["mutual_information"]
    expected = np.array(
        [
            [density_information(z, s, v) for v in representation.factors.T]
            for z, s in zip(representation.codes.T, representation.logvar.T, strict=True)
        ]
    )
    assert expected.min() > 0.003
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(matrix[:3], expected, atol=0.04)
    # The category by hand: 0.8, 0.1, 0.1 for each shape, and next to nothing of the other factor.
    exact = np.log(3) + 0.8 * np.log(0.8) + 0.2 * np.log(0.1)
    assert matrix[3, 0] == pytest.approx(exact, abs=2e-3)
    assert matrix[3, 1] < 0.01
    columns = np.vstack([expected, matrix[3:]])
    top = np.sort(columns, axis=0)[-2:]
    gaps = (top[1] - top[0]) / [score.details["entropies"][name] for name in ("v1", "v2")]
    found = list(score.details["gaps"].values())
    np.testing.assert_allclose(found, gaps, atol=0.03)
    assert score.value == pytest.approx(np.mean(found), abs=1e-12)


def test_a_latent_with_two_clusters_by_hand() -> None:
    labels = np.tile([0, 1], 1_000)
    codes = np.column_stack([np.where(labels, 9.0, -9.0), np.where(labels, 1.0, -1.0)])
    score = mig_posterior(represent(codes, 0.0, factors=labels[:, None]), rng(), samples=20_000)
    grid = np.linspace(-9, 9, 20_001)
    near, far = norm.pdf(grid, 1), norm.pdf(grid, -1)
    second = (near * np.log(2 * near / (near + far))).sum() * (grid[1] - grid[0])
    assert score.value == pytest.approx(1 - second / np.log(2), abs=0.015)
    assert score.details["standard_error"] < 0.01


def test_the_standard_error_is_that_of_other_samples() -> None:
    representation = labelled()
    scores = [mig_posterior(representation, rng(seed), samples=500) for seed in range(40)]
    told = np.mean([score.details["standard_error"] for score in scores])
    assert 0.7 < np.std([score.value for score in scores]) / told < 1.3
    for name in ("v1", "v2"):
        told = np.mean([score.details["standard_errors"][name] for score in scores])
        assert 0.7 < np.std([score.details["gaps"][name] for score in scores]) / told < 1.3


def test_hard_categories_have_the_information_of_counts() -> None:
    factors = rng(1).integers([3, 4], size=(3_000, 2))
    lost = rng(2).random(3_000) < 0.4
    category = np.where(lost, rng(3).integers(5, size=3_000), factors[:, 0])
    other = rng(4).integers(2, size=3_000)
    score = mig_posterior(
        represent(probabilities=(np.eye(5)[category], np.eye(2)[other]), factors=factors), rng()
    )
    expected = [[mutual_info_score(c, v) for v in factors.T] for c in (category, other)]
    np.testing.assert_allclose(score.details["mutual_information"], expected, atol=1e-12)
    assert score.details["standard_error"] == 0


def test_a_narrow_latent_for_each_factor_is_perfect_and_a_wide_one_is_not() -> None:
    factors = rng(1).integers([3, 6, 10], size=(6_000, 3))
    codes = factors / factors.std(axis=0)
    values = [
        mig_posterior(represent(codes, 2 * np.log(s), factors=factors), rng()).value
        for s in (0.01, 0.3, 1)
    ]
    assert 0.98 < values[0] <= 1
    assert 0.5 < values[1] < 0.9
    assert 0.1 < values[2] < 0.4
    turned = mig_posterior(
        represent(codes @ np.linalg.qr(np.ones((3, 3)) + np.eye(3))[0], -9.0, factors=factors),
        rng(),
    )
    assert turned.value < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_no_gap_is_above_one(seed: int) -> None:
    """Even where the samples happen to have more of a rare value than the rows have."""
    factors = (rng(1).random((4_000, 1)) < 0.05).astype(int)
    perfect = represent(10.0 * factors, -4.0, factors=factors)
    score = mig_posterior(perfect, rng(seed), samples=200)
    assert 0.6 < score.value <= 1
    assert score.details["gaps"]["v1"] == score.value


def test_chens_protocol_has_no_shape() -> None:
    representation = labelled()
    five, four = (
        mig_posterior(representation, rng(), categorical_factors=each) for each in (True, False)
    )
    assert four.details["left_out"] == ["v1"]
    assert four.details["gaps"] == {"v1": None, "v2": five.details["gaps"]["v2"]}
    assert four.value == five.details["gaps"]["v2"]
    only = replace(representation, factor_kinds=("categorical",) * 2)
    with pytest.raises(ValueError, match="all constant or categorical.*mig_posterior is undefined"):
        mig_posterior(only, rng(), categorical_factors=False)


def test_a_factor_that_does_not_vary_is_left_out() -> None:
    representation = labelled()
    factors = np.column_stack([representation.factors, np.full(2_000, 2)])
    assert representation.logvar is not None
    wider = represent(
        representation.codes,
        representation.logvar,
        (representation.probabilities,),  # type: ignore[arg-type]
        factors,
        factor_sizes=(3, 8, 4),
    )
    before, after = (mig_posterior(r, rng()) for r in (representation, wider))
    assert after.value == before.value
    assert after.details["left_out"] == ["v3"]
    with pytest.raises(ValueError, match="all constant over.*mig_posterior is undefined") as caught:
        mig_posterior(represent(np.zeros((9, 1)), 0.0, factors=np.ones((9, 1), dtype=int)), rng())
    assert "\n" not in str(caught.value)


def test_rows_without_a_label_have_no_part_in_a_factor() -> None:
    representation = labelled(4_000)
    partly = representation.factors.copy()
    lost = rng(9).random(4_000) < 0.5
    partly[lost, 1] = -1
    # Where the label is missing the codes are junk.
    junk = np.where(lost[:, None], 50.0, representation.codes)
    whole = mig_posterior(replace(representation, codes=junk, factors=partly), rng())
    alone = mig_posterior(representation.take(np.flatnonzero(~lost)), rng(1))
    np.testing.assert_allclose(
        whole.details["mutual_information"][:, 1],
        alone.details["mutual_information"][:, 1],
        atol=0.1,
    )
    assert whole.details["mutual_information"][3, 1] == pytest.approx(
        alone.details["mutual_information"][3, 1], abs=1e-12
    )
    known = representation.factors[~lost, 1]
    assert whole.details["entropies"]["v2"] == pytest.approx(mutual_info_score(known, known))
    assert 0 < whole.details["standard_error"] < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_codes_that_tell_nothing_score_nothing(seed: int) -> None:
    factors = rng(seed).integers([3, 6, 40], size=(10_000, 3))
    noise = rng(10 + seed).normal(size=(10_000, 4))
    score = mig_posterior(represent(noise, -2.0, factors=factors), rng(), samples=500)
    assert score.value < 0.01
    assert not score.warnings
    for codes, logvar in ((noise, 20.0), (np.zeros_like(noise), 0.0), (np.ones_like(noise), -40.0)):
        few = mig_posterior(represent(codes[:1_000], logvar, factors=factors[:1_000]), rng())
        assert few.value < 1e-3
        assert few.details["mutual_information"].min() >= 0


@pytest.mark.parametrize("random", [False, True])
def test_a_category_of_chance_does_not_raise_the_gap(random: bool) -> None:
    factors = rng(1).integers([3, 8], size=(4_000, 2))
    codes, logvar = factors[:, 1:] / 2.3, -3.0
    # Shape is not encoded at all.
    p = np.eye(3)[rng(2).integers(3, size=4_000)] if random else np.full((4_000, 3), 1 / 3)
    before = mig_posterior(represent(codes, logvar, factors=factors), rng())
    after = mig_posterior(represent(codes, logvar, (p,), factors), rng())
    assert after.value <= before.value + (2e-3 if random else 1e-12)


@pytest.mark.parametrize(("rows", "logvar"), [(300, -4.0), (10_000, -13.0)])
def test_rows_too_few_for_a_value_are_a_warning(rows: int, logvar: float) -> None:
    """A latent of noise: what it tells comes from each sample's own row."""
    factors = rng(1).integers([2, 40], size=(rows, 2))
    noise = rng(2).normal(size=(rows, 1))
    score = mig_posterior(represent(noise, logvar, factors=factors), rng())
    assert score.details["mutual_information"][0, 1] > 0.05 * np.log(40)
    (said,) = score.warnings
    assert "too few" in said
    assert "v2 by" in said
    assert "\n" not in said
    # The number told is near what came out.
    number = float(said.partition("v2 by ")[2].partition(" nats")[0])
    assert 0.5 < number / score.details["mutual_information"][0, 1] < 1.5


@pytest.mark.parametrize("logvar", [-40.0, 20.0])
@pytest.mark.parametrize("rows", [2, 500])
def test_odd_posteriors_have_a_gap(logvar: float, rows: int) -> None:
    factors = np.arange(rows)[:, None] % 4
    score = mig_posterior(represent(rng(1).normal(size=(rows, 2)), logvar, factors=factors), rng())
    assert 0 <= score.value <= 1
    json.dumps(dict(score.details), default=lambda a: a.tolist(), allow_nan=False)


# What both refuse


@pytest.mark.parametrize("metric", POSTERIOR)
@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"logvar": None}, {}, "give `logvar`"),
        ({"probabilities": None}, {}, "give `probabilities`"),
        ({"probabilities": np.full((2_000, 3), 0.5)}, {}, "c1 .* take the softmax"),
        ({"probabilities": np.tile([1.5, 0.5, -1.0], (2_000, 1))}, {}, "c1 .* take the softmax"),
        ({"logvar": np.full((2_000, 3), -80.0)}, {}, "logvar runs from -80 to -80"),
        ({"logvar": np.full((2_000, 3), 60.0)}, {}, "logvar runs from 60 to 60"),
        ({}, {"samples": 1}, "samples is 1: give at least 2"),
        ({}, {"points": 1}, "points is 1: give at least 2"),
    ],
)
def test_what_is_no_posterior_is_refused(
    metric: Any, changed: dict[str, Any], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        metric(replace(labelled(), **changed), rng(), **options)
    assert "\n" not in str(caught.value)


def test_models_have_a_posterior_to_read() -> None:
    names = ["mig_posterior", "kl_decomposition", "active_units"]
    good, refused = applicable([definition(name) for name in names], Toy(image_size=32))
    assert [asked["name"] for asked in good] == names
    assert refused == {}


# Active units


def test_units_are_active_whose_means_vary() -> None:
    deviations = np.array([0.0, 0.05, 0.099, 0.101, 2.0])
    unit = rng(1).normal(size=1_000)
    unit = (unit - unit.mean()) / unit.std()
    score = active_units(represent(unit[:, None] * deviations + 0.1, -1.0), rng())
    assert score.value == 2
    assert score.parts == {"share": 2 / 5}
    assert score.details["active"] == ["z4", "z5"]
    assert score.details["inactive"] == ["z1", "z2", "z3"]
    np.testing.assert_allclose(list(score.details["activity"].values()), deviations**2, atol=1e-12)
    assert active_units(represent(unit[:, None] * deviations, -1.0), rng(), threshold=0).value == 4
    assert not score.warnings


def test_a_narrow_latent_of_small_scale_is_active_by_kl_alone() -> None:
    representation = represent(0.05 * rng(1).normal(size=(500, 2)), np.array([-9.0, -0.01]))
    score = active_units(representation, rng())
    assert score.value == 0
    assert score.details["active_by_kl"] == ["z1"]
    assert active_units(representation, rng(), min_kl=9).details["active_by_kl"] == []
    assert active_units(replace(representation, kl=None), rng()).details["active_by_kl"] is None


def test_a_category_is_one_unit() -> None:
    labels = np.tile(np.arange(4), 100)
    hard, weak, uniform = np.eye(4)[labels], np.full((400, 4), 0.25), np.full((400, 4), 0.25)
    weak = weak + 0.05 * (np.eye(4)[labels] - 0.25)
    representation = represent(probabilities=(hard, weak, uniform))
    score = active_units(representation, rng())
    assert score.details["active"] == ["c1"]
    np.testing.assert_allclose(
        list(score.details["activity"].values()), [0.75, 0.05**2 * 0.75, 0], atol=1e-12
    )
    # Rounding decides what category a uniform posterior takes.
    chance = rng(1).integers(4, size=400)
    categories = np.column_stack([labels, labels, chance])
    known = replace(representation, categories=categories)
    assert active_units(known, rng()).value == 1
    plain = active_units(replace(known, probabilities=None, kl=None), rng())
    assert plain.value == 3
    shares = np.bincount(chance) / 400
    assert plain.details["activity"]["c3"] == pytest.approx(1 - (shares**2).sum())
    assert "give `probabilities`" in plain.warnings[0]


def test_odd_codes_have_units() -> None:
    one = active_units(represent(np.ones((1, 3)), 0.0), rng())
    assert (one.value, one.parts["share"]) == (0, 0)
    assert active_units(represent(np.full((100, 3), 0.1), -40.0), rng(), threshold=0).value == 0
    with pytest.raises(ValueError, match="threshold is -1: give at least 0"):
        active_units(labelled(), rng(), threshold=-1)
    logits = replace(labelled(), probabilities=np.full((2_000, 3), 0.9))
    with pytest.raises(ValueError, match="take the softmax"):
        active_units(logits, rng())
