"""The plots of the page as coordinates, which the template makes SVG of.

Lengths are in the units of a drawing of `WIDTH` units.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.columns import bounds_of, is_bounded, is_independent, title_of
from bench.report.curves import STEEP, Curve, Logged, heading, is_share
from bench.report.frame import BASELINES, kinds_of, score_keys
from bench.report.statistics import summarise
from bench.store.record import Record

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 360
LABELS = 120  # units on the left, for the names of models
ROW = 18
ROWS = 60  # models in a plot of scores
LINES = 60  # runs in a plot of training curves
POINTS = 120  # of a curve
PLOT = (44, 16, 8, 200)  # left, right, top, height of training curves
COLOURS = 8
_LETTERS = 20  # of a model's name beside its row

KL_PARTS = {
    "mutual_information": "I(x; z): information about the image",
    "total_correlation": "total correlation of the latents",
    "dimension_wise": "distance of each latent from its prior",
}


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis.

    Attributes:
        low, high: its ends, as numbers.
        first, last: its ends, as places.
        logarithmic: whether equal distances are equal ratios.
    """

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def place(self, number: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, number = math.log(low), math.log(high), math.log(max(number, self.low))
        share = (min(max(number, low), high) - low) / (high - low)
        return round(self.first + share * (self.last - self.first), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places of round numbers, and the numbers."""
        return [(self.place(number), _number(number)) for number in self._round()]

    def _round(self) -> list[float]:
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 4 else (1,)
            numbers = [step * 10.0**power for power in powers for step in steps]
            numbers = [number for number in numbers if self.low <= number <= self.high]
            if len(numbers) > 2:
                return numbers
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def axis_of(
    numbers: Sequence[float], first: float, last: float, *, logarithmic: bool = False
) -> Axis:
    """An axis that holds all numbers, with a little room."""
    low, high = min(numbers), max(numbers)
    if logarithmic:
        return Axis(low, high if high > low else 2 * low, first, last, logarithmic=True)
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    room = 0.04 * (high - low)
    return Axis(low - room, high + room, first, last)


def _number(number: float) -> str:
    return f"{float(f'{number:.3g}') + 0.0:g}".replace("e+0", "e")  # no -0


# --- scores


@dataclass(frozen=True)
class ScoreRow:
    """A model in a plot of scores; places are horizontal.

    Attributes:
        label: of the model, cut if it is long.
        whole: the label.
        y: its place.
        colour: of its kind, as a number.
        dots: of each run the place, whether it collapsed, and what it is.
        mean: place; None without a value.
        interval: places of both ends; None without one.
    """

    label: str
    whole: str
    y: float
    colour: int
    dots: Sequence[tuple[float, bool, str]]
    mean: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class ScorePlot:
    """One score of all models.

    Attributes:
        title: of the score.
        rows: from top to bottom.
        ticks: of the horizontal axis, places and numbers.
        chance: place of the score by chance; None where none is known.
        baselines: places of the means of the baselines, and of their rows.
        height: of the drawing.
    """

    title: str
    rows: Sequence[ScoreRow]
    ticks: Sequence[tuple[float, str]]
    chance: float | None
    baselines: Sequence[tuple[float, float]]
    height: float


def score_plots(numbers: "pd.DataFrame") -> tuple[list[ScorePlot], list[str], int]:
    """The plots of all scores, without their parts.

    Returns:
        The plots; the kinds of models, by their colour; how many models are left out. Models come
        by kind, and by their mean of the first score.
    """
    finite = numbers[np.isfinite(numbers["value"])]
    keys, kinds = score_keys(finite), kinds_of(numbers)
    if not keys:
        return [], [], 0
    names = list(dict.fromkeys(kinds.values()))
    means = finite[finite["metric"] == keys[0]].groupby("label")["value"].mean().to_dict()

    def rank(label: str) -> tuple[int, float]:
        return names.index(kinds[label]), -means.get(label, -math.inf)

    labels = sorted(kinds, key=rank)
    shown = labels[:ROWS]
    colours = {label: names.index(kinds[label]) % COLOURS for label in shown}
    plots = []
    for key in keys:
        own = finite[finite["metric"] == key]
        groups = {str(label): group for label, group in own.groupby("label")}
        baselines = [label for label in shown if kinds[label] == BASELINES]
        plots.append(_score_plot(key, own, groups, shown, colours, baselines))
    return plots, names, len(labels) - len(shown)


def _score_plot(
    key: str,
    own: "pd.DataFrame",
    groups: Mapping[str, "pd.DataFrame"],
    labels: Sequence[str],
    colours: Mapping[str, int],
    baselines: Sequence[str],
) -> ScorePlot:
    first, last = LABELS + 6.0, WIDTH - 8.0
    values = own["value"].tolist()
    chances = own["chance"].dropna().tolist()
    axis = Axis(-0.02, 1.02, first, last) if is_bounded(key) else axis_of(values, first, last)
    rows = []
    for index, label in enumerate(labels):
        group = groups.get(label)
        runs = [] if group is None else group[["value", "collapsed", "seed"]].values.tolist()
        own_values = [value for value, _, _ in runs]
        summary = summarise(own_values, bounds_of(key), independent=is_independent(key))
        interval = None
        if summary is not None and summary.low is not None and summary.high is not None:
            interval = axis.place(summary.low), axis.place(summary.high)
        rows.append(
            ScoreRow(
                label=_cut(label),
                whole=label,
                y=ROW * (index + 0.7),
                colour=colours[label],
                dots=[
                    (axis.place(value), bool(state), f"{label}, seed {int(seed)}: {value:.3f}")
                    for value, state, seed in runs
                ],
                mean=None if summary is None else axis.place(summary.mean),
                interval=interval,
            )
        )
    chance = axis.place(sum(chances) / len(chances)) if chances else None
    means = [(row.mean, row.y) for row in rows if row.whole in baselines and row.mean is not None]
    height = ROW * (len(labels) + 0.4) + 16
    return ScorePlot(title_of(key), rows, axis.ticks, chance, means, height)


def _cut(label: str) -> str:
    return label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1]}…"


# --- training curves


@dataclass(frozen=True)
class CurvePlot:
    """A term of the objective against the step.

    Attributes:
        title: of the term.
        lines: of each run the number of its model, whether it is a capacity, the path, and the
            label.
        x_ticks, y_ticks: places and numbers.
    """

    title: str
    lines: Sequence[tuple[int, bool, str, str]]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


def curve_plots(
    records: Sequence[Record],
) -> tuple[list[CurvePlot], list[CurvePlot], list[str]]:
    """The plots of all terms that were logged, of all scores while training, and the models.

    A model's place in the last list is its number in the plots.
    """
    terms, scores = Logged.of(list(records)), Logged.of_scores(records)
    labels = list(dict.fromkeys([*terms.styles, *scores.styles]))
    return _curve_plots(terms, labels), _curve_plots(scores, labels), labels


def _curve_plots(logged: Logged, labels: Sequence[str]) -> list[CurvePlot]:
    left, right, top, height = PLOT
    plots = []
    for term, curves in logged.panels.items():
        points = [(curve, _points(curve)) for curve in curves]
        steps = [step for _, own in points for step, _ in own]
        values = [value for _, own in points for _, value in own]
        if not steps:
            continue
        x = Axis(0, max(steps) or 1, left, WIDTH - right)
        steep = term in STEEP and min(values) > 0
        y = axis_of(values, top + height, top, logarithmic=steep)
        if is_share(term, curves):
            y = Axis(-0.02, 1.02, top + height, top)
        lines = []
        for curve, own in points:
            if own:
                path = "L".join(f"{x.place(step):g} {y.place(value):g}" for step, value in own)
                path += "h3" if len(own) == 1 else ""  # a point alone would not be seen
                lines.append(
                    (labels.index(curve.label), curve.term != term, f"M{path}", curve.label)
                )
        plots.append(CurvePlot(heading(term), lines, x.ticks, y.ticks))
    return plots


def _points(curve: Curve) -> list[tuple[float, float]]:
    """Some of the points of a curve, with its first and last one; finite ones only."""
    pairs = zip(curve.steps, curve.values, strict=True)
    points = [(s, v) for s, v in pairs if math.isfinite(s) and math.isfinite(v)]
    if len(points) <= POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]


# --- what the nats buy


@dataclass(frozen=True)
class Nats:
    """The KL of a model, split into its parts.

    Attributes:
        label: of the model.
        whole: the KL, nats per image, mean over seeds.
        parts: of `KL_PARTS` in their order: nats, and the share of the widest bar in per cent.
        seeds: number of runs.
    """

    label: str
    whole: float
    parts: Sequence[tuple[float, float]]
    seeds: int


def nats(numbers: "pd.DataFrame") -> list[tuple[str, list[Nats]]]:
    """The models that are scored by the KL decomposition, for each of its definitions.

    Returns:
        What sets a definition apart (empty where there is one only), and the models.
    """
    finite = numbers[np.isfinite(numbers["value"])]
    charts = []
    for key in finite["metric"].unique():
        name, space, distinction = str(key).partition(" (")
        if name != "kl_decomposition":
            continue
        keys = [str(key), *(f"{name}.{part}{space}{distinction}" for part in KL_PARTS)]
        means = finite[finite["metric"].isin(keys)].pivot_table(
            index="label", columns="metric", values="value", aggfunc="mean", sort=False
        )
        if not set(keys) <= set(means.columns):
            continue
        counts = finite[finite["metric"] == key].groupby("label").size()
        means = means.dropna()
        widest = max(
            (sum(max(0.0, row[k]) for k in keys[1:]) for _, row in means.iterrows()), default=0
        )
        models = []
        for label, row in means.iterrows():
            parts = [(float(row[k]), _share(row[k], widest)) for k in keys[1:]]
            models.append(Nats(str(label), float(row[keys[0]]), parts, int(counts[label])))
        charts.append((f"({distinction}" if distinction else "", models))
    return charts


def _share(part: Any, whole: float) -> float:
    """In per cent; a part that chance made negative has no bar."""
    return round(100 * max(0.0, float(part)) / whole, 2) if whole > 0 else 0.0
