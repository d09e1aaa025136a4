"""A small study of a model that a file can hold in the middle of its training."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from bench.executors.inline import run_inline
from bench.executors.jobs import JobQueue
from bench.plan import Request, plan
from bench.score import of_one_run
from bench.store.claims import Claims
from bench.store.record import Status, read_records
from bench.store.study import write_study
from bench.worker import Job, Progress, announce

LIMIT = 300  # seconds for any event: never reached but where it does not come
STEPS = 12
GATE = 6  # the last step before the file `hold` stops a training

MODEL = f"""
import os, time
from pathlib import Path
from bench.models import BetaVAE


class Held(BetaVAE):
    def objective(self, x, step, generator):
        Path(f"process-{{os.getpid()}}").touch()
        while step > {GATE} and Path("hold").exists():
            time.sleep(0.01)
        if Path("slowly").exists():
            time.sleep(0.3)
        return super().objective(x, step, generator)
"""

Results = dict[int, tuple[str, int, dict[str, float]]]


def until(event: Callable[[], Any], what: str) -> None:
    limit = time.monotonic() + LIMIT
    while not event():
        assert time.monotonic() < limit, f"waited in vain until {what}"
        time.sleep(0.02)


def alive(process: int) -> bool:
    """Whether a process is there, and not merely its exit code that nobody has asked for."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    ).stdout.strip()
    return bool(shown) and not shown.startswith("Z")


class Study:
    """A study of `seeds` runs in the folder `study` of a folder, which is the working directory.

    Attributes:
        here: the folder.
        said: what reporters were told: what happened, the seed of the run, and what to it.
    """

    def __init__(self, here: Path, seeds: int) -> None:
        self.here = here
        self.said: list[tuple[str, int, str]] = []
        self.folder = Path("study")
        (here / "model.py").write_text(MODEL)
        request = Request(
            models="model.py:Held",
            dataset="toy",
            preset="smoke",
            seeds=str(seeds),
            steps=STEPS,
            metrics="mig",
            output=self.folder,
        )
        planned = plan(request)
        self.study = planned.study
        self.jobs = [
            Job(
                run,
                planned.run_folder(run),
                of_one_run(planned.definitions),
                checkpoint_seconds=0,
            )
            for run in planned.runs
        ]

    def carry_out(self, executor: Callable[..., bool]) -> bool:
        """What an executor makes of the study; whether a signal stopped it."""
        reporter = _Reporter(self.said)
        with Claims(self.folder) as claims:
            write_study(self.folder, self.study)
            for job in self.jobs:
                announce(job)
            return executor(JobQueue(self.jobs, reporter, claims), reporter)

    def at_the_gate(self) -> int:
        """How many runs are held, or about to be."""
        return len(list(self.folder.glob("runs/*/checkpoint.previous.pt")))

    @contextlib.contextmanager
    def once_at_the_gate(self, act: Callable[[], None], runs: int = 1) -> Iterator[None]:
        """Hold the trainings inside, until so many runs are held and `act` has been called."""
        hold = self.here / "hold"
        hold.touch()

        def watch() -> None:
            try:
                until(lambda: self.at_the_gate() == runs, "runs are held")
                act()
            finally:
                hold.unlink()

        thread = threading.Thread(target=watch)
        thread.start()
        yield
        thread.join()

    def processes(self) -> list[int]:
        """The processes that have trained."""
        return [int(path.name.partition("-")[2]) for path in self.here.glob("process-*")]

    def results(self) -> Results:
        """By seed the state of each run, its step and its scores."""
        return {
            record.run.seed: (
                record.status.state,
                record.status.step,
                {name: score.value for name, score in record.scores.items()},
            )
            for record in read_records(self.folder)
        }


class _Reporter:
    def __init__(self, said: list[tuple[str, int, str]]) -> None:
        self._said = said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def started(self, job: Job) -> None:
        self._note("started", job, "")

    def progress(self, job: Job, progress: Progress) -> None:
        self._note("progress", job, progress.note or progress.phase)

    def ended(self, job: Job, status: Status) -> None:
        self._note("ended", job, status.state)

    def stopping(self) -> None:
        self._said.append(("stopping", -1, ""))

    def _note(self, what: str, job: Job, words: str) -> None:
        self._said.append((what, job.run.seed, words))


def undisturbed(here: Path, seeds: int) -> Results:
    """What comes out in this process, one run after another."""
    study = Study(here, seeds)
    assert not study.carry_out(run_inline)
    return study.results()
