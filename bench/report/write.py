"""Tables and pictures of a study, from its records alone; deleting them loses nothing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.errors import RequestError
from bench.report.columns import Metrics, values_of
from bench.report.table import Table, comparison, run_rows
from bench.store.files import sweep_study, write_rows, write_text
from bench.store.integrity import faults_of, lost_runs
from bench.store.record import SETTINGS, Record, read_records
from bench.store.study import read_study

FILES = (
    "table.md",
    "table.csv",
    "table.tex",
    "runs.csv",
    "plots/scores.png",
    "plots/curves.png",
    "plots/sweeps.png",
)

TRAVERSALS = "traversals.png"

_SHOWN = 10  # runs that have lost files


@dataclass(frozen=True)
class Report:
    """A study's table and the files that were written.

    Attributes:
        table: the comparison.
        files: of the study; each run's folder has its own.
        first_picture: the one to open first, if there is any.
    """

    table: Table
    files: tuple[Path, ...]
    first_picture: Path | None = None


def write_report(
    folder: Path,
    *,
    pictures_of_runs: Literal["all", "missing"] = "missing",
    watch: Callable[[str], None] = lambda what: None,
) -> Report:
    """Write table.md, .csv, .tex, runs.csv, the plots of a study and the pictures of its runs.

    Args:
        folder: of the study.
        pictures_of_runs: whether to draw all pictures in the runs' folders again.
        watch: called with what is being written.

    Raises:
        RequestError: the folder holds no study or no run, a record is broken, or it cannot be
            written.
    """
    study = read_study(folder)
    sweep_study(folder)
    try:
        records = read_records(folder)
        if not records:
            raise RequestError(f"{folder} holds no run yet: bench run fills it")
        from bench.report.curves import draw_curves
        from bench.report.frame import frame
        from bench.report.names import shown
        from bench.report.pictures import draw_run, is_drawn
        from bench.report.plots import draw_scores, draw_sweeps
        from bench.report.render import latex, markdown, summary_rows

        watch("tables")
        records = shown(records)
        table = comparison(records, study)
        table = replace(table, notes=[*table.notes, *_lost(folder, records)])
        write_text(folder / "table.md", markdown(table))
        write_text(folder / "table.tex", latex(table))
        write_rows(folder / "table.csv", summary_rows(table))
        write_rows(folder / "runs.csv", run_rows(records))
        watch("plots of the study")
        numbers = frame(records)
        draw_scores(numbers, folder / "plots" / "scores", table.title)
        draw_curves(records, folder / "plots" / "curves", table.title)
        draw_sweeps(numbers, folder / "plots" / "sweeps", table.title)
        for record in records:
            if record.scored and (pictures_of_runs == "all" or not is_drawn(record)):
                watch(f"pictures of {record.run.title}")
                draw_run(record)
    except OSError as error:
        raise RequestError(f"{folder} cannot be read or written: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{folder} holds a broken record ({error})") from error
    files = tuple(folder / name for name in FILES if (folder / name).exists())
    return Report(table, files, _first_picture(records, table, folder))


def _lost(folder: Path, records: Sequence[Record]) -> list[str]:
    """What the runs of a study have lost, in a note."""
    titles = {record.folder: record.run.title for record in records}
    lost = [
        f"{titles[run]} ({' and '.join(faults)})"
        for run, faults in faults_of(records).items()
        if faults
    ]
    lost += [f"{run.name} ({SETTINGS} is missing, so it has no row)" for run in lost_runs(folder)]
    if not lost:
        return []
    more = f"; and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return [
        f"Files of runs are missing or damaged: {'; '.join(lost[:_SHOWN])}{more}. The same bench "
        "run makes them again."
    ]


def _first_picture(records: Sequence[Record], table: Table, folder: Path) -> Path | None:
    """The traversals of the run with the best first score; without any, the plot of scores.

    Best is highest, as nearly all scores are better the higher they are.
    """
    metrics = Metrics.of(records)
    keys = [column.key for column in table.columns if column.is_score]
    drawn = [r for r in records if r.scored and (r.folder / TRAVERSALS).exists()]
    if keys and drawn:
        best = max(drawn, key=lambda r: values_of(r, metrics).get(keys[0], -math.inf))
        return best.folder / TRAVERSALS
    scores = folder / "plots" / "scores.png"
    return scores if scores.exists() else None
