"""Finished runs of the studies beside a new one, taken over instead of trained again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.errors import RequestError
from bench.plan import Plan
from bench.reproduce.values import PAPER
from bench.store.record import FINISHED, REPRESENTATION, read_record, read_status
from bench.store.run import Run
from bench.store.study import locked, unwritable, write_study


def elsewhere(planned: Plan, beside: Path) -> list[tuple[Run, Path]]:
    """Unfinished runs of a plan that studies in `beside`, or reproductions there, have finished.

    Each with the folder where it lies. Raises RequestError for a broken record of the plan's own.
    """
    runs = planned.folder / "runs"
    missing = (
        run
        for run in planned.runs
        if run.trained and read_status(runs / run.folder).state not in FINISHED
    )
    found = ((run, _found(run, beside)) for run in missing)
    return [(run, there) for run, there in found if there is not None]


def take_over(planned: Plan, found: Sequence[tuple[Run, Path]]) -> None:
    """Copy runs from where they lie into the plan's study. Raises RequestError.

    A record keeps the commit, versions and seconds of its training. Scores by a paper's protocol
    stay behind, as another table has another.
    """
    if not found:
        return
    with locked(planned.folder):
        write_study(planned.folder, planned.study)
        try:
            for run, there in found:
                _copy(there, planned.folder / "runs" / run.folder, planned.folder / ".copy")
        except OSError as error:
            raise unwritable(planned.folder, error) from error


def _found(run: Run, beside: Path) -> Path | None:
    for pattern in (f"*/runs/{run.folder}", f"*/*/runs/{run.folder}"):
        for there in sorted(beside.glob(pattern)):
            try:
                record = read_record(there)
            except RequestError:  # nothing to take from a broken record
                continue
            same = record.run.seed == run.seed and run.differs_from(record.run) is None
            if same and record.scored and (there / REPRESENTATION).is_file():
                return there
    return None


def _copy(there: Path, here: Path, unfinished: Path) -> None:
    """All or nothing: a copy that was cut off is no run."""
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for path in there.iterdir():
        if path.is_file() and path.name != PAPER:
            shutil.copy2(path, unfinished)
    shutil.rmtree(here, ignore_errors=True)
    here.parent.mkdir(exist_ok=True)
    unfinished.rename(here)
