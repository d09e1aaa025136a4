"""The command `bench report`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.reproduce import print_reproduction
from bench.console import say, stderr, stdout

REPORT_HELP = """Rebuild the tables and plots of a study or a reproduction, from its records alone.

[bold]Example[/bold]: bench report results/dsprites-quick
"""


def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, e.g. results/dsprites-quick")],
) -> None:
    from bench.report.render import console_table
    from bench.report.write import write_report
    from bench.reproduce.files import is_reproduction
    from bench.reproduce.table import write_reproduction

    talk = stderr()
    if is_reproduction(folder):
        print_reproduction(write_reproduction(folder), stdout(), talk)
        return
    with talk.status("reading records") as status:
        made = write_report(folder, pictures_of_runs="all", watch=status.update)
    console_table(made.table, stdout())
    for path in made.files:
        say(talk, f"wrote {path}")
