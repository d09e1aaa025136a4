"""`bench run`: plan, carry out what is missing, report."""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.agreement import score_agreement
from bench.cli.progress import reporter
from bench.errors import RequestError
from bench.executors.processes import execute
from bench.metrics import STUDY_METRICS
from bench.plan import Plan, Request, plan
from bench.presets import PRESETS
from bench.report.render import console_table
from bench.report.write import write_report
from bench.store.record import (
    EVALUATION,
    FINISHED,
    Status,
    read_records,
    read_status,
)
from bench.store.run import OTHER_CODE, Run, seeds_together
from bench.store.study import check_folder, locked, unwritable, write_study
from bench.worker import Job, announce, unscored


@dataclass(frozen=True)
class Options:
    """How a request is carried out; nothing here changes a number by more than rounding.

    together: how many runs that differ in the seed alone a worker trains as one model; capture:
    whether training steps are replayed as one CUDA graph.
    """

    jobs: int | None = None
    threads: int = 1
    together: int = 1
    capture: bool = False
    device: str = "auto"
    data_dir: str | None = None
    dry_run: bool = False
    force: bool = False
    fail_fast: bool = False
    checkpoint_seconds: float = 30.0


def carry_out(request: Request, options: Options, out: Console, talk: Console) -> int:
    """Do what was asked for; the exit code. Raises RequestError before anything is written."""
    for name in ("jobs", "threads", "together"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise RequestError(f"--{name} {value}: must be at least 1")
    device = choose_device(options.device)
    if options.capture and not device.startswith("cuda"):
        raise RequestError(f"--capture is for CUDA, and the device is {device}: leave it out")
    if options.capture and options.together > 1:
        raise RequestError("--capture and --together cannot be had at once: leave out one")
    planned = plan(request)
    runs_folder = planned.folder / "runs"
    place = contextlib.nullcontext() if options.dry_run else locked(planned.folder)
    with place:
        check_folder(planned.folder, planned.study)
        _check_records(planned, options.force)
        missing = [
            run
            for run in planned.runs
            if options.force or _incomplete(runs_folder / run.folder, planned)
        ]
        trained = [
            run
            for run in missing
            if (runs_folder / run.folder / EVALUATION).exists() and not options.force
        ]
        groups = [
            *([run] for run in trained),
            *seeds_together((run for run in missing if run not in trained), options.together),
        ]
        slots = min(options.jobs or _cores(device, options.threads), max(1, len(groups)))
        _print_plan(planned, missing, trained, slots, device, options.together, talk)
        if options.dry_run:
            return 0

        write_study(planned.folder, planned.study)
        if options.force:
            for run in missing:
                shutil.rmtree(runs_folder / run.folder, ignore_errors=True)
        jobs = [
            [
                Job(
                    run=run,
                    folder=runs_folder / run.folder,
                    definitions=_of_one_run(planned.definitions),
                    device=device,
                    threads=options.threads,
                    data_dir=options.data_dir,
                    checkpoint_seconds=options.checkpoint_seconds,
                    together=len(group),
                    capture=options.capture,
                )
                for run in group
            ]
            for group in groups
        ]
        try:
            for group in jobs:  # a table counts what was asked for, also what never started
                for job in group:
                    announce(job)
        except OSError as error:
            raise unwritable(planned.folder, error) from error
        stopped = False
        if jobs:
            with reporter(talk, len(missing)) as watching:
                stopped = execute(jobs, slots, watching, options.fail_fast)
        if stopped:
            talk.print("Stopped. The same command goes on from the last checkpoints.")
            return 130
        _compare(planned, talk)
        made = write_report(planned.folder, pictures_of_runs=False)
    console_table(made.table, out)
    out.print()
    for path in made.files:
        out.print(str(path), markup=False, highlight=False, soft_wrap=True)
    out.print(f"{runs_folder}/: a folder a run", markup=False, highlight=False, soft_wrap=True)
    return _exit_code(planned, talk)


def _check_records(planned: Plan, force: bool) -> None:
    """Raise RequestError for a broken record, and for one that would share a row unfairly."""
    replaced = {run.folder for run in planned.runs} if force else set()
    for record in read_records(planned.folder):
        if record.folder.name in replaced:
            continue
        for run in planned.runs:
            if run.label != record.run.label:
                continue
            if record.run.entered:
                raise RequestError(
                    f"{planned.folder}: {run.label} is the name of codes that were entered from a "
                    "file: choose another folder with --output"
                )
            if apart := run.differs_from(record.run):
                anew = f" {'train' if run.trained else 'encode'} them anew with --force, or"
                again = anew if apart.startswith(OTHER_CODE) else ""
                raise RequestError(
                    f"{planned.folder}: runs of {run.label} were made with {apart};{again} "
                    "choose another folder with --output"
                )


def choose_device(name: str) -> str:
    """The device of a name; `auto` is the first of cuda, mps, cpu. Raises RequestError."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(name))
    except Exception as error:  # torch raises many kinds for a device that is not there
        reason = str(error).splitlines()[0]
        raise RequestError(f"--device {name}: not to be had here ({reason})") from None
    return name


def _cores(device: str, threads: int) -> int:
    """Runs side by side by default: one a core, and one on any other device."""
    if device != "cpu":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // threads)


def _incomplete(folder: Path, planned: Plan) -> bool:
    state = read_status(folder).state
    if state not in FINISHED:
        return True
    if state == "diverged":
        return False
    return bool(unscored(folder, _of_one_run(planned.definitions)))


def _of_one_run(definitions: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Without the metrics that compare runs."""
    return tuple(asked for asked in definitions if asked["name"] not in STUDY_METRICS)


def _compare(planned: Plan, talk: Console) -> None:
    """Score the metrics that compare runs, where the runs have changed."""
    for asked in planned.definitions:
        if asked["name"] in STUDY_METRICS:
            try:
                _, refused = score_agreement(read_records(planned.folder), asked)
            except OSError as error:
                raise unwritable(planned.folder, error) from error
            for label, reason in refused.items():
                talk.print(f"{label}: {reason}", markup=False, highlight=False, soft_wrap=True)


def _print_plan(
    planned: Plan,
    missing: Sequence[Run],
    trained: Sequence[Run],
    slots: int,
    device: str,
    together: int,
    talk: Console,
) -> None:
    def say(text: str) -> None:
        talk.print(text, markup=False, highlight=False, soft_wrap=True)

    study = planned.study
    done = len(planned.runs) - len(missing)
    steps = sum(run.steps for run in missing if run not in trained)
    say(f"{study['dataset']} ({study['source']}), preset {study['preset']}")
    for label in dict.fromkeys(run.label for run in planned.runs):
        group = [run for run in planned.runs if run.label == label]
        first = group[0]
        seeds = ", ".join(str(run.seed) for run in group)
        budget = f"{first.steps} steps of {first.batch_size} images"
        say(f"  {label}: seeds {seeds}; {budget if first.trained else 'not trained here'}")
        if first.settings:
            say(f"    {', '.join(f'{k}={v}' for k, v in first.settings.items())}")
        if first.trained:
            say(f"    settings: {PRESETS[first.preset].recipe(first.model, first.dataset).source}")
    for name, reason in planned.refused.items():
        say(f"  left out: {name} ({reason})")
    as_one = f", up to {together} seeds in each" if together > 1 else ""
    say(
        f"{len(planned.runs)} runs: {done} done, {len(missing)} to do, {steps} steps, "
        f"{slots} side by side on {device}{as_one}; in {planned.folder}"
    )


def _exit_code(planned: Plan, talk: Console) -> int:
    """0 if every planned run is trained and scored; the others are named."""
    statuses: dict[str, Status] = {
        run.title: read_status(planned.folder / "runs" / run.folder) for run in planned.runs
    }
    failed = {t: s for t, s in statuses.items() if s.state not in ("done", "collapsed")}
    for title, status in failed.items():
        talk.print(f"{title}: {status.state}: {status.message}", markup=False, soft_wrap=True)
    if any(status.state == "failed" for status in failed.values()):
        talk.print(
            "The same command tries failed runs again; error.txt in a run's folder says more."
        )
    return 1 if failed else 0
