"""What is written: whole files or nothing."""

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.errors import RequestError
from bench.score import definition
from bench.store import files as store
from bench.store.record import (
    EVALUATION,
    LATER_OPTIONS,
    SCORES,
    SETTINGS,
    STATUS,
    Definition,
    Part,
    Status,
    Undefined,
    read_evaluation,
    read_record,
    read_records,
    read_scores,
    read_status,
    unscored,
    write_evaluation,
    write_scores,
    write_status,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_readable_by_others(tmp_path: Path) -> None:
    store.write_text(tmp_path / "deep" / "a.txt", "ä\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ä\n".encode()
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    assert stat.S_IMODE((tmp_path / "deep" / "a.txt").stat().st_mode) == stat.S_IMODE(
        plain.stat().st_mode
    )


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_the_old_file_stays_where_writing_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    store.write_text(path, "old")

    def write() -> None:
        with store.replacing(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_file_stays_on_a_full_disk(tmp_path: Path, monkeypatch, call: str) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"old": 1})

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("BENCH_FSYNC", "1")
    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space left"):
        store.write_json(path, {"new": 2})
    assert store.read_json(path) == {"old": 1}
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    for name in (".a.json.x1.tmp", "a.json", ".hidden"):
        (tmp_path / name).touch()
    store.sweep(tmp_path)
    assert names(tmp_path) == [".hidden", "a.json"]


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), np.array([1.0, np.nan])])
def test_json_refuses_what_is_no_number(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json(tmp_path / "a.json", {"value": value})
    assert names(tmp_path) == []


def test_json_takes_numpy_and_nothing_foreign(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    store.write_json(path, {"a": np.arange(3), "b": np.float32(0.5), "c": np.bool_(True)})
    assert store.read_json(path) == {"a": [0, 1, 2], "b": 0.5, "c": True}
    with pytest.raises(TypeError, match="set has no place in a record"):
        store.write_json(path, {"a": {1}})


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    state = {
        "layer.weight": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
        "layer.bias": torch.arange(4),
        "part": torch.randn(6)[::2],
    }
    store.write_weights(tmp_path / "w.safetensors", state)
    back = load_file(tmp_path / "w.safetensors")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    assert back["layer.bias"].dtype == torch.int64


def test_arrays_are_no_pickles(tmp_path: Path) -> None:
    store.write_arrays(tmp_path / "a.npz", {"x": np.arange(3), "names": np.array(["a", "bc"])})
    back = store.read_arrays(tmp_path / "a.npz")
    assert back["x"].tolist() == [0, 1, 2]
    assert back["names"].tolist() == ["a", "bc"]
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        store.read_arrays(tmp_path / "b.npz")


def test_rows_are_csv(tmp_path: Path) -> None:
    store.write_rows(tmp_path / "a.csv", [{"a": 1, "b": "x,y"}, {"a": 0.1, "b": None}])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,"x,y"\n0.1,\n'

    # records
    # as of a training that went on with a version that logs more
    store.write_rows(tmp_path / "b.csv", [{"a": 1}, {"a": 2, "b": 3}])
    assert (tmp_path / "b.csv").read_text() == "a,b\n1,\n2,3\n"


def test_a_status_comes_back(tmp_path: Path) -> None:
    assert read_status(tmp_path) == Status("pending")
    written = Status("diverged", 3, "loss not finite", {"training": 1.5})
    write_status(tmp_path, written)
    assert read_status(tmp_path) == written


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SETTINGS, "{"),
        (SETTINGS, "[]"),
        (SETTINGS, '{"model": "vae"}'),
        (STATUS, '{"state": 3}'),
        (STATUS, "7"),
        (SCORES, '{"mig": {"value": 0.5}}'),
        (SCORES, '{"mig": 0.5}'),
        (SCORES, "[1]"),
        (EVALUATION, '{"kl": 3}'),
        (EVALUATION, "[]"),
    ],
)
def test_a_broken_record_is_named_with_a_remedy(tmp_path, make_run, name, text) -> None:
    folder = tmp_path / "runs" / "one"
    store.write_json(folder / SETTINGS, make_run().as_dict())
    assert read_records(tmp_path)[0].run == make_run()
    (folder / name).write_text(text)
    with pytest.raises(RequestError, match="one: not a readable run .*remove the folder"):
        read_record(folder)


def test_records_are_sorted_by_label_and_seed(tmp_path: Path, make_run) -> None:
    for model, seed in [("vae", 1), ("betavae", 10), ("betavae", 9)]:
        run = make_run(model=model, seed=seed)
        store.write_json(tmp_path / "runs" / run.folder / SETTINGS, run.as_dict())
    found = [(r.run.model, r.run.seed) for r in read_records(tmp_path)]
    assert found == [("betavae", 9), ("betavae", 10), ("vae", 1)]


def test_a_score_by_another_definition_is_missing(make_score) -> None:
    scores = {"mig": make_score("mig", 0.1, bins=20)}
    definition = scores["mig"].definition
    assert unscored([definition], scores) == ()
    assert unscored([replace(definition, libraries={"numpy": "0.1"})], scores) == ()
    for other in (
        replace(definition, options={"bins": 10}),
        replace(definition, version=2),
        replace(definition, name="gim"),
        replace(definition, merge=("orientation:39=0",)),
    ):
        assert unscored([definition, other], scores) == (other,)


def test_a_score_that_cannot_be_is_not_missing(make_record, make_score) -> None:
    definition = make_score("mig", 0.1, bins=20).definition
    evaluation = make_record(evaluation={"undefined": {"mig": Undefined(definition, "too few")}})
    assert unscored([definition], {}, evaluation.evaluation) == ()
    other = replace(definition, options={"bins": 10})
    assert unscored([other], {}, evaluation.evaluation) == (other,)


def test_records_come_back_as_they_were_written(make_record, make_score, tmp_path: Path) -> None:
    score = make_score("mig", 0.25, parts={"x": 0.5}, details={"gaps": {"shape": 0.1}}, bins=20)
    full = replace(
        score,
        definition=replace(score.definition, merge=("a:1=0",)),
        warnings=("too few rows",),
        standard_errors={"value": 0.01, "x": 0.02},
        resamples=5,
    )
    write_scores(tmp_path, {"mig": score, "full": full, "udr": replace(score, seconds=None)})
    assert read_scores(tmp_path)["full"] == full
    assert read_scores(tmp_path)["udr"].seconds is None
    record = make_record(
        evaluation={
            "collapsed": True,
            "collapsed_from": 7,
            "held_out": Part(1.0, None, 3),
            "undefined": {"mig": Undefined(score.definition, "too few")},
        }
    )
    write_evaluation(tmp_path, record.evaluation)
    assert read_evaluation(tmp_path) == record.evaluation


def test_the_earliest_evaluations_are_read(tmp_path: Path) -> None:
    store.write_json(
        tmp_path / EVALUATION,
        {
            "reconstruction": 1.0,
            "mean_image_reconstruction": 2.0,
            "kl": [0.05, 3.0],
            "kl_total": 3.05,
            "active_latents": 1,
            "rows": 10,
            "collapsed": False,
        },
    )
    evaluation = read_evaluation(tmp_path)
    assert evaluation is not None
    assert evaluation.active == (False, True)
    assert evaluation.continuous == 2


def test_options_that_came_later_have_the_values_of_before() -> None:
    present = definition("dci_fast")
    assert LATER_OPTIONS["dci_fast"].keys() < present.options.keys()
    of_before = {k: v for k, v in present.options.items() if k not in LATER_OPTIONS["dci_fast"]}
    stored = Definition("dci_fast", present.version, of_before)
    assert (stored, stored.identity) == (present, present.identity)
    assert Definition("dci_fast", present.version, {**of_before, "tie": 0.1}) != present
    mine = Definition("dci_fast", present.version, of_before, code="another")
    assert mine.options == of_before
