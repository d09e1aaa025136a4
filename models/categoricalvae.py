"""Categorical VAE (Jang et al. 2017, arXiv 1611.01144; Maddison et al. 2017, arXiv 1611.00712)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .posterior import Posterior
from .schedules import linear
from .vae import VAE, Objective, kl_of_latents, kl_terms


@dataclass(kw_only=True, eq=False, repr=False)
class CategoricalVAE(VAE):
    """Categorical VAE: reconstruction + beta KL of categories, annealed (Jang et al. 2017).

    Section 4.2 of arXiv 1611.01144: 20 latents of 10 categories each, sampled by the
    Gumbel-softmax relaxation, whose temperature falls as max(0.5, exp(-r step)). As in that paper,
    the KL is that of the categories to the uniform prior; Maddison et al. 2017 take the KL of the
    relaxed categories.

    The settings of `VAE` apply as well.

    Attributes:
        continuous: none by default; the KL of continuous latents would have the same weight.
        beta: weight of the KL; 1 is the paper's, other values make it a beta-VAE of categories
            (ours).
        temperature: at the start; 1 is the paper's.
        temperature_end: where the temperature stops falling; 0.5 is the paper's.
        iterations: steps until then, ln(temperature / temperature_end) / r. The default is that of
            r = 3e-5 (section 4.3, and the first author's notebook); for this task the paper takes
            the better of r = 1e-5 and 1e-4. Here the temperature falls at every step, there at
            every 500th or 1000th.
    """

    continuous: int = 0
    categorical: tuple[int, ...] = (10,) * 20
    beta: float = 1.0
    temperature: float = 1.0
    temperature_end: float = 0.5
    iterations: int = 23_105

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("beta")
        if not 0 < self.temperature_end <= self.temperature:
            raise ValueError(
                f"temperature_end={self.temperature_end}: must be above 0 and not above "
                f"temperature={self.temperature}"
            )
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: must be at least 1")

    def temperature_at(self, step: int) -> float:
        """The temperature at a step; its logarithm falls linearly."""
        ratio = self.temperature_end / self.temperature
        return float(self.temperature * ratio ** linear(step, 1.0, self.iterations))

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return self.beta * super().regularizer(posterior, z, step)

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        posterior = self.encode(x)
        z = posterior.sample(generator, self.temperature_at(step))
        reconstruction = self.reconstruction(x, self.decode(z))
        loss = reconstruction + self.regularizer(posterior, z, step)
        terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
        return Objective({"vae": loss}, terms, kl_of_latents(posterior))
