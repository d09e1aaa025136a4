"""Joint beta-VAE, the baseline of JointVAE (Dupont 2018, arXiv 1804.00104, section 3)."""

from dataclasses import dataclass

from torch import Tensor

from .posterior import Posterior
from .vae import VAE


@dataclass(kw_only=True, eq=False, repr=False)
class JointBetaVAE(VAE):
    """Joint beta-VAE: reconstruction + beta KL_z + beta_c KL_c, no capacities (Dupont 2018).

    beta-VAE with both kinds of latents, the starting point of section 3 of arXiv 1804.00104, where
    one weight serves both kinds. Trained like that, it tends to ignore the categories: their KL
    goes to 0. That is why JointVAE gives each kind a capacity.

    The settings of `VAE` apply as well.

    Attributes:
        continuous, categorical: those of Dupont's JointVAE on dSprites.
        beta: weight of the KL of the continuous latents; 4 is Higgins et al. 2017's for dSprites.
        beta_c: weight of the KL of the categorical latents; 4, the same, is Dupont's baseline, and
            any other value is ours.
    """

    continuous: int = 6
    categorical: tuple[int, ...] = (3,)
    beta: float = 4.0
    beta_c: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta", "beta_c")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        kl_z, kl_c = posterior.kl_continuous().sum(), posterior.kl_categorical().sum()
        return self.beta * kl_z + self.beta_c * kl_c
