"""A table as text: for the terminal, Markdown, LaTeX and CSV."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from bench.report.columns import Column
from bench.report.names import one_line
from bench.report.statistics import Summary
from bench.report.table import Row, Table

NOTHING = "–"


def console_table(table: Table, console: Console) -> None:
    """Print the table and its notes: scores, then how the trainings went.

    Columns that do not fit the console side by side go on in another table below.
    """
    scores = [column for column in table.columns if column.is_score]
    others = [column for column in table.columns if not column.is_score]
    for title, columns in [(f"{table.title}: scores", scores), ("Trainings", others)]:
        for place, block in enumerate(_blocks(table, columns, console.width)):
            console.print(_grid(table, title if place == 0 else None, block), highlight=False)
            console.print()
    for note in table.notes:
        console.print(one_line(note), markup=False, highlight=False, style="dim")


def _blocks(table: Table, columns: Sequence[Column], width: int) -> list[list[Column]]:
    blocks: list[list[Column]] = [[]]
    left = room = width - sum(_names_widths(table)) - 4  # two spaces belong to every column
    for column in columns:
        needed = _width(table, column) + 2
        if blocks[-1] and needed > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks


def _grid(table: Table, title: str | None, columns: Sequence[Column]) -> RichTable:
    shown = RichTable(
        title=escape(one_line(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    shown.add_column("Model", overflow="fold")
    shown.add_column("Runs", overflow="fold")
    for column in columns:
        width = _width(table, column)
        heading = escape(textwrap.fill(column.title, width, break_long_words=False))
        shown.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for row in table.rows:
        numbers = [escape(_stacked(row.cells[column.key], column)) for column in columns]
        shown.add_row(escape(one_line(row.label)), escape(row.runs), *numbers)
    return shown


def _names_widths(table: Table) -> tuple[int, int]:
    """Characters of the longest word among models and runs; longer ones than 20 are broken."""
    texts = [row.label for row in table.rows], [row.runs for row in table.rows]
    models, runs = (max(len(word) for text in t for word in text.split()) for t in texts)
    return min(max(models, len("Model")), 20), min(max(runs, len("Runs")), 20)


def _width(table: Table, column: Column) -> int:
    """Characters of the widest line; only a title may be broken."""
    cells = [_stacked(row.cells[column.key], column) for row in table.rows]
    return max(len(part) for part in [*column.title.split(), *"\n".join(cells).split("\n")])


def markdown(table: Table) -> str:
    """The table in Markdown, with its notes below."""
    head = ["Model", "Runs", *(_md(column.title) for column in table.columns)]
    lines = [
        f"**{_md(table.title)}**",
        "",
        "| " + " | ".join(head) + " |",
        "| --- | --- | " + " | ".join("---:" for _ in table.columns) + " |",
    ]
    for row in table.rows:
        cells = [_inline(row.cells[column.key], column) for column in table.columns]
        lines.append("| " + " | ".join([_md(row.label), _md(row.runs), *cells]) + " |")
    return "\n".join([*lines, "", *(f"- {_md(note)}" for note in table.notes), ""])


def latex(table: Table) -> str:
    """The table in LaTeX for the booktabs package: mean and deviation, the interval below."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        r"  \small",
        r"  \begin{tabular}{ll" + "r" * len(table.columns) + "}",
        r"    \toprule",
        "    " + _tex_row(["Model", "Runs", *(_tex(column.title) for column in table.columns)]),
        r"    \midrule",
    ]
    for row in table.rows:
        cells = [row.cells[column.key] for column in table.columns]
        shown = [_tex_mean(cell, column) for cell, column in zip(cells, table.columns, strict=True)]
        lines.append("    " + _tex_row([_tex(row.label), _tex(row.runs), *shown]))
        if any(cell is not None and cell.low is not None for cell in cells):
            below = [_tex_range(c, column) for c, column in zip(cells, table.columns, strict=True)]
            lines.append("    " + _tex_row(["", "", *below]))
    caption = " ".join(_tex(note) for note in table.notes)
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"  \caption{{{_tex(table.title)}. {caption}}}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def summary_rows(table: Table) -> list[dict[str, Any]]:
    """The table as flat rows for CSV: mean, sd, n, and interval of every column."""
    return [_flat(row, table) for row in table.rows]


def _flat(row: Row, table: Table) -> dict[str, Any]:
    flat: dict[str, Any] = {"model": row.label, "runs": row.runs}
    for column in table.columns:
        cell = row.cells[column.key]
        numbers: Mapping[str, Any] = vars(cell) if cell else {}
        for part in ("mean", "sd", "n", "low", "high"):
            flat[f"{column.key}.{part}"] = numbers.get(part)
    return flat


def _mean(cell: Summary, column: Column) -> str:
    deviation = "" if cell.sd is None else f" ± {cell.sd:.{column.digits}f}"
    return f"{cell.mean:.{column.digits}f}{deviation}"


def _range(cell: Summary, column: Column) -> str:
    if cell.low is None or cell.high is None:
        return ""
    digits = max(1, column.digits - 1)  # no interval of a few seeds is known better
    low, high = (round(end, digits) + 0.0 for end in (cell.low, cell.high))  # no -0.0
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _stacked(cell: Summary | None, column: Column) -> str:
    return NOTHING if cell is None else f"{_mean(cell, column)}\n{_range(cell, column)}".rstrip()


def _inline(cell: Summary | None, column: Column) -> str:
    return NOTHING if cell is None else f"{_mean(cell, column)} {_range(cell, column)}".rstrip()


def _tex_mean(cell: Summary | None, column: Column) -> str:
    return "--" if cell is None else f"${_mean(cell, column)}$".replace("±", r"\pm")


def _tex_range(cell: Summary | None, column: Column) -> str:
    shown = "" if cell is None else _range(cell, column)
    return rf"{{\scriptsize ${shown}$}}" if shown else ""


def _tex_row(cells: list[str]) -> str:
    row = " & ".join(cells) + r" \\"
    return "{}" + row if row[0] in "[*" else row  # else it would be an option of the row above


def _md(text: str) -> str:
    """The text with nothing in it that is markup in Markdown, HTML or a formula of GitHub's."""
    text = re.sub(r"[\\`*\[\]|$~]", r"\\\g<0>", one_line(text))
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")
    return re.sub(
        r"(?<!\w)_+", lambda found: r"\_" * len(found[0]), text
    )  # within a word it is text


def _tex(text: str) -> str:
    return one_line(text).translate(_TEX)


_TEX = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "–": "--", "<": r"$<$", ">": r"$>$", "|": r"$|$"}
)
