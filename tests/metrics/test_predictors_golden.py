"""BetaVAE score, SAP, IRS, MCC and total correlation: other implementations, and properties."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.metrics import Metric, Representation
from bench.metrics.betavae_score import betavae_score
from bench.metrics.irs import irs
from bench.metrics.mcc import mcc
from bench.metrics.sap import _accuracies, sap
from bench.metrics.total_correlation import total_correlation
from tests.metrics.conftest import GOLDEN, entangled, golden, plain, rng

ARRAYS = ("codes", "categories", "factors")


@pytest.mark.parametrize("case", GOLDEN)
def test_betavae_score(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    values = [betavae_score(stored.represent(), rng(seed)).value for seed in range(3)]
    # Theirs draws new points of the grid and does not standardise. Neither makes a difference
    # beyond the chance of 5,000 test points.
    theirs = stored.values["beta_vae"]
    noise = (theirs * (1 - theirs) / 5_000) ** 0.5
    spread = max(noise, stored.values["beta_vae__sd_over_seeds"])
    assert np.mean(values) == pytest.approx(theirs, abs=2 * spread + 1e-9)


@pytest.mark.parametrize("case", GOLDEN)
def test_irs(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    representation = stored.represent()
    score = irs(representation, rng())
    assert score.value == pytest.approx(stored.values["irs"], abs=1e-9)
    # disentanglement_lib reports 10 for the collapsed codes, three of which are constant.
    assert score.details["active_count"] == np.count_nonzero(np.ptp(representation.codes, axis=0))


@pytest.mark.parametrize("case", ["a_perfect", "b_rotated", "i_onehot", "k_shapes3d"])
def test_sap_of_classes(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    theirs = stored.values["sap_discrete"]
    fitted, scored = stored.represent(), stored.represent("test")
    factors = range(fitted.factors.shape[1])
    table = np.sort([_accuracies(fitted, scored, k, 0.01, False) for k in factors], axis=1)
    gap = float((table[:, -1] - table[:, -2]).mean())
    # On their rows it is the same classifier: a few rows of 5,000 may be classified differently.
    assert gap == pytest.approx(theirs, abs=1e-3)
    # On random halves of all rows it is the same up to the chance of 5,000 rows.
    rows = {name: np.vstack([getattr(r, name) for r in (fitted, scored)]) for name in ARRAYS}
    whole = replace(fitted, unseen=None, **rows)
    assert sap(whole, rng()).value == pytest.approx(theirs, abs=0.015)


@pytest.mark.parametrize("case", GOLDEN)
def test_sap_of_values(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    score = sap(stored.represent(), rng(), factors="values")
    assert score.value == pytest.approx(stored.values["sap_continuous"], abs=1e-9)


@pytest.mark.parametrize("case", GOLDEN)
def test_total_correlation(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    theirs = stored.values
    score = total_correlation(stored.represent(), rng())
    if case in ("d_dup", "i_onehot"):
        # Infinite except for rounding: theirs is what rounding left, ours what the floor left.
        assert theirs["gaussian_total_correlation"] > 16
        assert score.value == pytest.approx(-0.5 * np.log(1e-6), abs=0.5)
        assert score.details["floored"] == 1
    elif case == "f_collapsed":
        # Constant latents make theirs NaN, and have no part in ours.
        assert "gaussian_total_correlation" not in theirs
        assert score.value < 1e-3
    else:
        assert score.value == pytest.approx(theirs["gaussian_total_correlation"], abs=1e-9)
    # The root of their singular matrix is good to only 1e-7.
    wasserstein = theirs["gaussian_wasserstein_correlation"]
    assert score.parts["wasserstein"] == pytest.approx(wasserstein, abs=1e-6)


# Properties

METRICS: dict[str, Metric] = {
    "betavae_score": partial(betavae_score, points=3_000, test_points=3_000),
    "sap of classes": sap,
    "sap of values": partial(sap, factors="values"),
    "irs": irs,
    "mcc": mcc,
    "mcc of ranks": partial(mcc, correlation="spearman"),
    "total_correlation": total_correlation,
}


CHANGES: dict[str, Callable[[Representation], Representation]] = {
    "order of rows": lambda r: r.take(rng(1).permutation(len(r))),
    "order of latents": lambda r: replace(r, codes=r.codes[:, [2, 0, 1]]),
    "flip of a latent": lambda r: replace(r, codes=r.codes * [1, -1, 1]),
    "scale of all": lambda r: replace(r, codes=r.codes * 7),
    "scale of one": lambda r: replace(r, codes=r.codes * [1, 7, 1] + 3),
    "names of categories": lambda r: replace(r, categories=(r.categories + 1) % 3),
    "dead latent": lambda r: replace(r, codes=np.column_stack([r.codes, np.full(len(r), 0.1)])),
}
# How far a value may move: 1e-9 except for these; None if it must move.
MOVES: dict[tuple[str, str], float | None] = {
    ("betavae_score", "order of rows"): 0.03,
    ("betavae_score", "order of latents"): 1e-3,
    ("betavae_score", "flip of a latent"): 1e-3,
    ("betavae_score", "scale of all"): 2e-3,
    ("betavae_score", "scale of one"): 2e-3,
    ("sap of classes", "order of rows"): 0.03,
    ("sap of classes", "scale of all"): 0.03,
    ("sap of classes", "scale of one"): 0.05,
    # The shape is scored as classes here too.
    ("sap of values", "order of rows"): 0.02,
    ("sap of values", "scale of all"): 0.02,
    ("sap of values", "scale of one"): 0.02,
    ("irs", "scale of one"): None,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", METRICS)
def test_properties(name: str, change: str) -> None:
    before = entangled(5_000, posterior=False)
    values = [METRICS[name](r, rng()).value for r in (before, CHANGES[change](before))]
    assert 0.01 < values[0] < 0.99
    tolerance = MOVES.get((name, change), 1e-9)
    if tolerance is None:
        assert abs(values[1] - values[0]) > 1e-3
    else:
        assert values[1] == pytest.approx(values[0], abs=tolerance)


@pytest.mark.parametrize("name", METRICS)
def test_the_generator_is_the_only_chance(name: str) -> None:
    metric = METRICS[name]
    many = entangled(5_000, posterior=False).take(np.tile(np.arange(5_000), 5))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = metric(many, rng(3)), metric(many, rng(3))
    assert (first.value, first.parts) == (again.value, again.parts)
    others = [metric(many, rng(seed)).value for seed in range(3)]
    assert len(set(others)) > 1
    assert np.ptp(others) < 0.03
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    plain(first)
