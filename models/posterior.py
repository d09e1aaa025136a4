"""Latent specifications and the posterior q(z, c | x) over them.

Letters: B images in a batch, D continuous latents, C categorical latents, S_c categories of
latent c. Codes are (B, D + sum S_c): in each row the D continuous values, then the (relaxed)
one-hot block of each categorical latent.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """How many latents of which kind; JointVAE on dSprites has `Latents(6, (3,))`.

    Attributes:
        continuous: the number D of continuous latents.
        categorical: the sizes S_c of the categorical latents.

    Raises:
        ValueError: there is no latent at all, or a categorical one has fewer than two values.
    """

    continuous: int = 10
    categorical: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.continuous < 0 or self.continuous + len(self.categorical) == 0:
            raise ValueError("a model needs at least one latent: raise continuous or categorical")
        if any(size < 2 for size in self.categorical):
            raise ValueError(f"categorical={self.categorical}: each size must be at least 2")

    @property
    def width(self) -> int:
        """The number of columns of a code: D + sum S_c."""
        return self.continuous + sum(self.categorical)

    @property
    def parameters(self) -> int:
        """How many numbers the encoder gives per image: 2 D + sum S_c."""
        return 2 * self.continuous + sum(self.categorical)

    @property
    def blocks(self) -> list[int]:
        """How many columns of a code each latent has: D ones, then the S_c."""
        return [1] * self.continuous + list(self.categorical)


@dataclass(frozen=True)
class Posterior:
    """q(z, c | x): independent Gaussian and categorical latents.

    Without a log-variance the code is deterministic: the mean and the most probable categories.
    It then has no KL.

    Attributes:
        mean: (B, D).
        logvar: log-variances (B, D), or None.
        logits: for each categorical latent (B, S_c), unnormalised.
    """

    mean: Tensor
    logvar: Tensor | None
    logits: tuple[Tensor, ...] = ()

    @property
    def variance(self) -> Tensor:
        """The variance of each continuous latent, (B, D)."""
        return torch.zeros_like(self.mean) if self.logvar is None else self.logvar.exp()

    def sample(self, generator: torch.Generator, temperature: float = 0.67) -> Tensor:
        """A reparametrised code (B, D + sum S_c); categories are Gumbel-softmax relaxed.

        Kingma & Welling 2014, equation 10; Maddison et al. 2017 and Jang et al. 2017 for the
        categories. A deterministic code gives its mode.

        Args:
            generator: source of the draws, on the device of the posterior.
            temperature: of the relaxation.
        """
        if self.logvar is None:
            return self.mode()
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        blocks = [self.mean + noise * torch.exp(0.5 * self.logvar)]
        for logits in self.logits:
            # -log of an exponential variate is a Gumbel variate; the clamp avoids log(0)
            gumbel = (
                -torch.empty_like(logits).exponential_(generator=generator).clamp_min(1e-20).log()
            )
            blocks.append(F.softmax((F.log_softmax(logits, -1) + gumbel) / temperature, -1))
        return torch.cat(blocks, -1)

    def mode(self) -> Tensor:
        """The code used for evaluation, (B, D + sum S_c): means and one-hot argmaxes."""
        hot = [F.one_hot(k.argmax(-1), k.shape[-1]).to(self.mean.dtype) for k in self.logits]
        return torch.cat([self.mean, *hot], -1)

    def categories(self) -> Tensor:
        """The most probable category of each categorical latent, (B, C) int64."""
        if not self.logits:
            return torch.zeros(len(self.mean), 0, dtype=torch.int64, device=self.mean.device)
        return torch.stack([k.argmax(-1) for k in self.logits], -1)

    def kl_continuous(self) -> Tensor:
        """KL(q(z_d | x) || N(0, 1)) of each continuous latent, batch mean, nats, (D,).

        Raises:
            ValueError: the code is deterministic.
        """
        if self.logvar is None:
            raise ValueError("a deterministic code has no KL to a prior")
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).mean(0)

    def kl_categorical(self) -> Tensor:
        """KL(q(c | x) || uniform) of each categorical latent, batch mean, nats, (C,).

        ln S + sum_s q_s ln q_s: that of the categories themselves, not of their relaxation
        (Dupont 2018, section 3.2). Finite for any finite logits.
        """
        if not self.logits:
            return self.mean.new_zeros(0)
        return torch.stack([_divergence_from_uniform(k) for k in self.logits])


def _divergence_from_uniform(logits: Tensor) -> Tensor:
    log_q = F.log_softmax(logits, -1)
    return math.log(logits.shape[-1]) + (log_q.exp() * log_q).sum(-1).mean()
