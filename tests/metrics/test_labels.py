"""Labels as they come: missing, continuous, correlated, on a part of the grid, in two halves."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from bench.metrics import (
    METRICS,
    Representation,
    Score,
    discrete_accuracy,
    factorvae_score,
    irs,
    jemmig,
    mcc,
    mig,
    sap,
)

SIZES = (3, 6, 10)
KINDS = ("categorical", "ordinal", "cyclic")
ROWS = 6_000
# Cheaper than the defaults, and the same definition but for the number of points.
OPTIONS: dict[str, dict[str, Any]] = {"dci": {"points": 1_000, "stages": 6, "rate": 0.5}}
# These fit on some rows and score on the others, or a part of them does.
HOLDING_OUT = {"discrete_accuracy": "", "sap": "", "explicitness": ""}
HOLDING_OUT |= {"dci": "informativeness", "dci_fast": "informativeness"}
# These look at the codes alone; their value is no share.
ASK_FOR_NO_FACTOR = ("total_correlation", "kl_decomposition", "active_units")
# What a perfect code scores at least; sap is small by construction.
PERFECT = {name: 0.85 for name in METRICS} | {"sap": 0.1} | dict.fromkeys(ASK_FOR_NO_FACTOR, 0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def score(name: str, representation: Representation) -> Score:
    return METRICS[name](representation, rng(), **OPTIONS.get(name, {}))


def draw(rows: int = ROWS, seed: int = 1) -> np.ndarray:
    return rng(seed).integers(SIZES, size=(rows, 3))


def represent(factors: np.ndarray, codes: np.ndarray, **more: Any) -> Representation:
    """With a posterior, for the metrics that read one; latents are pruned by their deviation."""
    given: dict[str, Any] = {
        "factor_kinds": KINDS,
        "logvar": np.full(codes.shape, -9.0),
        **more,
    }
    made = Representation.of(factors=factors, codes=codes, **given)
    test = None if made.test is None else replace(made.test, kl=None)
    return replace(made, kl=None, test=test)


def noisy(factors: np.ndarray, seed: int = 2) -> np.ndarray:
    """Entangled codes (N, 3), variance about 1."""
    mixing = np.array([[1.0, 0.3, 0.1], [0.2, 1.0, 0.4], [0.3, 0.1, 1.0]])
    units = factors / np.array(SIZES) * np.sqrt(12)
    return units @ mixing + 0.3 * rng(seed).normal(size=factors.shape)


def without(factors: np.ndarray, share: float = 0.2, keep: int = 0) -> np.ndarray:
    """A share of the labels of each factor missing, but for the first `keep` rows."""
    lost = rng(3).random(factors.shape) < share
    lost[:keep] = False
    return np.where(lost, -1, factors)


def plain(value: Score) -> Any:
    """Details as JSON reads them back; NaN is refused."""
    return json.loads(
        json.dumps(dict(value.details), default=lambda a: a.tolist(), allow_nan=False)
    )


# Missing labels


@pytest.mark.parametrize("name", METRICS)
def test_labels_missing_at_random_hardly_move_a_score(name: str) -> None:
    factors = draw()
    codes = noisy(factors)
    complete = score(name, represent(factors, codes))
    some = score(name, represent(without(factors), codes))
    assert some.value == pytest.approx(complete.value, abs=0.03)
    assert some.parts == pytest.approx(complete.parts, abs=0.05)
    plain(some)


@pytest.mark.parametrize("name", METRICS)
def test_what_a_code_does_where_its_label_is_missing_is_nobodys_business(name: str) -> None:
    factors = draw()
    partly = without(factors)
    junk = rng(4).permuted(factors, axis=0)
    codes = np.where(partly < 0, junk, factors) / np.std(factors, axis=0)
    assert score(name, represent(partly, codes)).value >= PERFECT[name]


@pytest.mark.parametrize("name", METRICS)
def test_a_factor_without_any_label_is_left_out(name: str) -> None:
    factors = draw()
    none = factors.copy()
    none[:, 2] = -1
    codes = noisy(factors)
    value = score(name, represent(none, codes))
    if "left_out" in value.details and name not in ASK_FOR_NO_FACTOR:
        assert (name == "discrete_accuracy") != ("v3" in plain(value)["left_out"])
    two = score(name, represent(factors[:, :2], codes, factor_kinds=KINDS[:2]))
    assert value.value == pytest.approx(two.value, abs=1e-9)
    none[:] = -1
    if name not in ASK_FOR_NO_FACTOR:
        with pytest.raises(ValueError, match="undefined|label"):
            score(name, represent(none, codes))


def alone(factors: np.ndarray, codes: np.ndarray, k: int, **more: Any) -> Representation:
    """The rows with a label of one factor, and no other factor."""
    known = factors[:, k] >= 0
    return represent(factors[known, k : k + 1], codes[known], factor_kinds=(KINDS[k],), **more)


def test_mig_of_a_factor_is_that_of_the_rows_with_its_label() -> None:
    factors = without(draw())
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
    factors = draw()
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
    factors = without(draw())
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
    factors, others = without(draw()), without(draw(3_000, seed=5))
    codes, others_codes = noisy(np.abs(factors)), noisy(np.abs(others))
    test = {"factors": others, "codes": others_codes}
    whole = sap(represent(factors, codes, test=test), rng(), factors=factors_as)
    for k, gap in enumerate(whole.details["gaps"].values()):
        known = others[:, k] >= 0
        held_out = {"factors": others[known, k : k + 1], "codes": others_codes[known]}
        part = sap(alone(factors, codes, k, test=held_out), rng(), factors=factors_as)
        assert gap == pytest.approx(part.value, abs=1e-9)


def test_discrete_accuracy_is_that_of_the_rows_with_a_label() -> None:
    factors, others = without(draw()), without(draw(3_000, seed=5))
    codes, others_codes = noisy(np.abs(factors)), noisy(np.abs(others))
    test = {"factors": others, "codes": others_codes}
    whole = discrete_accuracy(represent(factors, codes, test=test), rng())
    known = others[:, 0] >= 0
    held_out = {"factors": others[known, :1], "codes": others_codes[known]}
    part = discrete_accuracy(alone(factors, codes, 0, test=held_out), rng())
    assert (whole.value, whole.parts) == (part.value, part.parts)


def test_votes_hold_rows_with_a_label_only() -> None:
    factors = draw()
    partly = without(factors, share=0.5)
    junk = rng(4).permuted(factors, axis=0)
    codes = np.where(partly < 0, junk, factors) / np.std(factors, axis=0)
    assert factorvae_score(represent(partly, codes), rng()).value == 1
    # Were -1 a class of its own, half of the rows would be of it and junk.
    as_class = represent(partly + 1, codes)
    assert factorvae_score(as_class, rng()).value < 0.97


def test_irs_holds_rows_with_a_label_only() -> None:
    factors = without(draw())
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
    # InfoM of noise may be anything, which is why InfoE stands beside it.
    value = useless.parts["infoe"] if name == "infomec" else useless.value
    assert value < 0.6 or name in ASK_FOR_NO_FACTOR


def test_continuous_factors_are_correlated_by_value_not_by_class() -> None:
    numbers = np.exp(2 * rng(6).normal(size=(ROWS, 2)))
    value = mcc(Representation.of(factors=numbers, codes=numbers), rng())
    assert value.value == pytest.approx(1, abs=1e-12)
    value = sap(Representation.of(factors=numbers, codes=numbers), rng())
    assert value.details["measures"] == {"v1": "r2", "v2": "r2"}
    assert value.value > 0.99


# Grids in part, factors that depend on one another


def third() -> np.ndarray:
    """Twenty rows of each of a random third of the combinations."""
    grid = np.indices((3, 6, 10)).reshape(3, -1).T
    return np.repeat(rng(9).permutation(grid)[:60], 100, axis=0)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("factors", [third, lambda: depending()], ids=["part", "correlated"])
def test_factors_need_no_full_grid(name: str, factors: Any) -> None:
    labels = factors()
    for codes in (noisy(labels), labels / labels.std(axis=0)):
        value = score(name, represent(labels, codes))
        assert np.isfinite(value.value)
        plain(value)
    # The perfect code is last.
    assert value.value >= PERFECT[name] - 0.3


def depending() -> np.ndarray:
    """Scale follows shape in four rows of five."""
    labels = draw()
    follows = rng(10).random(ROWS) < 0.8
    labels[:, 1] = np.where(follows, 2 * labels[:, 0], labels[:, 1])
    return labels


# Classes that cannot be told apart


def visible(kind: str, rows: int = 8_000) -> Representation:
    """Two latents: shape, and the angle that is seen, the same for orientations 0 and 39."""
    factors = rng(11).integers((3, 40), size=(rows, 2))
    angle = factors[:, 1] % 39
    given: dict[str, Any] = {"codes": 1.0 * np.column_stack([factors[:, 0], angle])}
    if kind == "category":
        given = {"categories": np.column_stack([factors[:, 0], angle])}
        given["probabilities"] = np.hstack([np.eye(3)[factors[:, 0]], np.eye(39)[angle]])
    else:
        given["logvar"] = np.full((rows, 2), -9.0)
    made = Representation.of(
        factors=factors,
        factor_names=("shape", "orientation"),
        factor_kinds=("categorical", "categorical" if kind == "category" else "cyclic"),
        **given,
    )
    return replace(made, kl=None)


@pytest.mark.parametrize("kind", ["code", "category"])
def test_a_code_of_the_visible_angle_is_not_blamed_for_the_duplicate(kind: str) -> None:
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
def test_a_merged_class_leaves_a_gap_that_no_metric_minds(name: str) -> None:
    merged = visible("code").merged("orientation", 39, 0)
    assert score(name, merged).value >= min(PERFECT[name], 0.6)


# Rows held out


@pytest.mark.parametrize("name", METRICS)
def test_rows_held_out_are_for_the_metrics_that_hold_out(name: str) -> None:
    factors, others = draw(), draw(3_000, seed=5)
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
