"""FactorVAE (Kim & Mnih 2018, arXiv 1802.05983)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import initialise
from .posterior import Posterior
from .schedules import warmed
from .vae import VAE, Objective


@dataclass(kw_only=True, eq=False, repr=False)
class FactorVAE(VAE):
    """FactorVAE: reconstruction + KL + gamma total correlation by density ratio (Kim & Mnih 2018).

    Equation 2 and algorithm 2 of arXiv 1802.05983. A discriminator learns to tell codes from codes
    whose latents are permuted over the batch; the mean difference of its two logits estimates the
    total correlation. Its own loss moves only the discriminator, and the model's loss moves only
    the encoder and decoder.

    The settings of `VAE` apply as well.

    Attributes:
        gamma: weight of the total correlation; 35 is the ports' value for dSprites.
        warmup: steps over which that weight rises linearly from 0 to gamma; 0 for none.
            YannDubs/disentangling-vae has 10,000 on dSprites. The weight of the KL is always 1, and
            the discriminator learns from the first step on.
        second_batch: permute the codes of a second batch, as the paper does: the batch is halved,
            and its first half trains the model. False permutes the codes of the same batch, as
            disentanglement_lib and InfoGAN-CR do.
        hidden, layers: width and number of the discriminator's hidden layers, leaky ReLU of slope
            0.2; 6 of 1000 are disentanglement_lib's and paruby/FactorVAE's.
        lr_discriminator: learning rate of its Adam, with betas (0.5, 0.9); 1e-4 is the ports' value
            for dSprites.
        lr: learning rate of the model's Adam.
    """

    gamma: float = 35.0
    warmup: int = 0
    second_batch: bool = False
    hidden: int = 1000
    layers: int = 6
    lr_discriminator: float = 1e-4
    lr: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("gamma", "warmup")
        for name in ("lr_discriminator", "hidden", "layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0")
        widths = [self.latents.width] + [self.hidden] * self.layers
        dense: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            dense += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*dense, nn.Linear(self.hidden, 2))
        initialise(self.discriminator, self.initialisation)  # VAE's constructor did not have it

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        gamma = self.gamma * warmed(step, self.warmup)
        return super().regularizer(posterior, z, step) + gamma * self.total_correlation(z)

    def total_correlation(self, z: Tensor) -> Tensor:
        """The discriminator's estimate of the total correlation of codes (B, width), in nats."""
        logits = self.discriminator(z)
        difference: Tensor = logits[:, 0] - logits[:, 1]
        return difference.mean()

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        other = None
        if self.second_batch:
            if len(x) < 2:
                raise ValueError("second_batch halves the batch: raise batch_size to at least 2")
            x, other = x.chunk(2)
        objective, z = self._objective(x, step, generator)
        z = z.detach()
        with torch.no_grad():
            second = z if other is None else self.encode(other).sample(generator, self.temperature)
            permuted = permute_latents(second, self.latents.blocks, generator)
        logits = self.discriminator(torch.cat([z, permuted]))
        # class 0: codes of images; class 1: permuted codes
        truth = torch.arange(2, device=z.device).repeat_interleave(
            torch.tensor([len(z), len(permuted)], device=z.device)
        )
        loss = F.cross_entropy(logits, truth)
        of_images, of_permuted = logits.detach()[: len(z)].mean(0)
        terms = {
            **objective.terms,
            "total_correlation": of_images - of_permuted,
            "discriminator_loss": loss,
        }
        return replace(objective, losses={**objective.losses, "discriminator": loss}, terms=terms)

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {**super().players(), "discriminator": list(self.discriminator.parameters())}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "vae": torch.optim.Adam(super().players()["vae"], lr=self.lr, fused=True),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(),
                lr=self.lr_discriminator,
                betas=(0.5, 0.9),
                fused=True,
            ),
        }


def permute_latents(z: Tensor, blocks: list[int], generator: torch.Generator) -> Tensor:
    """Permute each latent of codes over the batch, independently of the others.

    Algorithm 1 of arXiv 1802.05983.

    Args:
        z: codes (B, sum of blocks).
        blocks: the number of columns of each latent, which stay together.
        generator: source of the permutations.

    Returns:
        Codes (B, sum of blocks).
    """
    columns = []
    for block in z.split(blocks, dim=-1):
        order = torch.randperm(len(z), generator=generator, device=z.device)
        columns.append(block[order])
    return torch.cat(columns, -1)
