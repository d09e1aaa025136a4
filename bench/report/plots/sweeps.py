"""The plot of a sweep: scores against the setting that a model was trained with."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from bench.errors import RequestError, UnknownNameError
from bench.report.columns import bounds_of, is_bounded, is_independent, title_of
from bench.report.frame import Numbers, as_frame, score_keys
from bench.report.plots.scores import metric_of
from bench.report.statistics import summarise
from bench.report.style import COLOURS, WIDTH, current, figure, folded, legend_of, titled

if TYPE_CHECKING:
    import pandas as pd

_SWEEPS = 4  # panels side by side
_LOGARITHMIC = 8  # ratio of the largest to the smallest value from which the axis is logarithmic


def sweep(
    numbers: Numbers,
    model: str | None = None,
    *,
    metrics: Sequence[str] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """The scores of a model against the setting that it was trained with.

    A line per score through the means, with their 95 % t intervals as a band from three runs on,
    and every run as a dot, hollow if it collapsed.

    Args:
        numbers: a study, records, or a frame with the columns `model`, `metric`, `value`, `setting`
            and `setting_value`.
        model: as in the column `model`; the first that was swept if none is named.
        metrics: as in the column `metric`; all scores if none are named, without their parts.
        legend: whether to draw one.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        UnknownNameError: the frame has no such metric, or no sweep of such a model.
        RequestError: a column is missing, there is no number, or the runs of the model are of
            several sweeps.
    """
    frame = as_frame(numbers, "model", "metric", "value", "setting", "setting_value")
    models = _swept_models(frame)
    if model is None and models:
        model = models[0]
    if model not in models:
        raise UnknownNameError("swept model", str(model), models)
    keys = [metric_of(frame, name) for name in metrics] if metrics else score_keys(frame)
    ax = current(ax)
    _draw_sweep(ax, frame, model, keys)
    if legend:
        legend_of(ax, _sweep_handles(keys))
    return ax


def draw_sweeps(numbers: Numbers, path: Path, title: str) -> None:
    """A file with a panel per swept model. Where none was swept, nothing is written."""
    frame = as_frame(numbers)
    models, keys = _swept_models(frame), score_keys(frame)
    if not models or not keys:
        return
    columns = min(len(models), _SWEEPS)
    lines = math.ceil(len(models) / columns)
    with figure(path, WIDTH, 0.7 + 1.35 * lines) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel, model in zip(axes, models, strict=False):
            _draw_sweep(panel, frame, model, keys)
        for panel in axes[len(models) :]:
            panel.set_visible(False)
        handles = _sweep_handles(keys)
        drawn.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        about = "dot = seed, hollow if collapsed, line = mean, band = 95 % t interval"
        drawn.suptitle(titled(f"{title}: {about}"), fontsize=8)


def _swept_models(frame: "pd.DataFrame") -> list[str]:
    swept = frame[frame["setting_value"].notna() & frame["value"].notna()]
    return [str(model) for model in swept["model"].unique()]


def _draw_sweep(panel: Axes, frame: "pd.DataFrame", model: str, keys: Sequence[str]) -> None:
    known = frame["setting_value"].notna() & frame["value"].notna()
    rows = frame[(frame["model"] == model) & known].sort_values("setting_value", kind="stable")
    about = [name for name in ("study", "dataset", "setting") if name in rows]
    if len(sweeps := rows[about].drop_duplicates()) > 1:
        names = "; ".join(", ".join(map(str, row)) for row in sweeps.itertuples(index=False))
        raise RequestError(f"{model} was swept more than once ({names}): choose the rows of one")
    for index, key in enumerate(keys):
        own = rows[rows["metric"] == key]
        collapsed = own["collapsed"] if "collapsed" in own else [False] * len(own)
        colour = _colour(index)
        for x, y, state in zip(own["setting_value"], own["value"], collapsed, strict=True):
            face = "none" if state else colour
            panel.plot(x, y, "o", color=colour, markerfacecolor=face, markersize=2.5)
        _draw_means(panel, own, key, colour)
    values = sorted(rows["setting_value"].unique().tolist())
    if values[0] > 0 and values[-1] >= _LOGARITHMIC * values[0]:
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(values))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.set_title(folded(f"{model}: {rows['setting'].iloc[0]}", 40))
    if all(map(is_bounded, keys)):
        panel.set_ylim(-0.03, 1.03)
    panel.grid(linewidth=0.3)


def _draw_means(panel: Axes, own: "pd.DataFrame", key: str, colour: str) -> None:
    """The line through the means, and the band of their intervals where there are any."""
    places, means, low, high = [], [], [], []
    by_place: dict[float, list[float]] = {}
    for place, value in zip(own["setting_value"], own["value"], strict=True):
        by_place.setdefault(float(place), []).append(float(value))
    for place, values in by_place.items():
        found = summarise(values, bounds_of(key), independent=is_independent(key))
        if found is not None:
            places.append(place)
            means.append(found.mean)
            low.append(math.nan if found.low is None else found.low)
            high.append(math.nan if found.high is None else found.high)
    panel.plot(places, means, color=colour, linewidth=0.9)
    if not all(map(math.isnan, low)):
        panel.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)


def _sweep_handles(keys: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], marker="o", color=_colour(index), label=folded(title_of(key), 60))
        for index, key in enumerate(keys)
    ]


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
