"""Plots of a study: scores by model and training curves."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.report.columns import Metrics, score_columns, title_of, values_of
from bench.report.statistics import summarise
from bench.report.style import COLOURS, WIDTH, figure, titled
from bench.store.record import HISTORY, Record

_TERMS = {
    "reconstruction": "Reconstruction",
    "kl_continuous": "KL, continuous latents",
    "kl_categorical": "KL, categorical latents",
    "discriminator_loss": "Discriminator loss",
}

_LINES = ("solid", "dashed", "dotted", "dashdot")  # once the colours are used up
_REST = {"color": "0.6", "linestyle": "solid"}


def draw_scores(records: Sequence[Record], path: Path, title: str) -> None:
    """A panel per metric: every seed as a dot, the mean and its 95 % t interval over them."""
    metrics = Metrics.of(records)
    labels = list(dict.fromkeys(record.run.label for record in records))
    values = {id(r): values_of(r, metrics) for r in records if r.scored}
    keys = [column.key for column in score_columns(records)]
    if not keys:
        return
    columns = min(len(keys), 4)
    lines = math.ceil(len(keys) / columns)
    with figure(path, WIDTH, 0.5 + lines * (0.9 + 0.22 * len(labels))) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel, key in zip(axes, keys, strict=False):
            for index, label in enumerate(labels):
                group = [r for r in records if r.scored and r.run.label == label]
                numbers = [values[id(r)][key] for r in group if key in values[id(r)]]
                summary = summarise(numbers)
                if summary is None:
                    continue
                colour = COLOURS[index % len(COLOURS)]
                if summary.low is not None and summary.high is not None:
                    panel.plot([summary.low, summary.high], [index] * 2, color=colour, alpha=0.5)
                panel.plot(summary.mean, index, "|", color=colour, markersize=11, markeredgewidth=2)
                panel.plot(numbers, [index] * len(numbers), "o", color=colour, markersize=3.5)
            panel.set_title(title_of(key).replace(" (", "\n("))
            panel.set_yticks(range(len(labels)), labels)
            panel.set_ylim(len(labels) - 0.5, -0.5)
            panel.grid(axis="x", linewidth=0.3)
        for panel in axes[len(keys) :]:
            panel.set_visible(False)
        about = "dot = seed, bar = mean, line = 95 % t interval"
        drawn.suptitle(titled(f"{title}: {about}"), fontsize=8)


def draw_curves(records: Sequence[Record], path: Path, title: str) -> None:
    """A panel per term of the objective, a line per run, a colour and line style per model."""
    histories = {id(r): rows for r in records if (rows := _history(r.folder / HISTORY))}
    if not histories:
        return
    labels = list(dict.fromkeys(r.run.label for r in records if id(r) in histories))
    styles = {
        label: {"color": COLOURS[index % len(COLOURS)], "linestyle": _LINES[index // len(COLOURS)]}
        for index, label in enumerate(labels[: len(COLOURS) * len(_LINES)])
    }
    present = {key for rows in histories.values() for key in rows[0] if any(r[key] for r in rows)}
    terms = [term for term in _TERMS if term in present]
    if not terms:
        return
    columns = min(len(terms), 3)
    lines = math.ceil(len(terms) / columns)
    with figure(path, WIDTH, 0.6 + 1.7 * lines) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False).ravel()
        for panel, term in zip(axes, terms, strict=False):
            for record in records:
                rows = [row for row in histories.get(id(record), []) if term in row]
                if not any(row[term] for row in rows):  # no latent of this kind
                    continue
                steps, values = zip(*((row["step"], row[term]) for row in rows), strict=True)
                panel.plot(steps, values, linewidth=0.7, **styles.get(record.run.label, _REST))
            if term == "reconstruction":  # the first steps would hide all others
                panel.set_yscale("log")
                panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                panel.yaxis.set_minor_formatter(NullFormatter())
            panel.set_title(_TERMS[term])
            panel.set_xlabel("step")
            panel.set_ylabel("nats")
            panel.grid(linewidth=0.3)
        for panel in axes[len(terms) :]:
            panel.set_visible(False)
        handles = [
            axes[0].plot([], [], label=label, **styles.get(label, _REST))[0] for label in labels
        ]
        drawn.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        drawn.suptitle(f"{title}: one line per seed", fontsize=8)


def _history(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
