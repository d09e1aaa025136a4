"""Which rows of a table can be compared with each other, and what comes of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.columns import Metrics, is_part, is_ranked, title_of
from bench.report.frame import BASELINES, WEAKLY
from bench.report.statistics import (
    CONFIDENCE,
    ENOUGH,
    Ranking,
    detectable,
    pooled_sd,
    ranking,
    runs_needed,
)
from bench.store.record import Record

NOTICED = 0.05  # difference of two scores for which the runs that show it are counted

_ACCURACY = "discrete_accuracy"
_ONE_TO_ONE = "one_to_one"  # part of it

# Facts that rows must share, and what a note calls them.
_FACTS = {
    "supervision": "supervision differs",
    "network": "networks differ",
    "likelihood": "likelihoods differ, and with them the units of the reconstruction",
    "budget": "budgets differ",
}
_CATEGORIES = "accuracies are of different numbers of categories"

Values = Mapping[str, Mapping[str, Sequence[float]]]  # by label, then key of a column


@dataclass(frozen=True)
class Comparable:
    """Rows, and what they must have in common to be compared. Baselines take no part.

    Rows are compared in classes: of equal supervision, network, likelihood and budget, and in
    accuracies of equal numbers of categories. A row of which a fact is not known, such as codes
    from a file, is taken to be as most rows are.

    Attributes:
        facts: in words, by fact and label.
        categories: from how many categories the accuracy tells classes, by label.
        baselines: whether there are any.
    """

    facts: Mapping[str, Mapping[str, str]]
    categories: Mapping[str, str]
    baselines: bool

    @classmethod
    def of(cls, groups: Mapping[str, Sequence[Record]], kinds: Mapping[str, str]) -> "Comparable":
        """The rows of some records.

        Args:
            groups: records by label.
            kinds: of models by label, as `kinds_of` gives them.
        """
        rivals = {label: group for label, group in groups.items() if kinds[label] != BASELINES}
        runs = {label: group[0].run for label, group in rivals.items()}
        facts: dict[str, dict[str, str | None]] = {
            "supervision": {
                label: "weak" if kinds[label] == WEAKLY else "none" for label in rivals
            },
            **{
                name: {label: _word(run.settings.get(name)) for label, run in runs.items()}
                for name in ("network", "likelihood")
            },
            "budget": {
                label: f"{run.steps} steps of {run.batch_size}" if run.trained else None
                for label, run in runs.items()
            },
        }
        known = {name: _completed(values) for name, values in facts.items()}
        categories = {label: _categories(group) for label, group in rivals.items()}
        return cls(known, categories, len(rivals) < len(groups))

    def alike(self, label: str, key: str) -> list[str]:
        """The other rows that may stand in one ranking with a row, whatever their training."""
        own = self.categories.get(label, "")
        return [
            name
            for name, categories in self.categories.items()
            if name != label
            and (not key.startswith(_ACCURACY) or not own or categories in ("", own))
        ]

    def rankings(self, keys: Sequence[str], values: Values) -> dict[str, list[Ranking]]:
        """The ranking of each class by each column that models are ranked by."""
        return {key: self._classes(key, values) for key in keys if is_ranked(key)}

    def _classes(self, key: str, values: Values) -> list[Ranking]:
        classes: dict[tuple[str, ...], dict[str, Sequence[float]]] = {}
        for label, categories in self.categories.items():
            own = values.get(label, {}).get(key, ())
            if len(own) >= ENOUGH:
                about = [by_label[label] for by_label in self.facts.values()]
                about += [categories] if key.startswith(_ACCURACY) else []
                classes.setdefault(tuple(about), {})[label] = own
        return [ranking(samples) for samples in classes.values()]

    def notes(self, rankings: Mapping[str, Sequence[Ranking]], values: Values) -> list[str]:
        """What bold means, what was compared, and what the number of runs can show."""
        compared = {key: [r for r in several if r.pairs] for key, several in rankings.items()}
        compared = {key: several for key, several in compared.items() if several}
        notes = []
        if compared:
            without = " Baselines take no part." if self.baselines else ""
            notes.append(
                "Bold: not separated from the best of the column by Welch's tests of all pairs "
                f"with Holm's correction at {100 - 100 * CONFIDENCE:.0f} %. Each of them may be "
                "the best; that they are equal has not been shown. Rows of at least "
                f"{ENOUGH} runs are compared.{without}"
            )
            pairs = (
                f"{title_of(key)} {sum(r.separated for r in several)} of "
                f"{sum(r.pairs for r in several)}"
                for key, several in compared.items()
            )
            notes.append(f"Separated pairs: {'; '.join(pairs)}.")
        notes += self.apart(any(key.startswith(_ACCURACY) for key in rankings))
        if shown := [words for key in compared if (words := _power(key, compared[key], values))]:
            notes.append(
                "Differences of two models that 80 % of all studies with so many runs show (one "
                "pair, uncorrected; deviation over seeds pooled over models): "
                f"{'; '.join(shown)}."
            )
        return notes

    def apart(self, accuracies: bool) -> list[str]:
        """Which rows are compared apart from others, and why."""
        different = {words: self.facts[fact] for fact, words in _FACTS.items()}
        if accuracies:
            different[_CATEGORIES] = {k: words for k, words in self.categories.items() if words}
        notes = []
        for words, by_label in different.items():
            labels: dict[str, list[str]] = {}
            for label, value in by_label.items():
                labels.setdefault(value, []).append(label)
            if len(labels) > 1:
                common = max(labels, key=lambda value: len(labels[value]))
                others = "; ".join(
                    f"{value}: {', '.join(own)}" for value, own in labels.items() if value != common
                )
                notes.append(
                    f"Compared apart, each group with its own bold, as {words}: "
                    f"{others}; {common}: all others."
                )
        return notes


def unreadable(
    groups: Mapping[str, Sequence[Record]], metrics: Metrics
) -> dict[str, dict[str, None]]:
    """Labels by the key of a column in which their number cannot be read.

    With more categories than classes, some categories stand for no class: the rows of those are
    never right, however well they tell the classes apart.
    """
    found: dict[str, dict[str, None]] = {}
    for label, group in groups.items():
        for score in (record.scores[_ACCURACY] for record in group if _ACCURACY in record.scores):
            tables = [entry["confusion"] for entry in score.details.get("factors", {}).values()]
            if any(len(table) > len(table[0]) for table in tables):
                found.setdefault(metrics.key(score.definition, _ONE_TO_ONE), {})[label] = None
    return found


def unreadable_notes(labels_by_key: Mapping[str, Mapping[str, None]]) -> list[str]:
    return [
        f"{title_of(key)} of {', '.join(labels)}: more categories than classes, so some stand for "
        "no class and the number cannot be read (runs.csv has it)."
        for key, labels in labels_by_key.items()
    ]


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _completed(values: Mapping[str, str | None]) -> dict[str, str]:
    """The values, with the most frequent one where there is none."""
    known = Counter(value for value in values.values() if value is not None)
    common = known.most_common(1)[0][0] if known else ""
    return {label: common if value is None else value for label, value in values.items()}


def _categories(group: Sequence[Record]) -> str:
    """From how many categories the classes of each factor are told; empty if none is."""
    for record in group:
        if _ACCURACY in record.scores:
            factors = record.scores[_ACCURACY].details.get("factors", {})
            return ", ".join(str(len(entry["confusion"])) for entry in factors.values())
    return ""


def _power(key: str, rankings: Sequence[Ranking], values: Values) -> str | None:
    """`MIG 0.095 with 5 runs, 0.05 needs 15`; None of parts, and where seeds do not differ."""
    samples = [values[label][key] for found in rankings for label in found.standings]
    sd = pooled_sd(samples)
    if is_part(key) or sd is None or sd < 1e-6:
        return None
    n = Counter(map(len, samples)).most_common(1)[0][0]
    return (
        f"{title_of(key)} {detectable(sd, n):.3f} with {n} runs, "
        f"{NOTICED:g} needs {runs_needed(sd, NOTICED)} (deviation {sd:.3f})"
    )
