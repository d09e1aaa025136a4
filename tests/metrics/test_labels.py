"""Labels in practice: missing, continuous, correlated, on a part of the grid, in two halves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from bench.metrics import (
    METRICS,
    Representation,
    discrete_accuracy,
    factorvae_score,
    irs,
    jemmig,
    mcc,
    mig,
    sap,
)
from tests.metrics.conftest import WITHOUT_FACTORS, draw, grid, marked, plain, rng, score

SIZES = (3, 6, 10)
KINDS = ("categorical", "ordinal", "cyclic")
ROWS = 6_000
# These fit on some rows and score on the others, or one of their parts does.
HOLDING_OUT = {"discrete_accuracy": "", "sap": "", "explicitness": ""}
HOLDING_OUT |= {"dci": "informativeness", "dci_fast": "informativeness"}
HOLDING_OUT |= {"few_labels_linear": "", "few_labels_boosted": "", "dci_es": "informativeness"}
# What a perfect code scores at least; sap is small by construction.
PERFECT = {name: 0.85 for name in METRICS} | {"sap": 0.1} | dict.fromkeys(WITHOUT_FACTORS, 0.0)


def represent(factors: np.ndarray, codes: np.ndarray, **more: Any) -> Representation:
    """With a posterior, for the metrics that read one; latents are pruned by their deviation."""
    fields: dict[str, Any] = {
        "factor_kinds": KINDS,
        "logvar": np.full(codes.shape, -9.0),
        "unseen": marked(len(codes)),
        **more,
    }
    whole = Representation.of(factors=factors, codes=codes, **fields)
    test = None if whole.test is None else replace(whole.test, kl=None)
    return replace(whole, kl=None, test=test)


def noisy(factors: np.ndarray, seed: int = 2) -> np.ndarray:
    """Entangled codes (N, 3), variance about 1."""
    mixing = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.4], [0.3, 0.1, 1.0]])
    units = factors / np.array(SIZES) * np.sqrt(12)
    return units @ mixing + 0.3 * rng(seed).normal(size=factors.shape)


def without(factors: np.ndarray, share: float = 0.2, keep: int = 0) -> np.ndarray:
    """A share of the labels of each factor missing, except in the first `keep` rows."""
    lost = rng(3).random(factors.shape) < share
    lost[:keep] = False
    return np.where(lost, -1, factors)


# Missing labels


@pytest.mark.parametrize("name", METRICS)
def test_labels_missing_at_random_hardly_move_a_score(name: str) -> None:
    factors = draw(ROWS, SIZES, seed=1)
    codes = noisy(factors)
    complete = score(name, represent(factors, codes))
    some = score(name, represent(without(factors), codes))
    assert some.value == pytest.approx(complete.value, abs=0.03)
    assert some.parts == pytest.approx(complete.parts, abs=0.05)
    plain(some)


@pytest.mark.parametrize("name", METRICS)
def test_codes_of_rows_without_a_label_do_not_matter(name: str) -> None:
    factors = draw(ROWS, SIZES, seed=1)
    partly = without(factors)
    junk = rng(4).permuted(factors, axis=0)
    codes = np.where(partly < 0, junk, factors) / np.std(factors, axis=0)
    assert score(name, represent(partly, codes)).value >= PERFECT[name]


@pytest.mark.parametrize("name", METRICS)
def test_a_factor_without_any_label_is_left_out(name: str) -> None:
    factors = draw(ROWS, SIZES, seed=1)
    none = factors.copy()
    none[:, 2] = -1
    codes = noisy(factors)
    result = score(name, represent(none, codes))
    if "left_out" in result.details and name not in WITHOUT_FACTORS:
        assert (name == "discrete_accuracy") != ("v3" in plain(result)["left_out"])
    two = score(name, represent(factors[:, :2], codes, factor_kinds=KINDS[:2]))
    assert result.value == pytest.approx(two.value, abs=1e-9)
    none[:] = -1
    if name not in WITHOUT_FACTORS:
        with pytest.raises(ValueError, match="undefined|label"):
            score(name, represent(none, codes))


def alone(factors: np.ndarray, codes: np.ndarray, k: int, **more: Any) -> Representation:
    """The rows with a label of one factor, and no other factor."""
    known = factors[:, k] >= 0
    return represent(factors[known, k : k + 1], codes[known], factor_kinds=(KINDS[k],), **more)


def test_mig_of_a_factor_is_that_of_the_rows_with_its_label() -> None:
    factors = without(draw(ROWS, SIZES, seed=1))
    codes = noisy(np.abs(factors))
    gaps = mig(represent(factors, codes), rng()).details["gaps"]
    # The bins are those of all rows.
    binned = [np.digitize(z, np.histogram(z, 20)[1][1:-1]) for z in codes.T]
    for k, gap in enumerate(gaps.values()):
        known = factors[:, k] >= 0
        label = factors[known, k]
        information = sorted(mutual_info_score(z[known], label) for z in binned)
        expected = (information[-1] - information[-2]) / mutual_info_score(label, label)
        assert gap == pytest.approx(expected, abs=1e-12)


def test_jemmig_counts_the_entropy_of_a_latent_over_the_rows_with_a_label() -> None:
    factors = draw(ROWS, SIZES, seed=1)
    codes = noisy(factors)
    # The extremes keep their labels, so that the bins are the same.
    order = np.unique(np.concatenate([codes.argmin(axis=0), codes.argmax(axis=0)]))
    order = np.concatenate([order, np.setdiff1d(np.arange(ROWS), order)])
    factors, codes = without(factors[order], keep=6), codes[order]
    scores = jemmig(represent(factors, codes), rng()).details["scores"]
    for k, value in enumerate(scores.values()):
        expected = jemmig(alone(factors, codes, k), rng()).value
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_mcc_correlates_over_the_rows_with_a_label(correlation: Any) -> None:
    factors = without(draw(ROWS, SIZES, seed=1))
    codes = noisy(np.abs(factors))
    whole = mcc(represent(factors, codes), rng(), correlation=correlation)
    for k in range(3):
        part = mcc(alone(factors, codes, k), rng(), correlation=correlation)
        np.testing.assert_allclose(
            whole.details["correlations"][:, k], part.details["correlations"][:, 0], atol=1e-12
        )
    known = factors[:, 1] >= 0
    if correlation == "pearson":
        expected = abs(np.corrcoef(codes[known, 1], factors[known, 1])[0, 1])
        assert whole.details["correlations"][1, 1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("factors_as", ["classes", "values"])
def test_sap_fits_and_scores_the_rows_with_a_label(factors_as: Any) -> None:
    factors, others = without(draw(ROWS, SIZES, seed=1)), without(draw(3_000, SIZES, seed=5))
    codes, others_codes = noisy(np.abs(factors)), noisy(np.abs(others))
    test = {"factors": others, "codes": others_codes}
    whole = sap(represent(factors, codes, test=test), rng(), factors=factors_as)
    for k, gap in enumerate(whole.details["gaps"].values()):
        known = others[:, k] >= 0
        held_out = {"factors": others[known, k : k + 1], "codes": others_codes[known]}
        part = sap(alone(factors, codes, k, test=held_out), rng(), factors=factors_as)
        assert gap == pytest.approx(part.value, abs=1e-9)


def test_discrete_accuracy_is_that_of_the_rows_with_a_label() -> None:
    factors, others = without(draw(ROWS, SIZES, seed=1)), without(draw(3_000, SIZES, seed=5))
    codes, others_codes = noisy(np.abs(factors)), noisy(np.abs(others))
    test = {"factors": others, "codes": others_codes}
    whole = discrete_accuracy(represent(factors, codes, test=test), rng())
    known = others[:, 0] >= 0
    held_out = {"factors": others[known, :1], "codes": others_codes[known]}
    part = discrete_accuracy(alone(factors, codes, 0, test=held_out), rng())
    assert (whole.value, whole.parts) == (part.value, part.parts)


def test_votes_use_only_rows_with_a_label() -> None:
    factors = draw(ROWS, SIZES, seed=1)
    partly = without(factors, share=0.5)
    junk = rng(4).permuted(factors, axis=0)
    codes = np.where(partly < 0, junk, factors) / np.std(factors, axis=0)
    assert factorvae_score(represent(partly, codes), rng()).value == 1
    # If -1 were a class of its own, half of the rows would belong to it and be junk.
    as_class = represent(partly + 1, codes)
    assert factorvae_score(as_class, rng()).value < 0.97


def test_irs_uses_only_rows_with_a_label() -> None:
    factors = without(draw(ROWS, SIZES, seed=1))
    codes = noisy(np.abs(factors))
    matrix = irs(represent(factors, codes), rng()).details["irs"]
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    for k, size in enumerate(SIZES):
        changes = []
        for value in range(size):
            group = codes[factors[:, k] == value]
            changes.append(np.quantile(np.abs(group - group.mean(axis=0)), 0.99, axis=0))
        expected = np.maximum(0, 1 - np.mean(changes, axis=0) / largest)
        np.testing.assert_allclose(matrix[:, k], expected, atol=1e-12)


# Continuous factors


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_code_of_continuous_factors(name: str) -> None:
    numbers = rng(6).random(size=(ROWS, 3)) * [1, 20, 0.01]
    numbers = np.column_stack([rng(7).integers(3, size=ROWS), numbers])
    kinds = ("categorical", "continuous", "continuous", "continuous")
    representation = represent(numbers, numbers / numbers.std(axis=0), factor_kinds=kinds)
    assert representation.factor_sizes == (3, 20, 20, 20)
    assert score(name, representation).value >= PERFECT[name]
    noise = represent(numbers, rng(8).normal(size=(ROWS, 4)), factor_kinds=kinds)
    useless = score(name, noise)
    # InfoM of noise can be anything, which is why it is read with InfoE.
    # So can the explicitness of DCI-ES, which is read with its informativeness.
    part = {"infomec": "infoe", "dci_es": "informativeness"}.get(name)
    value = useless.parts[part] if part else useless.value
    assert value < 0.6 or name in WITHOUT_FACTORS


def test_continuous_factors_are_correlated_by_value_not_by_class() -> None:
    numbers = np.exp(2 * rng(6).normal(size=(ROWS, 2)))
    same = Representation.of(factors=numbers, codes=numbers)
    assert mcc(same, rng()).value == pytest.approx(1, abs=1e-12)
    result = sap(same, rng())
    assert result.details["measures"] == {"v1": "r2", "v2": "r2"}
    assert result.value > 0.99


# Incomplete grids, factors that depend on one another


def third() -> np.ndarray:
    """A hundred rows of each of a random third of the combinations."""
    return np.repeat(rng(9).permutation(grid(*SIZES))[:60], 100, axis=0)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("factors", [third, lambda: depending()], ids=["part", "correlated"])
def test_factors_need_no_full_grid(name: str, factors: Any) -> None:
    labels = factors()
    for codes in (noisy(labels), labels / labels.std(axis=0)):
        result = score(name, represent(labels, codes))
        assert np.isfinite(result.value)
        plain(result)
    # The perfect code is last.
    assert result.value >= PERFECT[name] - 0.3


def depending() -> np.ndarray:
    """Scale depends on shape in four rows of five."""
    labels = draw(ROWS, SIZES, seed=1)
    follows = rng(10).random(ROWS) < 0.8
    labels[:, 1] = np.where(follows, 2 * labels[:, 0], labels[:, 1])
    return labels


# Classes that look the same


def visible(kind: str, rows: int = 8_000) -> Representation:
    """Two latents: shape, and the visible angle, which is the same for orientations 0 and 39."""
    factors = rng(11).integers((3, 40), size=(rows, 2))
    angle = factors[:, 1] % 39
    latents: dict[str, Any] = {"codes": 1.0 * np.column_stack([factors[:, 0], angle])}
    if kind == "category":
        latents = {"categories": np.column_stack([factors[:, 0], angle])}
        latents["probabilities"] = np.hstack([np.eye(3)[factors[:, 0]], np.eye(39)[angle]])
    else:
        latents["logvar"] = np.full((rows, 2), -9.0)
    representation = Representation.of(
        factors=factors,
        factor_names=("shape", "orientation"),
        factor_kinds=("categorical", "categorical" if kind == "category" else "cyclic"),
        unseen=marked(rows),
        **latents,
    )
    return replace(representation, kl=None)


@pytest.mark.parametrize("kind", ["code", "category"])
def test_a_code_of_the_visible_angle_is_not_penalised_for_the_duplicate(kind: str) -> None:
    apart = visible(kind)
    merged = apart.merged("orientation", 39, 0)
    before, after = (mig(r, rng(), bins=39).details["gaps"] for r in (apart, merged))
    # 1/20 of the rows have two names for one angle: ln 2 / 20 of ln 40 nats, or 0.009.
    assert before["orientation"] == pytest.approx(1 - np.log(2) / 20 / np.log(40), abs=0.003)
    assert after["orientation"] == pytest.approx(1, abs=0.003)
    if kind == "category":
        accuracies = [discrete_accuracy(r, rng()).details["factors"] for r in (apart, merged)]
        assert accuracies[0]["orientation"]["majority"] == pytest.approx(39 / 40, abs=0.01)
        assert accuracies[1]["orientation"]["majority"] == 1


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_is_affected_by_the_gap_that_a_merged_class_leaves(name: str) -> None:
    merged = visible("code").merged("orientation", 39, 0)
    assert score(name, merged).value >= min(PERFECT[name], 0.6)


# Held-out rows


@pytest.mark.parametrize("name", METRICS)
def test_held_out_rows_are_used_by_the_metrics_that_need_them(name: str) -> None:
    factors, others = draw(ROWS, SIZES, seed=1), draw(3_000, SIZES, seed=5)
    codes, others_codes = noisy(factors), noisy(others)

    part = HOLDING_OUT.get(name)

    def value(labels: np.ndarray | None) -> float:
        test = None if labels is None else {"factors": labels, "codes": others_codes}
        if test is not None:
            test["logvar"] = np.full(others_codes.shape, -9.0)
        whole = score(name, represent(factors, codes, test=test))
        return whole.parts[part] if part else whole.value

    shuffled = rng(12).permuted(others, axis=0)
    if part is not None:
        assert value(shuffled) < value(others) - 0.05
        assert value(None) == pytest.approx(value(others), abs=0.05)
    else:
        assert value(shuffled) == value(others) == value(None)
