"""What the metrics of the posterior share: densities, and what they refuse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from bench.datasets import Toy
from bench.metrics import METRICS, kl_decomposition, mig_posterior
from bench.metrics.posterior import log_density
from bench.score import applicable, definition
from tests.metrics.conftest import labelled, rng


@pytest.mark.parametrize("rows", [1, 300, 70_000])
@pytest.mark.parametrize("deviation", [1e-9, 1e-3, 0.1, 1.0, 1e4])
def test_the_density_of_a_mixture(deviation: float, rows: int) -> None:
    mean = rng(1).normal(size=rows)
    deviations = deviation * np.exp(0.5 * rng(2).normal(size=rows))
    picked = rng(3).integers(rows, size=6)
    z = mean[picked] + deviations[picked] * rng(4).normal(size=6)
    expected = logsumexp(norm.logpdf(z[:, None], mean, deviations), axis=1) - np.log(rows)
    np.testing.assert_allclose(log_density(z, mean, deviations), expected, atol=1e-4)


@pytest.mark.parametrize("metric", [mig_posterior, kl_decomposition])
@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"logvar": None}, {}, "give `logvar`"),
        ({"probabilities": None}, {}, "give `probabilities`"),
        ({"probabilities": np.full((2_000, 3), 0.5)}, {}, "c1 .* take the softmax"),
        ({"probabilities": np.tile([1.5, 0.5, -1.0], (2_000, 1))}, {}, "c1 .* take the softmax"),
        ({"logvar": np.full((2_000, 3), -80.0)}, {}, "logvar runs from -80 to -80"),
        ({"logvar": np.full((2_000, 3), 60.0)}, {}, "logvar runs from 60 to 60"),
        ({}, {"samples": 1}, "samples is 1: give at least 2"),
        ({}, {"points": 1}, "points is 1: give at least 2"),
    ],
)
def test_what_is_no_posterior_is_refused(
    metric: Any, changed: dict[str, Any], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        metric(replace(labelled(), **changed), rng(), **options)
    assert "\n" not in str(caught.value)


def test_models_have_a_posterior_to_read() -> None:
    names = ["mig_posterior", "kl_decomposition", "active_units"]
    definitions = [definition(name) for name in names]
    suitable, refused = applicable(definitions, METRICS, Toy(image_size=32))
    assert suitable == definitions
    assert refused == {}
