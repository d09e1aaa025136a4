"""Discrete-factor accuracy on categories whose accuracy is known by hand."""

from typing import Any

import numpy as np
import pytest

from bench.metrics import Representation, discrete_accuracy
from tests.metrics.conftest import draw, represent, rng

ROWS = 20_000
SIZES = (3, 6)


def by_codes(factors: np.ndarray, codes: np.ndarray, categories: Any = None) -> Representation:
    """The factors are a shape and a scale."""
    names, kinds = ("shape", "scale"), ("categorical", "ordinal")
    return represent(factors, codes, categories, factor_names=names, factor_kinds=kinds)


def by_categories(factors: np.ndarray, categories: np.ndarray) -> Representation:
    # Codes are not used if there is a category, not even those that determine the class.
    return by_codes(factors, 1.0 * factors, categories)


@pytest.mark.parametrize("names", [(0, 1, 2), (2, 0, 1)])
def test_a_category_that_is_the_class_is_always_right(names: tuple[int, ...]) -> None:
    factors = draw(3_000, SIZES)
    noise = rng(1).integers(3, size=3_000)
    categories = np.column_stack([noise, np.array(names)[factors[:, 0]]])
    score = discrete_accuracy(by_categories(factors, categories), rng())
    assert (score.value, score.parts["one_to_one"]) == (1, 1)
    entry = score.details["factors"]["shape"]
    assert entry["latent"] == entry["latent_one_to_one"] == "c2"
    assert (entry["nmi"], entry["ari"]) == (pytest.approx(1), 1)
    assert not score.details["binned"]


def test_an_uninformative_category_is_near_chance() -> None:
    factors = draw(ROWS, SIZES)
    score = discrete_accuracy(by_categories(factors, rng(1).integers(5, size=ROWS)), rng())
    assert score.value == pytest.approx(1 / 3, abs=0.02)
    # Two of the five categories stand for no class.
    assert score.parts["one_to_one"] == pytest.approx(1 / 5, abs=0.02)
    assert score.details["chance"] == pytest.approx(1 / 3, abs=0.02)


def test_majority_may_use_a_class_twice_and_one_to_one_may_not() -> None:
    factors = draw(ROWS, SIZES)
    halves = 2 * factors[:, 0] + rng(1).integers(2, size=ROWS)
    score = discrete_accuracy(by_categories(factors, halves), rng())
    assert score.value == 1
    assert score.parts["one_to_one"] == pytest.approx(0.5, abs=0.02)
    merged = discrete_accuracy(by_categories(factors, np.minimum(factors[:, 0], 1)), rng())
    assert merged.value == pytest.approx(2 / 3, abs=0.02)
    assert merged.parts["one_to_one"] == pytest.approx(2 / 3, abs=0.02)


def test_the_mapping_is_scored_on_rows_it_was_not_fitted_on() -> None:
    factors = draw(200, SIZES)
    category = rng(1).integers(100, size=200)
    scores = [discrete_accuracy(by_categories(factors, category), rng(s)).value for s in range(10)]
    # Fitted and scored on the same rows, about three in four would be right.
    assert np.mean(scores) < 0.4


def test_without_categories_each_code_is_binned() -> None:
    factors = draw(ROWS, SIZES)
    codes = np.column_stack([rng(1).normal(size=ROWS), np.exp(-2.0 * factors[:, 0])])
    score = discrete_accuracy(by_codes(factors, codes), rng())
    assert score.value == score.parts["one_to_one"] == 1
    assert score.details["binned"]
    assert score.details["factors"]["shape"]["latent"] == "z2"
    noise = discrete_accuracy(by_codes(factors, codes[:, :1]), rng())
    assert noise.value == pytest.approx(1 / 3, abs=0.02)


def test_accuracy_without_a_categorical_factor_is_undefined() -> None:
    factors = draw(100, SIZES)
    with pytest.raises(ValueError, match="no categorical factor"):
        discrete_accuracy(represent(factors, 1.0 * factors), rng())
