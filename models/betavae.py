"""beta-VAE (Higgins et al. 2017, ICLR)."""

from torch import Tensor

from .networks import Network
from .posterior import Posterior
from .vae import VAE


class BetaVAE(VAE):
    """beta-VAE: reconstruction + beta KL (Higgins et al. 2017).

    Equation 4 of the paper, in its per-image-sum form. beta: weight of the KL; 4 is the paper's
    value for dSprites. The other arguments are those of `VAE`.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int] = (1, 64, 64),
        continuous: int = 10,
        categorical: tuple[int, ...] = (),
        beta: float = 4.0,
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
        if beta < 0:
            raise ValueError(f"beta={beta}: must not be negative")
        self.beta = beta

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return self.beta * super().regularizer(posterior, z, step)
