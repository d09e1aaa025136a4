"""Latents that are vectors: one latent each, in every metric that takes them."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bench.metrics import (
    METRICS,
    STUDY_METRICS,
    Representation,
    active_units,
    dci,
    dci_fast,
    discrete_accuracy,
    explicitness,
    factorvae_score,
    infomec,
    mig_neighbours,
    total_correlation,
    udr,
)
from bench.metrics.calling import metric, takes_vectors
from bench.metrics.neighbours import information_of_numbers, information_with_classes
from bench.metrics.vectors import first_component, in_words, widths_in
from tests.metrics.conftest import QUICK, marked, plain, rng, score

SIZES = (3, 6, 8)
KINDS = ("categorical", "ordinal", "cyclic")
TAKE = ("active_units", "dci", "dci_fast", "discrete_accuracy", "explicitness", "factorvae_score")
TAKE += ("infomec", "mig_neighbours", "generalisation_linear", "generalisation_boosted")
TAKE += ("few_labels_linear", "few_labels_boosted", "dci_es")


def factors(rows: int = 1_500) -> np.ndarray:
    return rng(1).integers(SIZES, size=(rows, len(SIZES)))


def arrays(rows: int = 1_500) -> dict[str, Any]:
    """Entangled codes of four columns beside a category, with a posterior."""
    v = factors(rows)
    mixing = np.array([[1, 0.3, 0, 0.2], [0, 1, 0.2, 0.1], [0.1, 0, 1, 0.4]])
    codes = v @ mixing + 0.1 * rng(2).normal(size=(rows, 4))
    lost = rng(3).random(rows) < 0.3
    category = np.where(lost, rng(4).integers(3, size=rows), v[:, 0])
    return {
        "factors": v,
        "factor_kinds": KINDS,
        "codes": codes,
        "logvar": 0.1 * np.tanh(codes) - 3,
        "categories": category[:, None],
        "probabilities": 0.1 + 0.7 * np.eye(3)[category],
        "unseen": marked(rows),
    }


def turned(width: int, seed: int = 0) -> np.ndarray:
    """A random rotation (W, W)."""
    matrix: np.ndarray = np.linalg.qr(rng(seed).normal(size=(width, width)))[0]
    return matrix


def slots(rows: int = 1_500, noise: float = 0.02, turn: bool = True) -> np.ndarray:
    """(N, 3, 4) a vector for each factor: two frequencies of its angle, turned within itself."""
    parts = []
    for k, classes in enumerate(SIZES):
        angle = 2 * np.pi * factors(rows)[:, k] / classes
        wave = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1)
        wave += noise * rng(10 + k).normal(size=wave.shape)
        parts.append(wave @ turned(4, k) if turn else wave)
    return np.stack(parts, axis=1)


def of_slots(codes: np.ndarray, **more: Any) -> Representation:
    return Representation.of(codes=codes, factors=factors(len(codes)), factor_kinds=KINDS, **more)


# What a representation is


def test_a_vector_is_one_latent() -> None:
    codes = slots()
    r = of_slots(codes)
    assert (r.latents, r.widths, r.groups) == (3, (4, 4, 4), (4, 4, 4))
    assert r.latent_names == ("z1", "z2", "z3")
    assert r.codes.shape == (1_500, 12)
    for own, part in zip(r.vectors, codes.transpose(1, 0, 2), strict=True):
        np.testing.assert_array_equal(own, part)
    for groups in ("4x3", "4,4,4", "4x2, 4", [4, 4, 4], np.array([4, 4, 4])):
        again = of_slots(codes.reshape(-1, 12), groups=groups)
        assert again.groups == r.groups
        np.testing.assert_array_equal(again.codes, r.codes)
    assert "3 vectors of 4 columns each" in r.notes[0]
    rows = np.arange(100)
    assert r.take(rows).groups == r.groups
    assert r.split(rng())[0].groups == r.groups


def test_a_text_is_width_times_count() -> None:
    assert widths_in("16x20") == (16,) * 20
    assert widths_in("4, 2x3 ,1") == (4, 2, 2, 2, 1)
    assert in_words((16,) * 20) == "20 vectors of 16 columns each"
    assert in_words((4, 4, 2)) == "3 vectors of 4, 4 and 2 columns"
    assert in_words((7,)) == "1 vector of 7 columns"
    assert in_words((1, 16) * 10) == "20 vectors of 1 to 16 columns"


def test_the_kl_of_a_vector_is_the_sum_over_its_columns() -> None:
    whole = Representation.of(**arrays())
    grouped = Representation.of(**arrays(), groups="3,1")
    assert whole.kl is not None
    assert grouped.kl is not None
    np.testing.assert_allclose(grouped.kl, [whole.kl[:3].sum(), *whole.kl[3:]])
    three = arrays()
    three["codes"], three["logvar"] = (
        three[name].reshape(-1, 2, 2) for name in ("codes", "logvar")
    )
    shaped = Representation.of(**three)
    np.testing.assert_array_equal(shaped.kl, Representation.of(**arrays(), groups="2x2").kl)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"groups": "5x3"},
            "groups are 3 vectors of 5 columns each, 15 in all, and codes has 12 c",
        ),
        ({"groups": "axb"}, "groups is 'axb': write WIDTHxCOUNT, such as 16x20 for 20 latents of"),
        ({"groups": "4x"}, "groups is '4x': write WIDTHxCOUNT"),
        ({"groups": ""}, "groups is '': write WIDTHxCOUNT"),
        ({"groups": "1x999999999"}, "groups is '1x999999999': write WIDTHxCOUNT"),
        ({"groups": [6, 0, 6]}, "groups is [6, 0, 6]: each latent has at least one column"),
        ({"groups": []}, "groups is []: each latent has at least one column"),
        ({"groups": [4.5, 7.5]}, "groups is no list of whole numbers: give the columns of each"),
        ({"groups": 3}, "groups is no list of whole numbers: give the columns of each latent"),
        ({"groups": [12, 12], "codes": (3, 4)}, "by its shape: leave groups out"),
        ({"codes": (3, 2, 2)}, "codes has shape (1500, 3, 2, 2): give (N, D), or (N, latents, col"),
        ({"test": 6}, "groups are 3 vectors of 4 columns each, 12 in all, and codes has 6 columns"),
    ],
)
def test_what_is_no_grouping_is_refused_in_a_line(given: dict[str, Any], said: str) -> None:
    codes = slots()
    more: dict[str, Any] = {"groups": given.get("groups", "4x3")}
    if "codes" in given:
        codes = codes.reshape(-1, *given["codes"])
        more = {k: v for k, v in more.items() if k in given}
    else:
        codes = codes.reshape(len(codes), -1)
    if "test" in given:
        more["test"] = {"codes": codes[:, : given["test"]], "factors": factors()}
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        of_slots(codes, **more)
    assert "\n" not in str(refused.value)


# Latents of one column are what they were


@pytest.mark.parametrize("name", METRICS)
def test_groups_of_one_column_change_no_bit(name: str) -> None:
    given = arrays(600)
    codes = given["codes"]
    expected = score(name, Representation.of(**given))
    for codes_as, groups in ((codes[:, :, None], None), (codes, "1x4"), (codes, [1, 1, 1, 1])):
        result = score(name, Representation.of(**{**given, "codes": codes_as}, groups=groups))
        assert (result.value, result.parts) == (expected.value, expected.parts)
        assert plain(result) == plain(expected)


def test_a_number_beside_a_vector_has_the_same_numbers_as_alone() -> None:
    given = arrays(600)
    alone = Representation.of(**given)
    beside = Representation.of(**given, groups=[1, 1, 2])
    for metric_, key in ((mig_neighbours, "mutual_information"), (infomec, "nmi")):
        whole, some = (metric_(r).details[key] for r in (alone, beside))
        np.testing.assert_array_equal(some[[0, 1, 3]], whole[[0, 1, 4]])
    for metric_ in (dci, dci_fast):
        options = QUICK.get(metric_.__name__, {})
        whole, some = (metric_(r, **options) for r in (alone, beside))
        table = whole.details["importances"]
        np.testing.assert_allclose(
            some.details["importances"],
            np.vstack([table[:2], table[2] + table[3], table[4]]),
        )
        assert some.parts["informativeness"] == whole.parts["informativeness"]
    assert explicitness(beside).value == explicitness(alone).value
    assert discrete_accuracy(beside).value == discrete_accuracy(alone).value


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_of_one_column_have_the_information_of_numbers(dtype: type) -> None:
    v = factors()[:, 1]
    code = (v + 0.5 * rng(5).normal(size=len(v))).astype(dtype)
    for number in (code, np.round(code, 1), 1.0 * v):  # without ties, with some, and ties only
        expected = information_with_classes(number, v, 3)
        # A second column that never varies makes it a vector, and changes no distance.
        padded = np.column_stack([number, np.zeros_like(number)])
        assert information_with_classes(number[:, None], v, 3) == expected
        assert information_with_classes(padded, v, 3) == pytest.approx(expected, abs=1e-12)
        other = number + 0.3 * rng(6).normal(size=len(v))
        expected = information_of_numbers(number, other, 3)
        assert information_of_numbers(number[:, None], other, 3) == expected
        assert information_of_numbers(padded, other, 3) == pytest.approx(expected, abs=1e-12)


# What a vector is worth


@pytest.mark.parametrize("turn", [False, True])
def test_a_vector_for_each_factor_is_a_perfect_code(turn: bool) -> None:
    r = of_slots(slots(turn=turn))
    assert factorvae_score(r).value == 1
    assert mig_neighbours(r).value > 0.98
    assert infomec(r).value > 0.95
    assert infomec(r).parts["infoc"] > 0.95
    score_ = dci_fast(r)
    assert min(score_.value, *score_.parts.values()) > 0.95
    assert score_.details["importances"].shape == (3, 3)
    # As numbers on their own the columns share each factor.
    flat = of_slots(slots(turn=turn).reshape(-1, 12))
    assert mig_neighbours(flat).value < 0.5
    assert dci_fast(flat).parts["completeness"] < 0.9


def test_sine_and_cosine_of_an_angle_are_worth_the_angle() -> None:
    """To 0.01 of the entropy for the estimators of information.

    On 5,000 rows their error is a few thousandths of a nat, as much as with other noise. On the
    circle, 39 is next to 0, which costs nothing as long as classes do not overlap.
    """
    v = rng(7).integers([40, 8], size=(5_000, 2))
    angle = 2 * np.pi * (v[:, 0] + 0.1 * rng(8).normal(size=5_000)) / 40
    other = v[:, 1] + 0.1 * rng(9).normal(size=5_000)
    line = Representation.of(codes=np.column_stack([angle, other]), factors=v)
    circle = Representation.of(
        codes=np.column_stack([np.cos(angle), np.sin(angle), other]), factors=v, groups="2,1"
    )
    gaps = [mig_neighbours(r).details["gaps"] for r in (line, circle)]
    assert gaps[1]["v1"] == pytest.approx(gaps[0]["v1"], abs=0.01)
    assert gaps[1]["v2"] == pytest.approx(gaps[0]["v2"], abs=0.01)
    shares = [infomec(r) for r in (line, circle)]
    assert shares[1].details["nmi"] == pytest.approx(shares[0].details["nmi"], abs=0.01)
    assert shares[1].value == pytest.approx(shares[0].value, abs=0.01)
    assert shares[1].parts["infoc"] == pytest.approx(shares[0].parts["infoc"], abs=0.01)
    assert factorvae_score(circle).value == factorvae_score(line).value == 1
    as_numbers = Representation.of(codes=circle.codes, factors=v)
    assert mig_neighbours(as_numbers).details["gaps"]["v1"] < 0.2


# Axes within a vector mean nothing


def test_turning_within_a_vector_changes_nothing() -> None:
    codes = slots(noise=0.5)
    moved = np.stack([codes[:, k] @ turned(4, 20 + k) + 3.0 for k in range(3)], axis=1)
    before, after = of_slots(codes), of_slots(moved)
    # Distances and variances are the same but for rounding, so that counts of rows are equal.
    for metric_ in (mig_neighbours, infomec):
        first, second = metric_(before), metric_(after)
        assert second.value == pytest.approx(first.value, abs=1e-9)
        key = "nmi" if metric_ is infomec else "mutual_information"
        np.testing.assert_allclose(second.details[key], first.details[key], atol=1e-9)
    assert infomec(after).parts["infoc"] == pytest.approx(infomec(before).parts["infoc"], abs=1e-9)
    first, second = factorvae_score(before), factorvae_score(after)
    assert second.value == first.value
    np.testing.assert_array_equal(second.details["vote_matrix"], first.details["vote_matrix"])
    first, second = active_units(before), active_units(after)
    assert plain(second)["active"] == plain(first)["active"]
    for name, value in first.details["activity"].items():
        assert second.details["activity"][name] == pytest.approx(value)
    # Trees split along columns, and the penalty of a classifier weighs standardised ones.
    assert dci_fast(after).value == pytest.approx(dci_fast(before).value, abs=0.05)
    assert explicitness(after).value == pytest.approx(explicitness(before).value, abs=0.01)
    reduced = [r.reduced("pca1").codes for r in (before, after)]
    for a, b in zip(reduced[0].T, reduced[1].T, strict=True):
        np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-9)  # the sign is a convention


def test_a_vector_is_pruned_by_its_whole_spread() -> None:
    weak = 0.03 * rng(11).normal(size=(1_500, 1, 4))  # each column below 0.05, all four above
    r = of_slots(np.concatenate([slots(), weak], axis=1))
    assert factorvae_score(r).details["active"] == ["z1", "z2", "z3", "z4"]
    r = of_slots(np.concatenate([slots(), weak / 4], axis=1))
    pruned = factorvae_score(r)
    assert pruned.details["active"] == ["z1", "z2", "z3"]
    assert any("z4 left out" in warning for warning in pruned.warnings)
    r = of_slots(np.concatenate([slots(), np.full_like(weak, 0.1)], axis=1))
    assert factorvae_score(r, min_std=0.0).details["pruned"] == ["z4"]


def test_a_vector_of_shares_is_no_category_in_many_latents() -> None:
    hot = np.eye(3)[factors()[:, 0]] * 1.0
    codes = np.column_stack([hot, slots()[:, 1:].reshape(-1, 8)])
    assert any("add up to 1" in line for line in dci_fast(of_slots(codes)).warnings)
    grouped = of_slots(codes, groups="3,4,4")
    assert not any("add up to 1" in line for line in dci_fast(grouped).warnings)


# Metrics of numbers refuse


@pytest.mark.parametrize("name", sorted(set(METRICS) - set(TAKE)))
def test_a_metric_of_numbers_says_what_to_do(name: str) -> None:
    r = Representation.of(**arrays(200), groups="3,1")
    said = f"{name} takes latents of one number each, and z1 is a vector of 3: reduce vectors to"
    with pytest.raises(ValueError, match=said) as refused:
        METRICS[name](r)
    assert "\n" not in str(refused.value)
    assert not takes_vectors(METRICS[name])


def test_the_others_take_them() -> None:
    for name in TAKE:
        assert takes_vectors(METRICS[name])
        assert np.isfinite(score(name, Representation.of(**arrays(300), groups="3,1")).value)
    with pytest.raises(ValueError, match="discrete_accuracy takes latents of one number"):
        discrete_accuracy(of_slots(slots()))  # it would bin them
    assert list(STUDY_METRICS) == ["udr"]
    with pytest.raises(ValueError, match="udr takes latents of one number"):
        udr([of_slots(slots()), of_slots(slots())])


def test_a_metric_of_ones_own_says_whether_it_takes_them() -> None:
    def mine(representation: Representation, generator: np.random.Generator) -> Any:
        return total_correlation(representation.reduced("pca1"), generator)

    decorated: Callable[..., Any] = metric(vectors=True)(mine)
    assert decorated(of_slots(slots())).value >= 0
    with pytest.raises(ValueError, match="mine takes latents of one number"):
        metric()(mine)(of_slots(slots()))


# The published reduction


def test_a_component_is_that_of_scikit_learn() -> None:
    """The protocol of DisDiff and others on as many units as they have; see `reduced`."""
    plain_codes, mixing = rng(12).normal(size=(10_000, 20, 16)), rng(13).normal(size=(20, 16, 16))
    codes = np.einsum("nsw,swv->nsv", plain_codes, mixing)
    v = rng(14).integers([4, 5], size=(10_000, 2))
    codes[:, 0] += 3 * v[:, :1]
    codes[:, 1] += 3 * v[:, 1:]
    reduced = Representation.of(codes=codes, factors=v).reduced("pca1")
    assert (reduced.groups, reduced.codes.shape) == (None, (10_000, 20))
    theirs = np.hstack(
        [PCA(n_components=1, svd_solver="full").fit_transform(codes[:, s]) for s in range(20)]
    )
    # Both make the largest loading positive, so that even the signs agree.
    np.testing.assert_allclose(reduced.codes, theirs, atol=1e-8 * np.abs(theirs).max())
    of_theirs = Representation.of(codes=theirs, factors=v)
    for name in ("mig", "factorvae_score", "mcc"):
        ours, other = (METRICS[name](r) for r in (reduced, of_theirs))
        assert ours.value == pytest.approx(other.value, abs=1e-9), name
    fast = [dci_fast(r, points=2_000, test_points=500) for r in (reduced, of_theirs)]
    assert fast[0].value == pytest.approx(fast[1].value, abs=1e-6)


def test_what_reducing_keeps_and_loses() -> None:
    given = arrays(300)
    held_out = {k: v[:50] for k, v in given.items() if k not in ("factor_kinds", "unseen")}
    r = Representation.of(**given, groups="1,3", test=held_out)
    reduced = r.reduced("pca1")
    np.testing.assert_array_equal(reduced.codes[:, 0], r.codes[:, 0])
    mean, direction = first_component(r.codes[:, 1:])
    assert reduced.test is not None
    np.testing.assert_allclose(reduced.test.codes[:, 1], (r.test.codes[:, 1:] - mean) @ direction)
    assert (reduced.logvar, reduced.kl, reduced.test.logvar) == (None, None, None)
    np.testing.assert_array_equal(reduced.categories, r.categories)
    assert reduced.reduced("pca1") is reduced
    with pytest.raises(ValueError, match="no reduction 'mean' of vectors: choose pca1"):
        r.reduced("mean")
    constant = of_slots(np.full((1_500, 2, 3), 0.1)).reduced("pca1")
    assert not constant.codes.any()
