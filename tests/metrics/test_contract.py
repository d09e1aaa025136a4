"""Every registered metric keeps the promises of `bench check`."""

import pytest

from bench.check.metric import PROMISES, MetricSubject
from bench.check.promises import FAILS, SKIPPED, try_promises
from bench.metrics import METRICS

QUICK = {"betavae_score": {"points": 400, "test_points": 400}}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_its_promises(name: str, quick_options) -> None:
    options = {**quick_options(name), **QUICK.get(name, {})}
    findings = list(try_promises(PROMISES, MetricSubject(METRICS[name], options, None), None))
    broken = [str(finding) for finding in findings if finding.mark in (FAILS, SKIPPED)]
    assert broken == [], "\n".join(broken)
