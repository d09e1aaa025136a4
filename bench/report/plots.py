"""Plots of a study: scores by model and training curves."""

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.report.columns import (
    Metrics,
    is_bounded,
    is_part,
    score_columns,
    title_of,
    values_of,
)
from bench.report.order import BASELINES, kinds_of
from bench.report.statistics import Summary, summarise
from bench.report.style import COLOURS, WIDTH, figure, titled
from bench.store.record import HISTORY, Record

# Terms of the objective with a title of their own, in the order of their panels. Any other term
# follows under its name, and without a unit, as it need not be in nats.
_TERMS = {
    "loss": "Loss, nats",
    "reconstruction": "Reconstruction, nats",
    "kl_continuous": "KL, continuous, nats",
    "kl_categorical": "KL, categorical, nats",
    "discriminator_loss": "Discriminator loss, nats",
    "mmd": "MMD",
}
_STEEP = ("loss", "reconstruction")  # on a linear scale the first steps would hide all others
_CAPACITY, _KL = "capacity", "kl"

_LINES = ("solid", "dashdot", "dotted", (0, (6, 1)))  # once the colours are used up
_REST = {"color": "0.6", "linestyle": "solid"}

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

History = list[dict[str, float]]


def draw_scores(records: Sequence[Record], path: Path, title: str) -> None:
    """A panel per score: every seed as a dot, the mean and its 95 % t interval over them.

    Parts of scores are left out. The rows come by kind of model, and in each kind by the mean of
    the first score. The means of the baselines go on as lines through the rows above them.
    """
    metrics = Metrics.of(records)
    keys = [column.key for column in score_columns(records) if not is_part(column.key)]
    if not keys:
        return
    values = {id(r): values_of(r, metrics) for r in records if r.scored}
    rows = _Rows(records, values, keys[0])
    columns = min(len(keys), 4)
    lines = math.ceil(len(keys) / columns)
    with figure(path, WIDTH, 0.65 + lines * (0.55 + rows.height)) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        chances = [_draw_score(panel, key, rows) for panel, key in zip(axes, keys, strict=False)]
        for panel in axes[len(keys) :]:
            panel.set_visible(False)
        handles = rows.handles()
        if any(chances):
            handles.append(Line2D([], [], label="chance", **_CHANCE))
        drawn.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        drawn.suptitle(titled(title), fontsize=8)


class _Rows:
    """The rows of the plot of scores.

    Attributes:
        kinds: of model, by label, in the order of the rows.
        places: on the vertical axis by label; there is a gap between two kinds.
        colours: by kind.
        height: of all rows, inches.
    """

    def __init__(
        self, records: Sequence[Record], values: Mapping[int, Mapping[str, float]], first: str
    ) -> None:
        self._values = values
        self._runs: dict[str, list[Record]] = {record.run.label: [] for record in records}
        for record in records:
            self._runs[record.run.label] += [record] if record.scored else []
        kinds = kinds_of(records)
        order = list(dict.fromkeys(kinds.values()))

        def rank(label: str) -> tuple[int, float]:
            summary = self.summary(label, first)
            return order.index(kinds[label]), math.inf if summary is None else -summary.mean

        self.kinds = {label: kinds[label] for label in sorted(kinds, key=rank)}
        self.places = {
            label: index + 0.5 * order.index(kind)
            for index, (label, kind) in enumerate(self.kinds.items())
        }
        self.colours = dict(zip(order, COLOURS, strict=False)) | {BASELINES: "0.35"}
        self.names = [textwrap.fill(label, 26) for label in self.kinds]
        tallest = max(name.count("\n") for name in self.names)
        self.height = (0.16 + 0.12 * tallest) * (self.bottom - self.top)

    @property
    def top(self) -> float:
        return -0.6

    @property
    def bottom(self) -> float:
        return max(self.places.values()) + 0.6

    def runs(self, label: str, key: str) -> list[tuple[Record, float]]:
        """The runs of a row that have a score, and what it is."""
        runs = self._runs[label]
        return [(r, self._values[id(r)][key]) for r in runs if key in self._values[id(r)]]

    def all_runs(self, key: str) -> list[Record]:
        return [record for label in self._runs for record, _ in self.runs(label, key)]

    def summary(self, label: str, key: str) -> Summary | None:
        return summarise([value for _, value in self.runs(label, key)])

    def handles(self) -> list[Line2D]:
        """What the legend shows: the kinds, and what dots and lines are."""
        handles = [
            Line2D([], [], label=kind, color=self.colours[kind], **_DOT)
            for kind in dict.fromkeys(self.kinds.values())
        ]
        if any(r.status.state == "collapsed" for runs in self._runs.values() for r in runs):
            hollow: dict[str, Any] = {"color": "0.35", "markerfacecolor": "white"}
            handles.append(Line2D([], [], label="collapsed", **hollow, **_DOT))
        handles.append(Line2D([], [], label="mean over seeds", color="0.35", **_MEAN))
        handles.append(Line2D([], [], label="95 % t interval", color="0.35", alpha=0.5))
        if BASELINES in self.kinds.values():
            handles.append(Line2D([], [], label="mean of a baseline", **_BASELINE))
        return handles


def _draw_score(panel: Axes, key: str, rows: _Rows) -> bool:
    """Draw one score of all rows; whether it has a chance level."""
    for label, kind in rows.kinds.items():
        place, colour = rows.places[label], rows.colours[kind]
        summary = rows.summary(label, key)
        if summary is None:
            continue
        if kind == BASELINES:
            panel.plot([summary.mean] * 2, [rows.top, place], **_BASELINE)
        if summary.low is not None and summary.high is not None:
            panel.plot([summary.low, summary.high], [place] * 2, color=colour, alpha=0.5)
        panel.plot(summary.mean, place, color=colour, **_MEAN)
        for collapsed in (False, True):
            dots = [
                v for r, v in rows.runs(label, key) if (r.status.state == "collapsed") == collapsed
            ]
            face = "white" if collapsed else colour
            if dots:
                places = [place] * len(dots)
                panel.plot(dots, places, color=colour, markerfacecolor=face, **_DOT)
    name = key.partition(" (")[0]
    scores = [record.scores[name] for record in rows.all_runs(key) if name in record.scores]
    chances = [s.details["chance"] for s in scores if s.details.get("chance") is not None]
    if chances:
        panel.axvline(sum(chances) / len(chances), **_CHANCE)
    if is_bounded(key):
        panel.set_xlim(-0.04, 1.04)
        panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    panel.set_title("\n".join(textwrap.wrap(title_of(key), 20)))
    panel.set_yticks(list(rows.places.values()), rows.names)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(rows.bottom, rows.top)
    panel.grid(axis="x", linewidth=0.5, color="0.9")
    return bool(chances)


def draw_curves(records: Sequence[Record], path: Path, title: str) -> None:
    """A panel per logged term, a line per run, a colour and line style per model.

    A capacity is drawn dashed on the panel of its KL.
    """
    histories = {id(r): rows for r in records if (rows := _history(r.folder / HISTORY))}
    labels = list(dict.fromkeys(r.run.label for r in records if id(r) in histories))
    styles: dict[str, dict[str, Any]] = {
        label: {"color": COLOURS[index % len(COLOURS)], "linestyle": _LINES[index // len(COLOURS)]}
        for index, label in enumerate(labels[: len(COLOURS) * len(_LINES)])
    }
    panels: dict[str, list[tuple[str, str, History]]] = {term: [] for term in _TERMS}
    for record in records:
        rows = histories.get(id(record), [])
        terms = [
            term for term in dict.fromkeys(key for row in rows for key in row) if term != "step"
        ]
        # a term that is 0 throughout is that of latents that the model has not
        terms = [term for term in terms if any(row.get(term) for row in rows)]
        for term in terms:
            panels.setdefault(_panel_of(term, terms), []).append((record.run.label, term, rows))
    panels = {term: drawn for term, drawn in panels.items() if drawn}
    if not panels:
        return
    columns = 4 if len(panels) in (4, 7, 8) else min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    longest = max(len(label) for label in labels)
    ncols = max(1, min(4, 110 // (longest + 8)))
    height = 0.45 + 1.55 * lines + 0.14 * math.ceil((len(labels) + 1) / ncols)
    with figure(path, WIDTH, height) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False).ravel()
        for panel, (name, curves) in zip(axes, panels.items(), strict=False):
            for label, term, rows in curves:
                rows = [row for row in rows if term in row]
                steps, values = zip(*((row["step"], row[term]) for row in rows), strict=True)
                style = styles.get(label, _REST)
                if term != name:
                    style = {**style, "linestyle": "dashed", "linewidth": 1.2, "zorder": 3}
                panel.plot(steps, values, **{"linewidth": 0.7, **style})
            if name in _STEEP and all(
                row[term] > 0 for _, term, rows in curves for row in rows if term in row
            ):
                panel.set_yscale("log")
                panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                panel.yaxis.set_minor_formatter(NullFormatter())
            panel.set_title(_TERMS.get(name, name.replace("_", " ").capitalize()))
            panel.grid(linewidth=0.3)
        for panel in axes[len(panels) :]:
            panel.set_visible(False)
        for panel in axes[max(0, len(panels) - columns) : len(panels)]:
            panel.set_xlabel("step")
        handles = [Line2D([], [], label=label, **styles.get(label, _REST)) for label in labels]
        if any(term != name for name, curves in panels.items() for _, term, _ in curves):
            handles.append(Line2D([], [], label="capacity", color="0.3", linestyle="dashed"))
        drawn.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False)
        drawn.suptitle(titled(f"{title}: one line per seed"), fontsize=8)


def _panel_of(term: str, terms: Sequence[str]) -> str:
    """The term on whose panel a term of a run is drawn: that of its KL if it is a capacity.

    `capacity_X` is that of `kl_X`; `capacity` is that of the whole KL, which is the only one that
    the run has, or else has no panel.
    """
    kl = [other for other in terms if other.startswith(_KL)]
    if term == _CAPACITY and len(kl) == 1:
        return kl[0]
    name = term.replace(_CAPACITY, _KL, 1)
    return name if name in kl else term


def _history(path: Path) -> History:
    """The rows of a history, without the terms that a row has not."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
