"""The command line. Results go to stdout, talk to stderr.

Exit codes: 0 all that was asked for succeeded, 1 a run failed or diverged, 2 a wrong request,
130 stopped by Ctrl-C.
"""

import errno
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from bench.cli.check import CHECK_HELP, check
from bench.cli.data import app as data
from bench.cli.evaluate import EVALUATE_HELP, evaluate
from bench.cli.export import EXPORT_HELP, export
from bench.cli.list import LIST_HELP, list_
from bench.cli.new import NEW_HELP, new
from bench.cli.report import COMPARE_HELP, MERGE_HELP, REPORT_HELP, compare, merge, report
from bench.cli.reproduce import REPRODUCE_HELP, reproduce
from bench.cli.run import RUN_HELP, run
from bench.cli.status import STATUS_HELP, status
from bench.console import harmless
from bench.errors import RequestError, check_package

# What pyproject.toml declares, and the extras; frappe-bench because it overwrites this package.
LIBRARIES = (
    *("torch", "numpy", "scipy", "scikit-learn", "threadpoolctl", "pandas", "h5py", "matplotlib"),
    *(
        "pillow",
        "seaborn",
        "jinja2",
        "markupsafe",
        "safetensors",
        "typer",
        "rich",
        "pydantic",
        "pyyaml",
        "platformdirs",
        "filelock",
    ),
    *("pooch", "requests", "urllib3", "pyarrow"),
)
CLASHES = ("frappe-bench",)

app = typer.Typer(
    name="bench",
    help="Train disentangled VAEs on data with known generative factors and compare them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(help=RUN_HELP)(run)
app.command(help=EVALUATE_HELP)(evaluate)
app.add_typer(data, name="data")
app.command(help=CHECK_HELP)(check)
app.command(help=NEW_HELP)(new)
app.command(help=EXPORT_HELP)(export)
app.command(help=REPRODUCE_HELP)(reproduce)
app.command(name="list", help=LIST_HELP)(list_)
app.command(help=STATUS_HELP)(status)
app.command(help=REPORT_HELP)(report)
app.command(help=COMPARE_HELP)(compare)
app.command(help=MERGE_HELP)(merge)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="With --version: also libraries, device and system."),
    ] = False,
) -> None:
    if version:
        print("\n".join(_version_lines(verbose)))
        raise typer.Exit
    if verbose:
        raise RequestError("--verbose goes with --version: bench --version --verbose")


def main() -> None:
    """Entry point of the `bench` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Windows' pages of letters lack some of ours
            stream.reconfigure(errors="replace")
    # what takes long once, and what a data set's files are suspected of
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("bench").setLevel(logging.INFO)
    warnings.formatwarning = lambda message, *where: f"bench: {message}\n"
    try:
        check_package()
        app()
    except RequestError as error:
        line = " ".join(str(error).split())  # also where it quotes somebody's longer message
        print(f"bench: {harmless(line)}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or not isinstance(error.filename, str):
            raise
        start = harmless(error.filename[:60])
        print(f"bench: {start}...: no file or folder can have a name that long", file=sys.stderr)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print(
            "bench: this needs torch, which is not installed: see the README's Installation, or "
            "`pip install torch`",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


def _version_lines(verbose: bool) -> Iterator[str]:
    """The version; if `verbose` also what a report of a bug needs, without the name of a folder."""
    from bench import __version__

    if not verbose:
        yield __version__
        return
    from bench.store.environment import environment

    facts = environment(device="", threads=1)
    yield f"disentanglement-bench {__version__}"
    yield f"commit: {facts['commit'] or 'none, not a checkout'}"
    yield f"Python: {facts['python']}"
    yield f"system: {facts['system']}"
    yield f"processor: {facts['processor']}"
    yield f"device: {_device()}"
    for name in LIBRARIES:
        yield f"{name}: {_installed(name) or 'not installed'}"
    for name in CLASHES:
        if found := _installed(name):
            yield f"{name}: {found}, which has the same import name: use another environment"


def _device() -> str:
    """What `--device auto` takes, with the name of the card."""
    try:
        import torch
    except ImportError:
        return "none, torch is not installed"
    from bench.executors.cluster import choose_device

    device = choose_device("auto")
    return f"cuda, {torch.cuda.get_device_name()}" if device == "cuda" else device


def _installed(name: str) -> str | None:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None


# What the script of frappe-bench imports: where that has replaced ours, `main` says so.
cli = main
