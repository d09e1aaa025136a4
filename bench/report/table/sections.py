"""Further tables below a comparison: ranks, sweeps, agreement of metrics, shares of variance."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bench.report.columns import is_independent, is_part, is_ranked
from bench.report.frame import BASELINES, kinds_of, score_keys
from bench.report.statistics import (
    ENOUGH,
    Standing,
    agreement,
    paired,
    ranking,
    variance_shares,
)
from bench.report.statistics.aggregates import Strata, aggregate, strata_of

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"
AGREEING = 5  # models from which it is said how far metrics agree

# By name of a swept model, the values by key of a column, label and seed; the labels in the order
# of the values of the setting.
Swept = Mapping[str, Mapping[str, Mapping[str, Mapping[int, float]]]]


@dataclass(frozen=True)
class Section:
    """A table of texts.

    Attributes:
        title: above it.
        head: of the columns, the first of which names the rows.
        rows: of texts.
        notes: below it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())


def sections_of(
    numbers: "pd.DataFrame",
    titles: Mapping[str, str],
    standings: Mapping[str, Mapping[str, Standing]],
    swept: Swept,
    p_values: Mapping[str, Mapping[frozenset[str], float]],
) -> list[Section]:
    """All that the numbers of a study allow.

    Args:
        numbers: their frame.
        titles: of the columns of the table, by key.
        standings: by label, then key of a column.
        swept: the runs of its sweeps.
        p_values: of their pairs.
    """
    found = [
        _ranks(standings, titles),
        interquartile_means(
            numbers, {k: v for k, v in titles.items() if is_ranked(k) and not is_part(k)}
        ),
        _sweeps(numbers, swept, p_values, titles),
        _agreement(numbers, titles),
        _shares(numbers, titles),
    ]
    return [section for section in found if section is not None]


# --- ranks


def _ranks(
    standings: Mapping[str, Mapping[str, Standing]], titles: Mapping[str, str]
) -> Section | None:
    """Between which ranks each model may be, and which it is separated from."""
    ranked = {
        label: {key: standing for key, standing in own.items() if standing.of > 1}
        for label, own in standings.items()
    }
    columns = [key for key in titles if any(key in own for own in ranked.values())]
    if not columns:
        return None
    rows = [
        [
            label,
            *(f"{own[k].rank} ({own[k].letters})" if k in own else NOTHING for k in columns),
        ]
        for label, own in ranked.items()
        if own
    ]
    notes = [
        "The best and the worst rank that a model may have: 1 + the number of models that are "
        "separated above it, to the number of all that it is compared with minus those separated "
        "below it. In at least 95 % of all studies, every model's true rank is within its range. "
        "In brackets tie letters: models with a letter in common are not separated."
    ]
    return Section("Ranks", ["Model", *(titles[key] for key in columns)], rows, notes)


# --- many runs


def interquartile_means(numbers: "pd.DataFrame", titles: Mapping[str, str]) -> Section | None:
    """The interquartile mean of each model that has ten runs, or three data sets."""
    by_key = {key: strata for key in titles if (strata := strata_of(numbers, key))}
    if not by_key:
        return None
    kinds = kinds_of(numbers)
    labels = [label for label in kinds if any(label in strata for strata in by_key.values())]
    rows = [
        [label, *(_aggregate_text(strata.get(label)) for strata in by_key.values())]
        for label in labels
    ]
    counts = [
        (len(own), sum(map(len, own))) for strata in by_key.values() for own in strata.values()
    ]
    data_sets, runs = ({count[i] for count in counts} for i in (0, 1))
    of = "" if data_sets == {1} else f" over {_from_to(data_sets)} data sets"
    notes = [
        f"The mean of the middle half of {_from_to(runs)} runs{of}, and its 95 % interval by a "
        "bootstrap that draws the runs of each data set again. It covers 0.94 with ten runs of a "
        "data set, 0.90 with five and 0.86 with three."
    ]
    return Section("Interquartile means", ["Model", *(titles[key] for key in by_key)], rows, notes)


def _aggregate_text(strata: Strata | None) -> str:
    if strata is None:
        return NOTHING
    found = aggregate(strata, np.random.default_rng(0))
    return f"{found.iqm:.3f} {_ends(found.low, found.high)}"


def _ends(low: float, high: float) -> str:
    """`[0.02, 0.18]`, without a -0.00."""
    return f"[{round(low, 2) + 0.0:.2f}, {round(high, 2) + 0.0:.2f}]"


def _from_to(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


# --- sweeps


def swept_values(numbers: "pd.DataFrame") -> Swept:
    """The runs of all sweeps."""
    rows = numbers[numbers["setting_value"].notna() & numbers["value"].notna()]
    # by what stands before the settings: one model may have several names, each with a sweep
    found: dict[str, dict[str, dict[str, dict[int, float]]]]
    found = {str(label).partition(" (")[0]: {} for label in rows["label"].unique()}
    rows = rows.sort_values("setting_value", kind="stable")
    names = ("metric", "label", "seed", "value")
    for key, label, seed, value in zip(*(rows[name] for name in names), strict=True):
        found[label.partition(" (")[0]].setdefault(key, {}).setdefault(label, {})[seed] = value
    return found


def paired_p_values(swept: Swept, keys: Sequence[str]) -> dict[str, dict[frozenset[str], float]]:
    """By column, the p-values of pairs of settings of a swept model, whose runs share seeds."""
    found: dict[str, dict[frozenset[str], float]] = {key: {} for key in keys}
    for by_key in swept.values():
        for key in keys:
            seeds = by_key.get(key, {})
            for first, second in combinations(seeds, 2):
                samples = _common(seeds[first], seeds[second])
                if len(samples[0]) >= ENOUGH:
                    found[key][frozenset((first, second))] = paired(*samples).p
    return found


def _common(
    first: Mapping[int, float], second: Mapping[int, float]
) -> tuple[list[float], list[float]]:
    """The values of the seeds that both have."""
    seeds = [seed for seed in first if seed in second]
    return [first[seed] for seed in seeds], [second[seed] for seed in seeds]


def _sweeps(
    numbers: "pd.DataFrame",
    swept: Swept,
    p_values: Mapping[str, Mapping[frozenset[str], float]],
    titles: Mapping[str, str],
) -> Section | None:
    """What each value of a sweep loses against the best, and which one MIG and UDR would choose."""
    known = {key for by_key in swept.values() for key in by_key}
    scores = [
        key
        for key in score_keys(numbers)
        if key in titles and key in known and (is_ranked(key) or not is_independent(key))
    ]
    if not scores:
        return None
    ranked = [key for key in scores if is_ranked(key)]
    by_labels = next((key for key in ranked if key.partition(" (")[0] == "mig"), None)
    by_labels = by_labels or next(iter(ranked), None)
    criteria = [key for key in scores if key == by_labels or not is_independent(key)]
    runs = numbers.drop_duplicates("run")
    states = Counter(zip(runs["label"], runs["collapsed"], strict=True))
    rows = []
    for by_key in swept.values():
        own = {key: by_key.get(key, {}) for key in scores}
        best = {key: _best(values) for key, values in own.items() if values}
        apart = {key: _apart(values, p_values.get(key, {})) for key, values in own.items()}
        for label in dict.fromkeys(label for values in by_key.values() for label in values):
            count = f"{states[label, True] + states[label, False]}"
            if states[label, True]:
                count += f" ({states[label, True]} collapsed)"
            chosen = ", ".join(titles[key] for key in criteria if best.get(key) == label)
            cells = [
                _lost(label, best.get(key), own[key], is_independent(key), label in apart[key])
                for key in scores
            ]
            rows.append([label, count, chosen, *cells])
    notes = [
        "How much lower the mean is than that of the best value of the sweep, with the 95 % "
        "interval of the difference by pairs of runs of the same seed. * separated from the best "
        "(paired t tests of all pairs of values, with Holm's correction at 5 %).",
        "Chosen by: the value with the highest mean; what is lost in its row is what this choice "
        "costs in the other scores, on the runs that it was made with. All runs count, also "
        "collapsed ones.",
    ]
    if all(is_independent(key) for key in scores):
        notes.append(
            "UDR, which chooses without labels, is not scored: bench evaluate FOLDER --metrics udr."
        )
    heads = [f"{titles[key]} lost" for key in scores]
    return Section("Sweeps", ["Model", "Runs", "Chosen by", *heads], rows, notes)


def _best(values: Mapping[str, Mapping[int, float]]) -> str:
    """The label with the highest mean, the first of several."""
    return max(values, key=lambda label: math.fsum(values[label].values()) / len(values[label]))


def _apart(
    values: Mapping[str, Mapping[int, float]], p_values: Mapping[frozenset[str], float]
) -> set[str]:
    """The labels that are separated from the best."""
    samples = {n: [*own.values()] for n, own in values.items() if len(own) >= ENOUGH}
    return {n for n, s in ranking(samples, p_values).standings.items() if not s.is_best}


def _lost(
    label: str,
    best: str | None,
    values: Mapping[str, Mapping[int, float]],
    independent: bool,
    is_apart: bool,
) -> str:
    """`0.100 [0.02, 0.18]*`, with the star of what is separated from the best."""
    if best is None or label not in values:
        return NOTHING
    means = [float(np.mean([*values[name].values()])) for name in (best, label)]
    text = f"{means[0] - means[1]:.3f}"
    samples = _common(values[best], values[label])
    if label == best or len(samples[0]) < ENOUGH or not independent:
        return text
    found = paired(*samples)
    return f"{text} {_ends(found.low, found.high)}{'*' if is_apart else ''}"


# --- agreement, and shares of variance


def _agreement(numbers: "pd.DataFrame", titles: Mapping[str, str]) -> Section | None:
    """How far each two metrics put the models in the same order."""
    rows = _rivals(numbers)
    metrics = [key for key in score_keys(rows) if key in titles]
    pairs = {
        (found.first, found.second): found
        for found in agreement(rows[rows["metric"].isin(metrics)])
        if found.models >= AGREEING
    }
    shown = [key for key in metrics if any(key in pair for pair in pairs)]
    if not pairs:
        return None

    def cell(first: str, second: str) -> str:
        found = pairs.get((first, second)) or pairs.get((second, first))
        if found is None:
            return NOTHING
        if found.low is None or found.high is None:
            return f"{found.correlation:.2f}"
        return f"{found.correlation:.2f} {_ends(found.low, found.high)}"

    lines = [
        [titles[second], *(cell(first, second) if i < j else "" for i, first in enumerate(shown))]
        for j, second in enumerate(shown)
    ]
    models = {found.models for found in pairs.values()}
    notes = [
        f"Spearman's rank correlation of the means of {_from_to(models)} models, with its 95 % "
        "interval: 1 where two metrics put the models in the same order. Baselines are left out."
    ]
    head = ["Metric", *(titles[key] for key in shown[:-1])]
    return Section("Which metrics agree", head, [line[: len(head)] for line in lines[1:]], notes)


def _shares(numbers: "pd.DataFrame", titles: Mapping[str, str]) -> Section | None:
    """How much of the variance of each score is due to the model, its settings, and the seed."""
    rows = _rivals(numbers)
    rows = rows[rows["value"].notna()]
    metrics = [key for key in score_keys(rows) if key in titles and is_independent(key)]
    found = {key: shares for key in metrics if (shares := variance_shares(rows, key)) is not None}
    runs = rows.drop_duplicates("run")
    models, labels = runs["model"].nunique(), runs["label"].nunique()
    if labels < 2 or len(runs) <= labels or not found:
        return None
    swept = labels > models
    parts = {"Model": models > 1, "Settings": swept, "Seed": True}
    lines = []
    for key, shares in found.items():
        numbers_of = {"Model": shares.model, "Settings": shares.strength, "Seed": shares.seed}
        lines.append([titles[key], *(f"{numbers_of[p]:.2f}" for p in parts if parts[p])])
    counts = {int((rows["metric"] == key).sum()) for key in found}
    chance = {"Model": models - 1, "Settings": labels - models}
    words = " and ".join(
        f"{chance[part] / (len(runs) - 1):.2f} to the {part.lower()}"
        for part in chance
        if parts[part]
    )
    notes = [
        f"Shares of the variance of each score over {_from_to(counts)} runs between "
        f"{'models, ' if models > 1 and swept else 'models ' if models > 1 else ''}"
        f"{'settings of a model ' if swept else ''}and seeds. If nothing but the seed mattered, "
        f"chance would give {words}. Baselines are left out."
    ]
    head = ["Score", *(part for part in parts if parts[part])]
    return Section("What the scores depend on", head, lines, notes)


def _rivals(numbers: "pd.DataFrame") -> "pd.DataFrame":
    """Without baselines."""
    kinds = kinds_of(numbers)
    return numbers[[kinds[label] != BASELINES for label in numbers["label"]]]
