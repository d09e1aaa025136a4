"""The command `bench check`."""

from typing import Annotated

import typer

from bench.cli.options import DataDir, Set, complete_any
from bench.console import say, stdout

CHECK_HELP = """Check that your own data set, metric or model keeps what the suite relies on.

[bold]Examples[/bold]

  bench check my.npz

  bench check ./mine.py:Mine

  bench check mypackage.scores:my_score --set mypackage.scores:my_score.bins=10

  bench check shapes3d --data-dir /data

NAME is a registered name, an installed entry point, package.module:Name, file.py:Name, or an npz
file of images and factors. One line per promise says ok; note, where you should know something;
FAILS, with what was expected, what was found and what to do; or skipped, where another promise has
to be fixed first. Then come the values of a metric for codes whose quality is known in advance.

Exit code 0 if all promises hold, 1 if one fails, 2 if there is nothing to check.
"""


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A data set, a metric or a model.",
            autocompletion=complete_any,
            show_default=False,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(help="model, metric or dataset, if the name does not tell."),
    ] = None,
    set_: Set = None,
    data_dir: DataDir = None,
) -> None:
    from bench.check.find import KIND_IN_WORDS, find_contract
    from bench.check.promises import FAILS, summary

    contract, out = find_contract(name, kind, set_ or [], data_dir), stdout()
    findings, values = [], []
    for finding in contract.findings():
        say(out, str(finding))
        findings.append(finding)
    for value in contract.values():
        say(out, str(value))
        values.append(value)
    failed = sum(value.mark == FAILS for value in values)
    cases = f"; {failed} of {len(values)} cases without a value or a reason" if failed else ""
    say(out, f"{KIND_IN_WORDS[contract.kind]} {name}: {summary(findings)}{cases}")
    raise typer.Exit(1 if failed or any(finding.mark == FAILS for finding in findings) else 0)
