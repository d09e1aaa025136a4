"""Small models in float64, batches for them, and their terms worked out in numpy."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.models import VAE, Objective, Posterior

SHAPE = (2, 3, 4)  # more channels than one, so that a mean over channels would show
PIXELS = math.prod(SHAPE)
D, SIZES = 3, (3, 2)  # continuous and categorical latents
BATCH, SEED, TEMPERATURE = 6, 11, 0.67

Array = np.ndarray


def generator(seed: int = SEED) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(
    kind: Any,
    *,
    continuous: int = D,
    categorical: tuple[int, ...] = SIZES,
    std: float = 0.5,
    seed: int = 1,
    **settings: Any,
) -> Any:
    """A model with linear networks in float64 and weights that keep every term far from 0."""
    model = kind(
        image_shape=SHAPE,
        continuous=continuous,
        categorical=categorical,
        network="mlp1200",
        **settings,
    )
    outputs, inputs = model.encoder[-1].out_features, model.decoder[0].in_features
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, outputs))
    model.decoder = nn.Sequential(nn.Linear(inputs, PIXELS), nn.Unflatten(1, SHAPE))
    weights = generator(seed)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=std, generator=weights)
    return model


def bare(kind: Any, continuous: int, categorical: tuple[int, ...] = (), **settings: Any) -> Any:
    """A model of which only the regulariser is needed."""
    return kind(
        image_shape=(1, 28, 28),
        network="burgess",
        continuous=continuous,
        categorical=categorical,
        **settings,
    )


def batch(rows: int = BATCH) -> Tensor:
    """Images (rows, *SHAPE) in [0, 1], float64."""
    return torch.from_numpy(np.random.default_rng(2).random((rows, *SHAPE)))


def random_posterior(
    rows: int = BATCH,
    continuous: int = D,
    categorical: tuple[int, ...] = SIZES,
    *,
    scale: float = 1.0,
    seed: int = 5,
) -> Posterior:
    """A posterior with normal means, log-variances and logits, float64."""
    draws = generator(seed)
    mean, logvar, *logits = (
        scale * torch.randn(rows, width, generator=draws, dtype=torch.float64)
        for width in (continuous, continuous, *categorical)
    )
    return Posterior(mean, logvar, tuple(logits))


def objective(model: VAE, x: Tensor, step: int = 1, seed: int = SEED) -> Objective:
    return model.objective(x, step, generator(seed))


# comparisons


def assert_scalar(given: Tensor, expected: float) -> None:
    """Hold a scalar in float64 to its formula."""
    assert given.shape == ()
    assert given.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def assert_equal_up_to_rounding(
    given: Tensor, expected: Tensor, roundings: float = 64, computed_in: torch.dtype | None = None
) -> None:
    """Hold two results of the same sums by different kernels to each other.

    Kernels differ between processors, batch sizes and memory layouts, and add in another order.
    An element near 0 may be the difference of large numbers, so the difference is measured against
    the largest element, not against the element itself.

    Args:
        given: any shape.
        expected: of the same shape and type.
        roundings: how many times the type's epsilon, relative to the largest element, is allowed.
        computed_in: the type whose epsilon counts, if it is not that of `expected`.
    """
    epsilon = torch.finfo(computed_in or expected.dtype).eps
    largest = expected.detach().abs().max().item()
    torch.testing.assert_close(given, expected, rtol=0, atol=roundings * epsilon * largest)


# the formulas, in numpy


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def linear(layer: nn.Module, rows: Array) -> Array:
    weight, bias = (parameter.detach().numpy() for parameter in layer.parameters())
    return rows @ weight.T + bias


def encoded(model: VAE, x: Tensor) -> tuple[Array, Array, list[Array]]:
    """Means (B, D), log-variances (B, D) and probabilities, (B, S_c) each, of a small model."""
    outputs = linear(model.encoder[1], x.numpy().reshape(len(x), -1))
    count = model.latents.continuous
    ends = np.cumsum([count, count, *model.latents.categorical])[:-1]
    mean, logvar, *logits = np.split(outputs, ends, 1)
    return mean, logvar, [softmax(k) for k in logits]


def sampled(
    mean: Array,
    logvar: Array,
    probabilities: list[Array],
    draws: torch.Generator,
    temperature: float = TEMPERATURE,
) -> Array:
    """Codes (B, width); draws what the model draws: normals for z, then exponentials per category.

    softmax((ln q + Gumbel) / temperature), where Gumbel = -ln(exponential).
    """
    noise = torch.empty(mean.shape, dtype=torch.float64).normal_(generator=draws).numpy()
    blocks = [mean + np.exp(logvar / 2) * noise]
    for q in probabilities:
        waits = torch.empty(q.shape, dtype=torch.float64).exponential_(generator=draws).numpy()
        blocks.append(softmax((np.log(q) - np.log(waits)) / temperature))
    return np.concatenate(blocks, 1)


def cross_entropy(model: VAE, x: Tensor, z: Array) -> float:
    """-log p(x | z) of Bernoulli pixels under a small model's decoder, nats per image."""
    p = 1 / (1 + np.exp(-linear(model.decoder[0], z)))
    pixels = x.numpy().reshape(len(x), -1)
    return float(-np.sum(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)) / len(x))


def gaussian_kl(mean: Array, logvar: Array) -> float:
    """To N(0, 1), summed over latents, nats per image."""
    return float(np.sum((np.exp(logvar) + mean**2 - 1 - logvar) / 2) / len(mean))


def categorical_kl(probabilities: list[Array]) -> float:
    """To the uniform distribution, summed over latents, nats per image."""
    return float(sum(np.sum(q * np.log(q * q.shape[1])) / len(q) for q in probabilities))


@dataclass(frozen=True)
class Expected:
    """What the formulas give for a batch: codes (B, width), and each term in nats per image."""

    z: Array
    reconstruction: float
    kl_z: float
    kl_c: float

    @property
    def kl(self) -> float:
        return self.kl_z + self.kl_c


def expected_terms(
    model: VAE,
    x: Tensor,
    draws: torch.Generator | None = None,
    temperature: float = TEMPERATURE,
) -> Expected:
    """The terms of a small model with a Bernoulli likelihood."""
    mean, logvar, probabilities = encoded(model, x)
    z = sampled(mean, logvar, probabilities, draws or generator(), temperature)
    return Expected(
        z,
        cross_entropy(model, x, z),
        gaussian_kl(mean, logvar),
        categorical_kl(probabilities),
    )
