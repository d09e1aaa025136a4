"""The commands `bench report`, `bench compare` and `bench merge`: what comes of studies."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli.options import Json, Notes, complete_reproduction
from bench.cli.reproduce import print_reproduction
from bench.console import say, stderr, stdout
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.compare.place import Place, Placing
    from bench.compare.studies import Cell, Comparison
    from bench.report.statistics import Summary

REPORT_HELP = """Rebuild the tables and plots of studies or reproductions, from their records alone.

[bold]Examples[/bold]

  bench report results/dsprites-quick

  bench report results/dsprites-quick --columns mig,dci_fast --notes

  bench report results/dsprites-quick results/digits-quick

  bench report results/my-codes --published vector-latents

Of several studies, the folder that holds them gets scores.csv with the numbers of all, and the
column study; table.md and table.tex with a table per score and a column per study; and where models
have ten runs, or three data sets, interquartile means, performance profiles and critical
differences.
"""

COMPARE_HELP = """Say what differs between two studies, or where a model stands among known ones.

[bold]Examples[/bold]

  bench compare results/before results/after

  bench compare results/mine results/reference/dsprites-quick --model ./mine.py:Mine

Without --model: numbers that differ beyond noise (Welch's test of each row that both have, with
Holm's correction over the rows of a column, at least three runs each), runs that only one study
has, and what else was changed: settings, statuses, definitions. Exit code 1 if anything differs,
else 0.

With --model: between which ranks the model of the first study may be among the models of the
second, and which of them it is separated from. Exit code 0 whatever the answer.

Studies of different data are refused, with exit code 2.
"""

MERGE_HELP = """Put the runs of several folders of one study into one, and write its report.

[bold]Example[/bold]: bench merge shards/1 shards/2 --into results/dsprites-quick

The folders, such as those of bench run --shard 1/2 and --shard 2/2, stay as they are. Folders of
different data, presets, settings or definitions of metrics are refused, with exit code 2.

Where two folders have different results of the same run, the run is named, the first one stays in
the tables, and the other is kept in the folder conflicts. Exit code 1 if there is such a run, else
0.
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
    published: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Also write what is published on the same data beside the rows of each study, "
            "from a table of bench reproduce --list such as vector-latents.",
            autocompletion=complete_reproduction,
        ),
    ] = None,
    notes: Notes = False,
) -> None:
    from bench.report.render import console_table
    from bench.report.write import write_report, write_studies
    from bench.reproduce.beside import published_beside
    from bench.reproduce.files import is_reproduction
    from bench.reproduce.table import write_reproduction

    talk, studies = stderr(), []
    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    for folder in filter(is_reproduction, folders):
        for option, given in {"--columns": columns, "--published": published}.items():
            if given is not None:
                raise RequestError(f"{folder} is a reproduction: {option} goes with a study")
    # first, as a wrong name is no reason to wait for pictures
    beside = {} if published is None else {f: published_beside(f, published) for f in folders}
    for folder in folders:
        if is_reproduction(folder):
            print_reproduction(write_reproduction(folder), stdout(), talk)
            continue
        with talk.status("reading records") as status:
            made = write_report(folder, pictures="all", columns=chosen, watch=status.update)
        console_table(made.table, stdout(), notes=notes)
        for path in made.files:
            say(talk, f"wrote {path}")
        if folder in beside:
            text, paths = beside[folder]
            say(stdout(), text)
            for path in paths:
                say(talk, f"wrote {path}")
        studies.append(folder)
    if len(studies) > 1:
        for path in write_studies(studies):
            say(talk, f"wrote {path}")


def compare(
    first: Annotated[Path, typer.Argument(help="A study's folder")],
    second: Annotated[Path, typer.Argument(help="Another, of the same data")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A model of the first study, to rank among the models of the second.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from bench.compare.place import place
    from bench.compare.studies import compare as compare_studies

    if model is not None:
        placing = place(first, second, model)
        if as_json:
            print(json.dumps(placing.as_dict(), allow_nan=False))
        else:
            _print_placing(placing, stdout())
        return
    comparison = compare_studies(first, second)
    if as_json:
        print(json.dumps(comparison.as_dict(), allow_nan=False))
    else:
        _print_comparison(comparison, stdout())
    raise typer.Exit(1 if comparison.differs else 0)


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Studies' folders, e.g. shards/1 shards/2"),
    ],
    into: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="A new folder, or one of the same study."),
    ],
    notes: Notes = False,
) -> None:
    from bench.merge import merge as merge_folders
    from bench.report.render import console_table

    talk = stderr()
    with talk.status("reading records") as status:
        merged = merge_folders(folders, into, watch=status.update)
    console_table(merged.report.table, stdout(), notes=notes)
    for path in merged.report.files:
        say(talk, f"wrote {path}")
    say(
        talk,
        f"{merged.copied} runs copied, {merged.same} had the same results already, "
        f"{merged.further} had come further in one folder than in another",
    )
    for conflict in merged.conflicts:
        say(
            talk,
            f"conflict: {conflict.title}: {conflict.difference}; {conflict.kept} is in the tables, "
            f"the other is kept in {conflict.aside}",
        )
    raise typer.Exit(1 if merged.conflicts else 0)


def _print_comparison(comparison: "Comparison", out: Console) -> None:
    first, second = comparison.studies
    say(out, f"{first} / {second}")
    runs = f"{comparison.shared} runs in both, {comparison.identical} of them identical"
    say(out, runs)
    for folder, titles in zip(comparison.studies, comparison.only, strict=True):
        if titles:
            say(out, f"only in {folder}: {'; '.join(titles)}")
    for words in comparison.changed:
        say(out, f"changed: {words}")
    different = [cell for cell in comparison.cells if cell.differs]
    for cell in different:
        say(out, f"differs: {_in_words(cell)}")
    tested = sum(cell.p is not None for cell in comparison.cells)
    untested = [c for c in comparison.cells if c.p is None and c.difference]
    say(out, f"{len(different)} of {tested} numbers differ beyond noise")
    if untested:
        labels = ", ".join(dict.fromkeys(cell.label for cell in untested))
        verb = "differs" if len(untested) == 1 else "differ"
        say(
            out,
            f"{len(untested)} of the others {verb} and could not be tested, for want of three runs "
            f"of their own on both sides: {labels}",
        )
    if not comparison.differs and comparison.identical == comparison.shared:
        say(out, "the studies are identical")


def _in_words(cell: "Cell") -> str:
    words = (
        f"{cell.title} of {cell.label}: {_shown(cell.first)} / {_shown(cell.second)}, difference "
        f"{cell.difference:+.3f}"
    )
    if cell.low is not None and cell.high is not None and cell.p is not None:
        words += f" [{cell.low:+.3f}, {cell.high:+.3f}], p {_p(cell.p)}"
    if cell.improvement is not None:
        words += f", P(second > first) {cell.improvement.probability:.2f}"
    return words


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def _shown(summary: "Summary") -> str:
    return f"{summary.mean:.3f}" + ("" if summary.sd is None else f" ± {summary.sd:.3f}")


def _print_placing(placing: "Placing", out: Console) -> None:
    own, known = placing.studies
    say(out, f"{placing.model} of {own} ({placing.runs} runs) among the models of {known}")
    for found in placing.places:
        out.print()
        _print_place(found, out)
    if not placing.places:
        say(out, "no score is shared by one definition with a model that has three runs")
    out.print()
    for note in placing.notes:
        say(out, note)
    say(
        out,
        "Better and worse: separated by Welch's test with Holm's correction over the models of a "
        "score, at 5 %. In brackets: the probability that a run of it is better than a run of the "
        "other. Baselines are left out.",
    )


def _print_place(found: "Place", out: Console) -> None:
    summary = found.own
    interval = ""
    if summary.low is not None and summary.high is not None:
        interval = f" [{summary.low:.2f}, {summary.high:.2f}]"
    rank = f"{found.first}" if found.first == found.last else f"{found.first} to {found.last}"
    say(out, f"{found.title}: {_shown(summary)}{interval}, rank {rank} of {found.of}")
    for words, names in (
        ("better than", found.above),
        ("not separated from", found.tied),
        ("worse than", found.below),
    ):
        if names:
            known = (f"{n} ({found.improvements[n].probability:.2f})" for n in names)
            say(out, f"  {words}: {', '.join(known)}")
