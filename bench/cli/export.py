"""The command `bench export`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir
from bench.console import say, stderr

EXPORT_HELP = """Write the encoder and decoder of a finished run as files for other programs.

[bold]Examples[/bold]

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d --output jointvae

Writes encoder.pt2 and decoder.pt2 (torch.export), and export.json, which describes their inputs and
outputs. The encoder takes images (B, C, H, W) between 0 and 1 and returns mean, logvar and the
probabilities of each categorical latent; the decoder takes codes and returns images. Batches may
have any size. To load one:

  encoder = torch.export.load("encoder.pt2").module()

Every file is loaded again and has to give the codes that the run has stored, to within 0.001 of
their largest value. What a run on a GPU has stored is less exact: there nine rows of ten have to
agree to within 0.02.

Exit code 0 if they do, 1 if not (then nothing is written), 2 if there is nothing to export.
"""


def export(
    run_dir: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.", show_default=False),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to. (Default: RUN_DIR/export.)")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    talk = stderr()
    with talk.status("loading torch") as status:
        from bench.export import ExportError, export_run

        try:
            files = export_run(run_dir, output, data_dir=data_dir, watch=status.update)
        except ExportError as error:
            say(talk, f"bench: {run_dir}: {' '.join(str(error).split())}")
            raise typer.Exit(1) from None
    for path in files:
        say(talk, f"wrote {path}")
