"""A study through SLURM: with submitit's local executor, and on one node of Debian's SLURM."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.executors.cluster import Cluster, cluster
from tests.bench.held import LIMIT, Results, Study, undisturbed, until

pytest.importorskip("submitit", reason="the extra `slurm` is not installed")

from bench.executors.slurm import run_on_slurm

pytestmark = pytest.mark.xdist_group("clusters")  # one after another: they fill the machine

LOCAL = cluster("slurm", None, ["cluster=local", "time=60m"])
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")

CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1500 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return undisturbed(folder, 3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.executors.slurm.POLL", 0.1)
    monkeypatch.setattr("bench.executors.slurm.ASK_EVERY", 0.5)
    monkeypatch.setattr("bench.executors.slurm.SETTLE", 1.0)
    return tmp_path


def through(asked: Cluster, slots: int = 10) -> Any:
    """The executor, as `Study.carry_out` calls it."""

    def executor(jobs: Any, reporter: Any) -> bool:
        return run_on_slurm(asked, Path("study"), jobs, slots, reporter)

    return executor


def test_a_job_whose_time_is_nearly_over_queues_itself_again(expected, here) -> None:
    study = Study(here, 1)

    def warn() -> None:  # as SLURM does before the end of a job's time
        (process,) = study.processes()
        os.kill(process, signal.SIGUSR2)
        time.sleep(0.5)

    with study.once_at_the_gate(warn):
        assert not study.carry_out(through(LOCAL))
    assert study.results() == {0: expected[0]}
    assert len(study.processes()) == 2
    assert ("started", 0, "") in study.said
    assert study.said[-1] == ("ended", 0, expected[0][0])
    assert not (here / "study" / "slurm").exists()  # nothing to look at: all went well


def test_ctrl_c_lets_jobs_write_a_checkpoint(here) -> None:
    study = Study(here, 2)
    (here / "slowly").touch()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: ("stopping", -1, "") in study.said, "it has heard the signal")

    with study.once_at_the_gate(interrupt):
        assert study.carry_out(through(LOCAL, slots=1))
    states = {seed: state for seed, (state, _, _) in study.results().items()}
    assert states == {0: "interrupted", 1: "pending"}


def test_a_job_that_dies_without_a_word_is_a_failed_run(here) -> None:
    study = Study(here, 1)
    with study.once_at_the_gate(lambda: os.kill(study.processes()[0], signal.SIGKILL)):
        assert not study.carry_out(through(LOCAL))
    assert study.results()[0][0] == "failed"
    message = (here / study.jobs[0].folder / "status.json").read_text()
    (log,) = re.findall(r"(\S+\.err) says more", message)
    assert Path(log).exists()


# --- a SLURM of one node


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """A controller and a node on this machine; the folder of their files."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)} (apt-get install slurm-wlm)")
    if os.getuid() != 0:
        pytest.skip("SLURM's daemons are started by root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: sockets have a limit
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    port = 40_000 + os.getpid() % 10_000 * 2
    text = CONFIGURATION.format(folder=folder, host="localhost", port=port, node_port=port + 1)
    (folder / "slurm.conf").write_text(text)
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
    munge += [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "log", "seed")]
    configuration = ["-D", "-f", f"{folder}/slurm.conf"]
    commands = [munge, ["slurmctld", *configuration], ["slurmd", *configuration, "-N", "localhost"]]
    with pytest.MonkeyPatch.context() as patch, (folder / "out").open("wb") as out:
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        started = [subprocess.Popen(commands[0], stdout=out, stderr=out)]
        try:
            until((folder / "munge.socket").exists, "munged is there")
            started += [subprocess.Popen(c, stdout=out, stderr=out) for c in commands[1:]]
            limit = time.monotonic() + 60
            while b"idle" not in subprocess.run(["sinfo", "-h"], capture_output=True).stdout:
                if time.monotonic() > limit or any(p.poll() is not None for p in started):
                    pytest.skip(f"SLURM does not start here: {(folder / 'out').read_text()[-500:]}")
                time.sleep(0.2)
            yield folder
        finally:
            subprocess.run(["scancel", "--full", "--user=root"], check=False, timeout=LIMIT)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and any("RUNNING" in job or "COMPLETING" in job
                                                      for job in queue()):  # fmt: skip
                time.sleep(0.2)
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(LIMIT)
            shutil.rmtree(folder, ignore_errors=True)


class Killed(BaseException):
    """What ends the process that waits for the jobs."""


def queue() -> list[tuple[str, str]]:
    """Number and state of all jobs."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i %T"]
    lines = subprocess.check_output(command, text=True).splitlines()
    return sorted((number, state) for number, state in (line.split() for line in lines))


def test_slurm_goes_on_without_its_driver_and_another_one_finds_the_jobs(
    slurm, expected, here
) -> None:
    study = Study(here, 3)
    jobs = []

    def killed(number: int, frame: Any) -> None:
        raise Killed

    def kill() -> None:
        jobs.extend(queue())
        os.kill(os.getpid(), signal.SIGUSR1)
        # a job is told to make room: it writes a checkpoint and queues itself again
        subprocess.run(["scancel", "--signal=USR2", jobs[0][0]], check=True)
        time.sleep(0.5)

    signal.signal(signal.SIGUSR1, killed)
    asked = cluster("slurm", None, ["time=30m", "memory=500MB"])
    with study.once_at_the_gate(kill, runs=2), pytest.raises(Killed):
        study.carry_out(through(asked))
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert [state for _, state in jobs] == ["RUNNING", "RUNNING", "PENDING"]
    until(lambda: (jobs[0][0], "PENDING") in queue(), "the job is in the queue again")
    # SLURM would start it after two minutes
    subprocess.run(["scontrol", "update", f"JobId={jobs[0][0]}", "StartTime=now"], check=True)
    # `bench run` would leave runs out whose jobs are over
    over = [state for _, state in queue()].count("COMPLETED")
    assert not study.carry_out(through(asked))
    assert study.results() == expected
    again = [number for number, _ in queue()][len(jobs) :]
    assert len(again) <= over, "no job that was in the queue is submitted once more"
    assert len(study.processes()) in (4, 4 + len(again))


def test_slurm_takes_no_job_that_it_cannot_run(slurm, here, capfd) -> None:
    study = Study(here, 1)
    with pytest.raises(RequestError, match="sbatch takes no job .*partition") as error:
        study.carry_out(through(cluster("slurm", None, ["partition=nowhere"])))
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
