"""`bench status`, what reports say of lost files, broken records, and names that mean something."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.console import harmless
from bench.report.write import write_report
from bench.store.claims import Claims
from bench.store.files import read_json, write_json
from bench.store.record import (
    EVALUATION,
    SETTINGS,
    Evaluation,
    Status,
    read_records,
    write_evaluation,
    write_scores,
    write_status,
)
from bench.store.study import StudyRecord, read_study, write_study
from bench.store.survey import Survey, survey

STUDY = StudyRecord("toy", {"image_size": 32}, "toy-1", "toy", "smoke", None, {})


@pytest.fixture
def study(make_record, make_score, tmp_path: Path) -> Path:
    """Three runs with records made by hand: two done, one failed."""
    write_study(tmp_path / "study", STUDY)
    for seed, state, message in [(0, "done", ""), (1, "done", ""), (2, "failed", "out of luck")]:
        record = make_record({"mig": make_score("mig", 0.5)}, state, seed=seed, message=message)
        folder = tmp_path / "study" / "runs" / record.run.folder
        write_json(folder / SETTINGS, record.run.as_dict())
        write_status(folder, record.status)
        if state == "done":
            write_scores(folder, record.scores)
            write_evaluation(folder, record.evaluation)
    return tmp_path / "study"


def folder_of(study: Path, seed: int) -> Path:
    (folder,) = study.glob(f"runs/*-seed{seed}-*")
    return folder


def test_a_complete_study(cli_here, study: Path) -> None:
    shutil.rmtree(folder_of(study, 2))
    said = cli_here("status", str(study))
    assert (said.code, said.out, said.err) == (0, "done         2\n", "")


def test_runs_that_are_not_done_are_named_with_the_reason(cli_here, study: Path) -> None:
    said = cli_here("status", str(study))
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[:2] == ["done         2", "failed       1"]
    assert lines[2:] == ["betavae, seed 2: failed at step 100; out of luck"]
    said = cli_here("status", str(study), "--json")
    assert said.code == 1
    values = json.loads(said.out)
    assert values["counts"] == {"done": 2, "failed": 1}
    first = values["runs"][0]
    assert (first["title"], first["complete"]) == ("betavae, seed 0", True)
    assert first["explained"] == pytest.approx(1 / 3)


def test_what_is_no_study(cli_here, tmp_path: Path) -> None:
    said = cli_here("status", str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert "holds no study" in said.err


@pytest.mark.parametrize("name", [SETTINGS, EVALUATION, "scores.json"])
def test_a_lost_file_is_seen_by_status_and_noted_by_report(
    cli_here, study: Path, name: str
) -> None:
    folder = folder_of(study, 0)
    (folder / name).unlink()
    said = cli_here("status", str(study))
    assert said.code == 1
    assert f"{name} is missing" in said.out
    assert cli_here("report", str(study)).code == 0
    table = " ".join((study / "table.md").read_text().split())
    assert f"{name} is missing" in table
    assert "The same bench run makes them again." in table


def test_what_several_runs_have_lost_is_said_once(cli_here, study: Path) -> None:
    for seed in (0, 1):
        (folder_of(study, seed) / SETTINGS).unlink()
    assert cli_here("report", str(study)).code == 0
    table = (study / "table.md").read_text()
    assert table.count(f"{SETTINGS} is missing") == 1
    assert all(folder_of(study, seed).name in table for seed in (0, 1))


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PK")])
def test_a_representation_is_missed_where_others_have_theirs(study: Path, damage) -> None:
    import numpy as np

    for seed in (0, 1):
        np.savez(folder_of(study, seed) / "representation.npz", codes=np.zeros(3))
    assert sum(state.complete for state in survey(study).runs) == 2
    damage(folder_of(study, 0) / "representation.npz")
    (state,) = [state for state in survey(study).runs if state.faults]
    assert state.folder == folder_of(study, 0)
    assert state.faults[0].startswith("representation.npz is ")


def test_what_no_run_has_is_not_missed(study: Path) -> None:
    assert all(state.faults == () for state in survey(study).runs)  # no weights, no representations


@pytest.mark.parametrize("name", ["settings.json", "status.json", "scores.json", "evaluation.json"])
@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000 + "]" * 100_000, "", '"\x1b[31m"'])
def test_a_broken_record_is_one_line_and_a_row_of_status(
    cli_here, study: Path, name: str, text: str
) -> None:
    folder = folder_of(study, 0)
    (folder / name).write_text(text)
    said = cli_here("report", str(study))
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert folder.name in said.err
    assert name in said.err
    assert "remove the folder and run again" in said.err
    said = cli_here("status", str(study))
    assert said.code == 1
    assert "damaged      1" in said.out


def change(name: str, path: tuple[str, ...], value: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        values = read_json(folder / name)
        inner = values
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        (folder / name).write_text(json.dumps(values))

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        change("status.json", ("seconds",), [1]),
        change("scores.json", ("mig", "parts"), [1]),
        change("scores.json", ("mig", "details"), None),
        change("scores.json", ("mig", "definition", "options"), [1]),
        change("scores.json", ("mig", "definition", "code"), 3),
        change("scores.json", ("mig", "value"), float("nan")),
        change("scores.json", ("mig", "value"), float("inf")),
        change("scores.json", ("mig", "parts"), {"x": float("nan")}),
        change("evaluation.json", ("undefined",), [1]),
        change("evaluation.json", ("kl_total",), float("nan")),
        change("settings.json", ("changed",), [1]),
        change("settings.json", ("settings",), None),
    ],
)
def test_a_record_of_the_wrong_type_is_one_line(cli_here, study: Path, damage) -> None:
    damage(folder_of(study, 0))
    said = cli_here("report", str(study))
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert folder_of(study, 0).name in said.err


def test_a_number_too_large_for_a_float_is_no_score(cli_here, study: Path) -> None:
    path = folder_of(study, 0) / "scores.json"
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 1e400'))
    said = cli_here("report", str(study))
    assert (said.code, "no finite number" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("error", "of_mean", "share"),
    [(100.0, 150.0, 1 / 3), (0.0, 10.0, 1.0), (12.0, 10.0, -0.2), (None, 10.0, None)]
    + [(1.0, None, None), (-5.0, -1.0, None), (1.0, 0.0, None)],
)
def test_the_explained_share(make_record, error, of_mean, share) -> None:
    values = {"reconstruction": error, "mean_image_reconstruction": of_mean}
    evaluation: Evaluation = make_record(evaluation=values).evaluation
    assert evaluation.explained == (None if share is None else pytest.approx(share))
    assert "explained" not in evaluation.as_dict()


# names

NASTY = [
    "VAE $mine$",
    "VAE $\\mine$",
    "50 % & more_of #1 ~ ^ {x}",
    "\\input{/etc/passwd}",
    "`rm -rf ~`; $(touch bad) && echo",
    "../../outside",
    "-rf",
    "*?[a]",
    "[link](http://x) **bold** <b>",
    "[red]markup[/red]",
    "a\x1b[31mred",
    "a\x1b]0;title\x07",
    "left \u202e right",
    "two\nlines",
    "tab\there",
    "表意文字",
    "'\"",
    "$$$",
    "." * 300,
]


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_data(cli_here, study: Path, make_run, name: str) -> None:
    shutil.rmtree(study / "runs")
    run = make_run(model=name, changed={"text": name})
    folder = study / "runs" / run.folder
    assert folder.parent == study / "runs"
    assert folder.name.isascii()
    assert not set(folder.name) & set(" $`'\"\\;&|*?[](){}<>~#%^\n\t\x1b")
    assert not folder.name.startswith(("-", "."))
    assert len(folder.name) < 120
    write_json(folder / SETTINGS, run.as_dict())
    (record,) = read_records(study)
    assert (record.run, record.run.model) == (run, name)
    said = cli_here("status", str(study))
    assert said.out.splitlines()[0] == "pending      1"
    assert harmless(name).split("\n")[0].expandtabs() in said.out
    assert not any(char for char in said.out if not char.isprintable() and char not in "\n\t")
    write_study(study, StudyRecord(name, {}, "", name, name, None, {}))
    assert read_study(study).dataset == name
    (folder / "status.json").write_text("{")
    said = cli_here("report", str(study))
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_a_message_cannot_command_a_terminal(cli_here, study: Path) -> None:
    folder = folder_of(study, 2)
    change("status.json", ("message",), "a\x1b[2Jb\x9bc\u202ed")(folder)
    said = cli_here("status", str(study))
    assert "a\\x1b[2Jb\\x9bc\\u202ed" in said.out
    said = cli_here("report", "a\x1b[2J")
    assert "\\x1b[2J holds no study" in said.err


def test_the_report_of_a_study_with_a_lost_evaluation_has_its_scores(study: Path) -> None:
    (folder_of(study, 0) / EVALUATION).unlink()
    report = write_report(study)
    (row,) = report.table.rows
    assert row.cells["mig"] is not None
    assert row.cells["mig"].n == 2


# what is left, and watching


def add(study: Path, make_record: Any, seed: int, state: str, message: str = "") -> Path:
    """A run without scores."""
    record = make_record(None, state, seed=seed, message=message)
    folder = study / "runs" / record.run.folder
    write_json(folder / SETTINGS, record.run.as_dict())
    write_status(folder, record.status)
    return folder


def test_what_is_left_and_how_long_it_takes(cli_here, study: Path, make_record) -> None:
    for seed in range(3, 7):
        add(study, make_record, seed, "pending")
    assert "4 of 7 runs left, none at work; 1 s per run, about 4 s one after another" in (
        cli_here("status", str(study)).out
    )
    with Claims(study) as claims:
        for run in survey(study).left[:2]:
            assert claims.claim(run.folder.name)
        said = cli_here("status", str(study)).out
        assert "4 of 7 runs left, 2 at work; 1 s per run, 7.2e+03 per hour" in said
        # two halves and two whole ones by two at once
        assert survey(study).seconds_left == pytest.approx(1.5)
        left = json.loads(cli_here("status", str(study), "--json").out)["left"]
        assert (left["runs"], left["at_work"], left["runs_per_hour"]) == (4, 2, 7200)
    assert survey(study).at_work == 0


def test_nothing_tells_how_long_the_first_runs_take(cli_here, study: Path, make_record) -> None:
    shutil.rmtree(study / "runs")
    add(study, make_record, 0, "pending")
    assert "1 of 1 runs left, none at work; no run is finished" in (
        cli_here("status", str(study)).out
    )


def test_a_run_that_no_process_is_at_was_killed(study: Path, make_record) -> None:
    folder = add(study, make_record, 3, "running")

    def state() -> tuple[str, bool]:
        (run,) = [run for run in survey(study).runs if run.folder == folder]
        return run.state, run.at_work

    assert state() == ("killed", False)
    with Claims(study) as claims:
        assert claims.claim(folder.name)
        assert state() == ("running", True)
        claims.release(folder.name)
        assert state() == ("killed", False)


def test_of_many_runs_the_reasons_are_counted(cli_here, study: Path, make_record) -> None:
    for seed in range(3, 40):
        message = "RuntimeError: out of luck" if seed % 2 else "ValueError: no"
        add(study, make_record, seed, "failed", message)
    said = cli_here("status", str(study)).out.splitlines()
    named = "betavae, seed 11; betavae, seed 13; betavae, seed 15; ..."
    assert f"19 runs: failed; RuntimeError: out of luck ({named})" in said
    assert any(line.startswith("18 runs: failed; ValueError: no (betavae") for line in said)
    assert len(said) == 5


def test_watching_ends_when_no_run_is_left(cli_here, study: Path, make_record, monkeypatch) -> None:
    folder = add(study, make_record, 3, "pending")
    looked = []

    def sleep(seconds: float) -> None:
        looked.append(seconds)
        if len(looked) == 2:
            write_status(folder, Status("timeout", 50, "took longer than 60 s"))

    monkeypatch.setattr(time, "sleep", sleep)
    said = cli_here("status", str(study), "--watch")
    assert said.code == 1
    assert looked == [2.0, 2.0]
    lines = said.out.splitlines()
    assert lines[0].startswith("2 done, 1 failed, 1 pending; 1 of 4 runs left, none at work")
    assert lines[1:] == [
        "2 done, 1 failed, 1 timeout",
        "betavae, seed 2: failed at step 100; out of luck",
        "betavae, seed 3: timeout at step 50; took longer than 60 s",
    ]
    said = cli_here("status", str(study), "--watch", "--json")
    assert json.loads(said.out)["counts"] == {"done": 2, "failed": 1, "timeout": 1}


def test_watching_ends_on_ctrl_c(cli_here, study: Path, make_record, monkeypatch) -> None:
    add(study, make_record, 3, "pending")

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    said = cli_here("status", str(study), "--watch")
    assert (said.code, said.err) == (1, "")


def test_only_what_has_changed_is_surveyed_again(study: Path, monkeypatch) -> None:
    from bench.store import survey as surveying

    known, read = Survey(study), []
    original = surveying.read_record
    monkeypatch.setattr(
        surveying, "read_record", lambda folder: read.append(folder) or original(folder)
    )
    first = known.read()
    assert len(read) == 3
    assert known.read() == first
    assert len(read) == 3
    write_status(folder_of(study, 2), Status("failed", 1, "again"))
    assert known.read().runs[2].message == "again"
    assert read[3:] == [folder_of(study, 2)]
