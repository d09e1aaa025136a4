"""Variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114), and what all models share."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import Network, decoder, encoder
from .posterior import Latents, Posterior


@dataclass(frozen=True)
class Objective:
    """What one batch gives.

    losses: player -> scalar that this player minimises, nats an image; terms: name -> scalar to
    log, nats an image unless the name says otherwise.
    """

    losses: Mapping[str, Tensor]
    terms: Mapping[str, Tensor]


class VAE(nn.Module):
    """Variational autoencoder: reconstruction + KL (Kingma & Welling 2014).

    Equation 10 of arXiv 1312.6114 with a Bernoulli decoder; also the base of the other models,
    which replace `regularizer`. The constructor is the configuration:

    image_shape: (C, H, W) of the images, values in [0, 1]
    continuous: number D of Gaussian latents, prior N(0, 1)
    categorical: sizes of the categorical latents, uniform prior, e.g. `(3,)`
    network: encoder and decoder, see `networks.py`
    temperature: of the Gumbel-softmax relaxation; 0.67 is Dupont 2018's
    lr: learning rate of Adam; 5e-4 is Dupont 2018's and Burgess et al. 2018's

    Every loss term is nats an image: summed over pixels, channels and latents, averaged over the
    batch. Raises ValueError where settings do not fit together.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int] = (1, 64, 64),
        continuous: int = 10,
        categorical: tuple[int, ...] = (),
        network: Network = "dupont",
        temperature: float = 0.67,
        lr: float = 5e-4,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: must be above 0")
        if lr <= 0:
            raise ValueError(f"lr={lr}: must be above 0")
        self.latents = Latents(continuous, tuple(categorical))
        self.temperature = temperature
        self.lr = lr
        self.encoder = encoder(network, image_shape, self.latents.parameters)
        self.decoder = decoder(network, image_shape, self.latents.width)

    def encode(self, x: Tensor) -> Posterior:
        """q(z, c | x) of images (B, C, H, W) in [0, 1]."""
        count = self.latents.continuous
        mean, logvar, *logits = self.encoder(x).split(
            [count, count, *self.latents.categorical], dim=-1
        )
        return Posterior(mean, logvar, tuple(logits))

    def decode(self, z: Tensor) -> Tensor:
        """Bernoulli logits (B, C, H, W) of codes (B, D + sum S_c)."""
        logits: Tensor = self.decoder(z)
        return logits

    def reconstruction(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x | z), nats an image, batch mean, scalar."""
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        """What is added to the reconstruction: here the KL to the prior. Scalar, nats."""
        return posterior.kl_continuous().sum() + posterior.kl_categorical().sum()

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        """The losses of one batch (B, C, H, W); `step` is 1 in the first one."""
        objective, _ = self._objective(x, step, generator)
        return objective

    def _objective(
        self, x: Tensor, step: int, generator: torch.Generator
    ) -> tuple[Objective, Tensor]:
        posterior = self.encode(x)
        z = posterior.sample(generator, self.temperature)
        reconstruction = self.reconstruction(x, self.decode(z))
        loss = reconstruction + self.regularizer(posterior, z, step)
        terms = {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl_continuous": posterior.kl_continuous().sum(),
            "kl_categorical": posterior.kl_categorical().sum(),
        }
        return Objective({"vae": loss}, terms), z

    def players(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each player of the objective moves."""
        return {"vae": [*self.encoder.parameters(), *self.decoder.parameters()]}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One optimiser a player."""
        return {
            name: torch.optim.Adam(parameters, lr=self.lr, fused=True)
            for name, parameters in self.players().items()
        }
