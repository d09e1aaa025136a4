"""Options that several commands share."""

from typing import Annotated

import typer

DataDir = Annotated[
    str | None,
    typer.Option(help="Where data files are. (Default: $BENCH_DATA_DIR, else the user's cache.)"),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, OWNER.KEY=VALUE. May be repeated."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Jobs = Annotated[
    int | None, typer.Option(help="Number of runs side by side. (Default: one per core.)")
]
Metrics = Annotated[str | None, typer.Option(help="Metrics by name, comma-separated, or all.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
