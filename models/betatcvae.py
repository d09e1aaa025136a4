"""beta-TCVAE (Chen et al. 2018, arXiv 1802.04942)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .posterior import Posterior
from .vae import VAE

Estimator = Literal["mws", "mss"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

# Variances below e^-60 count as e^-60, and probabilities below 1e-30 as 1e-30, so that squares and
# quotients stay within float32.
_LEAST_LOGVAR, _LEAST_PROBABILITY = -60.0, 1e-30


@dataclass(kw_only=True, eq=False, repr=False)
class BetaTCVAE(VAE):
    """beta-TCVAE: reconstruction + alpha MI + beta TC + gamma dimension-wise KL (Chen et al. 2018).

    Equation 4 of arXiv 1802.04942. Over the data, the KL to the prior is the sum of three terms:
    the mutual information of image and code, the total correlation KL(q(z) || prod_l q(z_l)), and
    the dimension-wise KL sum_l KL(q(z_l) || p(z_l)). The last two are estimated from the batch; the
    first is what they leave of the KL, which is known in closed form. So the three together are the
    KL whatever the estimates, and alpha = gamma = 1 is KL + (beta - 1) TC, as in
    disentanglement_lib. The author's code samples the KL too, which has the same mean.

    Both estimates of the total correlation are biased, as the logarithm of an estimate is. The
    plain mean over the batch (`mws` without its constant) is too high: a code lies close to its own
    row. `mss` is too low: the mean of a logarithm is below the logarithm of the mean. For large B
    both are off by (V - sum_l V_l) / 2 B, where V is the variance of q(z | x) / q(z) over images
    and V_l the same for latent l. Codes that carry more than ln B nats are far from that limit: the
    plain mean sees no more than ln B of their mutual information, and `mss` up to ln(rows).

    A categorical latent is one latent. Its relaxed sample c counts as if it had the probability
    sum_k c_k q(k | x_m), which is exact for a one-hot c; this surrogate is ours.

    The settings of `VAE` apply as well.

    Attributes:
        alpha, beta, gamma: 1, 6 and 1 are the values of the author's code, vae_quant.py and README
            of rtqichen/beta-tcvae.
        estimator: how a batch of B rows gives q(z), and in the same way each q(z_l), at the code of
            one of its rows: as a weighted sum of q(z | x_m) over its rows m.
            `mws`, minibatch-weighted, the author's default: all weights are 1 / (rows B). Its mean
            is below q(z), as it counts only batches that hold the code's own row.
            `mss`, minibatch-stratified: 1 / rows for the code's own row, 1 / (B - 1) for each of
            the others except one, which gets the remaining 1 / (B - 1) - 1 / rows. Its mean is q(z)
            if batches are drawn without replacement, and at most 2 q(z) if drawn with replacement.
        rows: the number of images in the data set; 737,280 is that of dSprites. Under `mws` it
            changes values but no gradient: with L latents it adds (L - 1) ln(rows) to the total
            correlation, -L ln(rows) to the dimension-wise KL, and so (beta - 1) (L - 1) ln(rows) to
            the loss if alpha = gamma = 1. `rows=1` gives the plain mean over the batch. Under `mss`
            it is a weight, and must be the size of the data set: the suite sets it to the number of
            training images, unless it is given.
        lr: 1e-3 is that of the author's code, with batches of 2,048.
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

    @classmethod
    def settings_of_data(cls, settings: Mapping[str, Any], rows: int) -> dict[str, Any]:
        return {"rows": rows} if settings["estimator"] == "mss" else {}

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

        Raises:
            ValueError: the code is deterministic, or the batch does not suit the estimator.
        """
        joint, marginals = log_aggregate(posterior, z, self.estimator, self.rows)
        product = marginals.sum(-1)
        # the mean of -log p(z) under q(z | x)
        gaussian = 0.5 * (posterior.mean.square() + posterior.variance + math.log(2 * math.pi))
        uniform = sum(math.log(size) for size in self.latents.categorical)
        prior = gaussian.sum(-1).mean() + uniform
        return (joint - product).mean(), product.mean() + prior


def log_aggregate(
    posterior: Posterior, z: Tensor, estimator: Estimator, rows: int
) -> tuple[Tensor, Tensor]:
    """Estimate log q(z) of each code, (B,), and log q(z_l) of its latents, (B, D + C).

    Takes memory for (B, B, D + C) numbers.

    Raises:
        ValueError: the code is deterministic, or the batch does not suit the estimator.
    """
    log_q = log_densities(posterior, z)
    log_w = log_weights(estimator, rows, z)
    joint = torch.logsumexp(log_w + log_q.sum(-1), 1)
    marginals = torch.logsumexp(log_w[..., None] + log_q, 1)
    return joint, marginals


def log_densities(posterior: Posterior, z: Tensor) -> Tensor:
    """log q(z_l | x_m) of latent l of the code of row i under row m, at (i, m, l), (B, B, D + C).

    Finite, with finite gradients, for any finite logits and log-variances and for distances up to
    a million.

    Raises:
        ValueError: the code is deterministic.
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
    """log of the weight of row m in the estimate of q at the code of row i, at (i, m), (B, B).

    Dtype and device are those of the codes z (B, width).

    Raises:
        ValueError: for `mss` the batch is too small, or larger than the data set.
    """
    batch = len(z)
    if estimator == "mws":
        return z.new_full((batch, batch), -math.log(rows * batch))
    if not 2 <= batch <= rows:
        raise ValueError(
            f"estimator=mss needs a batch_size from 2 to rows={rows}, not {batch}: "
            "set these, or estimator=mws"
        )
    # A code's own row makes up 1 / rows of q(z), and the others stand for the rest. Two known
    # implementations get that wrong: vae_quant.py gives the own row's weight to the first column
    # instead of the diagonal, and YannDubs/disentangling-vae adds the log weight to every latent
    # before it sums them.
    own = torch.eye(batch, dtype=z.dtype, device=z.device)
    following = own.roll(1, 1)  # it does not matter which of the other rows
    return ((1 - own) / (batch - 1) + (own - following) / rows).log()
