"""The models: one file a paper, the constructor is the configuration."""

from .annealedvae import AnnealedVAE
from .betavae import BetaVAE
from .factorvae import FactorVAE
from .jointvae import JointVAE
from .networks import NETWORKS
from .posterior import Latents, Posterior
from .vae import VAE, Objective

MODELS: dict[str, type[VAE]] = {
    "vae": VAE,
    "betavae": BetaVAE,
    "annealedvae": AnnealedVAE,
    "jointvae": JointVAE,
    "factorvae": FactorVAE,
}

__all__ = [
    "MODELS",
    "NETWORKS",
    "VAE",
    "AnnealedVAE",
    "BetaVAE",
    "FactorVAE",
    "JointVAE",
    "Latents",
    "Objective",
    "Posterior",
]
