"""The plots of many runs or several data sets: performance profiles and critical differences."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.errors import RequestError
from bench.report.columns import is_ranked, title_of
from bench.report.frame import BASELINES, Numbers, as_frame, kinds_of
from bench.report.plots.scores import metric_of
from bench.report.statistics.aggregates import (
    MANY_RUNS,
    RANKED,
    SEVERAL_DATA_SETS,
    MeanRanks,
    Strata,
    blocks_of,
    interquartile_mean,
    mean_ranks,
    profile,
    strata_of,
)
from bench.report.style import COLOURS, WIDTH, current, figure, folded, legend_of, titled

if TYPE_CHECKING:
    import pandas as pd

Classes = Mapping[str, Sequence[Sequence[str]]]  # by metric, the labels that may be compared

_LINES = ("solid", "dashed", "dotted", "dashdot")
_PANELS = 4  # side by side
_NEED = (
    f"it takes {MANY_RUNS} runs of a model, or {SEVERAL_DATA_SETS} data sets with three runs each"
)


# --- performance profiles


def profiles(
    numbers: Numbers,
    metric: str | None = None,
    *,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """The performance profile of each model: the share of runs that score more than a threshold.

    Each data set counts the same; the band is the pointwise 95 % interval of a stratified
    bootstrap. Models come by their interquartile mean, without baselines, and without those that
    have too few runs.

    Args:
        numbers: a study, records, or a frame with the columns `label`, `metric` and `value`; of the
            other columns of `bench.report.frame`, those that are there are used.
        metric: as in the column `metric`, with values between 0 and 1; the first score of the frame
            if none is named.
        legend: whether to draw one.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        UnknownNameError: the frame has no such metric.
        RequestError: a column is missing, the metric has no known range, or no model has ten runs
            or three data sets.
    """
    key, strata = _ready(numbers, metric, 1)
    ax = current(ax)
    handles = _draw_profiles(ax, key, strata, _looks(strata))
    if legend:
        legend_of(ax, handles)
    return ax


def draw_profiles(numbers: "pd.DataFrame", classes: Classes, path: Path, title: str) -> None:
    """A file with a panel per score. Where no model has enough runs, nothing is written.

    Args:
        numbers: the frame of one study, or of several.
        classes: by score, the labels that are shown; in groups that may be compared.
        path: of the file, without a suffix.
        title: of the figure.
    """
    shown = {
        key: {label: found[label] for group in groups for label in group}
        for key, groups in classes.items()
        if (found := strata_of(numbers, key))
    }
    if not shown:
        return
    every = {label: strata for by_label in shown.values() for label, strata in by_label.items()}
    looks = _looks(every)
    columns = min(len(shown), _PANELS)
    lines = math.ceil(len(shown) / columns)
    with figure(path, WIDTH, 0.7 + 0.12 * math.ceil(len(every) / 4) + 1.7 * lines) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        handles: dict[str, Line2D] = {}
        for panel, (key, strata) in zip(axes, shown.items(), strict=False):
            for line in _draw_profiles(panel, key, strata, looks):
                handles.setdefault(str(line.get_label()), line)
        for panel in axes[len(shown) :]:
            panel.set_visible(False)
        drawn.legend(
            handles=list(handles.values()), loc="outside lower center", ncols=4, frameon=False
        )
        about = "share of runs above a score, band = 95 % interval, point by point"
        drawn.suptitle(titled(f"{title}: {about}"), fontsize=8)


def _looks(labels: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A colour and a style of line for each label."""
    n = len(COLOURS)
    return {
        label: {"color": COLOURS[i % n], "linestyle": _LINES[i // n % len(_LINES)]}
        for i, label in enumerate(labels)
    }


def _draw_profiles(
    panel: Axes, key: str, strata: Mapping[str, Strata], looks: Mapping[str, dict[str, Any]]
) -> list[Line2D]:
    thresholds = np.linspace(0, 1, 101).tolist()
    handles = []
    order = sorted(strata, key=lambda name: -interquartile_mean(np.concatenate(strata[name])))
    for label in order:
        found = profile(strata[label], thresholds, np.random.default_rng(0))
        look = looks[label]
        panel.fill_between(
            found.thresholds, found.low, found.high, color=look["color"], alpha=0.12, linewidth=0
        )
        (line,) = panel.plot(found.thresholds, found.shares, label=folded(label, 40), **look)
        handles.append(line)
    panel.set_xlim(0, 1)
    panel.set_ylim(-0.03, 1.03)
    panel.set_title(folded(title_of(key), 20, lines=6))
    panel.grid(linewidth=0.3)
    return handles


# --- critical differences


def critical_difference(
    numbers: Numbers, metric: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """The mean ranks of models on a line, and a bar over those that are not separated.

    Ranks are over data sets, or over the runs of a single one; two models are separated by
    Nemenyi's critical difference at 5 %, after Friedman's test. Baselines take no part, nor do
    models with too few runs.

    Args:
        numbers: a study, records, or a frame with the columns `label`, `metric` and `value`; of the
            other columns of `bench.report.frame`, those that are there are used.
        metric: as in the column `metric`, with values between 0 and 1; the first score of the frame
            if none is named.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        UnknownNameError: the frame has no such metric.
        RequestError: a column is missing, the metric has no known range, or fewer than three models
            have ten runs or three data sets.
    """
    key, strata = _ready(numbers, metric, RANKED)
    blocks = blocks_of(strata)
    if len(blocks) < RANKED:
        raise RequestError(
            f"mean ranks over {len(blocks)} data sets say nothing: give {RANKED} or more, or one "
            "with ten runs of each model"
        )
    ax = current(ax)
    _draw_difference(ax, key, mean_ranks(blocks))
    return ax


def draw_critical_differences(
    numbers: "pd.DataFrame", classes: Classes, path: Path, title: str
) -> None:
    """A file with a panel per score and group. Where nothing can be ranked, nothing is written.

    Args:
        numbers: the frame of one study, or of several.
        classes: by score, groups of labels that may be compared.
        path: of the file, without a suffix.
        title: of the figure.
    """
    found = [
        (key, ranks) for key, groups in classes.items() for ranks in _ranks(numbers, key, groups)
    ]
    if not found:
        return
    heights = [_height(len(ranks.ranks)) for _, ranks in found]
    with figure(path, WIDTH, 0.4 + sum(heights)) as drawn:
        axes = drawn.subplots(len(found), 1, squeeze=False, height_ratios=heights).ravel()
        for panel, (key, ranks) in zip(axes, found, strict=True):
            _draw_difference(panel, key, ranks)
        unit = "runs" if _are_runs(numbers, found[0][0]) else "data sets"
        about = f"mean ranks over {found[0][1].blocks} {unit}, 1 is the best; bar = not separated"
        drawn.suptitle(titled(f"{title}: {about}"), fontsize=8)


def _ranks(numbers: "pd.DataFrame", key: str, groups: Sequence[Sequence[str]]) -> list[MeanRanks]:
    strata = strata_of(numbers, key)
    found = []
    for group in groups:
        own = {label: strata[label] for label in group}
        blocks = blocks_of(own)
        if len(own) >= RANKED and len(blocks) >= RANKED:
            found.append(mean_ranks(blocks))
    return found


def _are_runs(numbers: "pd.DataFrame", key: str) -> bool:
    return all(len(own) == 1 for own in strata_of(numbers, key).values())


def _height(models: int) -> float:
    """Of a panel, in inches."""
    return 0.75 + 0.15 * math.ceil(models / 2)


def _draw_difference(panel: Axes, key: str, found: MeanRanks) -> None:
    """The axis of ranks above, bars below it, then the names of the models at both sides."""
    models, bars = len(found.ranks), len(found.groups)
    panel.set_axis_off()
    panel.set_title(folded(f"{title_of(key)} (Friedman p {_p(found.p)})", 80), loc="left")
    panel.plot([1, models], [0, 0], color="black", linewidth=0.8)
    for tick in range(1, models + 1):
        panel.plot([tick, tick], [0, 0.25], color="black", linewidth=0.8)
        panel.text(tick, 0.35, str(tick), ha="center", va="bottom", fontsize="small")
    length = min(found.difference, models - 1.0)
    panel.plot([1, 1 + length], [1.6, 1.6], color="black", linewidth=0.8)
    for end in (1.0, 1 + length):
        panel.plot([end, end], [1.45, 1.75], color="black", linewidth=0.8)
    words = f"critical difference {found.difference:.2f}"
    panel.text(1 + length + 0.02 * models, 1.6, words, va="center", fontsize="small")
    for index, group in enumerate(found.groups):
        ends = [found.ranks[name] for name in (group[0], group[-1])]
        wide = 0.01 * models
        level = -0.35 - 0.3 * index
        panel.plot(
            [ends[0] - wide, ends[1] + wide], [level] * 2, color="black", linewidth=2.2, zorder=3
        )
    half = math.ceil(models / 2)
    margin = 0.06 * models
    for index, (name, rank) in enumerate(found.ranks.items()):
        left = index < half
        level = -0.35 - 0.3 * bars - 0.6 * (1 + (index if left else models - 1 - index))
        side = 1 - margin if left else models + margin
        panel.plot([rank, rank, side], [0, level, level], color="0.4", linewidth=0.6)
        panel.text(
            side + (-0.01 if left else 0.01) * models,
            level,
            f"{folded(name, 32, lines=1)} {rank:.2f}",
            ha="right" if left else "left",
            va="center",
            fontsize="small",
        )
    panel.set_xlim(1 - 0.55 * models, models + 0.55 * models)
    panel.set_ylim(-0.7 - 0.3 * bars - 0.6 * (half + 0.5), 2.4)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def _ready(
    numbers: Numbers, metric: str | None, models: int
) -> tuple[str, dict[str, list[list[float]]]]:
    """The score and the runs of the models that have enough of them, without baselines."""
    frame = as_frame(numbers, "label", "metric", "value")
    key = metric_of(frame, metric)
    if not is_ranked(key):
        raise RequestError(
            f"{key} has no range from 0 to 1, or values that share runs: choose a score"
        )
    kinds = kinds_of(frame)
    strata = {
        label: own for label, own in strata_of(frame, key).items() if kinds[label] != BASELINES
    }
    if len(strata) < models:
        few = (
            "no model has enough runs"
            if models == 1
            else f"fewer than {models} models have enough runs"
        )
        raise RequestError(f"{few} by {key}: {_NEED}")
    return key, strata
