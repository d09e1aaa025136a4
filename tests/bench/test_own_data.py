"""A user's own images from a name to a plan, a representation and its file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import registry
from bench.build import build_data
from bench.datasets import Arrays, Pictures
from bench.encode import encode
from bench.errors import RequestError
from bench.metrics import METRICS, STUDY_METRICS, Representation
from bench.models import MODELS
from bench.plan import Plan, Request, plan
from bench.registry import resolve
from bench.score import DEFAULT, UNLABELLED
from bench.store.representation import read_representation, write_representation
from bench.store.study import read_study, write_study

RNG = np.random.default_rng


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(name: str = "my.npz", **arrays: Any) -> str:
    images = RNG(0).integers(0, 256, (90, 32, 32), dtype=np.uint8)
    np.savez(name, **{"images": images, **arrays})
    return name


def folder(name: str) -> str:
    Path(name).mkdir()
    for k in range(3):
        pixels = RNG(k).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{name}/{k}.png")
    return name


def planned(dataset: str, models: str = "vae", **given: Any) -> Plan:
    return plan(Request(**{"models": models, "dataset": dataset, "preset": "smoke", **given}))


# names


@pytest.mark.parametrize(
    "name", ["my.npz", "./my.npz", "a:b.npz", "C:\\data\\my.npz", "x.py:b.npz"]
)
def test_a_file_is_looked_for_before_a_name_is_an_address(name: str) -> None:
    data = resolve("dataset", save(name))()
    assert isinstance(data, Arrays)
    assert len(data) == 90
    ((kind, target),) = registry.resolve_any(name)
    assert (kind, target().fingerprint) == ("dataset", data.fingerprint)


@pytest.mark.parametrize("name", ["faces", "./faces", "./faces/", "a:b", "toy.d", "faces.npz"])
def test_a_folder_is_looked_for_before_a_name_is_an_address(name: str) -> None:
    data = resolve("dataset", folder(name))()
    assert isinstance(data, Pictures)
    assert registry.resolve_any(name)[0][1]().fingerprint == data.fingerprint


def test_a_registered_name_is_no_folder_that_happens_to_be_there() -> None:
    folder("toy")
    assert resolve("dataset", "toy") is not Pictures
    assert [kind for kind, _ in registry.resolve_any("toy")] == ["dataset"]
    assert registry.resolve_any("toy")[0][1] is resolve("dataset", "toy")
    assert isinstance(resolve("dataset", "./toy")(), Pictures)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.npz", "absent.npz: there is no such file"),
        ("C:\\absent.npz", "absent.npz: there is no such file"),
        ("absent/", "absent/: there is no such folder"),
        ("my.h5", "my.h5: a data set of your own is an npz file of arrays, or a folder of pic"),
        ("a" * 5_000, "unknown dataset"),
        ("empty", "empty has no png or jpg file: name a folder of pictures"),
    ],
)
def test_what_is_no_data_set_is_a_line(name: str, message: str) -> None:
    Path("my.h5").write_text("")
    Path("empty").mkdir()
    with pytest.raises(RequestError, match=message) as caught:
        planned(name)
    assert "\n" not in str(caught.value)


# plans


def test_data_without_factors_are_scored_by_what_needs_none() -> None:
    asked = planned(save())
    assert [d.name for d in asked.definitions] == list(UNLABELLED)
    assert list(asked.refused) == list(DEFAULT)
    assert set(asked.refused.values()) == {"needs factors, the data have none"}
    every = planned("my.npz", metrics="all")
    assert {d.name for d in every.definitions} == set(UNLABELLED)
    assert set(every.refused) == {*METRICS, *STUDY_METRICS} - set(UNLABELLED)
    with pytest.raises(RequestError, match="no metric is left for my.npz: needs factors, the data"):
        planned("my.npz", metrics="mig,sap")


def test_what_was_decided_is_in_the_plan_and_the_record() -> None:
    study = planned(save(factors=RNG(0).random((90, 2)))).study
    assert study.notes == build_data("my.npz", {}, None).notes
    assert any("v1, v2: continuous" in note or "v1: continuous" in note for note in study.notes)
    write_study(Path("study"), study)
    assert read_study(Path("study")) == study
    write_study(Path("other"), planned("toy").study)
    assert "notes" not in json.loads(Path("other/study.json").read_text())


def test_own_images_keep_their_size_unless_another_is_asked_for() -> None:
    save("large.npz", images=RNG(0).integers(0, 256, (90, 100, 100, 3), dtype=np.uint8))
    assert planned("large.npz").runs[0].image_shape == (3, 100, 100)
    resized = planned("large.npz", sets=["large.npz.image_size=64", "large.npz.fit=crop"])
    assert resized.runs[0].image_shape == (3, 64, 64)
    assert resized.study.data_settings == {"image_size": 64, "fit": "crop"}
    with pytest.raises(RequestError, match="image_size must be 28 to 128, not 500"):
        planned("large.npz", sets=["large.npz.image_size=500"])
    with pytest.raises(RequestError, match="fit"):
        planned("large.npz", sets=["large.npz.fit=stretch"])


@pytest.mark.parametrize("name", ["./faces", "./faces/", "../HERE/faces"])
def test_the_folder_of_a_study_is_not_hidden(here: Path, name: str) -> None:
    folder("faces")
    name = name.replace("HERE", here.name)
    assert planned(name).folder.name[0] not in ".-"


def test_scored_factors_make_a_study_of_their_own() -> None:
    whole, scored = planned("toy", seeds="1"), planned("toy", seeds="1", factors="shape, posX")
    assert scored.study.data_settings == {"image_size": 32, "factors": ["posX", "shape"]}
    assert scored.study == planned("toy", seeds="1", factors="posX,shape").study
    assert scored.folder == Path("results/toy-smoke-factors-posX-shape")
    assert scored.study.data_name == "toy (scored by posX+shape)"
    both = planned("toy", factors="posX", fix=["shape=0"])
    assert both.study.data_name == "toy (shape=0, scored by posX)"
    (run,), (other,) = scored.runs, whole.runs
    assert run.identity != other.identity
    assert replace(run, fingerprint=other.fingerprint).identity == other.identity
    for wrong in ("", "posX,", "pos", "posX,posX"):
        with pytest.raises(RequestError):
            planned("toy", factors=wrong)


def test_the_size_of_the_data_is_handed_to_the_estimator_that_needs_it() -> None:
    save(test=np.arange(90) >= 80)
    mss = "betatcvae.estimator=mss"
    (run,) = planned("my.npz", "betatcvae", seeds="1", sets=[mss]).runs
    assert (run.settings["rows"], run.label) == (80, "betatcvae (estimator=mss)")
    (given,) = planned("my.npz", "betatcvae", seeds="1", sets=[mss, "betatcvae.rows=70"]).runs
    assert given.settings["rows"] == 70
    assert given.label == "betatcvae (estimator=mss, rows=70)"
    (default,) = planned("my.npz", "betatcvae", seeds="1").runs
    assert default.settings["rows"] == 737_280
    swept = planned("toy", "betatcvae", seeds="1", sweeps=["betatcvae.estimator=mws,mss"]).runs
    assert [run.settings["rows"] for run in swept] == [737_280, 576]


def test_the_estimator_of_a_data_set_of_the_default_size_is_the_run_that_it_was() -> None:
    (run,) = planned("dsprites", "betatcvae", seeds="1", sets=["betatcvae.estimator=mss"]).runs
    assert run.settings["rows"] == 737_280


def test_pairs_of_the_file_are_for_weakly_supervised_models() -> None:
    save("plain.npz")
    with pytest.raises(
        RequestError, match="adagvae: pairs are drawn by factors, .* have none: add"
    ):
        planned("plain.npz", "adagvae")
    asked = planned(save(pairs=RNG(0).integers(90, size=(40, 2))), "adagvae,adamlvae")
    assert len(asked.runs) == 6
    assert any(note.startswith("pairs: 40 of the file") for note in asked.study.notes)


# representations


def representation(name: str) -> tuple[Any, Representation]:
    data = build_data(name, {}, None)
    model = MODELS["vae"](image_shape=data.image_shape)
    rows = np.arange(data.training)
    return data, encode(model, data, rows, torch.device("cpu")).representation


@pytest.mark.parametrize("kept", ["all", "none", "some"])
def test_a_representation_comes_back_from_its_file(kept: str) -> None:
    numbers = RNG(0).random((90, 2))
    numbers[:30, 0] = np.nan
    numbers[:, 1] = np.where(np.arange(90) < 10, -1, np.arange(90) % 5)
    arrays = {} if kept == "none" else {"factors": numbers[:, :1] if kept == "some" else numbers}
    data, r = representation(save(**arrays))
    assert r.factors.shape == (90, len(data.factors))
    write_representation(Path("r.npz"), r, np.arange(90))
    back = read_representation(Path("r.npz"))
    np.testing.assert_array_equal(back.factors, r.factors)
    assert (back.factor_names, back.factor_kinds) == (r.factor_names, r.factor_kinds)
    if kept == "none":
        assert back.values is None
        assert back.varying.tolist() == []
    else:
        np.testing.assert_array_equal(back.values, r.values)
        np.testing.assert_array_equal(r.number(0), numbers[:, 0])
        assert (r.factors[:30, 0] == -1).all()
    if kept == "all":
        assert (r.factors[:10, 1] == -1).all()
        assert r.factors[10:, 1].min() == 0


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in UNLABELLED])
def test_every_other_metric_refuses_a_representation_without_factors(metric: str) -> None:
    save()
    _, r = representation("my.npz")
    with pytest.raises(ValueError, match=".") as caught:
        METRICS[metric](r, RNG(0))
    assert "\n" not in str(caught.value)
