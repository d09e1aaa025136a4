"""The autoencoder: reconstruction from a code without noise, and nothing else."""

import numpy as np
import pytest
import torch

from bench.datasets import Toy
from bench.encode import encode, samples
from bench.models.autoencoder import Autoencoder
from tests.models.conftest import (
    BATCH,
    D,
    batch,
    cross_entropy,
    generator,
    linear,
    objective,
    small,
)

CPU = torch.device("cpu")


def small_autoencoder() -> Autoencoder:
    return small(Autoencoder, categorical=())


def test_the_loss_is_the_reconstruction_of_the_code_and_nothing_else() -> None:
    model, x = small_autoencoder(), batch()
    z = linear(model.encoder[1], x.numpy().reshape(BATCH, -1))
    expected = cross_entropy(model, x, z)

    given = objective(model, x)
    assert set(given.losses) == {"vae"}
    assert set(given.terms) == {"loss", "reconstruction"}
    for scalar in (*given.losses.values(), *given.terms.values()):
        assert scalar.shape == ()
        assert scalar.item() == pytest.approx(expected, rel=1e-12)


def test_a_batch_shown_twice_gives_the_same_loss() -> None:
    model, x = small_autoencoder(), batch()
    once, twice = objective(model, x), objective(model, torch.cat([x, x]))
    assert twice.losses["vae"].item() == pytest.approx(once.losses["vae"].item(), rel=1e-12)


def test_a_code_has_no_noise_and_no_variance() -> None:
    model, x = small_autoencoder(), batch()
    posterior = model.encode(x)
    assert posterior.mean.shape == (BATCH, D)
    assert posterior.logvar is None
    assert posterior.logits == ()
    draws = generator()
    before = draws.get_state()
    assert torch.equal(posterior.sample(draws), posterior.mean)
    torch.testing.assert_close(posterior.mean, model.encoder(x))
    assert torch.equal(draws.get_state(), before)
    assert objective(model, x, seed=0).losses == objective(model, x, seed=1).losses


def test_the_gradient_is_that_of_finite_differences() -> None:
    model, x = small_autoencoder(), batch()
    objective(model, x).losses["vae"].backward()
    for parameter in model.parameters():
        index = (0,) * parameter.dim()
        ends = []
        with torch.no_grad():
            for change in (1e-6, -1e-6):
                parameter[index] += change
                ends.append(objective(model, x).losses["vae"].item())
                parameter[index] -= change
        assert parameter.grad is not None
        slope = (ends[0] - ends[1]) / 2e-6
        assert parameter.grad[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_codes_and_pictures_without_a_prior() -> None:
    data, rows = Toy(image_size=32), np.arange(0, 576, 2)
    torch.manual_seed(0)
    model = Autoencoder(image_shape=(1, 32, 32), continuous=D)
    encoded = encode(model, data, rows, CPU)
    representation = encoded.representation
    assert representation.codes.shape == (288, D)
    assert representation.logvar is None
    assert representation.kl is None
    assert encoded.reconstruction > 0
    arrays = samples(model, data, rows, representation.codes, CPU)
    assert {"z1", "z2", "z3"} <= set(arrays)


def test_extreme_codes_leave_the_loss_finite() -> None:
    model, x = small_autoencoder(), batch()
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
