"""Disentanglement metrics: pure functions of a representation and a random generator.

Each is called as ``metric(representation, rng, *, options) -> Score``. To add one, write a file
with one function whose docstring starts with a line on the metric, its paper and year, and name it
in `METRICS` and `VERSIONS`.
"""

from collections.abc import Callable

from .betavae_score import betavae_score
from .dcimig import dcimig
from .discrete_accuracy import discrete_accuracy
from .factorvae_score import factorvae_score
from .irs import irs
from .jemmig import jemmig
from .mcc import mcc
from .mig import mig
from .mig_sup import mig_sup
from .modularity import modularity
from .representation import Metric, Representation, Score
from .sap import sap
from .total_correlation import total_correlation
from .udr import udr

METRICS: dict[str, Metric] = {
    "mig": mig,
    "factorvae_score": factorvae_score,
    "discrete_accuracy": discrete_accuracy,
    "mig_sup": mig_sup,
    "jemmig": jemmig,
    "dcimig": dcimig,
    "modularity": modularity,
    "betavae_score": betavae_score,
    "sap": sap,
    "irs": irs,
    "mcc": mcc,
    "total_correlation": total_correlation,
}

# Compare models: called with the representations of several, answer with a score for each.
STUDY_METRICS: dict[str, Callable[..., list[Score]]] = {
    "udr": udr,
}

# Raised whenever a definition changes, so that numbers of two definitions are never put together.
VERSIONS: dict[str, int] = {
    "mig": 1,
    "factorvae_score": 1,
    "discrete_accuracy": 1,
    "mig_sup": 1,
    "jemmig": 1,
    "dcimig": 1,
    "modularity": 1,
    "betavae_score": 1,
    "sap": 1,
    "irs": 1,
    "mcc": 1,
    "total_correlation": 1,
    "udr": 1,
}

__all__ = [
    "METRICS",
    "Metric",
    "Representation",
    "STUDY_METRICS",
    "Score",
    "VERSIONS",
    "betavae_score",
    "dcimig",
    "discrete_accuracy",
    "factorvae_score",
    "irs",
    "jemmig",
    "mcc",
    "mig",
    "mig_sup",
    "modularity",
    "sap",
    "total_correlation",
    "udr",
]
