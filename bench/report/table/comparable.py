"""Which rows of a table can be compared with each other, and what comes of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.report.columns import Column, Metrics, is_part, is_ranked, title_of
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
    "likelihood": "likelihoods differ",
    "budget": "budgets differ",
}

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

    def rankings(
        self,
        keys: Sequence[str],
        values: Values,
        paired: Mapping[str, Mapping[frozenset[str], float]],
    ) -> dict[str, list[Ranking]]:
        """The ranking of each class by each column that models are ranked by.

        Args:
            keys: of the columns.
            values: by label and key.
            paired: by key, the p-values of pairs of rows that are tested otherwise.
        """
        rankings: dict[str, list[Ranking]] = {}
        for key in filter(is_ranked, keys):
            samples = {
                label: own
                for label in self.categories
                if len(own := values.get(label, {}).get(key, ())) >= ENOUGH
            }
            rankings[key] = [
                ranking({label: samples[label] for label in group}, paired.get(key))
                for group in self.classes(key, list(samples))
            ]
        return rankings

    def classes(self, key: str, labels: Sequence[str]) -> list[list[str]]:
        """The rows in groups that may be compared by a column; baselines are in none."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for label in labels:
            if label in self.categories:
                groups.setdefault(self.signature(label, key), []).append(label)
        return list(groups.values())

    def signature(self, label: str, key: str) -> tuple[str, ...]:
        """What rows must have in common to be compared by a column."""
        about = [by_label[label] for by_label in self.facts.values()]
        return (*about, self.categories[label] if key.startswith(_ACCURACY) else "")

    def notes(
        self, rankings: Mapping[str, Sequence[Ranking]], values: Values, swept: bool
    ) -> list[str]:
        """What bold means, what was compared, and what the number of runs can show.

        Args:
            rankings: by key of a column.
            values: by label and key.
            swept: whether pairs of settings of one model were tested as pairs of equal seeds.
        """
        compared = {key: [r for r in several if r.pairs] for key, several in rankings.items()}
        compared = {key: several for key, several in compared.items() if several}
        notes = []
        if compared:
            without = " Baselines take no part." if self.baselines else ""
            otherwise = " (paired t tests of values of one sweep, by seed)" if swept else ""
            notes.append(
                "Bold: not separated from the best of the column by Welch's tests of all pairs"
                f"{otherwise} with Holm's correction at {100 - 100 * CONFIDENCE:.0f} %. Each of "
                "them may be the best; that they are equal has not been shown. Rows of at least "
                f"{ENOUGH} runs are compared.{without}"
            )
            pairs = (
                f"{title_of(key)} {sum(r.separated for r in several)} of "
                f"{sum(r.pairs for r in several)}"
                for key, several in compared.items()
            )
            notes.append(f"Separated pairs: {'; '.join(pairs)}.")
        notes += self.apart()
        if shown := [words for key in compared if (words := _power(key, compared[key], values))]:
            notes.append(
                "Differences of two models that 80 % of all studies with so many runs show (one "
                "pair, uncorrected; deviation over seeds pooled over models): "
                f"{'; '.join(shown)}."
            )
        return notes

    def apart(self) -> list[str]:
        """Which rows are compared apart from others, and why."""
        different = {words: self.facts[fact] for fact, words in _FACTS.items()}
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


def split(
    columns: Sequence[Column],
    groups: Mapping[str, Sequence[Record]],
    without_meaning: Mapping[str, Mapping[str, None]],
) -> list[Column]:
    """The columns, of which those become several whose numbers mean different things in rows.

    Those are reconstructions by different likelihoods, and accuracies of different numbers of
    categories. What most rows have keeps the key.

    Args:
        columns: of a table.
        groups: records by label.
        without_meaning: as `unreadable` gives it.
    """
    likelihoods = {
        label: _word(group[0].run.settings.get("likelihood"))
        for label, group in groups.items()
        if any(r.evaluation is not None and r.evaluation.reconstruction is not None for r in group)
    }
    about = {
        "reconstruction": {k: v.replace("_", " ") for k, v in _completed(likelihoods).items()},
        _ACCURACY: {
            label: f"{words} categories"
            for label, group in groups.items()
            if (words := _categories(group))
        },
    }
    found: list[Column] = []
    for column in columns:
        name = column.key.partition(" (")[0].partition(".")[0]
        labels: dict[str, list[str]] = {}
        for label, words in about.get(name, {}).items():
            if label in without_meaning.get(column.key, {}):
                continue
            labels.setdefault(words, []).append(label)
        if len(labels) < 2:
            found.append(column)
            continue
        usual = max(labels, key=lambda words: len(labels[words]))
        for words in sorted(labels, key=lambda words: words != usual):
            found.append(
                replace(
                    column,
                    key=column.key if words == usual else f"{column.key} ({words})",
                    title=f"{column.title} ({words})",
                    metric=column.key,
                    labels=frozenset(labels[words]),
                )
            )
    return found


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
