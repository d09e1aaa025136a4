"""What a study of thousands of runs costs: counted in calls, which do not depend on the machine."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import execute, plan, score
from bench.execute import Options, outstanding
from bench.report.write import write_report
from bench.store import record as records_of_store
from bench.store.files import read_as, read_json, write_json
from bench.store.record import (
    SETTINGS,
    Evaluation,
    Records,
    ScoreRecord,
    Status,
    read_records,
    write_evaluation,
    write_scores,
    write_status,
)
from bench.store.run import Run
from bench.store.study import write_study
from bench.worker import Job, announce

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


@pytest.fixture
def count(monkeypatch) -> Callable[[Any, str], Counter[str]]:
    """`count(owner, name)` counts the calls of a function from now on."""

    def call(owner: Any, name: str) -> Counter[str]:
        calls: Counter[str] = Counter()
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)
        return calls

    return call


def planned(folder: Path, seeds: int, values: int = 4) -> plan.Plan:
    sweep = ",".join(map(str, range(1, values + 1)))
    return plan.plan(
        plan.Request(
            models="betavae,vae",
            dataset="toy",
            preset="smoke",
            seeds=str(seeds),
            sweeps=[f"betavae.beta={sweep}"],
            metrics="mig",
            output=folder,
        )
    )


@pytest.fixture
def study(make_record, tmp_path: Path) -> plan.Plan:
    """A plan of 25 runs, all of which have records."""
    made = planned(tmp_path / "study", seeds=5)
    write_study(made.folder, made.study)
    for run in made.runs:
        folder = made.run_folder(run)
        record = make_record(0.25 + 0.01 * run.seed, folder=folder)
        write_json(folder / SETTINGS, run.as_dict())
        write_status(folder, record.status)
        write_scores(folder, record.scores)
        write_evaluation(folder, record.evaluation)
    return made


def test_a_model_is_built_once_per_variant_whatever_the_seeds(count, tmp_path: Path) -> None:
    built = count(plan, "try_model")
    assert len(planned(tmp_path, seeds=40).runs) == 200
    assert built["try_model"] == 5


def test_a_metric_is_tried_once_on_the_same_factors(
    count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "_REFUSALS", {})
    tried = count(score, "_called")
    planned(tmp_path / "a", seeds=1)
    assert tried["_called"] == 1
    planned(tmp_path / "b", seeds=2)
    assert tried["_called"] == 1
    words = {"metrics": "mig", "output": tmp_path / "c", "preset": "smoke"}
    plan.plan(plan.Request(models="vae", dataset="digits", **words))
    assert tried["_called"] == 2


def test_a_record_is_read_once_and_compared_with_its_own_row(count, study: plan.Plan) -> None:
    read = count(records_of_store, "read_record")
    compared = count(Run, "differs_from")
    outstanding(study, Options(device="cpu"))
    assert read["read_record"] == len(study.runs) == 25
    assert compared["differs_from"] == 25


def test_only_what_has_changed_is_read_again(count, study: plan.Plan) -> None:
    records = Records(study.folder)
    read = count(records_of_store, "read_record")
    first = records.read()
    assert first == read_records(study.folder)
    read.clear()
    assert records.read() == first
    assert not read

    folder = study.run_folder(study.runs[3])
    stat = (folder / "status.json").stat()
    text = (folder / "status.json").read_text()
    write_status(folder, Status("nope", 100, "", {"training": 1.0}))  # as many letters as `done`
    os.utime(folder / "status.json", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (folder / "status.json").stat().st_size == len(text)
    changed = records.read()
    assert read["read_record"] == 1
    assert [r.status.state for r in changed].count("nope") == 1

    (study.run_folder(study.runs[0]) / SETTINGS).unlink()
    assert len(records.read()) == 24
    assert read["read_record"] == 1


def test_a_run_that_is_announced_is_not_written_again(study: plan.Plan) -> None:
    run = study.runs[0]
    path = study.run_folder(run) / SETTINGS
    before = path.stat().st_ino
    announce(Job(run, path.parent, ()))
    assert path.stat().st_ino == before
    path.write_text(path.read_text().replace("betavae", "betavea"))
    announce(Job(run, path.parent, ()))
    assert read_json(path) == run.as_dict()


def test_plots_are_drawn_again_only_when_a_record_has_changed(study: plan.Plan) -> None:
    plots = study.folder / "plots"

    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in plots.iterdir()}

    write_report(study.folder)
    first = times()
    assert first.keys() == {"scores.pdf", "scores.png", "sweeps.pdf", "sweeps.png"}
    write_report(study.folder)
    assert times() == first
    write_status(study.run_folder(study.runs[0]), Status("failed"))
    os.utime(study.run_folder(study.runs[0]) / "status.json", (0, 0))  # by a clock that is behind
    write_report(study.folder)
    second = times()
    assert all(second[name] > first[name] for name in first)
    write_report(study.folder, pictures="all")
    assert all(time > second[name] for name, time in times().items())


KINDS = {
    "settings.json": Run,
    "status.json": Status,
    "scores.json": dict[str, ScoreRecord],
    "evaluation.json": Evaluation,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_quick_way_to_read_a_file_gives_the_same(name: str) -> None:
    from pydantic import TypeAdapter

    paths = sorted(REFERENCE.rglob(f"runs/*/{name}"))[::10]
    assert len(paths) > 20
    adapter = TypeAdapter(KINDS[name])
    for path in paths:
        values = read_json(path)
        if "spread" in values or name != "evaluation.json":  # else of an older version
            assert repr(read_as(path, KINDS[name])) == repr(adapter.validate_python(values))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_the_quick_way_takes_no_number_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "status.json"
    path.write_text(f'{{"state": "done", "seconds": {{"training": {text}}}}}')
    with pytest.raises(ValueError, match="is no number"):
        read_as(path, Status)
    path.write_text('{"state": "failed", "message": "NaN and Infinity"}')
    assert read_as(path, Status) == Status("failed", message="NaN and Infinity")


def test_runs_are_announced_and_their_conditions_known_without_a_search(
    count, study: plan.Plan
) -> None:
    equal = count(Run, "__eq__")
    todo = outstanding(study, Options(device="cpu", force=True))
    assert len(todo.trained) == len(todo.runs) == 25
    assert not equal
    assert execute.Outstanding(study, todo.runs, todo.runs[:3], 1, "cpu").trained == todo.runs[3:]
