"""Every registered metric keeps the promises of `bench check`."""

import inspect
from typing import Any

import pytest

from bench.check.metric import PROMISES, MetricSubject
from bench.check.promises import FAILS, SKIPPED, try_promises
from bench.metrics import METRICS, STUDY_METRICS, TITLES, UNBOUNDED, Score

QUICK = {"betavae_score": {"points": 400, "test_points": 400}}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_its_promises(name: str, quick_options) -> None:
    options = {**quick_options(name), **QUICK.get(name, {})}
    findings = list(try_promises(PROMISES, MetricSubject(METRICS[name], options, None), None))
    broken = [str(finding) for finding in findings if finding.mark in (FAILS, SKIPPED)]
    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("name", [*METRICS, *STUDY_METRICS])
def test_its_docstring_says_whether_it_is_bounded(name: str) -> None:
    text = " ".join(inspect.getdoc({**METRICS, **STUDY_METRICS}[name]).split())
    bounded = "Score in [0, 1]" in text
    assert bounded is (name not in UNBOUNDED)


def test_what_is_unbounded_has_a_title() -> None:
    assert set(TITLES) >= UNBOUNDED


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"details": [1, 2]}, "details of a Score are a list: give a dict"),
        ({"details": {}, "parts": [0.1]}, "parts of a Score are a list: give a dict"),
        ({"details": {}, "warnings": "x"}, "warnings of a Score are 'x': give a list of texts"),
        ({"details": {}, "warnings": [3]}, r"warnings of a Score are \[3\]: give a list of texts"),
    ],
)
def test_what_a_score_is_made_of_has_its_types(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=f"^{said}$"):
        Score(0.5, **given)
