"""Against the values of disentanglement_lib on stored representations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.metrics import discrete_accuracy, factorvae_score, mig
from tests.metrics.conftest import DSPRITES, GOLDEN, golden, golden_values, rng


def test_every_stored_case_is_used(shared: Path) -> None:
    assert set(GOLDEN) == golden_values(shared)["cases"].keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_mig(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    score = mig(stored.represent(), rng())
    assert score.value == pytest.approx(stored.values["mig"], abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN)
def test_factorvae_score(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    values = [factorvae_score(stored.represent(), rng(seed)).value for seed in range(3)]
    # Theirs draws new points of the grid for each vote, ours draws from the 10,000 stored rows.
    spread = stored.values["factor_vae__sd_over_seeds"]
    assert np.mean(values) == pytest.approx(stored.values["factor_vae"], abs=3 * spread + 1e-9)


def test_constant_latents_win_no_votes_even_without_a_threshold(shared: Path) -> None:
    score = factorvae_score(golden(shared, "f_collapsed").represent(), rng(), min_std=0)
    # The constant latents are still left out; theirs win every vote by 0/0, and score 0.19.
    assert score.details["active_count"] == 7
    assert score.value == 1


def test_one_hot_columns_hide_the_class_that_one_category_identifies(shared: Path) -> None:
    kinds = ("categorical", *("ordinal",) * (len(DSPRITES) - 1))
    flat = golden(shared, "i_onehot").represent(factor_kinds=kinds)
    whole = replace(flat, categories=flat.factors[:, :1], category_sizes=(3,))
    values = [discrete_accuracy(r, rng()).value for r in (flat, whole)]
    assert values == [pytest.approx(2 / 3, abs=0.02), 1]
