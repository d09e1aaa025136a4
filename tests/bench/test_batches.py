"""Batches on a device: the same numbers wherever the images lie."""

import numpy as np
import pytest
import torch

from bench.build import build_data
from bench.datasets import Toy
from bench.models import AdaGVAE, BetaVAE
from bench.train.loop import Resident, images, rows_of, train

CPU = torch.device("cpu")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")


def test_images_are_floats_from_0_to_1() -> None:
    data = Toy(image_size=32)
    rows = np.array([5, 0, 5, 575])
    x = images(data, rows, CPU)
    assert x.dtype == torch.float32
    assert torch.equal(x, torch.from_numpy(data.images(rows)).float() / 255)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
@pytest.mark.parametrize("name", ["toy", "digits"])
def test_images_that_lie_on_the_device_are_the_same(name: str, device: str) -> None:
    data = build_data(name, {}, None)
    rows = np.random.default_rng(0).integers(len(data), size=70)
    resident = Resident(data, torch.device(device))
    assert torch.equal(resident.images(rows).cpu(), images(data, rows, CPU))


def test_images_stay_where_they_are_on_the_cpu() -> None:
    assert not Resident.worthwhile(Toy(), CPU, 10**6, 64)


@gpu
def test_a_short_training_or_a_full_device_leaves_the_images_where_they_are() -> None:
    data, device = Toy(image_size=32), torch.device("cuda")
    assert not Resident.worthwhile(data, device, 1, 64)
    assert Resident.worthwhile(data, device, 100, 64)


@gpu
def test_training_on_a_gpu_is_the_same_wherever_the_images_lie(monkeypatch) -> None:
    data, device = Toy(image_size=32), torch.device("cuda")
    torch.backends.cudnn.deterministic = True
    histories = []
    for resident in (True, False):
        monkeypatch.setattr(Resident, "worthwhile", lambda *given, stay=resident: stay)
        torch.manual_seed(0)
        model = BetaVAE(image_shape=(1, 32, 32)).to(device)
        trained = train(model, data, steps=5, batch_size=32, seed=0, device=device)
        histories.append(trained.history)
    assert histories[0] == histories[1]


def test_pairs_for_those_who_want_pairs() -> None:
    data, rng = Toy(), np.random.default_rng(0)
    model = AdaGVAE(changed=1)
    rows = rows_of(model, data, rng, 64)
    one, other = data.values(rows[:32]), data.values(rows[32:])
    assert ((one != other).sum(1) == 1).all()
    alone = rows_of(BetaVAE(), data, np.random.default_rng(1), 64)
    np.testing.assert_array_equal(alone, data.draw(np.random.default_rng(1), 64))
