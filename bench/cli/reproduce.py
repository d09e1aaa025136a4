"""The command `bench reproduce`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.console import stdout
from bench.errors import RequestError

REPRODUCE_HELP = """Set published numbers beside those obtained here.

[bold]Examples[/bold]

  bench reproduce --list

  bench reproduce jointvae-dsprites --dry-run

  bench reproduce jointvae-fashionmnist --seeds 3

  bench reproduce jointvae-dsprites --budget 0.1 --seeds 1 --parts jointvae,betavae

  bench reproduce released-jointvae --weights DIR

The cost is estimated first. Then what is missing is run, scored by the paper's protocol and by the
standard one, and the table is written to reproduction.md and .csv; the runs are studies in folders
beside it. The same command goes on where it stopped; with nothing missing it writes the table anew.
A run that a study or another table in the folder above has finished is copied, not trained again.

A [bold]--budget[/bold] below 1 shortens trainings and their schedules: its numbers are marked, and
are no reproduction. Numbers without a source that could be read are marked unverified and are never
a target.
"""


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="A table: see --list.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="All tables, with their cost.")] = False,
    budget: Annotated[float, typer.Option(help="Share of the published steps.")] = 1.0,
    seeds: Annotated[
        str | None,
        typer.Option(help="How many (5), a range (0-4) or a list (3,7). (Default: the paper's.)"),
    ] = None,
    parts: Annotated[
        str | None, typer.Option(help="Some of the table's parts only, comma-separated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder. (Default: results/NAME, with the budget.)")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cost and plan, and stop.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Runs side by side. (Default: one a core.)")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    data_dir: Annotated[
        str | None, typer.Option(help="Where data files lie. (Default: $BENCH_DATA_DIR, cache.)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of the weights that the authors released.")
    ] = None,
) -> None:
    if list_:
        print_list()
        return
    if name is None:
        raise RequestError("name a table: bench reproduce --list shows them")
    from bench.execute import Options
    from bench.reproduce.run import Asked, resolved
    from bench.reproduce.run import reproduce as carry_out

    asked = Asked(name, budget, seeds, parts, output, weights, data_dir)
    resolved(asked)
    options = Options(jobs=jobs, device=device, data_dir=data_dir, dry_run=dry_run)
    raise typer.Exit(carry_out(asked, options, stdout(), Console(stderr=True)))


def print_list() -> None:
    """All tables, a line each, and what a line of them means."""
    from bench.reproduce.cost import ASSUMED, hours, of_table
    from bench.reproduce.published import CERTAINTIES
    from bench.reproduce.tables import TABLES

    for table in TABLES.values():
        counts = [
            f"{count} {certainty}"
            for certainty in CERTAINTIES
            if (count := sum(row.certainty == certainty for row in table.rows))
        ]
        print(f"{table.name:26} {table.id:4} {table.title}")
        whole = of_table(table)
        cost = "nothing to train, minutes"
        if whole.steps:
            cost = (
                f"{whole.runs} runs, {whole.steps:,} steps, {hours(whole.cpu_hours)} on one CPU "
                f"core, {hours(whole.gpu_hours)} on a GPU (guess)"
            )
        print(f"{'':26} {len(table.rows)} rows ({', '.join(counts)}); {cost}")
    print(f"\nCosts are of the full budget and the paper's number of runs. {ASSUMED}")
