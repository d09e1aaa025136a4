"""Folders of one study become one: equal to the undisturbed study, or refused with the reason."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import merge as merging
from bench.cells import Selection, Shard
from bench.execute import Options, execute
from bench.plan import Request, plan
from bench.store.claims import Claims
from bench.store.files import read_json, write_json
from bench.store.record import (
    SETTINGS,
    Record,
    Status,
    read_record,
    read_records,
    write_evaluation,
    write_scores,
    write_status,
)
from bench.store.study import StudyRecord, write_study
from tests.bench.test_claims import Notes

STUDY = StudyRecord("toy", {"image_size": 32}, "toy-1", "toy", "smoke", None, {})


def carried_out(folder: Path, shard: Shard | None) -> None:
    made = plan(
        Request(
            models="random,pca",
            dataset="toy",
            preset="smoke",
            seeds="3",
            metrics="mig,udr",
            output=folder,
        )
    )
    options = Options(device="cpu", in_process=True, selection=Selection(shard=shard))
    assert not execute(made, options, lambda todo: Notes()).failed


def test_two_shards_merged_are_the_undisturbed_study(tmp_path: Path, cli_here, monkeypatch) -> None:
    carried_out(tmp_path / "whole", None)
    monkeypatch.setattr("bench.execute.write_report", lambda *arguments, **options: None)
    for number in (1, 2):
        carried_out(tmp_path / f"part{number}", Shard(number, 2))
        assert len(read_records(tmp_path / f"part{number}")) == 3
    monkeypatch.chdir(tmp_path)
    said = cli_here("merge", "part1", "part2", "--into", "merged")
    assert said.code == 0
    assert "6 runs copied, 0 had the same results already" in said.err
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    assert (merged / "table.md").read_text() == (whole / "table.md").read_text()
    assert "UDR" in (merged / "table.md").read_text()

    def numbers(folder: Path) -> dict[str, Any]:
        return {
            record.folder.name: {k: (v.value, v.parts, v.details) for k, v in record.scores.items()}
            for record in read_records(folder)
        }

    assert numbers(merged) == numbers(whole)
    for run in (whole / "runs").iterdir():
        name = "representation.npz"
        assert (merged / "runs" / run.name / name).read_bytes() == (run / name).read_bytes()
    # again, and by the command that made the whole study: nothing is left to do
    said = cli_here("merge", "part1", "part2", "--into", "merged")
    assert (said.code, "0 runs copied, 6 had the same results already" in said.err) == (0, True)
    carried_out(merged, None)
    assert numbers(merged) == numbers(whole)


@pytest.fixture(autouse=True)
def no_report(request, monkeypatch) -> None:
    if "two_shards" not in request.node.name:
        monkeypatch.setattr(merging, "write_report", lambda folder, **options: None)


@pytest.fixture
def study(make_record, tmp_path: Path) -> Callable[..., Path]:
    """`study(name, *records)`: the folder of a study with records made by hand."""

    def make(name: str, *records: Record, **fields: Any) -> Path:
        write_study(tmp_path / name, replace(STUDY, **fields))
        for record in records:
            folder = tmp_path / name / "runs" / record.run.folder
            write_json(folder / SETTINGS, record.run.as_dict())
            write_status(folder, record.status)
            if record.scored and record.evaluation is not None:
                write_scores(folder, record.scores)
                write_evaluation(folder, record.evaluation)
        return tmp_path / name

    return make


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_both_records_are_kept_where_they_differ(study, make_record, tmp_path: Path) -> None:
    first = study("a", make_record(0.5), make_record(0.25, seed=1))
    second = study("b", make_record(0.75), make_record(0.25, seed=1), make_record(0.1, seed=2))
    before = contents(first), contents(second)
    into = tmp_path / "into"
    for copied, same in ((3, 1), (0, 4)):  # the second time it finds what it has made
        merged = merging.merge([first, second], into)
        assert (merged.copied, merged.same, merged.further) == (copied, same, 0)
        (conflict,) = merged.conflicts
        assert conflict.title == "betavae, seed 0"
        assert conflict.difference == "mig 0.5 / 0.75"
        assert read_record(conflict.kept).scores["mig"].value == 0.5
        assert read_record(conflict.aside).scores["mig"].value == 0.75
        assert [path for path in (into / "conflicts").iterdir()] == [conflict.aside]
    assert [r.scores["mig"].value for r in read_records(into)] == [0.5, 0.25, 0.1]
    assert (contents(first), contents(second)) == before


def test_a_conflict_is_named_and_the_exit_code_1(study, make_record, cli_here, monkeypatch) -> None:
    parts = [study("a", make_record(0.5)), study("b", make_record(None, "diverged"))]
    from bench.report.table import comparison

    def report(folder: Path, **options: Any) -> Any:
        made = comparison(read_records(folder), STUDY)
        return type("Report", (), {"table": made, "files": ()})

    monkeypatch.setattr(merging, "write_report", report)
    into = parts[0].parent / "into"
    said = cli_here("merge", *map(str, parts), "--into", str(into))
    assert said.code == 1
    assert "conflict: betavae, seed 0: status done / diverged;" in said.err
    assert str(into / "conflicts") in said.err


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_record_that_has_come_further_is_kept(
    study, make_record, tmp_path: Path, order: tuple[str, str]
) -> None:
    study("a", make_record(0.5), make_record(None, "pending", seed=1))
    study("b", make_record(None, "failed"), make_record(None, "interrupted", seed=1))
    other = tmp_path / "b" / "runs"
    (next(other.glob("*seed1*")) / "checkpoint.pt").write_bytes(b"of step 100")
    merged = merging.merge([tmp_path / name for name in order], tmp_path / "into")
    assert (merged.copied, merged.same, merged.further, merged.conflicts) == (2, 0, 2, [])
    records = read_records(tmp_path / "into")
    assert [record.status.state for record in records] == ["done", "interrupted"]
    assert (records[1].folder / "checkpoint.pt").exists()


def test_equal_records_complete_one_another(study, make_record, make_score, tmp_path: Path) -> None:
    first = study("a", make_record({"mig": make_score("mig", 0.5)}))
    scores = {"mig": make_score("mig", 0.5), "sap": make_score("sap", 0.25)}
    second = study("b", make_record(scores))
    (run,) = (second / "runs").iterdir()
    (run / "weights.safetensors").write_bytes(b"weights")
    merged = merging.merge([first, second], tmp_path / "into")
    assert (merged.copied, merged.same, merged.conflicts) == (1, 1, [])
    (record,) = read_records(tmp_path / "into")
    assert {name: score.value for name, score in record.scores.items()} == {"mig": 0.5, "sap": 0.25}
    assert (record.folder / "weights.safetensors").read_bytes() == b"weights"


@pytest.fixture
def refused(cli_here, tmp_path: Path) -> Callable[..., str]:
    """The one line with which merging folders is refused; nothing is written."""

    def call(*folders: str, into: str = "into") -> str:
        paths = [str(tmp_path / name) for name in folders]
        before = contents(tmp_path)
        said = cli_here("merge", *paths, "--into", str(tmp_path / into))
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert contents(tmp_path) == before
        return said.err

    return call


def test_other_definitions_are_refused(study, make_record, make_score, refused) -> None:
    study("a", make_record())
    study("data", make_record(), fingerprint="toy-2")
    study("budget", make_record(), steps=7)
    study("row", make_record(settings={"continuous": 2, "categorical": (), "beta": 8.0}, seed=1))
    study("metric", make_record({"mig": make_score("mig", 0.5, bins=5)}, seed=1))
    assert "was written with fingerprint toy-2" in refused("a", "data")
    assert "was written with steps 7" in refused("a", "budget")
    assert "which were made with beta 4.0, not 8.0: only runs of one" in refused("a", "row")
    assert "scores of mig by different definitions" in refused("a", "metric")
    assert "scores of mig by different definitions" in refused("a", into="metric")
    assert "was written with fingerprint toy-2" in refused("a", into="data")


def test_wrong_folders_are_refused(study, make_record, refused, tmp_path: Path) -> None:
    study("a", make_record())
    study("b", make_record(seed=1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "a is named twice" in refused("a", "b", "a")
    assert "is to be merged into itself" in refused("a", "b", into="a")
    assert "nowhere holds no study" in refused("a", "nowhere")
    assert "holds no study: choose another folder with --into" in refused("a", into="full")
    (run,) = (tmp_path / "b" / "runs").iterdir()
    (run / "status.json").write_text("{")
    assert "not a readable run" in refused("a", "b")
    with Claims(tmp_path / "a"):
        assert "a bench is at work there; merge when it has ended" in refused("a")


def test_nothing_is_half_copied(study, make_record, tmp_path: Path, monkeypatch) -> None:
    first = study("a", make_record(), make_record(seed=1))
    copytree, calls = shutil.copytree, []

    def killed(source: Path, target: Path, **options: Any) -> None:
        calls.append(source)
        copytree(source, target, **options)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copytree", killed)
    with pytest.raises(KeyboardInterrupt):
        merging.merge([first], tmp_path / "into")
    assert len(read_records(tmp_path / "into")) == 1
    assert merging.merge([first], tmp_path / "into").copied == 1
    assert read_json(tmp_path / "into" / "study.json")["dataset"] == "toy"
    assert not (tmp_path / "into" / ".copy").exists()


def test_statuses_without_results_are_no_conflict(study, make_record, tmp_path: Path) -> None:
    first = study("a", make_record(None, "failed", message="here"))
    second = study("b", make_record(None, "timeout"))
    write_status(next((second / "runs").iterdir()), Status("timeout", 100, "there"))
    merged = merging.merge([first, second], tmp_path / "into")
    assert (merged.copied, merged.same, merged.conflicts) == (1, 1, [])
