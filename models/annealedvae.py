"""Capacity-annealed beta-VAE (Burgess et al. 2018, arXiv 1804.03599)."""

from torch import Tensor

from .networks import Network
from .posterior import Posterior
from .schedules import linear
from .vae import VAE


class AnnealedVAE(VAE):
    """Capacity-annealed beta-VAE: reconstruction + gamma |KL - C(step)| (Burgess et al. 2018).

    Equation 8 of arXiv 1804.03599. gamma 1000 and a capacity C that rises linearly from 0 to 25
    nats over 100,000 iterations are the paper's values for dSprites, as quoted by its ports.
    The other arguments are those of `VAE`.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int] = (1, 64, 64),
        continuous: int = 10,
        categorical: tuple[int, ...] = (),
        gamma: float = 1000.0,
        C: float = 25.0,
        iterations: int = 100_000,
        network: Network = "dupont",
        temperature: float = 0.67,
        lr: float = 5e-4,
    ) -> None:
        super().__init__(
            image_shape=image_shape,
            continuous=continuous,
            categorical=categorical,
            network=network,
            temperature=temperature,
            lr=lr,
        )
        if gamma < 0 or C < 0 or iterations < 1:
            raise ValueError(
                f"gamma={gamma}, C={C}, iterations={iterations}: "
                "gamma and C must not be negative, iterations at least 1"
            )
        self.gamma = gamma
        self.C = C
        self.iterations = iterations

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        kl = super().regularizer(posterior, z, step)
        return self.gamma * (kl - linear(step, self.C, self.iterations)).abs()
