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
from .vae import VAE, Objective, kl_of_latents, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class AdaGVAE(VAE):
    """Ada-GVAE: reconstruction + beta KL, over pairs with shared latents (Locatello et al. 2020).

    It takes pairs of images, rows i and i + B / 2 of a batch, that differ in a few factors, and is
    not told in which. A pair shares the latents whose KL(q(z_d | x_i) || q(z_d | x_{i + B / 2})) is
    below the midpoint between the smallest and the largest of these KLs. Their two posteriors are
    replaced by one with the mean of both means and the mean of both variances (as in GVAE, Hosoya
    2019, arXiv 1809.02383). The loss is that of beta-VAE, averaged over both images. This is
    GroupVAEArgmax in weak_vae.py of disentanglement_lib, whose distance is twice the KL.

    Categorical latents are ours: their KLs are compared together with those of the continuous
    ones, and a shared one gets the mean of both probabilities. The settings of `VAE` apply as well.

    Attributes:
        beta: weight of the KL; 1 (the plain bound) is ours.
        changed: the number of factors in which the images of a pair differ, for the code that draws
            the pairs; 0 for a different number in each pair.
        symmetric: compare the means of the KLs in both directions, nmichlo/disent's default, after
            Dittadi et al. 2020 (arXiv 2010.14407).
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

    The posterior of a shared latent is proportional to (q(z_d | x_i) q(z_d | x_{i + B / 2}))^power
    (ML-VAE, Bouchacourt et al. 2018, arXiv 1705.08841): its precision is
    power (1 / v_1 + 1 / v_2), and its mean is weighted by precision. Everything else is as in
    `AdaGVAE`, including categorical latents and the other settings.

    Attributes:
        power: 0.5 is what weak_vae.py of disentanglement_lib computes, the geometric mean: a pair
            of two identical images changes nothing. 1 is the product of ML-VAE, which has half that
            variance.
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
        def product(first: Posterior, second: Posterior) -> Posterior:
            return product_of_both(first, second, self.power)

        return _objective(self, product, self.symmetric, x, step, generator)


Merge = Callable[[Posterior, Posterior], Posterior]


def shared_latents(first: Posterior, second: Posterior, symmetric: bool = False) -> Tensor:
    """Which latents each pair shares, (B / 2, D + C) bool, continuous ones first.

    These are the latents whose distance is below the midpoint of the pair's range; none if all are
    equally far apart.
    """
    with torch.no_grad():
        distance = divergence(first, second)
        if symmetric:
            distance = (distance + divergence(second, first)) / 2
        least, most = distance.amin(1, keepdim=True), distance.amax(1, keepdim=True)
        return distance < least / 2 + most / 2


def divergence(first: Posterior, second: Posterior) -> Tensor:
    """KL(first || second) of each latent, nats, (B, D + C), continuous ones first.

    Raises:
        ValueError: a code is deterministic.
    """
    first_logvar, second_logvar = _logvar(first), _logvar(second)
    ratio = first_logvar - second_logvar
    apart = (first.mean - second.mean) * torch.exp(-0.5 * second_logvar)
    columns = [0.5 * (torch.expm1(ratio) - ratio + apart.square())]
    for a, b in zip(first.logits, second.logits, strict=True):
        log_p, log_q = F.log_softmax(a, -1), F.log_softmax(b, -1)
        columns.append((log_p.exp() * (log_p - log_q)).sum(-1, keepdim=True))
    return torch.cat(columns, -1)


def mean_of_both(first: Posterior, second: Posterior) -> Posterior:
    """The posterior with the means of the means, of the variances and of the probabilities."""
    return Posterior(
        (first.mean + second.mean) / 2,
        torch.logaddexp(_logvar(first), _logvar(second)) - math.log(2),
        tuple(
            torch.logaddexp(F.log_softmax(a, -1), F.log_softmax(b, -1))
            for a, b in zip(first.logits, second.logits, strict=True)
        ),
    )


def product_of_both(first: Posterior, second: Posterior, power: float) -> Posterior:
    """(first second)^power, normalised."""
    first_logvar, second_logvar = _logvar(first), _logvar(second)
    share = torch.sigmoid(second_logvar - first_logvar)  # of the first in the precision
    return Posterior(
        share * first.mean + (1 - share) * second.mean,
        -torch.logaddexp(-first_logvar, -second_logvar) - math.log(power),
        tuple(
            power * (F.log_softmax(a, -1) + F.log_softmax(b, -1))
            for a, b in zip(first.logits, second.logits, strict=True)
        ),
    )


def merge_shared(posterior: Posterior, merge: Merge, symmetric: bool) -> tuple[Posterior, Tensor]:
    """Merge the shared latents of a batch of pairs.

    Args:
        posterior: (B, ...), rows i and i + B / 2 are a pair.
        merge: gives one posterior for two.
        symmetric: see `AdaGVAE`.

    Returns:
        The posterior (B, ...) in which both rows of a pair have the same shared latents, and which
        latents each pair shares, (B / 2, D + C) bool.

    Raises:
        ValueError: the number of rows is odd, or the code is deterministic.
    """
    if len(posterior.mean) % 2:
        raise ValueError(
            f"a batch of {len(posterior.mean)} images is no batch of pairs: "
            "set batch_size to an even number"
        )
    first, second = _halves(posterior)
    shared = shared_latents(first, second, symmetric)
    both, twice = merge(first, second), shared.repeat(2, 1)
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
    posterior, shared = merge_shared(model.encode(x), merge, symmetric)
    z = posterior.sample(generator, model.temperature)
    reconstruction = model.reconstruction(x, model.decode(z))
    loss = reconstruction + model.regularizer(posterior, z, step)
    shared_count = shared.sum(1).to(loss.dtype).mean()
    terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
    terms["shared_latents"] = shared_count
    return Objective({"vae": loss}, terms, kl_of_latents(posterior))


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
            "latents and not others, which takes at least two: raise continuous"
        )
