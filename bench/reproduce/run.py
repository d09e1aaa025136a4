"""Request -> reproduction: what a published table needs is run, scored twice, and set beside it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.errors import RequestError, UnknownNameError
from bench.execute import Options, Outcome, Outstanding, device_of, execute
from bench.executors import Reporter
from bench.plan import Plan, Request, plan
from bench.reproduce.cost import Cost, cost, steps_of, total
from bench.reproduce.files import (
    MANIFEST,
    PAPER,
    Manifest,
    has_released,
    read_manifest,
    write_manifest,
    write_released,
)
from bench.reproduce.published import Part, Table
from bench.reproduce.scores import score_by_paper
from bench.reproduce.table import Reproduction, write_reproduction
from bench.reproduce.tables import TABLES
from bench.score import DEFAULT
from bench.settings import parse_seeds
from bench.store.claims import locked
from bench.store.files import copy_folder
from bench.store.record import (
    EPOCHS,
    FINISHED,
    REPRESENTATION,
    SCORE_HISTORY,
    read_record,
    read_status,
)
from bench.store.run import Run
from bench.store.study import ELSEWHERE, unwritable, write_study


@dataclass(frozen=True)
class ReproductionRequest:
    """What is asked for, in the words of the command line.

    Attributes:
        name: of the table.
        budget: share of the published steps.
        seeds: as `parse_seeds` takes them; None for as many as the paper has.
        parts: names of parts, comma-separated; None for all.
        output: folder of the reproduction; None for one named after the table in results/.
        weights: folder of released weights.
        data_dir: where data sets look for files.
        score_every: training steps between two rows of quick scores; None for none.
    """

    name: str
    budget: float = 1.0
    seeds: str | None = None
    parts: str | None = None
    output: Path | None = None
    weights: Path | None = None
    data_dir: str | None = None
    score_every: int | None = None

    @property
    def command(self) -> str:
        """The command, without paths of this machine."""
        words = ["bench reproduce", self.name]
        words += [f"--budget {self.budget:g}"] if self.budget != 1 else []
        words += [f"--seeds {self.seeds}"] if self.seeds else []
        words += [f"--parts {self.parts}"] if self.parts else []
        words += [f"--score-every {self.score_every}"] if self.score_every else []
        words += ["--weights DIR"] if self.weights else []
        return " ".join(words)


@dataclass(frozen=True)
class FinishedRun:
    """A run of a plan that another study has finished, and the folder where it is."""

    run: Run
    folder: Path


@dataclass(frozen=True)
class PlannedPart:
    """A part that is trained.

    Attributes:
        part: of the table.
        plan: of its study.
        reusable: runs of the plan that another study has finished.
    """

    part: Part
    plan: Plan
    reusable: Sequence[FinishedRun]


@dataclass(frozen=True)
class Prepared:
    """A reproduction that is checked and planned.

    Attributes:
        request: what was asked for.
        table: that is reproduced.
        folder: of the reproduction.
        trained: the parts that are trained.
        released: the parts with released weights.
    """

    request: ReproductionRequest
    table: Table
    folder: Path
    trained: Sequence[PlannedPart]
    released: Sequence[Part]


class Watcher(Protocol):
    """Follows a reproduction, to show its progress."""

    def starting(self, todo: Outstanding) -> Reporter:
        """What is left of a part's study is about to run; gives the reporter of its progress."""

    def ended(self, plan: Plan, outcome: Outcome) -> None:
        """The study of a part has ended."""

    def scoring(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Something is being scored; gives a function that is called with the details."""

    def skipped(self, part: Part, reason: str) -> None:
        """A part with released weights is not scored."""


def costs(request: ReproductionRequest) -> list[Cost]:
    """The cost of each part that is trained, and of all together where there are several.

    Raises:
        RequestError: the request is wrong.
    """
    _, parts = _chosen(request)
    seeds = None if request.seeds is None else len(parse_seeds(request.seeds))
    single = [cost(part, request.budget, seeds or part.runs) for part in parts if part.steps]
    return [*single, total(single)] if len(single) > 1 else single


def prepare(request: ReproductionRequest) -> Prepared:
    """Check a request and plan its parts. Writes nothing.

    Raises:
        RequestError: the request is wrong, its folder holds something else, or a part cannot be
            planned.
    """
    table, parts = _chosen(request)
    folder = request.output or Path("results") / _default_name(request)
    _check_folder(folder, request)
    trained = []
    for part in parts:
        if part.steps:
            planned = plan(study_request(part, request, folder))
            needed = [REPRESENTATION]
            needed += [] if part.epochs is None else [EPOCHS]
            needed += [] if request.score_every is None else [SCORE_HISTORY]
            reusable = finished_elsewhere(planned, folder.parent, needed)
            trained.append(PlannedPart(part, planned, reusable))
    return Prepared(request, table, folder, trained, [part for part in parts if not part.steps])


def reproduce(prepared: Prepared, options: Options, watcher: Watcher) -> Reproduction | None:
    """Run and score what is missing of a reproduction, and write its table. Prints nothing.

    Args:
        prepared: what to do.
        options: how to run it.
        watcher: follows the progress.

    Returns:
        The table; None where a signal stopped the runs.

    Raises:
        RequestError: an option is wrong, the folder cannot be written, a record cannot be read, or
            nothing of the released weights can be scored.
    """
    table, folder, command = prepared.table, prepared.folder, prepared.request.command
    if prepared.trained:
        device_of(options)  # before the folder is made
    if prepared.trained or not prepared.released:
        _record_command(folder, prepared.request)
    for planned in prepared.trained:
        take_over(planned.plan, planned.reusable)
    for planned in prepared.trained:
        own = replace(options, epochs=planned.part.epochs)
        outcome = execute(planned.plan, own, watcher.starting)
        watcher.ended(planned.plan, outcome)
        if outcome.stopped:
            return None
        with watcher.scoring(f"{planned.part.name}: the paper's protocol") as watch:
            score_by_paper(planned.plan.folder, table, planned.part, command, watch)
    if prepared.released:
        _score_released(prepared, watcher)
    return write_reproduction(folder)


def study_request(part: Part, request: ReproductionRequest, folder: Path) -> Request:
    """A part as the request of a study, in a folder of its own."""
    return Request(
        models=part.models,
        dataset=part.dataset,
        preset="paper",
        seeds=request.seeds or str(part.runs),
        sets=part.sets,
        sweeps=part.sweeps,
        metrics=",".join(dict.fromkeys((*DEFAULT, *part.metrics))),
        steps=steps_of(part, request.budget),
        output=folder / part.name,
        data_dir=request.data_dir,
    )


def _chosen(request: ReproductionRequest) -> tuple[Table, list[Part]]:
    """The table of a request, and those of its parts that are asked for."""
    if request.name not in TABLES:
        raise UnknownNameError("table", request.name, TABLES)
    table = TABLES[request.name]
    if not 0 < request.budget <= 1:
        raise RequestError(
            f"--budget {request.budget:g}: give a share of the steps, above 0 up to 1"
        )
    if request.budget != 1 and not table.trained:
        raise RequestError(f"{table.name} trains nothing: leave out --budget")
    if request.seeds is not None and not table.trained:
        raise RequestError(f"{table.name} trains nothing: leave out --seeds")
    if request.score_every is not None and not table.trained:
        raise RequestError(f"{table.name} trains nothing: leave out --score-every")
    if request.weights is not None and not any(part.weights for part in table.parts):
        raise RequestError(f"{table.name} needs no released weights: leave out --weights")
    by_name = {part.name: part for part in table.parts}
    if request.parts is None:
        return table, list(table.parts)
    names = [name.strip() for name in request.parts.split(",") if name.strip()]
    for name in names:
        if name not in by_name:
            raise UnknownNameError(f"part of {table.name}", name, by_name)
    if not names:
        raise RequestError(f"--parts is empty: choose from {', '.join(by_name)}")
    return table, [by_name[name] for name in dict.fromkeys(names)]


# --- the folder


def _default_name(request: ReproductionRequest) -> str:
    return request.name if request.budget == 1 else f"{request.name}-budget{request.budget:g}"


def _check_folder(folder: Path, request: ReproductionRequest) -> None:
    """Raise RequestError where a folder holds something else than this reproduction."""
    if not (folder / MANIFEST).exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(f"{folder} is not empty and holds no reproduction: {ELSEWHERE}")
        return
    manifest = read_manifest(folder)
    for what, written, now in (
        ("table", manifest.name, request.name),
        ("budget", manifest.budget, request.budget),
    ):
        if written != now:
            raise RequestError(
                f"{folder} was written with {what} {written}, not {now}: {ELSEWHERE}"
            )


def _record_command(folder: Path, request: ReproductionRequest) -> None:
    earlier = read_manifest(folder).commands if (folder / MANIFEST).exists() else ()
    commands = list(dict.fromkeys([*earlier, request.command]))
    write_manifest(folder, Manifest(request.name, request.budget, commands))


# --- runs that another study has finished


def finished_elsewhere(
    plan: Plan, root: Path, needed: Sequence[str] = (REPRESENTATION,)
) -> list[FinishedRun]:
    """Unfinished runs of a plan that studies in a folder, or reproductions there, have finished.

    Args:
        plan: the plan.
        root: the folder.
        needed: files that a finished run must have.

    Raises:
        RequestError: a status of the plan's own runs cannot be read.
    """
    finished = []
    for run in plan.runs:
        if run.trained and read_status(plan.run_folder(run)).state not in FINISHED:
            folder = _finished(run, root, needed)
            if folder is not None:
                finished.append(FinishedRun(run, folder))
    return finished


def take_over(plan: Plan, runs: Sequence[FinishedRun]) -> None:
    """Copy runs from other studies into the plan's own.

    A record keeps the commit, versions and seconds of its training. Scores by a paper's protocol
    stay behind, as another table has another.

    Raises:
        RequestError: the plan's folder is in use or cannot be written.
    """
    if not runs:
        return
    with locked(plan.folder):
        write_study(plan.folder, plan.study)
        try:
            for finished in runs:
                target = plan.run_folder(finished.run)
                copy_folder(finished.folder, target, plan.folder / ".copy", leave_out=[PAPER])
        except OSError as error:
            raise unwritable(plan.folder, error) from error


def _finished(run: Run, root: Path, needed: Sequence[str]) -> Path | None:
    """The folder of the same run in another study."""
    for pattern in (f"*/runs/{run.folder}", f"*/*/runs/{run.folder}"):
        for folder in sorted(root.glob(pattern)):
            try:
                record = read_record(folder)
            except RequestError:  # nothing to take from a broken record
                continue
            same = record.run.seed == run.seed and run.differs_from(record.run) is None
            if same and record.scored and all((folder / name).is_file() for name in needed):
                return folder
    return None


# --- released weights


def _score_released(prepared: Prepared, watcher: Watcher) -> None:
    """Score the parts with released weights that have no record yet.

    Raises:
        RequestError: no part has a record, or one that was named cannot be scored.
    """
    from bench.reproduce.released import score_released  # needs torch, wrong requests do not

    request, table, folder = prepared.request, prepared.table, prepared.folder
    skipped: list[tuple[Part, str]] = []
    with watcher.scoring(table.name) as watch:
        for part in prepared.released:
            if has_released(folder, part.name):
                continue
            watch(part.name)
            try:
                path = _weights(table, part, request.weights)
                record = score_released(table, part, path, request.command, request.data_dir, watch)
            except RequestError as error:
                if request.parts is not None:
                    raise
                skipped.append((part, str(error)))
                continue
            _record_command(folder, request)  # not before: what is refused leaves no folder
            write_released(folder, record)
    if len(skipped) == len(prepared.released):
        reasons = (f"{part.name} is not scored: {reason}" for part, reason in skipped)
        raise RequestError("; ".join(reasons))
    for part, reason in skipped:
        watcher.skipped(part, reason)


def _weights(table: Table, part: Part, folder: Path | None) -> Path:
    """The file with the released weights of a part."""
    if folder is None:
        raise RequestError(f"{table.name} needs the authors' files: name their folder by --weights")
    path = folder / part.weights
    if not path.is_file():
        raise RequestError(f"{part.weights} is not in the folder of --weights")
    return path
