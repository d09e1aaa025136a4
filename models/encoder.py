"""What encodes images, whether it was trained here or elsewhere."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from .posterior import Latents, Posterior

# What a model takes: images; images of which rows i and i + B / 2 differ in a few factors only;
# or, for a baseline that needs no image, the factors themselves.
Input = Literal["images", "pairs", "factors"]


class Encoder(nn.Module, ABC):
    """A model that is scored as it is: it encodes images, and nothing here trains it.

    Attributes:
        latents: how many latents of which kind.
        changed: the number of factors in which the images of a pair differ; 0 for a different
            number in each pair.
        input: what `encode` takes, see `Input`.
        groups: where latents are vectors, how many columns of the codes each has, in the order of
            the columns, which `latents` counts; None where each has one.
    """

    latents: Latents
    changed: int = 1
    input: ClassVar[Input] = "images"
    groups: tuple[int, ...] | None = None

    @classmethod
    def settings_of_data(cls, settings: Mapping[str, Any], rows: int) -> dict[str, Any]:
        """Which of these settings have to be other ones for data with `rows` training images.

        The suite sets them where the user does not; by default there are none.
        """
        return {}

    def fit(self, x: Tensor) -> None:
        """Learn what can be learned in one pass from images (N, C, H, W) in [0, 1].

        Called once, before anything is encoded, with up to 10,000 of the training images. By
        default it learns nothing.
        """

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """q(z, c | x) of images (B, C, H, W) in [0, 1]."""
