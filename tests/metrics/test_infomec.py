"""InfoMEC and the information of nearest neighbours: published values, scikit-learn, by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from bench.metrics import Representation
from bench.metrics.binning import equal_width_bins
from bench.metrics.infomec import infomec
from bench.metrics.information import contingency, entropy, mutual_information_of_table
from bench.metrics.neighbours import information_of_numbers, information_with_classes
from tests.metrics.conftest import golden, grid, noisy, plain, rng

# Published values

SMOOTH = ("b_rotated", "c_noise", "g1_noise01", "k_shapes3d")
TIED = ("a_perfect", "d_dup", "e_merge", "f_collapsed", "h_warp", "i_onehot")


@pytest.mark.parametrize(
    ("case", "variant"),
    [(case, "latent_quantization") for case in (*SMOOTH, *TIED)]
    + [(case, "tripod") for case in ("c_noise", "k_shapes3d")],
)
def test_infomec_is_the_published_one(shared: Path, case: str, variant: Any) -> None:
    stored = golden(shared, case)
    theirs = stored.values
    score = infomec(stored.represent(), rng(), variant=variant)
    key = f"infomec/{variant}/continuous/"
    # Theirs breaks ties by noise and sets negative estimates to 0. If most rows are tied, the noise
    # is about 0.003 nats between independent variables; ours is its mean, about 0.
    tolerance = 1e-4 if case in SMOOTH else 4e-3
    assert score.value == pytest.approx(theirs[key + "infom"], abs=tolerance)
    assert score.parts["infoc"] == pytest.approx(theirs[key + "infoc"], abs=tolerance)
    # The same 100 iterations, here of doubles.
    infoe = theirs["infomec/latent_quantization/continuous/infoe"]
    assert score.parts["infoe"] == pytest.approx(infoe, abs=1e-5)


def binned(train: dict[str, Any], rows: int) -> Representation:
    categories = equal_width_bins(train["codes"], 20)[:rows]
    sizes = [20] * categories.shape[1]
    factors = train["factors"][:rows]
    return Representation.of(categories=categories, category_sizes=sizes, factors=factors)


@pytest.mark.parametrize("case", ["e_merge", "f_collapsed"])
def test_information_of_categories_is_exact(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    theirs = stored.values
    score = infomec(binned(stored.train, 10_000), rng(), variant="tripod", level=1)
    assert score.value == pytest.approx(theirs["infomec/tripod/binned/infom"], abs=1e-9)
    assert score.parts["infoc"] == pytest.approx(theirs["infomec/tripod/binned/infoc"], abs=1e-9)


@pytest.mark.parametrize(("case", "active"), [("c_noise", 0), ("f_collapsed", 5)])
def test_noise_that_was_cut_into_bins_is_not_active(shared: Path, case: str, active: int) -> None:
    # As published (level=1) it is: bins make it as wide as any latent.
    few = binned(golden(shared, case).train, 1_000)
    assert infomec(few, rng()).details["active_count"] == active


# Nearest neighbours


def numbers(rows: int = 2_000) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Two numbers, and how far the noise of scikit-learn may move the estimate, in nats."""
    v, noise = rng(3).random(rows), rng(4).normal(size=rows)
    return {
        "independent": (noise, v, 1e-4),
        "dependent": (v + 0.1 * noise, v, 1e-4),
        "large and shifted": (1e6 * (v + 0.1 * noise) + 1e9, v, 1e-4),
        "rounded": (np.round((v + 0.1 * noise) * 400), v, 5e-3),
        "20 values": (np.round(v * 20 + 2 * noise), v, 1e-2),
        "half the rows tied": (np.where(noise > 0, 0.5, v), v, 1e-2),
    }


@pytest.mark.parametrize("neighbours", [3, 10])
@pytest.mark.parametrize("name", numbers())
def test_neighbours_agree_with_scikit_learn(name: str, neighbours: int) -> None:
    a, b, tolerance = numbers()[name]
    labels = (b * 12).astype(int)
    labels[:15] = 12 + np.arange(15) // 5  # three classes of fewer rows than neighbours
    labels[15] = 15  # and one of a single row
    # The mean over four draws of the noise.
    classes = np.mean(
        [
            mutual_info_classif(a[:, None], labels, n_neighbors=neighbours, random_state=seed)
            for seed in range(4)
        ]
    )
    assert information_with_classes(a, labels, neighbours) == pytest.approx(classes, abs=tolerance)
    both = np.mean(
        [
            mutual_info_regression(a[:, None], b, n_neighbors=neighbours, random_state=seed)
            for seed in range(4)
        ]
    )
    assert information_of_numbers(a, b, neighbours) == pytest.approx(both, abs=tolerance)


def test_ties_count_as_the_classes_that_they_are() -> None:
    values = rng(1).integers(7, size=3_000)
    labels = np.where(rng(2).random(3_000) < 0.5, values // 2, rng(3).integers(4, size=3_000))
    plugged = mutual_information_of_table(contingency(values, labels))
    # Both are biased, by 0.003 nats each.
    assert information_with_classes(values * 0.1, labels, 10) == pytest.approx(plugged, abs=6e-3)
    both = information_of_numbers(values * 0.1, labels * 7.0, 10)
    assert both == pytest.approx(plugged, abs=6e-3)
    assert information_with_classes(labels * 0.3, labels, 3) == pytest.approx(
        entropy(labels), abs=1e-3
    )


def test_neighbours_find_the_information_of_gaussians() -> None:
    a, noise = rng(1).normal(size=(2, 4_000))
    b = 0.8 * a + 0.6 * noise
    assert information_of_numbers(a, b, 3) == pytest.approx(-0.5 * np.log(1 - 0.64), abs=0.04)
    itself = information_of_numbers(a, a, 10)
    assert itself == pytest.approx(digamma(4_000) - digamma(10), abs=1e-9)


def test_neighbours_do_not_depend_on_order_sign_and_scale() -> None:
    a, b, _ = numbers(1_000)["20 values"]
    labels, order = (b * 12).astype(int), rng(5).permutation(1_000)
    expected = information_with_classes(a, labels, 10)
    for changed in (-a, 1e300 * (a - 3), 1e-200 * a, a.astype(np.float32)):
        information = information_with_classes(changed[order], labels[order], 10)
        assert information == pytest.approx(expected, abs=1e-12)
    assert information_of_numbers(-7 * a[order], b[order] + 3, 10) == pytest.approx(
        information_of_numbers(a, b, 10), abs=1e-12
    )


def test_neighbours_of_nothing() -> None:
    assert information_with_classes(np.arange(5.0), np.arange(5), 3) == 0
    assert information_with_classes(np.full(5, 0.1), np.array([0, 0, 0, 1, 1]), 3) == 0
    assert information_of_numbers(np.full(5, 0.1), np.arange(5.0), 3) == 0
    assert information_of_numbers(np.array([1.0]), np.array([1.0]), 3) == 0


# InfoMEC by hand


def exact(categories: np.ndarray, factors: np.ndarray) -> Any:
    columns = categories.reshape(len(factors), -1)
    return infomec(Representation.of(categories=columns, factors=factors), rng())


def test_perfect_redundant_and_merged_categories() -> None:
    v, w = (factors := grid(3, 4, copies=50)).T
    perfect = exact(np.column_stack([w, v]), factors)
    assert perfect.value == pytest.approx(1, abs=1e-12)
    assert perfect.parts["infoc"] == pytest.approx(1, abs=1e-12)
    assert perfect.parts["infoe"] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(perfect.details["nmi"], [[0, 1], [1, 0]], atol=1e-12)
    assert perfect.details["best"] == {"c1": "v2", "c2": "v1"}
    # Two latents capture the first of two factors: its share is 1/2, where 1/3 is the least.
    redundant = exact(np.column_stack([v, w, 2 - v]), factors)
    assert redundant.value == pytest.approx(1, abs=1e-12)
    assert redundant.details["compactness"] == pytest.approx({"v1": 0.25, "v2": 1})
    assert redundant.parts["infoc"] == pytest.approx(0.625, abs=1e-12)
    # One latent captures both.
    merged = exact(4 * v + w, factors)
    assert merged.value == pytest.approx(0, abs=1e-12)
    assert merged.parts["infoc"] == 1
    assert merged.parts["infoe"] == pytest.approx(1, abs=1e-6)
    assert "one latent" in merged.details["note"]
    # One latent, one of two factors.
    half = exact(v, factors)
    assert (half.value, half.parts["infoc"]) == pytest.approx((1, 0.5), abs=1e-12)
    assert half.parts["infoe"] == pytest.approx(0.5, abs=1e-6)


def test_perfect_and_useless_codes() -> None:
    factors = grid(3, 4, 5, copies=20)
    perfect = infomec(Representation.of(codes=1.0 * factors, factors=factors), rng())
    assert min(perfect.value, *perfect.parts.values()) > 0.999
    # InfoM of noise can be anything, which is why there are InfoE and a warning.
    noise = rng(1).normal(size=(len(factors), 3))
    useless = infomec(Representation.of(codes=noise, factors=factors), rng())
    assert useless.parts["infoe"] == pytest.approx(0.0027, abs=0.0015)
    assert ", ".join(useless.details["active"]) in useless.warnings[0]
    assert not perfect.warnings


@pytest.mark.parametrize(
    ("variant", "active"),
    [
        ("disentangle", ["z1", "c1"]),
        ("latent_quantization", ["z1", "z2", "c1"]),
        ("tripod", ["z2", "z3", "c1"]),
    ],
)
def test_variants_differ_in_the_latents_that_count(variant: Any, active: list[str]) -> None:
    v, w = (factors := grid(3, 4, copies=50)).T
    far = np.where(np.arange(600) % 100 == 0, 8.0, 0.01 * v)  # wide, with close quartiles
    codes = np.column_stack([far, w / 6, v / 10])
    representation = Representation.of(codes=codes, categories=v[:, None], factors=factors)
    score = infomec(representation, rng(), variant=variant)
    assert score.details["active"] == active
    assert set(score.details["active"]).isdisjoint(score.details["pruned"])
    assert score.details["modularity"]["z1"] is None or "z1" in active
    assert score.details["neighbours"] == {"disentangle": 3}.get(variant, 10)


def test_a_category_without_a_factor_changes_nothing() -> None:
    before = noisy(2_000)
    drawn = rng(5).integers(10, size=(2_000, 1))
    after = replace(before, categories=drawn, category_sizes=(10,))
    first, second = infomec(before, rng()), infomec(after, rng())
    assert first.value == second.value
    assert first.parts == second.parts
    assert second.details["pruned"] == ["c1"]
    # If it counts as a latent, as published, it has a factor of its own.
    taken = infomec(after, rng(), level=1)
    assert taken.value < first.value - 0.05
    assert taken.parts["infoe"] > first.parts["infoe"] + 0.005


def test_missing_labels() -> None:
    whole = noisy(2_000)
    labels = whole.factors.copy()
    labels[::2, 1] = -1
    labels[:, 2] = -1
    score = infomec(replace(whole, factors=labels), rng())
    odd = infomec(whole.take(np.arange(1, 2_000, 2)), rng())
    full = infomec(whole, rng())
    np.testing.assert_array_equal(score.details["nmi"][:, 0], full.details["nmi"][:, 0])
    np.testing.assert_array_equal(score.details["nmi"][:, 1], odd.details["nmi"][:, 1])
    assert score.details["explicitness"]["v1"] == full.details["explicitness"]["v1"]
    assert score.details["explicitness"]["v2"] == odd.details["explicitness"]["v2"]
    assert score.details["left_out"] == ["v3"]
    assert not score.details["nmi"][:, 2].any()


def test_continuous_factors() -> None:
    v, w = rng(1).random((2, 1_500))
    shape = rng(2).integers(3, size=1_500)
    fields = {
        "factors": np.column_stack([v, w, shape]),
        "factor_kinds": ("continuous", "continuous", "categorical"),
        "factor_sizes": (20, 20, 3),
        "category_sizes": (3,),
    }
    perfect = Representation.of(
        codes=np.column_stack([3 * v, -w]), categories=shape[:, None], **fields
    )
    score = infomec(perfect, rng())
    assert score.value > 0.98
    assert score.parts["infoc"] > 0.98
    assert score.parts["infoe"] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(score.details["nmi"], np.eye(3), atol=0.01)
    assert score.details["normalizers"]["v1"] == pytest.approx(
        digamma(1_500) - digamma(10), abs=1e-9
    )
    # A third of a number, by a category; and a nonlinear relation.
    bent = Representation.of(
        codes=np.abs(w - 0.5)[:, None], categories=(3 * v).astype(int)[:, None], **fields
    )
    score = infomec(bent, rng())
    assert score.details["nmi"][1, 0] * score.details["normalizers"]["v1"] == pytest.approx(
        np.log(3), abs=0.03
    )
    assert score.details["nmi"][0, 1] > 0.6
    assert score.details["explicitness"] == pytest.approx({"v1": 8 / 9, "v2": 0, "v3": 0}, abs=0.02)


def test_latents_without_information_are_defined() -> None:
    factors = grid(3, 4, copies=20)
    dead = infomec(Representation.of(codes=np.full((240, 2), 0.1), factors=factors), rng())
    assert (dead.value, *dead.parts.values()) == pytest.approx((0, 0, 0), abs=1e-12)
    assert dead.details["note"] == "no latent is active"
    useless = exact(np.zeros((240, 1), dtype=int), factors)
    assert (useless.value, *useless.parts.values()) == pytest.approx((0, 0, 0), abs=1e-12)
    # As wide as the other, but exactly independent of both factors: it has no share of any.
    three = grid(3, 4, 5, copies=20)
    half = infomec(Representation.of(codes=1.0 * three[:, [0, 2]], factors=three[:, :2]), rng())
    assert (half.value, half.details["pruned"]) == (1, ["z2"])
    two = infomec(noisy(2), rng())
    assert (two.value, two.parts["infoc"]) == (0, 0)
    assert "too few" in two.warnings[-1]


def test_few_rows_are_a_warning() -> None:
    codes, factors = rng(1).normal(size=(300, 20)), rng(2).integers((3, 10), size=(300, 2))
    score = infomec(Representation.of(codes=codes, factors=factors), rng())
    warned = float(score.warnings[-1].split("about ")[1].split(";")[0])
    assert score.parts["infoe"] == pytest.approx(warned, rel=0.3)


@pytest.mark.parametrize(
    ("factors", "options", "message"),
    [
        (np.zeros((5, 2), dtype=int), {}, "infomec is undefined, give more rows"),
        (np.array([[0, 1]]), {}, "infomec is undefined, give more rows"),
        (np.array([[0], [1], [1]]), {}, "only factor that varies: infomec is undefined"),
        (grid(2, 2), {"variant": "knn"}, "variant is 'knn': use one of disentangle, latent"),
        (grid(2, 2), {"points": 1}, "points is 1: give at least 2"),
        (grid(2, 2), {"level": 0}, "level is 0: give a number above 0"),
    ],
)
def test_bad_requests(factors: np.ndarray, options: dict[str, Any], message: str) -> None:
    representation = Representation.of(codes=1.0 * factors, factors=factors)
    with pytest.raises(ValueError, match=message) as caught:
        infomec(representation, rng(), **options)
    assert "\n" not in str(caught.value)


def test_details_can_be_written() -> None:
    assert plain(infomec(noisy(300), rng()))["points"] == 300
