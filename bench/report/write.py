"""Tables and pictures of a study, from its records alone; deleting them loses nothing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import RequestError
from bench.report.table import Table, comparison, run_rows
from bench.store.files import replacing, sweep_study, write_rows, write_text
from bench.store.integrity import faults_of, lost_runs
from bench.store.record import SETTINGS, Record, read_records, state_of
from bench.store.study import is_study, read_study

if TYPE_CHECKING:
    import pandas as pd

PAGE = "report.html"
DRAWN = ".drawn"  # the state of the records of which the plots are

FILES = (
    PAGE,
    "table.md",
    "table.csv",
    "table.tex",
    "runs.csv",
    "scores.csv",
    "scores.parquet",
    "plots/scores.png",
    "plots/curves.png",
    "plots/score_curves.png",
    "plots/sweeps.png",
    "plots/profiles.png",
    "plots/critical-difference.png",
)

_SHOWN = 10  # runs that have lost the same files


@dataclass(frozen=True)
class Report:
    """A study's table and the files that were written.

    Attributes:
        table: the comparison.
        files: of the study; each run's folder has its own.
        page: the one to open first.
    """

    table: Table
    files: tuple[Path, ...]
    page: Path


def write_report(
    folder: Path,
    *,
    pictures: Literal["all", "stale"] = "stale",
    columns: Sequence[str] | None = None,
    watch: Callable[[str], None] = lambda what: None,
) -> Report:
    """Write the page, tables, scores and plots of a study, and the pictures of its runs.

    report.html shows all at once; table.md, .tex and .csv have the comparison, runs.csv a row per
    run, and scores.csv the tidy frame of all numbers, a row per run and number; scores.parquet has
    it too where pyarrow is installed.

    Args:
        folder: of the study.
        pictures: which are drawn; `stale` are those of the study if a record has changed since
            they were drawn, and those of a run that are missing.
        columns: names of the columns of table.md, table.tex and the table that is returned; all if
            none are named. table.csv has all.
        watch: called with what is being written.

    Raises:
        UnknownNameError: there is no such column.
        RequestError: the folder holds no study or no run, a record is broken, or it cannot be
            written.
    """
    study = read_study(folder)
    sweep_study(folder)
    try:
        state = state_of(folder)  # first: what changes meanwhile is drawn the next time
        records = read_records(folder)
        if not records:
            raise RequestError(f"{folder} holds no run yet: bench run fills it")
        from bench.report.columns import shown, shown_study
        from bench.report.curves import draw_curves, draw_score_curves
        from bench.report.frame import frame
        from bench.report.html.page import write_page
        from bench.report.pictures import draw_run, is_drawn
        from bench.report.plots import (
            draw_critical_differences,
            draw_profiles,
            draw_scores,
            draw_sweeps,
        )
        from bench.report.render import latex, markdown, summary_rows
        from bench.report.table.studies import classes_of

        watch("tables")
        stored, records = records, shown(records)
        lost = _lost(folder, records)
        whole = _noted(comparison(records, study), lost)
        table = whole if columns is None else _noted(comparison(records, study, columns), lost)
        write_text(folder / "table.md", markdown(table))
        write_text(folder / "table.tex", latex(table))
        write_rows(folder / "table.csv", summary_rows(whole))
        write_rows(folder / "runs.csv", run_rows(records))
        numbers = frame(records)
        write_scores(folder, numbers)
        watch("plots of the study")
        plots = folder / "plots"
        drawn = pictures == "stale" and _read(folder / DRAWN) == state
        if not (drawn and _is_there(plots / "scores")):
            draw_scores(numbers, plots / "scores", table.title)
        if not (drawn and _is_there(plots / "sweeps")):
            draw_sweeps(numbers, plots / "sweeps", table.title)
        if not (drawn and _is_there(plots / "curves")):
            draw_curves(records, plots / "curves", table.title)
        if not (drawn and _is_there(plots / "score_curves")):
            draw_score_curves(records, plots / "score_curves", table.title)
        classes = classes_of([records], numbers)
        if not (drawn and _is_there(plots / "profiles")):
            draw_profiles(numbers, classes, plots / "profiles", table.title)
        if not (drawn and _is_there(plots / "critical-difference")):
            draw_critical_differences(numbers, classes, plots / "critical-difference", table.title)
        write_text(folder / DRAWN, state)
        for record in records:
            if record.scored and (pictures == "all" or not is_drawn(record)):
                watch(f"pictures of {record.run.title}")
                draw_run(record)
        watch("page")
        page = folder / PAGE
        write_page(page, shown_study(study), stored, records, whole, numbers)
    except OSError as error:
        raise RequestError(f"{folder} cannot be read or written: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{folder} holds a broken record ({error})") from error
    files = tuple(folder / name for name in FILES if (folder / name).exists())
    return Report(table, files, page)


def write_studies(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Write what several studies show together into the folder that holds them all.

    scores.csv is their frame, with their paths below the folder as the column study; table.md and
    table.tex have a table per score, with a column per study, and where models have ten runs, or
    three data sets, their interquartile means; plots/ then has performance profiles and critical
    differences; report.html has the tables and the decoders of the best models, unless that folder
    is a study itself, whose own page stays.

    Raises:
        RequestError: a record cannot be read, or the folder cannot be written.
    """
    from bench.report.columns import shown
    from bench.report.frame import frame
    from bench.report.html.studies import write_studies_page
    from bench.report.plots import draw_critical_differences, draw_profiles
    from bench.report.render import latex, markdown, markdown_section
    from bench.report.table.studies import by_preset, classes_of, score_tables, shared_sections

    resolved = list(dict.fromkeys(folder.resolve() for folder in folders))
    try:
        above = Path(os.path.commonpath([folder.parent for folder in resolved]))
    except ValueError:  # two drives
        raise RequestError("no folder holds all of these studies: report them one by one") from None
    names = {folder: folder.relative_to(above).as_posix() for folder in resolved}
    studies = {name: shown(read_records(folder)) for folder, name in names.items()}
    tables = {n: comparison(studies[n], read_study(folder)) for folder, n in names.items()}
    numbers = frame(studies)
    try:
        paths = [] if is_study(above) else [above / PAGE]
        for page in paths:
            write_studies_page(page, {name: folder for folder, name in names.items()})
        paths += write_scores(above, numbers)
        scores = score_tables(studies, tables)
        parts = [*map(markdown, scores), *map(markdown_section, shared_sections(numbers))]
        for name, text in (
            ("table.md", "\n".join(parts)),
            ("table.tex", "\n".join(map(latex, scores))),
        ):
            write_text(above / name, text)
            paths.append(above / name)
        presets = by_preset(numbers)
        for preset, rows in presets.items():
            own = [[r for r in records if r.run.preset == preset] for records in studies.values()]
            classes = classes_of(own, rows)
            suffix = f"-{preset}" if len(presets) > 1 else ""
            title = f"{rows['study'].nunique()} studies, preset {preset}"
            for name, draw in (
                ("profiles", draw_profiles),
                ("critical-difference", draw_critical_differences),
            ):
                path = above / "plots" / f"{name}{suffix}"
                draw(rows, classes, path, title)
                paths += [found for found in [path.with_name(f"{path.name}.png")] if found.exists()]
    except OSError as error:
        raise RequestError(f"{above} cannot be written: {error}") from error
    return tuple(paths)


def write_scores(folder: Path, numbers: "pd.DataFrame") -> tuple[Path, ...]:
    """Write a frame of `frame.py` as scores.csv, and as scores.parquet where pyarrow is installed.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = [folder / "scores.csv"]
    write_text(paths[0], numbers.to_csv(index=False, lineterminator="\n"))
    if find_spec("pyarrow") is not None:
        paths.append(folder / "scores.parquet")
        with replacing(paths[1]) as file:
            numbers.to_parquet(file, engine="pyarrow", index=False)
    return tuple(paths)


def _is_there(plot: Path) -> bool:
    """Whether both files of a plot are there."""
    return all(plot.with_suffix(suffix).exists() for suffix in (".png", ".pdf"))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _noted(table: Table, lost: Sequence[str]) -> Table:
    return replace(table, notes=[*table.notes, *lost], warnings=[*table.warnings, *lost])


def _lost(folder: Path, records: Sequence[Record]) -> list[str]:
    """What the runs of a study have lost, in a note."""
    titles = {record.folder: record.run.title for record in records}
    by_fault: dict[str, list[str]] = {}
    for run, own in faults_of(records).items():
        if own:
            by_fault.setdefault(" and ".join(own), []).append(titles[run])
    if nameless := [run.name for run in lost_runs(folder)]:
        by_fault[f"{SETTINGS} is missing, so it has no row"] = nameless
    if not by_fault:
        return []
    lost = []
    for faults, runs in by_fault.items():
        more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
        lost.append(f"{'; '.join(runs[:_SHOWN])}{more} ({faults})")
    return [
        f"Files of runs are missing or damaged: {'; '.join(lost)}. The same bench "
        "run makes them again."
    ]
