"""What encodes images, trained here or elsewhere."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from .posterior import Latents, Posterior

# What a model is fed: images; images of which row i and row i + B / 2 differ in a few factors
# only; or, for a yardstick that needs no image, the factors themselves.
Input = Literal["images", "pairs", "factors"]


class Encoder(nn.Module):
    """A model that is scored as it comes: it encodes images, and nothing here trains it.

    latents: the latent spec; input: what `encode` takes, see `Input`; changed: of pairs, in how
    many factors they differ, 0 for another number in each.
    """

    latents: Latents
    changed: int = 1
    input: ClassVar[Input] = "images"

    def fit(self, x: Tensor) -> None:
        """Learn what can be learnt at once from images (N, C, H, W) in [0, 1]; nothing by default.

        Called once before anything is encoded, with up to 10,000 images of the training rows.
        """

    def encode(self, x: Tensor) -> Posterior:
        """q(z, c | x) of images (B, C, H, W) in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} has no encode()")
