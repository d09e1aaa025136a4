"""The command `bench export`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir
from bench.console import say, stderr
from bench.errors import RequestError

FOLDER = "export"  # inside the run's folder

EXPORT_HELP = """Write what other programs take of a run: its networks, curves, a moving picture.

[bold]Examples[/bold]

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d --output jointvae

  bench export results/dsprites-quick/runs/jointvae-seed0-1a2b3c4d --gif

  bench export results/dsprites-quick/runs/* --tensorboard

Writes encoder.pt2 and decoder.pt2 (torch.export), and export.json, which describes their inputs and
outputs. The encoder takes images (B, C, H, W) between 0 and 1 and returns mean, logvar and the
probabilities of each categorical latent; the decoder takes codes and returns images. Batches may
have any size. To load one:

  encoder = torch.export.load("encoder.pt2").module()

Every file is loaded again and has to give the codes that the run has stored, to within 0.001 of
their largest value. What a run on a GPU has stored is less exact: there nine rows of ten have to
agree to within 0.02.

With --gif traversals.gif is written instead, with --tensorboard an event file that has the numbers
of history.csv and score_history.csv.

Exit code 0 if they do, 1 if not (then nothing is written), 2 if there is nothing to export.
"""


def export(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...", help="The folder of a finished run.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to. (Default: RUN_DIR/export.)")
    ] = None,
    gif: Annotated[
        bool, typer.Option("--gif", help="Write the traversals as a moving picture.")
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write the training curves as TensorBoard reads them."),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    if output is not None and len(run_dirs) > 1:
        raise RequestError(
            f"--output {output}: the files of {len(run_dirs)} runs have the same names; leave it "
            "out, or export one run at a time"
        )
    failed = False
    for run_dir in run_dirs:
        target = run_dir / FOLDER if output is None else output
        if not gif and not tensorboard:
            failed |= not _export_programs(run_dir, target, data_dir)
        if gif:
            from bench.export.animation import export_animation

            say(stderr(), f"wrote {export_animation(run_dir, target)}")
        if tensorboard:
            from bench.export.events import export_events

            say(stderr(), f"wrote {export_events(run_dir, target)}")
    if failed:
        raise typer.Exit(1)


def _export_programs(run_dir: Path, target: Path, data_dir: str | None) -> bool:
    """Write the encoder and the decoder; whether they give what they should."""
    talk = stderr()
    with talk.status("loading torch") as status:
        from bench.export.programs import ExportError, export_run

        try:
            files = export_run(run_dir, target, data_dir=data_dir, watch=status.update)
        except ExportError as error:
            say(talk, f"bench: {run_dir}: {' '.join(str(error).split())}")
            return False
    for path in files:
        say(talk, f"wrote {path}")
    return True
