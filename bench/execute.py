"""Plan -> finished study: run what is missing, compare the runs, write the report."""

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.agreement import score_agreement
from bench.cells import Selection, select
from bench.epochs import Epochs
from bench.errors import RequestError
from bench.executors import Reporter
from bench.executors.cluster import LOCAL, RAY, Cluster
from bench.executors.inline import run_inline
from bench.executors.jobs import JobQueue
from bench.executors.processes import Drawer, EarlyWorker, run_in_processes
from bench.metrics import STUDY_METRICS
from bench.plan import Plan
from bench.report.write import Report, write_report
from bench.score import of_one_run
from bench.store.claims import Claims
from bench.store.files import write_json
from bench.store.integrity import Condition, condition
from bench.store.record import (
    CHECKPOINTS,
    ERROR,
    REPRESENTATION,
    SCORE_HISTORY,
    SCORED,
    SETTINGS,
    UNSUCCESSFUL,
    WEIGHTS,
    Record,
    Records,
    Status,
    read_records,
    read_status,
    unscored,
    write_status,
)
from bench.store.run import Run
from bench.store.study import ELSEWHERE, check_folder, unwritable, write_study
from bench.worker import Job, announce

MOST_AT_ONCE = 4096  # threads of a run, or runs side by side


@dataclass(frozen=True)
class Options:
    """How a plan is carried out; nothing here changes a number by more than rounding.

    Attributes:
        jobs: number of runs side by side; None for one per core.
        threads: of each run.
        device: `auto`, or a device of torch's.
        data_dir: where data sets look for files.
        force: whether to train planned runs again from the start.
        fail_fast: whether the first run that ends without scores stops the others.
        selection: which cells of the plan are asked for.
        timeout: seconds that a run may take in this attempt; None for as long as it takes.
        checkpoint_seconds: time between two checkpoints of a run.
        score_every: training steps between two rows of quick scores; None for none.
        epochs: what the means per epoch in epochs.csv are over; None for none.
        in_process: whether the runs take place in this process, one after another, and nothing is
            started: `jobs` is then 1.
        cluster: which engine carries the runs out, and what each of them needs.
        early: a worker process of this machine that was started before the plan was made.
    """

    jobs: int | None = None
    threads: int = 1
    device: str = "auto"
    data_dir: str | None = None
    force: bool = False
    fail_fast: bool = False
    selection: Selection = Selection()
    timeout: float | None = None
    checkpoint_seconds: float = 30.0
    score_every: int | None = None
    epochs: Epochs | None = None
    in_process: bool = False
    cluster: Cluster = Cluster()
    early: EarlyWorker | None = None


@dataclass(frozen=True)
class Outstanding:
    """What is left to do of a plan, and how it will be done.

    Attributes:
        plan: the plan, of the cells that are asked for.
        runs: those that are not finished, in the order in which they start.
        encoded: those of `runs` that need no training any more.
        slots: number of runs side by side; of an engine, at most.
        device: where they compute.
        damaged: finished runs of which files are missing or damaged, by their titles: what is
            wrong, and what becomes of it.
        ended: runs that have ended without scores and are not tried again, by their titles.
        renamed: runs whose records have another display name, as they are called now.
        score_every: as in `Options`.
        engine: what else carries them out than processes of this machine, in words.
    """

    plan: Plan
    runs: Sequence[Run]
    encoded: Sequence[Run]
    slots: int
    device: str
    damaged: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, Status] = field(default_factory=dict)
    renamed: Sequence[Run] = ()
    score_every: int | None = None
    engine: str = ""

    @property
    def trained(self) -> Sequence[Run]:
        """Those of `runs` that need training, which come last."""
        return self.runs[len(self.encoded) :]

    @property
    def unscored_by_step(self) -> int:
        """How many runs have been trained without the scores by step that are asked for."""
        if self.score_every is None:
            return 0
        left = {run.identity for run in self.trained}
        return sum(
            run.trained
            and run.identity not in left
            and not (self.plan.run_folder(run) / SCORE_HISTORY).exists()
            for run in self.plan.runs
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    Attributes:
        stopped: whether a signal stopped it; then there is no report.
        statuses: of every planned run, by its title.
        refused: by the label of a row, why a metric that compares runs is undefined there.
        report: the study's table and the files that were written.
        unscored: titles of runs that a metric has no score of, as it raised an error; the status
            says which.
        errors: files that say more about the failed runs that have one, by title.
    """

    stopped: bool
    statuses: Mapping[str, Status]
    refused: Mapping[str, str] = field(default_factory=dict)
    report: Report | None = None
    unscored: Collection[str] = ()
    errors: Mapping[str, Path] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, Status]:
        """The statuses of the runs that are not trained and scored, by title."""
        return {
            title: status
            for title, status in self.statuses.items()
            if status.state not in SCORED or title in self.unscored
        }


def outstanding(plan: Plan, options: Options) -> Outstanding:
    """What is left to do of a plan. Writes nothing.

    Raises:
        RequestError: an option is wrong, no cell is asked for, the folder may not be written, or it
            holds a broken record or runs that would share a row unfairly.
    """
    device = device_of(options)
    check_folder(plan.folder, plan.study)
    records = read_records(plan.folder)
    _check_records(plan, records, options.force)
    plan = replace(plan, runs=select(plan.runs, options.selection))
    ended = {} if options.force else _ended(plan, records, options.selection.retry)
    conditions = _conditions(plan, records, options.force, ended)
    stages = {identity: found.stage for identity, found in conditions.items()}
    # the quick ones first: their rows of the table are complete the sooner
    encoded = [run for run in plan.runs if stages[run.identity] in ("score", "encode")]
    runs = [*encoded, *(run for run in plan.runs if stages[run.identity] == "train")]
    jobs = options.jobs or options.cluster.side_by_side or _cores(device, options.threads)
    jobs = 1 if options.in_process else jobs
    slots = min(jobs, max(1, len(runs)))
    damaged = {run.title: words for run in plan.runs if (words := conditions[run.identity].words)}
    without_scores = {run.title: ended[run.identity] for run in plan.runs if run.identity in ended}
    stored = {record.folder.name: record.run for record in records}
    renamed = [
        replace(stored[run.folder], display_name=run.display_name)
        for run in plan.runs
        if run.folder in stored and stored[run.folder].display_name != run.display_name
    ]
    return Outstanding(
        plan=plan,
        runs=runs,
        encoded=encoded,
        slots=slots,
        device=device,
        damaged=damaged,
        ended=without_scores,
        renamed=renamed,
        score_every=options.score_every,
        engine="" if options.cluster.executor == LOCAL else f" through {options.cluster.executor}",
    )


def execute(plan: Plan, options: Options, watch: Callable[[Outstanding], Reporter]) -> Outcome:
    """Carry out what is left of a plan, and write the study's report. Prints nothing.

    Other processes may be at work in the same folder: each run is carried out by one of them, and
    this call ends when all runs that it was asked for have ended, wherever.

    Args:
        plan: what to do.
        options: how to do it.
        watch: called with what is left before anything starts; gives who is told what happens.

    Raises:
        RequestError: as `outstanding`, or the folder is in use or cannot be written.
    """
    device_of(options)  # before the folder is made
    select(plan.runs, options.selection)
    with Claims(plan.folder) as claims:
        if options.force:
            _check_alone(claims, plan.folder)
        todo = outstanding(plan, options)
        plan = todo.plan
        reporter = watch(todo)
        _prepare_folder(todo, claims, options)
        jobs = [_job(run, todo, options) for run in todo.runs]
        try:
            _announce(jobs)
        except OSError as error:
            raise unwritable(plan.folder, error) from error
        stopped = bool(jobs) and _run(jobs, plan.folder, todo.slots, claims, reporter, options)
        if stopped:
            return Outcome(True, _statuses(plan))
        with claims.reporting():
            records = Records(plan.folder)
            refused = _compare(plan, records, claims)
            report = write_report(plan.folder, pictures="stale")
        by_folder = {record.folder.name: record for record in records.read()}
        statuses = {run.title: by_folder[run.folder].status for run in plan.runs}
        errors = {run.title: plan.run_folder(run) / ERROR for run in plan.runs}
        errors = {title: path for title, path in errors.items() if path.exists()}
        return Outcome(False, statuses, refused, report, _unscored(plan, by_folder), errors)


def _prepare_folder(todo: Outstanding, claims: Claims, options: Options) -> None:
    """Write what all runs share, and remove what is to be made again.

    Raises:
        RequestError: runs are to be trained again while others are at work, or the folder cannot
            be written.
    """
    plan = todo.plan
    with claims.alone():
        if options.force:
            _check_alone(claims, plan.folder)
        write_study(plan.folder, plan.study)
        try:
            if options.force:
                for run in todo.runs:
                    shutil.rmtree(plan.run_folder(run), ignore_errors=True)
            for run in todo.trained:
                if run.title in todo.damaged and claims.claim(run.folder):
                    for name in (WEIGHTS, REPRESENTATION):  # so that the worker trains it again
                        (plan.run_folder(run) / name).unlink(missing_ok=True)
                    claims.release(run.folder)
            for run in todo.renamed:
                write_json(plan.run_folder(run) / SETTINGS, run.as_dict())
            for run in plan.runs:  # finished ones that have lost it: the folder's name is theirs
                folder = plan.run_folder(run)
                if folder.is_dir() and not (folder / SETTINGS).exists():
                    write_json(folder / SETTINGS, run.as_dict())
        except OSError as error:
            raise unwritable(plan.folder, error) from error


def _check_alone(claims: Claims, folder: Path) -> None:
    """Raise RequestError where other processes are at work in the folder."""
    if claims.others():
        raise RequestError(
            f"{folder}: another bench is at work there, so --force may not remove its runs; wait "
            f"for it, or {ELSEWHERE}"
        )


def device_of(options: Options) -> str:
    """The device to compute on. Raises RequestError where an option makes no sense."""
    for name in ("jobs", "threads", "score_every"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise RequestError(f"--{name.replace('_', '-')} {value}: must be at least 1")
        if value is not None and value > MOST_AT_ONCE and name != "score_every":
            raise RequestError(
                f"--{name} {value}: at most {MOST_AT_ONCE:,}, as no machine has more"
            )
    if not options.checkpoint_seconds >= 0:
        raise RequestError(f"--checkpoint-seconds {options.checkpoint_seconds}: must be at least 0")
    return options.cluster.device(options.device)


def _run(
    jobs: Sequence[Job],
    folder: Path,
    slots: int,
    claims: Claims,
    reporter: Reporter,
    options: Options,
) -> bool:
    """Run the jobs and draw the pictures of each beside the next; whether a signal stopped it.

    In this process, the report draws the pictures.
    """
    left = JobQueue(jobs, reporter, claims, _start_again)
    if options.in_process:
        with reporter:
            return run_inline(left, reporter, fail_fast=options.fail_fast)
    carry_out = _executor(options, folder)
    drawer = Drawer()

    def draw(job: Job, status: Status) -> None:
        if status.state in ("done", "collapsed"):
            drawer.draw(job.folder)

    stopped = True
    try:
        with reporter:
            stopped = carry_out(left, slots, reporter, fail_fast=options.fail_fast, ended=draw)
    finally:
        drawer.finish(at_once=stopped)
    return stopped


def _executor(options: Options, study: Path) -> Callable[..., bool]:
    """What carries out the runs. An engine's package is imported where it is asked for."""
    cluster = options.cluster
    if cluster.executor == LOCAL:
        return partial(run_in_processes, early=options.early)
    if cluster.executor == RAY:
        from bench.executors.ray import run_on_ray

        return partial(run_on_ray, cluster, study)
    from bench.executors.slurm import run_on_slurm

    return partial(run_on_slurm, cluster, study)


def _job(run: Run, todo: Outstanding, options: Options) -> Job:
    return Job(
        run=run,
        folder=todo.plan.run_folder(run),
        definitions=of_one_run(todo.plan.definitions),
        device=todo.device,
        threads=options.threads,
        data_dir=options.data_dir,
        checkpoint_seconds=options.checkpoint_seconds,
        timeout=options.timeout,
        score_every=options.score_every,
        epochs=options.epochs,
    )


def _start_again(job: Job) -> None:
    """A run that has diverged would diverge again from its checkpoint: it starts from step 0."""
    if read_status(job.folder).state == "diverged":
        for checkpoint in job.folder.glob(CHECKPOINTS):
            checkpoint.unlink(missing_ok=True)
        write_status(job.folder, Status("pending"))


def _announce(jobs: Sequence[Job]) -> None:
    """Write what is asked of every run: a table counts also what never started. Raises OSError.

    Side by side, as each waits for the disk.
    """
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(announce, jobs):
            pass


def _check_records(plan: Plan, records: Sequence[Record], force: bool) -> None:
    """Raise RequestError for a record that would share a row unfairly."""
    replaced = {run.folder for run in plan.runs} if force else set()
    rows: dict[str, dict[str, Run]] = {}  # by label the runs that differ by more than the seed
    for run in plan.runs:
        rows.setdefault(run.label, {}).setdefault(run.row, run)
    for record in records:
        if record.folder.name in replaced:
            continue
        first, other = plan.runs[0], record.run.data_code
        if other and first.data_code and other != first.data_code and not record.run.from_file:
            raise RequestError(
                f"{plan.folder}: runs of {record.run.label} were made with other code of "
                f"{first.dataset}: train them again with --force, or {ELSEWHERE}"
            )
        for run in rows.get(record.run.label, {}).values():
            if record.run.from_file:
                raise RequestError(
                    f"{plan.folder}: {run.label} is the name of codes that came from a file: "
                    f"{ELSEWHERE}"
                )
            if difference := run.differs_from(record.run):
                again = ""
                if difference.key in ("code", "data_code"):
                    again = f" {'train' if run.trained else 'encode'} them again with --force, or"
                raise RequestError(
                    f"{plan.folder}: runs of {run.label} were made with {difference.words};{again} "
                    f"{ELSEWHERE}"
                )


def _ended(plan: Plan, records: Sequence[Record], retry: Collection[str]) -> dict[str, Status]:
    """The runs that have ended without scores and are not tried again, by identity."""
    by_folder = {record.folder.name: record.status for record in records}
    found = ((run, by_folder.get(run.folder)) for run in plan.runs)
    return {
        run.identity: status
        for run, status in found
        if status is not None and status.state in UNSUCCESSFUL and status.state not in retry
    }


def _conditions(
    plan: Plan, records: Sequence[Record], force: bool, ended: Collection[str]
) -> dict[str, Condition]:
    """The condition of each planned run, by identity; those that have `ended` are left alone."""
    if force:
        return {run.identity: Condition((), "train") for run in plan.runs}
    by_folder = {record.folder.name: record for record in records}
    definitions = of_one_run(plan.definitions)

    def of(run: Run) -> Condition:
        record = by_folder.get(run.folder)
        if run.identity in ended:
            return Condition((), "nothing")
        if record is not None and record.status.state == "diverged":  # tried again
            return Condition((), "train")
        return condition(plan.run_folder(run), run, definitions, record=record)

    return {run.identity: of(run) for run in plan.runs}


def _cores(device: str, threads: int) -> int:
    """Runs side by side by default: one per core, and one on any other device."""
    if device != "cpu":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // threads)


def _statuses(plan: Plan) -> dict[str, Status]:
    return {run.title: read_status(plan.run_folder(run)) for run in plan.runs}


def _unscored(plan: Plan, records: Mapping[str, Record]) -> list[str]:
    """The titles of the trained runs that lack a score and a reason why there can be none."""
    definitions = of_one_run(plan.definitions)
    planned = ((run.title, records.get(run.folder)) for run in plan.runs)
    return [
        title
        for title, record in planned
        if record is not None
        and record.evaluation is not None
        and unscored(definitions, record.scores, record.evaluation)
    ]


def _compare(plan: Plan, records: Records, claims: Claims) -> dict[str, str]:
    """Score the metrics that compare runs, where the runs have changed; why some are undefined.

    Rows of which another process carries out a run are left to that process.
    """
    refused: dict[str, str] = {}
    for definition in plan.definitions:
        if definition.name not in STUDY_METRICS:
            continue
        rows: dict[str, list[Record]] = {}
        for record in records.read():
            rows.setdefault(record.run.label, []).append(record)
        for row in rows.values():
            names = [record.folder.name for record in row]
            try:
                if all(claims.claim(name) for name in names):
                    _, reasons = score_agreement(row, definition)
                    refused |= reasons
            except OSError as error:
                raise unwritable(plan.folder, error) from error
            finally:
                for name in names:
                    claims.release(name)
    return refused
