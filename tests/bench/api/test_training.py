"""`bench.fit` and `bench.represent`: a model without a study."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import bench
from bench.datasets import DATASETS
from bench.models import BetaVAE
from bench.streams import torch_stream
from bench.train.step import take_step
from tests.conftest import Finished


def test_the_weights_are_those_of_a_run(finished: Finished) -> None:
    run = bench.load(finished.folder).run("jointvae, seed 1")
    model = bench.fit("jointvae", "toy", preset="smoke", steps=20, seed=1)
    theirs = run.model().state_dict()
    assert all(torch.equal(weights, theirs[name]) for name, weights in model.state_dict().items())
    codes = bench.represent(model, "toy", rows=2_000, seed=1).codes
    np.testing.assert_array_equal(codes, run.representation().codes)


def test_it_takes_classes_models_and_data_sets() -> None:
    data = DATASETS["toy"](image_size=32)
    seen: list[int] = []
    model = bench.fit(
        BetaVAE,
        data,
        steps=3,
        settings={"beta": 2.0, "network": "broadcast"},
        watch=lambda step, terms: seen.append(step),
    )
    assert isinstance(model, BetaVAE)
    assert model.beta == 2.0
    assert seen == [1, 2, 3]
    assert not model.training
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    assert bench.fit(model, data, steps=2) is model
    assert any(not torch.equal(w, before[n]) for n, w in model.state_dict().items())


def test_schedules_scale_with_the_steps() -> None:
    model: Any = bench.fit("jointvae", "toy", preset="smoke", steps=50)
    assert model.iterations == 40


def test_an_own_loop_takes_steps_over_a_data_loader() -> None:
    """docs/api.md: the loop of somebody who wants one."""
    data = DATASETS["toy"](image_size=32)
    image, factors = data[5]
    assert image.dtype == np.float32
    assert image.shape == data.image_shape
    assert 0 <= image.min() <= image.max() <= 1
    np.testing.assert_array_equal(factors, data.values([5])[0])
    with pytest.raises(IndexError):
        data[len(data)]
    torch.manual_seed(0)
    model = BetaVAE(image_shape=data.image_shape, network="broadcast")
    players, optimizers = model.players(), model.optimizers()
    noise = torch_stream(0, "noise", torch.device("cpu"))
    loader = DataLoader(data, batch_size=32, shuffle=True)
    losses = [
        float(take_step(model, x, step, noise, players, optimizers).terms["loss"].detach())
        for step, (x, _) in enumerate(loader, 1)
    ]
    assert losses[-1] < losses[0]


def test_any_network_is_represented() -> None:
    data = DATASETS["toy"](image_size=32)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 4))
    network.train()
    codes = bench.represent(network, data, rows=20, seed=2)
    assert codes.codes.shape == (20, 4)
    assert codes.logvar is None
    assert network.training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"model": "betavea"}, "unknown model 'betavea'"),
        ({"model": "random"}, "random is not trained in steps"),
        ({"data": "tyo"}, "unknown dataset 'tyo'"),
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"steps": None}, "steps is missing: give a number"),
        ({"batch_size": -1}, "batch_size=-1: must be at least 1"),
        ({"preset": "quik"}, "unknown preset 'quik'"),
        ({"settings": {"bta": 1}}, "unknown setting of betavae 'bta'"),
        ({"settings": {"beta": -1.0}}, "betavae: beta"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"device": "tpu"}, "--device tpu: not available"),
        ({"settings": {"lr": 1e30}}, "the training diverged"),
    ],
)
def test_a_wrong_request_is_one_line(call: dict[str, Any], message: str) -> None:
    with pytest.raises(bench.RequestError, match=message) as raised:
        bench.fit(**{"model": "betavae", "data": "toy", "steps": 3, **call})
    assert "\n" not in str(raised.value)


def test_images_of_another_size_are_refused() -> None:
    model = bench.fit("betavae", "toy", preset="smoke", steps=1)
    with pytest.raises(bench.RequestError, match=r"the model takes images \(1, 32, 32\)"):
        bench.represent(model, DATASETS["toy"](image_size=64))
    assert len(bench.represent(model, "toy", rows=10)) == 10
    with pytest.raises(bench.RequestError, match="rows=0"):
        bench.represent(model, "toy", rows=0)


def test_a_network_that_does_not_encode_is_one_line() -> None:
    with pytest.raises(bench.RequestError, match="Linear: encoding images"):
        bench.represent(torch.nn.Linear(3, 2), "toy")
