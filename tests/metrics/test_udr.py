"""UDR: models that agree up to order and sign, models that do not, and invalid comparisons."""

from typing import Any

import numpy as np
import pytest

from bench.metrics import Representation, udr
from tests.metrics.conftest import rng

ROWS = 20_000


def represent(codes: Any, categories: Any = None, **more: Any) -> Representation:
    factors = np.zeros((len(codes), 1), dtype=int)
    return Representation.of(codes=codes, categories=categories, factors=factors, **more)


def values(*representations: Representation, **options: Any) -> list[float]:
    options = {"points": ROWS, **options}
    return [score.value for score in udr(representations, rng(9), **options)]


def test_order_and_sign_of_latents_do_not_matter() -> None:
    codes = rng().normal(size=(ROWS, 3))
    same = values(represent(codes), represent(-codes[:, [2, 0, 1]]), represent(codes**3))
    # What is missing to 1 are the chance correlations of 20,000 rows.
    assert same == [pytest.approx(1, abs=0.03)] * 3


def test_a_hand_made_pair() -> None:
    x, y = rng().normal(size=(2, ROWS))
    mixed = represent(np.column_stack([x + y, x - y]))
    # Every rank correlation of x and (x + y) is r: r^2 / 2r for each of four latents, so r / 2.
    r = 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2)
    assert values(represent(np.column_stack([x, y])), mixed) == [pytest.approx(r / 2, abs=0.01)] * 2


def test_noise_agrees_with_nothing() -> None:
    noise = [represent(rng(seed).normal(size=(ROWS, 4))) for seed in range(3)]
    assert max(values(*noise)) < 0.02


def test_the_median_over_the_others() -> None:
    codes = rng().normal(size=(ROWS, 2))
    good = represent(codes)
    odd = represent(rng(1).normal(size=(ROWS, 2)))
    scores = udr([good, good, good, odd], rng(), points=ROWS)
    assert [score.value > 0.95 for score in scores] == [True, True, True, False]
    assert scores[0].details["pairs"][0] is None
    assert scores[0].details["pairs"][3] == scores[3].details["pairs"][0]


def test_latents_that_carry_nothing_do_not_count() -> None:
    codes = rng().normal(size=(ROWS, 2))
    dead = np.column_stack([codes, rng(1).normal(size=ROWS)])
    with_dead = represent(dead, kl=np.array([2.0, 2.0, 0.0]))
    scores = udr([represent(codes), with_dead], rng(), points=ROWS)
    assert scores[0].value == pytest.approx(values(represent(codes), represent(codes))[0], abs=0.01)
    assert scores[1].details["informative"] == ["z1", "z2"]
    constant = represent(np.zeros((ROWS, 2)))
    assert values(represent(codes), constant) == [0, 0]


def test_a_category_is_one_latent() -> None:
    shape = rng().integers(3, size=(ROWS, 1))
    x = rng(1).normal(size=(ROWS, 1))
    assert (
        values(represent(x, shape), represent(-x, (shape + 1) % 3))
        == [pytest.approx(1, abs=0.02)] * 2
    )
    # As a number in the other model, in any order.
    order = np.array([0.0, 2.0, 1.0])[shape]
    assert min(values(represent(x, shape), represent(np.hstack([order, x])))) > 0.95


def test_rows_are_matched_by_image() -> None:
    codes = rng().normal(size=(ROWS, 2))
    first, second = rng(1).permutation(ROWS)[:15_000], rng(2).permutation(ROWS)[:15_000]
    pair = [represent(codes[first]), represent(codes[second])]
    scores = udr(pair, rng(), [first, second], points=ROWS)
    assert scores[0].value > 0.95
    assert scores[0].details["shared"][1] == len(np.intersect1d(first, second))
    assert udr(pair, rng())[0].value < 0.1


def test_too_few_models_or_rows_are_refused() -> None:
    one = represent(rng().normal(size=(400, 2)))
    with pytest.raises(ValueError, match="at least two"):
        udr([one], rng())
    with pytest.raises(ValueError, match="share 400 rows, 500 are needed"):
        udr([one, one], rng())
    again = [udr([one, one], rng(3), min_rows=2)[0].value for _ in range(2)]
    assert again[0] == again[1]
