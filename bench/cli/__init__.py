"""The command line. Results go to stdout, talk to stderr.

Exit codes: 0 all that was asked for succeeded, 1 a run failed or diverged, 2 a wrong request,
130 stopped by Ctrl-C.
"""

import logging
import sys
import warnings
from typing import Annotated

import typer

from bench.cli.check import CHECK_HELP, check
from bench.cli.data import app as data
from bench.cli.evaluate import EVALUATE_HELP, evaluate
from bench.cli.export import EXPORT_HELP, export
from bench.cli.list import LIST_HELP, list_
from bench.cli.report import REPORT_HELP, report
from bench.cli.reproduce import REPRODUCE_HELP, reproduce
from bench.cli.run import RUN_HELP, run
from bench.errors import RequestError, check_package

app = typer.Typer(
    name="bench",
    help="Train disentangled VAEs on data with known generative factors and compare them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(help=RUN_HELP)(run)
app.command(help=EVALUATE_HELP)(evaluate)
app.add_typer(data, name="data")
app.command(help=CHECK_HELP)(check)
app.command(help=EXPORT_HELP)(export)
app.command(help=REPRODUCE_HELP)(reproduce)
app.command(name="list", help=LIST_HELP)(list_)
app.command(help=REPORT_HELP)(report)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="With --version: also libraries, device and system."),
    ] = False,
) -> None:
    if version:
        from bench.cli.version import version_lines

        print("\n".join(version_lines(verbose)))
        raise typer.Exit
    if verbose:
        raise RequestError("--verbose goes with --version: bench --version --verbose")


def main() -> None:
    """Entry point of the `bench` command."""
    # what takes long once, and what a data set's files are suspected of
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("bench").setLevel(logging.INFO)
    warnings.formatwarning = lambda message, *where: f"bench: {message}\n"
    try:
        check_package()
        app()
    except RequestError as error:
        line = " ".join(str(error).split())  # also where it quotes somebody's longer message
        print(f"bench: {line}", file=sys.stderr)
        raise SystemExit(2) from None


# What the script of frappe-bench imports: where that has replaced ours, `main` says so.
cli = main
