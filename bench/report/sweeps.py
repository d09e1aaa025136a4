"""Plot of a study's sweeps: the scores against the setting that a model was trained with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bench.report.columns import (
    Column,
    Metrics,
    is_bounded,
    is_part,
    score_columns,
    title_of,
    values_of,
)
from bench.report.style import COLOURS, WIDTH, figure, titled
from bench.store.record import Record

_COLUMNS = 4
_LOGARITHMIC = 8  # ratio of the largest to the smallest value from which the axis is logarithmic


@dataclass(frozen=True)
class Sweep:
    """The runs of a model that differ in one number only, besides the seed.

    Attributes:
        model: its name.
        setting: the name of the setting.
        runs: pairs of its value and the record, by value.
    """

    model: str
    setting: str
    runs: tuple[tuple[float, Record], ...]

    @property
    def values(self) -> list[float]:
        return sorted({value for value, _ in self.runs})


def sweeps_of(records: Sequence[Record]) -> list[Sweep]:
    """The sweep of each model whose scored runs differ in exactly one setting, a number."""
    sweeps = []
    for model in dict.fromkeys(record.run.model for record in records):
        runs = [r for r in records if r.run.model == model and r.scored]
        keys = {key for record in runs for key in record.run.settings}
        differing = [k for k in keys if len({str(r.run.settings.get(k)) for r in runs}) > 1]
        if len(differing) != 1:
            continue
        values = [r.run.settings.get(differing[0]) for r in runs]
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        if len(numbers) == len(runs):
            pairs = sorted(zip(numbers, runs, strict=True), key=lambda pair: pair[0])
            sweeps.append(Sweep(model, differing[0], tuple(pairs)))
    return sweeps


def draw_sweeps(records: Sequence[Record], path: Path, title: str) -> None:
    """A panel per swept model: a line per score through the means, every seed as a dot.

    Parts of scores are left out. Collapsed runs are hollow. Where no model was swept, nothing is
    written.
    """
    sweeps = sweeps_of(records)
    scores = [column for column in score_columns(records) if not is_part(column.key)]
    if not sweeps or not scores:
        return
    metrics = Metrics.of(records)
    columns = min(len(sweeps), _COLUMNS)
    lines = math.ceil(len(sweeps) / columns)
    with figure(path, WIDTH, 0.7 + 1.35 * lines) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel, sweep in zip(axes, sweeps, strict=False):
            _draw_sweep(panel, sweep, scores, metrics)
        for panel in axes[len(sweeps) :]:
            panel.set_visible(False)
        handles = [
            axes[0].plot([], [], "o-", color=_colour(index), label=title_of(score.key))[0]
            for index, score in enumerate(scores)
        ]
        drawn.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        about = "dot = seed, hollow if collapsed, line = mean"
        drawn.suptitle(titled(f"{title}: {about}"), fontsize=8)


def _draw_sweep(panel: Axes, sweep: Sweep, scores: Sequence[Column], metrics: Metrics) -> None:
    for index, score in enumerate(scores):
        points = [
            (value, numbers[score.key], record.status.state == "collapsed")
            for value, record in sweep.runs
            if score.key in (numbers := values_of(record, metrics))
        ]
        for x, y, collapsed in points:
            face = "none" if collapsed else _colour(index)
            panel.plot(x, y, "o", color=_colour(index), markerfacecolor=face, markersize=2.5)
        means = [
            (value, sum(ys) / len(ys))
            for value in sweep.values
            if (ys := [y for x, y, _ in points if x == value])
        ]
        panel.plot(*zip(*means, strict=True), color=_colour(index), linewidth=0.9)
    values = sweep.values
    if values[0] > 0 and values[-1] >= _LOGARITHMIC * values[0]:
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(values))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.set_title(f"{sweep.model}: {sweep.setting}")
    if all(is_bounded(score.key) for score in scores):
        panel.set_ylim(-0.03, 1.03)
    panel.grid(linewidth=0.3)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
