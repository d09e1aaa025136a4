"""Variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114): the base of all models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .encoder import Encoder
from .likelihoods import (
    LIKELIHOODS,
    Likelihood,
    expected_image,
    mean_image_reconstruction,
    negative_log_likelihood,
)
from .networks import Initialisation, Network, decoder, encoder, initialise
from .posterior import Latents, Posterior
from .schedules import warmed


@dataclass(frozen=True)
class Objective:
    """The losses and the logged terms of one batch.

    Attributes:
        losses: for each player the scalar that it minimises, nats per image.
        terms: scalars to log by name, nats per image unless the name says otherwise.
        kl: of each latent to its prior, in nats per image, the categorical latents last, (D + K,);
            None where the model has none.
    """

    losses: Mapping[str, Tensor]
    terms: Mapping[str, Tensor]
    kl: Tensor | None = None

    def with_constants(self, **constants: float) -> "Objective":
        """The same with constants among its terms, such as the capacity at a step.

        A term `capacity_X` is the capacity of the term `kl_X`, and `capacity` that of the whole KL.
        """
        like = self.terms["loss"]
        terms = {name: like.new_full((), value) for name, value in constants.items()}
        return replace(self, terms={**self.terms, **terms})


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(Encoder):
    """Variational autoencoder: reconstruction + KL (Kingma & Welling 2014).

    Equation 10 of arXiv 1312.6114. The models derive from it and replace `regularizer`; the one
    named vae, `PlainVAE`, only adds a warmup, which would have no effect in most of the others. A
    model is a dataclass: its fields are its settings and become the keyword-only arguments of its
    constructor, and its layers are built in `__post_init__`.

    Every loss term is in nats per image: summed over pixels, channels and latents, averaged over
    the batch.

    Attributes:
        image_shape: (C, H, W) of the images, values in [0, 1].
        continuous: number D of Gaussian latents, prior N(0, 1).
        categorical: sizes of the categorical latents, uniform prior, e.g. `(3,)`.
        network: name of the encoder and decoder, see `networks.py`.
        initialisation: how the weights of all layers start, see `networks.py`.
        likelihood: what the decoder's output means, see `likelihoods.py`.
        temperature: of the Gumbel-softmax relaxation; 0.67 is Dupont 2018's.
        lr: learning rate of Adam; 5e-4 is Dupont 2018's and Burgess et al. 2018's.

    Raises:
        ValueError: a setting is out of range, or settings do not fit together.
    """

    image_shape: tuple[int, int, int] = (1, 64, 64)
    continuous: int = 10
    categorical: tuple[int, ...] = ()
    network: Network = "dupont"
    initialisation: Initialisation = "pytorch"
    likelihood: Likelihood = "bernoulli"
    temperature: float = 0.67
    lr: float = 5e-4

    # Whether the encoder gives codes instead of distributions over them; without an annotation it
    # is no setting, except where a model makes it one.
    deterministic = False

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        for name in ("temperature", "lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(
                f"unknown likelihood {self.likelihood!r}: choose from {', '.join(LIKELIHOODS)}"
            )
        self.latents = Latents(self.continuous, tuple(self.categorical))
        outputs = self.latents.width if self.deterministic else self.latents.parameters
        self.encoder = encoder(self.network, self.image_shape, outputs)
        self.decoder = decoder(self.network, self.image_shape, self.latents.width)
        initialise(self, self.initialisation)

    def encode(self, x: Tensor) -> Posterior:
        """q(z, c | x) of images (B, C, H, W) in [0, 1]."""
        count, sizes = self.latents.continuous, self.latents.categorical
        if self.deterministic:
            mean, *logits = self.encoder(x).split([count, *sizes], dim=-1)
            return Posterior(mean, None, tuple(logits))
        mean, logvar, *logits = self.encoder(x).split([count, count, *sizes], dim=-1)
        return Posterior(mean, logvar, tuple(logits))

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder gives for codes (B, D + sum S_c): (B, C, H, W), see `likelihoods.py`."""
        logits: Tensor = self.decoder(z)
        return logits

    def pictures(self, z: Tensor) -> Tensor:
        """The images (B, C, H, W) in [0, 1] that codes (B, D + sum S_c) stand for: E[x | z]."""
        return expected_image(self.likelihood, self.decode(z))

    def reconstruction(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x | z): nats per image, averaged over the batch, scalar."""
        return negative_log_likelihood(self.likelihood, x, logits)

    def mean_image_reconstruction(self, mean: Tensor, square: Tensor) -> float:
        """The reconstruction of a decoder that always gives the mean image, nats per image.

        No decoder that ignores its code does better.

        Args:
            mean: of x over the images, for each pixel and channel, (C, H, W) float64.
            square: mean of x^2, of the same shape.
        """
        return mean_image_reconstruction(self.likelihood, mean, square)

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        """What is added to the reconstruction, here the KL to the prior: nats per image, scalar."""
        return posterior.kl_continuous().sum() + posterior.kl_categorical().sum()

    def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        """The losses of one batch.

        Args:
            x: images (B, C, H, W) in [0, 1].
            step: the number of the training step, from 1.
            generator: source of all random draws, on the device of `x`.
        """
        objective, _ = self._objective(x, step, generator)
        return objective

    def _objective(
        self, x: Tensor, step: int, generator: torch.Generator
    ) -> tuple[Objective, Tensor]:
        posterior = self.encode(x)
        z = posterior.sample(generator, self.temperature)
        reconstruction = self.reconstruction(x, self.decode(z))
        loss = reconstruction + self.regularizer(posterior, z, step)
        terms = {"loss": loss, "reconstruction": reconstruction, **kl_terms(posterior)}
        return Objective({"vae": loss}, terms, kl_of_latents(posterior)), z

    def players(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each player of the objective moves."""
        return {"vae": [*self.encoder.parameters(), *self.decoder.parameters()]}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One optimiser per player."""
        return {
            name: torch.optim.Adam(parameters, lr=self.lr, fused=True)
            for name, parameters in self.players().items()
        }

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rates of a step by player; a player that is not named keeps its own.

        Like the objective, a pure function of the step, which counts from 1.
        """
        return {}

    def refuse_negative(self, *names: str) -> None:
        """Raise ValueError if one of these settings is negative."""
        for name in names:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must not be negative")


@dataclass(kw_only=True, eq=False, repr=False)
class PlainVAE(VAE):
    """Variational autoencoder: reconstruction + KL (Kingma & Welling 2014).

    The settings of `VAE` apply as well.

    Attributes:
        warmup: steps over which the weight of the KL rises linearly from 0 to 1; 0 for none.
            YannDubs/disentangling-vae has 10,000 on dSprites.
    """

    warmup: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_negative("warmup")

    def regularizer(self, posterior: Posterior, z: Tensor, step: int) -> Tensor:
        return warmed(step, self.warmup) * super().regularizer(posterior, z, step)


def kl_of_latents(posterior: Posterior) -> Tensor | None:
    """The KL of each latent to its prior, as `Objective.kl`; None for a deterministic code."""
    if posterior.logvar is None:
        return None
    return torch.cat([posterior.kl_continuous(), posterior.kl_categorical()]).detach()


def kl_terms(posterior: Posterior) -> dict[str, Tensor]:
    """The KL to the prior by kind of latent, for the log; empty for a deterministic code."""
    if posterior.logvar is None:
        return {}
    return {
        "kl_continuous": posterior.kl_continuous().sum(),
        "kl_categorical": posterior.kl_categorical().sum(),
    }
