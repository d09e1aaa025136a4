"""MIG by the aggregate posterior: information by quadrature and by hand, flaws and warnings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from bench.metrics import mig_posterior
from tests.metrics.conftest import labelled, plain, rng, with_posterior


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
    # The category by hand: 0.8, 0.1, 0.1 for each shape, and next to nothing for the other factor.
    exact = np.log(3) + 0.8 * np.log(0.8) + 0.2 * np.log(0.1)
    assert matrix[3, 0] == pytest.approx(exact, abs=2e-3)
    assert matrix[3, 1] < 0.01
    columns = np.vstack([expected, matrix[3:]])
    top = np.sort(columns, axis=0)[-2:]
    gaps = (top[1] - top[0]) / [score.details["entropies"][name] for name in ("v1", "v2")]
    estimates = list(score.details["gaps"].values())
    np.testing.assert_allclose(estimates, gaps, atol=0.03)
    assert score.value == pytest.approx(np.mean(estimates), abs=1e-12)


def test_a_latent_with_two_clusters_by_hand() -> None:
    labels = np.tile([0, 1], 1_000)
    codes = np.column_stack([np.where(labels, 9.0, -9.0), np.where(labels, 1.0, -1.0)])
    score = mig_posterior(
        with_posterior(codes, 0.0, factors=labels[:, None]), rng(), samples=20_000
    )
    grid = np.linspace(-9, 9, 20_001)
    near, far = norm.pdf(grid, 1), norm.pdf(grid, -1)
    second = (near * np.log(2 * near / (near + far))).sum() * (grid[1] - grid[0])
    assert score.value == pytest.approx(1 - second / np.log(2), abs=0.015)
    assert score.details["standard_error"] < 0.01


def test_the_standard_error_is_that_of_other_samples() -> None:
    representation = labelled()
    scores = [mig_posterior(representation, rng(seed), samples=500) for seed in range(40)]
    error = np.mean([score.details["standard_error"] for score in scores])
    assert 0.7 < np.std([score.value for score in scores]) / error < 1.3
    for name in ("v1", "v2"):
        error = np.mean([score.details["standard_errors"][name] for score in scores])
        assert 0.7 < np.std([score.details["gaps"][name] for score in scores]) / error < 1.3


def test_hard_categories_have_the_information_of_counts() -> None:
    factors = rng(1).integers([3, 4], size=(3_000, 2))
    lost = rng(2).random(3_000) < 0.4
    category = np.where(lost, rng(3).integers(5, size=3_000), factors[:, 0])
    other = rng(4).integers(2, size=3_000)
    score = mig_posterior(
        with_posterior(probabilities=(np.eye(5)[category], np.eye(2)[other]), factors=factors),
        rng(),
    )
    expected = [[mutual_info_score(c, v) for v in factors.T] for c in (category, other)]
    np.testing.assert_allclose(score.details["mutual_information"], expected, atol=1e-12)
    assert score.details["standard_error"] == 0


def test_a_narrow_latent_for_each_factor_is_perfect_and_a_wide_one_is_not() -> None:
    factors = rng(1).integers([3, 6, 10], size=(6_000, 3))
    codes = factors / factors.std(axis=0)
    values = [
        mig_posterior(with_posterior(codes, 2 * np.log(s), factors=factors), rng()).value
        for s in (0.01, 0.3, 1)
    ]
    assert 0.98 < values[0] <= 1
    assert 0.5 < values[1] < 0.9
    assert 0.1 < values[2] < 0.4
    turned = mig_posterior(
        with_posterior(codes @ np.linalg.qr(np.ones((3, 3)) + np.eye(3))[0], -9.0, factors=factors),
        rng(),
    )
    assert turned.value < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_no_gap_is_above_one(seed: int) -> None:
    """Even where the samples happen to have more of a rare value than the rows have."""
    factors = (rng(1).random((4_000, 1)) < 0.05).astype(int)
    perfect = with_posterior(10.0 * factors, -4.0, factors=factors)
    score = mig_posterior(perfect, rng(seed), samples=200)
    assert 0.6 < score.value <= 1
    assert score.details["gaps"]["v1"] == score.value


def test_chens_protocol_has_no_shape() -> None:
    representation = labelled()
    all_factors, without_shape = (
        mig_posterior(representation, rng(), categorical_factors=shape) for shape in (True, False)
    )
    assert without_shape.details["left_out"] == ["v1"]
    assert without_shape.details["gaps"] == {"v1": None, "v2": all_factors.details["gaps"]["v2"]}
    assert without_shape.value == all_factors.details["gaps"]["v2"]
    only = replace(representation, factor_kinds=("categorical",) * 2)
    with pytest.raises(ValueError, match="all constant or categorical.*mig_posterior is undefined"):
        mig_posterior(only, rng(), categorical_factors=False)


def test_a_factor_that_does_not_vary_is_left_out() -> None:
    representation = labelled()
    factors = np.column_stack([representation.factors, np.full(2_000, 2)])
    assert representation.logvar is not None
    wider = with_posterior(
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
        mig_posterior(
            with_posterior(np.zeros((9, 1)), 0.0, factors=np.ones((9, 1), dtype=int)), rng()
        )
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
def test_codes_without_information_score_nothing(seed: int) -> None:
    factors = rng(seed).integers([3, 6, 40], size=(10_000, 3))
    noise = rng(10 + seed).normal(size=(10_000, 4))
    score = mig_posterior(with_posterior(noise, -2.0, factors=factors), rng(), samples=500)
    assert score.value < 0.01
    assert not [warning for warning in score.warnings if "too few" in warning]
    for codes, logvar in ((noise, 20.0), (np.zeros_like(noise), 0.0), (np.ones_like(noise), -40.0)):
        few = mig_posterior(with_posterior(codes[:1_000], logvar, factors=factors[:1_000]), rng())
        assert few.value < 1e-3
        assert few.details["mutual_information"].min() >= 0


@pytest.mark.parametrize("random", [False, True])
def test_a_category_of_chance_does_not_raise_the_gap(random: bool) -> None:
    factors = rng(1).integers([3, 8], size=(4_000, 2))
    codes, logvar = factors[:, 1:] / 2.3, -3.0
    # Shape is not encoded at all.
    p = np.eye(3)[rng(2).integers(3, size=4_000)] if random else np.full((4_000, 3), 1 / 3)
    before = mig_posterior(with_posterior(codes, logvar, factors=factors), rng())
    after = mig_posterior(with_posterior(codes, logvar, (p,), factors), rng())
    assert after.value <= before.value + (2e-3 if random else 1e-12)


@pytest.mark.parametrize(("rows", "logvar"), [(300, -4.0), (10_000, -13.0)])
def test_rows_too_few_for_a_value_are_a_warning(rows: int, logvar: float) -> None:
    """A latent of noise: its information comes from each sample's own row."""
    factors = rng(1).integers([2, 40], size=(rows, 2))
    noise = rng(2).normal(size=(rows, 1))
    score = mig_posterior(with_posterior(noise, logvar, factors=factors), rng())
    assert score.details["mutual_information"][0, 1] > 0.05 * np.log(40)
    (warning,) = [warning for warning in score.warnings if "too few" in warning]
    assert "v2 by" in warning
    assert "\n" not in warning
    # The number in the warning is close to the estimate.
    number = float(warning.partition("v2 by ")[2].partition(" nats")[0])
    assert 0.5 < number / score.details["mutual_information"][0, 1] < 1.5


@pytest.mark.parametrize("logvar", [-40.0, 20.0])
@pytest.mark.parametrize("rows", [2, 500])
def test_odd_posteriors_have_a_gap(logvar: float, rows: int) -> None:
    factors = np.arange(rows)[:, None] % 4
    score = mig_posterior(
        with_posterior(rng(1).normal(size=(rows, 2)), logvar, factors=factors), rng()
    )
    assert 0 <= score.value <= 1
    plain(score)
