"""Active units: continuous and categorical ones, and odd codes."""

from dataclasses import replace

import numpy as np
import pytest

from bench.metrics import active_units
from tests.metrics.conftest import labelled, rng, with_posterior


def test_units_are_active_whose_means_vary() -> None:
    deviations = np.array([0.0, 0.05, 0.099, 0.101, 2.0])
    unit = rng(1).normal(size=1_000)
    unit = (unit - unit.mean()) / unit.std()
    score = active_units(with_posterior(unit[:, None] * deviations + 0.1, -1.0), rng())
    assert score.value == 2
    assert score.parts == {"share": 2 / 5}
    assert score.details["active"] == ["z4", "z5"]
    assert score.details["inactive"] == ["z1", "z2", "z3"]
    np.testing.assert_allclose(list(score.details["activity"].values()), deviations**2, atol=1e-12)
    assert (
        active_units(with_posterior(unit[:, None] * deviations, -1.0), rng(), threshold=0).value
        == 4
    )
    assert all("logvar is -1 everywhere" in warning for warning in score.warnings)


def test_a_narrow_latent_of_small_scale_is_active_by_kl_alone() -> None:
    representation = with_posterior(0.05 * rng(1).normal(size=(500, 2)), np.array([-9.0, -0.01]))
    score = active_units(representation, rng())
    assert score.value == 0
    assert score.details["active_by_kl"] == ["z1"]
    assert active_units(representation, rng(), min_kl=9).details["active_by_kl"] == []
    assert active_units(replace(representation, kl=None), rng()).details["active_by_kl"] is None


def test_a_category_is_one_unit() -> None:
    labels = np.tile(np.arange(4), 100)
    hard, weak, uniform = np.eye(4)[labels], np.full((400, 4), 0.25), np.full((400, 4), 0.25)
    weak = weak + 0.05 * (np.eye(4)[labels] - 0.25)
    representation = with_posterior(probabilities=(hard, weak, uniform))
    score = active_units(representation, rng())
    assert score.details["active"] == ["c1"]
    np.testing.assert_allclose(
        list(score.details["activity"].values()), [0.75, 0.05**2 * 0.75, 0], atol=1e-12
    )
    # Rounding decides which category a uniform posterior takes.
    chance = rng(1).integers(4, size=400)
    categories = np.column_stack([labels, labels, chance])
    known = replace(representation, categories=categories)
    assert active_units(known, rng()).value == 1
    uncertain = active_units(replace(known, probabilities=None, kl=None), rng())
    assert uncertain.value == 3
    shares = np.bincount(chance) / 400
    assert uncertain.details["activity"]["c3"] == pytest.approx(1 - (shares**2).sum())
    assert "give `probabilities`" in uncertain.warnings[0]


def test_odd_codes_have_units() -> None:
    one = active_units(with_posterior(np.ones((1, 3)), 0.0), rng())
    assert (one.value, one.parts["share"]) == (0, 0)
    assert (
        active_units(with_posterior(np.full((100, 3), 0.1), -40.0), rng(), threshold=0).value == 0
    )
    with pytest.raises(ValueError, match="threshold is -1: give at least 0"):
        active_units(labelled(), rng(), threshold=-1)
    logits = replace(labelled(), probabilities=np.full((2_000, 3), 0.9))
    with pytest.raises(ValueError, match="take the softmax"):
        active_units(logits, rng())
