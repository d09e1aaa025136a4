"""A study on a Ray cluster of several nodes on this machine: one is killed, one sees no folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.executors.cluster import Cluster, cluster
from bench.store.record import ENVIRONMENT, read_status
from bench.store.transfer import pack, unpack
from tests.bench.held import LIMIT, STEPS, Results, Study, alive, undisturbed, until

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from bench.executors.ray import run_on_ray

pytestmark = pytest.mark.xdist_group("clusters")  # one after another: they fill the machine

STORE = 80 << 20  # bytes of a node's object store, about the least that it takes


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster whose head has no room for runs: only the driver is there."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster as Nodes

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    started = Nodes(initialize_head=True, head_node_args=head)
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return undisturbed(folder, 3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on(nodes: Any, *options: str) -> Any:
    """The executor of a cluster, as `Study.carry_out` calls it."""

    def executor(jobs: Any, reporter: Any) -> bool:
        asked = cluster("ray", nodes.address, options)
        return run_on_ray(asked, Path("study"), jobs, 10, reporter)

    return executor


def alive_nodes(nodes: Any) -> int:
    return sum(node["Alive"] for node in nodes.global_state.node_table())


def test_a_node_is_killed_and_the_study_ends_complete(nodes, expected, here, capfd) -> None:
    study = Study(here, 3)
    room = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": STORE}
    first, second = (nodes.add_node(**room) for _ in range(2))

    def kill_a_node() -> None:
        processes = study.processes()
        assert len(processes) == 2  # by their cores there would be room for all three
        nodes.remove_node(second, allow_graceful=False)
        until(lambda: sum(map(alive, processes)) == 1, "what ran on the node is gone")

    with study.once_at_the_gate(kill_a_node, runs=2):
        assert not study.carry_out(on(nodes, "gpus=0.75", "memory=100MB"))
    nodes.remove_node(first)
    assert study.results() == expected
    lost = [words for _, _, words in study.said if "its node was lost" in words]
    assert len(lost) == 1
    assert sum(what == "ended" for what, _, _ in study.said) == 3
    said = capfd.readouterr()
    assert "raylet" not in said.out + said.err


def test_results_come_back_from_a_node_that_does_not_see_the_folder(nodes, expected, here) -> None:
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("a node with a file system of its own needs unshare")
    study = Study(here, 1)
    study.folder.mkdir()
    until(lambda: alive_nodes(nodes) == 1, "those of other tests have gone")
    ray = f"{sys.executable} -m ray.scripts.scripts start --address={nodes.address} --num-cpus=1"
    hidden = f"mount -t tmpfs none '{here}/study' && exec {ray} --block"
    with subprocess.Popen(
        [*unshare, hidden], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as node:
        try:
            until(lambda: alive_nodes(nodes) == 2, "the node has joined")
            assert not study.carry_out(on(nodes))
        finally:
            os.killpg(node.pid, signal.SIGTERM)
    assert study.results() == {0: expected[0]}
    (run,) = (here / "study" / "runs").iterdir()
    assert not list(run.glob("checkpoint*"))
    assert json.loads((run / ENVIRONMENT).read_text())["device"] == "cpu"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("BENCH_SLOW") != "1", reason="set BENCH_SLOW=1")
def test_ctrl_c_stops_and_the_same_study_goes_on_elsewhere(expected, here) -> None:
    study = Study(here, 3)
    for name in ("hold", "slowly"):
        (here / name).touch()
    command = [sys.executable, "-m", "bench", "run", "--models", "model.py:Held"]
    command += ["--dataset", "toy", "--preset", "smoke", "--seeds", "3", "--steps", str(STEPS)]
    command += ["--metrics", "mig", "--checkpoint-seconds", "0", "--output", "study"]
    log = here / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--executor", "ray", "--jobs", "1"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as driver,
    ):
        try:
            until(lambda: driver.poll() is not None or study.at_the_gate(), "a run is held")
            os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
            until(lambda: "stopping" in log.read_text(), "it has heard the signal")
        finally:
            (here / "hold").unlink()
        assert driver.wait(LIMIT) == 130, log.read_text()
    assert "Stopped. The same command continues" in log.read_text()
    (here / "slowly").unlink()
    ended = [(state, step) for state, step, _ in study.results().values()]
    assert sorted(state for state, _ in ended) == ["interrupted", "pending", "pending"]
    assert 0 < max(step for _, step in ended) < STEPS
    from bench.executors.inline import run_inline

    assert not study.carry_out(run_inline)
    assert study.results() == expected


def test_a_run_that_does_not_end_after_its_time_is_killed(nodes, here, monkeypatch) -> None:
    monkeypatch.setattr("bench.executors.ray.GRACE", 0.5)
    study = Study(here, 1)
    study.jobs = [replace(job, timeout=0.5) for job in study.jobs]
    (here / "hold").touch()
    node = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    assert not study.carry_out(on(nodes))
    nodes.remove_node(node)
    status = read_status(study.jobs[0].folder)
    assert status.state == "timeout"
    assert status.message == "took longer than 0.5 s; its process was killed"


def test_a_node_that_nobody_has_and_an_address_where_nobody_is(nodes, here) -> None:
    study = Study(here, 1)
    greedy = Cluster("ray", nodes.address, cpus=64, gpus=0.5)
    run = partial(run_on_ray, greedy, study.folder)
    with pytest.raises(RequestError, match=r"no node .* what a run needs \(64 cpus, .* 0.5 gpus\)"):
        study.carry_out(lambda jobs, reporter: run(jobs, 1, reporter))
    nobody = partial(run_on_ray, Cluster("ray", "127.0.0.1:9"), study.folder)
    with pytest.raises(RequestError, match="--address 127.0.0.1:9: nobody answers") as error:
        study.carry_out(lambda jobs, reporter: nobody(jobs, 1, reporter))
    assert "\n" not in str(error.value)


def test_a_folder_survives_the_journey(tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    (there / "pictures").mkdir(parents=True)
    for name in ("settings.json", "pictures/one.png", "status.json", ".lock"):
        (there / name).write_text(name)
    files = pack(there)
    assert set(files) == {"settings.json", "pictures/one.png", "status.json"}
    back.mkdir()
    (back / "checkpoint.pt").write_text("old")
    (back / "kept.png").write_text("drawn here")
    unpack(back, files, known=["checkpoint.pt", "settings.json"])
    assert pack(back) == files | {"kept.png": b"drawn here"}
    assert pack(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("name", ["../status.json", "/tmp/status.json", "a/../../b"])
def test_nothing_is_written_outside_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        unpack(tmp_path / "run", {name: b""})
    assert not list(tmp_path.iterdir())
