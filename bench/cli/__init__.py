"""The command line. Results go to stdout, talk to stderr.

Exit codes: 0 all that was asked for succeeded, 1 a run failed or diverged, 2 a wrong request,
130 stopped by Ctrl-C.
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import __version__
from bench.cli.check import CHECK_HELP, check
from bench.cli.data import app as data
from bench.cli.evaluate import EVALUATE_HELP, evaluate
from bench.cli.export import EXPORT_HELP, export
from bench.cli.reproduce import REPRODUCE_HELP, reproduce
from bench.console import stdout
from bench.errors import RequestError

app = typer.Typer(
    name="bench",
    help="Train disentangled VAEs on data with known generative factors and compare them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

_RUN_EXAMPLES = """Train models, score them, and write tables and plots.

[bold]Examples[/bold]

  bench run --models jointvae,betavae --dataset dsprites

  bench run --models all --dataset dsprites --seeds 5 --jobs 4

  bench run --models jointvae --dataset dsprites --set jointvae.gamma=2

  bench run --models betavae --dataset dsprites --sweep betavae.beta=1,2,4

  bench run --models betavae --dataset dsprites --correlate scale:posX=0.2

  bench run --models betavae --dataset dsprites --hold-out shape=heart,orientation=0-9

The same command goes on where it stopped, and trains nothing twice; more --seeds or --models
add what is missing.
"""


@app.command(help=_RUN_EXAMPLES)
def run(
    models: Annotated[str, typer.Option(help="Models by name, comma-separated; all; baselines.")],
    dataset: Annotated[str, typer.Option(help="Data set by name.")],
    preset: Annotated[str, typer.Option(help="Budget: see bench list presets.")] = "quick",
    seeds: Annotated[str, typer.Option(help="How many (5), a range (0-4) or a list (3,7).")] = "3",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, OWNER.KEY=VALUE; may be repeated."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="A row for each value, MODEL.KEY=V1,V2; several multiply."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics by name, or all. (Default: the first four of bench list metrics.)"
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Training steps instead of the preset's; schedules scale.")
    ] = None,
    correlate: Annotated[
        list[str] | None,
        typer.Option(help="Train on correlated factors, FACTOR:FACTOR=SIGMA; may be repeated."),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="Train without combinations, FACTOR=CLASSES,...; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Runs side by side. (Default: one a core.)")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of each run.")] = 1,
    together: Annotated[int, typer.Option(help="Seeds of a model trained as one, for a GPU.")] = 1,
    capture: Annotated[
        bool, typer.Option("--capture", help="Replay training steps as one CUDA graph.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the study. (Default: results/DATA-PRESET.)")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data files lie. (Default: $BENCH_DATA_DIR, cache.)")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Train the planned runs again from the start.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop all runs when one fails.")
    ] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds between checkpoints of a run.")
    ] = 30.0,
) -> None:
    from bench.execute import Options, carry_out
    from bench.plan import Request

    request = Request(
        models=models,
        dataset=dataset,
        preset=preset,
        seeds=seeds,
        sets=set_ or [],
        sweeps=sweep or [],
        metrics=metrics,
        steps=steps,
        correlate=correlate or [],
        hold_out=hold_out or [],
        output=output,
        data_dir=data_dir,
    )
    options = Options(
        jobs=jobs,
        threads=threads,
        together=together,
        capture=capture,
        device=device,
        data_dir=data_dir,
        dry_run=dry_run,
        force=force,
        fail_fast=fail_fast,
        checkpoint_seconds=checkpoint_seconds,
    )
    raise typer.Exit(carry_out(request, options, stdout(), Console(stderr=True)))


app.command(help=EVALUATE_HELP)(evaluate)
app.add_typer(data, name="data")
app.command(help=CHECK_HELP)(check)
app.command(help=EXPORT_HELP)(export)
app.command(help=REPRODUCE_HELP)(reproduce)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="models, metrics, datasets, presets, reproductions")],
) -> None:
    """Describe what there is, a line each.

    [bold]Example[/bold]: bench list models
    """
    from bench.cli.list import describe

    for name, line in describe(what):
        print(f"{name:24} {line}".rstrip())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, e.g. results/dsprites-quick")],
) -> None:
    """Rebuild the tables and plots of a study, or a reproduction's, from its records alone.

    [bold]Example[/bold]: bench report results/dsprites-quick
    """
    from bench.report.render import console_table
    from bench.report.write import write_report
    from bench.reproduce.table import is_reproduction, print_reproduction

    talk = Console(stderr=True)
    if is_reproduction(folder):
        print_reproduction(folder, stdout(), talk)
        return
    with talk.status("reading records") as status:
        made = write_report(folder, pictures_of_runs=True, tell=status.update)
    console_table(made.table, stdout())
    for path in made.files:
        talk.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `bench` command."""
    # what takes long once, and what a data set's files are suspected of
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("bench").setLevel(logging.INFO)
    warnings.formatwarning = lambda message, *where: f"bench: {message}\n"
    try:
        app()
    except RequestError as error:
        line = " ".join(str(error).split())  # also where it quotes somebody's longer message
        print(f"bench: {line}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
