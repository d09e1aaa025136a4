"""The likelihoods of images against scipy, integrals and searches."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import bernoulli, norm
from torch import Tensor

from bench.models import VAE
from bench.models.likelihoods import (
    LIKELIHOODS,
    expected_image,
    log_partition,
    mean_image_reconstruction,
    negative_log_likelihood,
)
from tests.models.conftest import SHAPE, generator


@pytest.fixture
def logits() -> Tensor:
    return 3 * torch.randn(5, *SHAPE, dtype=torch.float64, generator=generator(4))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(5, *SHAPE, dtype=torch.float64, generator=generator(4))


def density(likelihood: str, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """log p(x) of each pixel, independent of the code under test."""
    p = 1 / (1 + np.exp(-logits))
    if likelihood == "bernoulli":
        return x * np.log(p) + (1 - x) * np.log1p(-p)
    if likelihood == "gaussian":
        return norm.logpdf(x, p) + 0.5 * np.log(2 * np.pi)
    # the continuous Bernoulli's normaliser, equation 5 of arXiv 1907.06845
    normaliser = 2 * np.arctanh(1 - 2 * p) / (1 - 2 * p)
    return x * np.log(p) + (1 - x) * np.log1p(-p) + np.log(normaliser)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_likelihood_is_summed_over_pixels_and_averaged_over_images(
    likelihood, x: Tensor, logits: Tensor
) -> None:
    given = negative_log_likelihood(likelihood, x, logits)
    expected = -density(likelihood, x.numpy(), logits.numpy()).sum() / len(x)
    assert given.item() == pytest.approx(expected, rel=1e-9)
    twice = negative_log_likelihood(likelihood, torch.cat([x, x]), torch.cat([logits, logits]))
    assert twice.item() == pytest.approx(expected, rel=1e-9)


def test_the_bernoulli_of_binary_pixels_is_scipys(logits: Tensor) -> None:
    x = (logits > 0.5).double()
    p = torch.sigmoid(logits).numpy()
    expected = -bernoulli.logpmf(x.numpy().astype(int), p).sum() / len(x)
    assert negative_log_likelihood("bernoulli", x, logits).item() == pytest.approx(expected)


@pytest.mark.parametrize("l", [-300.0, -8.0, -0.5, -0.011, -0.009, 0.0, 1e-5, 0.02, 2.0, 30.0])
def test_the_continuous_bernoulli_integrates_to_one(l: float) -> None:  # noqa: E741
    at = torch.tensor(l, dtype=torch.float64)
    top = max(l, 0.0)
    whole, _ = quad(lambda x: np.exp(l * x - top), 0, 1, epsabs=1e-13)
    assert log_partition(at).item() == pytest.approx(np.log(whole) + top, rel=1e-8, abs=1e-10)
    first, _ = quad(lambda x: x * np.exp(l * x - top), 0, 1, epsabs=1e-13)
    assert expected_image("continuous_bernoulli", at).item() == pytest.approx(
        first / whole, rel=1e-6
    )


def test_the_mean_is_the_gradient_of_the_log_partition() -> None:
    logits = torch.linspace(-20, 20, 401, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_partition(logits).sum(), logits)
    mean = expected_image("continuous_bernoulli", logits.detach())
    torch.testing.assert_close(slope, mean, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_give_finite_losses_gradients_and_means(likelihood, dtype) -> None:
    logits = torch.tensor([[-1e4, -90, -1e-3, 0.0, 1e-30, 90, 1e4]], dtype=dtype)
    logits = logits.requires_grad_()
    loss = negative_log_likelihood(likelihood, torch.full_like(logits, 0.5), logits)
    (slope,) = torch.autograd.grad(loss, logits)
    mean = expected_image(likelihood, logits)
    for each in (loss, slope, mean):
        assert each.isfinite().all()
    assert ((mean >= 0) & (mean <= 1)).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_constant_image_is_better_than_the_mean_image(likelihood) -> None:
    x = torch.rand(40, 1, 1, 1, dtype=torch.float64, generator=generator(4)).square()

    def loss(logit: float) -> float:
        return float(negative_log_likelihood(likelihood, x, torch.full_like(x, logit)))

    best = minimize_scalar(loss, bounds=(-20, 20), method="bounded", options={"xatol": 1e-10})
    given = mean_image_reconstruction(likelihood, x.mean(0), x.square().mean(0))
    assert given == pytest.approx(best.fun, rel=1e-9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_model_reconstructs_and_draws_by_its_likelihood(likelihood) -> None:
    model = VAE(image_shape=(1, 32, 32), likelihood=likelihood)
    z = torch.zeros(2, 10)
    assert torch.equal(model.pictures(z), expected_image(likelihood, model.decode(z)))
    x = torch.rand(2, 1, 32, 32, generator=generator(4))
    expected = negative_log_likelihood(likelihood, x, model.decode(z))
    assert torch.equal(model.reconstruction(x, model.decode(z)), expected)


def test_an_unknown_likelihood_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'laplace'.*" + ".*".join(LIKELIHOODS)):
        VAE(likelihood="laplace")  # type: ignore[arg-type]
