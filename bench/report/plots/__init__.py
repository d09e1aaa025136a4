"""Plots: what is drawn of many runs here, and the others by their names.

`scores`, `curves`, `sweep`, `profiles`, `critical_difference`, `information` and `traversals` are
public: each draws into one Axes, matplotlib's current one if none is given. The files of a study
consist of such panels.
"""

from bench.report.curves import curves, histories
from bench.report.pictures import information, traversals
from bench.report.plots.aggregates import (
    critical_difference,
    draw_critical_differences,
    draw_profiles,
    profiles,
)
from bench.report.plots.scores import draw_scores, scores
from bench.report.plots.sweeps import draw_sweeps, sweep

__all__ = [
    "critical_difference",
    "curves",
    "draw_critical_differences",
    "draw_profiles",
    "draw_scores",
    "draw_sweeps",
    "histories",
    "information",
    "profiles",
    "scores",
    "sweep",
    "traversals",
]
