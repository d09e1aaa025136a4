"""The autoencoder: reconstruction from a code without noise, and nothing else."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.datasets import Toy
from bench.encode import encode, samples
from bench.models import Objective
from bench.models.autoencoder import Autoencoder

CPU = torch.device("cpu")
SHAPE, D, BATCH = (2, 3, 4), 3, 6
PIXELS = math.prod(SHAPE)


def small() -> Autoencoder:
    """Linear networks in float64."""
    model = Autoencoder(image_shape=SHAPE, continuous=D, network="mlp1200")
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, D))
    model.decoder = nn.Sequential(nn.Linear(D, PIXELS), nn.Unflatten(1, SHAPE))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model


def batch() -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((BATCH, *SHAPE)))


def objective(model: Autoencoder, x: Tensor, seed: int = 0) -> Objective:
    return model.objective(x, 1, torch.Generator().manual_seed(seed))


def test_the_loss_is_the_reconstruction_of_the_code_and_nothing_else() -> None:
    model, x = small(), batch()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    pixels = x.numpy().reshape(BATCH, -1)
    z = pixels @ weights["encoder.1.weight"].T + weights["encoder.1.bias"]
    logits = z @ weights["decoder.0.weight"].T + weights["decoder.0.bias"]
    p = 1 / (1 + np.exp(-logits))
    expected = -np.sum(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)) / BATCH

    given = objective(model, x)
    assert set(given.losses) == {"vae"}
    assert set(given.terms) == {"loss", "reconstruction"}
    for scalar in (*given.losses.values(), *given.terms.values()):
        assert scalar.shape == ()
        assert scalar.item() == pytest.approx(expected, rel=1e-12)


def test_a_batch_shown_twice_gives_the_same_loss() -> None:
    model, x = small(), batch()
    once, twice = objective(model, x), objective(model, torch.cat([x, x]))
    assert twice.losses["vae"].item() == pytest.approx(once.losses["vae"].item(), rel=1e-12)


def test_a_code_has_no_noise_and_no_variance() -> None:
    model, x = small(), batch()
    posterior = model.encode(x)
    assert posterior.mean.shape == (BATCH, D)
    assert posterior.logvar is None
    assert posterior.logits == ()
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(posterior.sample(generator), model.encoder(x))
    assert torch.equal(generator.get_state(), before)
    assert objective(model, x, seed=0).losses == objective(model, x, seed=1).losses


def test_the_gradient_is_that_of_finite_differences() -> None:
    model, x = small(), batch()
    objective(model, x).losses["vae"].backward()
    for parameter in model.parameters():
        index = (0,) * parameter.dim()
        slope = []
        with torch.no_grad():
            for step in (1e-6, -1e-6):
                parameter[index] += step
                slope.append(objective(model, x).losses["vae"].item())
                parameter[index] -= step
        assert parameter.grad is not None
        found = (slope[0] - slope[1]) / 2e-6
        assert parameter.grad[index].item() == pytest.approx(found, rel=1e-5, abs=1e-7)


def test_codes_and_pictures_without_a_prior() -> None:
    data, rows = Toy(image_size=32), np.arange(0, 576, 2)
    torch.manual_seed(0)
    model = Autoencoder(image_shape=(1, 32, 32), continuous=D)
    representation, evaluation = encode(model, data, rows, CPU)
    assert representation.codes.shape == (288, D)
    assert representation.logvar is None
    assert evaluation["kl"] is None
    assert evaluation["reconstruction"] > 0
    arrays = samples(model, data, rows, representation.codes, CPU)
    assert {"z1", "z2", "z3"} <= set(arrays)


def test_numbers_far_out_leave_the_loss_finite() -> None:
    model, x = small(), batch()
    with torch.no_grad():
        model.encoder[1].bias.fill_(1e4)
    loss = objective(model, x).losses["vae"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_categories_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"categorical=\(3,\).*set categorical=\(\)") as error:
        Autoencoder(continuous=2, categorical=(3,))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="at least one latent"):
        Autoencoder(continuous=0)
