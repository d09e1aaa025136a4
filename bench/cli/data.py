"""The commands `bench data list`, `fetch`, `verify` and `preview`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.console import stdout

app = typer.Typer(
    help="The data sets: what is on disk, downloads on request, checks, pictures.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

DataDir = Annotated[
    str | None, typer.Option(help="Where data files lie. (Default: $BENCH_DATA_DIR, cache.)")
]

_LIST = """Show what is on disk of every data set, where, from whom and under which licence.

[bold]Examples[/bold]

  bench data list

  bench data list shapes3d celeba

  bench data list --data-dir /data --json

With names, all that is known of these sets: factors, citation, files, checksums, addresses.
Nothing is downloaded, and files are not read: see bench data verify.
"""

_FETCH = """Download the official files of data sets into the data folder.

[bold]Examples[/bold]

  bench data fetch shapes3d

  bench data fetch mnist fashionmnist --data-dir /data

Mirrors are tried in turn. A file takes its name when all of it is there and its checksum is right;
a download that broke off goes on from where it was when the command is given again. Files that are
right already are left alone. What only a browser gets is named, with its address and its folder.
"""

_VERIFY = """Check the files of a data set, or what the suite draws, against what is published.

[bold]Examples[/bold]

  bench data verify fashionmnist

  bench data verify dsprites --data-dir /data

Checks sizes, checksums, labels and the statistics of all images. Of dSprites, the official file is
compared with the built-in renderer image by image. The first use of large sets unpacks them into
the cache, as training does. Exit code 0 if all is right, 1 if something differs, 2 if a file is
missing.
"""

_PREVIEW = """Draw a picture of a data set: a row a factor, which varies alone.

[bold]Examples[/bold]

  bench data preview dsprites

  bench data preview toy --output toy.pdf --set toy.image_size=64

  bench data preview ./mine.py:Mine

The other factors stay at their middle class, or at some class where there is no order. Data that
lacks such combinations, as that with labels of classes only, is shown by images of each class,
drawn at random.
"""


@app.command(name="list", help=_LIST)
def list_(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets to tell all about.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    from bench.data.list import show

    show(names or [], data_dir, json, stdout())


@app.command(help=_FETCH)
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets by name.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    from bench.data.fetch import fetch_all

    fetch_all(names, data_dir, Console(stderr=True))


@app.command(help=_VERIFY)
def verify(
    name: Annotated[str, typer.Argument(help="A data set by name.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    from bench.data.verify import verify

    raise typer.Exit(verify(name, data_dir, stdout(), Console(stderr=True)))


@app.command(help=_PREVIEW)
def preview(
    name: Annotated[
        str, typer.Argument(help="A data set by name, or package.module:Name, or file.py:Name.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="A .png, .pdf or .svg file. (Default: preview-NAME.png, here.)"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, NAME.KEY=VALUE; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    from bench.data.preview import preview

    path = preview(name, set_ or [], data_dir, output)
    Console(stderr=True).print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
