"""Options that several commands share, and how a shell completes their values.

Completing reads sources and imports no model: the shell waits for it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bench.presets import PRESETS
from bench.registry import KINDS, Kind, entries


def complete_models(incomplete: str) -> list[str]:
    groups = ["all", "baselines"]
    return _last_of_list(incomplete, [*_names("model"), *groups])


def complete_metrics(incomplete: str) -> list[str]:
    return _last_of_list(incomplete, [*_names("metric"), "all"])


def complete_datasets(incomplete: str) -> list[str]:
    return _last_of_list(incomplete, _names("dataset"))


def complete_study(incomplete: str) -> list[str]:
    """A shipped study, or a file in the folder at hand."""
    from bench.studyfile.shipped import shipped

    files = sorted(str(path) for path in Path().glob("*.y*ml"))
    return _beginning(incomplete, [*shipped(), *files])


def complete_preset(incomplete: str) -> list[str]:
    return _beginning(incomplete, PRESETS)


def complete_executor(incomplete: str) -> list[str]:
    return _beginning(incomplete, ("local", "ray", "slurm"))


def complete_any(incomplete: str) -> list[str]:
    """A model, a metric or a data set."""
    return _beginning(incomplete, [name for kind in KINDS for name in _names(kind)])


def complete_reproduction(incomplete: str) -> list[str]:
    from bench.reproduce.tables import TABLES

    return _beginning(incomplete, TABLES)


def complete_listed(incomplete: str) -> list[str]:
    """What `bench list` takes."""
    from bench.studyfile.shipped import shipped

    kinds = [*(f"{kind}s" for kind in KINDS), "presets", "reproductions", "studies"]
    named = [*complete_preset(incomplete), *complete_reproduction(incomplete)]
    named += _beginning(incomplete, shipped())
    return [*_beginning(incomplete, kinds), *complete_any(incomplete), *named]


def _names(kind: Kind) -> list[str]:
    return [entry.name for entry in entries(kind)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _last_of_list(incomplete: str, names: Iterable[str]) -> list[str]:
    """Of `jointvae,be` the last name is completed, with names that the list does not have yet."""
    before, comma, last = incomplete.rpartition(",")
    free = [name for name in names if name not in before.split(",")]
    return [f"{before}{comma}{name}" for name in _beginning(last, free)]


Models = Annotated[
    str | None,
    typer.Option(
        metavar="MODELS",
        help="Models by name, comma-separated; NAME=MODEL gives one a name in tables; all; "
        "baselines.",
        autocompletion=complete_models,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Data set by name, or your own: an npz file or a folder of pictures. Several "
        "comma-separated.",
        autocompletion=complete_datasets,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET",
        help="Budget: see bench list presets. (Default: quick.)",
        autocompletion=complete_preset,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="SEEDS",
        help="A number of seeds (5), a range (0-4) or a list (3,7). (Default: 3.)",
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Where data files are. (Default: $BENCH_DATA_DIR, else the user's cache.)",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OWNER.KEY=VALUE",
        help="A setting, such as jointvae.gamma=2. May be repeated.",
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps.")]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Number of runs side by side. (Default: one per core.)"),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="METRICS",
        help="Metrics by name, comma-separated, or all.",
        autocompletion=complete_metrics,
    ),
]
ScoreEvery = Annotated[
    int | None,
    typer.Option(
        metavar="STEPS",
        help="Score the models also while they train, after every so many steps, on 2,000 "
        "images, by those of the metrics that are quick. Their weights stay the same.",
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Stop a run that takes longer, as in 90s, 30m or 2h; it keeps its checkpoint.",
    ),
]
Retry = Annotated[
    str | None,
    typer.Option(
        metavar="STATES",
        help="Which runs without scores are tried again: failed, out-of-memory, skipped (the "
        "default), timeout, diverged; all; none.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CELLS",
        help="These runs only: a model, a row, seed=3, or 'ROW, seed 3'; * is any text. May be "
        "repeated.",
    ),
]
Share = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="K/N", help="The K-th of N equal shares of the runs; see bench merge."
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where the runs take place: local, ray or slurm.",
        autocompletion=complete_executor,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Head node of a Ray cluster, or auto. (Default: one is started on this machine.)",
    ),
]
ExecutorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--executor-option",
        metavar="KEY=VALUE",
        help="What each run needs on a cluster: cpus=2, memory=4GB, gpus=0.5; with slurm also "
        "time=4h and any option of sbatch, such as partition=gpu. May be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Notes = Annotated[
    bool, typer.Option("--notes", help="Print the table's notes, and the ranks of models.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
