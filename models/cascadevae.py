"""CascadeVAE (Jeong & Song 2019, arXiv 1905.09432)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .networks import encoder, initialise
from .posterior import Posterior
from .vae import VAE, Objective, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class CascadeVAE(VAE):
    """CascadeVAE: latents opened one by one, the category by assignment (Jeong & Song 2019).

    Reconstruction + sum_d beta_d KL_d after the authors' code (snu-mllab/DisentanglementICML19),
    which gives all defaults: beta_d is beta_l for an opened continuous latent and beta_h for a
    closed one. They are opened one after another, the category after some of them. It has no
    encoder. Before it is opened its block of the code is 0; afterwards the categories of a batch,
    given its z, are those of least total cost: -log p(x | z, c) of each image, plus `pairwise`
    for each pair of images of the same category. That is a linear assignment, solved exactly on
    the CPU: one transfer of (B, S) costs a step. No gradient passes through it, and a step
    decodes a batch S + 1 times.

    `encode` decodes the mean of z with each of the S categories; the logits are minus the costs.
    Their softmax is p(c | x, z) of the model, for a uniform prior: it is as sure as the decoder,
    and its KL is near ln S wherever the decoder uses the category, right or wrong. Before the
    category is opened the decoder has not been taught it, and the most probable one means nothing.

    beta_l, beta_h: weights of the KL of opened and closed continuous latents
    pairwise: lambda, nats for each pair of images of a batch that share a category
    category_after: continuous latents that are opened before the category, or all of them where
        there are fewer
    iterations: steps after which all latents are open. The first is open from the start, the
        others follow at equal distances: for the default latents 20,000 steps, as in the authors'
        code. Its CascadeVAE-C, which has continuous=10 and no category, needs 180,000 for that
    weight_decay: L2 penalty; the authors' spares biases, this does not. It matters: it takes the
        decoder's weights of the closed category to 0, so that the category opens without a jump
    categorical: one size, or () for CascadeVAE-C

    Not the authors': they decay lr by 0.3 every 50,000 steps, start a new Adam with each latent,
    and take the softplus of the encoder's output for a standard deviation. `temperature` is not
    used. The other settings are those of `VAE`.
    """

    continuous: int = 6
    categorical: tuple[int, ...] = (3,)
    beta_l: float = 0.1
    beta_h: float = 10.0
    pairwise: float = 0.001
    category_after: int = 4
    iterations: int = 120_000
    weight_decay: float = 4e-5
    lr: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta_l", "beta_h", "pairwise", "category_after", "weight_decay")
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: must be at least 1")
        if len(self.latents.categorical) > 1:
            raise ValueError(
                f"categorical={self.latents.categorical}: CascadeVAE infers one category at most: "
                "give one size, or none"
            )
        if self.continuous < 1:
            raise ValueError("continuous=0: CascadeVAE encodes nothing else: raise it to 1 or more")
        self.encoder = encoder(self.network, self.image_shape, 2 * self.continuous)  # no logits
        initialise(self.encoder, self.initialisation)

    def opened(self, step: int) -> tuple[int, bool]:
        """How many continuous latents are open at a step, and whether the category is."""
        last = self.latents.continuous + len(self.latents.categorical) - 1
        stage = min((step - 1) * last // self.iterations, last)
        category = bool(self.latents.categorical) and stage >= min(
            self.category_after, self.latents.continuous
        )
        return stage + 1 - category, category

    def encode(self, x: Tensor) -> Posterior:
        posterior = self._continuous(x)
        if not self.latents.categorical:
            return posterior
        return replace(posterior, logits=(-self.costs(x, posterior.mean),))

    def _continuous(self, x: Tensor) -> Posterior:
        mean, logvar = self.encoder(x).chunk(2, dim=-1)
        return Posterior(mean, logvar)

    def costs(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x | z, c) of images (B, C, H, W) under each category c, nats, (B, S).

        z: the continuous latents, (B, D). Decodes S times.
        """
        of_each_image = torch.vmap(lambda x, logits: self.reconstruction(x[None], logits[None]))
        (size,) = self.latents.categorical
        every = torch.eye(size, dtype=z.dtype, device=z.device)
        rows = z.shape[0]  # len(z) would make it a constant for torch.export
        return torch.stack(
            [
                of_each_image(x, self.decode(torch.cat([z, hot.expand(rows, -1)], -1)))
                for hot in every
            ],
            -1,
        )

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        kl = posterior.kl_continuous()
        count, _ = self.opened(step)
        return self.beta_l * kl[:count].sum() + self.beta_h * kl[count:].sum()

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        posterior = self._continuous(x)
        z = posterior.sample(generator)
        _, category = self.opened(step)
        if category:
            with torch.no_grad():
                costs = self.costs(x, z)
            hot = F.one_hot(assigned(costs, self.pairwise), costs.shape[-1]).to(z.dtype)
            posterior = replace(posterior, logits=(-costs,))  # for the log
        else:
            hot = z.new_zeros(len(z), sum(self.latents.categorical))
        code = torch.cat([z, hot], -1)
        reconstruction = self.reconstruction(x, self.decode(code))
        loss = reconstruction + self.regularizer(posterior, code, step)
        terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
        return Objective({"vae": loss}, terms)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        parameters = self.players()["vae"]
        decay = self.weight_decay
        return {"vae": torch.optim.Adam(parameters, self.lr, weight_decay=decay, fused=True)}


def assigned(costs: Tensor, pairwise: float) -> Tensor:
    """The categories (B,) int64 of a batch that cost least together, on the device of the costs.

    Minimises sum_i costs[i, c_i] + pairwise sum_k n_k (n_k - 1) / 2 over all c, where n_k images
    have category k: each pair of images with the same category costs `pairwise`. The r-th image
    of a category adds r - 1 pairs, so the category is as good as B seats of prices 0, 1, 2, ...
    times `pairwise`, each for one image. The cheapest seats are taken first, and which image has
    which seat is a linear assignment, (B, S B). The authors solve it as a minimum-cost flow.
    """
    # A training that diverges has costs that are no numbers. Its loss says so, not the solver.
    unary = np.nan_to_num(costs.detach().cpu().double().numpy(), nan=0.0, posinf=1e30, neginf=-1e30)
    rows, size = unary.shape
    seats = unary[:, :, None] + pairwise * np.arange(rows)
    _, taken = linear_sum_assignment(seats.reshape(rows, size * rows))
    return torch.from_numpy(taken // rows).to(costs.device)
