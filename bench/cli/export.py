"""The command `bench export`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

EXPORT_HELP = """Write the encoder and decoder of a finished run as files for other programs.

[bold]Examples[/bold]

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d --output jointvae --onnx

Writes encoder.pt2 and decoder.pt2 (torch.export), with --onnx also encoder.onnx and decoder.onnx,
and export.json, which says what goes in and comes out. The encoder takes images (B, C, H, W) of
0 to 1 and gives mean, logvar and the probabilities of each categorical latent; the decoder takes
codes and gives images. Batches may have any size.

  encoder = torch.export.load("encoder.pt2").module()

Every file is loaded again and has to give the codes that the run has stored, to 0.001 of their
largest value; what a GPU has stored is less exact, there 0.02 has to hold in nine rows of ten.

Exit code 0 if that is so, 1 if not (nothing is written then), 2 where there is nothing to export.
"""


def export(
    run_dir: Annotated[
        Path, typer.Argument(help="The folder of a finished run.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the files. (Default: RUN_DIR/export.)")
    ] = None,
    onnx: Annotated[
        bool,
        typer.Option("--onnx", help="ONNX files, too. Needs onnx, onnxscript and onnxruntime."),
    ] = False,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data files lie. (Default: $BENCH_DATA_DIR, cache.)")
    ] = None,
) -> None:
    talk = Console(stderr=True)
    with talk.status("loading torch") as status:
        from bench.export import Mismatch
        from bench.export import export as written

        try:
            files = written(run_dir, output, onnx=onnx, data_dir=data_dir, tell=status.update)
        except Mismatch as error:
            print(f"bench: {run_dir}: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(1) from None
    for path in files:
        talk.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
