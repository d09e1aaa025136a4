"""The models: one file per paper; the constructor is the configuration."""

from .adavae import AdaGVAE, AdaMLVAE
from .annealedvae import AnnealedVAE
from .autoencoder import Autoencoder
from .baselines import PCA, GroundTruth, RandomEncoder
from .betatcvae import BetaTCVAE
from .betavae import BetaVAE
from .cascadevae import CascadeVAE
from .categoricalvae import CategoricalVAE
from .dipvae import DIPVAE1, DIPVAE2
from .encoder import Encoder
from .factorvae import FactorVAE
from .hfsvae import HFSVAE
from .infovae import InfoVAE
from .jointbetavae import JointBetaVAE
from .jointvae import JointVAE
from .networks import NETWORKS
from .posterior import Latents, Posterior
from .qlae import QLAE
from .vae import VAE, Objective, PlainVAE

# By the kind of codes and of supervision; `bench list models` shows these groups.
GROUPS: dict[str, dict[str, type[Encoder]]] = {
    "unsupervised, Gaussian codes": {
        "vae": PlainVAE,
        "betavae": BetaVAE,
        "annealedvae": AnnealedVAE,
        "factorvae": FactorVAE,
        "betatcvae": BetaTCVAE,
        "dipvae1": DIPVAE1,
        "dipvae2": DIPVAE2,
        "infovae": InfoVAE,
        "hfsvae": HFSVAE,
    },
    "unsupervised, with categories": {
        "jointvae": JointVAE,
        "jointbetavae": JointBetaVAE,
        "cascadevae": CascadeVAE,
        "categoricalvae": CategoricalVAE,
        "qlae": QLAE,
    },
    "unsupervised, without a prior": {
        "autoencoder": Autoencoder,
    },
    "weakly supervised, by pairs": {
        "adagvae": AdaGVAE,
        "adamlvae": AdaMLVAE,
    },
    "baselines": {
        "factors": GroundTruth,
        "random": RandomEncoder,
        "pca": PCA,
    },
}
MODELS: dict[str, type[Encoder]] = {
    name: model for group in GROUPS.values() for name, model in group.items()
}

__all__ = [
    "AdaGVAE",
    "AdaMLVAE",
    "AnnealedVAE",
    "Autoencoder",
    "BetaTCVAE",
    "BetaVAE",
    "CascadeVAE",
    "CategoricalVAE",
    "DIPVAE1",
    "DIPVAE2",
    "Encoder",
    "FactorVAE",
    "GROUPS",
    "GroundTruth",
    "HFSVAE",
    "InfoVAE",
    "JointBetaVAE",
    "JointVAE",
    "Latents",
    "MODELS",
    "NETWORKS",
    "Objective",
    "PCA",
    "PlainVAE",
    "Posterior",
    "QLAE",
    "RandomEncoder",
    "VAE",
]
