"""MIG-sup, JEMMIG, DCIMIG and modularity: values known by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from bench.metrics import Metric, Representation, mig
from bench.metrics.dcimig import dcimig
from bench.metrics.information import contingency
from bench.metrics.jemmig import jemmig
from bench.metrics.mig_sup import mig_sup
from bench.metrics.modularity import modularity
from bench.metrics.relations import Relations, bin_latents
from tests.metrics.conftest import DSPRITES, draw, grid, represent, rng

ROWS = 10_000
FOUR: dict[str, Metric] = {
    "mig_sup": mig_sup,
    "jemmig": jemmig,
    "dcimig": dcimig,
    "modularity": modularity,
}
L2, L4, L8 = np.log([2, 4, 8])


def values(representation: Representation) -> dict[str, float]:
    return {name: metric(representation, rng()).value for name, metric in FOUR.items()}


def all_of(*four: float) -> Any:
    """MIG-sup, JEMMIG, DCIMIG and modularity, as far as rounding goes."""
    return pytest.approx(dict(zip(FOUR, four, strict=True)), abs=1e-9)


def own(x: float, h: float, classes: float = 20) -> float:
    """JEMMIG of x nats, rescaled."""
    return 1 - x / (h + np.log(classes))


# By hand


def test_a_latent_of_its_own_for_each_factor() -> None:
    factors = grid(2, 3, 4, copies=20)
    assert values(represent(factors, 1.0 * factors)) == all_of(1, 1, 1, 1)
    permuted = -3.0 * factors[:, [2, 0, 1]] + 1
    assert values(represent(factors, permuted)) == all_of(1, 1, 1, 1)
    mixed = represent(factors, permuted[:, :2], 2 - factors[:, 1])
    assert values(mixed) == all_of(1, 1, 1, 1)
    assert mig_sup(mixed, rng()).details["best"] == {"z1": "v2", "z2": "v0", "c1": "v1"}
    assert dcimig(mixed, rng()).details["best"] == {"v0": "z2", "v1": "c1", "v2": "z1"}
    assert jemmig(mixed, rng()).details["best"] == {"v0": "z2", "v1": "c1", "v2": "z1"}


def test_duplicated_latents_cost_jemmig_only() -> None:
    factors = grid(2, 4, copies=20)
    twice = represent(factors, np.hstack([factors, -2.0 * factors]))
    # The second latent too has all H nats of each factor.
    assert values(twice) == all_of(1, (own(L2, L2) + own(L4, L4)) / 2, 1, 1)


def test_merged_factors() -> None:
    factors = grid(2, 4, copies=20)
    merged = 4 * factors[:, 0] + factors[:, 1]
    # The latent has ln 8 nats: ln 2 of one factor, ln 4 of the other, all of both.
    scores = (own(L8 - L2, L2) + own(L8 - L4, L4)) / 2
    expected = all_of(0, scores, (L4 - L2) / L8, 1 - (L2 / L4) ** 2)
    assert values(represent(factors, 1.0 * merged)) == expected
    by_latent = mig_sup(represent(factors, 1.0 * merged), rng(), normalization="latents")
    assert by_latent.value == pytest.approx((L4 - L2) / L8)
    # One categorical latent is one latent; B is its size, used or not.
    for size in (8, 10):
        category = represent(factors, None, merged, category_sizes=(size,))
        details = jemmig(category, rng()).details
        assert details["unscaled"] == pytest.approx({"v0": L8 - L2, "v1": L8 - L4})
        assert details["scores"]["v0"] == pytest.approx(own(L8 - L2, L2, size))
        assert details["mean_unscaled"] == pytest.approx((L4 + L2) / 2)


def test_a_latent_that_captures_half_of_its_factor() -> None:
    factors = grid(2, 4, copies=20)
    half = represent(factors, 1.0 * np.column_stack([factors[:, 0], factors[:, 1] // 2]))
    assert values(half) == all_of(0.75, (1 + own(L4 - L2, L4)) / 2, 2 * L2 / L8, 1)
    assert mig_sup(half, rng(), normalization="latents").value == pytest.approx(1)


def test_rotated_codes() -> None:
    factors = grid(2, 2, copies=20)
    rotated = factors @ [[1.0, 1.0], [1.0, -1.0]]
    # 1.5 ln 2 nats in each latent, 0.5 ln 2 of them about each factor.
    assert values(represent(factors, rotated)) == all_of(0, own(2 * L2, L2), 0, 0)
    factors = draw()
    scaled = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    turn = np.linalg.qr(rng(3).normal(size=(5, 5)))[0]
    rotated = values(represent(factors, scaled @ turn))
    assert all(rotated[name] < b for name, b in zip(FOUR, (0.3, 0.4, 0.2, 0.95), strict=True))


def test_constant_codes_and_a_factor_that_no_latent_captures() -> None:
    factors = grid(2, 4, copies=20)
    constant = represent(factors, np.full((len(factors), 2), 0.1))
    assert values(constant) == all_of(0, (own(L2, L2) + own(L4, L4)) / 2, 0, 0)
    for metric in (mig_sup, modularity):
        details = metric(constant, rng()).details
        assert details["note"] == "no latent is active"
        assert details["pruned"] == ["z1", "z2"]
    # Rounding may leave 1e-17 nats about the other factor; a constant latent adds nothing.
    only = np.column_stack([factors[:, 1], np.zeros(len(factors))])
    assert values(represent(factors, only)) == all_of(1, (1 + own(L2 + L4, L2)) / 2, L4 / L8, 1)


def test_noise_has_no_information_beyond_the_bias() -> None:
    noise = represent(draw(), rng(1).normal(size=(ROWS, 10)))
    bias = 19 * 39 / (2 * ROWS)  # nats, of the factor with most classes
    assert (mig_sup(noise, rng()).value, modularity(noise, rng()).value) == (0, 0)
    assert 0 < mig_sup(noise, rng(), level=1).value < bias / np.log(3)
    assert modularity(noise, rng(), level=1).value == pytest.approx(0.66, abs=0.02)
    assert 0 < dcimig(noise, rng()).value < 5 * bias / np.log(DSPRITES).sum()
    assert jemmig(noise, rng()).value == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize("base", ["four of five", "rotated", "noise"])
@pytest.mark.parametrize("name", [*FOUR, "mig"])
def test_a_random_category_raises_no_score(name: str, base: str) -> None:
    factors, metric = draw(), {**FOUR, "mig": mig}[name]
    turn = np.linalg.qr(rng(3).normal(size=(5, 5)))[0]
    codes = {"four of five": 1.0 * factors[:, 1:], "rotated": factors @ turn}
    represented = represent(factors, codes.get(base, rng(1).normal(size=(ROWS, 5))))
    category = rng(5).integers(3, size=(ROWS, 1))
    with_it = replace(represented, categories=category, category_sizes=(3,))
    bias = 2 * 39 / (2 * ROWS) / np.log(3)
    rise = metric(with_it, rng()).value - metric(represented, rng()).value
    assert rise < bias
    if name in ("mig_sup", "modularity"):
        assert "c1" in metric(with_it, rng()).details["pruned"]
        assert rise == 0


def test_latents_with_a_small_kl_are_left_out() -> None:
    factors = draw()
    codes = np.column_stack([factors, factors @ [9.0, 5.0, 1.0, 1.0, 1.0]])
    for metric in (mig_sup, modularity):
        known = represent(factors, codes, kl=np.array([2.0] * 5 + [0.09]))
        perfect = metric(represent(factors, codes[:, :5]), rng()).value
        assert metric(known, rng()).value == perfect
        assert metric(known, rng()).details["pruned"] == ["z6"]
        assert metric(known, rng(), min_kl=0.09).value < perfect - 0.01


def test_p_values_are_those_of_pearsons_test() -> None:
    represented = represent(draw(500, (3, 6)), rng(1).normal(size=(500, 2)))
    relations = Relations.of(represented, rng(), "mig", 5, "width", 500)
    for d, z in enumerate(bin_latents(represented, 5)):
        for k, v in enumerate(represented.factors.T):
            expected = chi2_contingency(contingency(z, v), correction=False).pvalue
            assert relations.p_values[d, k] == pytest.approx(expected, rel=1e-9)


def test_as_many_noise_latents_pass_as_the_level_says() -> None:
    noise = represent(draw(1_000), rng(1).normal(size=(1_000, 400)))
    active = mig_sup(noise, rng(), level=0.2).details["active_count"]
    # Without Sidak's correction it would be 1 - 0.8^5, or 0.67.
    assert active / 400 == pytest.approx(0.2, abs=0.06)


# Requests


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([*FOUR, "mig"], {"bins": 1}, "at least 2"),
        ([*FOUR, "mig"], {"points": 1}, "at least 2"),
        ([*FOUR, "mig"], {"binning": "quantile"}, "quantile.*use width or frequency"),
        (["mig_sup", "modularity"], {"level": 0}, "level is 0: .*above 0"),
        (["mig_sup", "modularity"], {"level": 1.5}, "at most 1"),
        (["mig_sup"], {"normalization": "both"}, "both.*use factors or latents"),
    ],
)
def test_options_out_of_range_are_refused(names: Any, options: Any, message: str) -> None:
    for name in names:
        with pytest.raises(ValueError, match=message):
            {**FOUR, "mig": mig}[name](represent(draw(100), 1.0 * draw(100)), rng(), **options)


def test_what_is_undefined_is_refused() -> None:
    one = represent(grid(4, copies=20), 1.0 * grid(4, copies=20))
    for name, metric in FOUR.items():
        with pytest.raises(ValueError, match=f"{name} is undefined"):
            metric(replace(one, factors=np.zeros_like(one.factors)), rng())
        if name != "modularity":
            assert metric(one, rng()).value == pytest.approx(1)
    with pytest.raises(ValueError, match="v0 is the only factor.*undefined"):
        modularity(one, rng())
