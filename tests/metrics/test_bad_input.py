"""Arrays that are hard to score: a clear error, or a defined value, from every metric."""

from typing import Any

import numpy as np
import pytest

from bench.metrics import METRICS, Representation, Score
from tests.metrics.conftest import WITHOUT_FACTORS, marked, plain, rng, score

SIZES = (3, 4, 5)
KINDS = ("categorical", "ordinal", "cyclic")
ROWS = 1_000
COMPARE_FACTORS = {"dci", "dci_fast", "modularity", "factorvae_score", "betavae_score", "infomec"}

FACTORS = rng(1).integers(SIZES, size=(ROWS, 3))
CODES = 1.0 * FACTORS + 0.1 * rng(2).normal(size=(ROWS, 3))


def arguments(**changed: Any) -> dict[str, Any]:
    """Arguments of `Representation.of`; None leaves one out."""
    arrays = {"factors": FACTORS, "codes": CODES, "factor_kinds": KINDS, **changed}
    return {name: array for name, array in arrays.items() if array is not None}


def represent(**changed: Any) -> Representation:
    """With a posterior of the codes and categories that there are, as some metrics read one."""
    arrays = arguments(**changed)
    if "codes" in arrays and "logvar" not in arrays:
        arrays["logvar"] = np.full(np.shape(arrays["codes"]), -6.0)
    if "categories" in arrays and "probabilities" not in arrays:
        columns = [np.eye(int(c.max()) + 1)[c] for c in arrays["categories"].T]
        arrays["probabilities"] = np.hstack(columns)
    arrays.setdefault("unseen", marked(len(arrays["factors"])))
    return Representation.of(**arrays)


def defined(result: Score) -> bool:
    """Finite, not negative, and with details that JSON can hold."""
    plain(result)
    return result.value >= 0 and all(np.isfinite(part) for part in result.parts.values())


def refused(call: Any) -> str:
    """The message of an error: one line that is more than an echo of numpy."""
    with pytest.raises(ValueError, match=" ") as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert ":" in message or "," in message
    return message


def outcome(name: str, representation: Representation) -> Score | str:
    """The score, or the message of the error."""
    try:
        return score(name, representation)
    except ValueError:
        return refused(lambda: score(name, representation))


# Arrays, without a metric


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codes": CODES[:, :, None, None]}, "codes has shape (1000, 3, 1, 1)"),
        ({"codes": CODES[:-1]}, "numbers of rows differ"),
        ({"codes": np.where(CODES > 2, np.nan, CODES)}, "codes has NaN or infinite"),
        ({"codes": np.where(CODES > 2, np.inf, CODES)}, "codes has NaN or infinite"),
        ({"codes": FACTORS}, "codes has type int64: give categories as `categories`"),
        ({"codes": CODES.astype(str)}, "codes has type <U"),
        ({"codes": np.ma.masked_array(CODES, CODES > 2)}, "codes is masked"),
        ({"codes": None}, "at least one latent"),
        ({"codes": CODES[:, :0]}, "at least one latent"),
        ({"codes": CODES[:0], "factors": FACTORS[:0]}, "codes has no rows"),
        ({"codes": None, "categories": 1.0 * FACTORS, "probabilities": None}, "categories has t"),
        ({"codes": None, "categories": FACTORS - 1, "probabilities": None}, "column 0 runs from -"),
        ({"categories": 10**7 * FACTORS, "probabilities": None}, "categories go up to"),
        ({"factors": np.stack([FACTORS, FACTORS], axis=2)}, "factors has shape (1000, 3, 2)"),
        ({"factors": FACTORS[:, 0]}, "as many factor_names and factor_kinds"),
        ({"factors": FACTORS[:, :0]}, "factors has no columns"),
        ({"factors": FACTORS - 2, "factor_sizes": SIZES}, "factors column 0 runs from -2"),
        ({"factors": FACTORS, "factor_sizes": (3, 4, 4)}, "factors column 2 runs from 0 to 4"),
        ({"factors": FACTORS + 0.5}, "factor v1 has fractions"),
        ({"factors": np.where(FACTORS > 1, np.inf, FACTORS)}, "factors has infinite"),
        ({"factors": FACTORS.astype(str), "factor_kinds": ("continuous",) * 3}, "v1 holds words"),
        ({"factors": 10**9 * FACTORS, "factor_sizes": SIZES}, "0 runs from 0 to 2000000000"),
        ({"factors": FACTORS.astype("M8[D]")}, "factors column 0 has type datetime64[D]"),
        ({"factors": FACTORS + 1j}, "factors column 0 has type complex128"),
        ({"factor_sizes": (3, 4)}, "3 columns but 2 sizes"),
        ({"factor_kinds": ("ordinal",)}, "as many factor_names and factor_kinds"),
        ({"factor_kinds": ("a", "ordinal", "cyclic")}, "use categorical, ordinal"),
        ({"factor_names": ("a", "b", "a")}, "repeat"),
        ({"logvar": np.zeros((ROWS, 2))}, "logvar is"),
        ({"logvar": np.zeros(ROWS)}, "logvar is"),
        ({"logvar": np.full((ROWS, 3), np.nan)}, "logvar has NaN"),
        ({"logvar": np.full((ROWS, 3), 1e3)}, "logvar goes up to"),
        ({"categories": FACTORS[:, :1], "probabilities": np.zeros((ROWS, 2))}, "probabilities is"),
        ({"categories": FACTORS[:, :1], "probabilities": np.full((ROWS, 3), 2.0)}, "softmax"),
        ({"kl": np.zeros(2)}, "kl is"),
        ({"test": {"codes": CODES}}, "test rows have no factors"),
        ({"test": {"codes": CODES[:, :2], "factors": FACTORS}}, "test has 2 codes"),
        ({"test": {"codes": CODES, "factors": FACTORS[:, :2]}}, "another number of factors"),
        ({"test": {"codes": CODES, "factors": FACTORS, "categories": FACTORS}}, "of categories"),
        ({"test": {"codes": CODES, "factors": FACTORS, "labels": FACTORS}}, "test has 'labels'"),
        (
            {"test": {"codes": CODES, "factors": FACTORS.astype(str)}},
            "v1: the test rows",
        ),
    ],
)
def test_what_is_no_representation_is_refused(wrong: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: Representation.of(**arguments(**wrong)))


def test_only_factors_and_latents_are_needed() -> None:
    least = Representation.of(factors=FACTORS.tolist(), codes=CODES.astype(np.float16))
    assert least.factor_names == ("v1", "v2", "v3")
    assert least.factor_kinds == ("ordinal",) * 3
    assert least.factor_sizes == SIZES
    assert least.codes.dtype == np.float64
    assert (least.kl, least.logvar, least.test, least.values) == (None,) * 4
    mixed = Representation.of(factors=np.column_stack([FACTORS[:, 0], CODES]), categories=FACTORS)
    assert mixed.factor_kinds == ("ordinal", "continuous", "continuous", "continuous")
    assert mixed.category_sizes == SIZES
    assert mixed.codes.shape == (ROWS, 0)
    missing = Representation.of(factors=np.where(FACTORS == 2, np.nan, FACTORS), codes=CODES)
    assert missing.factor_kinds == ("ordinal",) * 3
    np.testing.assert_array_equal(missing.factors == -1, FACTORS == 2)
    test = {"codes": CODES[:9], "factors": FACTORS[:9] + 1}
    both = Representation.of(factors=FACTORS, codes=CODES, test=test)
    assert both.test is not None
    # A class that only the held-out rows have counts too.
    assert both.factor_sizes == both.test.factor_sizes == (4, 5, 6)


def test_the_kl_of_a_posterior_is_that_to_the_prior() -> None:
    mean, variance = np.array([[0.5, 2.0]] * 4), np.array([[1.0, 0.25]] * 4)
    p = np.array([[0.9, 0.1, 0.0]] * 4)
    representation = Representation.of(
        factors=np.arange(4)[:, None],
        codes=mean,
        logvar=np.log(variance),
        categories=np.zeros((4, 1), dtype=int),
        category_sizes=(3,),
        probabilities=p,
    )
    expected = [0.125, (4 + 0.25 - np.log(0.25) - 1) / 2]
    expected.append(0.9 * np.log(2.7) + 0.1 * np.log(0.3))
    np.testing.assert_allclose(representation.kl, expected, atol=1e-12)
    # If one of the two posteriors is not known, nothing is pruned by the other alone.
    half = Representation.of(
        factors=np.arange(4)[:, None], codes=mean, categories=np.zeros((4, 1), dtype=int)
    )
    assert half.kl is None


# Metrics on too few rows, latents or factors


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_few_rows_are_refused_or_scored(name: str, rows: int) -> None:
    few = represent(factors=FACTORS[:rows], codes=CODES[:rows])
    result = outcome(name, few)
    if isinstance(result, str):
        assert any(word in result for word in ("rows", "undefined", "leave it out"))
    else:
        assert defined(result)
        assert rows > 1 or name in WITHOUT_FACTORS


@pytest.mark.parametrize("name", METRICS)
def test_constant_factors_are_refused(name: str) -> None:
    constant = represent(factors=0 * FACTORS)
    if name in WITHOUT_FACTORS:
        assert defined(score(name, constant))
    else:
        assert "undefined" in refused(lambda: score(name, constant))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    "changed",
    [
        {"codes": np.full((ROWS, 3), 0.1)},
        {"codes": np.full((ROWS, 3), 0.1), "categories": np.zeros((ROWS, 2), dtype=int)},
        {"codes": CODES[:, :1]},
        {"codes": None, "categories": FACTORS},
        {"codes": None, "categories": FACTORS[:, :1]},
        {"codes": CODES.astype(np.float32) * np.float32(1e30)},
        {"codes": CODES * 1e-200},
        {"codes": CODES * 1e-3 + 1e6},
        {"codes": np.repeat(CODES, 20, axis=1)},
        {"factors": FACTORS.astype(np.uint8)},
        {"factors": FACTORS, "factor_sizes": (9, 9, 9)},
    ],
    ids=[
        "constant",
        "constant with a category",
        "one latent",
        "categories only",
        "one category",
        "huge",
        "tiny",
        "offset",
        "sixty latents",
        "bytes",
        "classes that do not occur",
    ],
)
def test_odd_codes_have_a_score(name: str, changed: dict[str, Any]) -> None:
    result = score(name, represent(**changed, kl=None))
    assert defined(result)
    if name not in WITHOUT_FACTORS:
        assert result.value <= 1


@pytest.mark.parametrize("name", METRICS)
def test_one_factor_is_scored_or_refused(name: str) -> None:
    result = outcome(name, represent(factors=FACTORS[:, :1], factor_kinds=KINDS[:1]))
    if name in COMPARE_FACTORS:
        assert isinstance(result, str)
        assert "leave it out" in result
    else:
        assert isinstance(result, Score)
        assert defined(result)


@pytest.mark.parametrize("name", METRICS)
def test_factors_that_are_categorical_or_not_are_both_scored(name: str) -> None:
    assert defined(score(name, represent(factor_kinds=("categorical",) * 3)))
    ordinal = represent(factor_kinds=("ordinal",) * 3)
    if name == "discrete_accuracy":
        assert "no categorical factor" in refused(lambda: score(name, ordinal))
    else:
        assert defined(score(name, ordinal))
