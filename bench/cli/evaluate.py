"""The command `bench evaluate`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.console import stdout
from bench.errors import RequestError

EVALUATE_HELP = """Score codes in a file, released weights, or what runs have stored.

[bold]Examples[/bold]

  bench evaluate codes.npz

  bench evaluate codes.csv --factors factors.npz --kind shape=categorical --resamples 20

  bench evaluate codes.npz --metrics mig,dci --set mig.binning=frequency --json

  bench evaluate codes.npz --into results/dsprites-quick --name mine

  bench evaluate model.pt --dataset dsprites

  bench evaluate results/dsprites-quick --metrics mig,dci_fast

A file is npz, h5, csv or parquet, from any framework. npz and h5 hold the arrays [bold]codes[/bold]
(N, D) float and/or [bold]categories[/bold] (N, C) int, [bold]factors[/bold] (N, K) int (-1 where a
label is missing; float with NaN for continuous ones), and optionally logvar, probabilities,
factor_names, factor_kinds (categorical, ordinal, cyclic, continuous), factor_sizes, category_sizes;
the same with the suffix _test are rows held out. A table has the columns codes_1, codes_2, ...,
categories_1, ..., factors_NAME, and optionally split (train or test).

With [bold]--into[/bold] the codes become a row of a study's table, scored by the metrics that its
runs have; factor_names and factor_sizes must be the study's. The same command replaces the row.

A run's or a study's folder is scored anew without training, and its scores and tables are replaced.
"""


def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(help="A file of codes or weights, or the folder of a run or a study."),
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="A file that holds the factors, where TARGET does not.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics by name, or all. (Default: all quick ones; of runs, those they have.)"
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option, METRIC.KEY=VALUE; may be repeated."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="What a factor is, as shape=categorical; may be repeated."),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="Classes that look the same, as orientation:39=0; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the metrics' draws. (Default: 0, or the run's.)")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, help="Random halves of the rows, for standard errors.")
    ] = 0,
    into: Annotated[
        Path | None, typer.Option(help="A study's folder, to enter the file as a row of its table.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the row, with --into.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to encode, where TARGET holds weights.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where its files lie. (Default: $BENCH_DATA_DIR, cache.)")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the record (JSON).")] = None,
) -> None:
    from bench.cli.evaluate_show import show
    from bench.evaluate.files import Request

    talk = Console(stderr=True)
    if target is None:
        raise RequestError("name a file of codes or a folder")
    request = Request(
        target=target,
        factors=factors,
        metrics=metrics,
        sets=set_ or [],
        kinds=kind or [],
        merges=merge or [],
        seed=seed,
        resamples=resamples,
        dataset=dataset,
        data_dir=data_dir,
        into=into,
        name=name,
    )
    raise typer.Exit(show(request, json, output, stdout(), talk))
