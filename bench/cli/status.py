"""The command `bench status`."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Json
from bench.console import say, stdout

if TYPE_CHECKING:
    from bench.store.integrity import RunState

STATUS_HELP = """Say how the runs of a study stand, and what their folders have lost.

[bold]Example[/bold]: bench status results/dsprites-quick

One line per status with the number of runs, then each run that is not trained and scored, or whose
files are missing or damaged, with the reason. Nothing is written. The same bench run carries out
what is left.

Exit code 0 if all runs are trained, scored and whole, else 1.
"""


def status(
    folder: Annotated[Path, typer.Argument(help="A study's folder, e.g. results/dsprites-quick")],
    as_json: Json = False,
) -> None:
    from bench.store.integrity import survey
    from bench.store.study import read_study

    read_study(folder)
    states, out = survey(folder), stdout()
    counts = Counter(state.state for state in states)
    if as_json:
        runs = [_as_dict(state) for state in states]
        print(json.dumps({"counts": counts, "runs": runs}, allow_nan=False))
    else:
        for name, count in counts.items():
            say(out, f"{name:12} {count}")
        if not states:
            say(out, "no run yet: bench run fills the folder")
        for state in states:
            if not state.complete or state.message:
                say(out, f"{state.title}: {in_words(state)}")
    raise typer.Exit(0 if states and all(state.complete for state in states) else 1)


def in_words(state: "RunState") -> str:
    """Status, step, share that is explained, reason and faults of a run."""
    words = [f"{state.state} at step {state.step}" if state.step else state.state]
    if state.state == "running":
        words[0] += " (or killed, if no bench run is at work)"
    if state.explained is not None:
        words.append(f"explains {100 * state.explained:.1f} % of the mean image's error")
    words += [state.message] if state.message else []
    return "; ".join([*words, *state.faults])


def _as_dict(state: "RunState") -> dict[str, object]:
    return {
        "run": state.folder.name,
        "title": state.title,
        "state": state.state,
        "step": state.step,
        "message": state.message,
        "faults": list(state.faults),
        "explained": state.explained,
        "complete": state.complete,
    }
