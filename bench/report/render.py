"""A table as text: for the terminal, Markdown, LaTeX and CSV."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.columns import Column, is_ranked, one_line
from bench.report.statistics import ENOUGH, Summary
from bench.report.table import Row, Table
from bench.report.table.sections import NOTHING, Section


def console_table(table: Table, console: Console, *, notes: bool = False) -> None:
    """Print the table: scores, then how the trainings went.

    Columns that do not fit the console side by side go on in another table below. With `notes` all
    notes follow, and where models stand; without, only those that warn.
    """
    scores = [column for column in table.columns if column.is_score]
    others = [column for column in table.columns if not column.is_score]
    counts = {f"{row.scored}" for row in table.rows}
    same = next(iter(counts)) if len(counts) == 1 else None
    each = f", {same} {'run' if same == '1' else 'runs'} each" if same else ""
    runs = None if same else [f"{row.scored}" for row in table.rows]
    _print_blocks(table, f"{table.title}: scores{each}", scores, runs, console)
    if others or runs is None:
        _print_blocks(table, "Trainings", others, [row.runs for row in table.rows], console)
    for words in _legend(table):
        _say(words, console)
    for note in table.notes if notes else table.warnings:
        _say(note, console)
    if notes:
        for line in standing_lines(table):
            _say(line, console)
    elif len(table.notes) > len(table.warnings):
        _say("What the numbers are made of: bench report FOLDER --notes, or table.md.", console)


def _say(text: str, console: Console) -> None:
    console.print(one_line(text), markup=False, highlight=False, style="dim")


def _legend(table: Table) -> list[str]:
    """What the signs in the table's cells are."""
    cells = [cell for row in table.rows for cell in row.cells.values() if cell is not None]
    words = []
    if any(cell.low is not None for cell in cells):
        words.append("[ ] 95 % t interval of the mean over seeds")
    if any(_has_runs(cell) for cell in cells):
        words.append("( ) the runs themselves, where they are fewer than 3")
    if any(row.is_best(column.key) for row in table.rows for column in table.columns):
        words.append("* not separated from the best")
    return [f"{'; '.join(words)}."] if words else []


def _print_blocks(
    table: Table,
    title: str,
    columns: Sequence[Column],
    runs: Sequence[str] | None,
    console: Console,
) -> None:
    widths = [_name_width("Model", [row.label for row in table.rows])]
    widths += [] if runs is None else [_name_width("Runs", runs)]
    room = console.width - sum(widths) - 2 * len(widths)
    for index, block in enumerate(_blocks(table, columns, room)):
        shown = title if index == 0 else None
        console.print(_grid(table, shown, block, runs), highlight=False)
        console.print()


def _blocks(table: Table, columns: Sequence[Column], room: int) -> list[list[Column]]:
    blocks: list[list[Column]] = [[]]
    left = room
    for column in columns:
        needed = _width(table, column) + 2
        if blocks[-1] and needed > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks


def _grid(
    table: Table, title: str | None, columns: Sequence[Column], runs: Sequence[str] | None
) -> RichTable:
    shown = RichTable(
        title=escape(one_line(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    shown.add_column("Model", overflow="fold")
    if runs is not None:
        shown.add_column("Runs", overflow="fold")
    for column in columns:
        width = _width(table, column)
        heading = escape(textwrap.fill(column.title, width, break_long_words=False))
        shown.add_column(heading, justify="right", no_wrap=True, min_width=width)
    for index, row in enumerate(table.rows):
        cells = [Text(one_line(row.label))]
        cells += [] if runs is None else [Text(runs[index])]
        for column in columns:
            style = "bold" if row.is_best(column.key) else ""
            cells.append(Text(_console_cell(table, row, column), style))
        shown.add_row(*cells)
    return shown


def _name_width(heading: str, texts: Sequence[str]) -> int:
    """Characters of the longest word; longer ones than 20 are broken."""
    return min(20, max(len(word) for text in [heading, *texts] for word in text.split()))


def _width(table: Table, column: Column) -> int:
    """Characters of the widest cell; only a title may be broken."""
    cells = [_console_cell(table, row, column) for row in table.rows]
    return max(map(len, [*column.title.split(), *cells]))


def _console_cell(table: Table, row: Row, column: Column) -> str:
    """Mean and interval, on one line; with the star of the best, or room for it."""
    cell = row.cells[column.key]
    text = NOTHING if cell is None else f"{_number(cell.mean, column)} {range_text(cell, column)}"
    starred = any(other.is_best(column.key) for other in table.rows)
    return text.rstrip() + ("*" if row.is_best(column.key) else " " if starred else "")


def markdown(table: Table) -> str:
    """The table in Markdown, with its notes and further tables below."""
    head = ["Model", "Runs", *(_md(column.title) for column in table.columns)]
    lines = [
        f"**{_md(table.title)}**",
        "",
        "| " + " | ".join(head) + " |",
        "| --- | --- | " + " | ".join("---:" for _ in table.columns) + " |",
    ]
    for row in table.rows:
        cells = [_md_cell(row, column) for column in table.columns]
        lines.append("| " + " | ".join([_md(row.label), _md(row.runs), *cells]) + " |")
    lines += ["", *(f"- {_md(note)}" for note in table.notes), ""]
    return "\n".join([*lines, *(markdown_section(section) for section in table.sections)])


def _md_cell(row: Row, column: Column) -> str:
    cell = row.cells[column.key]
    if cell is None:
        return NOTHING
    text = f"{mean_text(cell, column)} {range_text(cell, column)}".rstrip()
    return f"**{text}**" if row.is_best(column.key) else text


def standing_lines(table: Table) -> list[str]:
    """Where each model stands in each score that models are ranked by, a line per score."""
    lines = []
    for column in table.columns:
        standings = {
            row.label: standing
            for row in table.rows
            if (standing := row.standings.get(column.key)) is not None and standing.of > 1
        }
        if standings:
            words = (f"{label} {s.rank} ({s.letters})" for label, s in standings.items())
            lines.append(f"Ranks by {column.title}: {'; '.join(words)}.")
    return lines


def _md_text(text: str) -> str:
    """A cell of a section: a name, or numbers with their interval."""
    return text if re.fullmatch(r"[-–\d., \[\]]*\*?", text) else _md(text)


def markdown_section(section: Section) -> str:
    """A further table in Markdown."""
    lines = [
        f"**{_md(section.title)}**",
        "",
        "| " + " | ".join(map(_md, section.head)) + " |",
        "| --- | " + " | ".join("---:" for _ in section.head[1:]) + " |",
        *("| " + " | ".join(map(_md_text, row)) + " |" for row in section.rows),
        "",
        *(f"- {_md(note)}" for note in section.notes),
        "",
    ]
    return "\n".join(lines)


def latex(table: Table) -> str:
    """The table in LaTeX for the booktabs package, with its notes below.

    Mean, deviation and interval share a cell. What is wider or longer than a page of the article
    class goes on in further tables, and so do the notes where they do not fit below the last one.
    """
    parts = [
        (columns, table.rows[start : start + _TEX_ROWS])
        for start in range(0, len(table.rows), _TEX_ROWS)
        for columns in _tex_blocks(table)
    ]
    lines = [r"% needs \usepackage{booktabs}"]
    title = _tex_flow(table.title)
    for index, (columns, rows) in enumerate(parts):
        caption = title if index == 0 else rf"{title} (continued)"
        lines += _tex_table(columns, rows, caption)
    notes = [rf"      {_tex_flow(note)}\par" for note in table.notes]
    letters = sum(map(len, table.notes))
    below = len(parts[-1][1]) if parts else 0
    block = [
        r"  \par\medskip",
        r"  \begin{minipage}{\linewidth}\scriptsize\raggedright",
        *notes,
        r"  \end{minipage}",
    ]
    if 2 * below + letters / _TEX_LETTERS > _TEX_LINES:
        lines += [r"\begin{table}", rf"  \caption{{{title}: notes}}", *block, r"\end{table}"]
    else:
        lines[-1:] = [*block, lines[-1]]
    return "\n".join([*lines, ""])


# What fits a page of the article class at 10 points: 345 points wide, 43 lines high.
_TEX_WIDTH = 345.0
_TEX_LINES = 50  # of \scriptsize
_TEX_ROWS = 20
_TEX_LETTERS = 95  # of \scriptsize on a line
_TEX_POINTS = 4.1  # a letter of \footnotesize


def _tex_blocks(table: Table) -> list[list[Column]]:
    """The columns that fit a page side by side."""
    labels = max((len(row.label) for row in table.rows), default=0)
    runs = max((len(row.runs) for row in table.rows), default=0)
    letters = min(labels, _TEX_NAME) + max(4, min(runs, _TEX_RUNS))
    room = _TEX_WIDTH - _TEX_POINTS * letters - 12
    blocks: list[list[Column]] = [[]]
    left = room
    for column in table.columns:
        cells = [cell for row in table.rows if (cell := row.cells[column.key]) is not None]
        letters = max((len(mean_text(cell, column)) for cell in cells), default=2)
        words = max(map(len, _heading(column)))
        needed = _TEX_POINTS * max(letters, words) + 6
        if blocks[-1] and needed > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks


_TEX_NAME = 20  # letters of a model on a line
_TEX_RUNS = 10


def _tex_table(columns: Sequence[Column], rows: Sequence[Row], caption: str) -> list[str]:
    heads = [_tex_stack(_tex(line) for line in _heading(column)) for column in columns]
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        r"  \footnotesize",
        r"  \setlength{\tabcolsep}{3pt}",
        r"  \begin{tabular}{ll" + "r" * len(columns) + "}",
        r"    \toprule",
        "    " + _tex_row(["Model", "Runs", *heads]),
        r"    \midrule",
    ]
    for row in rows:
        names = [_tex_box(row.label, _TEX_NAME), _tex_box(row.runs, _TEX_RUNS)]
        lines.append("    " + _tex_row([*names, *(_tex_cell(row, column) for column in columns)]))
    return [*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]


def _tex_box(text: str, letters: int) -> str:
    """The text, in a box of its own where it is longer than a line of so many letters.

    Words that may be wider than the box, as the widest letters have twice the mean width, may be
    broken; TeX does so only where it must.
    """
    if len(text) <= letters:
        return _tex(text)
    width = f"{_TEX_POINTS * letters:.0f}pt"
    return rf"\parbox[t]{{{width}}}{{\raggedright {_tex_flow(text, 9 * letters // 20)}\strut}}"


def _tex_flow(text: str, letters: int = 30) -> str:
    """A text that goes on in further lines, also within a word of more than so many letters."""
    parts = re.findall(rf"\S{{1,{letters}}}|\s+", one_line(text))
    flow = ""
    for before, part in zip(["", *parts], parts, strict=False):
        inside = before.strip() and part.strip()
        flow += (r"\penalty500{}" if inside else "") + _tex(part)
    return flow


def _heading(column: Column) -> list[str]:
    width = min(24, max(13, *map(len, column.title.split())))
    return textwrap.wrap(one_line(column.title), width)


def _tex_cell(row: Row, column: Column) -> str:
    cell = row.cells[column.key]
    if cell is None:
        return "--"
    mean = _number(cell.mean, column)
    if row.is_best(column.key):
        mean = rf"\mathbf{{{mean}}}"
    deviation = "" if cell.sd is None else rf" \pm {_number(cell.sd, column)}"
    below = range_text(cell, column)
    first = f"${mean}{deviation}$"
    return _tex_stack([first, *([rf"\scriptsize ${below}$"] if below else [])])


def _tex_stack(lines: Iterable[str]) -> str:
    """Lines in one cell."""
    lines = list(lines)
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}[t]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"


def summary_rows(table: Table) -> list[dict[str, Any]]:
    """The table as flat rows for CSV: mean, sd, n, interval, ranks and letters of every column."""
    return [_flat(row, table) for row in table.rows]


def _flat(row: Row, table: Table) -> dict[str, Any]:
    flat: dict[str, Any] = {"model": row.label, "runs": row.runs}
    for column in table.columns:
        cell = row.cells[column.key]
        numbers: Mapping[str, Any] = vars(cell) if cell else {}
        for part in ("mean", "sd", "n", "low", "high"):
            flat[f"{column.key}.{part}"] = numbers.get(part)
        if is_ranked(column.key):
            standing = row.standings.get(column.key)
            flat[f"{column.key}.rank_low"] = standing and standing.first
            flat[f"{column.key}.rank_high"] = standing and standing.last
            flat[f"{column.key}.rank_of"] = standing and standing.of
            flat[f"{column.key}.letters"] = standing and standing.letters
    return flat


def mean_text(cell: Summary, column: Column) -> str:
    """Mean and deviation, as all tables show them."""
    deviation = "" if cell.sd is None else f" ± {_number(cell.sd, column)}"
    return f"{_number(cell.mean, column)}{deviation}"


def _number(value: float, column: Column) -> str:
    return f"{value:.{column.digits}f}"


def range_text(cell: Summary, column: Column) -> str:
    """The interval, or else the few runs."""
    if _has_runs(cell):
        return f"({', '.join(_number(value, column) for value in cell.values)})"
    if cell.low is None or cell.high is None:
        return ""
    digits = max(1, column.digits - 1)  # no interval of a few seeds is known better
    low, high = (round(end, digits) + 0.0 for end in (cell.low, cell.high))  # no -0.0
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _has_runs(cell: Summary) -> bool:
    """Whether the runs stand in the place of an interval."""
    return 1 < cell.n < ENOUGH


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
