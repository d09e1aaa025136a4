"""The command `bench status`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench.console import harmless, say, stdout, time_in_words

if TYPE_CHECKING:
    from bench.store.survey import RunState, Standing, Survey

SHOWN = 20  # runs with a reason: of more, the reasons are counted
WATCH_EVERY = 2.0  # seconds

STATUS_HELP = """Say how the runs of a study stand, and what their folders have lost.

[bold]Examples[/bold]

  bench status results/dsprites-quick

  bench status results/dsprites-quick --watch

One line per status with the number of runs, then how many are left and how long they will take,
then each run that is not trained and scored, or whose files are missing or damaged, with the
reason. Nothing is written. The same bench run carries out what is left.

With --watch it says so again whenever something has changed, until no run is left, or Ctrl-C.

Exit code 0 if all runs are trained, scored and whole, else 1.
"""


def status(
    folder: Annotated[Path, typer.Argument(help="A study's folder, e.g. results/dsprites-quick")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until no run is left; Ctrl-C ends it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout; one per change.")
    ] = False,
) -> None:
    from bench.store.study import read_study
    from bench.store.survey import Survey

    read_study(folder)
    survey, out = Survey(folder), stdout()
    if watch:
        standing = _watch(survey, out, as_json)
    else:
        standing = survey.read()
        if as_json:
            _print_json(standing)
        else:
            for line in lines(standing):
                say(out, line)
    runs = standing.runs
    raise typer.Exit(0 if runs and all(run.complete for run in runs) else 1)


def lines(standing: "Standing") -> Iterator[str]:
    """All that there is to say of a study."""
    for name, count in standing.counts.items():
        yield f"{name:12} {count}"
    if not standing.runs:
        yield "no run yet: bench run fills the folder"
    if standing.left:
        yield left_in_words(standing)
    yield from _reasons([run for run in standing.runs if not run.complete or run.message])


def left_in_words(standing: "Standing") -> str:
    """How many runs are left, at which rate they end, and how long they take."""
    at_work = f"{standing.at_work} at work" if standing.at_work else "none at work"
    words = f"{len(standing.left):,} of {len(standing.runs):,} runs left, {at_work}"
    seconds, per_run = standing.seconds_left, standing.seconds_per_run
    if seconds is None or per_run is None:
        return f"{words}; no run is finished, so nothing tells how long they take"
    words += f"; {time_in_words(per_run)} per run"
    if standing.per_hour is not None:
        return f"{words}, {standing.per_hour:,.3g} per hour, about {time_in_words(seconds)} left"
    return f"{words}, about {time_in_words(seconds)} one after another"


def in_words(state: "RunState") -> str:
    """Status, step, share that is explained, reason and faults of a run."""
    words = [f"{state.state} at step {state.step}" if state.step else state.state]
    if state.explained is not None:
        words.append(f"explains {100 * state.explained:.1f} % of the mean image's error")
    words += [state.message] if state.message else []
    return "; ".join([*words, *state.faults])


def _reasons(runs: "list[RunState]") -> Iterator[str]:
    """Why runs are not done: one by one, or of many each reason with the number of its runs."""
    if len(runs) <= SHOWN:
        yield from (f"{run.title}: {in_words(run)}" for run in runs)
        return
    groups: dict[str, list[str]] = {}
    for run in runs:
        reason = "; ".join(filter(None, (run.state, run.message, *run.faults)))
        groups.setdefault(reason, []).append(run.title)
    for reason, titles in islice(groups.items(), SHOWN):
        some = "; ".join(titles[:3])
        more = "; ..." if len(titles) > 3 else ""
        yield f"{len(titles):,} runs: {reason} ({some}{more})"
    if len(groups) > SHOWN:
        yield f"and {len(groups) - SHOWN:,} more reasons: --json has all"


def _watch(survey: "Survey", out: Console, as_json: bool) -> "Standing":
    """Say how a study stands whenever that has changed, until nothing is left; how it ended."""
    if as_json:
        return _until_complete(survey, _print_json)
    if not out.is_terminal:
        standing = _until_complete(survey, lambda standing: say(out, _one_line(standing)))
        for line in _reasons([run for run in standing.runs if not run.complete]):
            say(out, line)
        return standing
    from rich.live import Live
    from rich.text import Text

    with Live(console=out, auto_refresh=False) as live:

        def draw(standing: "Standing") -> None:
            text = "\n".join(harmless(line) for line in lines(standing))
            live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

        return _until_complete(survey, draw)


def _until_complete(survey: "Survey", show: "Callable[[Standing], None]") -> "Standing":
    """Show each change of a study until no run is left, or Ctrl-C; how it stands then."""
    shown = standing = survey.read()
    show(standing)
    try:
        while standing.left or not standing.runs:
            time.sleep(WATCH_EVERY)
            standing = survey.read()
            if standing != shown:
                show(standing)
                shown = standing
    except KeyboardInterrupt:
        pass
    return standing


def _one_line(standing: "Standing") -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(standing.counts.items()))
    return f"{counts or 'no run yet'}; {left_in_words(standing)}" if standing.left else counts


def _print_json(standing: "Standing") -> None:
    left = {
        "runs": len(standing.left),
        "at_work": standing.at_work,
        "seconds_per_run": standing.seconds_per_run,
        "runs_per_hour": standing.per_hour,
        "seconds": standing.seconds_left if standing.left else 0.0,
    }
    runs = [_as_dict(run) for run in standing.runs]
    found: dict[str, Any] = {"counts": Counter(standing.counts), "left": left, "runs": runs}
    print(json.dumps(found, allow_nan=False), flush=True)


def _as_dict(state: "RunState") -> dict[str, object]:
    return {
        "run": state.folder.name,
        "title": state.title,
        "state": state.state,
        "step": state.step,
        "message": state.message,
        "seconds": state.seconds,
        "faults": list(state.faults),
        "explained": state.explained,
        "complete": state.complete,
        "at_work": state.at_work,
    }
