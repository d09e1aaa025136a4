"""What runs will take in time and disk: what like runs took.

Like are runs of the same model, network, image size and batch that were finished on this machine,
in this study or in those beside it; or a short pilot.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import RequestError
from bench.execute import Options, Outstanding
from bench.plan import Plan
from bench.store.environment import environment
from bench.store.record import (
    CHECKPOINT,
    ENVIRONMENT,
    REPRESENTATION,
    SETTINGS,
    Definition,
    read_scores,
    read_status,
)
from bench.store.run import Run, read_run
from bench.worker import Job, run_job

_LOOKED_AT = 500  # run folders of a study that are looked at for like runs
_LIKE = 10  # runs of each kind that are measured
_PILOT_STEPS, _PILOT_ROWS = 50, 10_000


@dataclass(frozen=True)
class Estimate:
    """What the runs that are to do will take; None where that is not known.

    Attributes:
        seconds: of all of them, one after another.
        largest: of the longest of them.
        size: bytes on disk.
        runs: how many of them the estimate covers.
        basis: what it is based on, or why there is none.
    """

    seconds: float | None
    largest: float | None
    size: int | None
    runs: int
    basis: str

    def wall(self, slots: int) -> float | None:
        """Seconds until the last has ended, with so many side by side."""
        if self.seconds is None or self.largest is None:
            return None
        return max(self.seconds / slots, self.largest)


_Kind = tuple[Any, ...]


@dataclass(frozen=True)
class _Measured:
    """What one run took, in parts that scale."""

    folder: Path
    step: float
    row: float
    fixed: float
    scores: Mapping[str, float]
    size: tuple[float, float] | None  # bytes per row, and the others


def _kind(run: Run) -> _Kind:
    """What decides the time of a step, as far as a record tells it."""
    network = run.settings.get("network")
    return run.model, network, tuple(run.image_shape), run.batch_size, run.precision


def estimate(todo: Outstanding, options: Options, with_pilot: bool) -> Estimate:
    """What is left to do of a plan will take.

    Args:
        todo: what is left.
        options: how it is carried out.
        with_pilot: whether kinds of runs without a like run are tried for some steps.
    """
    if not todo.runs:
        return Estimate(0.0, 0.0, 0, 0, "nothing is to do")
    kinds: dict[_Kind, list[Run]] = {}
    for run in todo.runs:
        kinds.setdefault(_kind(run), []).append(run)
    like = _like_runs(todo, options.threads, kinds)
    finished, pilots = sum(map(len, like.values())), 0
    if with_pilot:
        for kind in kinds.keys() - like.keys():
            missing = [d for d in todo.plan.definitions if not _seconds_of(d.name, like)]
            measured = _pilot(kinds[kind][0], todo, options, missing)
            if measured is not None:
                like[kind] = [measured]
                pilots += 1
    metrics = {d.name: _seconds_of(d.name, like) for d in todo.plan.definitions}
    scoring = sum(filter(None, metrics.values()))
    encoded = {run.folder for run in todo.encoded}
    times: list[float] = []
    sizes: list[float] = []
    for kind, runs in kinds.items():
        if kind not in like:
            continue
        step, row, fixed = (
            median(getattr(measured, part) for measured in like[kind])
            for part in ("step", "row", "fixed")
        )
        on_disk = [measured.size for measured in like[kind] if measured.size]
        for run in runs:
            steps = 0 if run.folder in encoded else run.steps
            times.append(steps * step + run.rows * row + fixed + scoring)
            if on_disk:
                per_row, others = (median(sizes) for sizes in zip(*on_disk, strict=True))
                sizes.append(run.rows * per_row + others)
    unscored = [name for name, seconds in metrics.items() if seconds is None]
    basis = _basis(todo, len(times), finished, pilots, unscored if times else [])
    if not times:
        return Estimate(None, None, None, 0, basis)
    size = round(sum(sizes) / len(sizes) * len(times)) if sizes else None
    return Estimate(sum(times), max(times), size, len(times), basis)


def _basis(
    todo: Outstanding, covered: int, finished: int, pilots: int, unscored: Sequence[str]
) -> str:
    if not covered:
        where = " and ".join(dict.fromkeys(map(str, _roots(todo.plan))))
        return f"no estimate: no like run was finished on this machine in {where}"
    parts = (
        [f"{finished} like runs (same model, network, image size and batch)"] if finished else []
    )
    parts += [f"a pilot of each of {pilots} kinds of runs"] if pilots else []
    words = f"from {' and '.join(parts)} on this machine"
    if covered < len(todo.runs):
        words += f"; for {covered:,} of {len(todo.runs):,} runs only"
    if unscored:
        words += f"; without {', '.join(unscored)}, which no like run has"
    return words


def _seconds_of(metric: str, like: Mapping[_Kind, Sequence[_Measured]]) -> float | None:
    seconds = [m.scores[metric] for runs in like.values() for m in runs if metric in m.scores]
    return median(seconds) if seconds else None


def _roots(plan: Plan) -> list[Path]:
    """Folders of studies that may hold like runs."""
    return [plan.folder.parent, Path("results")]


def _like_runs(
    todo: Outstanding, threads: int, kinds: Iterable[_Kind]
) -> dict[_Kind, list[_Measured]]:
    """The measures of finished runs of these kinds, at most some of each."""
    wanted = set(kinds)
    found: dict[_Kind, list[_Measured]] = {}
    processor = environment(todo.device, threads)["processor"]
    for folder in _run_folders(todo.plan):
        try:
            run = read_run(folder / SETTINGS)
            kind = _kind(run)
            if kind not in wanted or len(found.get(kind, ())) >= _LIKE:
                continue
            where = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
            same = (where["processor"], where["device"], where["threads"])
            if same == (processor, todo.device, threads) and (measured := _measured(folder, run)):
                found.setdefault(kind, []).append(measured)
        except (OSError, ValueError, KeyError, TypeError, RequestError):
            continue  # a broken record tells nothing, and is refused where it matters
    return found


def _run_folders(plan: Plan) -> Iterator[Path]:
    """Folders of runs in the study and in those beside it, some of each."""
    seen = set()
    studies = [plan.folder]
    for root in _roots(plan):
        studies += [path.parent for p in ("*/runs", "*/*/runs") for path in sorted(root.glob(p))]
    for study in studies:
        if study.resolve() in seen:
            continue
        seen.add(study.resolve())
        names = sorted(folders_in(study / "runs"))
        for name in names[:: max(1, len(names) // _LOOKED_AT)]:
            yield study / "runs" / name


def folders_in(folder: Path) -> set[str]:
    """The names of what is in a folder; none where there is no folder."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _measured(folder: Path, run: Run) -> _Measured | None:
    """What a run took; None for one that is not finished."""
    status = read_status(folder)
    if status.state not in ("done", "collapsed"):
        return None
    seconds = dict(status.seconds)
    scores = {name: s.seconds for name, s in read_scores(folder).items() if s.seconds is not None}
    training, encoding = seconds.get("training", 0.0), seconds.get("encoding", 0.0)
    size = None
    if (folder / REPRESENTATION).exists():  # else it was copied without what is large
        per_row = (folder / REPRESENTATION).stat().st_size / run.rows
        with os.scandir(folder) as entries:
            others = sum(
                entry.stat().st_size
                for entry in entries
                if entry.is_file() and entry.name not in (REPRESENTATION, CHECKPOINT)
            )
        size = per_row, float(others)
    return _Measured(
        folder,
        training / run.steps if run.steps else 0.0,
        encoding / run.rows,
        seconds.get("fitting", 0.0),
        scores,
        size,
    )


def _pilot(
    run: Run, todo: Outstanding, options: Options, definitions: Sequence[Definition]
) -> _Measured | None:
    """Some steps of a run, in a folder that is removed afterwards; None where that fails."""
    short = replace(run, steps=min(run.steps, _PILOT_STEPS), rows=min(run.rows, _PILOT_ROWS))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            short,
            Path(folder) / "run",
            tuple(definitions),
            device=todo.device,
            threads=options.threads,
            data_dir=options.data_dir,
        )
        run_job(job)
        return _measured(job.folder, short)
