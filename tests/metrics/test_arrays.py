"""Arrays as people have them: of any framework, with words, missing labels and odd numbers."""

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bench.metrics import Representation, mig
from tests.metrics.conftest import rng

ROWS = 300
FACTORS = rng(1).integers((3, 6), size=(ROWS, 2))
CODES = FACTORS + 0.1 * rng(2).normal(size=(ROWS, 2))
WORDS = np.array(["heart", "oval", "square"])  # in sorted order
SHAPES = WORDS[FACTORS[:, 0]]


def of(**changed: Any) -> Representation:
    return Representation.of(**{"codes": CODES, "factors": FACTORS, **changed})


def refused(**changed: Any) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        of(**changed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def one(values: Any, **more: Any) -> Representation:
    """A single factor."""
    return of(factors=values, **more)


def note(representation: Representation, name: str) -> str:
    """The line on one factor."""
    (line,) = [n for n in representation.notes if n.startswith(f"factor {name}:")]
    return line


class Jax:
    """What is no numpy array, and knows how to become one."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array


class Distributed:
    """A tensor on a device, which numpy cannot read where it is."""

    def __init__(self, array: np.ndarray) -> None:
        self._tensor = torch.tensor(array)

    def detach(self) -> "Distributed":
        return self

    def cpu(self) -> torch.Tensor:
        return self._tensor

    def __array__(self, dtype: Any = None) -> np.ndarray:
        raise TypeError("can't convert device type tensor to numpy")


# Of other frameworks


@pytest.mark.parametrize(
    ("codes", "factors"),
    [
        (torch.tensor(CODES, requires_grad=True), torch.tensor(FACTORS)),
        (torch.tensor(CODES).to_sparse(), torch.tensor(FACTORS, dtype=torch.uint8)),
        (Distributed(CODES), Distributed(FACTORS)),
        (Jax(CODES), Jax(FACTORS)),
        (CODES.tolist(), FACTORS.tolist()),
        (tuple(map(tuple, CODES)), [list(row) for row in FACTORS]),
        ([torch.tensor(row, requires_grad=True) for row in CODES], [Jax(row) for row in FACTORS]),
        (CODES.astype(object), FACTORS.astype(object)),
        (pd.DataFrame(CODES), pd.DataFrame(FACTORS)),
        (pd.DataFrame(CODES).convert_dtypes(), pd.DataFrame(FACTORS).convert_dtypes()),
        (pd.Series(list(CODES)), pd.DataFrame({"all": list(FACTORS)})),
        ({"a": CODES[:, 0], "b": list(CODES[:, 1])}, {"v": FACTORS[:, 0], "w": FACTORS[:, 1]}),
        (np.ma.masked_array(CODES, False), np.ma.masked_array(FACTORS, False)),
        (CODES[:, :, None][:, :, 0], FACTORS * 1.0),
        (CODES, FACTORS + 1990),
        (CODES, FACTORS - 3),
        (CODES, np.array([3, 7, 1_000_000, 1_000_001, 1_000_002, 2_000_000])[FACTORS]),
        (CODES, pd.DataFrame(FACTORS, index=rng().permutation(ROWS) + 7)),
    ],
)
def test_arrays_of_every_framework_give_the_same_score(codes: Any, factors: Any) -> None:
    expected = of()
    representation = of(codes=codes, factors=factors)
    np.testing.assert_array_equal(representation.codes, CODES)
    np.testing.assert_array_equal(representation.factors, FACTORS)
    assert representation.factor_sizes == expected.factor_sizes == (3, 6)
    assert representation.factor_kinds == expected.factor_kinds == ("ordinal",) * 2
    assert mig(codes, factors) == mig(expected) > 0.5


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_narrow_floats_are_numbers(kind: torch.dtype) -> None:
    codes = of(codes=torch.tensor(CODES, requires_grad=True).to(kind)).codes
    assert codes.dtype in (np.float32, np.float64)
    np.testing.assert_allclose(codes, CODES, rtol=0.01, atol=0.01)


def test_one_dimension_is_one_latent_or_one_factor() -> None:
    representation = one(FACTORS[:, 1].tolist(), codes=pd.Series(CODES[:, 1]))
    assert representation.codes.shape == representation.factors.shape == (ROWS, 1)
    assert one(pd.Series(FACTORS[:, 1], name="size")).factor_names == ("size",)


def test_no_framework_is_imported() -> None:
    code = (
        "import sys, numpy as np\nfrom bench.metrics import mig\n"
        "mig([[0.5], [1.5], [0.25], [1.25]], ['a', 'b', 'a', 'b'])\n"
        "print([m for m in ('torch', 'pandas', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# Labels


def test_a_frame_keeps_names_words_kinds_and_missing_values() -> None:
    frame = pd.DataFrame(
        {
            "shape": SHAPES,
            "grade": pd.Categorical.from_codes(FACTORS[:, 1], list("zyxwvu"), ordered=True),
            "group": pd.Categorical.from_codes(FACTORS[:, 1], list("zyxwvu")),
            "smiling": FACTORS[:, 0] > 0,
            "hat": pd.array(FACTORS[:, 0] > 0, dtype="boolean"),
            "count": pd.array(FACTORS[:, 1], dtype="Int64"),
            "angle": pd.array(FACTORS[:, 1] / 7, dtype="Float64"),
            "name": pd.array(SHAPES, dtype="string"),
        }
    )
    for column in ("shape", "grade", "hat", "count", "angle", "name"):
        frame.loc[5, column] = None
    representation = of(factors=frame)
    assert representation.factor_names == tuple(frame)
    assert dict(zip(frame, representation.factor_kinds, strict=True)) == {
        "shape": "categorical",
        "grade": "ordinal",
        "group": "categorical",
        "smiling": "categorical",
        "hat": "categorical",
        "count": "ordinal",
        "angle": "continuous",
        "name": "categorical",
    }
    assert representation.factor_sizes == (3, 6, 6, 2, 2, 6, 6, 3)
    missing = (representation.factors == -1).sum(axis=0)
    assert missing.tolist() == [1, 1, 0, 0, 1, 1, 1, 1]
    kept = np.arange(ROWS) != 5
    expected = [0, 1, 1, None, None, 1, 1, 0]
    for k, source in enumerate(expected):
        labels = FACTORS[:, 0] > 0 if source is None else FACTORS[:, source]
        np.testing.assert_array_equal(representation.factors[kept, k], labels[kept])
    assert note(representation, "shape") == (
        "factor shape: words, taken as categorical, 3 classes, 299 of 300 rows kept"
    )
    assert note(representation, "smiling") == (
        "factor smiling: true or false, taken as categorical, 2 classes, all 300 rows kept"
    )


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        (["b", "a", None, "b"], [1, 0, -1, 1]),
        (["10", "9", "1", "9"], [2, 1, 0, 1]),
        ([b"b", b"a", b"b", b"a"], [1, 0, 1, 0]),
        (np.array(["b", "a", "a", "b"]), [1, 0, 0, 1]),
        (np.array([b"b", b"a", b"a", b"b"]), [1, 0, 0, 1]),
        ([True, None, False, True], [1, -1, 0, 1]),
        ([3, None, 2, 3], [3, -1, 2, 3]),
        ([2.0, float("nan"), 0, 1], [2, -1, 0, 1]),
        (np.ma.masked_array([0, 1, 7, 1], [0, 0, 1, 0]), [0, 1, -1, 1]),
        (pd.Series(pd.Categorical(["lo", "hi", "lo", None], ["lo", "mid", "hi"])), [0, 1, 0, -1]),
        (pd.Series(pd.Categorical([30, 20, 30, 20], [30, 20], ordered=True)), [0, 1, 0, 1]),
        ([1, 2, 3, 3], [1, 2, 3, 3]),  # from 1 on: a class 0 that does not occur
        ([0, 255, 255, 0], [0, 1, 1, 0]),
        ([2**40, 0, 2**40, -5], [2, 1, 2, 0]),
    ],
)
def test_labels_become_classes(words: Any, classes: list[int]) -> None:
    representation = Representation.of(codes=CODES[:4], factors=words)
    assert representation.factors[:, 0].tolist() == classes


def test_rows_of_words_and_numbers_stay_columns_of_their_own() -> None:
    rows = [
        [word, int(number), number / 7] for word, number in zip(SHAPES, FACTORS[:, 1], strict=True)
    ]
    representation = of(factors=rows)
    assert representation.factor_kinds == ("categorical", "ordinal", "continuous")
    assert representation.factor_sizes == (3, 6, 6)


def test_held_out_rows_share_the_classes() -> None:
    test = {"codes": CODES[:2], "factors": {"size": [9, 0], "shape": ["star", "oval"]}}
    representation = of(factors={"shape": SHAPES, "size": FACTORS[:, 1]}, test=test)
    assert representation.factor_sizes == (4, 10)
    assert representation.test is not None
    assert representation.test.factors.tolist() == [[3, 9], [1, 0]]
    other = {"codes": CODES[:2], "factors": {"size": [1, 0], "form": ["star", "oval"]}}
    message = refused(factors={"shape": SHAPES, "size": FACTORS[:, 1]}, test=other)
    assert "factors of the test rows are size, form, not shape, size" in message


def test_kinds_can_be_given_by_name() -> None:
    frame = {"shape": FACTORS[:, 0], "size": FACTORS[:, 1]}
    representation = of(factors=frame, factor_kinds={"shape": "categorical"})
    assert representation.factor_kinds == ("categorical", "ordinal")
    assert "categorical as given" in note(representation, "shape")
    assert "factor_kinds names 'form'" in refused(factors=frame, factor_kinds={"form": "cyclic"})


# The number -1


@pytest.mark.parametrize(
    ("values", "classes", "doubted"),
    [
        ([-1, 1], [0, 1], False),
        ([-1, 0], [0, 1], False),
        ([-1, 5], [0, 1], False),
        ([-2, -1, 0], [0, 1, 2], False),
        ([-2, -1, 0, 1, 2], [0, 1, 2, 3, 4], False),
        ([-1, 0, 1], [0, 1, 2], True),
        ([-1, 0, 1, 2], [-1, 0, 1, 2], True),  # as frequent as the others
        ([-1, 0, 0, 0, 1, 1, 1, 2, 2, 2], [-1, 0, 0, 0, 1, 1, 1, 2, 2, 2], False),
        ([-1, 1990, 2000, 2000, 1990, 1990], [-1, 0, 1, 1, 0, 0], False),
        ([np.nan, -1, 1], [-1, 0, 1], False),
        ([np.nan, -1, 0, 1], [-1, 0, 1, 2], True),
        ([-1, -1], [-1, -1], False),
    ],
)
@pytest.mark.parametrize("kind", [float, int])
def test_minus_one_is_missing_only_where_it_can_be_no_class(
    values: list[Any], classes: list[int], doubted: bool, kind: type
) -> None:
    if kind is int and np.isnan(values).any():
        values = [None if np.isnan(value) else value for value in values]
    else:
        values = np.array(values, dtype=kind).tolist()
    copies = 30
    representation = Representation.of(
        codes=rng().normal(size=(copies * len(values), 2)), factors=values * copies
    )
    assert representation.factors[: len(values), 0].tolist() == classes
    assert bool(representation.warnings) is doubted, representation.warnings
    line = note(representation, "v1")
    if -1 in values:
        assert "-1 is a" in line or min(v for v in values if v == v and v is not None) < -1
    if -1 in classes:
        kept = copies * sum(c >= 0 for c in classes)
        assert f"{kept:,} of {copies * len(values):,} rows kept" in line


def test_with_a_size_minus_one_is_missing() -> None:
    values = rng(3).choice([-1, 1], size=ROWS)
    representation = one(values, factor_sizes=[2])
    assert set(representation.factors[:, 0]) == {-1, 1}
    assert one(values).factor_sizes == (2,)
    assert set(one(values).factors[:, 0]) == {0, 1}


def test_attributes_of_celeba_are_classes() -> None:
    factors = np.column_stack([2 * (FACTORS[:, 0] > 0) - 1, FACTORS[:, 1]])
    gaps = mig(1.0 * factors, factors).details["gaps"]
    assert gaps["v1"] > 0.9


def test_a_number_of_a_continuous_factor_can_be_minus_one() -> None:
    values = rng(4).choice([-1.0, -0.5, 0.25, 3], size=ROWS)
    representation = one(values)
    assert representation.factor_kinds == ("continuous",)
    assert representation.varying.all()
    assert (representation.factors >= 0).all()


# What cannot be right


def test_an_index_is_noticed() -> None:
    frame = pd.DataFrame(FACTORS, columns=["shape", "size"]).reset_index()
    for index in (frame["index"], frame["index"] + 1, frame["index"].sample(frac=1).to_numpy()):
        (warning,) = of(factors=frame.assign(index=index)).warnings
        assert "factor index numbers the rows" in warning
    assert not of(factors=frame[["shape", "size"]]).warnings
    unnamed = frame.rename(columns={"index": "Unnamed: 0"})
    assert "index_col=0" in refused(factors=unnamed)
    assert "codes has the column 'Unnamed: 0'" in refused(codes=unnamed)
    message = refused(codes=rng().normal(size=(3_000, 1)), factors=np.arange(3_000))
    assert message.endswith("it looks like an index, leave it out")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"codes": FACTORS, "factors": CODES}, "they look swapped, give codes first"),
        ({"codes": 1.0 * FACTORS, "factors": CODES}, "they look swapped, give codes first"),
        ({"codes": "codes.npz"}, "codes is a str: give an array"),
        ({"factors": None}, "factors is nothing: give an array"),
        ({"codes": 3.5}, "codes is a float: give an array"),
        ({"codes": (row for row in CODES)}, "codes is a generator that cannot be"),
        ({"codes": {1, 2}}, "codes is a set: give an array"),
        ({"codes": np.float64(3)}, "codes is a float64: give an array"),
        ({"codes": [[1.0, 2.0], [3.0]] * 150}, "its rows have 1 to 2 values"),
        ({"codes": [torch.ones(9, 2), torch.ones(291, 2)]}, "its rows have 9 to 291 values"),
        ({"codes": torch.empty(ROWS, 2, device="meta")}, "cannot be turned into an array"),
        ({"codes": pd.DataFrame({"a": SHAPES})}, "codes column a holds words"),
        ({"codes": [["a", 0.5]] * ROWS}, "codes"),
        ({"codes": pd.DataFrame(CODES).where(CODES > 0.1)}, "missing values in column 0"),
        ({"codes": pd.DataFrame({"z": pd.array([0.5, None] * 150)})}, "150 missing values"),
        ({"codes": [[0.5, None]] * ROWS}, "codes has NaN or infinite"),
        ({"codes": {"a": CODES[:, 0], "b": CODES[:9, 1]}}, "codes has columns of 9 to 300 rows"),
        ({"factors": [1, "a"] * 150}, "holds int and str: give numbers or words"),
        ({"factors": pd.Series(pd.date_range("2020", periods=ROWS))}, "holds dates"),
        ({"factors": [2**70] * ROWS}, "integers beyond 64 bits"),
        ({"factors": [object()] * ROWS}, "holds object: give numbers or words"),
        ({"factors": np.where(FACTORS > 1, np.inf, FACTORS)}, "infinite values"),
        ({"factors": SHAPES, "factor_kinds": ["continuous"]}, "v1 holds words"),
        ({"factors": pd.DataFrame([[1, 2]] * ROWS, columns=["a", "a"])}, "two columns 'a'"),
        ({"factors": FACTORS[:-1]}, "numbers of rows differ"),
        ({"categories": [None, "a"] * 150}, "categories has 150 missing values"),
    ],
)
def test_what_is_no_array_is_named(changed: dict[str, Any], message: str) -> None:
    assert message in refused(**changed)


def test_codes_that_are_whole_numbers_can_be_right() -> None:
    quantised = np.rint(CODES)
    assert of(codes=quantised, factors=CODES, factor_kinds=["continuous"] * 2).latents == 2
    assert of(codes=quantised).latents == 2


def test_categories_may_be_words() -> None:
    representation = of(codes=None, categories=SHAPES)
    np.testing.assert_array_equal(representation.categories[:, 0], FACTORS[:, 0])
    assert representation.category_sizes == (3,)


# Posteriors


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        ({"logvar": np.full(CODES.shape, -3.0)}, "logvar is -3 everywhere"),
        ({"logvar": np.exp(CODES - 9)}, "give the logarithm of the variance"),
        ({"logvar": CODES - 0.5}, "is it a second code, and no log variance?"),
        (
            {"categories": FACTORS[:, :1], "probabilities": np.full((ROWS, 3), 0.2)},
            "do not sum to 1 in 300 rows",
        ),
        (
            {"categories": FACTORS[:, :1], "probabilities": np.eye(3)[(FACTORS[:, 0] + 1) % 3]},
            "are not the most probable ones in 300 rows",
        ),
    ],
)
def test_a_posterior_that_no_encoder_has_is_doubted(posterior: Any, message: str) -> None:
    (warning,) = of(**posterior).warnings
    assert message in warning


def test_a_posterior_that_an_encoder_has_is_not_doubted() -> None:
    logvar = np.column_stack([0.1 * CODES[:, 0] - 4, 0.01 * rng(5).normal(size=ROWS)])
    probabilities = 0.1 + 0.7 * np.eye(3)[FACTORS[:, 0]]
    representation = of(
        logvar=logvar, categories=FACTORS[:, :1], probabilities=torch.tensor(probabilities)
    )
    assert not representation.warnings
    assert representation.kl is not None
    assert representation.notes[0] == (
        "latents: 2 continuous, standard deviation 0.825 to 1.72, with logvar; 1 categorical, "
        "with probabilities"
    )
