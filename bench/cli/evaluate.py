"""The command `bench evaluate`."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench.cli.options import Json, Metrics, Set
from bench.console import harmless, left_out, say, stderr, stdout
from bench.errors import RequestError, with_name

if TYPE_CHECKING:
    from bench.evaluation.files import Codes, Scored, Scoring
    from bench.store.record import ScoreRecord

EVALUATE_HELP = """Score codes from a file, or the codes that runs have stored.

[bold]Examples[/bold]

  bench evaluate codes.npz

  bench evaluate codes.csv --factors factors.npz --kind shape=categorical --resamples 20

  bench evaluate codes.npz --metrics mig,dci --set mig.binning=frequency --json

  bench evaluate mine.npz --codes z --factors y --chance

  bench evaluate tokens.npz --groups 16x20 --metrics dci_fast,factorvae_score --reduce pca1

  bench evaluate codes.npz --into results/dsprites-quick --name mine

  bench evaluate results/dsprites-quick --metrics mig,dci_fast

A file is npz, h5, csv or parquet, from any framework. npz and h5 hold the arrays [bold]codes[/bold]
(N, D) float and/or [bold]categories[/bold] (N, C) int, [bold]factors[/bold] (N, K) int, words or
true and false (NaN where a label is missing; float for continuous ones), and optionally logvar,
probabilities, factor_names, factor_kinds (categorical, ordinal, cyclic, continuous), factor_sizes
and category_sizes; arrays with the suffix _test are held-out rows. unseen (N,) is true for rows of
combinations that were held out of training, which generalisation_linear and generalisation_boosted
score. A table has the columns codes_1, codes_2, ..., categories_1, ..., factors_NAME, and
optionally split (train or test) and unseen.

Arrays and columns of other names are named with --codes, --categories, --logvar and --factors:
one name, or several with commas between them, which are put side by side. In a table a name is
that of a column, or of all columns NAME_1, NAME_2, ...; in an h5 file it may have its group
(train/codes). Nothing else in the file is opened. --factors may also be another file, which is
looked for first, or FILE:NAME.

A latent may be a [bold]vector[/bold] (a slot, a token, the sine and cosine of an angle): codes
(N, latents, columns) are that by their shape; of codes (N, columns) --groups says which columns are
one latent, [bold]16x20[/bold] for 20 latents of 16 columns each. With --reduce pca1 each vector is
first replaced by its first principal component, as in the tables of diffusion models; the
definition of such a score says so.

With [bold]--into[/bold] the codes become a row of a study's table, scored by the metrics that its
runs have; factor_names and factor_sizes must be the study's. The same command replaces the row.

The folder of a run or of a study is scored without training, and the new scores replace the old
ones; a study's tables are written again.

What was read, and what was inferred from it, is said on stderr and stands in the JSON. With
[bold]--chance[/bold] the same codes are also scored against shuffled factors, which tells what
noise would score here.

Without --metrics, a file is scored by all metrics that take seconds, and runs by those that they
have.
"""


def evaluate(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="A file of codes, or the folder of a run or study.",
            show_default=False,
        ),
    ],
    codes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The arrays or columns that are the codes. (Default: codes.)"
        ),
    ] = None,
    categories: Annotated[
        str | None, typer.Option(metavar="NAME", help="Those that are categories.")
    ] = None,
    logvar: Annotated[
        str | None, typer.Option(metavar="NAME", help="Those that are log variances.")
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(
            metavar="NAME or FILE",
            help="Those that are the factors, or another file that holds them, or FILE:NAME.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHS",
            help="Columns of each latent that is a vector: 16x20 for 20 latents of 16, or 4,4,2.",
        ),
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(
            help="Make vectors numbers first: pca1, the first principal component of each."
        ),
    ] = None,
    metrics: Metrics = None,
    set_: Set = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Kind of a factor, for example shape=categorical. May be repeated."),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            help="Classes that look the same, for example orientation:39=0. May be repeated."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the metrics' random draws. (Default: 0, or the run's.)"),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(min=0, help="Number of random halves of the rows, for standard errors."),
    ] = 0,
    chance: Annotated[
        bool,
        typer.Option(
            "--chance",
            help="Score the codes against shuffled factors, too: takes six times as long.",
        ),
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="A study's folder, to add the codes to as a row.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the row, with --into.")] = None,
    as_json: Json = False,
    output: Annotated[
        Path | None, typer.Option(help="A JSON file for the scores of a file and what they are of.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    from bench.evaluation.files import Scoring, refuse_weights
    from bench.evaluation.runs import holds_runs

    scoring = Scoring(metrics, set_ or [], merge or [], seed, resamples, chance, reduce)
    named = {"codes": codes, "categories": categories, "logvar": logvar}
    names = {what: text for what, text in named.items() if text is not None}
    if not os.path.exists(target):  # also false where the system does not allow the name
        raise RequestError(f"{target}: no such file or folder")
    if dataset is not None:  # a likely guess, where weights are to be encoded
        refuse_weights(target)
        raise RequestError(
            "--dataset is not for codes, which come with their factors: leave it out"
        )
    if into is not None or name is not None:
        _add_row(target, into, name, factors, names, groups, kind or [], scoring, as_json, output)
    elif not target.is_dir():
        raise typer.Exit(
            _score_file(target, factors, names, groups, kind or [], scoring, as_json, output)
        )
    elif not holds_runs(target):
        raise RequestError(
            f"{target} holds no run and no study: name a folder that bench run has written, or a "
            "file of codes"
        )
    else:
        options = {f"--{what}": text for what, text in named.items()}
        options |= {"--factors": factors, "--groups": groups}
        for option, value in [*options.items(), ("--kind", kind), ("--output", output)]:
            if value:
                raise RequestError(
                    f"{option} is for a file of codes, and {target} is a folder: leave it out"
                )
        raise typer.Exit(_score_runs(target, scoring, as_json))


def _score_file(
    path: Path,
    factors: str | None,
    names: Mapping[str, str],
    groups: str | None,
    kinds: list[str],
    scoring: "Scoring",
    as_json: bool,
    output: Path | None,
) -> int:
    from bench.evaluation.files import evaluate_file, write_record

    talk = stderr()
    with talk.status("reading") as status:
        codes, scored = evaluate_file(
            path,
            scoring,
            factors=factors,
            kinds=kinds,
            names=names,
            groups=groups,
            watch=status.update,
        )
    try:
        if output is not None:
            write_record(output, codes, scored, scoring.seed or 0)
    except RequestError:
        _print_scores(scored, as_json)  # which may have taken long
        raise
    _say_what_was_read(scored, talk)
    _print_scores(scored, as_json)
    if output is not None:
        say(talk, f"wrote {output}")
    return _exit_code({"": scored}, scoring, talk)


def _score_runs(folder: Path, scoring: "Scoring", as_json: bool) -> int:
    from bench.evaluation.runs import evaluate_runs
    from bench.store.study import is_study

    talk = stderr()
    with talk.status("reading") as status:
        results = evaluate_runs(folder, scoring, status.update)
    if is_study(folder):
        if as_json:
            _print_json({run: scored.as_dict() for run, scored in results.items()})
        _write_tables(folder, talk, show=not as_json)
        return _exit_code(results, scoring, talk)
    (scored,) = results.values()
    _say_what_was_read(scored, talk)
    if as_json:
        _print_json(_with_what_was_read(scored))
    elif scored.scores:
        print_scores(scored, stdout())
    say(talk, "Stored with the run. To write the tables of its study again: bench report FOLDER")
    return _exit_code(results, scoring, talk)


def _add_row(
    path: Path,
    folder: Path | None,
    name: str | None,
    factors: str | None,
    names: Mapping[str, str],
    groups: str | None,
    kinds: list[str],
    scoring: "Scoring",
    as_json: bool,
    output: Path | None,
) -> None:
    from bench.evaluation.files import open_codes
    from bench.evaluation.rows import add_row

    if folder is None or name is None:
        raise RequestError("--into FOLDER and --name NAME go together: give both")
    if not os.path.isdir(folder):
        raise RequestError(f"{folder} holds no study: there is no such folder")
    if path.is_dir():
        raise RequestError(f"--into is for files of codes: {path} is a folder")
    options = {"--metrics": scoring.metrics, "--set": scoring.sets, "--kind": kinds}
    options |= {"--merge": scoring.merges, "--reduce": scoring.reduce}
    for option, value in options.items():
        if value:
            raise RequestError(
                f"--into scores by the metrics and the factors of the study: leave out {option}"
            )
    talk = stderr()
    with talk.status("reading") as status:
        codes = open_codes(path, factors, names=names, groups=groups)
        scored = add_row(
            folder,
            name,
            codes,
            seed=scoring.seed or 0,
            resamples=scoring.resamples,
            chance=scoring.chance,
            watch=status.update,
        )
    _say_what_was_read(scored, talk)
    if as_json:
        _print_json(_with_what_was_read(scored))
    _write_tables(folder, talk, show=not as_json)
    if output is not None:
        _write_record(output, codes, scored, scoring, talk)


def _print_scores(scored: "Scored", as_json: bool) -> None:
    """On stdout, as one JSON object or as a table."""
    if as_json:
        _print_json(_with_what_was_read(scored))
    else:
        print_scores(scored, stdout())


def _with_what_was_read(scored: "Scored") -> dict[str, Any]:
    """The scores as plain values, each with what was read: every entry remains that of a metric."""
    return {name: {**entry, "read": scored.read} for name, entry in scored.as_dict().items()}


def _say_what_was_read(scored: "Scored", talk: Console) -> None:
    from bench.evaluation.reading import lines

    for line in lines(scored.read):
        say(talk, line)


def print_scores(scored: "Scored", console: Console) -> None:
    """One line per score with its parts below it, then what should be known beside the numbers."""
    from rich.markup import escape
    from rich.table import Table

    from bench.report.columns import title_of

    scores = scored.scores
    errors = any(score.resamples for score in scores.values())
    shuffled = any("shuffled" in score.details for score in scores.values())
    noted = any("note" in score.details for score in scores.values())
    table = Table(box=None, pad_edge=False)
    table.add_column("Metric", no_wrap=True)
    table.add_column("Value", justify="right")
    if errors:
        table.add_column("± s.e.", justify="right")
    table.add_column("Chance", justify="right")
    if shuffled:
        table.add_column("Shuffled (max)", justify="right")
    if noted:
        table.add_column("Note", overflow="fold")
    for name, score in scores.items():
        flag = " !" if score.warnings else ""
        parts = [(f"{name}.{part}", value, part) for part, value in score.parts.items()]
        for index, (key, value, part) in enumerate([(name, score.value, "value"), *parts]):
            is_part = index > 0
            cells = [("  " if is_part else "") + title_of(key) + flag, f"{value:.3f}"]
            if errors:
                error = score.standard_errors.get(part)
                cells.append("" if error is None else f"{error:.3f}")
            cells.append("" if score.chance is None or is_part else f"{score.chance:.3f}")
            if shuffled:
                level = score.details.get("shuffled", {}).get(part)
                cells.append(f"{level['mean']:.3f} ({level['max']:.3f})" if level else "")
            if noted:
                cells.append("" if is_part else str(score.details.get("note", "")))
            table.add_row(*(escape(harmless(cell)) for cell in cells))
            flag = ""
    console.print(
        harmless(scored.title), markup=False, highlight=False, style="bold", soft_wrap=True
    )
    console.print(table, highlight=False)
    console.print()
    for line in _remarks(scores, scored.undefined):
        console.print(harmless(line), markup=False, highlight=False, style="dim", soft_wrap=True)


def _remarks(scores: Mapping[str, "ScoreRecord"], undefined: Mapping[str, str]) -> list[str]:
    """Warnings, metrics that were left out, definitions, and what the standard errors are."""
    from bench.evaluation.files import SHUFFLES
    from bench.metrics.doubts import few
    from bench.report.columns import definition_words, title_of

    lines = []
    warned: dict[str, list[str]] = {}
    for name, score in scores.items():
        for warning in score.warnings:
            warned.setdefault(warning, []).append(title_of(name))
    # What is wrong with the data is wrong for most metrics.
    lines += [f"! {few(titles)}: {warning}." for warning, titles in warned.items()]
    lines += [f"Left out: {text}." for text in left_out(undefined)]
    for name, score in scores.items():
        lines.append(f"{title_of(name)}: {definition_words(score.definition)}.")
    if any("shuffled" in score.details for score in scores.values()):
        lines.append(
            f"Shuffled: the mean and the largest score of the same codes against {SHUFFLES} "
            "shuffles of the factors' rows."
        )
    resamples = max((score.resamples for score in scores.values()), default=0)
    if resamples:
        lines.append(
            f"s.e.: standard error over the choice of rows, from {resamples} random halves of "
            "them (delete-d jackknife)."
        )
    return lines


def _print_json(scores: Mapping[str, Any]) -> None:
    """One object: value, details, definition and the rest by metric; of a study, by run."""
    from bench.store.files import plain

    print(json.dumps(scores, default=plain, allow_nan=False))


def _write_record(
    path: Path, codes: "Codes", scored: "Scored", scoring: "Scoring", talk: Console
) -> None:
    from bench.evaluation.files import write_record

    write_record(path, codes, scored, scoring.seed or 0)
    say(talk, f"wrote {path}")


def _write_tables(folder: Path, talk: Console, show: bool) -> None:
    """Write a study's tables again, and show the first on stdout."""
    from bench.report.render import console_table
    from bench.report.write import write_report

    with talk.status("writing tables") as status:
        report = write_report(folder, watch=status.update)
    if show:
        console_table(report.table, stdout())
    for path in report.files:
        say(talk, f"wrote {path}")


def _exit_code(results: Mapping[str, "Scored"], scoring: "Scoring", talk: Console) -> int:
    """1 if a metric that was named is undefined, which is said; else 0."""
    if not scoring.named:
        return 0
    reasons = Counter(entry for scored in results.values() for entry in scored.undefined.items())
    for (name, reason), count in reasons.items():
        say(talk, with_name(name, reason) + (f" ({count:,} runs)" if count > 1 else ""))
    return 1 if reasons else 0
