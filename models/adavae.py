"""Ada-GVAE and Ada-ML-VAE (Locatello et al. 2020, arXiv 2002.02886)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .encoder import Input
from .posterior import Posterior
from .vae import VAE, Objective, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class AdaGVAE(VAE):
    """Ada-GVAE: reconstruction + beta KL, over pairs with shared latents (Locatello et al. 2020).

    Fed pairs of images that differ in a few factors, which ones is not told: row i of a batch and
    row i + B / 2. A pair shares the latents whose KL(q(z_d | x_i) || q(z_d | x_{i + B / 2})) is
    below the middle between the smallest and the largest of them; their two posteriors are
    replaced by one, of the mean of both means and of both variances (as GVAE, Hosoya 2019, arXiv
    1809.02383). The loss is that of beta-VAE, averaged over both images. The same as
    GroupVAEArgmax in weak_vae.py of disentanglement_lib, whose distance is twice the KL.

    beta: weight of the KL; 1 (the plain bound) is ours
    changed: the number of factors in which a pair differs, for who draws the pairs; 0 for another
        number in each pair
    symmetric: the mean of the KLs in both directions, nmichlo/disent's default, after Dittadi et
        al. 2020 (arXiv 2010.14407)
    The other settings are those of `VAE`. Categories are ours: their KLs stand in one row with
    those of the others, and a shared one has the mean of both probabilities.
    """

    beta: float = 1.0
    changed: int = 1
    symmetric: bool = False

    input: ClassVar[Input] = "pairs"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta", "changed")
        _refuse_one_latent(self)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return self.beta * super().regularizer(posterior, z, step)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        return _objective(self, mean_of_both, self.symmetric, x, step, generator)


@dataclass(kw_only=True, eq=False, repr=False)
class AdaMLVAE(VAE):
    """Ada-ML-VAE: Ada-GVAE with shared latents multiplied, not averaged (Locatello et al. 2020).

    The posterior of a shared latent is in proportion to (q(z_d | x_i) q(z_d | x_{i + B / 2}))^power
    (ML-VAE, Bouchacourt et al. 2018, arXiv 1705.08841): of precision power (1 / v_1 + 1 / v_2), and
    of the mean weighted by precision. All else is as in `AdaGVAE`, categories too.

    power: 0.5 is what weak_vae.py of disentanglement_lib computes, the geometric mean: a pair of
        the same image changes nothing. 1 is the product of ML-VAE, of half that variance
    """

    beta: float = 1.0
    changed: int = 1
    symmetric: bool = False
    power: float = 0.5

    input: ClassVar[Input] = "pairs"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta", "changed")
        if self.power <= 0:
            raise ValueError(f"power={self.power}: must be above 0")
        _refuse_one_latent(self)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return self.beta * super().regularizer(posterior, z, step)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        def product(one: Posterior, other: Posterior) -> Posterior:
            return product_of_both(one, other, self.power)

        return _objective(self, product, self.symmetric, x, step, generator)


Merge = Callable[[Posterior, Posterior], Posterior]


def shared_latents(one: Posterior, other: Posterior, symmetric: bool = False) -> Tensor:
    """Which latents each pair shares, (B / 2, D + C) bool, continuous ones first.

    Those nearer than the middle of the range; none where all are equally far.
    """
    with torch.no_grad():
        distance = divergence(one, other)
        if symmetric:
            distance = (distance + divergence(other, one)) / 2
        least, most = distance.amin(1, keepdim=True), distance.amax(1, keepdim=True)
        return distance < least / 2 + most / 2


def divergence(one: Posterior, other: Posterior) -> Tensor:
    """KL(one || other) of each latent in nats, (B, D + C), continuous ones first."""
    first, second = _logvar(one), _logvar(other)
    ratio = first - second
    apart = (one.mean - other.mean) * torch.exp(-0.5 * second)
    columns = [0.5 * (torch.expm1(ratio) - ratio + apart.square())]
    for a, b in zip(one.logits, other.logits, strict=True):
        log_p, log_q = F.log_softmax(a, -1), F.log_softmax(b, -1)
        columns.append((log_p.exp() * (log_p - log_q)).sum(-1, keepdim=True))
    return torch.cat(columns, -1)


def mean_of_both(one: Posterior, other: Posterior) -> Posterior:
    """Means of the means, of the variances, and of the probabilities."""
    return Posterior(
        (one.mean + other.mean) / 2,
        torch.logaddexp(_logvar(one), _logvar(other)) - math.log(2),
        tuple(
            torch.logaddexp(F.log_softmax(a, -1), F.log_softmax(b, -1))
            for a, b in zip(one.logits, other.logits, strict=True)
        ),
    )


def product_of_both(one: Posterior, other: Posterior, power: float) -> Posterior:
    """(one other)^power, normalised."""
    first, second = _logvar(one), _logvar(other)
    share = torch.sigmoid(second - first)  # of the first in the precision
    return Posterior(
        share * one.mean + (1 - share) * other.mean,
        -torch.logaddexp(-first, -second) - math.log(power),
        tuple(
            power * (F.log_softmax(a, -1) + F.log_softmax(b, -1))
            for a, b in zip(one.logits, other.logits, strict=True)
        ),
    )


def merged(posterior: Posterior, merge: Merge, symmetric: bool) -> tuple[Posterior, Tensor]:
    """The posterior of a batch of pairs with the shared latents merged, and which these are.

    (B, ...) as `posterior`, and (B / 2, D + C) bool. Raises ValueError for an odd batch.
    """
    if len(posterior.mean) % 2:
        raise ValueError(
            f"a batch of {len(posterior.mean)} is no batch of pairs: set batch_size to an even"
        )
    one, other = _halves(posterior)
    shared = shared_latents(one, other, symmetric)
    both, twice = merge(one, other), shared.repeat(2, 1)
    continuous = posterior.mean.shape[1]
    z, c = twice[:, :continuous], twice[:, continuous:, None]
    return (
        Posterior(
            torch.where(z, both.mean.repeat(2, 1), posterior.mean),
            torch.where(z, _logvar(both).repeat(2, 1), _logvar(posterior)),
            tuple(
                torch.where(c[:, k], both.logits[k].repeat(2, 1), logits)
                for k, logits in enumerate(posterior.logits)
            ),
        ),
        shared,
    )


def _objective(
    model: VAE, merge: Merge, symmetric: bool, x: Tensor, step: int, generator: torch.Generator
) -> Objective:
    posterior, shared = merged(model.encode(x), merge, symmetric)
    z = posterior.sample(generator, model.temperature)
    reconstruction = model.reconstruction(x, model.decode(z))
    loss = reconstruction + model.regularizer(posterior, z, step)
    number = shared.sum(1).to(loss.dtype).mean()
    terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
    return Objective({"vae": loss}, {**terms, "shared_latents": number})


def _halves(posterior: Posterior) -> tuple[Posterior, Posterior]:
    mean, logvar = posterior.mean.chunk(2), _logvar(posterior).chunk(2)
    logits = [k.chunk(2) for k in posterior.logits]
    return (
        Posterior(mean[0], logvar[0], tuple(k[0] for k in logits)),
        Posterior(mean[1], logvar[1], tuple(k[1] for k in logits)),
    )


def _logvar(posterior: Posterior) -> Tensor:
    if posterior.logvar is None:
        raise ValueError("a deterministic code has no distance to another")
    return posterior.logvar


def _refuse_one_latent(model: VAE) -> None:
    if len(model.latents.blocks) < 2:
        raise ValueError(
            f"continuous={model.continuous}, categorical={model.categorical}: a pair shares some "
            "latents and not others, which takes two: raise continuous"
        )
