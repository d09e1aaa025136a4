"""What is written: whole files or nothing."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.errors import RequestError
from bench.store import files as store
from bench.store.record import (
    SCORES,
    SETTINGS,
    STATUS,
    Status,
    definitions_differ,
    read_record,
    read_records,
    read_status,
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
        (STATUS, '{"state": "done", "mood": "good"}'),
        (STATUS, "7"),
        (SCORES, '{"mig": {"value": 0.5}}'),
        (SCORES, '{"mig": 0.5}'),
        (SCORES, "[1]"),
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
    asked = scores["mig"]["definition"]
    assert not definitions_differ(scores, [asked])
    for other in (
        {**asked, "options": {"bins": 10}},
        {**asked, "version": 2},
        {**asked, "name": "gim"},
    ):
        assert definitions_differ(scores, [asked, other])
