"""Few labels: closed forms, scikit-learn, fast DCI, and what happens where rows are short."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bench.check.cases import rotation
from bench.metrics import Representation, dci_fast, few_labels_boosted, few_labels_linear
from bench.metrics.logistic import features
from tests.metrics.conftest import draw, entangled, grid, noisy, plain, represent, rng

BOTH = [few_labels_linear, few_labels_boosted]
QUICK: dict[str, Any] = {"some": 300, "most": 1_000, "repeats": 4}
SIZES = (3, 4, 5)


def standard(factors: np.ndarray) -> np.ndarray:
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


# Codes whose scores are known


@pytest.mark.parametrize("metric", BOTH)
def test_a_perfect_code_needs_a_hundred_labels(metric: Any) -> None:
    factors = draw(4_000, SIZES)
    score = metric(standard(factors), factors, **QUICK)
    assert score.value > 0.98
    assert score.parts["most"] > 0.99
    assert score.parts["efficiency"] > 0.98
    assert score.parts["fewest"] < score.value
    assert not score.warnings
    plain(score)


def test_a_line_reads_a_rotated_code_as_well_and_trees_do_not() -> None:
    """Over a whole grid the latents are uncorrelated, so that rotated ones have variance 1, too."""
    factors = grid(*SIZES, 2, 2, copies=10)
    codes = standard(factors)
    line, trees = (
        [metric(z, factors, **QUICK) for z in (codes, codes @ rotation())] for metric in BOTH
    )
    assert line[1].value == pytest.approx(line[0].value, abs=0.005)
    assert line[1].parts == pytest.approx(line[0].parts, abs=0.005)
    for part, lost in {"fewest": 0.2, "some": 0.02, "efficiency": 0.1}.items():
        assert trees[1].parts[part] < trees[0].parts[part] - lost
    assert trees[1].value < trees[0].value - 0.1


@pytest.mark.parametrize("metric", BOTH)
def test_noise_is_at_chance_with_any_number_of_labels(metric: Any) -> None:
    factors = draw(8_000, SIZES)
    score = metric(rng(3).normal(size=(8_000, 4)), factors, **QUICK)
    chance = np.mean([1 / size for size in SIZES])
    assert score.value == pytest.approx(chance, abs=0.025)
    for part in ("fewest", "some", "most"):
        assert score.parts[part] == pytest.approx(chance, abs=0.03)
    # A flaw that the docstring names: what cannot be learnt is learnt at once.
    assert score.parts["efficiency"] > 0.9
    for size, level in zip(SIZES, score.details["chances"].values(), strict=True):
        assert level == pytest.approx(1 / size, abs=0.04)
    assert score.details["chance"] == np.mean(list(score.details["chances"].values()))


def test_a_lookup_reads_what_it_has_seen_and_guesses_the_rest() -> None:
    """One category for each of 64 combinations: nothing of one tells anything of another.

    The class that is guessed is the one with most labels, of which less than a quarter is unseen.
    """
    factors = draw(20_000, (4, 4, 4))
    lookup = factors @ [16, 4, 1]
    many = QUICK | {"repeats": 10}
    score = few_labels_linear(represent(factors, categories=lookup), fewest=20, **many)
    for labels, value in ((20, score.parts["fewest"]), (100, score.value)):
        seen = 1 - (1 - 1 / 64) ** labels
        assert seen + 0.05 * (1 - seen) < value < seen + 0.25 * (1 - seen)
    assert score.parts["most"] > 0.99
    # A code of one latent per factor tells all that with a hundred labels.
    aligned = few_labels_linear(represent(factors, standard(factors)), **QUICK)
    assert aligned.value > score.value + 0.1


def test_one_label_says_that_all_rows_are_of_its_class() -> None:
    factors = rng(1).choice(3, p=[0.6, 0.3, 0.1], size=(2_000, 1))
    shares = np.bincount(factors[:, 0]) / len(factors)
    options = {"fewest": 1, "few": 2, "some": 3, "most": 1_000, "repeats": 300}
    score = few_labels_linear(rng(2).normal(size=(2_000, 1)), factors, **options)
    assert score.parts["fewest"] == pytest.approx((shares**2).sum(), abs=0.04)


# Numbers


def test_least_squares_err_as_the_theory_says() -> None:
    """n rows, p Gaussian latents, noise s: error s^2 (n + 1)(n - 2) / (n (n - p - 2)) on others."""
    latents, noise = 10, 0.5
    codes = rng(1).normal(size=(30_000, latents))
    factors = codes[:, :1] + noise * rng(2).normal(size=(30_000, 1))
    both = Representation.of(codes=codes, factors=factors)
    score = few_labels_linear(both, fewest=30, few=100, some=300, repeats=30)
    whole = 1 + noise**2
    found = {30: score.parts["fewest"], 100: score.value, 300: score.parts["some"]}
    for n, value in found.items():
        error = noise**2 * (n + 1) * (n - 2) / (n * (n - latents - 2))
        assert value == pytest.approx(1 - error / whole, abs=0.3 / n**0.5)
    assert score.parts["most"] == pytest.approx(1 / whole, abs=0.01)
    assert score.details["measures"] == {"v1": "r2"}
    assert (score.details["chance"], score.details["chances"]) == (0, {"v1": 0})


def test_numbers_in_latents_of_their_own_are_read_with_ten_labels() -> None:
    numbers = rng(1).random(size=(3_000, 3))
    assert few_labels_linear(numbers, numbers, **QUICK).parts["fewest"] > 0.999
    trees = few_labels_boosted(numbers, numbers, **QUICK)
    assert 0.3 < trees.parts["fewest"] < trees.value < trees.parts["most"] < 1


# Other implementations


def test_with_all_labels_lines_are_those_of_scikit_learn() -> None:
    whole = noisy(3_000)
    train, test = whole.take(np.arange(1_000)), whole.take(np.arange(1_000, 3_000))
    score = few_labels_linear(replace(train, test=test), most=2_000, some=500, repeats=1)
    columns, others = features(train, test)
    for k, name in enumerate(whole.factor_names):
        model = LogisticRegression(C=1e4, max_iter=2_000, tol=1e-8)
        model.fit(columns, train.factors[:, k])
        expected = model.score(others, test.factors[:, k])
        assert score.details["accuracy"][name][-1] == pytest.approx(expected, abs=0.005)


def test_with_all_labels_trees_are_those_of_fast_dci() -> None:
    whole = entangled(4_000)
    score = few_labels_boosted(whole, rng(), some=300, most=2_000)
    expected = dci_fast(whole, rng(), points=2_000).parts["informativeness"]
    assert score.parts["most"] == pytest.approx(expected, abs=0.005)


# Rows, labels and options


@pytest.mark.parametrize("metric", BOTH)
def test_what_rows_do_not_suffice_for_is_said(metric: Any) -> None:
    whole = noisy(1_000)
    score = metric(whole)
    (line,) = score.warnings
    assert line.startswith("500 labelled rows to fit v1 on: some (1,000) and most (10,000) stand")
    assert score.parts["some"] == pytest.approx(score.parts["most"], abs=0.02)
    assert score.rows_used == 1_000
    (line,) = metric(whole, **QUICK | {"most": 501}).warnings
    assert "most (501) stands for all of these" in line
    assert not metric(whole, **QUICK | {"most": 500}).warnings
    few_of_one = np.array(whole.factors)
    few_of_one[50:, 1] = -1
    (line,) = metric(replace(whole, factors=few_of_one), **QUICK | {"most": 500}).warnings
    assert "labelled rows to fit v2 on: few (100) and some (300) and most (500)" in line


@pytest.mark.parametrize("metric", BOTH)
def test_more_labels_are_no_worse_and_sets_of_rows_are_disjoint(metric: Any) -> None:
    score = metric(noisy(6_000), rng(4), **QUICK)
    parts = score.parts
    assert parts["fewest"] < score.value < parts["some"] < parts["most"] + 0.01
    assert parts["efficiency"] == score.value / parts["most"]
    assert parts["efficiency_some"] == min(1, parts["some"] / parts["most"])
    by_factor = np.array(list(score.details["accuracy"].values()))
    np.testing.assert_allclose(
        by_factor.mean(axis=0), [parts["fewest"], score.value, parts["some"], parts["most"]]
    )
    # The mean over ten sets of a hundred rows moves less than one set.
    many = QUICK | {"few": 20, "some": 30, "most": 600}
    one, ten = (
        np.std([metric(noisy(1_200), rng(s), **(many | {"repeats": n})).value for s in range(5)])
        for n in (1, 10)
    )
    assert ten < 0.02
    assert ten < one


def test_a_class_without_a_label_is_never_predicted() -> None:
    factors = draw(2_000, (4,))
    seen = np.flatnonzero(factors[:, 0] < 3)
    whole = Representation.of(codes=standard(factors), factors=factors)
    train = replace(whole.take(seen), test=whole)
    score = few_labels_linear(train, **QUICK | {"most": 2_000})
    assert score.parts["most"] == pytest.approx((factors < 3).mean(), abs=1e-9)


@pytest.mark.parametrize("metric", BOTH)
def test_factors_that_do_not_vary_are_left_out(metric: Any) -> None:
    factors = np.column_stack([draw(2_000, (3,)), np.zeros(2_000, dtype=int)])
    score = metric(standard(factors[:, :1]), factors, **QUICK)
    assert score.details["left_out"] == ["v2"]
    assert score.details["accuracy"]["v2"] is None
    assert score.value > 0.99


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (few_labels_linear, {"few": 10}, "fewest=10, few=10, some=1000, most=10000: give numbers"),
        (few_labels_boosted, {"fewest": 0}, "fewest=0, .*that grow, at least 1"),
        (few_labels_linear, {"repeats": 0}, "repeats is 0: give at least 1"),
        (few_labels_linear, {"penalty": 0.0}, "penalty=0.0, iterations=100: give more than 0"),
        (few_labels_linear, {"iterations": 0}, "iterations=0: give more than 0 and at least 1"),
        (few_labels_linear, {"test_points": 1}, "test_points=1: give at least 2"),
        (few_labels_boosted, {"depth": 0}, "depth=0.*give at least 1 stage"),
        (few_labels_boosted, {"bins": 1}, "bins is 1: give at least 2"),
        (few_labels_boosted, {"tie": 1.0}, "tie=1.0: give a step above 0"),
    ],
)
def test_wrong_options_are_refused_in_a_line(metric: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        metric(noisy(400), **options)
    assert "\n" not in str(caught.value)
