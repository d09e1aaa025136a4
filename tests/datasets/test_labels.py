"""A user's labels of all types: what is a class, what is missing, and that metrics agree."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from bench.datasets import labels
from bench.datasets.blocks import WrongFileError
from bench.metrics import Representation

RNG = np.random.default_rng


def read(column: Any, kind: str | None = None, size: int | None = None) -> labels.Labels:
    column = np.asarray(column)
    kinds, sizes = (None if value is None else [value] for value in (kind, size))
    return labels.read([column], ["a"], kinds, sizes, np.ones(len(column), dtype=bool))


def classes(column: Any, **known: Any) -> list[int]:
    return read(column, **known).classes[:, 0].tolist()


NAN = np.nan


@pytest.mark.parametrize(
    ("column", "expected", "kind", "said"),
    [
        ([-1, 1, 1, -1], [0, 1, 1, 0], "ordinal", "2 classes (0 to 1 are -1, 1)"),
        ([-1.0, 1.0, NAN], [0, 1, -1], "ordinal", "2 of 3 labelled, the others are NaN"),
        ([-1, 0, 0], [0, 1, 1], "ordinal", "(0 to 1 are -1, 0)"),
        ([-1, 0, 1], [0, 1, 2], "ordinal", "(0 to 2 are -1, 0, 1)"),
        ([-1, 0, 1, 2], [-1, 0, 1, 2], "ordinal", "3 of 4 labelled, the others are -1"),
        ([-1.0, 0, 1, 2, NAN], [-1, 0, 1, 2, -1], "ordinal", "others are NaN or -1"),
        ([-2, -1, 0], [0, 1, 2], "ordinal", "(0 to 2 are -2, -1, 0)"),
        ([3, 90, 3], [0, 1, 0], "ordinal", "(0 to 1 are 3, 90)"),
        ([0, 1, 3], [0, 1, 3], "ordinal", "4 classes; 3 of them occur"),
        ([2, 2], [0, 0], "ordinal", "always the same"),
        ([0.0, 2.0, 1.0], [0, 2, 1], "ordinal", "ordinal (whole numbers), 3 classes"),
        ([True, False], [1, 0], "categorical", "2 classes (false, true)"),
        (["red", "blue", ""], [1, 0, -1], "categorical", "2 of 3 labelled, the others are empty"),
        (["red", "nan"], [0, -1], "categorical", "1 class (red)"),
        ([b"b", b"a"], [1, 0], "categorical", "(a, b)"),
        (["10", "9", "9"], [1, 0, 0], "categorical", "(9, 10)"),
        (["0.5", "2", ""], [0, 1, -1], "continuous", "0.5 to 2, in 2 classes"),
        ([0.5, NAN, 2], [0, -1, 1], "continuous", "continuous (numbers with fractions)"),
        (list(range(30)), list(range(30)), "ordinal", "it numbers the images"),
        ([np.uint64(2**63), np.uint64(1)], [1, 0], "ordinal", "2 classes"),
    ],
)
def test_what_a_column_is_taken_for(column, expected, kind, said) -> None:
    own = read(column)
    assert own.classes[:, 0].tolist() == expected
    assert own.factors[0].kind == kind
    assert own.notes[0].startswith("a: ")
    assert said in own.notes[0]


def test_kinds_and_sizes_that_are_known() -> None:
    assert read([0, 1], kind="cyclic").factors[0].kind == "cyclic"
    assert "(whole numbers)" not in read([0, 1], kind="cyclic").notes[0]
    assert classes([-1, 1], size=2) == [-1, 1]
    assert read([5, 0], size=9).factors[0].size == 9
    own = read([3, 1, 2, -1], kind="continuous")
    assert own.numbers is not None
    assert own.numbers[:, 0].tolist() == [3, 1, 2, -1]
    assert own.classes[:, 0].tolist() == [3, 1, 2, 0]
    assert read(RNG(0).random(500), size=7).factors[0].size == 7


@pytest.mark.parametrize(
    ("column", "known", "message"),
    [
        ([NAN, NAN], {}, "no label of a"),
        (["", ""], {}, "no label of a"),
        ([-1, -1], {}, "no label of a"),
        ([NAN, NAN], {"kind": "continuous"}, "no label of a to train on"),
        ([1, np.inf], {}, "infinite labels of a"),
        ([1j], {}, "labels of a as complex128"),
        (np.array(["2020-01-01"], "M8[D]"), {}, "labels of a as datetime64"),
        (np.zeros(2, "V4"), {}, "labels of a as"),
        (np.arange(2_001), {}, "2,001 classes of a, of at most 2,000: call its kind continuous"),
        ([str(k) for k in range(2_001)], {}, "2,001 classes of a"),
        ([0, 1], {"size": 10**18}, "'factor_sizes' 1000000000000000000 for a"),
        ([0, 7], {"size": 7}, "'factor_sizes' 7 for a, of class 7"),
        ([-2, 0], {"size": 7}, "'factor_sizes' 7 for a, of class -2"),
        (["x", "y"], {"size": 3}, "the size 3 for a, of 2 classes"),
        ([0.5, 1], {"size": 1}, "the size 1 for a, which is continuous"),
        ([0.5, 1], {"kind": "ordinal"}, "has fractions as labels of a"),
        (["x", "y"], {"kind": "continuous"}, "words as labels of a"),
        ([0, 1], {"kind": "nominal"}, "'nominal' as the kind of a"),
    ],
)
def test_what_is_no_label(column, known, message) -> None:
    with pytest.raises(WrongFileError, match=message) as caught:
        read(column, **known)
    assert "\n" not in str(caught.value)


def test_continuous_factors_are_cut_by_the_images_to_train_on() -> None:
    numbers = np.concatenate([RNG(0).random(400), [-5.0, 5.0]])
    training = np.arange(402) < 400
    own = labels.read([numbers], ["a"], None, None, training)
    counts = np.bincount(own.classes[training, 0])
    assert len(counts) == labels.PARTS == own.factors[0].size
    assert counts.min() >= 19
    assert own.classes[400:, 0].tolist() == [0, labels.PARTS - 1]


def test_factors_of_one_kind_share_a_note() -> None:
    columns = [np.array([0, 1])] * 40
    own = labels.read(columns, [f"v{k}" for k in range(40)], None, None, np.ones(2, dtype=bool))
    assert own.notes == ("v0, v1, v2, v3 and 36 more: ordinal (whole numbers), 2 classes",)


def test_names_and_words_with_line_breaks_stay_in_a_line() -> None:
    column = np.array(["a\nb", "\x1b[31m"])
    (note,) = labels.read([column], ["n\nm"], None, None, np.ones(2, dtype=bool)).notes
    assert note.isprintable()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", " 3 "], [1, -2, 3]),
        (["1", "NA", ""], [1.0, NAN, NAN]),
        (["1.5", "2e3", ".5"], [1.5, 2000.0, 0.5]),
        (["True", "false"], [True, False]),
        (["True", ""], ["true", ""]),
        (["inf", "1"], ["inf", "1"]),
        (["1_000", "1"], ["1_000", "1"]),
        (["NA", "red"], ["NA", "red"]),
        (["9" * 40, "1"], [1e40, 1.0]),
        (["", ""], ["", ""]),
    ],
)
def test_cells_of_a_text_file(cells, expected) -> None:
    column, wanted = labels.parsed(cells), np.array(expected)
    assert column.dtype.kind == wanted.dtype.kind
    assert column.tolist() == wanted.tolist() or np.array_equal(column, wanted, equal_nan=True)


@pytest.mark.parametrize(
    "column",
    [
        [0, 1, 2, 1],
        [-1, 0, 1, 2],
        [0.0, 1.0, NAN, 2.0],
        RNG(0).normal(size=300),
        np.round(RNG(0).normal(size=300), 1),
        np.where(RNG(1).random(300) < 0.2, NAN, RNG(0).random(300)),
        [0.25, 0.25, 0.25],
        [5, 6, 7, 8, 9],
    ],
)
def test_metrics_take_labels_for_the_same(column) -> None:
    assert_the_same(np.asarray(column))


@pytest.mark.skipif(
    importlib.util.find_spec("bench.metrics.labels") is None,
    reason="the metrics take whole numbers alone",
)
@pytest.mark.parametrize(
    "column",
    [
        [-1, 1, 1, -1],
        [-1.0, 1.0, NAN],
        [-1, 0],
        [-1, 0, 1],
        [-2, -1, 0, 1],
        [-1.0, 0, 1, 2, NAN],
        [3, 90, 3, 7],
        [0, 1, 3],
        [10, 20, 30, 40],
        [True, False, True],
        ["red", "blue", "red"],
        ["10", "9", "9"],
        [b"b", b"a"],
    ],
)
def test_metrics_take_labels_of_other_types_for_the_same(column) -> None:
    assert_the_same(np.asarray(column))


def assert_the_same(column: np.ndarray) -> None:
    own = read(column)
    r = Representation.of(factors=column[:, None], codes=RNG(0).normal(size=(len(column), 2)))
    np.testing.assert_array_equal(r.factors, own.classes)
    assert r.factor_kinds == tuple(factor.kind for factor in own.factors)
    assert r.factor_sizes == tuple(factor.size for factor in own.factors)
    if own.numbers is not None:
        np.testing.assert_array_equal(r.values, own.numbers)
