"""How every picture looks, and how it is written."""

import os
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.errors import RequestError
from bench.report.columns import one_line
from bench.store.files import replacing

WIDTH = 6.75  # inches: the text width of a two-column paper, across both columns
# Okabe & Ito's colours: colour-blind readers can tell them apart, also in a grey print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")

_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "savefig.dpi": 200,
}


@contextmanager
def figure(
    path: Path, width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """A figure of a size in inches, written to `path` as PNG and PDF when the block ends.

    It looks the same whatever style the user has set. Without a layout, whoever draws says where
    the axes are.
    """
    # Text stays text, as journals ask. Choosing the letters that are needed of a font takes half a
    # second; the tests, which draw thousands, have outlines of the letters instead.
    outlines = os.environ.get("BENCH_PDF_TEXT") == "outlines"
    style = {**_STYLE, "pdf.fonttype": 3 if outlines else 42}
    with matplotlib.style.context(["default", style]):
        drawn = Figure(figsize=(width, height), layout=layout)
        yield drawn
        for suffix in (".png", ".pdf"):
            with replacing(path.with_name(path.name + suffix)) as file:
                # without the date the same records give the same bytes
                metadata = {"CreationDate": None} if suffix == ".pdf" else {}
                drawn.savefig(file, format=suffix[1:], metadata=metadata)
            if layout:  # all is in its place now: the other file need not find it again
                drawn.set_layout_engine("none")


def titled(text: str, characters: int = 105) -> str:
    """A title, broken into lines that fit the text width at 8 points."""
    return folded(text, characters, lines=4)


def folded(text: str, characters: int, lines: int = 3) -> str:
    """A text that holds names, broken into a few lines, as `literal`."""
    parts = textwrap.wrap(one_line(text), characters)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: characters - 2] + " …"]
    return literal("\n".join(parts))


def literal(text: str) -> str:
    """What makes matplotlib draw a text as it is, and no formula."""
    return text.replace("$", r"\$")


def current(ax: Axes | None) -> Axes:
    """The Axes that a plot is drawn into: matplotlib's current one, unless one is given.

    Raises:
        RequestError: it is something else.
    """
    if ax is None:
        import matplotlib.pyplot as plt  # no file of a study needs it

        return plt.gca()
    if not isinstance(ax, Axes):
        raise RequestError(
            f"ax is of type {type(ax).__name__}: give an Axes of matplotlib, or none"
        )
    return ax


def legend_of(ax: Axes, handles: Sequence[Line2D]) -> None:
    """The legend of a plot that stands alone."""
    ax.legend(handles=list(handles), frameon=False, fontsize="small")
