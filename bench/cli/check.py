"""The command `bench check`."""

from typing import Annotated

import typer

from bench.console import stdout

CHECK_HELP = """Try whether your own data set, metric or model keeps what the suite relies on.

[bold]Examples[/bold]

  bench check my.npz

  bench check ./mine.py:Mine

  bench check mypackage.scores:my_score --set mypackage.scores:my_score.bins=10

  bench check shapes3d --data-dir /data

NAME is a registered name, an installed entry point, package.module:Name, file.py:Name, or an npz
file of images and factors. A line a promise says ok; note, where you should know something; FAILS,
with what was expected, what came and what to do; or left out, where another has to be mended first.

Exit code 0 if all promises hold, 1 if one fails, 2 where there is nothing to check.
"""


def check(
    name: Annotated[
        str, typer.Argument(help="A data set, a metric or a model.", show_default=False)
    ],
    kind: Annotated[
        str | None,
        typer.Option(help="model, metric or dataset, where the name does not tell."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, NAME.KEY=VALUE; may be repeated."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Where data files lie. (Default: $BENCH_DATA_DIR, cache.)")
    ] = None,
) -> None:
    from bench.check.find import WORDS, ask
    from bench.check.promises import FAILS, findings, summary

    asked = ask(name, kind, set_ or [], data_dir)
    out = stdout()

    def tell(line: str) -> None:
        out.print(line, markup=False, highlight=False, soft_wrap=True)

    found = []
    for finding in findings(asked.promises, asked.subject, asked.file):
        tell(str(finding))
        found.append(finding)
    tell(f"{WORDS[asked.kind]} {name}: {summary(found)}")
    raise typer.Exit(1 if any(finding.mark == FAILS for finding in found) else 0)
