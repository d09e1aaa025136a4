"""Baselines: codes that need no training, against which every table should be read.

The factors themselves score the most that a metric can give; an untrained network and principal
components score what needs no representation learning. Higgins et al. 2017 too compare with the
ground truth, with PCA and with an untrained VAE.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoder import Encoder, Input
from .networks import Initialisation, Network, encoder, initialise
from .posterior import Latents, Posterior

_CERTAIN = 1e4  # a logit beside zeros whose softmax is exactly 1
_BATCH = 256  # images encoded at once


class Factor(Protocol):
    """What a baseline needs to know about a factor; the factors of a data set have it."""

    @property
    def size(self) -> int: ...
    @property
    def kind(self) -> str: ...


@dataclass(kw_only=True, eq=False, repr=False)
class GroundTruth(Encoder):
    """Ground truth: the factors themselves as codes, the ceiling (no paper).

    A categorical factor is a categorical latent of the same size. Any other factor is a continuous
    latent: its class index, standardised as if all classes were equally frequent. A factor with one
    class says nothing and is no latent.

    Attributes:
        image_shape: has no effect.
        factors: those of the data set, in the order of `encode`'s columns. They are no setting: the
            suite passes them.

    Raises:
        ValueError: no factor varies.
    """

    input: ClassVar[Input] = "factors"

    image_shape: tuple[int, int, int] = (1, 64, 64)
    factors: Sequence[Factor] = ()

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        sizes = [factor.size for factor in self.factors]
        varying = [k for k, size in enumerate(sizes) if size > 1]
        if not varying:
            raise ValueError("the ground truth needs factors that vary: pass those of a data set")
        self._categorical = [k for k in varying if self.factors[k].kind == "categorical"]
        self._continuous = [k for k in varying if k not in self._categorical]
        self._sizes = sizes
        self.latents = Latents(len(self._continuous), tuple(sizes[k] for k in self._categorical))

    def encode(self, x: Tensor) -> Posterior:
        """The codes of factor classes (B, K) int."""
        columns = [_standardised(x[:, k], self._sizes[k]) for k in self._continuous]
        mean = (
            torch.stack(columns, -1) if columns else x.new_zeros((len(x), 0), dtype=torch.float32)
        )
        logits = tuple(
            _CERTAIN * F.one_hot(x[:, k], self._sizes[k]).to(torch.float32)
            for k in self._categorical
        )
        return Posterior(mean, None, logits)


@dataclass(kw_only=True, eq=False, repr=False)
class RandomEncoder(Encoder):
    """Random encoder: a network as it was initialised, a floor (no paper).

    The scale of such codes means nothing, and metrics that ignore latents of little spread would be
    left with none; so each latent is standardised over the images given to `fit`.

    Attributes:
        image_shape: (C, H, W) of the images, values in [0, 1].
        continuous: number D of latents.
        network: name of the encoder, see `networks.py`.
        initialisation: how its weights are set, see `networks.py`.
        centre, spread: mean and standard deviation of each latent, (D,), from `fit`.
    """

    image_shape: tuple[int, int, int] = (1, 64, 64)
    continuous: int = 10
    network: Network = "dupont"
    initialisation: Initialisation = "pytorch"

    centre: Tensor = field(init=False)
    spread: Tensor = field(init=False)

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        self.latents = Latents(self.continuous)
        self.encoder = encoder(self.network, self.image_shape, self.continuous)
        initialise(self, self.initialisation)
        # buffers, so that they are stored with the weights
        self.register_buffer("centre", torch.zeros(self.continuous))
        self.register_buffer("spread", torch.ones(self.continuous))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Find the mean and the standard deviation of each latent over images (N, C, H, W)."""
        outputs = torch.cat([self.encoder(batch) for batch in x.split(_BATCH)])
        spread = outputs.std(0, correction=0)
        self.centre.copy_(outputs.mean(0))
        self.spread.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))

    def encode(self, x: Tensor) -> Posterior:
        return Posterior((self.encoder(x) - self.centre) / self.spread, None)


@dataclass(kw_only=True, eq=False, repr=False)
class PCA(Encoder):
    """Principal components of the pixels, a floor (Pearson 1901).

    Pearson 1901, doi 10.1080/14786440109462720. The codes are the projections of the centred
    images on the first components, not scaled.

    Attributes:
        image_shape: (C, H, W) of the images, values in [0, 1].
        continuous: number D of components; 10, as the models have 10 latents.
        mean: of each pixel, (C H W,), from `fit`.
        components: (C H W, D), from `fit`.

    Raises:
        ValueError: there are not that many components.
    """

    image_shape: tuple[int, int, int] = (1, 64, 64)
    continuous: int = 10

    mean: Tensor = field(init=False)
    components: Tensor = field(init=False)

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        pixels = math.prod(self.image_shape)
        if not 1 <= self.continuous < pixels:
            raise ValueError(f"continuous={self.continuous}: choose 1 to {pixels - 1} components")
        self.latents = Latents(self.continuous)
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(pixels, self.continuous))

    def fit(self, x: Tensor) -> None:
        """Find the mean and the components of images (N, C, H, W).

        Raises:
            ValueError: there are no more images than components.
        """
        from sklearn.decomposition import PCA as SklearnPCA

        if len(x) <= self.continuous:
            raise ValueError(
                f"{len(x)} images have no {self.continuous} components: lower continuous"
            )
        # exact for a few components, and reproducible
        fitted = SklearnPCA(self.continuous, svd_solver="arpack", random_state=0)
        fitted.fit(x.flatten(1).cpu().numpy())
        self.mean.copy_(torch.from_numpy(fitted.mean_))
        self.components.copy_(torch.from_numpy(fitted.components_.copy()).T)

    def encode(self, x: Tensor) -> Posterior:
        return Posterior((x.flatten(1) - self.mean) @ self.components, None)


def _standardised(classes: Tensor, size: int) -> Tensor:
    """Classes 0 to size - 1, scaled to mean 0 and variance 1 if all are equally frequent."""
    return (classes - (size - 1) / 2) / math.sqrt((size**2 - 1) / 12)
