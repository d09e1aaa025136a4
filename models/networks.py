"""The encoders and decoders of the papers, by name.

Shapes: images (B, C, H, W) in [0, 1]; the encoder gives (B, outputs), the decoder takes
(B, inputs) and gives Bernoulli logits (B, C, H, W). Layers keep PyTorch's default initialisation.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from torch import nn

Network = Literal["dupont", "burgess", "factorvae", "mlp1200"]
NETWORKS: tuple[str, ...] = get_args(Network)


@dataclass(frozen=True)
class _Convolutional:
    """4x4 convolutions of stride 2 down to 4x4 pixels, then fully connected layers, mirrored.

    `encoder` and `decoder` give the channels after each (transposed) convolution, by image size;
    the decoder's last one gives the image. `linear` leaves out the activation after the
    encoder's fully connected layer.
    """

    encoder: dict[int, tuple[int, ...]]
    decoder: dict[int, tuple[int, ...]]
    hidden: tuple[int, ...]
    linear: bool = False


_CONVOLUTIONAL = {
    # Dupont 2018, trained_models and jointvae/models.py of the author's repository
    "dupont": _Convolutional(
        encoder={64: (32, 32, 64, 64), 32: (32, 64, 64)},
        decoder={64: (64, 32, 32), 32: (32, 32)},
        hidden=(256,),
    ),
    # Burgess et al. 2018, after the description in YannDubs/disentangling-vae
    "burgess": _Convolutional(
        encoder={64: (32, 32, 32, 32), 32: (32, 32, 32)},
        decoder={64: (32, 32, 32), 32: (32, 32)},
        hidden=(256, 256),
    ),
    # Kim & Mnih 2018, after paruby/FactorVAE and InfoGAN-CR: FC 128 without an activation
    "factorvae": _Convolutional(
        encoder={64: (32, 32, 64, 64), 32: (32, 64, 64)},
        decoder={64: (64, 32, 32), 32: (64, 32)},
        hidden=(128,),
        linear=True,
    ),
}


def encoder(network: str, image_shape: tuple[int, int, int], outputs: int) -> nn.Sequential:
    """The encoder of a named network: (B, C, H, W) -> (B, outputs).

    Raises ValueError for an unknown name, or an image size that the network does not take.
    """
    channels, height, width = image_shape
    if network == "mlp1200":  # Higgins et al. 2017, dSprites row: FC 1200-1200, ReLU
        return nn.Sequential(
            nn.Flatten(),
            *_dense([channels * height * width, 1200, 1200], nn.ReLU),
            nn.Linear(1200, outputs),
        )
    spec, layers = _spec(network, image_shape), []
    widths = spec.encoder[height]
    for before, after in pairwise((channels, *widths)):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    dense = _dense([widths[-1] * 16, *spec.hidden], nn.ReLU)
    head = nn.Linear(spec.hidden[-1], outputs)
    return nn.Sequential(*layers, nn.Flatten(), *(dense[:-1] if spec.linear else dense), head)


def decoder(network: str, image_shape: tuple[int, int, int], inputs: int) -> nn.Sequential:
    """The decoder of a named network: (B, inputs) -> logits (B, C, H, W). Raises as `encoder`."""
    channels, height, width = image_shape
    if network == "mlp1200":  # FC 1200 three times, tanh
        return nn.Sequential(
            *_dense([inputs, 1200, 1200, 1200], nn.Tanh),
            nn.Linear(1200, channels * height * width),
            nn.Unflatten(1, image_shape),
        )
    spec = _spec(network, image_shape)
    first = spec.encoder[height][-1]
    layers: list[nn.Module] = [
        *_dense([inputs, *reversed(spec.hidden), first * 16], nn.ReLU),
        nn.Unflatten(1, (first, 4, 4)),
    ]
    for before, after in pairwise((first, *spec.decoder[height], channels)):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _dense(widths: list[int], activation: type[nn.Module]) -> list[nn.Module]:
    return [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), activation())]


def _spec(network: str, image_shape: tuple[int, int, int]) -> _Convolutional:
    if network not in _CONVOLUTIONAL:
        raise ValueError(f"unknown network {network!r}: choose from {', '.join(NETWORKS)}")
    spec = _CONVOLUTIONAL[network]
    _, height, width = image_shape
    if height != width or height not in spec.encoder:
        sizes = " or ".join(f"{size}x{size}" for size in sorted(spec.encoder))
        raise ValueError(f"network {network} takes images of {sizes} pixels, not {height}x{width}")
    return spec
