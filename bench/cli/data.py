"""The commands `bench data list`, `fetch`, `verify` and `preview`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir, Json, Set
from bench.console import say, stderr, stdout

app = typer.Typer(
    help="List, fetch, verify and preview data sets.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_LIST = """Show what is on disk of every data set, where it is from and under which licence.

[bold]Examples[/bold]

  bench data list

  bench data list shapes3d celeba

  bench data list --data-dir /data --json

With names, show all that is known of these sets: factors, citation, files, checksums, addresses.
Nothing is downloaded, and files are not read: see bench data verify.
"""

_FETCH = """Download the official files of data sets into the data folder.

[bold]Examples[/bold]

  bench data fetch shapes3d

  bench data fetch mnist fashionmnist --data-dir /data

Mirrors are tried in turn. A file gets its name when all of it is there and its checksum is right;
the same command resumes a download that broke off. Files that are right already are left alone.
Files that only a browser can fetch are named, with their address and the folder to put them into.
"""

_VERIFY = """Check a data set against what is published about it.

[bold]Examples[/bold]

  bench data verify fashionmnist

  bench data verify dsprites --data-dir /data

Checks sizes and checksums of files, labels, and the statistics of all images. Of data that the
suite draws, labels and statistics are checked. Prints the fingerprint, and a checksum of images and
labels to compare with another machine. The first use of large sets unpacks them into the cache, as
training does. The exit code is 0 if all is right, 1 if something differs, 2 if a file is missing.
"""

_PREVIEW = """Draw a picture of a data set: one row per factor, which varies alone.

[bold]Examples[/bold]

  bench data preview dsprites

  bench data preview toy --output toy.pdf --set toy.image_size=64

  bench data preview ./mine.py:Mine

The other factors stay at their middle class, or at some class if their classes have no order. Data
that lacks such combinations, such as data with a single label, is shown by random images of each
class.
"""


@app.command(name="list", help=_LIST)
def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Data sets by name; all if none is given.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    from bench.data.list import show

    show(names or [], data_dir, json, stdout())


@app.command(help=_FETCH)
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets by name.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    from bench.data.fetch import fetch_all

    fetch_all(names, data_dir, stderr())


@app.command(help=_VERIFY)
def verify(
    name: Annotated[str, typer.Argument(help="A data set by name.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    from bench.data.verify import verify

    raise typer.Exit(verify(name, data_dir, stdout(), stderr()))


@app.command(help=_PREVIEW)
def preview(
    name: Annotated[
        str, typer.Argument(help="A data set by name, or package.module:Name, or file.py:Name.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="A .png, .pdf or .svg file. (Default: preview-NAME.png, here.)"),
    ] = None,
    set_: Set = None,
    data_dir: DataDir = None,
) -> None:
    from bench.data.preview import preview

    path = preview(name, set_ or [], data_dir, output)
    say(stderr(), f"wrote {path}")
