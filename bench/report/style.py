"""How every picture looks, and how it is written."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

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
    "pdf.fonttype": 42,  # text stays text, as journals ask
    "savefig.dpi": 200,
}


@contextmanager
def figure(
    path: Path, width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """A figure of a size in inches, written to `path` as PNG and PDF when the block ends.

    Without a layout, whoever draws says where the axes are.
    """
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # a dict of known keys
        drawn = Figure(figsize=(width, height), layout=layout)
        yield drawn
        for suffix in (".png", ".pdf"):
            with replacing(path.with_name(path.name + suffix)) as file:
                # without the date the same records give the same bytes
                metadata = {"CreationDate": None} if suffix == ".pdf" else {}
                drawn.savefig(file, format=suffix[1:], metadata=metadata)


def titled(text: str, characters: int = 105) -> str:
    """A title, broken into lines that fit the text width at 8 points."""
    return textwrap.fill(text, characters)
