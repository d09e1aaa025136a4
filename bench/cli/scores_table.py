"""The scores of one representation, for the terminal and as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.evaluate.files import Evaluation
from bench.report.columns import definition_words, title_of
from bench.store.files import plain


def print_scores(evaluation: Evaluation, console: Console) -> None:
    """A line a score, its parts below it, then what should be known beside the numbers."""
    scores = evaluation.scores
    errors = any("standard_errors" in score for score in scores.values())
    noted = any("note" in score["details"] for score in scores.values())
    table = Table(box=None, pad_edge=False)
    table.add_column("Metric", no_wrap=True)
    table.add_column("Value", justify="right")
    if errors:
        table.add_column("± s.e.", justify="right")
    table.add_column("Chance", justify="right")
    if noted:
        table.add_column("Note", overflow="fold")
    for name, score in scores.items():
        flag = " !" if score.get("warnings") else ""
        chance = score["details"].get("chance")
        lines = [(name, score["value"], "value"), *_parts(name, score)]
        for place, (key, value, part) in enumerate(lines):
            cells = [("  " if place else "") + title_of(key) + flag, f"{value:.3f}"]
            if errors:
                error = score.get("standard_errors", {}).get(part)
                cells.append("" if error is None else f"{error:.3f}")
            cells.append("" if chance is None or place else f"{chance:.3f}")
            if noted:
                cells.append("" if place else str(score["details"].get("note", "")))
            table.add_row(*map(escape, cells))
            flag = ""
    console.print(evaluation.title, markup=False, highlight=False, style="bold", soft_wrap=True)
    console.print(table, highlight=False)
    console.print()
    for line in _remarks(evaluation):
        console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)


def as_json(scores: Mapping[str, Any]) -> str:
    """One object: by metric value, details, definition, and what else there is."""
    return json.dumps(scores, default=plain, allow_nan=False)


def _parts(name: str, score: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    return [(f"{name}.{part}", value, part) for part, value in score["parts"].items()]


def _remarks(evaluation: Evaluation) -> list[str]:
    lines = []
    for name, score in evaluation.scores.items():
        lines += [f"! {title_of(name)}: {warning}." for warning in score.get("warnings", [])]
    for name, reason in evaluation.refused.items():
        lines.append(f"Left out: {name} ({reason}).")
    for name, score in evaluation.scores.items():
        lines.append(f"{title_of(name)}: {definition_words(score['definition'])}.")
    resamples = {s["resamples"] for s in evaluation.scores.values() if "resamples" in s}
    if resamples:
        lines.append(
            f"s.e.: standard error over the choice of rows, from {max(resamples)} random halves of "
            "them (delete-d jackknife)."
        )
    return lines
