"""The command `bench report`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Notes
from bench.cli.reproduce import print_reproduction
from bench.console import say, stderr, stdout
from bench.errors import RequestError

REPORT_HELP = """Rebuild the tables and plots of studies or reproductions, from their records alone.

[bold]Examples[/bold]

  bench report results/dsprites-quick

  bench report results/dsprites-quick --columns mig,dci_fast --notes

  bench report results/dsprites-quick results/digits-quick

Of several studies, scores.csv in the folder that holds them has the numbers of all, with the column
study; so has scores.parquet where pyarrow is installed.
"""


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Studies' folders, e.g. results/dsprites-quick"),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns of table.md, table.tex and the terminal, comma-separated, such as "
            "mig,dci_fast.completeness,reconstruction. table.csv has all.",
        ),
    ] = None,
    notes: Notes = False,
) -> None:
    from bench.report.render import console_table
    from bench.report.write import write_report, write_studies
    from bench.reproduce.files import is_reproduction
    from bench.reproduce.table import write_reproduction

    talk, studies = stderr(), []
    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    for folder in folders:
        if is_reproduction(folder):
            if chosen is not None:
                raise RequestError(f"{folder} is a reproduction: --columns goes with a study")
            print_reproduction(write_reproduction(folder), stdout(), talk)
            continue
        with talk.status("reading records") as status:
            made = write_report(folder, pictures="all", columns=chosen, watch=status.update)
        console_table(made.table, stdout(), notes=notes)
        for path in made.files:
            say(talk, f"wrote {path}")
        studies.append(folder)
    if len(studies) > 1:
        for path in write_studies(studies):
            say(talk, f"wrote {path}")
