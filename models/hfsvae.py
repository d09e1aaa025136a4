"""Hausdorff factorised support (Roth et al. 2023, arXiv 2210.07347)."""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from .posterior import Posterior
from .vae import VAE, Objective, kl_of_latents, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class HFSVAE(VAE):
    """HFS-VAE: reconstruction + beta KL + gamma distance to factorised support (Roth et al. 2023).

    "Disentanglement of Correlated Factors via Hausdorff Factorized Support": continuous latents
    may depend on one another, as long as every value of one occurs with every value of another.
    For a pair of latents a batch gives B points in the plane; all B^2 combinations of their values
    are its factorised support. The penalty, summed over pairs, is the squared distance of the most
    remote combination from its nearest point, see `hausdorff`. The points are posterior means.
    This and the settings are those of the authors' code,
    facebookresearch/disentangling-correlated-factors; the paper itself was not read.

    Categorical latents are in the KL but not in the distance: the authors' models have none, so
    that is ours. The settings of `VAE` apply as well; the authors' own are network dupont64, which
    they call vae_locatello, initialisation he_uniform and lr 1e-4.

    Attributes:
        beta: weight of the KL; 0 with gamma 300 is the example in that code's README, for 3D
            Shapes. Its searches on dSprites are beta 0 to 16 by gamma 0.1 to 10,000, and gamma 80
            to 2,000 with beta 0; it does not say what was best.
        gamma: weight of the distance. If it is too large (from 10 on at 32x32 pixels and lr 1e-3,
            in short trials of ours), it crushes the means before they are of use, and the decoder
            learns to read the images from the variances, which no distance holds back.
        pairs: pairs of latents drawn per batch, or all if there are fewer; the sum is not scaled up
            to all D (D - 1) / 2 pairs. 25 is the code's default.
        points: combinations drawn per pair, with replacement, among which the most remote one is
            sought; 0, the code's default, takes all B^2, at a cost that grows with B^3.
    """

    beta: float = 0.0
    gamma: float = 300.0
    pairs: int = 25
    points: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta", "gamma", "points")
        if self.pairs < 1:
            raise ValueError(f"pairs={self.pairs}: must be at least 1")
        if self.continuous < 2:
            raise ValueError(
                f"continuous={self.continuous}: a support factorises over pairs of continuous "
                "latents, raise it to at least 2"
            )

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return self.beta * super().regularizer(posterior, z, step)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        # drawn before the noise, so that they do not depend on the number of images
        pairs = self.draw_pairs(generator)
        posterior = self.encode(x)
        z = posterior.sample(generator, self.temperature)
        reconstruction = self.reconstruction(x, self.decode(z))
        distance = hausdorff(posterior.mean, pairs, self.points, generator)
        loss = reconstruction + self.regularizer(posterior, z, step) + self.gamma * distance
        terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
        terms["hausdorff"] = distance
        return Objective({"vae": loss}, terms, kl_of_latents(posterior))

    def draw_pairs(self, generator: torch.Generator) -> Tensor:
        """Draw different pairs of continuous latents, (P, 2) int64."""
        device = generator.device
        every = torch.tensor(list(combinations(range(self.continuous), 2)), device=device)
        if len(every) <= self.pairs:
            return every
        return every[torch.randperm(len(every), generator=generator, device=device)[: self.pairs]]


def hausdorff(z: Tensor, pairs: Tensor, points: int, generator: torch.Generator) -> Tensor:
    """Squared Hausdorff distance between codes and their factorised support, scalar.

    The sum over pairs of latents (i, j) of the maximum over rows a and b of the minimum over rows k
    of (z_ai - z_ki)^2 + (z_bj - z_kj)^2.

    A Hausdorff distance is the greater of two directed ones. Here the other one is 0 and left out:
    the codes are in their factorised support, where a = b. The gradient flows into all three rows;
    the authors found that training diverges if a and b are detached.

    Args:
        z: codes (B, D).
        pairs: pairs of latents (P, 2) int64.
        points: how many draws of (a, b) to take the maximum over, which is at most that over all
            rows; 0 for all rows.
        generator: source of these draws.
    """
    rows = len(z)
    i, j = pairs.unbind(-1)
    # Finding the rows needs no gradient: the distance is computed again from P times three rows.
    with torch.no_grad():
        apart = (z[:, None] - z).square().transpose(1, 2)
        from_i, from_j = apart[:, i], apart[:, j]  # (k, P, a), (k, P, b)
        if points:
            a, b = torch.randint(
                rows, (2, len(pairs), points), generator=generator, device=z.device
            )
            from_i = from_i.gather(2, a.expand(rows, -1, -1))
            from_j = from_j.gather(2, b.expand(rows, -1, -1))
        else:
            from_i, from_j = from_i[..., None], from_j[:, :, None]
        nearest = z.new_full((), torch.inf)
        for to_a, to_b in zip(from_i, from_j, strict=True):  # k by k, which never holds B^3 numbers
            nearest = torch.minimum(nearest, to_a + to_b)
        remotest = nearest.flatten(1).argmax(-1, keepdim=True)
        if points:
            a, b = a.gather(1, remotest)[:, 0], b.gather(1, remotest)[:, 0]
        else:
            a, b = remotest[:, 0] // rows, remotest[:, 0] % rows
        k = ((z[a, i] - z[:, i]).square() + (z[b, j] - z[:, j]).square()).argmin(0)
    return ((z[a, i] - z[k, i]).square() + (z[b, j] - z[k, j]).square()).sum()
