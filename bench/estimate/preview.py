"""The state of each run of a study, before the study starts or goes on."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.cells import NoCellsError, select
from bench.estimate.like import Estimate, estimate, folders_in
from bench.execute import Options, Outstanding, outstanding
from bench.store.record import read_status
from bench.store.run import Run
from bench.studyfile.definition import Blocked, StudyDefinition

TO_DO = "to do"
BLOCKED = "blocked"  # files of the data set are not on this machine
_ORDER = ("done", "collapsed", "diverged", TO_DO, BLOCKED)

UNFINISHED = ("pending", "running", "interrupted")


@dataclass(frozen=True)
class Cell:
    """One run of a study, before the study goes on.

    Attributes:
        run: what is asked for.
        state: `done`, `collapsed`, `diverged`, `to do`, `blocked`, or how an attempt ended.
        reason: why it is in that state, where there is something to say.
    """

    run: Run
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Preview:
    """One study, or one data set of a study, before it goes on.

    Attributes:
        cells: all runs.
        estimate: of what is to do.
        todo: what is left to do; None where the data set is blocked.
        blocked: why it is, if it is.
    """

    cells: tuple[Cell, ...]
    estimate: Estimate
    todo: Outstanding | None = None
    blocked: Blocked | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of cells in each state, done ones first."""
        return counted(cell.state for cell in self.cells)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--dry-run --json`."""
        estimate, todo, blocked = self.estimate, self.todo, self.blocked
        request = blocked.request if blocked else None
        folder = request.output if request else todo.plan.folder if todo else None
        return {
            "dataset": request.dataset if request else todo.plan.study.dataset if todo else None,
            "preset": request.preset if request else todo.plan.study.preset if todo else None,
            "folder": None if folder is None else str(folder),
            "blocked": blocked.reason if blocked else None,
            "counts": self.counts,
            "slots": todo.slots if todo else None,
            "device": todo.device if todo else None,
            "estimate": {
                "seconds": estimate.wall(todo.slots) if todo else None,
                "seconds_one_after_another": estimate.seconds,
                "bytes": estimate.size,
                "runs": estimate.runs,
                "basis": estimate.basis,
            },
            "cells": [
                {
                    "label": cell.run.label,
                    "model": cell.run.model,
                    "seed": cell.run.seed,
                    "state": cell.state,
                    "reason": cell.reason,
                    "steps": cell.run.steps,
                    "changed": dict(cell.run.changed),
                    "run": None if blocked else cell.run.folder,
                    "identity": None if blocked else cell.run.identity,
                }
                for cell in self.cells
            ],
        }


def counted(states: Iterable[str]) -> dict[str, int]:
    """How often each state occurs: what is done, then what is to do, then whatever went wrong."""
    numbers = Counter(states)
    ordered = [state for state in _ORDER if state in numbers]
    return {state: numbers[state] for state in (*ordered, *sorted(numbers.keys() - set(ordered)))}


def preview(
    study: StudyDefinition, options: Options, *, with_pilot: bool = False
) -> tuple[Preview, ...]:
    """What a study would do. Writes nothing but, for a pilot, files that are removed at once.

    Args:
        study: the study.
        options: how it would be carried out.
        with_pilot: whether kinds of runs without a like run are tried for some steps.

    Raises:
        RequestError: as planning and `outstanding`.
    """
    found: list[Preview] = []
    refused: NoCellsError | None = None
    for planned in study.plans_of_what_is_here():
        try:
            if isinstance(planned, Blocked):
                chosen = select(planned.runs, options.selection)
                cells = tuple(Cell(run, BLOCKED) for run in chosen)
                none = Estimate(None, None, None, 0, "no estimate, as the data set is not here")
                found.append(Preview(cells, none, blocked=planned))
                continue
            todo = outstanding(planned, options)
        except NoCellsError as error:  # --only may name one of the data sets
            refused = refused or error
            continue
        taken = estimate(todo, options, with_pilot)
        found.append(Preview(tuple(_cells(todo)), taken, todo))
    if refused and not found:
        raise refused
    return tuple(found)


def _cells(todo: Outstanding) -> Iterator[Cell]:
    plan = todo.plan
    left = {run.folder for run in todo.runs}
    started = folders_in(plan.folder / "runs")
    for run in plan.runs:
        if run.folder not in started:
            yield Cell(run, TO_DO)
            continue
        status = read_status(plan.run_folder(run))
        if run.title in todo.damaged:
            yield Cell(run, TO_DO, todo.damaged[run.title])
        elif status.state in UNFINISHED:
            yield Cell(run, TO_DO, status.message)
        elif run.folder in left and status.state in ("done", "collapsed"):
            yield Cell(run, TO_DO, "some metrics are not scored yet")
        else:
            yield Cell(run, status.state, status.message)
