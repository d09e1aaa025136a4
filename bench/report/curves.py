"""Training curves: what the runs logged while they trained, and how they were scored meanwhile."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from bench.errors import RequestError, UnknownNameError
from bench.metrics import TITLES
from bench.report.columns import is_bounded
from bench.report.style import COLOURS, WIDTH, current, figure, folded, legend_of, titled
from bench.score import TRIED
from bench.store.record import HISTORY, SCORE_HISTORY, Record, read_history

if TYPE_CHECKING:
    import pandas as pd

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
# Beside the scores of a model that trains.
_FACTS = {"kl_total": "KL, nats", "active_latents": "Active latents"}
STEEP = ("loss", "reconstruction")  # on a linear scale the first steps would hide all others
_CAPACITY, _KL = "capacity", "kl"
_RUN = ("study", "run", "label", "seed")  # columns of histories that are no terms

_LINES = ("solid", "dashdot", "dotted", (0, (6, 1)))  # once the colours are used up
_REST = {"color": "0.6", "linestyle": "solid"}


@runtime_checkable
class HasRecords(Protocol):
    """Such as a study."""

    @property
    def records(self) -> Sequence[Record]:
        """Of its runs."""


# What the plot of training curves may be given.
Histories: TypeAlias = Union["pd.DataFrame", HasRecords, Sequence[Record]]


def histories(records: HasRecords | Sequence[Record]) -> "pd.DataFrame":
    """What the runs logged while they trained: a row per run and logged step.

    Returns:
        Columns `study`, `run`, `label`, `seed`, `step`, and one per term of the objective, in nats
        per image; a term is missing where a run has none, or logged none. Runs without a history
        have no row.

    Raises:
        RequestError: a history cannot be read.
    """
    return _histories(records, HISTORY)


def score_histories(records: HasRecords | Sequence[Record]) -> "pd.DataFrame":
    """How the models were scored while they trained: a row per run and time that it was scored.

    Returns:
        Columns `study`, `run`, `label`, `seed`, `step`, and one per score, by the metric's name,
        with `reconstruction` and `kl_total` (nats per image) and `active_latents`. Runs that were
        not scored while they trained have no row.
    """
    return _histories(records, SCORE_HISTORY)


def _histories(records: HasRecords | Sequence[Record], name: str) -> "pd.DataFrame":
    """The rows of a file of each run."""
    import pandas as pd

    if isinstance(records, HasRecords):
        records = records.records
    parts = []
    for record in records:
        rows = read_history(record.folder, name)
        if len(rows):
            folder, run = record.folder, record.run
            study = folder.parent.parent.name
            parts.append(rows.assign(study=study, run=folder.name, label=run.label, seed=run.seed))
    if not parts:
        return pd.DataFrame(columns=[*_RUN, "step"])
    whole = pd.concat(parts, ignore_index=True)
    terms = [name for name in whole.columns if name not in (*_RUN, "step")]
    return whole[[*_RUN, "step", *terms]]


def curves(
    numbers: Histories,
    term: str | None = None,
    *,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """A term of the objective against the training step: a line per run, a colour per model.

    A capacity is drawn dashed on the plot of its KL.

    Args:
        numbers: a study, records, or a frame with the columns `step` and one per term, such as
            `histories` gives and history.csv holds. Rows with the same `study`, `run`, `label` and
            `seed`, as far as there are such columns, are one line.
        term: a column of the frame; the first that is logged, usually `loss`, if none is named.
        legend: whether to draw one.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        UnknownNameError: no run has logged such a term.
        RequestError: nothing is logged, or there is no column `step`.
    """
    logged = Logged.of(numbers)
    if not logged.panels:
        raise RequestError("there are no training curves: no run has logged a term")
    if term is None:
        term = next(iter(logged.panels))
    if term not in logged.panels:
        raise UnknownNameError("term", term, logged.panels)
    ax = current(ax)
    _draw_curves(ax, logged, term)
    ax.set_xlabel("step")
    if legend:
        legend_of(ax, logged.handles(term))
    return ax


def draw_curves(numbers: Histories, path: Path, title: str) -> None:
    """A file with a panel per logged term. Where nothing was logged, nothing is written."""
    _draw_panels(Logged.of(numbers), path, f"{title}: one line per seed")


def draw_score_curves(records: Sequence[Record], path: Path, title: str) -> None:
    """A file with a panel per score of the models that trained. Without any, nothing is written."""
    about = f"{title}: scores on up to {TRIED:,} images while training, one line per seed"
    _draw_panels(Logged.of_scores(records), path, about)


def _draw_panels(logged: "Logged", path: Path, title: str) -> None:
    panels = list(logged.panels)
    if not panels:
        return
    columns = 4 if len(panels) in (4, 7, 8) else min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    longest = max(len(line) for label in logged.styles for line in folded(label, 100).split("\n"))
    ncols = max(1, min(4, 110 // (longest + 8)))
    height = 0.45 + 1.55 * lines + 0.14 * math.ceil((len(logged.styles) + 1) / ncols)
    with figure(path, WIDTH, height) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False).ravel()
        for panel, term in zip(axes, panels, strict=False):
            _draw_curves(panel, logged, term)
        for panel in axes[len(panels) :]:
            panel.set_visible(False)
        for panel in axes[max(0, len(panels) - columns) : len(panels)]:
            panel.set_xlabel("step")
        handles = logged.handles(*panels)
        drawn.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False)
        drawn.suptitle(titled(title), fontsize=8)


@dataclass(frozen=True)
class Curve:
    """One term of one run.

    Attributes:
        label: of the run.
        term: its name.
        steps: at which it was logged.
        values: at these steps.
    """

    label: str
    term: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Logged:
    """All curves of some runs.

    Attributes:
        panels: the curves by the term on whose panel they are drawn, in the order of the panels.
        styles: colour and line style by label.
    """

    panels: Mapping[str, Sequence[Curve]]
    styles: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of_scores(cls, records: Sequence[Record]) -> "Logged":
        """The scores while training, of which 0 is as good a number as any."""
        return cls._from(score_histories(records), zeros=True)

    @classmethod
    def of(cls, numbers: Histories) -> "Logged":
        import pandas as pd

        if isinstance(numbers, pd.DataFrame):
            rows = numbers
        elif isinstance(numbers, HasRecords) or (
            isinstance(numbers, list | tuple) and all(isinstance(r, Record) for r in numbers)
        ):
            rows = histories(numbers)
        else:
            raise RequestError(
                f"an object of type {type(numbers).__name__} has no training curves: give a study, "
                "records or a frame with a column step"
            )
        if "step" not in rows:
            raise RequestError("the frame has no column step: training curves need it")
        return cls._from(rows, zeros=False)

    @classmethod
    def _from(cls, rows: "pd.DataFrame", *, zeros: bool) -> "Logged":
        about = [name for name in _RUN if name in rows]
        groups = (
            [group for _, group in rows.groupby(about, sort=False, dropna=False)]
            if about
            else [rows]
        )
        panels: dict[str, list[Curve]] = {} if zeros else {term: [] for term in _TERMS}
        labels = []
        for group in groups:
            label = str(group["label"].iloc[0]) if "label" in group and len(group) else ""
            labels.append(label)
            numeric = group.select_dtypes("number").drop(columns=["step", *about], errors="ignore")
            # a term that is 0 throughout is that of latents that the model has not
            some = numeric.notna() if zeros else numeric.fillna(0)
            terms = [str(name) for name in numeric if some[name].any()]
            for term in terms:
                known = group[["step", term]].dropna()
                curve = Curve(label, term, known["step"].tolist(), known[term].tolist())
                panels.setdefault(_panel_of(term, terms), []).append(curve)
        styles: dict[str, Mapping[str, Any]] = {}
        for index, label in enumerate(dict.fromkeys(labels)):
            line, colour = divmod(index, len(COLOURS))
            style = {"color": COLOURS[colour], "linestyle": _LINES[min(line, len(_LINES) - 1)]}
            styles[label] = style if line < len(_LINES) else _REST
        return cls({term: drawn for term, drawn in panels.items() if drawn}, styles)

    def handles(self, *panels: str) -> list[Line2D]:
        """What the legend shows: the models, and whether a capacity is among the curves."""
        handles = [
            Line2D([], [], label=folded(label, 100), **style)
            for label, style in self.styles.items()
        ]
        if any(curve.term != panel for panel in panels for curve in self.panels[panel]):
            handles.append(Line2D([], [], label="capacity", color="0.3", linestyle="dashed"))
        return handles


def _draw_curves(panel: Axes, logged: Logged, term: str) -> None:
    drawn = logged.panels[term]
    for curve in drawn:
        style = logged.styles[curve.label]
        if curve.term != term:
            style = {**style, "linestyle": "dashed", "linewidth": 1.2, "zorder": 3}
        marker = "." if len(curve.steps) == 1 else None  # which no line shows
        panel.plot(curve.steps, curve.values, **{"linewidth": 0.7, "marker": marker, **style})
    if term in STEEP and all(value > 0 for curve in drawn for value in curve.values):
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    if is_share(term, drawn):
        panel.set_ylim(-0.03, 1.03)
    panel.set_title(folded(heading(term), 40))
    panel.grid(linewidth=0.3)


def is_share(term: str, drawn: Sequence[Curve]) -> bool:
    """Whether the curves of a panel are those of a score from 0 to 1."""
    return is_bounded(term) and all(0 <= value <= 1 for curve in drawn for value in curve.values)


def heading(term: str) -> str:
    """The title of a term's panel."""
    known = {**TITLES, **_TERMS, **_FACTS}
    return known.get(term, term.replace("_", " ").capitalize())


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
