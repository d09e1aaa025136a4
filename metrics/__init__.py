"""Disentanglement metrics: pure functions of a representation and a random generator.

Each is written as ``metric(representation, rng, *, options) -> Score``, and called in that way or
as ``metric(codes, factors)``; see `calling`. To add one, write a file with one function under the
decorator `metric()`, whose docstring starts with a line on the metric, paper and year; import it
here, and enter it in `METRICS` and `TITLES`.
"""

from collections.abc import Callable

from .active_units import active_units
from .betavae_score import betavae_score
from .calling import Metric
from .dci import dci
from .dci_es import dci_es
from .dci_fast import dci_fast
from .dcimig import dcimig
from .discrete_accuracy import discrete_accuracy
from .doubts import shuffled
from .explicitness import explicitness
from .factorvae_score import factorvae_score
from .few_labels import few_labels_boosted, few_labels_linear
from .generalisation import generalisation_boosted, generalisation_linear
from .infomec import infomec
from .irs import irs
from .jemmig import jemmig
from .kl_decomposition import kl_decomposition
from .mcc import mcc
from .mig import mig
from .mig_neighbours import mig_neighbours
from .mig_posterior import mig_posterior
from .mig_sup import mig_sup
from .modularity import modularity
from .representation import Representation, Score
from .sap import sap
from .total_correlation import total_correlation
from .udr import udr

# `bench list` reads both registries from the source, so they are written out.
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
    "mig_neighbours": mig_neighbours,
    "kl_decomposition": kl_decomposition,
    "active_units": active_units,
    "infomec": infomec,
    "explicitness": explicitness,
    "dci": dci,
    "few_labels_linear": few_labels_linear,
    "few_labels_boosted": few_labels_boosted,
    "dci_es": dci_es,
    "generalisation_linear": generalisation_linear,
    "generalisation_boosted": generalisation_boosted,
}

# These compare models: called with the representations of several, they return a score for each.
STUDY_METRICS: dict[str, Callable[..., list[Score]]] = {
    "udr": udr,
}

# What tables call the value of a metric (by its name) and its parts (by metric.part).
TITLES: dict[str, str] = {
    "mig": "MIG",
    "factorvae_score": "FactorVAE score",
    "discrete_accuracy": "Accuracy, majority",
    "discrete_accuracy.one_to_one": "Accuracy, one-to-one",
    "dci_fast": "Fast DCI disentanglement",
    "dci_fast.completeness": "Fast DCI completeness",
    "dci_fast.informativeness": "Fast DCI informativeness",
    "mig_sup": "MIG-sup",
    "jemmig": "JEMMIG",
    "dcimig": "DCIMIG",
    "modularity": "Modularity",
    "betavae_score": "BetaVAE score",
    "sap": "SAP",
    "irs": "IRS",
    "mcc": "MCC",
    "total_correlation": "Total correlation",
    "total_correlation.wasserstein": "Wasserstein correlation",
    "mig_posterior": "MIG, aggregate posterior",
    "mig_neighbours": "MIG, nearest neighbours",
    "kl_decomposition": "KL decomposition",
    "kl_decomposition.mutual_information": "Index-code MI",
    "kl_decomposition.total_correlation": "Total correlation (KL)",
    "kl_decomposition.dimension_wise": "Dimension-wise KL",
    "active_units": "Active units",
    "active_units.share": "Active units, share",
    "infomec": "InfoM",
    "infomec.infoe": "InfoE",
    "infomec.infoc": "InfoC",
    "explicitness": "Explicitness",
    "dci": "DCI disentanglement",
    "dci.completeness": "DCI completeness",
    "dci.informativeness": "DCI informativeness",
    "few_labels_linear": "Few labels, linear",
    "few_labels_linear.fewest": "Fewest labels, linear",
    "few_labels_linear.some": "Some labels, linear",
    "few_labels_linear.most": "Most labels, linear",
    "few_labels_linear.efficiency": "Label efficiency, linear",
    "few_labels_linear.efficiency_some": "Label efficiency (some), linear",
    "few_labels_boosted": "Few labels, boosted",
    "few_labels_boosted.fewest": "Fewest labels, boosted",
    "few_labels_boosted.some": "Some labels, boosted",
    "few_labels_boosted.most": "Most labels, boosted",
    "few_labels_boosted.efficiency": "Label efficiency, boosted",
    "few_labels_boosted.efficiency_some": "Label efficiency (some), boosted",
    "dci_es": "DCI-ES explicitness",
    "dci_es.size": "DCI-ES size",
    "dci_es.informativeness": "DCI-ES informativeness",
    "generalisation_linear": "Unseen, linear",
    "generalisation_linear.seen": "Seen, linear",
    "generalisation_linear.drop": "Drop, linear",
    "generalisation_boosted": "Unseen, boosted",
    "generalisation_boosted.seen": "Seen, boosted",
    "generalisation_boosted.drop": "Drop, boosted",
    "udr": "UDR",
}

# Values and parts that are not between 0 and 1, such as nats and counts. All others in TITLES are.
UNBOUNDED = frozenset(
    {
        "total_correlation",
        "total_correlation.wasserstein",
        "kl_decomposition",
        "kl_decomposition.mutual_information",
        "kl_decomposition.total_correlation",
        "kl_decomposition.dimension_wise",
        "active_units",
        "generalisation_linear.drop",
        "generalisation_boosted.drop",
    }
)

# Raised whenever a definition changes, so that scores of two definitions never share a column:
# 1 for all but those listed here.
VERSIONS: dict[str, int] = dict.fromkeys((*METRICS, *STUDY_METRICS), 1) | {
    "sap": 2,  # its classifiers are fitted to their exact minimum
}

__all__ = [
    "METRICS",
    "Metric",
    "Representation",
    "STUDY_METRICS",
    "Score",
    "TITLES",
    "UNBOUNDED",
    "VERSIONS",
    "active_units",
    "betavae_score",
    "dci",
    "dci_es",
    "dci_fast",
    "dcimig",
    "discrete_accuracy",
    "explicitness",
    "factorvae_score",
    "few_labels_boosted",
    "few_labels_linear",
    "generalisation_boosted",
    "generalisation_linear",
    "infomec",
    "irs",
    "jemmig",
    "kl_decomposition",
    "mcc",
    "mig",
    "mig_neighbours",
    "mig_posterior",
    "mig_sup",
    "modularity",
    "sap",
    "shuffled",
    "total_correlation",
    "udr",
]
