"""The models: one file a paper, the constructor is the configuration."""

from .annealedvae import AnnealedVAE
from .betavae import BetaVAE
from .encoder import Encoder
from .factorvae import FactorVAE
from .jointvae import JointVAE
from .networks import NETWORKS
from .posterior import Latents, Posterior
from .vae import VAE, Objective

# By what they do with the codes; `bench list models` shows them so.
GROUPS: dict[str, dict[str, type[Encoder]]] = {
    "unsupervised, Gaussian codes": {
        "vae": VAE,
        "betavae": BetaVAE,
        "annealedvae": AnnealedVAE,
        "factorvae": FactorVAE,
    },
    "unsupervised, with categories": {
        "jointvae": JointVAE,
    },
}
MODELS: dict[str, type[Encoder]] = {
    name: model for group in GROUPS.values() for name, model in group.items()
}

__all__ = [
    "GROUPS",
    "MODELS",
    "NETWORKS",
    "VAE",
    "AnnealedVAE",
    "BetaVAE",
    "Encoder",
    "FactorVAE",
    "JointVAE",
    "Latents",
    "Objective",
    "Posterior",
]
