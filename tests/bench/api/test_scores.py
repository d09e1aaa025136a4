"""`bench.evaluate`: arrays in, scores out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bench
from bench.metrics import METRICS, Representation, Score, mig
from bench.score import SLOW, UNSEEN
from bench.streams import numpy_stream


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    factors = rng.integers([3, 4], size=(500, 2))
    return {"codes": factors + 0.01 * rng.normal(size=factors.shape), "factors": factors}


def test_quick_is_every_metric_but_the_slow_ones(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays)
    assert {*scores, *scores.undefined} == set(METRICS) - set(SLOW) - set(UNSEEN)
    marked = bench.evaluate(**arrays, unseen=arrays["factors"][:, 1] == 2)
    assert {*marked, *marked.undefined} == set(METRICS) - set(SLOW)
    assert set(UNSEEN) <= set(marked)
    assert scores["mig"] > 0.9
    assert "posterior" in scores.undefined["mig_posterior"]


def test_a_score_is_that_of_the_metric_itself(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays, metrics="mig", options={"mig.bins": 10}, seed=3)
    r = Representation.of(**arrays)
    assert float(scores["mig"]) == float(mig(r, numpy_stream(3, "mig"), bins=10))
    assert isinstance(scores["mig"], Score)
    assert scores.records["mig"].definition.options["bins"] == 10


def test_a_representation_needs_nothing_else(arrays: dict[str, Any]) -> None:
    r = Representation.of(**arrays)
    assert (
        bench.evaluate(r, metrics=["mig"])["mig"] == bench.evaluate(**arrays, metrics="mig")["mig"]
    )
    with pytest.raises(bench.RequestError, match="give no others"):
        bench.evaluate(r, arrays["factors"])


def test_the_frame_has_parts_and_what_is_undefined(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays, metrics=["dci_fast", "mig_posterior"], resamples=3)
    frame = scores.frame().set_index("metric")
    assert list(frame.index) == [
        *("dci_fast", "dci_fast.completeness", "dci_fast.informativeness", "mig_posterior")
    ]
    assert frame.loc["dci_fast", "value"] == float(scores["dci_fast"])
    assert frame.loc["dci_fast.completeness", "standard_error"] >= 0
    assert frame.loc["mig_posterior", "note"].startswith("undefined: ")
    assert np.isnan(frame.loc["mig_posterior", "value"])
    assert "dci_fast" in repr(scores)
    assert "undefined" in scores._repr_html_()


def test_kinds_may_be_given_for_some_factors(arrays: dict[str, Any]) -> None:
    named: dict[str, Any] = {**arrays, "factor_names": ["shape", "size"]}
    scores = bench.evaluate(
        **named, metrics="discrete_accuracy", factor_kinds={"shape": "categorical"}
    )
    assert scores["discrete_accuracy"] > 0.9
    with pytest.raises(bench.RequestError, match="unknown factor in factor_kinds 'shpe'"):
        bench.evaluate(**named, factor_kinds={"shpe": "categorical"})


def test_a_function_is_a_metric(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays, metrics=["mig", first_deviation])
    assert scores[f"{__name__}:first_deviation"] == pytest.approx(arrays["codes"][:, 0].std())


def first_deviation(representation: Representation, rng: np.random.Generator) -> Score:
    """The deviation of the first latent (no paper)."""
    return Score(float(representation.codes[:, 0].std()), {})


def test_what_is_not_there_says_why(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays, metrics="mig,mig_posterior")
    with pytest.raises(KeyError, match="mig_posterior is undefined: "):
        scores["mig_posterior"]
    with pytest.raises(bench.RequestError, match="no score 'dci': there are mig"):
        scores["dci"]
    assert scores.get("dci") is None
    assert "mig_posterior" not in scores


def test_standard_errors_are_over_the_choice_of_further_rows_too(arrays: dict[str, Any]) -> None:
    noisy = arrays["factors"] + np.random.default_rng(1).normal(size=arrays["factors"].shape)
    unseen = arrays["factors"][:, 1] == 3
    whole = Representation.of(codes=noisy, factors=arrays["factors"], unseen=unseen)
    seen = replace(whole.take(np.flatnonzero(~unseen)), unseen=None)
    for r in (whole, replace(seen, further=whole.take(np.flatnonzero(unseen)))):
        scores = bench.evaluate(r, metrics="generalisation_linear", resamples=20)
        errors = scores.records["generalisation_linear"].standard_errors
        assert errors.keys() == {"value", "seen", "drop"}
        assert 0.005 < errors["value"] < 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": None}, "there are no factors"),
        ({"codes": "codes.npz"}, "codes"),
        ({"codes": np.zeros((3, 2))}, "numbers of rows differ"),
        ({"codes": np.full((500, 2), np.nan)}, "NaN"),
        ({"metrics": "mgi"}, "unknown metric 'mgi'"),
        ({"metrics": []}, "no metric named"),
        ({"options": {"mig.bins": 0}, "metrics": "mig"}, None),
        ({"options": {"mig.bin": 10}}, "unknown setting of mig 'bin'"),
        ({"options": {"bins": 10}}, "write OWNER.KEY=VALUE"),
        ({"options": {"dci.x": 10}}, "unknown metric in options 'dci'"),
        ({"resamples": 1}, "resamples=1: give 0"),
    ],
)
def test_wrong_input_is_one_line(
    arrays: dict[str, Any], changes: dict[str, Any], message: str | None
) -> None:
    if message is None:  # the metric's own refusal is a reason, not an error
        assert "bins" in bench.evaluate(**arrays, **changes).undefined["mig"]
        return
    with pytest.raises(bench.RequestError, match=message) as raised:
        bench.evaluate(**{**arrays, **changes})
    assert "\n" not in str(raised.value)


def test_a_metric_that_compares_runs_says_what_it_needs(arrays: dict[str, Any]) -> None:
    scores = bench.evaluate(**arrays, metrics="udr,mig")
    assert "study" in scores.undefined["udr"]
