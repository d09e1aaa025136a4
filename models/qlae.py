"""QLAE (Hsu et al. 2023, "Disentanglement via latent quantization", arXiv 2305.18378)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import decoder, encoder, initialise
from .posterior import Posterior
from .vae import VAE, Objective

_CERTAIN = 1e3  # a logit beside which zeros have a probability of 0, in float64 too


@dataclass(kw_only=True, eq=False, repr=False)
class QLAE(VAE):
    """QLAE: reconstruction from latents of few learned values, weight decay (Hsu et al. 2023).

    The encoder gives one number per latent; the decoder takes the nearest of the latent's own S_c
    values, as z = number + stop_gradient(value - number). With P pixels and channels, the loss

        reconstruction + P mean_c [quantization (stop_gradient(number) - value)^2
                                   + commitment (number - stop_gradient(value))^2]

    is P times that of the authors' code (kylehkhsu/latent_quantization), which averages over
    pixels. As there, the values start evenly spaced from -0.5 to 0.5, and neither they nor the
    biases decay. Its clipping of each entry of the gradient, at P in these units, is left out.

    To the suite each latent is categorical: which value is the nearest, with probability 1. A code
    (B, sum S_c) has a one-hot block for each latent, and `decode` takes the mean of a latent's
    values under its block. The settings of `VAE` apply as well; `temperature` has no effect.

    Attributes:
        continuous: 0, as every latent is quantised.
        categorical: the number of values of each latent; the paper has 10 each, and twice as many
            latents as the data have factors.
        quantization, commitment: 0.01 in the code's configurations for Shapes3D, MPI3D, Falcor3D
            and Isaac3D; in its folder `fixed` 0.001 (dSprites too), or 1 and 0.25 (MPI3D). Images
            that are mostly black have fewer nats per pixel: the numbers drift away from their
            values (`squared_distance` in the log) unless both are raised.
        weight_decay: of AdamW, decoupled from the gradient and multiplied by lr; 0.1 in the code's
            configurations (0.001 in one of two for MPI3D).
        lr: 1e-3, with batches of 128 and 200,000 steps, in the code's configurations.
        values: the learned values of all latents, (sum S_c,); no setting.
    """

    continuous: int = 0
    categorical: tuple[int, ...] = (10,) * 10
    quantization: float = 0.01
    commitment: float = 0.01
    weight_decay: float = 0.1
    lr: float = 1e-3

    deterministic = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.continuous:
            raise ValueError(
                f"continuous={self.continuous}: every latent of qlae is quantised: set "
                "continuous=0, and categorical to the numbers of values, e.g. (10,10,10)"
            )
        self.refuse_negative("quantization", "commitment", "weight_decay")
        # both networks have one number per latent, where codes have one column per value
        width = len(self.latents.categorical)
        self.encoder = encoder(self.network, self.image_shape, width)
        self.decoder = decoder(self.network, self.image_shape, width)
        initialise(self, self.initialisation)
        sizes = self.latents.categorical
        self.values = nn.Parameter(torch.empty(sum(sizes)))
        # Made on the CPU and copied: while runs are planned, on a device without memory, `linspace`
        # and `cat` would load torch's compiler.
        with torch.no_grad():
            for values in self.values.split(list(sizes)):
                values.copy_(torch.linspace(-0.5, 0.5, len(values), device="cpu"))

    def encode(self, x: Tensor) -> Posterior:
        """The nearest value of each latent for images (B, C, H, W) in [0, 1]; has no gradient."""
        numbers = self.encoder(x)
        hot = [
            F.one_hot(index, size).to(numbers.dtype) * _CERTAIN
            for index, size in zip(
                self.nearest(numbers).unbind(-1), self.latents.categorical, strict=True
            )
        ]
        return Posterior(numbers.new_zeros(len(numbers), 0), None, tuple(hot))

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder gives for codes (B, sum S_c): (B, C, H, W), see `likelihoods.py`."""
        blocks = (z * self.values).split(self.latents.blocks, -1)
        logits: Tensor = self.decoder(torch.stack([block.sum(-1) for block in blocks], -1))
        return logits

    def nearest(self, numbers: Tensor) -> Tensor:
        """Index of each latent's value that is nearest to the numbers (B, C), (B, C) int64.

        Of equally near values it is the first.
        """
        codebooks = self.values.split(self.latents.blocks)
        return torch.stack(
            [
                (column[:, None] - codebook).abs().argmin(-1)
                for column, codebook in zip(numbers.unbind(-1), codebooks, strict=True)
            ],
            -1,
        )

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        numbers = self.encoder(x)
        codebooks = self.values.split(self.latents.blocks)
        indices = self.nearest(numbers).unbind(-1)
        values = torch.stack([c[i] for c, i in zip(codebooks, indices, strict=True)], -1)
        z = numbers + (values - numbers).detach()
        reconstruction = self.reconstruction(x, self.decoder(z))
        quantization = (values - numbers.detach()).square().mean()  # moves the values
        commitment = (numbers - values.detach()).square().mean()  # moves the encoder
        pixels = math.prod(self.image_shape)
        weighted = self.quantization * quantization + self.commitment * commitment
        loss = reconstruction + pixels * weighted
        terms = {"loss": loss, "reconstruction": reconstruction, "squared_distance": commitment}
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
        """The parameters that decay, and those that do not: the biases and the values."""
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for part in (self.encoder, self.decoder):
            for name, parameter in part.named_parameters():
                (free if name.endswith("bias") else decayed).append(parameter)
        return decayed, [*free, self.values]
