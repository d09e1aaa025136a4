"""CascadeVAE (Jeong & Song 2019, arXiv 1905.09432)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .networks import encoder, initialise
from .posterior import Posterior
from .vae import VAE, Objective, kl_of_latents, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class CascadeVAE(VAE):
    """CascadeVAE: latents opened one by one, the category by assignment (Jeong & Song 2019).

    Reconstruction + sum_d beta_d KL_d as in the authors' code (snu-mllab/DisentanglementICML19),
    which gives all defaults: beta_d is beta_l for an open continuous latent and beta_h for a closed
    one. These latents are opened one after another, and the category after some of them. The
    category has no encoder. While it is closed, its block of the code is 0; afterwards the
    categories of a batch, given its z, are those of least total cost: -log p(x | z, c) of each
    image, plus `pairwise` for each pair of images in the same category. That is a linear
    assignment, solved exactly on the CPU, which costs one transfer of (B, S) per step. No gradient
    passes through it, and a step decodes a batch S + 1 times.

    `encode` decodes the mean of z with each of the S categories; the logits are minus the costs.
    Their softmax is p(c | x, z) of the model for a uniform prior: it is as certain as the decoder,
    and its KL is near ln S wherever the decoder uses the category, whether rightly or wrongly.
    While the category is closed the decoder has not learned it, and the most probable one means
    nothing.

    Different from the authors' code: there each latent starts with a new Adam, and the standard
    deviation is the softplus of the encoder's output. Their code also defines a decay of lr, by 0.3
    every 50,000 steps, but never runs the operation that counts the steps (`update_step_op`), so
    that its lr stays at 1e-4. The settings of `VAE` apply as well; `temperature` has no effect.

    Attributes:
        categorical: one size, or () for CascadeVAE-C.
        beta_l, beta_h: weights of the KL of open and closed continuous latents.
        pairwise: lambda, nats for each pair of images of a batch that share a category.
        category_after: how many continuous latents are opened before the category; all of them if
            there are fewer.
        iterations: steps after which all latents are open. The first is open from the start, and
            the others follow at equal intervals: for the default latents 20,000 steps, as in the
            authors' code. Its CascadeVAE-C, which has continuous=10 and no category, needs 180,000
            for that.
        weight_decay: L2 penalty; the authors' spares biases, this one does not. It matters: it
            takes the decoder's weights of the closed category to 0, so that the category opens
            without a jump.
        lr: learning rate of Adam, at the start.
        lr_decay: factor of lr after every `lr_decay_steps` steps; 1 for none, 0.3 for the decay
            that the authors' code defines.
        lr_decay_steps: 50,000 is that of the authors' code.
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
    lr_decay: float = 1.0
    lr_decay_steps: int = 50_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta_l", "beta_h", "pairwise", "category_after", "weight_decay")
        for name in ("iterations", "lr_decay_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if not 0 < self.lr_decay <= 1:
            raise ValueError(f"lr_decay={self.lr_decay}: must be above 0 and at most 1")
        if len(self.latents.categorical) > 1:
            raise ValueError(
                f"categorical={self.latents.categorical}: CascadeVAE infers one category at most: "
                "give one size, or none"
            )
        if self.continuous < 1:
            raise ValueError("continuous=0: CascadeVAE encodes nothing else: set it to at least 1")
        self.encoder = encoder(self.network, self.image_shape, 2 * self.continuous)  # no logits
        initialise(self.encoder, self.initialisation)

    def opened(self, step: int) -> tuple[int, bool]:
        """How many continuous latents are open at a step, and whether the category is open."""
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
        """-log p(x | z, c) of each image under each category c, nats, (B, S). Decodes S times.

        Args:
            x: images (B, C, H, W).
            z: continuous latents (B, D).
        """
        # `reconstruction` averages over the batch; the costs are those of single images
        image_costs = torch.vmap(lambda x, logits: self.reconstruction(x[None], logits[None]))
        (size,) = self.latents.categorical
        categories = torch.eye(size, dtype=z.dtype, device=z.device)
        rows = z.shape[0]  # len(z) would make it a constant for torch.export
        return torch.stack(
            [
                image_costs(x, self.decode(torch.cat([z, hot.expand(rows, -1)], -1)))
                for hot in categories
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
            hot = F.one_hot(assign_categories(costs, self.pairwise), costs.shape[-1]).to(z.dtype)
            posterior = replace(posterior, logits=(-costs,))  # for the log
        else:
            hot = z.new_zeros(len(z), sum(self.latents.categorical))
        code = torch.cat([z, hot], -1)
        reconstruction = self.reconstruction(x, self.decode(code))
        loss = reconstruction + self.regularizer(posterior, code, step)
        terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
        return Objective({"vae": loss}, terms, kl_of_latents(posterior))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        parameters = self.players()["vae"]
        decay = self.weight_decay
        return {"vae": torch.optim.Adam(parameters, self.lr, weight_decay=decay, fused=True)}

    def learning_rates(self, step: int) -> dict[str, float]:
        if self.lr_decay == 1:
            return {}
        return {"vae": self.lr * self.lr_decay ** ((step - 1) // self.lr_decay_steps)}


def assign_categories(costs: Tensor, pairwise: float) -> Tensor:
    """The categories of a batch that cost least together.

    Minimises sum_i costs[i, c_i] + pairwise sum_k n_k (n_k - 1) / 2 over all c, where n_k images
    have category k: each pair of images with the same category costs `pairwise`. The r-th image
    of a category adds r - 1 pairs, so a category is equivalent to B seats, for one image each, that
    cost 0, 1, 2, ... times `pairwise`. The cheapest seats are taken first, and which image gets
    which seat is a linear assignment, (B, S B). The authors solve it as a minimum-cost flow.

    Args:
        costs: of each image in each category, nats, (B, S).
        pairwise: nats for each pair of images in the same category.

    Returns:
        (B,) int64 on the device of the costs.
    """
    # If training diverges, the costs are no longer finite. The loss reports that, not the solver.
    unary = np.nan_to_num(costs.detach().cpu().double().numpy(), nan=0.0, posinf=1e30, neginf=-1e30)
    rows, size = unary.shape
    seats = unary[:, :, None] + pairwise * np.arange(rows)
    _, taken = linear_sum_assignment(seats.reshape(rows, size * rows))
    return torch.from_numpy(taken // rows).to(costs.device)
