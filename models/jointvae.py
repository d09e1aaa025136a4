"""JointVAE (Dupont 2018, arXiv 1804.00104)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .posterior import Posterior
from .schedules import linear
from .vae import VAE, Objective


@dataclass(kw_only=True, eq=False, repr=False)
class JointVAE(VAE):
    """JointVAE: continuous and categorical latents, a capacity for each kind (Dupont 2018).

    Reconstruction + gamma |KL_z - C_z(step)| + gamma |KL_c - C_c(step)|: the objective of
    section 3 of arXiv 1804.00104 as in the author's code. The absolute values are those of batch
    means, KL_c is the sum over the categorical latents, and C_c never exceeds what they can hold,
    sum ln S_c nats. Both capacities rise linearly from 0. The defaults are the author's settings
    for dSprites.

    The settings of `VAE` apply as well.

    Attributes:
        gamma: weight of the distances of the KLs from their capacities.
        C_z, C_c: the capacities at the end, nats.
        iterations: steps until the capacities are C_z and C_c.
    """

    continuous: int = 6
    categorical: tuple[int, ...] = (3,)
    gamma: float = 150.0
    C_z: float = 40.0
    C_c: float = 1.1
    iterations: int = 300_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("gamma", "C_z", "C_c")
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: must be at least 1")

    def capacities(self, step: int) -> tuple[float, float]:
        """The capacities of the continuous and of the categorical latents at a step, nats."""
        ceiling = sum(math.log(size) for size in self.latents.categorical)
        capacity_z = linear(step, self.C_z, self.iterations)
        return capacity_z, min(linear(step, self.C_c, self.iterations), ceiling)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        capacity_z, capacity_c = self.capacities(step)
        loss_z = (posterior.kl_continuous().sum() - capacity_z).abs()
        loss_c = (posterior.kl_categorical().sum() - capacity_c).abs()
        return self.gamma * (loss_z + loss_c)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        objective = super().objective(x, step, generator)
        capacity_z, capacity_c = self.capacities(step)
        return objective.with_constants(
            capacity_continuous=capacity_z, capacity_categorical=capacity_c
        )
