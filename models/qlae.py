"""QLAE (Hsu et al. 2023, "Disentanglement via latent quantization", arXiv 2305.18378)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import decoder, encoder, initialise
from .posterior import Posterior
from .vae import VAE, Objective

_CERTAIN = 1e3  # a logit that leaves the other categories a probability of 0 in float64 too


@dataclass(kw_only=True, eq=False, repr=False)
class QLAE(VAE):
    """QLAE: reconstruction from latents of few learnt values, weight decay (Hsu et al. 2023).

    The encoder gives a number for each latent; the decoder takes the nearest of the latent's own
    S_c values, as z = number + stop_gradient(value - number). With P pixels and channels, the loss

        reconstruction + P mean_c [quantization (stop_gradient(number) - value)^2
                                   + commitment (number - stop_gradient(value))^2]

    is P times that of the authors' code (kylehkhsu/latent_quantization), which averages over
    pixels. There the values start evenly from -0.5 to 0.5, and neither they nor the biases decay.
    Its clipping of each entry of the gradient, at P in these units, is left out.

    categorical: the number of values of each latent; the paper has 10 of each, and twice as many
        latents as the data have factors
    continuous: 0, every latent is quantised
    quantization, commitment: 0.01 in the code's configurations for Shapes3D, MPI3D, Falcor3D and
        Isaac3D; in its folder `fixed` 0.001 (dSprites too), or 1 and 0.25 (MPI3D). Images that
        are mostly black have fewer nats a pixel: the numbers drift away from their values
        (`squared_distance` in the log) unless both are raised
    weight_decay: of AdamW, decoupled from the gradient and multiplied by lr; 0.1 in the code's
        configurations (0.001 in one of two for MPI3D)
    lr: 1e-3, with batches of 128 and 200,000 steps, in the code's configurations
    The other settings are those of `VAE`; `temperature` has no effect.

    A latent is one category to the suite, which value is the nearest, with probability 1: a code
    (B, sum S_c) has a one-hot block for each latent, and `decode` takes the mean of a latent's
    values under its block.
    """

    continuous: int = 0
    categorical: tuple[int, ...] = (10,) * 10
    quantization: float = 0.01
    commitment: float = 0.01
    weight_decay: float = 0.1
    lr: float = 1e-3

    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.continuous:
            raise ValueError(
                f"continuous={self.continuous}: every latent of qlae is quantised: set "
                "continuous=0, and categorical to the numbers of values, e.g. (10,10,10)"
            )
        self.refuse_negative("quantization", "commitment", "weight_decay")
        # a number for each latent on both sides, where codes have a column for each value
        width = len(self.latents.categorical)
        self.encoder = encoder(self.network, self.image_shape, width)
        self.decoder = decoder(self.network, self.image_shape, width)
        initialise(self, self.initialisation)
        starts = [torch.linspace(-0.5, 0.5, size) for size in self.latents.categorical]
        self.values = nn.Parameter(torch.cat(starts))

    def encode(self, x: Tensor) -> Posterior:
        """Which value is the nearest, for images (B, C, H, W) in [0, 1]; without a gradient."""
        number = self.encoder(x)
        hot = [
            F.one_hot(index, size).to(number.dtype) * _CERTAIN
            for index, size in zip(
                self.nearest(number).unbind(-1), self.latents.categorical, strict=True
            )
        ]
        return Posterior(number.new_zeros(len(number), 0), None, tuple(hot))

    def decode(self, z: Tensor) -> Tensor:
        """Numbers (B, C, H, W) of codes (B, sum S_c), which the likelihood explains."""
        blocks = (z * self.values).split(self.latents.blocks, -1)
        logits: Tensor = self.decoder(torch.stack([block.sum(-1) for block in blocks], -1))
        return logits

    def nearest(self, number: Tensor) -> Tensor:
        """Index of the nearest value of each latent, (B, C) int64; the first of equally near."""
        codebooks = self.values.split(self.latents.blocks)
        return torch.stack(
            [
                (column[:, None] - codebook).abs().argmin(-1)
                for column, codebook in zip(number.unbind(-1), codebooks, strict=True)
            ],
            -1,
        )

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        number = self.encoder(x)
        codebooks = self.values.split(self.latents.blocks)
        index = self.nearest(number).unbind(-1)
        value = torch.stack([c[i] for c, i in zip(codebooks, index, strict=True)], -1)
        z = number + (value - number).detach()
        reconstruction = self.reconstruction(x, self.decoder(z))
        moved = (value - number.detach()).square().mean()  # what moves the values
        committed = (number - value.detach()).square().mean()  # what moves the encoder
        pixels = math.prod(self.image_shape)
        weighted = self.quantization * moved + self.commitment * committed
        loss = reconstruction + pixels * weighted
        terms = {"loss": loss, "reconstruction": reconstruction, "squared_distance": committed}
        return Objective({"vae": loss}, terms)

    def players(self) -> dict[str, list[nn.Parameter]]:
        decayed, free = self._groups()
        return {"vae": [*decayed, *free]}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        decayed, free = self._groups()
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        return {"vae": torch.optim.AdamW(groups, lr=self.lr, fused=True)}

    def _groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters that decay, and those that do not: biases, and the values."""
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for part in (self.encoder, self.decoder):
            for name, parameter in part.named_parameters():
                (free if name.endswith("bias") else decayed).append(parameter)
        return decayed, [*free, self.values]
