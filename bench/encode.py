"""From a trained model to arrays: every image is encoded once, and all metrics read the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.datasets import FactorData
from bench.metrics import Representation
from bench.models import VAE
from bench.records import ACTIVE, REACH
from bench.train import images

BATCH = 256
RECONSTRUCTED = 10_000  # rows behind the reconstruction error
COLLAPSED = 0.99  # of the mean image's error: above, the decoder uses no code
SHOWN = 10  # images in the picture of reconstructions, values in a traversal


def encode(
    model: VAE,
    data: FactorData,
    rows: np.ndarray,
    device: torch.device,
    watch: Callable[[int], None] = lambda done: None,
) -> tuple[Representation, dict[str, Any]]:
    """The representation of some rows, and the evaluation of the model on them.

    Codes are posterior means, categories the most probable ones. The evaluation, all nats an
    image: `reconstruction` of the mode's code and `mean_image_reconstruction` of the best
    constant image, over the first 10,000 rows; `kl` of each latent to its prior, continuous ones
    first, over all rows; `active_latents`; `collapsed` where the decoder does no better than the
    mean image or no latent is active.
    """
    # Filled in place: small results kept between large buffers would make the heap grow and grow.
    latents = model.latents
    means = np.empty((len(rows), latents.continuous), dtype=np.float32)
    logvars = np.empty_like(means)
    categories = np.empty((len(rows), len(latents.categorical)), dtype=np.int64)
    probabilities = np.empty((len(rows), sum(latents.categorical)), dtype=np.float32)
    kl = torch.zeros(latents.continuous + len(latents.categorical), dtype=torch.float64)
    error = 0.0
    total = torch.zeros(data.image_shape, dtype=torch.float64)
    seen = min(RECONSTRUCTED, len(rows))
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = slice(start, min(start + BATCH, len(rows)))
            x = images(data, rows[batch], device)
            posterior = model.encode(x)
            means[batch] = posterior.mean.cpu()
            logvars[batch] = posterior.logvar.cpu()
            categories[batch] = posterior.categories().cpu()
            if posterior.logits:
                softmax = [logits.softmax(-1) for logits in posterior.logits]
                probabilities[batch] = torch.cat(softmax, -1).cpu()
            each = torch.cat([posterior.kl_continuous(), posterior.kl_categorical()])
            kl += each.cpu().double() * len(x)  # not every device has float64
            if start < seen:
                x, mode = x[: seen - start], posterior.mode()[: seen - start]
                error += float(model.reconstruction(x, model.decode(mode))) * len(x)
                total += x.sum(0).cpu().double()
            watch(batch.stop)
    mean_kl = (kl / len(rows)).numpy()
    reconstruction = error / seen
    constant = _entropy(total / seen)
    active = int((mean_kl >= ACTIVE).sum())
    evaluation = {
        "reconstruction": reconstruction,
        "mean_image_reconstruction": constant,
        "kl": mean_kl.tolist(),
        "kl_total": float(mean_kl.sum()),
        "active_latents": active,
        "collapsed": active == 0 or reconstruction > COLLAPSED * constant,
        "rows": len(rows),
    }
    representation = Representation(
        codes=means,
        categories=categories,
        factors=data.values(rows),
        category_sizes=latents.categorical,
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(factor.size for factor in data.factors),
        logvar=logvars,
        kl=mean_kl,
        probabilities=probabilities if latents.categorical else None,
    )
    return representation, evaluation


def samples(
    model: VAE, data: FactorData, rows: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """The arrays behind the pictures: images uint8 (n, C, H, W).

    `originals` and `reconstructions` of the first rows; for each latent, `z1`... and `c1`..., the
    decoded traversal from the first row's code: a continuous latent over two standard deviations
    of the prior to each side, a categorical one category by category.
    """
    latents = model.latents
    model.eval()
    with torch.inference_mode():
        x = images(data, rows[:SHOWN], device)
        code = model.encode(x).mode()
        arrays = {"originals": _pixels(x), "reconstructions": _pixels(_decoded(model, code))}
        for d in range(latents.continuous):
            z = code[:1].repeat(SHOWN, 1)
            z[:, d] = torch.linspace(-REACH, REACH, SHOWN, device=device)
            arrays[f"z{d + 1}"] = _pixels(_decoded(model, z))
        first = latents.continuous
        for c, size in enumerate(latents.categorical):
            z = code[:1].repeat(size, 1)
            z[:, first : first + size] = torch.eye(size, device=device)
            arrays[f"c{c + 1}"] = _pixels(_decoded(model, z))
            first += size
    return arrays


def _decoded(model: VAE, code: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(model.decode(code))


def _pixels(x: torch.Tensor) -> np.ndarray:
    pixels: np.ndarray = (x * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def _entropy(mean: torch.Tensor) -> float:
    """Nats an image of the Bernoulli likelihood of images under their own mean image."""
    p = mean.clamp(1e-12, 1 - 1e-12)
    return float(-(mean * p.log() + (1 - mean) * (1 - p).log()).sum())
