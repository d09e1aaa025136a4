"""DIP-VAE (Kumar et al. 2018, arXiv 1711.00848).

Both variants pull a covariance of the continuous latents over the data towards the identity:
lambda_od times the sum of its squared off-diagonal entries (each pair counts twice), plus
lambda_d times the sum of (entry - 1)^2 on the diagonal. The covariance is that of the batch,
divided by B and not by B - 1, as in disentanglement_lib, so that a batch shown twice has the same
one. disentanglement_lib computes it as E[m m^T] - E[m] E[m]^T; here the means are centred first,
which loses no digits.

A batch has covariances by chance. Means that are independent and N(0, 1) over the data cost
lambda_od D (D - 1) (B - 1) / B^2 + lambda_d D (2 B - 1) / B^2 on average: 45 nats with D = 10,
B = 64 and the defaults of DIP-VAE-I.

Categorical latents have no part in the penalty. A single continuous latent has no off-diagonal
entries and is only held to variance 1. Without continuous latents the model is refused.
"""

from dataclasses import dataclass

from torch import Tensor

from .posterior import Posterior
from .vae import VAE


@dataclass(kw_only=True, eq=False, repr=False)
class DIPVAE1(VAE):
    """DIP-VAE-I: reconstruction + KL + pull of Cov[mean] to the identity (Kumar et al. 2018).

    Cov[mean(x)] over the data, equation 6; see the module. The mean of an unused latent has
    variance 0, which costs lambda_d, so this variant presses all latents into use.

    The settings of `VAE` apply as well.

    Attributes:
        lambda_od, lambda_d: weights of the off-diagonal and the diagonal entries. 10 is one value
            of disentanglement_lib's sweep of lambda_od over 1, 2, 5, 10, 20 and 50; there lambda_d
            is 10 lambda_od.
        lr: 1e-4 is disentanglement_lib's.
    """

    lambda_od: float = 10.0
    lambda_d: float = 100.0
    lr: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("lambda_od", "lambda_d")
        _refuse_categories_alone(self)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        penalty = distance_from_identity(covariance(posterior.mean), self.lambda_od, self.lambda_d)
        return super().regularizer(posterior, z, step) + penalty


@dataclass(kw_only=True, eq=False, repr=False)
class DIPVAE2(VAE):
    """DIP-VAE-II: reconstruction + KL + pull of Cov[z] to the identity (Kumar et al. 2018).

    Cov[z] = Cov[mean(x)] + E[diag(variance(x))], equation 7; see the module.

    The settings of `VAE` apply as well.

    Attributes:
        lambda_od, lambda_d: weights of the off-diagonal and the diagonal entries. 10 is one value
            of disentanglement_lib's sweep of lambda_od over 1, 2, 5, 10, 20 and 50; there lambda_d
            is lambda_od.
        lr: 1e-4 is disentanglement_lib's.
    """

    lambda_od: float = 10.0
    lambda_d: float = 10.0
    lr: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("lambda_od", "lambda_d")
        _refuse_categories_alone(self)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        code_covariance = covariance(posterior.mean) + posterior.variance.mean(0).diag()
        penalty = distance_from_identity(code_covariance, self.lambda_od, self.lambda_d)
        return super().regularizer(posterior, z, step) + penalty


def covariance(values: Tensor) -> Tensor:
    """Covariance (D, D) over the rows of (B, D), divided by B."""
    centred = values - values.mean(0)
    return centred.T @ centred / len(values)


def distance_from_identity(matrix: Tensor, lambda_od: float, lambda_d: float) -> Tensor:
    """The weighted squared distance of a (D, D) matrix from the identity, scalar."""
    off_diagonal = matrix - matrix.diag().diag()
    return lambda_od * off_diagonal.square().sum() + lambda_d * (matrix.diag() - 1).square().sum()


def _refuse_categories_alone(model: VAE) -> None:
    if model.continuous == 0:
        raise ValueError("continuous=0: DIP-VAE needs continuous latents: set it to at least 1")
