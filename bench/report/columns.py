"""The columns of a table: which numbers a record has, and what they are called."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.store.record import Record

_TITLES = {
    "mig": "MIG",
    "factorvae_score": "FactorVAE score",
    "discrete_accuracy": "Accuracy, majority",
    "discrete_accuracy.one_to_one": "Accuracy, one-to-one",
    "mig_sup": "MIG-sup",
    "jemmig": "JEMMIG",
    "dcimig": "DCIMIG",
    "modularity": "Modularity",
    "betavae_score": "BetaVAE score",
    "sap": "SAP",
    "irs": "IRS",
    "mcc": "MCC",
    "total_correlation": "Total correlation",
    "udr": "UDR",
    "dci": "DCI disentanglement",
    "dci.completeness": "DCI completeness",
    "dci.informativeness": "DCI informativeness",
    "dci_fast": "Fast DCI disentanglement",
    "dci_fast.completeness": "Fast DCI completeness",
    "dci_fast.informativeness": "Fast DCI informativeness",
    "infomec": "InfoM",
    "infomec.infoe": "InfoE",
    "infomec.infoc": "InfoC",
    "explicitness": "Explicitness",
    "total_correlation.wasserstein": "Wasserstein correlation",
    "mig_posterior": "MIG, aggregate posterior",
    "kl_decomposition": "KL decomposition",
    "kl_decomposition.mutual_information": "Index-code MI",
    "kl_decomposition.total_correlation": "Total correlation (KL)",
    "kl_decomposition.dimension_wise": "Dimension-wise KL",
    "active_units": "Active units",
    "active_units.share": "Active units, share",
}
_EVALUATION = {
    "reconstruction": ("Reconstruction", 1),
    "kl_total": ("KL", 1),
    "active_latents": ("Active latents", 1),
}

# Of a run's evaluation: by metric the definition and the reason why it is undefined there.
UNDEFINED = "undefined"


@dataclass(frozen=True)
class Column:
    """A number of each run: `key` of `values_of`, its title, and the digits shown."""

    key: str
    title: str
    digits: int
    is_score: bool = True


@dataclass(frozen=True)
class Metrics:
    """The metrics of some records, by definition: two definitions never share a key.

    definitions: by identity; apart: what sets each apart from others of its name, or nothing.
    """

    definitions: Mapping[str, Mapping[str, Any]]
    apart: Mapping[str, str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Metrics":
        found = {
            _identity(score["definition"]): score["definition"]
            for record in records
            for score in record.scores.values()
        }
        apart = {}
        for identity, definition in found.items():
            rivals = [d for d in found.values() if d["name"] == definition["name"]]
            apart[identity] = f" ({_distinction(definition, rivals)})" if len(rivals) > 1 else ""
        return cls(found, apart)

    def key(self, definition: Mapping[str, Any], part: str | None = None) -> str:
        """`mig`, `discrete_accuracy.one_to_one`, or with two definitions `mig (bins=20)`."""
        name = definition["name"] if part is None else f"{definition['name']}.{part}"
        return name + self.apart[_identity(definition)]


def columns_of(records: Sequence[Record], metrics: Metrics) -> list[Column]:
    """All columns of a table: scores in the order of the records, then the evaluation."""
    parts: dict[str, list[str]] = {metrics.key(d): [] for d in metrics.definitions.values()}
    for record in records:
        for score in record.scores.values():
            definition = score["definition"]
            parts[metrics.key(definition)] += [metrics.key(definition, p) for p in score["parts"]]
    keys = [key for whole, own in parts.items() for key in (whole, *dict.fromkeys(own))]
    scores = [Column(key, title_of(key), 3) for key in keys]
    return [*scores, *(Column(k, *shown, is_score=False) for k, shown in _EVALUATION.items())]


def score_columns(records: Sequence[Record]) -> list[Column]:
    """The columns that hold scores, in the order of the table."""
    return [column for column in columns_of(records, Metrics.of(records)) if column.is_score]


def values_of(record: Record, metrics: Metrics) -> dict[str, float]:
    """The numbers of one scored run by column key."""
    values: dict[str, float] = {}
    for score in record.scores.values():
        definition = score["definition"]
        values[metrics.key(definition)] = score["value"]
        values |= {metrics.key(definition, p): value for p, value in score["parts"].items()}
    measured = {key: record.evaluation[key] for key in _EVALUATION}
    return values | {key: value for key, value in measured.items() if value is not None}


def title_of(key: str) -> str:
    """`factorvae_score` is `FactorVAE score`; what sets two definitions apart stays behind it."""
    name, space, apart = key.partition(" (")
    return _TITLES.get(name, name.rpartition(".")[2].replace("_", " ")) + space + apart


def definition_words(definition: Mapping[str, Any]) -> str:
    """`version 1 (bins 20, points 10000)`, and which classes were merged."""
    options = ", ".join(f"{k} {v}" for k, v in definition["options"].items())
    merged = f", merged {', '.join(definition['merge'])}" if "merge" in definition else ""
    return f"version {definition['version']}{f' ({options})' if options else ''}{merged}"


def _identity(definition: Mapping[str, Any]) -> str:
    parts = [definition.get(k) for k in ("name", "version", "options", "merge")]
    return json.dumps(parts, sort_keys=True)


def _distinction(definition: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> str:
    """What sets a definition apart from the others of its metric."""
    options = definition["options"]
    apart = [
        f"{key}={options[key]}" if key in options else f"no {key}"
        for key in dict.fromkeys(key for rival in rivals for key in rival["options"])
        if any(rival["options"].get(key) != options.get(key) for rival in rivals)
    ]
    if any(rival.get("merge") != definition.get("merge") for rival in rivals):
        apart.append(f"merged {', '.join(definition.get('merge', ['nothing']))}")
    if any(rival["version"] != definition["version"] for rival in rivals):
        apart.append(f"version {definition['version']}")
    return ", ".join(apart)
