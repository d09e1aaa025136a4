"""Explicitness and its logistic regression: published values, scikit-learn, by hand."""

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from bench.metrics import Representation
from bench.metrics.explicitness import areas, explicitness
from bench.metrics.logistic import features, fit
from tests.metrics.conftest import GOLDEN, golden, noisy, plain, rng

# Published values


@pytest.mark.parametrize("case", GOLDEN)
def test_explicitness_is_the_published_one(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    score = explicitness(stored.split(), rng())
    assert not score.warnings
    if case == "f_collapsed":
        # Theirs fails on constant latents; the others are those of the perfect codes, and noise.
        assert "explicitness_test" not in stored.values
        assert score.value == pytest.approx(0.985, abs=0.005)
    else:
        # The same optimum; both stop where no entry of the gradient is above 1e-4.
        assert score.value == pytest.approx(stored.values["explicitness_test"], abs=5e-5)


def test_three_definitions_of_one_name(shared: Path) -> None:
    representation = golden(shared, "a_perfect").split()

    def value(classifier: Any) -> float:
        return explicitness(representation, rng(), classifier=classifier).value

    # 0.940 is what Locatello et al. would have got, with the intercepts penalised too.
    assert value("one_vs_rest_shares") == pytest.approx(0.940, abs=0.004)
    assert value("one_vs_rest") == pytest.approx(0.781, abs=0.001)
    assert value("multinomial") == pytest.approx(0.987, abs=0.001)


# The classifier


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_both_classifiers_are_those_of_scikit_learn(penalty: float) -> None:
    representation = noisy(3_000)
    columns, labels = features(representation)[0], representation.factors[:, 1]
    ours = fit(columns, labels, penalty=penalty, tolerance=1e-8)
    theirs = LogisticRegression(C=penalty, tol=1e-8, max_iter=1_000).fit(columns, labels)
    assert ours.converged
    np.testing.assert_allclose(ours.weights[:-1].T, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(
        ours.log_probabilities(columns), theirs.predict_log_proba(columns), atol=1e-4
    )
    ours = fit(columns, labels, classifier="one_vs_rest", penalty=penalty, tolerance=1e-8)
    for s in (0, 3):
        theirs = LogisticRegression(C=penalty, tol=1e-8, max_iter=1_000).fit(columns, labels == s)
        np.testing.assert_allclose(ours.weights[:-1, s], theirs.coef_[0], atol=1e-4)
        np.testing.assert_allclose(ours.weights[-1, s], theirs.intercept_[0], atol=1e-4)
        np.testing.assert_allclose(
            ours.log_probabilities(columns)[:, s],
            theirs.predict_log_proba(columns)[:, 1],
            atol=1e-4,
        )


def test_balanced_classes_without_penalty() -> None:
    representation = noisy(3_000)
    rows = np.flatnonzero((representation.factors[:, 1] < 5) | (rng(3).random(3_000) < 0.2))
    rare = representation.take(rows)
    columns, labels = features(rare)[0], rare.factors[:, 1]
    ours = fit(columns, labels, penalty=np.inf, balanced=True, iterations=100, tolerance=1e-8)
    theirs = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-6, max_iter=1_000)
    expected = log_loss(labels, theirs.fit(columns, labels).predict_proba(columns))
    own = ours.log_probabilities(columns)[np.arange(len(rare)), labels]
    assert -own.mean() == pytest.approx(expected, abs=1e-4)
    # Without latents, all classes are as likely, whatever their counts.
    empty = fit(columns[:, :0], labels, penalty=np.inf, balanced=True)
    np.testing.assert_allclose(empty.log_probabilities(columns[:, :0]), -np.log(6), atol=1e-12)


def test_it_says_whether_it_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("bench.metrics.explicitness")
    monkeypatch.setattr(module, "fit", partial(fit, iterations=2))
    (warning,) = explicitness(noisy(3_000), rng()).warnings
    assert "v2, v3: the classifier did not converge" in warning


def test_features_have_the_scale_of_the_fitted_rows() -> None:
    codes = np.column_stack([1e200 * np.arange(4.0), 1e-200 * np.arange(4.0), np.full(4, 0.1)])
    factors, categories = np.zeros((4, 1), dtype=int), np.array([[0], [2], [1], [0]])
    fitted = Representation.of(codes=codes, categories=categories, factors=factors)
    other = replace(fitted, codes=codes + [0, 0, 5])
    first, second = features(fitted, other)
    scaled = np.array([-3, -1, 1, 3]) / 5**0.5
    np.testing.assert_allclose(first[:, :3], np.column_stack([scaled, scaled, 0 * scaled]))
    np.testing.assert_array_equal(first[:, 3:], np.eye(3)[categories[:, 0]])
    np.testing.assert_array_equal(first, second)


def test_areas_are_those_of_scikit_learn() -> None:
    labels = rng(1).integers(5, size=1_000)
    ranking = np.round(np.eye(5)[labels] + rng(2).normal(size=(1_000, 5)), 1)  # with ties
    expected = [roc_auc_score(labels == s, ranking[:, s]) for s in range(5)]
    np.testing.assert_allclose(areas(ranking, labels), expected, atol=1e-12)
    np.testing.assert_array_equal(areas(0 * ranking, labels), np.full(5, 0.5))


# By hand


def test_perfect_useless_and_constant_latents() -> None:
    factors = rng(1).integers((3, 4), size=(2_000, 2))
    categories = Representation.of(categories=2 - factors % 3, factors=factors)
    perfect = explicitness(categories, rng())
    # Two of the four classes of the second factor share a category, and are a guess.
    assert perfect.details["explicitness"]["v1"] == 1
    assert perfect.details["aucs"]["v2"][1:3] == [1, 1]
    assert perfect.details["aucs"]["v2"][0] == pytest.approx(0.83, abs=0.03)
    noise = Representation.of(codes=rng(2).normal(size=(2_000, 4)), factors=factors)
    constant = Representation.of(codes=np.full((2_000, 4), 0.1), factors=factors)
    assert explicitness(noise, rng()).value == pytest.approx(0.5, abs=0.02)
    for classifier in ("multinomial", "one_vs_rest", "one_vs_rest_shares"):
        score = explicitness(constant, rng(), classifier=classifier)  # type: ignore[arg-type]
        assert score.value == pytest.approx(0.5, abs=1e-12)
    assert explicitness(constant, rng(), rescaled=True).value == pytest.approx(0, abs=1e-12)


def test_rescaled() -> None:
    representation = noisy(3_000)
    usual = explicitness(representation, rng())
    rescaled = explicitness(representation, rng(), rescaled=True)
    assert rescaled.value == pytest.approx(2 * usual.value - 1, abs=1e-12)
    assert rescaled.details["aucs"] == usual.details["aucs"]
    # Below 0.5 by chance is not worse than useless.
    useless = replace(noisy(3_000), codes=rng(3).normal(size=(3_000, 3)))
    assert min(explicitness(useless, rng()).details["explicitness"].values()) < 0.5
    assert min(explicitness(useless, rng(), rescaled=True).details["explicitness"].values()) == 0


def test_one_line_separates_only_the_outer_classes() -> None:
    labels = rng(1).integers(3, size=(2_000, 1))
    representation = Representation.of(codes=1.0 * labels, factors=labels)
    lines = explicitness(representation, rng(), classifier="one_vs_rest").details["aucs"]["v1"]
    assert lines[0] == lines[2] == 1
    assert lines[1] < 0.6
    assert explicitness(representation, rng()).value == 1


def test_a_category_without_a_factor_raises_nothing() -> None:
    before = noisy(6_000)
    drawn = rng(5).integers(10, size=(6_000, 1))
    after = replace(before, categories=drawn, category_sizes=(10,))
    assert explicitness(after, rng()).value <= explicitness(before, rng()).value + 5e-4


def test_rows_held_out_are_scored_and_labels_may_be_missing() -> None:
    whole = noisy(3_000)
    fitted, held_out = whole.take(np.arange(2_000)), whole.take(np.arange(2_000, 3_000))
    full = explicitness(replace(fitted, test=held_out), rng())
    assert (full.details["rows_fitted"], full.details["rows_scored"]) == (2_000, 1_000)
    labels, others = fitted.factors.copy(), held_out.factors.copy()
    labels[::2, 1] = others[::2, 1] = -1
    labels[:, 2] = -1
    some = explicitness(
        replace(fitted, factors=labels, test=replace(held_out, factors=others)), rng()
    ).details
    odd = replace(fitted.take(np.arange(1, 2_000, 2)), test=held_out.take(np.arange(1, 1_000, 2)))
    assert some["explicitness"]["v1"] == full.details["explicitness"]["v1"]
    assert some["explicitness"]["v2"] == explicitness(odd, rng()).details["explicitness"]["v2"]
    assert some["explicitness"]["v3"] is None
    assert some["left_out"] == ["v3"]


def test_classes_that_occur_on_one_side_only() -> None:
    labels = np.array([[0], [1], [3]] * 20)
    others = np.array([[0], [1], [2]] * 20)
    representation = Representation.of(
        codes=1.0 * labels, factors=labels, test={"codes": 1.0 * others, "factors": others}
    )
    assert explicitness(representation, rng()).details["aucs"]["v1"] == [1, 1, 0.5, None]
    single = Representation.of(
        codes=1.0 * labels[::3],
        factors=labels[::3],
        test={"codes": 1.0 * others, "factors": others},
    )
    assert explicitness(single, rng()).value == 0.5


def test_continuous_factors_are_taken_as_classes() -> None:
    v = rng(1).random((3_000, 1))
    arrays = {"codes": v, "factors": v, "factor_sizes": (6,)}
    continuous = Representation.of(**arrays, factor_kinds=("continuous",))
    classes = Representation.of(codes=v, factors=continuous.factors)
    assert explicitness(continuous, rng()).value == explicitness(classes, rng()).value > 0.95
    assert len(explicitness(continuous, rng()).details["aucs"]["v1"]) == 6


@pytest.mark.parametrize(
    ("factors", "options", "message"),
    [
        (np.zeros((5, 2), dtype=int), {}, "explicitness is undefined, give more rows"),
        (np.array([[0, 1]]), {}, "one row cannot be both fitted and scored"),
        (np.arange(6)[:, None], {"classifier": "svm"}, "classifier is 'svm': use one of multi"),
        (np.arange(6)[:, None], {"points": 1}, "points=1, penalty=1.0: give at least 2"),
        (np.arange(6)[:, None], {"penalty": 0}, "penalty=0: give at least 2 and more than 0"),
    ],
)
def test_bad_requests(factors: np.ndarray, options: dict[str, Any], message: str) -> None:
    representation = Representation.of(codes=1.0 * factors, factors=factors)
    with pytest.raises(ValueError, match=message) as caught:
        explicitness(representation, rng(), **options)
    assert "\n" not in str(caught.value)


def test_details_can_be_written() -> None:
    assert plain(explicitness(noisy(300), rng()))["rows_fitted"] == 150
