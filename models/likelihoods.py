"""The likelihoods p(x | z) of images by name; pixels are independent given z.

A decoder gives one number l per pixel and channel, (B, C, H, W), called logits below.

- `bernoulli`: Bernoulli with mean sigmoid(l).
- `gaussian`: normal with mean sigmoid(l) and variance 1, without its constant, ln(2 pi) / 2 per
  pixel. Another variance s^2 is the same as weighting the KL by s^2, which is what beta-VAE's beta
  does.
- `continuous_bernoulli`: continuous Bernoulli with natural parameter l (Loaiza-Ganem & Cunningham
  2019, arXiv 1907.06845).
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Likelihood = Literal["bernoulli", "gaussian", "continuous_bernoulli"]
LIKELIHOODS: tuple[str, ...] = get_args(Likelihood)


def negative_log_likelihood(likelihood: Likelihood, x: Tensor, logits: Tensor) -> Tensor:
    """-log p(x | z), nats per image: summed over pixels and channels, averaged over the batch."""
    if likelihood == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    if likelihood == "gaussian":
        return 0.5 * (x - torch.sigmoid(logits)).square().sum() / len(x)
    return (log_partition(logits) - x * logits).sum() / len(x)


def expected_image(likelihood: Likelihood, logits: Tensor) -> Tensor:
    """E[x | z] in [0, 1], in the shape of the logits."""
    if likelihood == "continuous_bernoulli":
        # d/dl log((exp(l) - 1) / l); near 0, where both terms grow without bound, its series
        near = logits.abs() < 1e-2
        l = torch.where(near, torch.ones_like(logits), logits)  # noqa: E741  the paper's letter
        return torch.where(near, 0.5 + logits / 12, -1 / torch.expm1(-l) - 1 / l)
    return torch.sigmoid(logits)


def log_partition(logits: Tensor) -> Tensor:
    """log((exp(l) - 1) / l) of the continuous Bernoulli, elementwise; finite for all finite l.

    Minus the log of the normaliser of arXiv 1907.06845, with lambda = sigmoid(l), in terms of the
    natural parameter. Near 0 its series up to l^4.
    """
    size = logits.abs()
    near = size < 1e-2
    safe = torch.where(near, torch.ones_like(size), size)
    # log((e^l - 1) / l) = l / 2 + log(2 sinh(|l| / 2) / |l|), an even function plus l / 2
    far = 0.5 * safe + torch.log(-torch.expm1(-safe) / safe)
    even = torch.where(near, logits.square() / 24 - logits.square().square() / 2880, far)
    return 0.5 * logits + even


def mean_image_reconstruction(likelihood: Likelihood, mean: Tensor, square: Tensor) -> float:
    """The reconstruction of a decoder that always gives the mean image, nats per image.

    No other constant image is better.

    Args:
        likelihood: its name.
        mean: of x over the images, for each pixel and channel, (C, H, W) float64.
        square: mean of x^2, of the same shape.
    """
    if likelihood == "gaussian":
        return float(0.5 * (square - mean.square()).sum())
    p = mean.clamp(1e-12, 1 - 1e-12)
    if likelihood == "bernoulli":
        return float(-(p * p.log() + (1 - p) * (1 - p).log()).sum())
    # -l x + log_partition(l) is least where expected_image(l) is the mean of x: bisection
    low, high = torch.full_like(p, -1e4), torch.full_like(p, 1e4)
    for _ in range(100):
        middle = (low + high) / 2
        below = expected_image(likelihood, middle) < mean
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return float((log_partition(low) - mean * low).sum())
