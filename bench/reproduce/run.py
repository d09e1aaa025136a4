"""`bench reproduce`: what a published table needs is run, scored twice, and set beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError, UnknownNameError
from bench.execute import Options, carry_out
from bench.plan import Request, plan
from bench.reproduce.cost import ASSUMED, Cost, cost, steps_of, total
from bench.reproduce.published import Part, Table
from bench.reproduce.reuse import elsewhere, take_over
from bench.reproduce.scores import score_by_paper
from bench.reproduce.table import MANIFEST, print_reproduction
from bench.reproduce.tables import TABLES
from bench.score import DEFAULT
from bench.seeds import parse_seeds
from bench.store.files import read_json, write_json
from bench.store.study import ELSEWHERE, unwritable


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line.

    budget: share of the published steps; seeds: None for as many as the paper has; parts: None
    for all; output: None for results/NAME; weights: folder of released weights.
    """

    name: str
    budget: float = 1.0
    seeds: str | None = None
    parts: str | None = None
    output: Path | None = None
    weights: Path | None = None
    data_dir: str | None = None

    @property
    def command(self) -> str:
        """The command without places of this machine."""
        words = ["bench reproduce", self.name]
        words += [f"--budget {self.budget:g}"] if self.budget != 1 else []
        words += [f"--seeds {self.seeds}"] if self.seeds else []
        words += [f"--parts {self.parts}"] if self.parts else []
        words += ["--weights DIR"] if self.weights else []
        return " ".join(words)


def reproduce(asked: Asked, options: Options, out: Console, talk: Console) -> int:
    """Run what is missing and write the table; the exit code. Raises RequestError."""
    table, parts = resolved(asked)
    folder = asked.output or Path("results") / _default_name(asked)
    _check(folder, asked)
    estimated = costs(asked, parts)
    for line in (*map(str, estimated), ASSUMED) if estimated else ["nothing to train, minutes"]:
        talk.print(line, markup=False, highlight=False, soft_wrap=True)
    requests = [(part, request(part, asked, folder)) for part in parts if part.steps]
    # whatever is wrong with one is said before another runs
    plans = [plan(each) for _, each in requests]
    shared = [(planned, elsewhere(planned, folder.parent)) for planned in plans]
    for run, there in (each for _, found in shared for each in found):
        talk.print(f"{run.title}: from {there}", markup=False, highlight=False, soft_wrap=True)
    if options.dry_run:
        for _, each in requests:
            carry_out(each, options, talk, talk)
        return 0
    _write_manifest(folder, asked)
    for planned, found in shared:
        take_over(planned, found)
    code = 0
    for part, each in requests:
        code = max(code, carry_out(each, options, talk, talk))
        if code == 130:
            return code
        with talk.status(f"{part.name}: the paper's protocol") as status:
            score_by_paper(folder / part.name, table, part, asked.command, status.update)
    if untrained := [part for part in parts if not part.steps]:
        from bench.reproduce.untrained import measure

        with talk.status(table.name) as status:
            skipped = measure(table, untrained, folder, asked, status.update)
        for line in skipped:
            talk.print(line, markup=False, highlight=False, soft_wrap=True)
    print_reproduction(folder, out, talk)
    return code


def resolved(asked: Asked) -> tuple[Table, list[Part]]:
    """The table and the parts of it that were asked for. Raises RequestError."""
    if asked.name not in TABLES:
        raise UnknownNameError("table", asked.name, TABLES)
    table = TABLES[asked.name]
    if not 0 < asked.budget <= 1:
        raise RequestError(f"--budget {asked.budget:g}: give a share of the steps, above 0 up to 1")
    if asked.budget != 1 and not table.trained:
        raise RequestError(f"{table.name} trains nothing: leave out --budget")
    if asked.seeds is not None and not table.trained:
        raise RequestError(f"{table.name} trains nothing: leave out --seeds")
    if asked.weights is not None and not any(part.weights for part in table.parts):
        raise RequestError(f"{table.name} needs no released weights: leave out --weights")
    known = {part.name: part for part in table.parts}
    if asked.parts is None:
        return table, list(table.parts)
    names = [name.strip() for name in asked.parts.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UnknownNameError(f"part of {table.name}", name, known)
    if not names:
        raise RequestError(f"--parts is empty: choose from {', '.join(known)}")
    return table, [known[name] for name in dict.fromkeys(names)]


def costs(asked: Asked, parts: Sequence[Part]) -> list[Cost]:
    """The cost of each part, and of all where there are several. Raises RequestError."""
    given = None if asked.seeds is None else len(parse_seeds(asked.seeds))
    each = [cost(part, asked.budget, given or part.runs) for part in parts if part.steps]
    return [*each, total(each)] if len(each) > 1 else each


def request(part: Part, asked: Asked, folder: Path) -> Request:
    """A part as the request of a study, in a folder of its own."""
    return Request(
        models=part.models,
        dataset=part.dataset,
        preset="paper",
        seeds=asked.seeds or str(part.runs),
        sets=part.sets,
        sweeps=part.sweeps,
        metrics=",".join(dict.fromkeys((*DEFAULT, *part.metrics))),
        steps=steps_of(part, asked.budget),
        output=folder / part.name,
        data_dir=asked.data_dir,
    )


def _default_name(asked: Asked) -> str:
    return asked.name if asked.budget == 1 else f"{asked.name}-budget{asked.budget:g}"


def _check(folder: Path, asked: Asked) -> None:
    path = folder / MANIFEST
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(f"{folder} is not empty and holds no reproduction: {ELSEWHERE}")
        return
    try:
        manifest = read_json(path)
        name, budget = manifest["name"], manifest["budget"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} cannot be read ({error}): {ELSEWHERE}") from error
    for what, written, now in (("table", name, asked.name), ("budget", budget, asked.budget)):
        if written != now:
            raise RequestError(
                f"{folder} was written with {what} {written}, not {now}: {ELSEWHERE}"
            )


def _write_manifest(folder: Path, asked: Asked) -> None:
    path = folder / MANIFEST
    commands = read_json(path)["commands"] if path.exists() else []
    manifest = {
        "name": asked.name,
        "budget": asked.budget,
        "commands": list(dict.fromkeys([*commands, asked.command])),
    }
    try:
        write_json(path, manifest)
    except OSError as error:
        raise unwritable(folder, error) from error
