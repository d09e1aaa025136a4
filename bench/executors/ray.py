"""Runs on a Ray cluster: one that is started on this machine, or one that is there.

Every run is a task. Ray finds a node with room for it, and keeps the processes of finished tasks
for the next ones. A task tells a mailbox beside the driver how far it is, and learns there whether
it is to stop. Ray itself retries nothing: a run whose node is lost is given to Ray again, and goes
on from its checkpoint where the nodes share the study's folder. Where a node does not see that
folder, the run's files travel: out with the task, and back with its result.
"""

import contextlib
import logging
import math
import os
import signal
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bench
from bench.errors import RequestError
from bench.executors import Reporter
from bench.executors.cluster import Cluster
from bench.executors.jobs import JobQueue
from bench.executors.processes import (
    GRACE,
    counting_signals,
    environment_of_a_worker,
)
from bench.executors.ray_task import STARTING, Home, Mailbox, Reply, carry_out
from bench.store.files import write_text
from bench.store.record import UNSUCCESSFUL, Status, read_status, write_status
from bench.store.transfer import pack, unpack
from bench.worker import Job, Progress, timed_out

LOST_NODES = 5  # that a run may lose, each time to start on another
CRASHES = 1  # of its process


@dataclass
class _Attempt:
    """A run that Ray has been given.

    Attributes:
        job: the run.
        known: the files that were sent with it.
        started: whether it is under way.
        alone: whether it has a node for itself.
        began: when it was seen to start, by the monotonic clock.
        late: whether it was killed after its time.
    """

    job: Job
    known: tuple[str, ...] = ()
    started: bool = False
    alone: bool = False
    began: float = 0.0
    late: bool = False


def run_on_ray(
    cluster: Cluster,
    study: Path,
    jobs: JobQueue,
    slots: int,
    reporter: Reporter,
    *,
    fail_fast: bool = False,
    ended: Callable[[Job, Status], None] = lambda job, status: None,
) -> bool:
    """Carry out jobs on a Ray cluster, at most `slots` at a time.

    Ctrl-C or SIGTERM lets the runs write a checkpoint and end; a second one kills them.

    Args:
        cluster: which one, and what a run needs.
        study: the study's folder.
        jobs: what to do.
        slots: number of runs side by side, if the cluster has room for as many.
        reporter: told what happens.
        fail_fast: whether the first run that ends without scores stops the others.
        ended: called for each job that has ended, with its status.

    Returns:
        Whether a signal stopped it.

    Raises:
        RequestError: there is no cluster at the address, or none of its nodes has what a run needs.
    """
    token = study / f".token-{uuid.uuid4().hex[:8]}"
    with _connected(cluster) as ray:
        write_text(token, token.name)
        home = Home(bench.__version__, os.getcwd(), (token.absolute(), token.name))
        try:
            with counting_signals() as signals:
                driver = _Driver(ray, jobs, slots, cluster, home, reporter, ended)
                return driver.run(signals, fail_fast)
        finally:
            token.unlink(missing_ok=True)


class _Driver:
    """Gives runs to Ray and waits for them."""

    def __init__(
        self,
        ray: Any,
        jobs: JobQueue,
        slots: int,
        cluster: Cluster,
        home: Home,
        reporter: Reporter,
        ended: Callable[[Job, Status], None],
    ) -> None:
        self._ray = ray
        self._jobs = jobs
        self._slots = slots
        self._cluster = cluster
        self._home = home
        self._reporter = reporter
        self._ended = ended
        self._mailbox = _started_mailbox(ray)
        self._task = ray.remote(max_retries=0)(carry_out)
        self._running: dict[Any, _Attempt] = {}  # by the reference to its result
        self._reported: set[str] = set()  # runs that have been reported as started
        self._lost: Counter[str] = Counter()
        self._crashed: Counter[str] = Counter()
        self._unshared = False  # whether a node does not see the folder
        self._failed = False

    def run(self, signals: list[int], fail_fast: bool) -> bool:
        """Until nothing is left; whether a signal stopped it."""
        stopping = False
        while self._jobs.left or self._running:
            while len(self._running) < self._slots and (job := self._jobs.take()):
                self._give(job)
            if self._running:
                references = list(self._running)
                ended, _ = self._ray.wait(references, num_returns=len(references), timeout=0.25)
            else:  # other processes are at what is left
                ended = []
                time.sleep(0.25)
            self._pass_on()
            self._kill_late_ones()
            for reference in ended:
                self._take_back(reference, stopping, cut_short=len(signals) > 1)
            if (signals or (self._failed and fail_fast)) and not stopping:
                stopping = True
                self._jobs.clear()
                self._reporter.stopping()
                self._ray.get(self._mailbox.stop.remote())
                for reference, attempt in self._running.items():
                    if not attempt.started:
                        self._ray.cancel(reference)
            if len(signals) > 1:
                for reference in self._running:
                    self._ray.cancel(reference, force=True)
        return bool(signals)

    def _give(self, job: Job, alone: bool = False) -> None:
        files = pack(job.folder) if self._unshared else None
        needs: dict[str, Any] = {
            "num_cpus": _largest_node(self._ray) if alone else self._cluster.cpus,
            "num_gpus": math.ceil(self._cluster.gpus) if alone else self._cluster.gpus,
            "name": job.run.folder,
        }
        if self._cluster.memory is not None:
            needs["memory"] = self._cluster.memory
        data_dir = None if job.data_dir is None else os.path.abspath(job.data_dir)
        sent = replace(job, folder=job.folder.absolute(), data_dir=data_dir)
        reference = self._task.options(**needs).remote(sent, self._home, self._mailbox, files)
        self._running[reference] = _Attempt(job, tuple(files or ()), alone=alone)

    def _pass_on(self) -> None:
        """Pass on what the tasks have said since the last time."""
        news = self._ray.get(self._mailbox.take.remote())
        attempts = {attempt.job.run.identity: attempt for attempt in self._running.values()}
        for identity, progress in news:
            if attempt := attempts.get(identity):
                attempt.began = attempt.began or time.monotonic()
                attempt.started = True
                self._start(attempt.job)
                if progress.phase != STARTING:
                    self._reporter.progress(attempt.job, progress)

    def _kill_late_ones(self) -> None:
        for reference, attempt in self._running.items():
            time_left = (attempt.job.timeout or math.inf) + GRACE
            if attempt.started and time.monotonic() - attempt.began > time_left:
                attempt.late = True
                self._ray.cancel(reference, force=True)

    def _start(self, job: Job) -> None:
        """Report a run as started, once, however often it starts."""
        if job.run.identity not in self._reported:
            self._reported.add(job.run.identity)
            self._reporter.started(job)

    def _take_back(self, reference: Any, stopping: bool, cut_short: bool) -> None:
        """What came of a task: the run has ended, or is given to Ray again."""
        errors = self._ray.exceptions
        attempt = self._running.pop(reference)
        job, identity = attempt.job, attempt.job.run.identity
        try:
            reply = self._ray.get(reference)
        except errors.TaskCancelledError:
            if attempt.late:
                self._end(job, self._over_time(job))
            elif attempt.started:
                self._end(job, self._broken(job, "interrupted", "stopped at once by Ctrl-C"))
            else:  # as one that was never given to Ray
                self._jobs.ended(job)
        except (errors.NodeDiedError, errors.ObjectLostError):
            self._lost[identity] += 1
            if stopping:
                self._end(job, self._broken(job, "interrupted", "its node was lost"))
            elif self._lost[identity] > LOST_NODES:
                words = f"{self._lost[identity]} nodes were lost under it"
                self._end(job, self._broken(job, "failed", words))
            else:
                self._again(job, "its node was lost: it goes on from its checkpoint on another")
        except errors.OutOfMemoryError:
            words = "its node ran out of memory; --executor-option memory=... reserves some for it"
            if attempt.alone or stopping:
                self._end(job, self._broken(job, "out-of-memory", words))
            else:
                self._again(
                    job, "its node ran out of memory: it has the next one alone", alone=True
                )
        except errors.WorkerCrashedError:
            self._crashed[identity] += 1
            if cut_short or stopping:
                self._end(job, self._broken(job, "interrupted", "its process was killed"))
            elif self._crashed[identity] > CRASHES:
                self._end(job, self._broken(job, "failed", "its process died (out of memory?)"))
            else:
                self._again(job, "its process died: it goes on from its checkpoint")
        except errors.RayError as error:  # the task itself raises nothing but what it cannot help
            self._end(job, self._broken(job, "failed", _last_line(error)))
        else:
            self._receive(attempt, reply, stopping)

    def _receive(self, attempt: _Attempt, reply: Reply, stopping: bool) -> None:
        job = attempt.job
        if reply.status is None:
            self._unshared = True
            if stopping:
                self._jobs.ended(job)
            else:
                self._give(job, attempt.alone)
            return
        try:
            if reply.files is not None:
                unpack(job.folder, reply.files, attempt.known)
            if reply.status.state == "out-of-memory" and not (attempt.alone or stopping):
                self._again(job, "out of memory: tried again with a node's cores", alone=True)
            else:
                self._end(job, reply.status)
        except (OSError, ValueError) as error:
            words = f"its files came back and could not be written: {error}"
            self._end(job, self._broken(job, "failed", words))

    def _again(self, job: Job, words: str, alone: bool = False) -> None:
        self._start(job)
        self._reporter.progress(job, Progress("training", 0, job.run.steps, note=words))
        self._give(job, alone)

    def _broken(self, job: Job, state: str, message: str) -> Status:
        """Write the status of a run that could not write it itself."""
        status = replace(read_status(job.folder), state=state, message=message)
        with contextlib.suppress(OSError):
            write_status(job.folder, status)
        return status

    def _over_time(self, job: Job) -> Status:
        """Write that a run was killed after its time."""
        status = timed_out(replace(read_status(job.folder), message="its process was killed"), job)
        with contextlib.suppress(OSError):
            write_status(job.folder, status)
        return status

    def _end(self, job: Job, status: Status) -> None:
        self._failed = self._failed or status.state in UNSUCCESSFUL
        self._start(job)
        self._jobs.ended(job)
        self._reporter.ended(job, status)
        self._ended(job, status)


# --- the cluster


@contextlib.contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to a cluster, which is started first if there is no address."""
    if cluster.address and cluster.address != "auto":
        _check_address(cluster.address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when a cluster starts
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of a change
    import ray
    from ray._private import worker

    # what it prints of lost nodes and processes, at any time and on stdout, is said by the runs
    worker._worker_logs_enabled = False
    before = signal.getsignal(signal.SIGTERM)  # ray sets its own
    own: dict[str, Any] = {"num_cpus": _cores(), "include_dashboard": False}
    try:
        ray.init(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": environment_of_a_worker(cluster.threads)},
            **({} if cluster.address else own),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "one cannot be started"
        if cluster.address:
            where = f"--address {cluster.address}: this machine is no node of a cluster there"
        raise RequestError(f"--executor ray: {where} ({_last_line(error)})") from None
    try:
        _check_needs(ray, cluster)
        yield ray
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_address(address: str) -> None:
    """Raise RequestError if nobody is there: Ray would ask again for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(
            f"--address {address}: nobody answers there ({reason}); give HOST:PORT as `ray start` "
            "has printed it on the head node"
        ) from None


def _check_needs(ray: Any, cluster: Cluster) -> None:
    """Raise RequestError if no node has what a run needs: Ray would wait for one."""
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus, "memory": cluster.memory or 0}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        return
    has = [
        f"{node.get('CPU', 0):g} cpus, {node.get('memory', 0) / 2**30:.1f} GB, "
        f"{node.get('GPU', 0):g} gpus"
        for node in nodes
    ]
    needs = f"{cluster.cpus} cpus, {(cluster.memory or 0) / 2**30:.1f} GB, {cluster.gpus:g} gpus"
    raise RequestError(
        f"--executor-option: no node of the Ray cluster has what a run needs ({needs}); "
        f"there are {'; '.join(dict.fromkeys(has)) or 'no nodes'}"
    )


def _largest_node(ray: Any) -> float:
    return max(float(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1] if lines else type(error).__name__}"[:300]


def _started_mailbox(ray: Any) -> Any:
    """A mailbox on the driver's node: it is lost only with the driver."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()
