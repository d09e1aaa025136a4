"""The command `bench run`."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli.options import (
    Address,
    DataDir,
    Dataset,
    Device,
    DryRun,
    Executor,
    ExecutorOption,
    Jobs,
    Json,
    Metrics,
    Models,
    Notes,
    Only,
    PresetName,
    Retry,
    ScoreEvery,
    Seeds,
    Set,
    Share,
    Timeout,
    complete_study,
)
from bench.console import left_out, say, stderr, stdout
from bench.errors import RequestError
from bench.estimate.words import in_ranges, lines_of, lines_of_all

if TYPE_CHECKING:
    from bench.estimate.preview import Preview
    from bench.execute import Options, Outcome, Outstanding
    from bench.executors import Reporter
    from bench.executors.processes import EarlyWorker
    from bench.plan import Plan
    from bench.store.run import Run

SHOWN = 20  # rows of a plan, and runs that failed: more are counted

RUN_HELP = """Train models, score them, and write tables and plots.

[bold]Examples[/bold]

  bench run --models jointvae,betavae --dataset dsprites

  bench run --models all --dataset dsprites --seeds 5 --jobs 4

  bench run --models jointvae --dataset dsprites --set gamma=2

  bench run --models betavae --dataset dsprites --sweep betavae.beta=1,2,4

  bench run --models jointvae,betavae --dataset dsprites --fix orientation=0

  bench run --models betavae --dataset dsprites --correlate scale:posX=0.2

  bench run --models betavae --dataset dsprites --hold-out shape=heart,orientation=0-9

  bench run --models betavae --dataset dsprites --split extrapolation

  bench run --models all --dataset dsprites --executor slurm --executor-option partition=gpu

  bench run study.yaml --dry-run

  bench run quick-comparison --seeds 2

STUDY is a YAML file, or the name of a shipped one: bench list studies. Options override what it
says. A setting that several of the models, metrics and data have needs its owner, as in --set
betavae.beta=4; bench list jointvae shows what there is to set.

The same command continues where it stopped and never trains a run twice. More --seeds or --models
add what is missing. Without --metrics, the first four of bench list metrics are scored, and with
--hold-out or --split generalisation_linear and generalisation_boosted, too.

Several bench run may be at work in one folder: each run is carried out by one of them. Exit code 0
only if every run that was asked for is trained and scored.
"""


def run(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A study's YAML file, or the name of a shipped study.",
            autocompletion=complete_study,
            show_default=False,
        ),
    ] = None,
    models: Models = None,
    dataset: Dataset = None,
    preset: PresetName = None,
    seeds: Seeds = None,
    set_: Set = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL.KEY=V1,V2",
            help="One row per value; lists by semicolons, 'MODEL.KEY=3,4;5'. Several sweeps "
            "multiply; settings that change together are one, 'MODEL.KEY,KEY=1,10;2,20'.",
        ),
    ] = None,
    metrics: Metrics = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Training steps instead of the preset's. Schedules scale with them.",
        ),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR=CLASS",
            help="Train and score on one class of a factor only. May be repeated.",
        ),
    ] = None,
    correlate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR:FACTOR=SIGMA", help="Train on correlated factors. May be repeated."
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR=CLASSES,...", help="Train without combinations. May be repeated."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Train without the combinations of a known split, and score them: random, "
            "composition, interpolation, extrapolation, recombination-to-element or "
            "recombination-to-range.",
        ),
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(metavar="FACTORS", help="Score these factors only, comma-separated."),
    ] = None,
    jobs: Jobs = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of each run.")] = 1,
    device: Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the study. (Default: results/DATA-PRESET, or results/STUDY.)",
        ),
    ] = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    pilot: Annotated[
        bool,
        typer.Option(
            "--pilot",
            help="With --dry-run: train some steps of each kind of run that no finished run is "
            "like, to tell how long it takes.",
        ),
    ] = False,
    as_json: Json = False,
    force: Annotated[
        bool, typer.Option("--force", help="Train the planned runs again from the start.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop all runs when one fails.")
    ] = False,
    timeout: Timeout = None,
    retry: Retry = None,
    only: Only = None,
    shard: Share = None,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Seconds between two checkpoints of a run."),
    ] = 30.0,
    score_every: ScoreEvery = None,
    executor: Executor = "local",
    address: Address = None,
    executor_option: ExecutorOption = None,
    notes: Notes = False,
) -> None:
    from bench.cells import RETRIED, Selection, parse_retry, parse_shard, parse_timeout
    from bench.execute import Options
    from bench.executors.cluster import cluster
    from bench.studyfile.choices import Choices, study_definition

    selection = Selection(
        only=only or (),
        shard=None if shard is None else parse_shard(shard),
        retry=RETRIED if retry is None else parse_retry(retry),
    )
    for option, value in (("--json", as_json), ("--pilot", pilot)):
        if value and not dry_run:
            raise RequestError(f"{option} goes with --dry-run")
    choices = Choices(
        models=models,
        dataset=dataset,
        preset=preset,
        seeds=seeds,
        sets=set_ or [],
        sweeps=sweep or [],
        metrics=metrics,
        steps=steps,
        fix=fix or [],
        correlate=correlate or [],
        hold_out=hold_out or [],
        split=split,
        factors=factors,
        output=output,
        data_dir=data_dir,
    )
    definition = study_definition(study, choices)
    options = Options(
        jobs=jobs,
        threads=threads,
        device=device,
        data_dir=data_dir,
        force=force,
        fail_fast=fail_fast,
        selection=selection,
        timeout=None if timeout is None else parse_timeout(timeout),
        checkpoint_seconds=checkpoint_seconds,
        score_every=score_every,
        cluster=cluster(executor, address, executor_option or (), threads),
    )
    if dry_run:
        from bench.estimate.preview import preview

        shown = preview(definition, options, with_pilot=pilot)
        if as_json:
            print(json.dumps({"studies": [part.as_dict() for part in shown]}, allow_nan=False))
        else:
            print_previews(shown, stdout())
        return
    with _early_worker(options) as early:
        options = replace(options, early=early)
        code = _execute_all(definition.plans(), options, stdout(), stderr(), notes=notes)
    raise typer.Exit(code)


def _early_worker(options: "Options") -> "AbstractContextManager[EarlyWorker | None]":
    """A worker that loads its libraries while the plans are made, if it is this machine's."""
    from bench.executors.cluster import LOCAL
    from bench.executors.processes import EarlyWorker

    local = options.cluster.executor == LOCAL
    return EarlyWorker(options.threads) if local else nullcontext()


def _execute_all(
    plans: Sequence["Plan"], options: "Options", out: Console, talk: Console, *, notes: bool
) -> int:
    """Carry out the plans of a study one after another; the exit code."""
    from bench.cells import plans_with_cells

    plans = plans_with_cells(plans, options.selection)
    if len(plans) == 1:
        return execute_and_show(plans[0], options, out, talk, notes=notes)
    from bench.execute import outstanding
    from bench.report.write import write_studies

    for planned in plans:  # what is wrong with the last one is said before the first one starts
        outstanding(planned, options)
    codes = []
    for planned in plans:
        codes.append(execute_and_show(planned, options, out, talk, notes=notes))
        if codes[-1] == 130 or (codes[-1] and options.fail_fast):
            return codes[-1]
    for path in write_studies([planned.folder for planned in plans]):
        say(out, str(path))
    return max(codes)


def execute_and_show(
    plan: "Plan", options: "Options", out: Console, talk: Console, *, notes: bool = False
) -> int:
    """Carry out a plan, print its progress and its table; the exit code."""
    from bench.execute import execute

    outcome = execute(plan, options, lambda todo: show_start(todo, talk))
    return show_outcome(plan, outcome, out, talk, notes=notes)


def show_start(todo: "Outstanding", talk: Console) -> "Reporter":
    """Print what is left of a plan that starts; gives who prints its progress."""
    from bench.cli.progress import reporter

    print_plan(todo, talk)
    return reporter(talk, len(todo.runs))


def show_outcome(
    plan: "Plan", outcome: "Outcome", out: Console, talk: Console, *, notes: bool = False
) -> int:
    """Print what came of a plan; the exit code."""
    from bench.report.render import console_table

    if outcome.report is None:
        say(talk, "Stopped. The same command continues from the last checkpoints.")
        return 130
    for label, reason in outcome.refused.items():
        say(talk, f"{label}: {reason}")
    console_table(outcome.report.table, out, notes=notes)
    out.print()
    for path in outcome.report.files:
        say(out, str(path))
    say(out, f"{plan.folder / 'runs'}/: one folder per run")
    code = _exit_code(outcome, talk)
    say(talk, f"Look at {outcome.report.page} first.")
    return code


def print_plan(todo: "Outstanding", console: Console) -> None:
    """What is asked for, what is left to do of it, and how."""
    from bench.presets import PRESETS
    from bench.score import TRIED

    plan, study = todo.plan, todo.plan.study
    done = len(plan.runs) - len(todo.runs) - len(todo.ended)
    steps = sum(run.steps for run in todo.trained)
    say(console, f"{study.dataset} ({study.source}), preset {study.preset}")
    for note in study.notes:
        say(console, f"  {note}")
    rows: dict[str, list[Run]] = {}
    for run in plan.runs:
        rows.setdefault(run.label, []).append(run)
    for label, group in islice(rows.items(), SHOWN):
        first = group[0]
        seeds = in_ranges([run.seed for run in group])
        budget = f"{first.steps} steps of {first.batch_size} images"
        say(console, f"  {label}: seeds {seeds}; {budget if first.trained else 'not trained here'}")
        if first.settings:
            say(console, f"    {', '.join(f'{k}={v}' for k, v in first.settings.items())}")
        if label in plan.found:
            say(console, f"    found: {plan.found[label]}")
        if first.trained:
            recipe = PRESETS[first.preset].recipe(first.model, first.dataset)
            say(console, f"    settings: {recipe.source}")
    if len(rows) > SHOWN:
        say(console, f"  and {len(rows) - SHOWN:,} more rows of the table")
    for text in left_out(plan.refused):
        say(console, f"  left out: {text}")
    for title, words in islice(todo.damaged.items(), SHOWN):
        say(console, f"  {title}: {words}")
    if len(todo.damaged) > SHOWN:
        say(console, f"  and {len(todo.damaged) - SHOWN:,} more runs that have lost files")
    if todo.ended:
        states = Counter(status.state for status in todo.ended.values())
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        say(console, f"  not tried again: {counts} (--retry {','.join(states)} does)")
    if todo.score_every is not None:
        say(console, f"  scored every {todo.score_every} steps, too, on up to {TRIED:,} images")
    if number := todo.unscored_by_step:
        say(console, f"  not so {number} of the runs, which are trained already: --force does it")
    say(
        console,
        f"{len(plan.runs)} runs: {done} done, {len(todo.runs)} to do, {steps} steps, "
        f"{todo.slots} side by side on {todo.device}{todo.engine}; in {plan.folder}",
    )


def print_previews(parts: Sequence["Preview"], out: Console) -> None:
    """The plan of each data set of a study, the states of its runs, and what is left will take."""
    for part in parts:
        if part.todo is not None:
            print_plan(part.todo, out)
        for line in lines_of(part):
            say(out, line)
        if len(parts) > 1:
            out.print()
    if len(parts) > 1:
        for line in lines_of_all(parts):
            say(out, line)


def _exit_code(outcome: "Outcome", talk: Console) -> int:
    """0 if every planned run is trained and scored; the others are named."""
    from bench.cells import RETRIED
    from bench.store.record import SCORED, UNSUCCESSFUL

    for title, status in islice(outcome.failed.items(), SHOWN):
        say(talk, f"{title}: {status.state}: {status.message}")
    if len(outcome.failed) > SHOWN:
        more = len(outcome.failed) - SHOWN
        say(talk, f"and {more:,} more: bench status says which, and why")
    by_default = [t for t, s in outcome.failed.items() if s.state in RETRIED or s.state in SCORED]
    if by_default:
        again = "The same command tries failed runs again"
        path = next((p for title, p in outcome.errors.items() if title in outcome.failed), None)
        say(talk, f"{again}; {path} says more." if path else f"{again}.")
    by_request = {s.state for s in outcome.failed.values()} & {*UNSUCCESSFUL} - {*RETRIED}
    if by_request:
        say(talk, f"--retry {','.join(sorted(by_request))} tries those runs again.")
    return 1 if outcome.failed else 0
