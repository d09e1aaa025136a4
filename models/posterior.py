"""Latent specifications and the posterior q(z, c | x) over them.

Letters: B batch, D continuous latents, C categorical latents, S_c categories of latent c.
A code is one row: the D continuous values, then the (relaxed) one-hot block of each categorical
latent, (B, D + sum S_c).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """How many latents of which kind; JointVAE on dSprites is `Latents(6, (3,))`.

    Raises ValueError where there is no latent at all or a category has fewer than two values.
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
        """Columns of a code: D + sum S_c."""
        return self.continuous + sum(self.categorical)

    @property
    def parameters(self) -> int:
        """Numbers that the encoder gives for an image: 2 D + sum S_c."""
        return 2 * self.continuous + sum(self.categorical)

    @property
    def blocks(self) -> list[int]:
        """Width of each latent's columns in a code: D ones, then the S_c."""
        return [1] * self.continuous + list(self.categorical)


@dataclass(frozen=True)
class Posterior:
    """q(z, c | x): independent Gaussians and categories.

    mean, logvar: (B, D); logits: one (B, S_c) tensor a categorical latent, unnormalised. Without
    a logvar the code is deterministic: the mean, and the most probable categories; it has no KL.
    """

    mean: Tensor
    logvar: Tensor | None
    logits: tuple[Tensor, ...] = ()

    @property
    def variance(self) -> Tensor:
        """Of each continuous latent, (B, D)."""
        return torch.zeros_like(self.mean) if self.logvar is None else self.logvar.exp()

    def sample(self, generator: torch.Generator, temperature: float = 0.67) -> Tensor:
        """A reparametrised code (B, D + sum S_c); categories are Gumbel-softmax relaxed.

        Kingma & Welling 2014, equation 10; Maddison et al. 2017 and Jang et al. 2017 for the
        categories. Draws from `generator`, which must live on the device of the posterior.
        A deterministic code is its mode.
        """
        if self.logvar is None:
            return self.mode()
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        blocks = [self.mean + noise * torch.exp(0.5 * self.logvar)]
        for logits in self.logits:
            # -log of an exponential variate is a Gumbel variate; the clamp keeps log(0) out
            gumbel = (
                -torch.empty_like(logits).exponential_(generator=generator).clamp_min(1e-20).log()
            )
            blocks.append(F.softmax((F.log_softmax(logits, -1) + gumbel) / temperature, -1))
        return torch.cat(blocks, -1)

    def mode(self) -> Tensor:
        """The code used for evaluation, (B, D + sum S_c): means, and one-hot argmaxes."""
        hot = [F.one_hot(k.argmax(-1), k.shape[-1]).to(self.mean.dtype) for k in self.logits]
        return torch.cat([self.mean, *hot], -1)

    def categories(self) -> Tensor:
        """The most probable category of each categorical latent, (B, C) int64."""
        if not self.logits:
            return torch.zeros(len(self.mean), 0, dtype=torch.int64, device=self.mean.device)
        return torch.stack([k.argmax(-1) for k in self.logits], -1)

    def kl_continuous(self) -> Tensor:
        """KL(q(z_d | x) || N(0, 1)) of each continuous latent, batch mean, nats, (D,).

        Raises ValueError for a deterministic code.
        """
        if self.logvar is None:
            raise ValueError("a deterministic code has no KL to a prior")
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).mean(0)

    def kl_categorical(self) -> Tensor:
        """KL(q(c | x) || uniform) of each categorical latent, batch mean, nats, (C,).

        ln S + sum_s q_s ln q_s, of the categories themselves, not of their relaxation
        (Dupont 2018, section 3.2). Finite for any finite logits.
        """
        if not self.logits:
            return self.mean.new_zeros(0)
        return torch.stack([_divergence_from_uniform(k) for k in self.logits])


def _divergence_from_uniform(logits: Tensor) -> Tensor:
    log_q = F.log_softmax(logits, -1)
    return math.log(logits.shape[-1]) + (log_q.exp() * log_q).sum(-1).mean()
