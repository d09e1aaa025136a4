"""Autoencoder (Hinton & Salakhutdinov 2006, Science 313; no arXiv number)."""

from dataclasses import dataclass

from torch import Tensor

from .posterior import Posterior
from .vae import VAE


@dataclass(kw_only=True, eq=False, repr=False)
class Autoencoder(VAE):
    """Autoencoder: reconstruction alone (Hinton & Salakhutdinov 2006).

    Code z = encoder(x), loss -log p(x | z): no noise, no prior, no KL. It is trained as a whole,
    without the layer-wise pretraining of the paper. It shows what a code holds if nothing makes it
    disentangle. The settings are those of `VAE`; `temperature` has no effect.
    """

    deterministic = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latents.categorical:
            raise ValueError(
                f"categorical={self.latents.categorical}: the code of an autoencoder is "
                "continuous: set categorical=(), or use qlae"
            )

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return z.new_zeros(())
