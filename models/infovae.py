"""InfoVAE and MMD-VAE (Zhao et al. 2019, arXiv 1706.02262)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .posterior import Posterior
from .vae import VAE, Objective


@dataclass(kw_only=True, eq=False, repr=False)
class InfoVAE(VAE):
    """InfoVAE: reconstruction + (1 - alpha) KL + (alpha + lambda - 1) MMD (Zhao et al. 2019).

    The KL pulls the code of each image towards the prior; the squared maximum mean discrepancy
    (MMD) pulls only the codes of all images together. alpha = 1, our default, is the MMD-VAE, which
    has no KL at all. The MMD is taken between the batch's codes and draws of the prior, over all
    latents at once, see `squared_mmd`. Categories are relaxed in the draws of the prior as they are
    in the codes, so that a posterior equal to the prior is at distance 0.

    The authors' encoder of the MMD-VAE is deterministic. Ours is Gaussian by default: with alpha 1
    no term rewards variance, and the MMD, which sees the codes of all images together, hardly
    opposes its decline, so that training shrinks it. That is a third thing, neither the authors'
    MMD-VAE nor a model with a KL.

    The settings of `VAE` apply as well.

    Attributes:
        alpha: 1 minus the weight of the KL; at most 1.
        lambda_: the paper's lambda, which is a reserved word in Python. 1000 is the paper's for
            MNIST as quoted by trungnt13/odin-ai, there with alpha 0; the paper itself was not read.
            The authors' ShengjiaZhao/MMD-Variational-Autoencoder averages over 784 pixels and
            weights the MMD by 1 or 10: in nats per image, by 784 or 7840.
        samples: draws of the prior per batch; 200 is the number in the authors' mmd_vae.py.
        bandwidth: of the kernel exp(-|z - z'|^2 / (bandwidth L^2)) of codes with L columns; 1 is
            that of the authors' code. That kernel is wide: 10 latents that are 0 for all images
            have an MMD of only 0.0105. Other ports have other widths.
        deterministic: the encoder gives codes, not a distribution over them, as the authors' does;
            alpha must then be 1, as there is no KL, and all latents continuous.
    """

    alpha: float = 1.0
    lambda_: float = 1000.0
    samples: int = 200
    bandwidth: float = 1.0
    deterministic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha > 1:
            raise ValueError(f"alpha={self.alpha}: above 1 the loss falls as the KL grows")
        if self.alpha + self.lambda_ < 1:
            raise ValueError(
                f"lambda_={self.lambda_}: the MMD has weight alpha + lambda_ - 1, "
                f"raise lambda_ to at least {1 - self.alpha:g}"
            )
        if self.deterministic and self.alpha != 1:
            raise ValueError(
                f"alpha={self.alpha}: a deterministic encoder has no KL: set alpha=1, or "
                "deterministic=False"
            )
        if self.deterministic and self.latents.categorical:
            raise ValueError(
                f"categorical={self.latents.categorical}: a deterministic category has no "
                "gradient: set categorical=(), or deterministic=False"
            )
        for name in ("samples", "bandwidth"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        if self.deterministic:
            return z.new_zeros(())
        return (1 - self.alpha) * super().regularizer(posterior, z, step)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        # drawn before the codes, so that they do not depend on the number of images
        prior = self.draw_prior(x, generator)
        objective, z = self._objective(x, step, generator)
        mmd = squared_mmd(z, prior, self.bandwidth * self.latents.width**2)
        loss = objective.losses["vae"] + (self.alpha + self.lambda_ - 1) * mmd
        terms = {**objective.terms, "loss": loss, "mmd": mmd}
        return replace(objective, losses={"vae": loss}, terms=terms)

    def draw_prior(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw codes of the prior, (samples, L), of the dtype and on the device of x."""
        zero = x.new_zeros(self.samples, self.latents.continuous)
        flat = tuple(x.new_zeros(self.samples, size) for size in self.latents.categorical)
        return Posterior(zero, zero, flat).sample(generator, self.temperature)


def squared_mmd(x: Tensor, y: Tensor, width: float) -> Tensor:
    """Squared MMD between rows x (B, L) and y (M, L) with kernel k = exp(-|x - y|^2 / width).

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), the V-statistic, as in the authors' code: every
    row is also paired with itself. So it is never negative, and stays the same if every row comes
    twice. On average it is too large by (1 - E k(x, x')) / B + (1 - E k(y, y')) / M, with
    expectations over different rows; the first part pulls codes slightly inwards, less so in larger
    batches.

    Returns:
        A scalar.
    """

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b).square().sum(-1) / width).mean()

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
