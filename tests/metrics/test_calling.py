"""Metrics as people call them: with arrays or a representation, with and without a generator."""

import copy
import inspect
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import METRICS, Representation, Score, mig, sap, udr
from bench.settings import parameters
from tests.metrics.conftest import QUICK, rng

SIZES = (3, 4)
FACTORS = rng(1).integers(SIZES, size=(300, 2))
CODES = FACTORS + 0.1 * rng(2).normal(size=(300, 2))
WHOLE = Representation.of(codes=CODES, factors=FACTORS)
# These need what codes and factors alone do not have: a posterior, a factor without order, or
# unseen rows.
NEED_MORE = {"mig_posterior": "logvar", "kl_decomposition": "logvar", "discrete_accuracy": "categ"}
NEED_MORE |= dict.fromkeys(("generalisation_linear", "generalisation_boosted"), "unseen")


def refused(call: Any) -> str:
    """The message of a ValueError, which is one line."""
    with pytest.raises(ValueError, match=".") as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_takes_arrays_or_a_representation(name: str) -> None:
    metric, options = METRICS[name], QUICK.get(name, {})
    if name in NEED_MORE:
        assert NEED_MORE[name] in refused(lambda: metric(CODES, FACTORS, **options))
        return
    expected = metric(WHOLE, rng(3), **options)
    calls: list[Score] = [
        metric(WHOLE, 3, **options),
        metric(WHOLE, rng=3, **options),
        metric(representation=WHOLE, rng=np.int64(3), **options),
        metric(CODES, FACTORS, rng=3, **options),
        metric(CODES, FACTORS, rng(3), **options),
        metric(codes=CODES, factors=FACTORS, rng=3, **options),
    ]
    assert {score.value for score in calls} == {expected.value}
    without = {metric(WHOLE, **options).value, metric(CODES, FACTORS, rng=None, **options).value}
    assert without == {metric(WHOLE, rng(0), **options).value}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_looks_like_its_function(name: str) -> None:
    metric = METRICS[name]
    assert pickle.loads(pickle.dumps(metric)) is metric
    assert metric.__module__.startswith("bench.metrics.")
    assert getattr(sys.modules[metric.__module__], name) is metric
    signature = inspect.signature(metric).parameters
    assert list(signature)[:2] == ["representation", "rng"]
    assert list(parameters(metric)) == list(signature)[2:]


def test_the_options_of_sap_include_one_that_is_called_factors() -> None:
    by_value = sap(WHOLE, factors="values").value
    assert by_value != sap(WHOLE).value
    assert sap(CODES, FACTORS, factors="values").value == by_value
    assert sap(codes=CODES, factors=FACTORS).value == sap(WHOLE).value


def test_udr_takes_codes() -> None:
    seeds = [CODES, CODES[:, ::-1], -CODES]
    models = [Representation.of(codes=codes, factors=FACTORS) for codes in seeds]
    expected = [score.value for score in udr(models, rng(), min_rows=100)]
    assert [score.value for score in udr(seeds, min_rows=100)] == expected
    for wrong in (WHOLE, "codes", [CODES], CODES):
        assert "at least two" in refused(lambda wrong=wrong: udr(wrong))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mig(), "mig was given no codes: write mig(representation) or mig(codes, factors)"),
        (lambda: mig("codes.npz"), "a str without factors"),
        (lambda: mig(CODES), "an array of shape (300, 2) without factors"),
        (lambda: mig(CODES, rng()), "without factors"),
        (lambda: mig(CODES, rng=3), "without factors"),
        (lambda: mig(WHOLE, FACTORS), "rng is an array of shape (300, 2): give a seed"),
        (lambda: mig(WHOLE, factors=FACTORS), "a representation has factors already"),
        (lambda: mig(WHOLE, codes=CODES), "codes is a Representation"),
        (lambda: mig(CODES, representation=WHOLE), "representation is a Representation"),
        (lambda: mig(representation=CODES), "representation is an array"),
        (lambda: mig(CODES, FACTORS, factors=FACTORS), "factors was given to mig twice"),
        (lambda: mig(CODES, FACTORS, 3, 20), "4 arguments without a name"),
        (lambda: mig(WHOLE, 3, 20), "3 arguments without a name"),
        (lambda: mig(WHOLE, -1), "rng is an int -1: give a seed"),
        (lambda: mig(WHOLE, 0.5), "rng is a float 0.5: give a seed"),
        (lambda: mig(WHOLE, "0"), "rng is a str '0': give a seed"),
        (lambda: mig(WHOLE, True), "rng is a bool True: give a seed"),
        (lambda: mig(WHOLE, bin=3), "mig has no option 'bin': did you mean 'bins'?"),
        (lambda: mig(WHOLE, logvar=CODES), "give categories, logvar and the like to"),
        (lambda: mig(WHOLE, bins="20"), "bins='20': mig takes an integer for bins"),
        (lambda: mig(WHOLE, bins=20.5), "mig takes an integer for bins"),
        (lambda: sap(WHOLE, penalty="a"), "sap takes a number for penalty"),
        (lambda: sap(WHOLE, standardized=1), "sap takes True or False for standardized"),
        (lambda: mig(WHOLE, binning=3), "mig takes a text for binning"),
        (lambda: mig(CODES, FACTORS[:-1]), "numbers of rows differ"),
        (lambda: mig(np.where(CODES > 2, np.nan, CODES), FACTORS), "codes has NaN"),
    ],
)
def test_wrong_use_is_a_line(call: Any, message: str) -> None:
    assert message in refused(call)


SCRIPT = """
import numpy as np
from bench.metrics import METRICS, Metric, Representation, Score, mig

codes, factors = np.zeros((3, 2)), np.zeros((3, 2), dtype=int)
score: Score = mig(codes, factors)
representation = Representation.of(codes=codes, factors=factors)
number: float = mig(representation, rng=0, bins=10)
metric: Metric = METRICS["mig"]
metric(codes, factors, np.random.default_rng(0), bins=3)
"""


@pytest.mark.xdist_group("mypy")
def test_a_script_of_a_user_has_types(tmp_path: Path, mypy: Callable[[Path], str]) -> None:
    """Right calls pass mypy, and a misspelt option and one of another type do not."""
    (tmp_path / "right.py").write_text(SCRIPT)
    wrong = "mig(codes, factors, bims=3)\nmig(representation, bins='x')\nmig(codes)\n"
    (tmp_path / "wrong.py").write_text(SCRIPT + wrong)
    assert mypy(tmp_path / "right.py").startswith("Success")
    said = mypy(tmp_path / "wrong.py")
    lines = [line for line in said.splitlines() if " error: " in line]
    numbers = {line.split(":")[1] for line in lines}
    first = SCRIPT.count("\n") + 1
    assert numbers == {str(first), str(first + 1), str(first + 2)}, said


# Scores


def test_a_score_is_a_float() -> None:
    score = Score(0.25, {"a": np.arange(3)}, {"part": 0.5}, ["few rows"], 7)
    assert isinstance(score, float)
    assert (score + 1, 2 * score, -score, round(score, 1)) == (1.25, 0.5, -0.25, 0.2)
    assert score > 0.2
    assert score == 0.25
    assert f"{score:.3f}" == "0.250"
    assert json.dumps({"mig": score}) == '{"mig": 0.25}'
    assert np.mean([score, score]) == 0.25
    assert np.array([score]).dtype == np.float64
    assert max(score, 0.1) is score
    assert len(repr(mig(WHOLE))) < 20
    assert repr(score) == "Score(0.25, part=0.5)"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), replace]
)
def test_a_score_keeps_its_parts_when_it_is_copied(copied: Any) -> None:
    score = mig(WHOLE)
    other = copied(score)
    assert other == score.value == other.value
    assert other.details["gaps"] == score.details["gaps"]
    assert (other.parts, tuple(other.warnings), other.rows_used) == ({}, (), 300)
