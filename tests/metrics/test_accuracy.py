"""Discrete-factor accuracy on categories whose accuracy is known by hand."""

from dataclasses import replace

import numpy as np
import pytest

from bench.metrics import Representation, discrete_accuracy

ROWS = 20_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(rows: int = ROWS) -> np.ndarray:
    """(N, 2) factors: a shape of three classes and a scale of six."""
    return rng(99).integers([3, 6], size=(rows, 2))


def by_codes(factors: np.ndarray, codes: np.ndarray) -> Representation:
    return Representation(
        codes=codes,
        categories=np.zeros((len(codes), 0), dtype=int),
        factors=factors,
        category_sizes=(),
        factor_names=("shape", "scale"),
        factor_kinds=("categorical", "ordinal"),
        factor_sizes=(3, 6),
    )


def by_categories(factors: np.ndarray, categories: np.ndarray) -> Representation:
    categories = categories.reshape(len(factors), -1)
    sizes = tuple(int(c.max()) + 1 for c in categories.T)
    # Codes are not asked where there is a category, not even those that tell the class.
    bare = by_codes(factors, 1.0 * factors)
    return replace(bare, categories=categories, category_sizes=sizes)


@pytest.mark.parametrize("names", [(0, 1, 2), (2, 0, 1)])
def test_a_category_that_is_the_class_is_always_right(names: tuple[int, ...]) -> None:
    factors = draw(3_000)
    noise = rng(1).integers(3, size=3_000)
    categories = np.column_stack([noise, np.array(names)[factors[:, 0]]])
    score = discrete_accuracy(by_categories(factors, categories), rng())
    assert (score.value, score.parts["one_to_one"]) == (1, 1)
    entry = score.details["factors"]["shape"]
    assert entry["latent"] == entry["latent_one_to_one"] == "c2"
    assert (entry["nmi"], entry["ari"]) == (pytest.approx(1), 1)
    assert not score.details["binned"]


def test_an_uninformative_category_is_near_chance() -> None:
    factors = draw()
    score = discrete_accuracy(by_categories(factors, rng(1).integers(5, size=ROWS)), rng())
    assert score.value == pytest.approx(1 / 3, abs=0.02)
    # Two of the five categories stand for no class.
    assert score.parts["one_to_one"] == pytest.approx(1 / 5, abs=0.02)
    assert score.details["chance"] == pytest.approx(1 / 3, abs=0.02)


def test_majority_may_use_a_class_twice_and_one_to_one_may_not() -> None:
    factors = draw()
    halves = 2 * factors[:, 0] + rng(1).integers(2, size=ROWS)
    score = discrete_accuracy(by_categories(factors, halves), rng())
    assert score.value == 1
    assert score.parts["one_to_one"] == pytest.approx(0.5, abs=0.02)
    merged = discrete_accuracy(by_categories(factors, np.minimum(factors[:, 0], 1)), rng())
    assert merged.value == pytest.approx(2 / 3, abs=0.02)
    assert merged.parts["one_to_one"] == pytest.approx(2 / 3, abs=0.02)


def test_the_mapping_is_scored_on_rows_it_was_not_fitted_on() -> None:
    factors = draw(200)
    category = rng(1).integers(100, size=200)
    scores = [discrete_accuracy(by_categories(factors, category), rng(s)).value for s in range(10)]
    # Fitted and scored on the same rows, about three in four would be right.
    assert np.mean(scores) < 0.4


def test_without_categories_each_code_is_binned() -> None:
    factors = draw()
    codes = np.column_stack([rng(1).normal(size=ROWS), np.exp(-2.0 * factors[:, 0])])
    score = discrete_accuracy(by_codes(factors, codes), rng())
    assert score.value == score.parts["one_to_one"] == 1
    assert score.details["binned"]
    assert score.details["factors"]["shape"]["latent"] == "z2"
    noise = discrete_accuracy(by_codes(factors, codes[:, :1]), rng())
    assert noise.value == pytest.approx(1 / 3, abs=0.02)


def test_accuracy_without_a_categorical_factor_is_undefined() -> None:
    factors = draw(100)
    bare = replace(by_codes(factors, 1.0 * factors), factor_kinds=("ordinal",) * 2)
    with pytest.raises(ValueError, match="no categorical factor"):
        discrete_accuracy(bare, rng())
