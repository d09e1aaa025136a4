"""beta-TCVAE (Chen et al. 2018, arXiv 1802.04942)."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .posterior import Posterior
from .vae import VAE

Estimator = Literal["mws", "mss"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

# A variance below e^-60 counts as that, a probability below 1e-30 likewise, so that what is squared
# or divided by stays within float32.
_LEAST_LOGVAR, _LEAST_PROBABILITY = -60.0, 1e-30


@dataclass(kw_only=True, eq=False, repr=False)
class BetaTCVAE(VAE):
    """beta-TCVAE: reconstruction + alpha MI + beta TC + gamma dimension-wise KL (Chen et al. 2018).

    Equation 4 of arXiv 1802.04942. Over the data, the KL to the prior is the sum of three: the
    mutual information of image and code, the total correlation KL(q(z) || prod_l q(z_l)), and the
    dimension-wise sum_l KL(q(z_l) || p(z_l)). The last two are estimated from the batch, the
    first is what they leave of the KL, which is known in closed form. So the three together are
    the KL whatever the estimates, and alpha = gamma = 1 is KL + (beta - 1) TC, as
    disentanglement_lib has it. The author's code samples the KL too; that has the same mean.

    alpha, beta, gamma: 1, 6 and 1 are the values of the author's code, vae_quant.py and README
        of rtqichen/beta-tcvae
    estimator: how a batch of B gives q(z) at the code of one of its rows, and each q(z_l)
        likewise: a weighted sum of q(z | x_m) over its rows m.
        `mws`, minibatch-weighted, the author's default: all weights are 1 / (rows B). Its mean
        is below q(z), as it counts only batches that hold the code's own row
        `mss`, minibatch-stratified: 1 / rows for the code's own row, 1 / (B - 1) for each of the
        others but one, which is left 1 / (B - 1) - 1 / rows. Its mean is q(z) where batches are
        drawn without replacement, and at most 2 q(z) where they are drawn with it
    rows: images in the data set; 737,280 is the number of dSprites. Under `mws` it moves values,
        but no gradient: with L latents it adds (L - 1) ln(rows) to the total correlation,
        -L ln(rows) to the dimension-wise KL, and so (beta - 1) (L - 1) ln(rows) to the loss where
        alpha = gamma = 1. `rows=1` gives the plain mean over the batch. Under `mss` it is a
        weight, and must be the size of the data set
    lr: 1e-3 is the author's code's, with batches of 2,048
    The other settings are those of `VAE`.

    Both total correlations are biased, as the logarithm of an estimate is. The plain mean over
    the batch (`mws`, its constant apart) is too high: a code lies close to its own row. `mss` is
    too low: a logarithm's mean is below that of its argument. For large B either is off by
    (V - sum_l V_l) / 2 B, where V is the variance of q(z | x) / q(z) over images and V_l that of
    latent l. Codes of more than ln B nats are far from there: the plain mean sees no more than
    ln B of their mutual information, and `mss` up to ln(rows).

    A categorical latent is one latent. Its relaxed sample c counts as if it had the probability
    sum_k c_k q(k | x_m), which is exact for a one-hot c; this surrogate is ours.
    """

    alpha: float = 1.0
    beta: float = 6.0
    gamma: float = 1.0
    estimator: Estimator = "mws"
    rows: int = 737_280
    lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("alpha", "beta", "gamma")
        if self.estimator not in ESTIMATORS:
            raise ValueError(
                f"unknown estimator {self.estimator!r}: choose from {', '.join(ESTIMATORS)}"
            )
        if self.rows < 1:
            raise ValueError(f"rows={self.rows}: must be at least 1")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        kl = super().regularizer(posterior, z, step)
        total_correlation, dimension_wise_kl = self.estimates(posterior, z)
        return (
            self.alpha * kl
            + (self.beta - self.alpha) * total_correlation
            + (self.gamma - self.alpha) * dimension_wise_kl
        )

    def estimates(self, posterior: Posterior, z: Tensor) -> tuple[Tensor, Tensor]:
        """Total correlation and dimension-wise KL at codes z (B, width), nats, scalars.

        Raises as `log_weights`.
        """
        joint, marginals = log_aggregate(posterior, z, self.estimator, self.rows)
        product = marginals.sum(-1)
        # -log p(z), its mean under q(z | x)
        gaussian = 0.5 * (posterior.mean.square() + posterior.variance + math.log(2 * math.pi))
        uniform = sum(math.log(size) for size in self.latents.categorical)
        prior = gaussian.sum(-1).mean() + uniform
        return (joint - product).mean(), product.mean() + prior


def log_aggregate(
    posterior: Posterior, z: Tensor, estimator: Estimator, rows: int
) -> tuple[Tensor, Tensor]:
    """log q(z) of each code (B,), and log q(z_l) of each of its latents (B, D + C), from the batch.

    Takes memory for (B, B, D + C) numbers. Raises as `log_weights`.
    """
    log_q = log_densities(posterior, z)
    log_w = log_weights(estimator, rows, z)
    joint = torch.logsumexp(log_w + log_q.sum(-1), 1)
    marginals = torch.logsumexp(log_w[..., None] + log_q, 1)
    return joint, marginals


def log_densities(posterior: Posterior, z: Tensor) -> Tensor:
    """log q(z_l | x_m) of latent l of the code of row i under row m, at (i, m, l), (B, B, D + C).

    Finite, with finite gradients, for any finite logits and log-variances and for distances up to
    a million. Raises ValueError for a deterministic code.
    """
    if posterior.logvar is None:
        raise ValueError("a deterministic code has no density")
    count = posterior.mean.shape[-1]
    sizes = [logits.shape[-1] for logits in posterior.logits]
    continuous, *categorical = z.split([count, *sizes], dim=-1)
    logvar = posterior.logvar.clamp_min(_LEAST_LOGVAR)
    scaled = (continuous[:, None] - posterior.mean) * torch.exp(-0.5 * logvar)
    log_q = [-0.5 * (scaled.square() + logvar + math.log(2 * math.pi))]
    for c, logits in zip(categorical, posterior.logits, strict=True):
        probability = c @ F.softmax(logits, -1).T
        log_q.append(probability.clamp_min(_LEAST_PROBABILITY).log()[..., None])
    return torch.cat(log_q, -1)


def log_weights(estimator: Estimator, rows: int, z: Tensor) -> Tensor:
    """log of the weight of row m in the estimate of q at the code of row i, (B, B).

    Dtype and device are those of the codes z (B, width). Raises ValueError where a batch is too
    small, or larger than the data set, for `mss`.
    """
    batch = len(z)
    if estimator == "mws":
        return z.new_full((batch, batch), -math.log(rows * batch))
    if not 2 <= batch <= rows:
        raise ValueError(
            f"estimator=mss needs a batch_size from 2 to rows={rows}, not {batch}: "
            "set these, or estimator=mws"
        )
    # Of q(z) the own row is 1 / rows, and the others stand for the rest. Two known codes miss that:
    # vae_quant.py gives the own weight to the first column in place of the diagonal, and
    # YannDubs/disentangling-vae adds the log weight to every latent before it sums them.
    own = torch.eye(batch, dtype=z.dtype, device=z.device)
    after = own.roll(1, 1)  # whichever other row: the one that follows
    return ((1 - own) / (batch - 1) + (own - after) / rows).log()
