"""The plot of scores: every run as a dot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.errors import RequestError, UnknownNameError
from bench.report.columns import bounds_of, is_bounded, is_independent, title_of
from bench.report.frame import BASELINES, Numbers, as_frame, kinds_of, score_keys
from bench.report.statistics import Summary, summarise
from bench.report.style import COLOURS, WIDTH, current, figure, folded, legend_of, titled

if TYPE_CHECKING:
    import pandas as pd

# how the plot of scores is drawn
_DOT: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linestyle": "none"}
_MEAN: dict[str, Any] = {
    "marker": "|",
    "markersize": 9,
    "markeredgewidth": 1.6,
    "linestyle": "none",
}
_BEHIND = {"zorder": 1.8}  # the dots, and before the grid
_CHANCE: dict[str, Any] = {"color": "black", "linestyle": "dotted", "linewidth": 1.0, **_BEHIND}
_BASELINE: dict[str, Any] = {"color": "0.5", "linestyle": "solid", "linewidth": 0.8, **_BEHIND}


def scores(
    numbers: Numbers,
    metric: str | None = None,
    *,
    order: Sequence[str] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """A metric's value in every run as a dot, with each model's mean and its 95 % t interval.

    Models come by kind, unsupervised ones first, and in each kind by their mean. The means of the
    baselines go on as lines through the rows above them. Runs that collapsed are hollow. A model
    without a value has an empty row.

    Args:
        numbers: a study, records, or a frame with the columns `label`, `metric` and `value`; of the
            other columns of `bench.report.frame`, those that are there are used.
        metric: as in the column `metric`; the first score of the frame if none is named.
        order: labels to show, from top to bottom, if not all in the order above.
        legend: whether to draw one.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        UnknownNameError: the frame has no such metric or label.
        RequestError: a column is missing, there is no number, or the rows are of several data sets.
    """
    frame = as_frame(numbers, "label", "metric", "value")
    for column in ("dataset", "fingerprint"):
        if column in frame and frame[column].nunique() > 1:
            names = ", ".join(map(str, frame[column].unique()))
            raise RequestError(f"the rows are of several data sets ({names}): choose one")
    rows = _Rows.of(frame, metric_of(frame, metric), order)
    ax = current(ax)
    has_chance = _draw_score(ax, rows)
    if legend:
        legend_of(ax, rows.handles(has_chance))
    return ax


def draw_scores(numbers: Numbers, path: Path, title: str) -> None:
    """A file with a panel per score, the rows of all by the mean of the first score.

    Parts of scores are left out. Without any score, nothing is written.
    """
    frame = as_frame(numbers)
    keys = score_keys(frame)
    if not keys:
        return
    first = _Rows.of(frame, keys[0])
    columns = min(len(keys), 4)
    lines = math.ceil(len(keys) / columns)
    with figure(path, WIDTH, 0.65 + lines * (0.55 + first.height)) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        has_chance = False
        for panel, key in zip(axes, keys, strict=False):
            rows = _Rows.of(frame, key, list(first.kinds))
            has_chance |= _draw_score(panel, rows)
        for panel in axes[len(keys) :]:
            panel.set_visible(False)
        handles = first.handles(has_chance)
        drawn.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        drawn.suptitle(titled(title), fontsize=8)


@dataclass(frozen=True)
class _Rows:
    """The rows of a plot of scores.

    Attributes:
        metric: whose values are shown.
        values: of each label, each with whether the run collapsed.
        chances: of the runs that say what the score is by chance.
        kinds: of model, by label, in the order of the rows.
        collapsed: whether any run collapsed, also one without a value.
    """

    metric: str
    values: Mapping[str, Sequence[tuple[float, bool]]]
    chances: Sequence[float]
    kinds: Mapping[str, str]
    collapsed: bool

    @classmethod
    def of(cls, frame: "pd.DataFrame", metric: str, order: Sequence[str] | None = None) -> "_Rows":
        kinds = kinds_of(frame)
        own = frame[(frame["metric"] == metric) & frame["value"].notna()]
        values: dict[str, list[tuple[float, bool]]] = {label: [] for label in kinds}
        collapsed = own["collapsed"] if "collapsed" in own else [False] * len(own)
        for label, value, state in zip(own["label"], own["value"], collapsed, strict=True):
            values[label].append((float(value), bool(state)))
        if order is None:
            places = list(dict.fromkeys(kinds.values()))

            def rank(label: str) -> tuple[int, float]:
                summary = _summary(values[label], metric)
                return places.index(kinds[label]), math.inf if summary is None else -summary.mean

            order = sorted(kinds, key=rank)
        for label in order:
            if label not in kinds:
                raise UnknownNameError("label", label, map(str, kinds))
        chances = own["chance"].dropna().tolist() if "chance" in own else []
        any_collapsed = "collapsed" in frame and bool(frame["collapsed"].any())
        return cls(metric, values, chances, {label: kinds[label] for label in order}, any_collapsed)

    @property
    def places(self) -> dict[str, float]:
        """On the vertical axis by label; there is a gap between two kinds."""
        order = list(dict.fromkeys(self.kinds.values()))
        return {
            label: index + 0.5 * order.index(kind)
            for index, (label, kind) in enumerate(self.kinds.items())
        }

    @property
    def colours(self) -> dict[str, str]:
        """By kind."""
        order = dict.fromkeys(self.kinds.values())
        return dict(zip(order, COLOURS, strict=False)) | {BASELINES: "0.35"}

    @property
    def names(self) -> list[str]:
        return [folded(str(label), 26) for label in self.kinds]

    @property
    def top(self) -> float:
        return -0.6

    @property
    def bottom(self) -> float:
        return max(self.places.values()) + 0.6

    @property
    def height(self) -> float:
        """Of all rows, in inches."""
        tallest = max(name.count("\n") for name in self.names)
        return (0.16 + 0.12 * tallest) * (self.bottom - self.top)

    def handles(self, has_chance: bool) -> list[Line2D]:
        """What the legend shows: the kinds, and what dots and lines are."""
        colours = self.colours
        handles = [
            Line2D([], [], label=kind, color=colours[kind], **_DOT)
            for kind in dict.fromkeys(self.kinds.values())
        ]
        if self.collapsed:
            hollow: dict[str, Any] = {"color": "0.35", "markerfacecolor": "white"}
            handles.append(Line2D([], [], label="collapsed", **hollow, **_DOT))
        handles.append(Line2D([], [], label="mean over seeds", color="0.35", **_MEAN))
        handles.append(Line2D([], [], label="95 % t interval", color="0.35", alpha=0.5))
        if BASELINES in self.kinds.values():
            handles.append(Line2D([], [], label="mean of a baseline", **_BASELINE))
        if has_chance:
            handles.append(Line2D([], [], label="chance", **_CHANCE))
        return handles


def _summary(values: Sequence[tuple[float, bool]], metric: str) -> Summary | None:
    numbers = [value for value, _ in values]
    return summarise(numbers, bounds_of(metric), independent=is_independent(metric))


def _draw_score(panel: Axes, rows: _Rows) -> bool:
    """Draw one score of all rows; whether it has a chance level."""
    places, colours = rows.places, rows.colours
    for label, kind in rows.kinds.items():
        place, colour = places[label], colours[kind]
        summary = _summary(rows.values[label], rows.metric)
        if summary is None:
            continue
        if kind == BASELINES:
            panel.plot([summary.mean] * 2, [rows.top, place], **_BASELINE)
        if summary.low is not None and summary.high is not None:
            panel.plot([summary.low, summary.high], [place] * 2, color=colour, alpha=0.5)
        panel.plot(summary.mean, place, color=colour, **_MEAN)
        for collapsed in (False, True):
            dots = [value for value, state in rows.values[label] if state == collapsed]
            face = "white" if collapsed else colour
            if dots:
                panel.plot(dots, [place] * len(dots), color=colour, markerfacecolor=face, **_DOT)
    if rows.chances:
        panel.axvline(sum(rows.chances) / len(rows.chances), **_CHANCE)
    if is_bounded(rows.metric):
        panel.set_xlim(-0.04, 1.04)
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    panel.set_title(folded(title_of(rows.metric), 20, lines=6))
    panel.set_yticks(list(places.values()), rows.names)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(rows.bottom, rows.top)
    panel.grid(axis="x", linewidth=0.5, color="0.9")
    return bool(rows.chances)


def metric_of(frame: "pd.DataFrame", metric: str | None) -> str:
    """The metric of that name; without a name the first score, or else the first number."""
    keys = list(map(str, frame.loc[frame["value"].notna(), "metric"].unique()))
    if metric is None:
        return next(iter(score_keys(frame)), keys[0])
    if metric not in keys:
        raise UnknownNameError("metric", metric, keys)
    return metric
