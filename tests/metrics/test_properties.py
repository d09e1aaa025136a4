"""What every metric promises, the arithmetic they share and the arrays they accept."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import adjusted_rand_score, mutual_info_score, normalized_mutual_info_score

from bench.metrics import METRICS, STUDY_METRICS, TITLES, VERSIONS, Representation, Score
from bench.metrics.binning import apply_edges, equal_frequency_edges, equal_width_bins
from bench.metrics.information import (
    adjusted_rand_index,
    contingency,
    entropy,
    mutual_information_of_table,
    normalized_mutual_information,
)
from bench.metrics.relations import Relations
from tests.metrics.conftest import QUICK, entangled, rng


def renamed(r: Representation) -> Representation:
    """Every category has the index of the next one."""
    p = r.probabilities
    p = None if p is None else np.roll(p, 1, axis=1)
    return replace(r, categories=(r.categories + 1) % 3, probabilities=p)


def posterior_of(r: Representation, columns: Any, scale: Any = 1, shift: float = 0) -> Any:
    """Codes and posterior in another order, then on another scale."""
    assert r.logvar is not None
    logvar = r.logvar[:, columns] + 2 * np.log(np.abs(scale))
    return replace(r, codes=r.codes[:, columns] * scale + shift, logvar=logvar)


def with_dead_latents(r: Representation) -> Representation:
    """With a constant latent and a nearly constant one, whose posterior is the prior."""
    dead = np.column_stack([np.full(len(r), 0.1), 1e-3 * rng(2).normal(size=len(r))])
    assert r.logvar is not None
    logvar = np.hstack([r.logvar, np.zeros_like(dead)])
    return replace(r, codes=np.hstack([r.codes, dead]), logvar=logvar)


def with_useless_category(r: Representation) -> Representation:
    """With a category that is drawn from its prior, whatever the row."""
    drawn, p = rng(2).integers(3, size=(len(r), 1)), np.full((len(r), 3), 1 / 3)
    return replace(
        r,
        categories=np.hstack([r.categories, drawn]),
        category_sizes=(*r.category_sizes, 3),
        probabilities=p if r.probabilities is None else np.hstack([r.probabilities, p]),
    )


CHANGES: dict[str, Callable[[Representation], Representation]] = {
    "order of rows": lambda r: r.take(rng(1).permutation(len(r))),
    "order of latents": lambda r: posterior_of(r, [2, 0, 1]),
    "flip and scale of a latent": lambda r: posterior_of(r, [0, 1, 2], [1, -7, 1], 3),
    "names of categories": renamed,
    "monotone warp of a latent": lambda r: replace(r, codes=np.exp(4 * r.codes)),
    "two dead latents": with_dead_latents,
    "a useless category": with_useless_category,
}

# The score must not rise; it may fall by any amount.
ONE_SIDED = {"a useless category"}

# How far the value may move under each change; None if it must move.
PROPERTIES: dict[str, dict[str, float | None]] = {
    "mig": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "factorvae_score": {
        "order of rows": 0.02,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-3,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 0.02,
    },
    "discrete_accuracy": {
        "order of rows": 0.02,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-3,
        "names of categories": 1e-12,
        "monotone warp of a latent": 1e-12,
        "two dead latents": 1e-12,
        "a useless category": 0.01,
    },
    "mig_sup": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "jemmig": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "dcimig": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "modularity": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "betavae_score": {
        "order of rows": 0.02,
        "order of latents": 0.001,
        "flip and scale of a latent": 0.002,
        "names of categories": 1e-09,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-3,
    },
    "sap": {
        "order of rows": 0.02,
        "order of latents": 1e-09,
        "flip and scale of a latent": 0.05,
        "names of categories": 1e-09,
        "monotone warp of a latent": 0.05,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "irs": {
        "order of rows": 1e-09,
        "order of latents": 1e-09,
        "flip and scale of a latent": 0.05,
        "names of categories": 1e-09,
        "monotone warp of a latent": None,
        "two dead latents": 0.02,
        "a useless category": 1e-12,
    },
    "mcc": {
        "order of rows": 1e-09,
        "order of latents": 1e-09,
        "flip and scale of a latent": 1e-09,
        "names of categories": 1e-09,
        "monotone warp of a latent": None,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "total_correlation": {
        "order of rows": 1e-09,
        "order of latents": 1e-09,
        "flip and scale of a latent": 1e-09,
        "names of categories": 1e-09,
        "monotone warp of a latent": None,
        "two dead latents": 1e-3,
        "a useless category": 1e-12,
    },
    "mig_posterior": {
        "order of rows": 0.02,
        "order of latents": 0.02,
        "flip and scale of a latent": 0.02,
        "names of categories": 1e-9,
        "monotone warp of a latent": None,
        "two dead latents": 0.01,
        "a useless category": 1e-12,
    },
    "mig_neighbours": {
        "order of rows": 1e-9,
        "order of latents": 1e-9,
        "flip and scale of a latent": 1e-9,
        "names of categories": 1e-9,
        "monotone warp of a latent": 0.05,
        "two dead latents": 0.005,
        "a useless category": 0.005,
    },
    "kl_decomposition": {
        "order of rows": 1e-9,
        "order of latents": 1e-9,
        "flip and scale of a latent": None,
        "names of categories": 1e-9,
        "monotone warp of a latent": None,
        "two dead latents": 0.01,
        "a useless category": 1e-12,
    },
    "active_units": {
        "order of rows": 1e-12,
        "order of latents": 1e-12,
        "flip and scale of a latent": 1e-12,
        "names of categories": 1e-12,
        "monotone warp of a latent": 1e-12,
        "two dead latents": 1e-12,
        "a useless category": 1e-12,
    },
    "infomec": {
        "order of rows": 1e-9,
        "order of latents": 1e-9,
        "flip and scale of a latent": 1e-9,
        "names of categories": 1e-9,
        "monotone warp of a latent": 0.002,
        "two dead latents": 1e-9,
        "a useless category": 1e-9,
    },
    "explicitness": {
        "order of rows": 0.01,
        "order of latents": 1e-4,
        "flip and scale of a latent": 1e-4,
        "names of categories": 1e-4,
        "monotone warp of a latent": None,
        "two dead latents": 0.003,
        "a useless category": 0.002,
    },
    "dci": {
        "order of rows": 0.04,
        "order of latents": 0.02,
        "flip and scale of a latent": 0.02,
        "names of categories": 0.02,
        "monotone warp of a latent": 0.02,
        "two dead latents": 0.04,
        "a useless category": 0.03,
    },
    "few_labels_linear": {
        "order of rows": 0.03,
        "order of latents": 0.001,
        "flip and scale of a latent": 0.001,
        "names of categories": 0.001,
        "monotone warp of a latent": 0.03,
        "two dead latents": 0.01,
        "a useless category": 0.005,
    },
    "few_labels_boosted": {
        "order of rows": 0.03,
        "order of latents": 0.01,
        "flip and scale of a latent": 0.01,
        "names of categories": 0.01,
        "monotone warp of a latent": 0.01,
        "two dead latents": 0.03,
        "a useless category": 0.01,
    },
    "dci_es": {
        "order of rows": 0.01,
        "order of latents": 0.01,
        "flip and scale of a latent": 0.01,
        "names of categories": 0.005,
        "monotone warp of a latent": 0.005,
        "two dead latents": 0.005,
        "a useless category": 0.005,
    },
    "generalisation_linear": {
        "order of rows": 0.03,
        "order of latents": 0.001,
        "flip and scale of a latent": 0.001,
        "names of categories": 0.001,
        "monotone warp of a latent": None,
        "two dead latents": 0.005,
        "a useless category": 0.005,
    },
    "generalisation_boosted": {
        "order of rows": 0.03,
        "order of latents": 0.01,
        "flip and scale of a latent": 0.005,
        "names of categories": 0.005,
        "monotone warp of a latent": 0.005,
        "two dead latents": 0.01,
        "a useless category": 0.005,
    },
    "dci_fast": {
        "order of rows": 0.04,
        "order of latents": 0.01,
        "flip and scale of a latent": 0.01,
        "names of categories": 0.005,
        "monotone warp of a latent": 0.005,
        "two dead latents": 0.04,
        "a useless category": 0.02,
    },
}
OPTIONS: dict[str, dict[str, Any]] = {**QUICK, "dci_fast": {"points": 3_000}}
# The range of the value of `entangled`, for metrics whose value is no share (nats, a number), and
# for explicitness, as little is read from it, and that at once.
RANGES = {"kl_decomposition": (1, 10), "active_units": (2, 5), "dci_es": (0.9, 0.9999)}
# These use all rows and draw nothing.
DETERMINISTIC = {"active_units"}


def test_every_metric_declares_every_property() -> None:
    assert PROPERTIES.keys() == METRICS.keys() == VERSIONS.keys() - STUDY_METRICS.keys()
    assert all(declared.keys() == CHANGES.keys() for declared in PROPERTIES.values())


@pytest.mark.parametrize("categorical", [True, False])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", METRICS)
def test_properties(name: str, change: str, categorical: bool) -> None:
    before = entangled(categorical=categorical)
    options = OPTIONS.get(name, {})
    values = [METRICS[name](r, rng(), **options).value for r in (before, CHANGES[change](before))]
    low, high = RANGES.get(name, (0.01, 0.99))
    assert low < values[0] < high
    tolerance = PROPERTIES[name][change]
    if tolerance is None:
        assert abs(values[1] - values[0]) > 0.01
    elif change in ONE_SIDED:
        assert values[1] <= values[0] + tolerance
    else:
        assert values[1] == pytest.approx(values[0], abs=tolerance)


@pytest.mark.parametrize("name", METRICS)
def test_the_generator_is_the_only_chance(name: str) -> None:
    metric, representation = partial(METRICS[name], **OPTIONS.get(name, {})), entangled()
    representation = representation.take(np.tile(np.arange(9_000), 2))  # more rows than mig uses
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = metric(representation, rng(3)), metric(representation, rng(3))
    assert (first.value, first.parts) == (again.value, again.parts)
    others = [metric(representation, rng(seed)).value for seed in range(4)]
    assert (len(set(others)) == 1) == (name in DETERMINISTIC)
    assert np.ptp(others) < 0.03
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name: str) -> None:
    line = (METRICS[name].__doc__ or "").splitlines()[0]
    assert ":" in line
    assert any(str(year) in line for year in range(1990, 2100))


def test_every_value_and_part_has_a_title() -> None:
    representation = entangled(1_000)
    keys = set(STUDY_METRICS)
    for name, metric in METRICS.items():
        score = metric(representation, rng(), **QUICK.get(name, {}))
        keys |= {name, *(f"{name}.{part}" for part in score.parts)}
    assert set(TITLES) == keys
    assert len(set(TITLES.values())) == len(TITLES)


# These fit on one half of the rows and score on the other, or on held-out rows.
FEW_LABELS = {"few_labels_linear", "few_labels_boosted"}
SPLIT = {"dci", "dci_es", "dci_fast", "discrete_accuracy", "explicitness", "sap", *FEW_LABELS}
# These use all rows, however many.
ALL_ROWS = {"active_units", "betavae_score", "factorvae_score"}


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("points", [None, 300])
@pytest.mark.parametrize("name", METRICS)
def test_a_score_says_how_many_rows_it_uses(name: str, points: int | None, held_out: bool) -> None:
    representation = entangled(1_200)
    if held_out:
        whole = representation
        representation = replace(whole.take(np.arange(800)), test=whole.take(np.arange(800, 1_200)))
    options = dict(QUICK.get(name, {}))
    if points is not None and name not in ALL_ROWS | FEW_LABELS | {"discrete_accuracy"}:
        options |= {"points": points}
        options |= {"test_points": points} if name.startswith("dci") and name != "dcimig" else {}
    used = METRICS[name](representation, rng(), **options).rows_used
    rows = len(representation)
    if name.startswith("generalisation"):
        # Seen rows to fit on, and to score, and unseen ones.
        assert representation.unseen is not None
        unseen = int(representation.unseen.sum())
        half = (rows - unseen) // 2
        most = options.get("points", rows)
        expected = min(half, most) + (rows - unseen - half) + unseen
    elif name not in SPLIT:
        expected = rows if name in ALL_ROWS else min(rows, options.get("points", rows))
    else:
        # Of the rows, those held out aside; at most `points` of each half.
        sides = [rows] if held_out else [rows // 2] * 2
        expected = sum(min(side, options.get("points", side)) for side in sides)
    assert used == expected


def test_scikit_learn_is_imported_only_where_it_is_used() -> None:
    code = "import sys; import bench.metrics; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_leaves_the_arrays_alone(name: str) -> None:
    before, after = entangled(), entangled()
    arrays = (after.codes, after.categories, after.factors, after.logvar, after.probabilities)
    for array in arrays:
        assert array is not None
        array.setflags(write=False)
    options = OPTIONS.get(name, {})
    values = [METRICS[name](r, rng(), **options).value for r in (before, after)]
    assert values[0] == values[1]


# Information


def test_information_agrees_with_scikit_learn() -> None:
    a = rng(1).integers(40, size=5_000).astype(np.uint8)
    b = np.where(rng(2).random(5_000) < 0.5, a // 2, rng(3).integers(32, size=5_000))
    b = b.astype(np.uint8)
    table = contingency(a, b)
    assert mutual_information_of_table(contingency(a, b)) == pytest.approx(
        mutual_info_score(a, b), abs=1e-12
    )
    assert entropy(a) == pytest.approx(scipy_entropy(np.bincount(a)), abs=1e-12)
    assert normalized_mutual_information(table) == pytest.approx(normalized_mutual_info_score(a, b))
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(a, b))
    same = np.ones(10, dtype=int)
    assert (entropy(same), mutual_information_of_table(contingency(same, same))) == (0, 0)
    assert normalized_mutual_information(contingency(same, same)) == 1
    assert adjusted_rand_index(contingency(same, same)) == 1


def test_bins_of_equal_width_are_those_of_a_histogram() -> None:
    codes = np.column_stack([rng(1).normal(size=1_000), np.arange(1_000) % 21, np.full(1_000, 0.1)])
    bins = equal_width_bins(codes, 20)
    for j in (0, 1):
        counts = np.histogram(codes[:, j], 20)[0]
        np.testing.assert_array_equal(np.bincount(bins[:, j], minlength=20), counts)
    assert not bins[:, 2].any()


def test_bins_of_equal_frequency_keep_equal_values_together() -> None:
    normal = rng(1).normal(size=999)
    bins = apply_edges(normal, equal_frequency_edges(normal, 3))
    assert np.bincount(bins).tolist() == [333, 333, 333]
    uneven = np.repeat([0.0, 1.0, 5.0], [310, 340, 350])
    bins = apply_edges(uneven, equal_frequency_edges(uneven, 3))
    assert np.bincount(bins).tolist() == [310, 340, 350]
    assert len(equal_frequency_edges(np.full(9, 0.1), 3)) == 0
    assert len(equal_frequency_edges(np.repeat([0.0, 1.0], 50), 8)) == 1


def test_matrix_has_a_row_for_each_latent() -> None:
    representation = entangled()
    matrix = Relations.of(representation, rng(), "test", 10, "width", 9_000).information
    assert matrix.shape == (4, 3)
    edges = np.histogram(representation.codes[:, 1], 10)[1][:-1]
    binned = np.digitize(representation.codes[:, 1], edges)
    expected = mutual_info_score(binned, representation.factors[:, 2])
    assert matrix[1, 2] == pytest.approx(expected, abs=1e-12)
    exact = mutual_info_score(representation.categories[:, 0], representation.factors[:, 0])
    assert matrix[3, 0] == pytest.approx(exact, abs=1e-12)


# Arrays


def test_representation_keeps_types_and_copies_nothing() -> None:
    single = entangled().codes.astype(np.float32)
    representation = replace(entangled(), codes=single, kl=np.ones(4), logvar=np.zeros((9_000, 3)))
    assert representation.codes is single
    assert representation.latent_names == ("z1", "z2", "z3", "c1")
    few = representation.take(np.arange(5)).logvar
    assert few is not None
    assert few.shape == (5, 3)
    assert replace(entangled(), codes=single.astype(np.float16)).codes.dtype == np.float64


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codes": np.zeros(9_000)}, "codes has shape"),
        ({"codes": np.full((9_000, 2), np.nan)}, "codes has NaN"),
        ({"codes": np.zeros((9_000, 2), dtype=complex)}, "codes has type"),
        ({"codes": np.zeros((8_999, 3))}, "numbers of rows differ"),
        ({"categories": np.full((9_000, 1), 3)}, "categories column 0 runs from 3 to 3"),
        ({"categories": np.zeros((9_000, 1))}, "categories has type float64"),
        ({"category_sizes": (3, 3)}, "categories has 1 columns but 2 sizes"),
        ({"factors": np.full((9_000, 3), -2)}, "factors column 0 runs from -2"),
        ({"factors": np.zeros((9_000, 2), dtype=int)}, "factors has 2 columns but 3 sizes"),
        ({"factor_names": ("a", "b")}, "as many factor_names"),
        ({"factor_names": ("a", "a", "b")}, "repeat"),
        ({"factor_kinds": ("nominal", "ordinal", "cyclic")}, "nominal.*use categorical"),
        ({"logvar": np.zeros((9_000, 2))}, "logvar is"),
        ({"kl": np.zeros(3)}, r"kl is \(3,\)"),
    ],
)
def test_arrays_that_do_not_agree_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        replace(entangled(), **wrong)
    assert "\n" not in str(caught.value)


def test_rows_latents_and_factors_are_needed() -> None:
    with pytest.raises(ValueError, match="no rows"):
        entangled().take(np.arange(0))
    with pytest.raises(ValueError, match="at least one latent"):
        replace(entangled(categorical=False), codes=np.zeros((9_000, 0)))


def test_a_score_is_a_float_and_prints_its_numbers() -> None:
    score = Score(0.123456, {"gaps": np.zeros(9)}, {"share": 0.5})
    assert float(score) == 0.123456
    assert repr(score) == "Score(0.1235, share=0.5)"
    assert score.rows_used is None


def test_a_score_is_finite() -> None:
    with pytest.raises(ValueError, match="value is nan"):
        Score(float("nan"), {})
    with pytest.raises(ValueError, match="share is inf"):
        Score(0.5, {}, {"share": float("inf")})
