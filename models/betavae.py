"""beta-VAE (Higgins et al. 2017, ICLR)."""

from dataclasses import dataclass

from torch import Tensor

from .posterior import Posterior
from .schedules import warmed
from .vae import VAE


@dataclass(kw_only=True, eq=False, repr=False)
class BetaVAE(VAE):
    """beta-VAE: reconstruction + beta KL (Higgins et al. 2017).

    Equation 4 of the paper, summed per image.

    The settings of `VAE` apply as well.

    Attributes:
        beta: weight of the KL; 4 is the paper's value for dSprites.
        warmup: steps over which that weight rises linearly from 0 to beta; 0 for none.
            YannDubs/disentangling-vae has 10,000 on dSprites.
    """

    beta: float = 4.0
    warmup: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta", "warmup")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        beta = self.beta * warmed(step, self.warmup)
        return beta * super().regularizer(posterior, z, step)
