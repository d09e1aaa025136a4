"""Disentanglement metrics: pure functions of a representation and a random generator.

Each is called as ``metric(representation, rng, *, options) -> Score``. To add one, write a file
with one function whose docstring starts with a line on the metric, its paper and year, and name it
in `METRICS` and `VERSIONS`.
"""

from collections.abc import Callable

from .active_units import active_units
from .betavae_score import betavae_score
from .dci import dci
from .dci_fast import dci_fast
from .dcimig import dcimig
from .discrete_accuracy import discrete_accuracy
from .explicitness import explicitness
from .factorvae_score import factorvae_score
from .infomec import infomec
from .irs import irs
from .jemmig import jemmig
from .kl_decomposition import kl_decomposition
from .mcc import mcc
from .mig import mig
from .mig_posterior import mig_posterior
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
    "dci_fast": dci_fast,
    "mig_sup": mig_sup,
    "jemmig": jemmig,
    "dcimig": dcimig,
    "modularity": modularity,
    "betavae_score": betavae_score,
    "sap": sap,
    "irs": irs,
    "mcc": mcc,
    "total_correlation": total_correlation,
    "mig_posterior": mig_posterior,
    "kl_decomposition": kl_decomposition,
    "active_units": active_units,
    "infomec": infomec,
    "explicitness": explicitness,
    "dci": dci,
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
    "mig_posterior": 1,
    "kl_decomposition": 1,
    "active_units": 1,
    "infomec": 1,
    "explicitness": 1,
    "dci": 1,
    "dci_fast": 1,
    "udr": 1,
}

__all__ = [
    "METRICS",
    "Metric",
    "Representation",
    "STUDY_METRICS",
    "Score",
    "VERSIONS",
    "active_units",
    "betavae_score",
    "dci",
    "dci_fast",
    "dcimig",
    "discrete_accuracy",
    "explicitness",
    "factorvae_score",
    "infomec",
    "irs",
    "jemmig",
    "kl_decomposition",
    "mcc",
    "mig",
    "mig_posterior",
    "mig_sup",
    "modularity",
    "sap",
    "total_correlation",
    "udr",
]
