"""The schema of records: what is written now, and every committed record, is valid by it."""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bench.errors import RequestError
from bench.store import study as study_of_store
from bench.store.files import json_text, read_json, write_json
from bench.store.record import (
    STATES,
    Definition,
    Evaluation,
    Part,
    ScoreRecord,
    Status,
    Undefined,
    read_record,
)
from bench.store.run import Run
from bench.store.study import FORMAT, StudyRecord, read_study, write_study

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "bench" / "store" / "schema"
COMMITTED = (ROOT / "results" / "reference", Path(__file__).parent / "study_of_0_1_0")
NAMES = ("settings", "status", "evaluation", "scores", "study")


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(read_json(SCHEMA / f"{name}.json"))


def faults(name: str, values: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(values)]


def undescribed(name: str, values: Any) -> set[str]:
    """Keys that the schema does not name."""
    schema = validator(name).schema
    if name != "scores":
        return values.keys() - schema["properties"].keys()
    entry = schema["$defs"]["score"]["properties"]
    inside = schema["$defs"]["definition"]["properties"]
    return {
        key
        for score in values.values()
        for key in (score.keys() - entry.keys()) | (score["definition"].keys() - inside.keys())
    }


def paths(name: str) -> list[Path]:
    return [path for root in COMMITTED for path in sorted(root.rglob(f"{name}.json"))]


@pytest.mark.parametrize("name", NAMES)
def test_the_schemas_are_valid_and_have_the_version_of_the_records(name: str) -> None:
    schema = read_json(SCHEMA / f"{name}.json")
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:disentanglement-bench:record:{FORMAT}:{name}"
    assert schema["title"].startswith(f"{name}.json: ")
    assert {path.stem for path in SCHEMA.iterdir()} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_committed_record_is_valid(name: str) -> None:
    found = paths(name)
    assert len(found) >= (16 if name == "study" else 300)
    for path in found:
        values = read_json(path)
        assert faults(name, values) == [], path
        assert undescribed(name, values) == set(), path


def test_a_fresh_study_is_valid(finished) -> None:
    (study,) = finished.folder.glob("study.json")
    assert read_json(study)["format"] == FORMAT
    runs = sorted((finished.folder / "runs").iterdir())
    assert len(runs) == 4
    for name in NAMES:
        for path in [study] if name == "study" else [run / f"{name}.json" for run in runs]:
            assert faults(name, read_json(path)) == [], path
            assert undescribed(name, read_json(path)) == set(), path


def written(value: Any) -> Any:
    return json.loads(json_text(value))


def test_everything_that_a_record_may_hold_is_valid(make_run, make_record) -> None:
    definition = Definition(
        "mig", 1, {"bins": 20}, ("a:b=c",), "abc", "mine 1.2", {"numpy": "2"}, "pca1"
    )
    score = ScoreRecord(0.5, {"x": 0.1}, definition, {}, 0.1, ("no",), {"value": 0.1}, 3)
    evaluation = replace(
        make_record(state="collapsed").evaluation,
        reconstruction=None,
        kl=None,
        kl_total=None,
        collapsed_from=3,
        held_out=Part(None, 1.0, 10),
        seen=Part(2.0, 1.0, 7),
        unseen=Part(3.0, None, 4),
        undefined={"sap": Undefined(definition, "no labels")},
        found="codes",
    )
    run = make_run(code="abc", data_code="abc", precision="bfloat16", display_name="Mine")
    study = StudyRecord("toy", {}, "toy-1", "drawn", "smoke", None, {}, ("a note",))
    whole = {
        "settings": run.as_dict(),
        "status": vars(Status("failed", 3, "no luck", {"training": 1.0})),
        "evaluation": evaluation.as_dict(),
        "scores": {"mig": score.as_dict()},
        "study": {"format": FORMAT, **vars(study)},
    }
    types = {"settings": Run, "status": Status, "evaluation": Evaluation}
    for name, values in whole.items():
        assert faults(name, written(values)) == []
        assert undescribed(name, written(values)) == set()
        if kind := types.get(name):  # the schema names every field, and no other
            assert validator(name).schema["properties"].keys() == {f.name for f in fields(kind)}
    of_study = {f.name for f in fields(StudyRecord)} | {"format"}
    assert validator("study").schema["properties"].keys() == of_study


def test_the_schema_knows_every_state() -> None:
    states = validator("status").schema["properties"]["state"]["enum"]
    assert states == [*STATES]


WRONG: Iterable[tuple[str, dict[str, Any], str]] = [
    ("status", {"state": "nope"}, "$.state"),
    ("status", {"state": "done", "seconds": {"training": -1}}, "$.seconds.training"),
    ("settings", {}, "$: 'model' is a required property"),
    ("evaluation", {"rows": 0}, "$.rows"),
    ("scores", {"mig": {"value": "0.5"}}, "$.mig.value"),
    ("scores", {"mig": {"definition": {"name": "mig"}}}, "$.mig.definition"),
    ("study", {"format": 2}, "$.format"),
]


@pytest.mark.parametrize(("name", "values", "fault"), WRONG)
def test_what_is_no_record_is_not_valid(name: str, values: dict[str, Any], fault: str) -> None:
    assert [text for text in faults(name, values) if text.startswith(fault)]


def test_records_of_old_versions_are_read() -> None:
    folders = [path.parent for path in paths("settings")]
    assert len([read_record(folder) for folder in folders]) >= 300


def test_the_earliest_evaluations_are_valid_and_read(make_record, tmp_path: Path) -> None:
    record = make_record()
    early = written(record.evaluation.as_dict())
    for key in ("continuous", "spread", "active"):
        del early[key]
    assert faults("evaluation", early) == []
    write_json(tmp_path / "settings.json", record.run.as_dict())
    write_json(tmp_path / "evaluation.json", early)
    found = read_record(tmp_path).evaluation
    assert found is not None
    assert found.spread == record.evaluation.kl


def test_a_study_of_a_newer_format_is_refused_and_not_misread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyRecord("toy", {}, "toy-1", "drawn", "smoke", None, {})
    monkeypatch.setattr(study_of_store, "FORMAT", FORMAT + 1)
    write_study(tmp_path, study)
    assert read_study(tmp_path) == study
    monkeypatch.undo()
    with pytest.raises(RequestError, match="its format is 2, newer than 1: update this package"):
        read_study(tmp_path)
