"""BetaVAE score and SAP on representations whose score is known by hand."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from bench.metrics.betavae_score import _classify, _points, betavae_score
from bench.metrics.factorvae_score import factorvae_score
from bench.metrics.pools import Pools
from bench.metrics.sap import sap
from bench.metrics.svm import fit
from tests.metrics.conftest import draw, grid, represent, rng

ROWS = 10_000
FEW = {"points": 3_000, "test_points": 3_000}


# BetaVAE score


def beta(*args: Any, **more: Any) -> float:
    return betavae_score(represent(*args, **more), rng(), **FEW).value


def test_betavae_score_of_perfect_constant_and_useless_codes() -> None:
    factors = draw()
    perfect = betavae_score(represent(factors, -3.0 * factors[:, ::-1] + 1), rng(), **FEW)
    assert perfect.value == 1
    assert perfect.details["converged"]
    assert beta(factors, 1e-3 * factors + 1e5) == 1  # codes without a posterior have any scale
    assert beta(factors, factors + 1e9) == 1
    assert np.trace(perfect.details["confusion"]) == 3_000
    constant = betavae_score(represent(factors, np.full((ROWS, 3), 0.1)), rng(), **FEW)
    assert constant.value == 0
    assert constant.details["note"] == "no latent is active"
    noise = betavae_score(represent(factors, rng(1).normal(size=(ROWS, 10))), rng(), **FEW)
    assert noise.value == pytest.approx(noise.details["chance"], abs=0.03)


def test_betavae_score_saturates_with_one_factor_missing() -> None:
    factors = draw()
    assert beta(factors, 1.0 * factors[:, 1:]) == 1
    # Two missing: they are fixed in two of five points, and half of the guesses between them are
    # right.
    three = 1.0 * factors[:, 2:]
    assert beta(factors, three) == pytest.approx(0.8, abs=0.02)
    assert beta(factors, three, rng(1).integers(3, size=ROWS)) == pytest.approx(0.8, abs=0.02)
    assert beta(factors, three, factors[:, 0]) == 1


def test_betavae_score_of_two_factors_turned_by_45_degrees_is_chance() -> None:
    factors = draw(sizes=(10, 10))
    # Whichever is fixed, |sum| and |difference| of a pair are those of the other factor.
    assert beta(factors, factors @ [[1.0, 1.0], [1.0, -1.0]]) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("factors", [2, 3, 6])
def test_the_classifier_of_the_betavae_score_is_that_of_scikit_learn(factors: int) -> None:
    draws = rng(factors)
    labels = draws.choice([0, 2, 3, 4, 6, 9][:factors], size=3_000)
    points = np.abs(draws.normal(size=(3_000, 4)) * (1 + 0.1 * labels[:, None] * np.arange(4)))
    fitted, scored = points[:2_000].astype(np.float32), points[2_000:].astype(np.float32)
    predicted, converged = _classify(fitted, labels[:2_000], scored)
    scaler = StandardScaler().fit(fitted)
    theirs = LogisticRegression(max_iter=1_000).fit(scaler.transform(fitted), labels[:2_000])
    assert converged
    assert len(np.unique(predicted)) == factors
    assert (predicted != theirs.predict(scaler.transform(scored))).sum() <= 1


def test_a_pair_is_two_rows_of_one_value() -> None:
    pairs = np.arange(20) // 2
    factors = np.column_stack([pairs, np.arange(20) % 2])
    pools = Pools.of(factors[:, :1], "test")
    # Two rows per value, 1 apart in the code: any other pair, or one row twice, would show.
    codes = np.column_stack([factors[:, 1], 5.0 * pairs])
    points, fixed = _points(codes, factors, pools, 600, 7, rng())
    np.testing.assert_array_equal(points, np.tile([1.0, 0.0, 0.0, 1.0], (600, 1)))
    assert not fixed.any()


def test_a_category_differs_as_often_as_two_rows_do() -> None:
    factors = grid(4, 5, copies=200)
    pools = Pools.of(factors, "test")
    none = np.zeros((len(factors), 0))
    points, fixed = _points(none, factors[:, :1], pools, 3_000, 64, rng())
    assert not points[fixed == 0].any()
    assert points[fixed == 1].mean() == pytest.approx(3 / 4, abs=0.005)


def test_dead_latents_are_pruned_before_they_are_amplified() -> None:
    factors = draw()
    trace = 1e-3 * factors
    beside_noise = np.column_stack([trace, rng(1).normal(size=len(factors))])
    score = betavae_score(represent(factors, beside_noise), rng(), **FEW)
    assert score.value < 0.3
    assert "z1, z2, z3 and 2 more left out" in score.warnings[0]
    assert beta(factors, trace, kl=np.full(5, 0.01)) == 0
    assert beta(factors, trace, kl=np.full(5, 1.0)) == 1
    assert beta(factors, 1.0 * factors, kl=np.array([0.01] * 3 + [1.0] * 2)) < 0.7


def test_betavae_score_leaves_out_what_cannot_be_fixed() -> None:
    factors = np.column_stack([draw(300, (3, 4)), np.arange(300), np.zeros(300, dtype=int)])
    score = betavae_score(represent(factors, 1.0 * factors[:, :2]), rng(), **FEW)
    assert score.details["left_out"] == ["v2", "v3"]
    assert score.details["recall"] == {"v0": 1.0, "v1": 1.0, "v2": None, "v3": None}
    assert score.details["chance"] == 0.5
    alone = represent(factors[:, [0, 3]], 1.0 * factors[:, :1])
    for metric in (betavae_score, factorvae_score):
        with pytest.raises(ValueError, match="would be 1 for any code"):
            metric(alone, rng())


# SAP


def test_sap_of_values_is_a_gap_of_r2() -> None:
    factors = grid(4, 4)
    x, y = 1.0 * factors.T
    for codes in (-3.0 * factors + 1, 1.0 * factors[:, ::-1], np.column_stack([x, y, 0 * x + 0.1])):
        assert sap(represent(factors, codes), rng(), factors="values").value == pytest.approx(1)
    # R^2 of x + y is 1/2 for both; x alone has 1 and 0.
    score = sap(represent(factors, np.column_stack([x, x + y])), rng(), factors="values")
    assert list(score.details["gaps"].values()) == pytest.approx([0.5, 0.5])
    assert score.details["best"] == {"v0": "z1", "v1": "z2"}
    np.testing.assert_allclose(score.details["predictability"], [[1, 0], [0.5, 0.5]], atol=1e-12)
    twice = sap(represent(factors, 1.0 * np.hstack([factors, factors])), rng(), factors="values")
    assert twice.value == pytest.approx(0, abs=1e-12)


def test_sap_takes_the_correlation_ratio_of_a_category() -> None:
    factors = grid(4, 3, copies=2)
    # Halves of 0 to 3 have means 0.5 and 2.5: a variance of 1, of 1.25.
    pairs = sap(represent(factors, None, (factors[:, 0] + 2) % 4 // 2), rng(), factors="values")
    assert pairs.details["gaps"] == {"v0": pytest.approx(0.8), "v1": pytest.approx(0)}
    assert pairs.details["measures"] == {"v0": "r2", "v1": "r2"}


def test_sap_of_classes_is_a_gap_of_accuracies() -> None:
    factors = draw(sizes=(2, 2))
    noise = rng(1).normal(size=(ROWS, 2))
    perfect = sap(represent(factors, np.hstack([1.0 * factors, noise])), rng())
    assert perfect.value == pytest.approx(0.5, abs=0.02)
    assert perfect.details["measures"] == {"v0": "accuracy", "v1": "accuracy"}
    assert sap(represent(factors, np.hstack([factors, factors]) * 1.0), rng()).value == 0
    assert sap(represent(factors, noise), rng()).value < 0.03
    assert sap(represent(factors, np.full((ROWS, 2), 0.1)), rng()).value == 0


@pytest.mark.parametrize("penalty", [0.01, 1.0])
@pytest.mark.parametrize("categories", [0, 5])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_support_vector_machines_are_those_of_scikit_learn(
    classes: int, categories: int, penalty: float
) -> None:
    draws = rng(classes)
    labels = np.minimum(draws.integers(classes, size=1_000), draws.integers(classes, size=1_000))
    own = np.eye(classes)[labels]
    if categories:
        noise = draws.integers(categories, size=1_000)
        category = np.where(draws.random(1_000) < 0.5, labels % categories, noise)
        rows = np.eye(categories)
        columns, counts = rows[category], rows[category].T @ own
    else:
        columns = rows = (0.3 * labels + draws.normal(2, 0.2, size=1_000))[:, None]
        counts = own
    weights = fit(rows, counts, penalty)
    theirs = LinearSVC(C=penalty, class_weight="balanced", dual=False, tol=1e-10, random_state=0)
    theirs.fit(columns, labels)
    found = np.vstack([theirs.coef_.T, theirs.intercept_])
    np.testing.assert_allclose(weights[:, 1:] if classes == 2 else weights, found, atol=1e-6)


def test_sap_of_categorical_factors_is_always_by_classes() -> None:
    factors = draw(sizes=(3, 3))
    names = np.array([2, 0, 1])[factors]
    representation = represent(factors, None, names, kind="categorical")
    score = sap(representation, rng(), factors="values")
    assert score.details["measures"] == {"v0": "accuracy", "v1": "accuracy"}
    assert score.value == pytest.approx(2 / 3, abs=0.02)
    # With only one latent: against the largest class.
    alone = sap(represent(factors[:, :1], None, names[:, 0], kind="categorical"), rng())
    assert alone.value == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.parametrize("factors", ["classes", "values"])
def test_a_useless_category_adds_nothing_to_sap(factors: Any) -> None:
    truth, noise = draw(6_000, (3, 6, 8)), rng(1).integers(5, size=6_000)
    for codes in (1.0 * truth, rng(2).normal(size=(6_000, 3))):
        alone = sap(represent(truth, codes), rng(), factors=factors).value
        beside = sap(represent(truth, codes, noise), rng(), factors=factors).value
        assert beside < alone + 0.01


def test_sap_is_scored_on_rows_it_was_not_fitted_on() -> None:
    factors = draw(200, (3,))
    latent = represent(factors, None, rng(1).integers(100, size=200))
    # Fitted and scored on the same rows, about three in four would be right, and the gap 0.4.
    assert np.mean([sap(latent, rng(s)).value for s in range(10)]) < 0.15
    score = sap(represent(draw(), 1.0 * draw()), rng(), points=700)
    assert (score.details["rows_fitted"], score.details["rows_scored"]) == (700, 700)


def test_sap_of_classes_depends_on_the_scale_unless_standardised() -> None:
    factors = draw(sizes=(6, 6))
    codes = rng(1).normal(size=(ROWS, 2)) * 0.5 + factors
    values = [
        [sap(represent(factors, c), rng(), standardized=s).value for c in (codes, 0.05 * codes + 9)]
        for s in (False, True)
    ]
    assert abs(values[0][0] - values[0][1]) > 0.02
    assert values[1][0] == pytest.approx(values[1][1], abs=1e-3)


def test_sap_leaves_out_a_constant_factor_and_works_on_few_rows() -> None:
    factors = draw(1_000, (3, 4, 5))
    factors[:, 2] = 1
    score = sap(represent(factors, 1.0 * factors), rng(), factors="values")
    assert score.details["left_out"] == ["v2"]
    assert score.value > 0.98
    with pytest.raises(ValueError, match="one row"):
        sap(represent(factors[:1], 1.0 * factors[:1]), rng())
    for rows in (2, 3, 4, 5):
        few = represent(np.arange(rows)[:, None] % 2, rng(1).normal(size=(rows, 2)))
        assert 0 <= sap(few, rng()).value <= 1


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (betavae_score, {"points": 0}),
        (betavae_score, {"test_points": 0}),
        (betavae_score, {"pairs": 0}),
        (sap, {"factors": "ranks"}),
        (sap, {"points": 1}),
        (sap, {"penalty": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(metric: Any, options: dict[str, Any]) -> None:
    factors = draw(100)
    name = next(iter(options))
    with pytest.raises(ValueError, match=rf"{name}.*(give|use)"):
        metric(represent(factors, 1.0 * factors), rng(), **options)


@pytest.mark.parametrize("metric", [betavae_score, sap])
def test_constant_factors_leave_nothing_to_score(metric: Any) -> None:
    nothing = represent(np.zeros((100, 2), dtype=int), rng().normal(size=(100, 2)))
    with pytest.raises(ValueError, match=f"{metric.__name__} is undefined"):
        metric(nothing, rng())
