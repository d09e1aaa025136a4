"""Capacity-annealed beta-VAE (Burgess et al. 2018, arXiv 1804.03599)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .posterior import Posterior
from .schedules import linear
from .vae import VAE, Objective


@dataclass(kw_only=True, eq=False, repr=False)
class AnnealedVAE(VAE):
    """Capacity-annealed beta-VAE: reconstruction + gamma |KL - C(step)| (Burgess et al. 2018).

    Equation 8 of arXiv 1804.03599; the capacity C(step) rises linearly from 0. The defaults are the
    paper's values for dSprites, as quoted by its ports.

    The settings of `VAE` apply as well.

    Attributes:
        gamma: weight of the distance of the KL from the capacity.
        C: the capacity at the end, nats.
        iterations: steps until the capacity is C.
    """

    gamma: float = 1000.0
    C: float = 25.0
    iterations: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("gamma", "C")
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: must be at least 1")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        kl = super().regularizer(posterior, z, step)
        return self.gamma * (kl - linear(step, self.C, self.iterations)).abs()

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        objective = super().objective(x, step, generator)
        capacity = linear(step, self.C, self.iterations)
        return objective.with_constants(capacity=capacity)
