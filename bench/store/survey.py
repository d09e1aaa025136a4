"""How the runs of a study stand: what is done, what went wrong, and what the rest will take."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from bench.errors import RequestError
from bench.store.claims import claimed
from bench.store.integrity import MISSING, faults_by_file, lost_runs, missed
from bench.store.record import (
    SCORED,
    SETTINGS,
    UNSUCCESSFUL,
    Record,
    Stamps,
    read_record,
    stamps,
)

KILLED, DAMAGED = "killed", "damaged"  # states that no record has


@dataclass(frozen=True)
class RunState:
    """How a run of a study stands.

    Attributes:
        folder: of the run.
        title: its row and its seed; the folder's name where no record tells.
        row: of the table.
        state: of its status; `killed` where it was under way and no process is at it, `damaged`
            where there is no readable record.
        step: the last training step.
        message: why it ended as it did.
        seconds: that it has taken so far.
        faults: what is missing or damaged.
        explained: as in `Evaluation`.
        at_work: whether a process is at it.
    """

    folder: Path
    title: str
    row: str
    state: str
    step: int = 0
    message: str = ""
    seconds: float = 0.0
    faults: tuple[str, ...] = ()
    explained: float | None = None
    at_work: bool = False

    @property
    def complete(self) -> bool:
        """Whether it is trained and scored, and all its files are there."""
        return self.state in SCORED and not self.faults

    @property
    def left(self) -> bool:
        """Whether it has not ended yet; the same bench run carries it out."""
        return self.at_work or not (self.complete or self.state in UNSUCCESSFUL)


@dataclass(frozen=True)
class Standing:
    """How a study stands.

    Attributes:
        runs: by the name of the run's folder.
    """

    runs: Sequence[RunState]

    @property
    def counts(self) -> Counter[str]:
        """Number of runs by state."""
        return Counter(run.state for run in self.runs)

    @property
    def left(self) -> list[RunState]:
        return [run for run in self.runs if run.left]

    @property
    def at_work(self) -> int:
        """Number of runs that processes are at now."""
        return sum(run.at_work for run in self.runs)

    @property
    def seconds_per_run(self) -> float | None:
        """What a finished run has taken on average; None if there is none."""
        return _mean(run.seconds for run in self.runs if run.complete)

    @property
    def per_hour(self) -> float | None:
        """Runs per hour at the present rate; None where nothing runs, or nothing has ended."""
        seconds = self.seconds_per_run
        return None if not seconds or not self.at_work else 3600 * self.at_work / seconds

    @property
    def seconds_left(self) -> float | None:
        """What is left takes, with as many runs side by side as now, or else one after another.

        A run takes as long as the finished ones of its row, or of the study. Of those under way a
        half is left, as nothing tells how far they are.
        """
        overall = self.seconds_per_run
        if overall is None:
            return None
        rows: dict[str, list[float]] = {}
        for run in self.runs:
            if run.complete:
                rows.setdefault(run.row, []).append(run.seconds)
        times = [
            (_mean(rows.get(run.row, ())) or overall) * (0.5 if run.at_work else 1.0)
            for run in self.left
        ]
        return max(sum(times) / max(1, self.at_work), max(times, default=0.0))


class Survey:
    """How a study stands, read again and again: only what has changed is read anew."""

    def __init__(self, study: Path) -> None:
        self._study = study
        self._known: dict[str, tuple[Stamps, RunState, Mapping[str, str]]] = {}

    def read(self) -> Standing:
        """How it stands now, also where a record cannot be read."""
        folders = [path.parent for path in (self._study / "runs").glob(f"*/{SETTINGS}")]
        self._known = {folder.name: self._looked_at(folder) for folder in folders}
        unfinished = [n for n, (_, state, _) in self._known.items() if state.state not in SCORED]
        at_work = claimed(self._study, unfinished)
        for name in unfinished:  # it may have ended before nobody was at it any more
            if name not in at_work:
                self._known[name] = self._looked_at(self._study / "runs" / name)
        faults = missed({state.folder: files for _, state, files in self._known.values()})
        runs = [
            RunState(folder, folder.name, folder.name, DAMAGED, faults=(f"{SETTINGS} {MISSING}",))
            for folder in lost_runs(self._study)
        ]
        for _, state, _ in self._known.values():
            busy = state.folder.name in at_work
            killed = state.state == "running" and not busy
            state = replace(state, faults=faults[state.folder], at_work=busy)
            runs.append(replace(state, state=KILLED) if killed else state)
        return Standing(sorted(runs, key=lambda run: run.folder.name))

    def _looked_at(self, folder: Path) -> tuple[Stamps, RunState, Mapping[str, str]]:
        now, known = stamps(folder), self._known.get(folder.name)
        return known if known is not None and known[0] == now else (now, *_state_of(folder))


def survey(study: Path) -> Standing:
    """How every run of a study stands, also where its record cannot be read."""
    return Survey(study).read()


def _state_of(folder: Path) -> tuple[RunState, Mapping[str, str]]:
    """How a run stands by its record alone, and what is wrong with each of its files."""
    try:
        record = read_record(folder)
    except RequestError as error:
        return RunState(folder, folder.name, folder.name, DAMAGED, message=str(error)), {}
    return _by_record(record), faults_by_file(record)


def _by_record(record: Record) -> RunState:
    status, evaluation = record.status, record.evaluation
    return RunState(
        folder=record.folder,
        title=record.run.title,
        row=record.run.label,
        state=status.state,
        step=status.step,
        message=status.message,
        # drawing the data is a part of the training
        seconds=sum(time for phase, time in status.seconds.items() if phase != "data"),
        explained=None if evaluation is None else evaluation.explained,
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
