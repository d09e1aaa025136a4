"""Model -> Representation: every image is encoded once, and all metrics read the same codes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.datasets import FactorData
from bench.metrics import Representation
from bench.metrics.vectors import first_component, summed
from bench.models import VAE, Encoder
from bench.store.record import REACH
from bench.streams import numpy_stream
from bench.train.loop import images

BATCH = 64  # images at once: more do not fit into the processor's cache
RECONSTRUCTED = 10_000  # rows behind the reconstruction error
UNSEEN = 2_000  # unseen rows at least, where the data have so many
SHOWN = 10  # images in the picture of reconstructions, values in a traversal
CANDIDATES = 128  # rows that the reference image of the traversals is chosen from


@dataclass(frozen=True)
class Encoded:
    """What a model makes of some rows of a data set. Losses are nats per image.

    Attributes:
        representation: with the rows that were held out of training as its `test`.
        rows: of the data set, (N,), without those held out.
        reconstruction: the decoder's error for the mode's code, over the first 10,000 rows; None
            without a decoder.
        mean_image_reconstruction: error of the best constant image over the same rows.
        held_out_reconstruction: the decoder's error over the first 10,000 held-out rows.
        seen_reconstruction: the decoder's error over those of the first 10,000 rows that are seen.
        seen_mean_image_reconstruction: error of the best constant image over these.
        unseen_reconstruction: over the unseen ones, with those of the representation's `further`.
    """

    representation: Representation
    rows: np.ndarray
    reconstruction: float | None
    mean_image_reconstruction: float | None
    held_out_reconstruction: float | None = None
    seen_reconstruction: float | None = None
    seen_mean_image_reconstruction: float | None = None
    unseen_reconstruction: float | None = None


def encode_drawn(
    model: Encoder,
    data: FactorData,
    count: int,
    seed: int,
    device: torch.device,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Encoded:
    """Encode up to `count` training rows drawn by the seed, and up to as many held-out rows.

    If fewer than 2,000 of the rows are unseen, further unseen ones are encoded, as far as the data
    have some. `watch` gets how many rows are done, and of how many.
    """
    rows, held_out = scored_rows(data, count, seed)
    further = further_rows(data, rows, seed)
    total = len(rows) + len(held_out) + len(further)
    encoded = encode(model, data, rows, device, lambda done: watch(done, total))
    representation = encoded.representation
    if len(held_out):
        test = encode(model, data, held_out, device, lambda done: watch(len(rows) + done, total))
        representation = replace(representation, test=replace(test.representation, unseen=None))
        encoded = replace(encoded, held_out_reconstruction=test.reconstruction)
    if len(further):
        before = len(rows) + len(held_out)
        others = encode(model, data, further, device, lambda done: watch(before + done, total))
        representation = replace(
            representation, further=replace(others.representation, unseen=None)
        )
        first = int(data.unseen(rows[:RECONSTRUCTED]).sum())
        errors = (encoded.unseen_reconstruction, first), (others.reconstruction, len(further))
        known = [(error, weight) for error, weight in errors if error is not None]
        if known:
            mean = sum(error * weight for error, weight in known) / sum(w for _, w in known)
            encoded = replace(encoded, unseen_reconstruction=mean)
    return replace(encoded, representation=representation)


def scored_rows(data: FactorData, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` training rows drawn by the seed, and up to as many of those held out.

    Fewer of the same seed are the first of them.
    """
    stream = numpy_stream(seed, "scored rows")
    rows = stream.permutation(data.training)[:count]
    return rows, data.training + stream.permutation(data.held_out)[:count]


def further_rows(data: FactorData, rows: np.ndarray, seed: int) -> np.ndarray:
    """Unseen training rows beside `rows`, drawn by the seed, so that there are 2,000 in all.

    None if the data have no unseen rows.
    """
    missing = UNSEEN - int(data.unseen(rows).sum())
    if missing <= 0:
        return rows[:0]
    others = np.setdiff1d(np.flatnonzero(data.unseen(np.arange(data.training))), rows)
    return numpy_stream(seed, "further unseen rows").permutation(others)[:missing]


def encode(
    model: Encoder,
    data: FactorData,
    rows: np.ndarray,
    device: torch.device,
    watch: Callable[[int], None] = lambda done: None,
) -> Encoded:
    """Encode some rows: codes are posterior means, categories the most probable ones.

    `watch` gets how many rows are done.
    """
    # Filled in place: small results kept between large buffers would make the heap grow and grow.
    latents = model.latents
    means = np.empty((len(rows), latents.continuous), dtype=np.float32)
    logvars = np.empty_like(means)
    categories = np.empty((len(rows), len(latents.categorical)), dtype=np.int64)
    probabilities = np.empty((len(rows), sum(latents.categorical)), dtype=np.float32)
    divergence = torch.zeros(latents.continuous + len(latents.categorical), dtype=torch.float64)
    decoded = _Decoded(data.image_shape, min(RECONSTRUCTED, len(rows)))
    unseen = data.unseen(rows)
    kinds = (~unseen, unseen) if unseen.any() else ()  # seen and unseen rows, apart
    apart = [_Decoded(data.image_shape, int(kind[:RECONSTRUCTED].sum())) for kind in kinds]
    stochastic = True
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = slice(start, min(start + BATCH, len(rows)))
            x = inputs(model, data, rows[batch], device)
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
                kl = torch.cat([posterior.kl_continuous(), posterior.kl_categorical()])
                divergence += kl.cpu().double() * len(x)  # not every device has float64
            if isinstance(model, VAE):
                mode = posterior.mode()
                decoded.add(model, x, mode)
                for kind, of_kind in zip(kinds, apart, strict=True):
                    some = torch.from_numpy(kind[batch]).to(device)
                    of_kind.add(model, x[some], mode[some])
            watch(batch.stop)
    representation = Representation(
        codes=means,
        categories=categories,
        factors=data.values(rows),
        category_sizes=latents.categorical,
        factor_names=tuple(factor.name for factor in data.factors),
        factor_kinds=tuple(factor.kind for factor in data.factors),
        factor_sizes=tuple(factor.size for factor in data.factors),
        logvar=logvars if stochastic else None,
        kl=_by_latent(model, (divergence / len(rows)).numpy()) if stochastic else None,
        values=data.numbers(rows) if any(f.kind == "continuous" for f in data.factors) else None,
        probabilities=probabilities if latents.categorical else None,
        groups=model.groups,
        unseen=unseen if unseen.any() else None,
    )
    errors = decoded.errors(model)
    of_seen, of_unseen = [side.errors(model) for side in apart] or [errors, (None, None)]
    return Encoded(
        representation,
        rows,
        *errors,
        seen_reconstruction=of_seen[0],
        seen_mean_image_reconstruction=of_seen[1],
        unseen_reconstruction=of_unseen[0],
    )


def _by_latent(model: Encoder, kl: np.ndarray) -> np.ndarray:
    """The KL (D + C,) of each latent, of a vector the sum over its columns."""
    split = model.latents.continuous
    return np.concatenate([summed(kl[:split], model.groups), kl[split:]])


def inputs(model: Encoder, data: FactorData, rows: np.ndarray, device: torch.device) -> Tensor:
    """What the model's `encode` takes of some rows: their images, or their factors (B, K).

    A missing label is given as the first class: metrics leave the row out for that factor.
    """
    if model.input == "factors":
        return torch.from_numpy(np.maximum(data.values(rows), 0)).to(device)
    return images(data, rows, device)


class _Decoded:
    """The reconstruction of the first rows, and what a constant image would do on them."""

    def __init__(self, image_shape: tuple[int, int, int], rows: int) -> None:
        self._missing = self._rows = rows
        self._error = 0.0
        self._total = torch.zeros(image_shape, dtype=torch.float64)
        self._square = torch.zeros_like(self._total)

    def add(self, model: VAE, x: Tensor, mode: Tensor) -> None:
        x, mode = x[: self._missing], mode[: self._missing]
        if len(x):
            self._error += float(model.reconstruction(x, model.decode(mode))) * len(x)
            self._total += x.sum(0).cpu().double()
            self._square += x.square().sum(0).cpu().double()
            self._missing -= len(x)

    def errors(self, model: Encoder) -> tuple[float | None, float | None]:
        """Nats per image, of the model and of the mean image."""
        if not isinstance(model, VAE) or not self._rows:
            return None, None
        mean, square = self._total / self._rows, self._square / self._rows
        return self._error / self._rows, model.mean_image_reconstruction(mean, square)


# The columns of the code that belong to a latent, and what they are set to, (n, columns).
Traversal = tuple[slice, Tensor]


def samples(
    model: VAE, data: FactorData, rows: np.ndarray, codes: np.ndarray, device: torch.device
) -> dict[str, np.ndarray]:
    """The arrays behind the pictures: images uint8 (n, C, H, W).

    `originals` and `reconstructions` of the first rows; `reference`, the image that the traversals
    start from and its reconstruction, chosen by `clearest` among the first 128 rows; for each
    latent, `z1`... and `c1`..., the decoded traversal from the reference's code: a continuous
    latent over two standard deviations of the prior to each side, or of its `codes` (N, D) where
    the model has no prior, a categorical one category by category. A latent that is a vector moves
    as far along the first principal component of its codes.
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
        traversals: dict[str, Traversal] = {}
        ends = np.cumsum(groups := model.groups or (1,) * latents.continuous).tolist()
        for d, (end, size) in enumerate(zip(ends, groups, strict=True)):
            columns = slice(end - size, end)
            centre, step = centres[columns], widths[columns]
            if size > 1:
                step = _along(codes[:, columns], posterior.logvar is not None)
            reached = zip(centre - REACH * step, centre + REACH * step, strict=True)
            lines = [
                torch.linspace(float(low), float(high), SHOWN, device=device)
                for low, high in reached
            ]
            traversals[f"z{d + 1}"] = columns, torch.stack(lines, dim=1)
        first = latents.continuous
        for c, size in enumerate(latents.categorical):
            traversals[f"c{c + 1}"] = slice(first, first + size), torch.eye(size, device=device)
            first += size
        candidates = rows[:CANDIDATES]
        batches = [candidates[i : i + BATCH] for i in range(0, len(candidates), BATCH)]
        modes = torch.cat([model.encode(images(data, b, device)).mode() for b in batches])
        index = clearest(model, modes, traversals.values())
        x = images(data, candidates[index : index + 1], device)
        code = model.encode(x).mode()
        arrays["reference"] = np.concatenate([_pixels(x), _pixels(model.pictures(code))])
        for name, (columns, values) in traversals.items():
            z = code.repeat(len(values), 1)
            z[:, columns] = values
            arrays[name] = _pixels(model.pictures(z))
    return arrays


def _along(codes: np.ndarray, has_prior: bool) -> np.ndarray:
    """One standard deviation, of the prior or of the codes (N, W), along the first component."""
    mean, direction = first_component(codes)
    return direction if has_prior else direction * ((codes - mean) @ direction).std()


def clearest(model: VAE, codes: Tensor, traversals: Collection[Traversal]) -> int:
    """The index of the code from which the traversals of a model are seen best.

    Of the quarter of the codes with the most visible traversals it is the most ordinary one, so
    that a traversal does not leave what the decoder knows. Visible is the sum over the latents of
    log(1 + change), where the change is by how much the pixels differ, in all, between the first,
    the middle and the last picture; by the logarithm no latent outweighs the others, and those
    without an effect hardly count. Ordinary is a code near the middle of all traversals.

    Args:
        model: its decoder draws the pictures.
        codes: to choose from, (M, D + sum S_c).
        traversals: of all latents.
    """
    visible, distance = codes.new_zeros(len(codes)), codes.new_zeros(len(codes))
    for columns, values in traversals:
        low, high = values.aminmax(dim=0)
        reach = (high - low).clamp_min(torch.finfo(codes.dtype).tiny) / 2
        distance += ((codes[:, columns] - (low + high) / 2) / reach).square().sum(1)
        for start in range(0, len(codes), BATCH):
            batch = codes[start : start + BATCH]
            pictures = []
            for value in values[[0, len(values) // 2, -1]]:
                z = batch.clone()
                z[:, columns] = value
                pictures.append(model.pictures(z))
            low, high = torch.stack(pictures).aminmax(dim=0)
            visible[start : start + BATCH] += (high - low).flatten(1).sum(1).log1p()
    best = visible.argsort(descending=True)[: -(-len(codes) // 4)]
    return int(best[distance[best].argmin()])


def _pixels(x: Tensor) -> np.ndarray:
    pixels: np.ndarray = (x * 255).round().to(torch.uint8).cpu().numpy()
    return pixels
