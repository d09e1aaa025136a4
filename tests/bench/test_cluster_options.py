"""--executor and its options: what is understood, and that each bad one is refused in a line."""

from typing import Any

import pytest

from bench.errors import RequestError
from bench.executors import cluster as module
from bench.executors.cluster import Cluster, cluster


@pytest.fixture(autouse=True)
def installed(monkeypatch) -> None:
    """Whatever the extras need is there, whether or not it is."""
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    ("executor", "options", "expected"),
    [
        ("local", [], Cluster()),
        ("ray", [], Cluster("ray", threads=2, cpus=2)),
        ("ray", ["cpus=4", "memory=4GB", "gpus=0.25"], Cluster("ray", None, 2, 4, 4 << 30, 0.25)),
        ("ray", ["memory=1.5g"], Cluster("ray", None, 2, 2, 3 << 29)),
        ("slurm", ["time=30m"], Cluster("slurm", threads=2, cpus=2, seconds=1800.0)),
        (
            "slurm",
            ["time=90", "gpus=2"],
            Cluster("slurm", threads=2, cpus=2, gpus=2.0, seconds=5400.0),
        ),
        (
            "slurm",
            ["partition=gpu", "mail_type=END", "memory=512"],
            Cluster(
                "slurm", None, 2, 2, 512 << 20, sbatch={"partition": "gpu", "mail-type": "END"}
            ),
        ),
        ("slurm", ["cluster=local"], Cluster("slurm", threads=2, cpus=2, test=True)),
    ],
)
def test_what_is_understood(executor: str, options: list[str], expected: Cluster) -> None:
    assert cluster(executor, None, options, threads=2) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("rays",), "unknown executor 'rays': did you mean ray"),
        (("local", "auto"), "--address goes with --executor ray"),
        (("local", None, ["cpus=2"]), "--executor-option goes with --executor ray or slurm"),
        (("slurm", "auto"), "--address goes with --executor ray, not with slurm"),
        (("ray", "head"), "--address 'head': give HOST:PORT"),
        (("ray", "ray://head:10001"), "--address 'ray://head:10001': give HOST:PORT"),
        (("ray", None, ["cpus"]), "--executor-option 'cpus': give KEY=VALUE"),
        (("ray", None, ["cpus="]), "--executor-option 'cpus=': give KEY=VALUE"),
        (("ray", None, ["cpus=0"]), "cpus=0: give a whole number, at least 1"),
        (("ray", None, ["cpus=1.5"]), "cpus=1.5: give a whole number"),
        (("ray", None, ["cpus=nan"]), "cpus=nan: give a number"),
        (("ray", None, ["cpus=2", "cpus=3"]), "--executor-option cpus is there twice"),
        (("ray", None, ["memory=much"]), "memory=much: give a size such as 4GB"),
        (("ray", None, ["memory=1"]), None),
        (("ray", None, ["gpus=1.5"]), "gpus=1.5: give a part of one, or whole ones"),
        (("ray", None, ["partition=gpu"]), "unknown --executor-option 'partition'"),
        (("slurm", None, ["gpus=0.5"]), "SLURM gives whole GPUs"),
        (("slurm", None, ["time=soon"]), "time=soon: give the time limit of a job"),
        (("slurm", None, ["time=0"]), "time=0: give the time limit of a job"),
        (("slurm", None, ["array=1-3"]), "--executor-option array: the suite sets it itself"),
        (("slurm", None, ["partition=a\nb"]), "partition=a.*: give one line of text"),
        (("slurm", None, ["cluster=moon"]), "cluster=moon: give slurm, or local"),
    ],
)
def test_what_is_refused(given: tuple[Any, ...], words: str | None) -> None:
    if words is None:
        cluster(*given)
        return
    with pytest.raises(RequestError, match=f"(?s){words}") as error:
        cluster(*given)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("executor", "extra"), [("ray", "ray"), ("slurm", "submitit")])
def test_what_is_not_installed_is_named_with_its_extra(
    executor: str, extra: str, monkeypatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=rf"package {extra}: pip install .*\[{executor}\]"):
        cluster(executor)


def test_slurm_needs_sbatch(monkeypatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(RequestError, match="no sbatch here"):
        cluster("slurm")
    assert cluster("slurm", None, ["cluster=local"]).test


@pytest.mark.parametrize(
    ("options", "asked", "device"),
    [
        ([], "auto", "cpu"),
        ([], "cpu", "cpu"),
        (["gpus=0.5"], "auto", "cuda"),
        (["gpus=1"], "cuda", "cuda"),
    ],
)
def test_the_device_is_that_of_the_nodes(options: list[str], asked: str, device: str) -> None:
    assert cluster("ray", None, options).device(asked) == device


@pytest.mark.parametrize(
    ("options", "asked", "words"),
    [
        ([], "cuda", "add --executor-option gpus=1"),
        (["gpus=1"], "cpu", "needs no gpus"),
        (["gpus=1"], "cuda:1", "the cluster chooses it"),
    ],
)
def test_a_device_that_does_not_go_with_the_gpus(
    options: list[str], asked: str, words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        cluster("ray", None, options).device(asked)


def test_a_wrong_option_ends_the_command_before_anything_is_written(
    cli_here, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("run", "--models", "betavae", "--dataset", "toy", "--preset", "smoke")
    said = cli_here(*asked, "--executor", "ray", "--executor-option", "gpus=1.5")
    assert said.code == 2
    assert said.err.count("\n") <= 2
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_where_the_runs_would_be(cli_here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("run", "--models", "betavae", "--dataset", "toy", "--preset", "smoke", "--dry-run")
    said = cli_here(*asked, "--executor", "slurm", "--jobs", "2")
    assert said.code == 0
    assert "2 side by side on cpu through slurm" in " ".join(said.out.split())
    assert not list(tmp_path.iterdir())
