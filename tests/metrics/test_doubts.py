"""When a score cannot be trusted it says so, in one short line, and only then."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import (
    METRICS,
    Representation,
    active_units,
    betavae_score,
    discrete_accuracy,
    factorvae_score,
    mig,
    shuffled,
)
from tests.metrics.conftest import QUICK, WITHOUT_FACTORS, draw, marked, rng, score

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
SIZES = (3, 6, 8)
KINDS = ("categorical", "ordinal", "ordinal")
# These say nothing of few rows: counts of latents, and decompositions with warnings of their own.
SILENT = {"active_units"}
LONGEST = 400


def standard(factors: np.ndarray) -> np.ndarray:
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


def noise(rows: int, latents: int, seed: int = 0) -> Representation:
    """Codes that know nothing of three factors, with a posterior."""
    codes = rng(seed).normal(size=(rows, latents))
    return Representation.of(
        codes=codes,
        logvar=-4 + 0.1 * np.tanh(codes),
        factors=draw(rows, SIZES, seed=seed + 1),
        factor_kinds=KINDS,
        factor_sizes=SIZES,
        unseen=marked(rows),
    )


def clean(rows: int = 3_000, **changed: Any) -> Representation:
    """A perfect code with a little noise, without a posterior."""
    factors = draw(rows, SIZES)
    codes = standard(factors) + 0.02 * rng(2).normal(size=factors.shape)
    return Representation.of(
        **{"codes": codes, "factors": factors, "factor_kinds": KINDS, **changed}
    )


def about(warnings: Any, text: str) -> list[str]:
    return [warning for warning in warnings if text in warning]


# Few rows, many latents


@pytest.mark.parametrize("name", sorted(set(METRICS) - SILENT))
@pytest.mark.parametrize(("rows", "latents"), [(20, 10), (40, 50)])
def test_noise_of_few_rows_is_doubted(name: str, rows: int, latents: int) -> None:
    result = METRICS[name](noise(rows, latents), rng(), **QUICK.get(name, {}))
    lines = list(result.warnings)
    if name in ("mig_sup", "modularity") and not result.details["active"]:
        return  # a score of 0 for noise needs no doubt
    assert about(lines, "few") or about(lines, "copies"), lines
    assert all("\n" not in line and len(line) < LONGEST for line in lines)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"infomec", "mig_posterior", "dci_es"}))
def test_many_rows_are_not_doubted(name: str) -> None:
    """InfoM and DCI-ES warn of what is not told, and a narrow posterior of its own rows."""
    result = METRICS[name](noise(6_000, 10), rng(), **QUICK.get(name, {}))
    if name == "kl_decomposition":
        assert all("mutual information" in line for line in result.warnings)
    else:
        assert not result.warnings


@pytest.mark.parametrize("name", ["betavae_score", "factorvae_score", "dci_fast", "mcc", "irs"])
@pytest.mark.parametrize("latents", [3, 12, 40])
def test_where_noise_scores_high_there_is_a_warning(name: str, latents: int) -> None:
    """Every score of noise that is well above the one at 6,000 rows has a warning."""
    options = {"betavae_score": {"points": 1_500, "test_points": 500}}.get(name, {})
    level = METRICS[name](noise(6_000, latents), rng(), **options).value
    for rows in (20, 60, 150, 400, 1_000):
        result = METRICS[name](noise(rows, latents), rng(), **options)
        if result.value > level + 0.15:
            assert about(result.warnings, "rows"), (rows, float(result), level)


def test_a_warning_names_a_count_and_few_latents() -> None:
    factors = draw(600, (3, 6))
    codes = rng().normal(size=(600, 300))
    codes[:, :2] = factors + 0.05 * rng(1).normal(size=factors.shape)
    many = Representation.of(codes=codes, factors=factors)
    for name in ("explicitness", "infomec"):
        lines = METRICS[name](many).warnings
        assert about(lines, "few")
        assert max(map(len, lines)) < LONGEST
    assert about(METRICS["infomec"](many).warnings, "more: active, but dependent on no factor")


# What the data are


# A read-out minds no columns.
READ_OUTS = {"explicitness", "few_labels_linear", "few_labels_boosted"}
READ_OUTS |= {"generalisation_linear", "generalisation_boosted"}


@pytest.mark.parametrize("name", sorted(set(METRICS) - READ_OUTS - {"mig_posterior"}))
def test_one_hot_columns_of_codes_are_noticed(name: str) -> None:
    factors = draw(2_000, SIZES)
    hot = np.column_stack([np.eye(3)[factors[:, 0]], standard(factors[:, 1:])])
    arrays = {"codes": hot, "logvar": -5 + 0.1 * np.tanh(hot)}
    one_hot = Representation.of(factors=factors, factor_kinds=KINDS, **arrays)
    (line,) = about(score(name, one_hot).warnings, "add up to 1")
    assert line.startswith("z1, z2, z3 add up to 1 in every row: one category counted as 3")
    assert not about(score(name, clean()).warnings, "add up") if name != "kl_decomposition" else 1


def test_shares_of_a_category_are_noticed_and_other_codes_are_not() -> None:
    factors = draw(2_000, SIZES)
    shares = rng(3).dirichlet(np.ones(4), size=2_000)
    codes = np.column_stack([standard(factors), shares])
    assert about(mig(codes, factors).warnings, "z4, z5, z6, z7 add up to 1")
    two = np.column_stack([shares, np.eye(3)[factors[:, 0]]])
    assert about(mig(two, factors).warnings, "(and 1 more groups)")
    sigmoids = 1 / (1 + np.exp(-rng(4).normal(size=(2_000, 60))))
    assert not about(mig(sigmoids, factors).warnings, "add up")
    binary = rng(5).integers(2, size=(2_000, 20)).astype(float)
    assert not about(mig(binary, factors).warnings, "add up")


@pytest.mark.parametrize("name", sorted(set(METRICS) - set(WITHOUT_FACTORS) - {"mig_posterior"}))
def test_one_hot_columns_of_factors_are_noticed(name: str) -> None:
    factors = draw(2_000, SIZES)
    hot = np.column_stack([np.eye(3, dtype=int)[factors[:, 0]], factors[:, 1:]])
    codes = standard(factors) + 0.02 * rng(2).normal(size=factors.shape)
    kinds = ["categorical"] * 3 + ["ordinal"] * 2
    unseen = marked(len(codes))
    one_hot = Representation.of(codes=codes, factors=hot, factor_kinds=kinds, unseen=unseen)
    (line,) = about(score(name, one_hot).warnings, "one factor counted")
    assert "v1, v2, v3 are 0 or 1 and add up to 1 in every row" in line


@pytest.mark.parametrize("name", ["mig", "infomec", "sap", "dcimig", "dci_fast", "factorvae_score"])
def test_dependent_factors_are_noticed(name: str) -> None:
    a = rng(0).integers(10, size=3_000)
    near = np.clip(a + rng(1).integers(-1, 2, size=3_000), 0, 9)
    factors = np.column_stack([a, near, rng(2).integers(6, size=3_000)])
    codes = factors + 0.05 * rng(3).normal(size=factors.shape)
    (line,) = about(METRICS[name](codes, factors).warnings, "depend on one another")
    assert "1 of 3 pairs, most of all v1 and v2" in line
    assert not about(
        METRICS[name](standard(factors[:, [0, 2]]), factors[:, [0, 2]]).warnings, "dep"
    )


def test_the_mig_that_a_perfect_code_has_on_dependent_factors_is_about_right() -> None:
    a = rng(0).integers(10, size=5_000)
    factors = np.column_stack([a, np.where(rng(1).random(5_000) < 0.5, a, rng(2).permutation(a))])
    result = mig(1.0 * factors, factors, bins=100)
    (line,) = about(result.warnings, "depend on one another")
    said = float(line.rpartition("MIG of ")[2].split()[0])
    assert said == pytest.approx(result.value, abs=0.03)


def test_few_rows_of_independent_factors_are_not_called_dependent() -> None:
    for seed in range(5):
        factors = draw(60, (3, 6, 40), seed=seed)
        lines = mig(rng(1).normal(size=(60, 3)), factors).warnings
        assert not about(lines, "depend on one another")


def test_copies_of_rows_are_noticed() -> None:
    once = noise(1_000, 4)
    rows = np.repeat(np.arange(1_000), 3)
    result = mig(once.take(rows))
    (line,) = about(result.warnings, "copies")
    assert line.startswith("2,000 of 3,000 rows are copies of others")
    assert not about(mig(once).warnings, "copies")
    # A code that repeats the factors repeats where they do.
    factors = draw(3_000, SIZES)
    assert not about(mig(1.0 * factors, factors).warnings, "copies")


# Codes of any scale


@pytest.mark.parametrize("metric", [factorvae_score, betavae_score, active_units])
@pytest.mark.parametrize("scale", [1e-6, 0.01, 0.3, 100.0])
def test_the_scale_of_codes_without_a_posterior_does_not_matter(metric: Any, scale: float) -> None:
    whole, scaled = clean(), clean(codes=clean().codes * scale)
    assert metric(scaled).value == metric(whole).value
    assert not metric(scaled).warnings


@pytest.mark.parametrize("metric", [factorvae_score, betavae_score, active_units])
def test_what_is_pruned_by_its_spread_is_named(metric: Any) -> None:
    weak = clean(codes=clean().codes * [1, 1, 0.04])
    result = metric(weak)
    (line,) = about(result.warnings, "z3 left out")
    assert "the scale of codes without a posterior decides it" in line
    known = clean(logvar=-9 + 0.1 * np.tanh(clean().codes))
    assert not about(metric(known).warnings, "left out")


# Chance


def test_shuffled_factors_keep_everything_but_their_rows() -> None:
    test = {"codes": rng(7).normal(size=(500, 3)), "factors": draw(500, SIZES, seed=8)}
    numbers = rng(9).random(size=(3_000, 1))
    factors = np.column_stack([draw(3_000, SIZES), numbers])
    test["factors"] = np.column_stack([test["factors"], rng(10).random(500)])
    whole = clean(factors=factors, factor_kinds=(*KINDS, "continuous"), test=test)
    other = shuffled(whole, rng(1))
    np.testing.assert_array_equal(other.codes, whole.codes)
    assert other.notes == whole.notes
    assert whole.values is not None
    assert other.values is not None
    assert whole.test is not None
    assert other.test is not None
    for a, b in ((whole, other), (whole.test, other.test)):
        assert not (a.factors == b.factors).all()
        np.testing.assert_array_equal(np.sort(a.factors, axis=0), np.sort(b.factors, axis=0))
    # Factors and numbers of one row stay together.
    order = np.argsort(other.values[:, 3]), np.argsort(whole.values[:, 3])
    np.testing.assert_array_equal(other.factors[order[0]], whole.factors[order[1]])
    assert mig(whole).value > 0.4
    assert mig(other).value < 0.05


# Sizes that are declared


def test_classes_that_do_not_occur_change_no_score() -> None:
    factors = draw(2_000, SIZES)
    codes = standard(factors) + 0.3 * rng(2).normal(size=factors.shape)
    for name in METRICS:
        values = []
        for sizes in (SIZES, (30, 60, 80)):
            logvar = -5 + 0.1 * np.tanh(codes)
            whole = Representation.of(
                codes=codes,
                factors=factors,
                logvar=logvar,
                factor_kinds=KINDS,
                factor_sizes=sizes,
                unseen=marked(len(codes)),
            )
            result = score(name, whole)
            values.append((result.value, dict(result.parts)))
        assert values[0] == values[1], name


def test_the_chance_of_an_accuracy_is_that_of_the_classes_that_occur() -> None:
    whole = clean(factor_sizes=(30, 6, 8))
    details = discrete_accuracy(whole).details
    assert details["chance_uniform"] == pytest.approx(1 / 3)


def test_a_factor_without_a_kind_is_told_how_to_get_one() -> None:
    with pytest.raises(ValueError, match="--kind v1=categorical"):
        discrete_accuracy(clean().codes, draw(3_000, SIZES))


def test_no_committed_score_depends_on_the_threshold_of_codes_without_a_posterior() -> None:
    """None of them had a latent pruned, and none has by a threshold relative to the largest."""
    records = 0
    for path in REFERENCE.rglob("evaluation.json"):
        evaluation = json.loads(path.read_text())
        if evaluation["kl"] is not None:
            continue
        spread = np.array(evaluation["spread"])
        assert spread.min() > max(0.05, 0.05 * spread.max())
        scores = json.loads((path.parent / "scores.json").read_text())
        assert scores["factorvae_score"]["details"]["pruned"] == []
        records += 1
    assert records > 30
