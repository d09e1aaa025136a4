"""Published and obtained numbers while models train: epochs.png and steps.png, and their .pdf."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench.report.style import COLOURS, WIDTH, figure
from bench.reproduce.published import EVALUATED, Row, Table
from bench.reproduce.values import RunResult, metric_in_words

_PUBLISHED: dict[str, Any] = {"color": "0.35", "linestyle": "dashed", "linewidth": 1.2}
_MEASURED: dict[str, Any] = {
    "color": "0.1", "linestyle": "none", "marker": "D", "markersize": 4, "zorder": 3
}  # fmt: skip
_HEIGHT = 1.35  # inches of a row of panels
_STEEP = 3.0  # from the smallest to the largest number, from which the axis is logarithmic


def draw_epochs(
    folder: Path, table: Table, results: Mapping[str, Sequence[RunResult]]
) -> list[Path]:
    """Draw a row of panels for each part of which a run has ended an epoch: a panel per number.

    Returns:
        The files; none where there is no such part.
    """
    parts = [name for name, own in results.items() if any(result.epochs for result in own)]
    rows = {name: [row for row in table.rows if row.part == name and row.epoch] for name in parts}
    parts = [name for name in parts if rows[name]]
    if not parts:
        return []
    metrics = list(dict.fromkeys(row.metric for name in parts for row in rows[name]))
    with figure(folder / "epochs", WIDTH, _HEIGHT * len(parts) + 0.5) as drawn:
        panels = drawn.subplots(len(parts), len(metrics), squeeze=False)
        for part, line in zip(parts, panels, strict=True):
            for metric, ax in zip(metrics, line, strict=True):
                own = [row for row in rows[part] if row.metric == metric]
                if own:
                    _panel(ax, own, results[part])
                else:
                    ax.set_axis_off()
            line[0].set_ylabel(rows[part][0].model.replace(" (", "\n("))
        for metric, ax in zip(metrics, panels[0], strict=True):
            unit = "" if metric == "active_latents" else "\nnats"
            ax.set_title(f"{EVALUATED.get(metric, metric)}{unit}")
        for ax in panels[-1]:
            ax.set_xlabel("epoch")
        handles = [
            Line2D([], [], label="published", **_PUBLISHED),
            Line2D([], [], color=COLOURS[0], marker="o", markersize=3, label="obtained, a run"),
        ]
        drawn.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    return [folder / f"epochs{suffix}" for suffix in (".png", ".pdf")]


def draw_steps(
    folder: Path, table: Table, results: Mapping[str, Sequence[RunResult]]
) -> list[Path]:
    """Draw a panel for each metric that is published after some step: a line for each run here.

    Returns:
        The files; none where no run was scored while it trained.
    """
    panels: dict[tuple[str, str, str], list[Row]] = {}
    for row in table.rows:
        if row.step and _scored_while_training(results.get(row.part, ()), row.run, row.metric):
            panels.setdefault((row.part, row.run, row.metric), []).append(row)
    if not panels:
        return []
    with figure(folder / "steps", WIDTH, 2.2 * len(panels) + 0.3) as drawn:
        axes = drawn.subplots(len(panels), squeeze=False).ravel()
        for ax, ((part, run, metric), rows) in zip(axes, panels.items(), strict=True):
            own = _scored_while_training(results[part], run, metric)
            for number, result in enumerate(own):
                reached = sorted(step for step in result.steps if metric in result.steps[step])
                values = [result.steps[step][metric] for step in reached]
                ax.plot(reached, values, color=COLOURS[number % len(COLOURS)], linewidth=0.8)
            published = [float(row.value) for row in rows]
            ax.plot([row.step for row in rows], published, **_MEASURED)
            ax.set_ylabel(metric_in_words(metric))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        axes[-1].set_xlabel("step")
        handles = [
            Line2D([], [], label=rows[0].model, **_MEASURED),
            Line2D([], [], color=COLOURS[0], linewidth=0.8, label="obtained, a run"),
        ]
        drawn.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    return [folder / f"steps{suffix}" for suffix in (".png", ".pdf")]


def _scored_while_training(results: Sequence[RunResult], run: str, metric: str) -> list[RunResult]:
    return [
        result
        for result in results
        if result.run == run and any(metric in at for at in result.steps.values())
    ]


def _panel(ax: Axes, rows: Sequence[Row], results: Sequence[RunResult]) -> None:
    metric = rows[0].metric
    published = [float(row.value) for row in rows]
    ax.plot([row.epoch for row in rows], published, **_PUBLISHED)
    for number, result in enumerate(results):
        reached = sorted(epoch for epoch in result.epochs if metric in result.epochs[epoch])
        values = [result.epochs[epoch][metric] for epoch in reached]
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(reached, values, color=colour, marker="o", markersize=3, linewidth=0.8)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if metric == "active_latents":
        ax.set_ylim(0, max(published) + 1)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    elif min(published) > 0 and max(published) > _STEEP * min(published):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
