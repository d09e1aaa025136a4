"""The command `bench reproduce`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli.options import (
    DataDir,
    Device,
    DryRun,
    Jobs,
    ScoreEvery,
    complete_reproduction,
)
from bench.cli.run import print_plan, show_outcome, show_start
from bench.console import say, stderr, stdout
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.execute import Outcome, Outstanding
    from bench.executors import Reporter
    from bench.plan import Plan
    from bench.reproduce.cost import Cost
    from bench.reproduce.published import Part
    from bench.reproduce.table import Reproduction

REPRODUCE_HELP = """Compare published numbers with those obtained here.

[bold]Examples[/bold]

  bench reproduce --list

  bench reproduce jointvae-dsprites --dry-run

  bench reproduce jointvae-fashionmnist --parts jointvae --score-every 1876

  bench reproduce jointvae-dsprites --budget 0.1 --seeds 1 --parts jointvae,betavae

  bench reproduce training-logs-dsprites --budget 0.1 --seeds 3

  bench reproduce released-jointvae --weights DIR

First the cost is estimated. Then what is missing is run and scored, by the paper's protocol and by
the standard one, and the table is written to reproduction.md and .csv; the runs are studies in
folders beside it. The same command continues where it stopped; if nothing is missing it only writes
the table. A run that a study or another table in the folder above has finished is copied, not
trained again.

A [bold]--budget[/bold] below 1 shortens trainings and their schedules: its numbers are marked, and
are not a reproduction. The tables of training logs keep their schedules and are compared at the
epochs that are reached. Numbers whose source could not be read are marked as unverified and are
never a target.
"""

_ASSUMED = (
    "CPU: milliseconds per step as measured on one core of an Intel Xeon (2026-11, one thread), "
    "with the same network or one like it, without encoding and scoring. GPU: {gpu:g} ms per step, "
    "a guess."
)


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A table: see --list.", autocompletion=complete_reproduction, show_default=False
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List all tables with their cost.")] = False,
    budget: Annotated[float, typer.Option(help="Share of the published steps.")] = 1.0,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="A number of seeds (5), a range (0-4) or a list (3,7). (Default: the paper's.)"
        ),
    ] = None,
    parts: Annotated[
        str | None, typer.Option(help="Only some parts of the table, comma-separated.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the reproduction. (Default: results/NAME, with the budget.)"),
    ] = None,
    dry_run: DryRun = False,
    jobs: Jobs = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    score_every: ScoreEvery = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of the weights that the authors released.")
    ] = None,
) -> None:
    if list_:
        print_list()
        return
    if name is None:
        raise RequestError("name a table: bench reproduce --list shows them")
    from bench.execute import Options, outstanding
    from bench.reproduce import run

    request = run.ReproductionRequest(
        name, budget, seeds, parts, output, weights, data_dir, score_every
    )
    options = Options(jobs=jobs, device=device, data_dir=data_dir, score_every=score_every)
    talk = stderr()
    console = stdout() if dry_run else talk
    print_costs(run.costs(request), console)
    prepared = run.prepare(request)
    for planned in prepared.trained:
        for finished in planned.reusable:
            say(console, f"{finished.run.title}: from {finished.folder}")
    if dry_run:
        for planned in prepared.trained:
            print_plan(outstanding(planned.plan, options), console)
        return
    watcher = ConsoleWatcher(talk)
    reproduction = run.reproduce(prepared, options, watcher)
    if reproduction is not None:
        print_reproduction(reproduction, stdout(), talk)
    raise typer.Exit(watcher.code)


class ConsoleWatcher:
    """Prints how a reproduction goes on.

    Attributes:
        code: the exit code so far.
    """

    def __init__(self, talk: Console) -> None:
        self._talk = talk
        self.code = 0

    def starting(self, todo: "Outstanding") -> "Reporter":
        return show_start(todo, self._talk)

    def ended(self, plan: "Plan", outcome: "Outcome") -> None:
        self.code = max(self.code, show_outcome(plan, outcome, self._talk, self._talk))

    @contextmanager
    def scoring(self, title: str) -> Iterator[Callable[[str], None]]:
        with self._talk.status(title) as status:
            yield status.update

    def skipped(self, part: "Part", reason: str) -> None:
        say(self._talk, f"{part.name} is not scored: {reason}")


def print_reproduction(reproduction: "Reproduction", out: Console, talk: Console) -> None:
    """Print a table, and where it was written."""
    say(out, reproduction.text)
    for path in reproduction.files:
        say(talk, f"wrote {path}")


def print_costs(costs: "list[Cost]", console: Console) -> None:
    """Print the cost of each part that is trained."""
    if not costs:
        say(console, "nothing to train, minutes")
        return
    for cost in costs:
        say(console, f"{cost.part}: {_in_words(cost)}")
    say(console, _assumed())


def print_list() -> None:
    """Print all tables with what their numbers rest on and what they cost."""
    from bench.reproduce.cost import cost_of_table
    from bench.reproduce.published import CERTAINTIES
    from bench.reproduce.tables import TABLES

    for table in TABLES.values():
        counts = [
            f"{count} {certainty}"
            for certainty in CERTAINTIES
            if (count := sum(row.certainty == certainty for row in table.rows))
        ]
        print(f"{table.name:26} {table.id:4} {table.title}")
        cost = _in_words(cost_of_table(table))
        print(f"{'':26} {len(table.rows)} rows ({', '.join(counts)}); {cost}")
    print(f"\nCosts are for the full budget and the paper's number of runs. {_assumed()}")


def hours_in_words(value: float) -> str:
    """`40 min`, `3.2 h`, `12 days`."""
    if value < 1:
        return f"{max(1, round(value * 60))} min"
    return f"{value:.1f} h" if value < 48 else f"{value / 24:,.0f} days"


def _in_words(cost: "Cost") -> str:
    if not cost.steps:
        return "nothing to train, minutes"
    return (
        f"{cost.runs} runs, {cost.steps:,} steps in all, {hours_in_words(cost.cpu_hours)} on one "
        f"CPU core, {hours_in_words(cost.gpu_hours)} on a GPU (guess)"
    )


def _assumed() -> str:
    from bench.reproduce.cost import GPU_MILLISECONDS

    return _ASSUMED.format(gpu=GPU_MILLISECONDS)
