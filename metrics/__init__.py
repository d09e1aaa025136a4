"""Disentanglement metrics: pure functions of a representation and a random generator.

Each is called as ``metric(representation, rng, *, options) -> Score``. To add one, write a file
with one function whose docstring starts with a line on the metric, its paper and year, and name it
in `METRICS` and `VERSIONS`.
"""

from .discrete_accuracy import discrete_accuracy
from .factorvae_score import factorvae_score
from .mig import mig
from .representation import Metric, Representation, Score

METRICS: dict[str, Metric] = {
    "mig": mig,
    "factorvae_score": factorvae_score,
    "discrete_accuracy": discrete_accuracy,
}

# Raised whenever a definition changes, so that numbers of two definitions are never put together.
VERSIONS: dict[str, int] = {
    "mig": 1,
    "factorvae_score": 1,
    "discrete_accuracy": 1,
}

__all__ = [
    "METRICS",
    "VERSIONS",
    "Metric",
    "Representation",
    "Score",
    "discrete_accuracy",
    "factorvae_score",
    "mig",
]
