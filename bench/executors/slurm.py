"""Runs as jobs of SLURM, one each, through submitit.

This process keeps a number of jobs in the queue and waits for them; it may be killed, and the jobs
go on. A job claims its run itself, so that no other process takes it, and writes how far it is into
the run's status, as nobody may be listening. Before its time is over it writes a checkpoint and
queues itself again. What SLURM says of the jobs is asked of squeue, which needs no accounting:
a job's comment is its run's folder, so that another `bench run` finds the jobs of a killed one.
"""

import contextlib
import getpass
import io
import logging
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError
from bench.executors import Reporter
from bench.executors.cluster import Cluster
from bench.executors.jobs import JobQueue
from bench.executors.processes import counting_signals, environment_of_a_worker
from bench.store.claims import Claims
from bench.store.record import (
    SCORED,
    UNSUCCESSFUL,
    Status,
    read_scores,
    read_status,
    write_status,
)
from bench.worker import Job, Progress, run_job

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

LOGS = "slurm"  # folder of the study: scripts and logs of jobs that have not ended well

POLL = 1.0  # seconds between two looks at the runs' folders
ASK_EVERY = 10.0  # seconds between two calls of squeue
STATUS_EVERY = 10.0  # seconds between two statuses of a job that is training
SETTLE = 30.0  # seconds until a shared file system shows here what a job has written elsewhere
SIGNAL_BEFORE = 90.0  # seconds from SLURM's warning to the end of a job's time
REQUEUED = 1000  # times that a job may queue itself again; without any progress it does not

_FINAL = (*SCORED, *UNSUCCESSFUL)
_ENDED = {  # states of SLURM's jobs
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}
_NOT_ITS_FAULT = {"BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT"}


@dataclass
class _Submitted:
    """A run whose job is in the queue.

    Attributes:
        run: the run.
        job: submitit's.
        reached: how far the run was when the job was submitted.
        asked: when squeue has to be asked at the earliest to know of the job.
        shown: what has been reported of it.
        ended: when it was first seen that the job is over, by the monotonic clock.
    """

    run: Job
    job: Any
    reached: tuple[int, int]
    asked: float
    shown: tuple[int, str] | None = None
    ended: float | None = None


def run_on_slurm(
    cluster: Cluster,
    study: Path,
    jobs: JobQueue,
    slots: int,
    reporter: Reporter,
    *,
    fail_fast: bool = False,
    ended: Callable[[Job, Status], None] = lambda job, status: None,
) -> bool:
    """Carry out jobs through SLURM, with at most `slots` of them in the queue at a time.

    Ctrl-C or SIGTERM takes waiting jobs out of the queue, and lets the others write a checkpoint
    and end; a second one cancels them. After a kill of this process all stay in the queue.

    Args:
        cluster: what a run needs, and the options of sbatch.
        study: the study's folder, which all nodes share.
        jobs: what to do.
        slots: number of jobs in the queue.
        reporter: told what happens.
        fail_fast: whether the first run that ends without scores stops the others.
        ended: called for each job that has ended, with its status.

    Returns:
        Whether a signal stopped it.

    Raises:
        RequestError: SLURM takes no job; the message is what sbatch says.
    """
    driver = _Driver(jobs, slots, cluster, reporter, study.absolute(), ended)
    with counting_signals() as signals:
        try:
            return driver.run(signals, fail_fast)
        finally:
            driver.tidy()


class _Driver:
    """Keeps jobs in SLURM's queue and waits for them."""

    def __init__(
        self,
        jobs: JobQueue,
        slots: int,
        cluster: Cluster,
        reporter: Reporter,
        study: Path,
        ended: Callable[[Job, Status], None],
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._cluster = cluster
        self._reporter = reporter
        self._study = study
        self._ended = ended
        self._executor = _executor(cluster, study / LOGS)
        self._submitted: list[_Submitted] = []
        self._reported: set[str] = set()  # runs that have been reported as started
        self._queue: Mapping[str, tuple[str, str]] = {}  # number and state of jobs, by comment
        self._asked = self._tried = -math.inf
        self._failed = False

    def run(self, signals: list[int], fail_fast: bool) -> bool:
        """Until nothing is left; whether a signal stopped it."""
        stopping = cancelled = False
        while self._jobs.left or self._submitted:
            self._ask()
            while len(self._submitted) < self._slots and (job := self._jobs.take()):
                self._give(job)
            time.sleep(POLL)
            for submitted in list(self._submitted):
                self._look(submitted, stopping, cancelled)
            if (signals or (self._failed and fail_fast)) and not stopping:
                stopping = True
                self._jobs.clear()
                self._reporter.stopping()
                for submitted in self._submitted:
                    self._stop(submitted)
            if len(signals) > 1 and not cancelled:
                cancelled = True
                for submitted in self._submitted:
                    submitted.job.cancel(check=False)
        return bool(signals)

    def tidy(self) -> None:
        """Remove what submitit leaves of jobs that are over."""
        for link in (self._study / LOGS).glob(".submission_file_*"):
            if not link.exists():
                link.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it is not empty
            (self._study / LOGS).rmdir()

    # --- submitting

    def _give(self, job: Job) -> None:
        """Submit a run's job, or find it in the queue."""
        from submitit import SlurmJob

        data_dir = None if job.data_dir is None else os.path.abspath(job.data_dir)
        sent = replace(job, folder=job.folder.absolute(), data_dir=data_dir)
        number, state = self._queue.get(str(sent.folder), ("", ""))
        if number and state not in _ENDED:
            found: Any = SlurmJob(self._study / LOGS, number)
            self._add(job, found)
            return
        before = read_status(job.folder)
        if before.state != "pending":  # what an earlier attempt came to is not this one's end
            write_status(job.folder, replace(before, state="pending", message=""))
        try:
            self._add(job, self._submit(sent))
        except RequestError:
            self._jobs.put_back(job)
            if not self._submitted:
                raise
            self._slots = len(self._submitted)  # a limit of the cluster: the rest waits here

    def _add(self, job: Job, submitted: Any) -> None:
        self._jobs.ended(job)  # its claim is for SLURM's job to take
        asked = time.monotonic() + ASK_EVERY
        self._submitted.append(_Submitted(job, submitted, _reached(job.folder), asked))

    def _submit(self, sent: Job) -> Any:
        from submitit.core.utils import FailedSubmissionError, UncompletedJobError

        name = {} if self._cluster.test else {"job_name": sent.run.folder}
        comment = {} if self._cluster.test else {"comment": str(sent.folder)}
        try:
            self._executor.update_parameters(**name, **comment)
            variables = environment_of_a_worker(sent.threads)
            # submitit prints what sbatch says, which the error says as well
            with _environment(variables), contextlib.redirect_stderr(io.StringIO()):
                return self._executor.submit(Attempt(sent, self._study))
        except (UncompletedJobError, FailedSubmissionError, OSError) as error:
            words = " ".join(str(error).replace("sbatch: error:", " ").split())
            raise RequestError(f"--executor slurm: sbatch takes no job ({words[:300]})") from None

    # --- waiting

    def _ask(self) -> None:
        """Ask squeue about all jobs, now and then."""
        if self._cluster.test or time.monotonic() - self._tried < ASK_EVERY:
            return
        began = self._tried = time.monotonic()
        command = ["squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}"]
        try:
            answer = subprocess.run(
                [*command, "--format=%i|%T|%k"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):  # it may be back the next time
            return
        queue: dict[str, tuple[str, str]] = {}
        for line in answer.stdout.splitlines():
            number, state, comment = line.split("|", 2)
            if comment not in queue or queue[comment][1] in _ENDED:
                queue[comment] = number, state
        self._queue, self._asked = queue, began

    def _look(self, submitted: _Submitted, stopping: bool, cancelled: bool) -> None:
        """Pass on how far a run is, and take it back if its job is over."""
        job, status = submitted.run, read_status(submitted.run.folder)
        if status.state == "running":
            self._show(submitted, status)
        returned = submitted.job.paths.result_pickle.exists()
        slurm = self._state(submitted)
        if status.state in _FINAL and (slurm is not None or (returned and not self._cluster.test)):
            self._end(submitted, status)
            return
        if slurm is None:
            return
        now = time.monotonic()
        submitted.ended = submitted.ended or now
        if now - submitted.ended < (0 if self._cluster.test else SETTLE):
            return
        if returned and submitted.job.exception() is None and not submitted.job.result():
            self._submitted.remove(submitted)  # another process is at the run
            self._jobs.put_back(job)
        elif stopping and status.state == "pending":
            self._submitted.remove(submitted)
        elif stopping or status.state == "interrupted":
            words = "stopped at once by Ctrl-C" if cancelled else status.message
            self._end(submitted, replace(status, state="interrupted", message=words))
        elif slurm in _NOT_ITS_FAULT and _reached(job.folder) > submitted.reached:
            self._submitted.remove(submitted)
            self._jobs.put_back(job)
        else:
            self._end(submitted, _unsaid(submitted, slurm, status))

    def _state(self, submitted: _Submitted) -> str | None:
        """How a job has ended, in SLURM's words; None if it has not."""
        if self._cluster.test:
            return "COMPLETED" if submitted.job.done() else None
        if self._asked < submitted.asked:
            return None
        number, state = self._queue.get(str(submitted.run.folder.absolute()), ("", ""))
        if number != submitted.job.job_id:  # it ended long ago
            return "COMPLETED"
        return state if state in _ENDED else None

    def _show(self, submitted: _Submitted, status: Status) -> None:
        job = submitted.run
        if job.run.identity not in self._reported:
            self._reported.add(job.run.identity)
            self._reporter.started(job)
        if submitted.shown == (status.step, status.message):
            return
        submitted.shown = status.step, status.message
        phase, _, note = status.message.partition(": ")
        self._reporter.progress(job, Progress(phase or "training", status.step, job.run.steps))
        if note:
            self._reporter.progress(job, Progress(phase, status.step, job.run.steps, note=note))

    def _end(self, submitted: _Submitted, status: Status) -> None:
        job = submitted.run
        self._submitted.remove(submitted)
        self._failed = self._failed or status.state in UNSUCCESSFUL
        with contextlib.suppress(OSError):
            if read_status(job.folder) != status:
                write_status(job.folder, status)
        if status.state in SCORED:
            paths = submitted.job.paths
            for path in (paths.stdout, paths.stderr, paths.submission_file, paths.submitted_pickle):
                path.unlink(missing_ok=True)
            paths.result_pickle.unlink(missing_ok=True)
        if job.run.identity not in self._reported:
            self._reporter.started(job)
        self._reporter.ended(job, status)
        self._ended(job, status)

    def _stop(self, submitted: _Submitted) -> None:
        """Take a job out of the queue if it has not started, else ask it to end."""
        number = submitted.job.job_id
        with contextlib.suppress(OSError):
            if self._cluster.test:
                os.kill(int(number), signal.SIGTERM)
                return
            subprocess.run(["scancel", "--state=PENDING", number], check=False)
            subprocess.run(["scancel", "--state=RUNNING", "--signal=TERM", number], check=False)


def _reached(folder: Path) -> tuple[int, int]:
    """How far a run is: its step, and how many scores it has."""
    return read_status(folder).step, len(read_scores(folder))


def _unsaid(submitted: _Submitted, slurm: str, status: Status) -> Status:
    """The status of a run whose job has ended without saying how."""
    log = submitted.job.paths.stderr
    if slurm == "TIMEOUT":
        words = "the job's time was over before the run got any further: --executor-option time=..."
        return replace(status, state="timeout", message=words)
    if slurm == "OUT_OF_MEMORY":
        words = "its job ran out of memory: --executor-option memory=... gives it more"
        return replace(status, state="out-of-memory", message=words)
    words = f"its job {submitted.job.job_id} ended without a word ({slurm}); {log} says more"
    return replace(status, state="failed", message=words)


def _executor(cluster: Cluster, folder: Path) -> Any:
    """Submitit's executor with all that every job needs."""
    import submitit

    logging.getLogger("submitit").setLevel(logging.CRITICAL)  # it prints, also on stdout
    warning = int(min(SIGNAL_BEFORE, cluster.seconds / 3))
    if cluster.test:
        local = submitit.LocalExecutor(folder, max_num_timeout=REQUEUED)
        local.update_parameters(timeout_min=cluster.seconds / 60, signal_delay_s=warning)
        return local
    further = {key: value == "true" or value for key, value in cluster.sbatch.items()}
    slurm = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUED)
    slurm.update_parameters(
        time=max(1, round(cluster.seconds / 60)),
        signal_delay_s=warning,
        cpus_per_task=cluster.cpus,
        srun_args=[f"--cpus-per-task={cluster.cpus}"],  # which srun has not from sbatch since 22.05
        wckey=None,
        **({} if cluster.memory is None else {"mem": f"{cluster.memory >> 20}M"}),
        **({"gpus_per_node": int(cluster.gpus)} if cluster.gpus else {}),
        additional_parameters=further,
    )
    return slurm


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Any:
    """Environment variables that a job which is submitted inside takes along."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- in a job


class Attempt:
    """What a job does: a run, or what is missing of it, until it is done or the time is over."""

    def __init__(self, job: Job, study: Path, reached: tuple[int, int] = (-1, -1)) -> None:
        """An attempt.

        Args:
            job: the run, with absolute paths.
            study: the study's folder.
            reached: how far the run was at the end of the attempt before.
        """
        self.job = job
        self.study = study
        self.reached = reached
        self.began = 0.0
        self._stop: threading.Event | None = None
        self._work: threading.Thread | None = None

    def __call__(self) -> bool:
        """Carry out the run, unless another process is at it; whether it did.

        The run has a thread of its own: signals arrive in the first one, where submitit waits for
        `checkpoint`.
        """
        self.began = time.monotonic()
        stop = self._stop = threading.Event()
        with Claims(self.study, sweep=False) as claims:
            if not claims.claim(self.job.folder.name):
                print(f"another process is at {self.job.folder}", flush=True)
                return False

            def end(number: int, frame: FrameType | None) -> None:
                stop.set()

            watch = _Watch(self.job.folder)
            self._work = threading.Thread(
                target=run_job, args=(self.job, watch, stop.is_set), name="run"
            )
            signal.signal(signal.SIGTERM, end)
            self._work.start()
            self._work.join()
        return True

    def checkpoint(self) -> "DelayedSubmission | None":
        """Called by submitit when the time is nearly over: what the job does in its next one."""
        from submitit.core.utils import DelayedSubmission

        if self._stop is None or self._work is None:
            return DelayedSubmission(Attempt(self.job, self.study, self.reached))
        self._stop.set()
        self._work.join()
        status, reached = read_status(self.job.folder), _reached(self.job.folder)
        if status.state != "interrupted":
            return None
        if reached <= self.reached:
            words = "got no further in the time of a whole job: --executor-option time=..."
            write_status(self.job.folder, replace(status, state="timeout", message=words))
            return None
        job = self.job
        if job.timeout is not None:
            left = job.timeout - (time.monotonic() - self.began)
            job = replace(job, timeout=max(1.0, left))
        write_status(
            job.folder, replace(status, state="pending", message="its job is queued again")
        )
        return DelayedSubmission(Attempt(job, self.study, reached))


class _Watch:
    """Writes how far a run is into its status, where whoever waits for it looks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: Status | None = None
        self._last = 0.0
        self._phase = ""
        self._note = ""

    def __call__(self, progress: Progress) -> None:
        if progress.note:
            print(progress.note, flush=True)
            self._note = f"{self._note}; {progress.note}".strip("; ")
        now = time.monotonic()
        if progress.phase == self._phase and now - self._last < STATUS_EVERY:
            return
        status = read_status(self._folder)
        if status.state != "running":  # it has not begun
            return
        self._last, self._phase = now, progress.phase
        step = progress.step if progress.phase == "training" else status.step
        message = progress.phase + (f": {self._note}" if self._note else "")
        write_status(self._folder, replace(status, step=step, message=message))
