"""Tables and pictures of a study, from its records alone; deleting them loses nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.report.table import Table, comparison, run_rows
from bench.store.files import read_json, write_rows, write_text
from bench.store.record import read_records
from bench.store.study import STUDY


@dataclass(frozen=True)
class Report:
    """A study's table and the files that were written."""

    table: Table
    files: tuple[Path, ...]


def write_report(
    folder: Path,
    *,
    pictures_of_runs: bool,
    tell: Callable[[str], None] = lambda what: None,
) -> Report:
    """Write table.md, .csv, .tex, runs.csv and the plots of a study.

    With `pictures_of_runs` the pictures in the runs' folders are drawn again too. Raises
    RequestError where the folder holds no study, no run, or cannot be written.
    """
    if not (folder / STUDY).is_file():
        raise RequestError(f"{folder} holds no study: name a folder that bench run has written")
    try:
        study = read_json(folder / STUDY)
        records = read_records(folder)
        if not records:
            raise RequestError(f"{folder} holds no run yet: bench run fills it")
        from bench.report.pictures import draw_run
        from bench.report.plots import draw_curves, draw_scores
        from bench.report.render import latex, markdown, summary_rows

        tell("tables")
        table = comparison(records, study)
        write_text(folder / "table.md", markdown(table))
        write_text(folder / "table.tex", latex(table))
        write_rows(folder / "table.csv", summary_rows(table))
        write_rows(folder / "runs.csv", run_rows(records))
        tell("plots of the study")
        draw_scores(records, folder / "plots" / "scores", table.title)
        draw_curves(records, folder / "plots" / "curves", table.title)
        if pictures_of_runs:
            for record in records:
                if record.scored:
                    tell(f"pictures of {record.run.title}")
                    draw_run(record)
    except OSError as error:
        raise RequestError(f"{folder} cannot be read or written: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{folder} holds a broken record ({error})") from error
    names = [
        "table.md",
        "table.csv",
        "table.tex",
        "runs.csv",
        "plots/scores.png",
        "plots/curves.png",
    ]
    return Report(table, tuple(folder / name for name in names if (folder / name).exists()))
