"""From a model to arrays: every image is encoded once, and all metrics read the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy

from bench.datasets import FactorData
from bench.metrics import Representation
from bench.models import VAE, Encoder, Latents, Posterior
from bench.store.record import ACTIVE, REACH
from bench.streams import numpy_stream
from bench.train.feed import images

BATCH = 64  # images at once: more do not fit into the processor's cache
RECONSTRUCTED = 10_000  # rows behind the reconstruction error
COLLAPSED = 0.99  # of the mean image's error: above, the decoder uses no code
CLEARLY = 0.05  # of the mean image's error: its noise over an interval is below that
SPREAD = 0.01  # of the largest standard deviation, from which a deterministic latent is active
SHOWN = 10  # images in the picture of reconstructions, values in a traversal


def encode_drawn(
    model: Encoder,
    data: FactorData,
    count: int,
    seed: int,
    device: torch.device,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Representation, dict[str, Any], np.ndarray]:
    """Encode up to `count` training rows drawn by the seed, and as many of those held out.

    The latter are the representation's `test`, and `held_out` of the evaluation. Also returns the
    training rows that were drawn; `watch` gets how many rows are done, and of how many.
    """
    stream = numpy_stream(seed, "scored rows")
    rows = stream.permutation(data.training)[:count]
    held_out = data.training + stream.permutation(data.held_out)[:count]
    total = len(rows) + len(held_out)
    representation, evaluation = encode(model, data, rows, device, lambda done: watch(done, total))
    if len(held_out):
        test, of_test = encode(
            model, data, held_out, device, lambda done: watch(len(rows) + done, total)
        )
        representation = replace(representation, test=test)
        kept = ("reconstruction", "kl_total", "rows")
        evaluation["held_out"] = {key: of_test[key] for key in kept}
    return representation, evaluation, rows


def encode(
    model: Encoder,
    data: FactorData,
    rows: np.ndarray,
    device: torch.device,
    watch: Callable[[int], None] = lambda done: None,
) -> tuple[Representation, dict[str, Any]]:
    """The representation of some rows, and the evaluation of the model on them.

    Codes are posterior means, categories the most probable ones. The evaluation, all nats an
    image: `reconstruction` of the mode's code and `mean_image_reconstruction` of the best
    constant image, over the first 10,000 rows; `kl` of each latent to its prior, continuous ones
    first, over all rows, and `kl_total`; each None of a model that has no decoder, or no
    distributions. `spread` of each latent over the rows: the standard deviation of a continuous
    one, the entropy of a categorical one in nats; `active`, whether a latent is: by its KL, else
    by its spread; `active_latents`, their number; `collapsed` where the decoder does no better
    than the mean image or no latent is active.
    """
    # Filled in place: small results kept between large buffers would make the heap grow and grow.
    latents = model.latents
    means = np.empty((len(rows), latents.continuous), dtype=np.float32)
    logvars = np.empty_like(means)
    categories = np.empty((len(rows), len(latents.categorical)), dtype=np.int64)
    probabilities = np.empty((len(rows), sum(latents.categorical)), dtype=np.float32)
    divergence = torch.zeros(latents.continuous + len(latents.categorical), dtype=torch.float64)
    decoded = _Decoded(data.image_shape, min(RECONSTRUCTED, len(rows)))
    stochastic = True
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = slice(start, min(start + BATCH, len(rows)))
            x = fed(model, data, rows[batch], device)
            posterior = model.encode(x)
            means[batch] = posterior.mean.cpu()
            categories[batch] = posterior.categories().cpu()
            if posterior.logits:
                softmax = [logits.softmax(-1) for logits in posterior.logits]
                probabilities[batch] = torch.cat(softmax, -1).cpu()
            if posterior.logvar is None:
                stochastic = False
            else:
                logvars[batch] = posterior.logvar.cpu()
                each = torch.cat([posterior.kl_continuous(), posterior.kl_categorical()])
                divergence += each.cpu().double() * len(x)  # not every device has float64
            if isinstance(model, VAE):
                decoded.add(model, x, posterior)
            watch(batch.stop)
    kl = (divergence / len(rows)).numpy() if stochastic else None
    spread = np.concatenate([means.std(0, dtype=np.float64), _entropies(categories, latents)])
    active = spread > SPREAD * spread.max(initial=0.0) if kl is None else kl >= ACTIVE
    evaluation = {
        **decoded.evaluation(model),
        "kl": None if kl is None else kl.tolist(),
        "kl_total": None if kl is None else float(kl.sum()),
        "continuous": latents.continuous,
        "spread": spread.tolist(),
        "active": active.tolist(),
        "active_latents": int(active.sum()),
        "rows": len(rows),
    }
    evaluation["collapsed"] = not active.any() or decoded.blind(evaluation)
    representation = Representation(
        codes=means,
        categories=categories,
        factors=data.values(rows),
        category_sizes=latents.categorical,
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(factor.size for factor in data.factors),
        logvar=logvars if stochastic else None,
        kl=kl,
        probabilities=probabilities if latents.categorical else None,
    )
    return representation, evaluation


def fed(model: Encoder, data: FactorData, rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """What the model's `encode` takes of some rows: their images, or their factors (B, K)."""
    if model.input == "factors":
        return torch.from_numpy(data.values(rows)).to(device)
    return images(data, rows, device)


class _Decoded:
    """The reconstruction of the first rows, and what a constant image would do on them."""

    def __init__(self, image_shape: tuple[int, int, int], rows: int) -> None:
        self._missing = self._rows = rows
        self._error = 0.0
        self._total = torch.zeros(image_shape, dtype=torch.float64)
        self._square = torch.zeros_like(self._total)

    def add(self, model: VAE, x: torch.Tensor, posterior: Posterior) -> None:
        x, mode = x[: self._missing], posterior.mode()[: self._missing]
        if len(x):
            self._error += float(model.reconstruction(x, model.decode(mode))) * len(x)
            self._total += x.sum(0).cpu().double()
            self._square += x.square().sum(0).cpu().double()
            self._missing -= len(x)

    def evaluation(self, model: Encoder) -> dict[str, float | None]:
        if not isinstance(model, VAE):
            return {"reconstruction": None, "mean_image_reconstruction": None}
        mean, square = self._total / self._rows, self._square / self._rows
        return {
            "reconstruction": self._error / self._rows,
            "mean_image_reconstruction": model.mean_image_reconstruction(mean, square),
        }

    @staticmethod
    def blind(evaluation: dict[str, Any]) -> bool:
        """Whether the decoder does no better than the mean image."""
        error, constant = (
            evaluation[key] for key in ("reconstruction", "mean_image_reconstruction")
        )
        return error is not None and bool(error > constant - (1 - COLLAPSED) * abs(constant))


def collapsed_from(
    history: Sequence[Mapping[str, float]], evaluation: Mapping[str, Any]
) -> int | None:
    """The first step from which a collapsed training never used its codes again.

    Codes are in use where the reconstruction of an interval is clearly below that of the mean
    image and the KL is that of an active latent. None where the history does not tell.
    """
    constant = evaluation["mean_image_reconstruction"]
    if constant is None or not history or "reconstruction" not in history[0]:
        return None
    since = 1
    for row in history:
        kl = [row[name] for name in ("kl_continuous", "kl_categorical") if name in row]
        seen = row["reconstruction"] < constant - CLEARLY * abs(constant)
        if seen and (not kl or sum(kl) >= ACTIVE):
            since = int(row["step"]) + 1
    return since


def _entropies(categories: np.ndarray, latents: Latents) -> np.ndarray:
    """Of the most probable category of each categorical latent, nats, (C,)."""
    counts = [
        np.bincount(column, minlength=size)
        for column, size in zip(categories.T, latents.categorical, strict=True)
    ]
    return np.array([entropy(count) for count in counts])


def samples(
    model: VAE, data: FactorData, rows: np.ndarray, codes: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """The arrays behind the pictures: images uint8 (n, C, H, W).

    `originals` and `reconstructions` of the first rows; for each latent, `z1`... and `c1`..., the
    decoded traversal from the first row's code: a continuous latent over two standard deviations
    of the prior to each side, or of its `codes` (N, D) where the model has no prior, a
    categorical one category by category.
    """
    latents = model.latents
    model.eval()
    with torch.inference_mode():
        x = images(data, rows[:SHOWN], device)
        posterior = model.encode(x)
        code = posterior.mode()
        if posterior.logvar is None:
            centres, widths = codes.mean(0), codes.std(0)
        else:
            centres, widths = np.zeros(latents.continuous), np.ones(latents.continuous)
        arrays = {"originals": _pixels(x), "reconstructions": _pixels(model.pictures(code))}
        for d in range(latents.continuous):
            z = code[:1].repeat(SHOWN, 1)
            low, high = (centres[d] + reach * widths[d] for reach in (-REACH, REACH))
            z[:, d] = torch.linspace(float(low), float(high), SHOWN, device=device)
            arrays[f"z{d + 1}"] = _pixels(model.pictures(z))
        first = latents.continuous
        for c, size in enumerate(latents.categorical):
            z = code[:1].repeat(size, 1)
            z[:, first : first + size] = torch.eye(size, device=device)
            arrays[f"c{c + 1}"] = _pixels(model.pictures(z))
            first += size
    return arrays


def _pixels(x: torch.Tensor) -> np.ndarray:
    pixels: np.ndarray = (x * 255).round().to(torch.uint8).cpu().numpy()
    return pixels
