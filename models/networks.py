"""The encoders and decoders of the papers, by name.

Shapes: images (B, C, H, W) in [0, 1], square, 28 to 128 pixels per side, one or three channels. The
encoder gives (B, outputs); the decoder takes (B, inputs) and gives (B, C, H, W), one number per
pixel and channel; what that number means is up to the likelihood, see `likelihoods.py`.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from .fast_layers import Broadcast, Doubling, Halving, Layers

Network = Literal[
    "dupont",
    "dupont64",
    "dupont32",
    "burgess",
    "locatello",
    "factorvae",
    "mlp1200",
    "residual",
    "broadcast",
    "broadcast_full",
]
NETWORKS: tuple[str, ...] = get_args(Network)
Initialisation = Literal["pytorch", "torch03", "glorot", "he", "he_uniform", "he_glorot"]
INITIALISATIONS: tuple[str, ...] = get_args(Initialisation)

SMALL = 48  # pixels per side below which a network has one halving fewer
_SMALLEST, _LARGEST = 28, 128


@dataclass(frozen=True)
class _Convolutional:
    """Convolutions that halve the image, then fully connected layers; the decoder is mirrored.

    A spatial broadcast decoder (Watters et al. 2019) has neither fully connected layers nor
    anything else that differs from place to place: the code is repeated over a grid (`Broadcast`).

    Attributes:
        encoder: channels after each convolution.
        decoder: channels after each convolution but the last, which gives the image. The
            convolutions are transposed 4x4 ones; what differs with a broadcast stands below.
        hidden: widths of the fully connected layers.
        kernels: sizes of the encoder's convolutions.
        linear: no activation after the encoder's last hidden layer.
        residual: residual blocks (`Down`, `Up`) in place of all but the outermost convolutions.
        broadcast: None; `coarse`, a broadcast over the grid that the transposed convolutions double
            up to the image, where a 3x3 convolution of stride 1 comes first; or `full`, a broadcast
            over the image and a margin, which 3x3 convolutions without padding use up, before a 1x1
            convolution gives the image.
    """

    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    hidden: tuple[int, ...]
    kernels: tuple[int, ...] = (4, 4, 4, 4)
    linear: bool = False
    residual: bool = False
    broadcast: Literal["coarse", "full"] | None = None


# Dupont 2018, jointvae/models.py of the author's repository: for 64x64 and for 32x32 images
_DUPONT64 = _Convolutional((32, 32, 64, 64), (64, 32, 32), (256,))
_DUPONT32 = _Convolutional((32, 64, 64), (32, 32), (256,))
_BROADCAST_FULL = _Convolutional((64, 64, 64, 64), (64, 64, 64, 64), (256,), broadcast="full")

# By name: the network for 48 pixels per side or more, and the one for fewer.
_CONVOLUTIONAL: dict[str, tuple[_Convolutional, _Convolutional]] = {
    "dupont": (_DUPONT64, _DUPONT32),
    "dupont64": (_DUPONT64, _DUPONT64),
    "dupont32": (_DUPONT32, _DUPONT32),
    # Burgess et al. 2018, as described in YannDubs/disentangling-vae
    "burgess": (
        _Convolutional((32, 32, 32, 32), (32, 32, 32), (256, 256)),
        _Convolutional((32, 32, 32), (32, 32), (256, 256)),
    ),
    # Locatello et al. 2019, architectures.py of disentanglement_lib: inner layers of 2x2 kernels
    "locatello": (
        _Convolutional((32, 32, 64, 64), (64, 32, 32), (256,), (4, 4, 2, 2)),
        _Convolutional((32, 32, 64, 64), (64, 32, 32), (256,), (4, 4, 2, 2)),
    ),
    # Kim & Mnih 2018, as in paruby/FactorVAE and InfoGAN-CR: FC 128 without an activation
    "factorvae": (
        _Convolutional((32, 32, 64, 64), (64, 32, 32), (128,), linear=True),
        _Convolutional((32, 64, 64), (64, 32), (128,), linear=True),
    ),
    # our own, with as many halvings as Dupont's
    "residual": (
        _Convolutional((32, 64, 64, 64), (64, 64, 32), (256,), residual=True),
        _Convolutional((32, 64, 64), (64, 32), (256,), residual=True),
    ),
    # our own: a broadcast over a grid of a quarter of the image's side, which costs a third of
    # Dupont's operations at 32x32 pixels
    "broadcast": (
        _Convolutional((16, 32, 32, 32), (32, 16), (128,), broadcast="coarse"),
        _Convolutional((16, 32, 32), (32, 16), (128,), broadcast="coarse"),
    ),
    # Watters et al. 2019 (arXiv 1901.07017), of which we have read the abstract: the code is tiled,
    # fixed X and Y channels are appended, and all convolutions of the decoder have stride 1. The
    # decoder's sizes are those of MONet's in stelzner/monet (a margin of 4 pixels per side, four
    # 3x3 convolutions without padding, 1x1, coordinates from -1 to 1), which has 32 channels. The
    # 64 channels here and the encoder, the same for all image sizes, are our choice.
    "broadcast_full": (_BROADCAST_FULL, _BROADCAST_FULL),
}


def encoder(network: str, image_shape: tuple[int, int, int], outputs: int) -> nn.Sequential:
    """Build the encoder of a named network: (B, C, H, W) -> (B, outputs).

    Raises:
        ValueError: the name is unknown, or the network does not take images of this shape.
    """
    channels, height, width = image_shape
    if network == "mlp1200":  # Higgins et al. 2017, dSprites row: FC 1200-1200, ReLU
        return nn.Sequential(
            nn.Flatten(),
            *_dense([channels * height * width, 1200, 1200], nn.ReLU),
            nn.Linear(1200, outputs),
        )
    spec, layers = _spec(network, image_shape), []
    for stage, (before, after) in enumerate(pairwise((channels, *spec.encoder))):
        kernel = spec.kernels[stage]
        layers += [
            Down(before, after) if spec.residual and stage else Halving(before, after, kernel),
            nn.ReLU(inplace=True),
        ]
    dense = _dense([_flat(spec, height), *spec.hidden], nn.ReLU)
    head = nn.Linear(spec.hidden[-1], outputs)
    return Layers(*layers, nn.Flatten(), *(dense[:-1] if spec.linear else dense), head)


def decoder(network: str, image_shape: tuple[int, int, int], inputs: int) -> nn.Sequential:
    """Build the decoder of a named network: (B, inputs) -> (B, C, H, W).

    Raises:
        ValueError: the name is unknown, or the network does not give images of this shape.
    """
    channels, height, width = image_shape
    if network == "mlp1200":  # FC 1200 three times, tanh
        return nn.Sequential(
            *_dense([inputs, 1200, 1200, 1200], nn.Tanh),
            nn.Linear(1200, channels * height * width),
            nn.Unflatten(1, image_shape),
        )
    spec = _spec(network, image_shape)
    if spec.broadcast:
        return _broadcast_decoder(spec, image_shape, inputs)
    sizes = _sizes(spec, height)[::-1]
    first = spec.encoder[-1]
    layers: list[nn.Module] = [
        *_dense([inputs, *reversed(spec.hidden), _flat(spec, height)], nn.ReLU),
        nn.Unflatten(1, (first, sizes[0], sizes[0])),
    ]
    widths = (first, *spec.decoder, channels)
    for stage, (before, after) in enumerate(pairwise(widths)):
        odd = sizes[stage + 1] % 2  # the row and column that halving has dropped
        last = stage == len(widths) - 2
        doubling = Doubling(before, after, odd)
        layers += [
            doubling if last or not spec.residual else Up(before, after, odd),
            nn.ReLU(inplace=True),
        ]
    return Layers(*layers[:-1])


def _broadcast_decoder(
    spec: _Convolutional, image_shape: tuple[int, int, int], inputs: int
) -> nn.Sequential:
    channels, size, _ = image_shape
    layers: list[nn.Module] = []
    if spec.broadcast == "full":
        margin = 2 * len(spec.decoder)  # each 3x3 convolution takes a pixel off on each side
        layers = [Broadcast(inputs, spec.decoder[0], size + margin, padding=0)]
        for before, after in pairwise(spec.decoder):
            layers += [nn.ReLU(inplace=True), nn.Conv2d(before, after, 3)]
        layers += [nn.ReLU(inplace=True), nn.Conv2d(spec.decoder[-1], channels, 1)]
    else:
        doublings = len(spec.decoder)
        layers = [Broadcast(inputs, spec.decoder[0], size >> doublings, padding=1)]
        for stage, (before, after) in enumerate(pairwise((*spec.decoder, channels)), start=1):
            odd = (size >> (doublings - stage)) % 2
            layers += [nn.ReLU(inplace=True), Doubling(before, after, odd)]
    return Layers(*layers)


def initialise(module: nn.Module, initialisation: str) -> None:
    """Initialise the weights of all layers from torch's global generator.

    `pytorch` keeps PyTorch's own initialisation: weights and biases are uniform within 1 / sqrt(n),
    where n is the number of inputs per output (Kaiming with a = sqrt 5), except that in transposed
    convolutions n counts output channels for input channels (pytorch/pytorch#30079). `torch03` is
    that of PyTorch 0.3 and 0.4, with n = input channels x kernel height x kernel width in all
    convolutions (pytorch/pytorch#6950 quotes the code); so only transposed convolutions differ.
    `glorot` is Glorot & Bengio 2010, uniform, as in TensorFlow's layers and therefore in
    disentanglement_lib; `he` is He et al. 2015, normal, for ReLU. Both start biases at 0.
    `he_uniform` is He et al. 2015, uniform, with PyTorch's own biases, as in YannDubs/
    disentangling-vae and, after it, in facebookresearch/disentangling-correlated-factors.
    `he_glorot` is that of TF-Slim in snu-mllab/DisentanglementICML19: convolutions as `he`, but
    normal within two standard deviations, all else as `glorot`, and biases at 0.

    Raises:
        ValueError: the name is unknown.
    """
    if initialisation not in INITIALISATIONS:
        raise ValueError(
            f"unknown initialisation {initialisation!r}: choose from {', '.join(INITIALISATIONS)}"
        )
    if initialisation == "pytorch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if layer.weight.is_meta:  # it holds no values, and pretending to draw them takes long
                continue
            if initialisation == "torch03":
                _initialise_as_torch03(layer)
                continue
            if initialisation == "he_uniform":
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                continue
            if initialisation == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif initialisation == "he_glorot" and not isinstance(layer, nn.Linear):
                _initialise_as_slim(layer.weight)
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _initialise_as_torch03(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> None:
    if isinstance(layer, nn.Linear):
        inputs = layer.in_features
    else:
        inputs = layer.in_channels * math.prod(layer.kernel_size)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5)


def _initialise_as_slim(weight: Tensor) -> None:
    """variance_scaling_initializer of TF-Slim, for the weight of a convolution.

    Its factor of 1.3 makes up for what is cut off. Like PyTorch, it counts the output channels of a
    transposed convolution.
    """
    deviation = math.sqrt(1.3 * 2 / weight[0].numel())
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)


class Down(nn.Module):
    """Halve the size: x -> conv3(relu(conv4 of stride 2 (x))) + conv1(means of 2x2 pixels of x)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.reduce = Halving(before, after, 4)
        self.refine = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.refine(nn.functional.relu(self.reduce(x)))
        z: Tensor = self.skip(nn.functional.avg_pool2d(x, 2))
        return y + z


class Up(nn.Module):
    """Double the size, plus `odd`: x -> conv3(relu(transposed conv4(x))) + enlarged conv1(x)."""

    def __init__(self, before: int, after: int, odd: int) -> None:
        super().__init__()
        self.enlarge = Doubling(before, after, odd)
        self.refine = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.refine(nn.functional.relu(self.enlarge(x)))
        z: Tensor = nn.functional.interpolate(self.skip(x), y.shape[-2:])
        return y + z


def _dense(widths: list[int], activation: type[nn.Module]) -> list[nn.Module]:
    return [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), activation())]


def _sizes(spec: _Convolutional, size: int) -> list[int]:
    """Pixels per side before and after each halving."""
    return [size >> stage for stage in range(len(spec.encoder) + 1)]


def _flat(spec: _Convolutional, size: int) -> int:
    return spec.encoder[-1] * _sizes(spec, size)[-1] ** 2


def _spec(network: str, image_shape: tuple[int, int, int]) -> _Convolutional:
    if network not in _CONVOLUTIONAL:
        raise ValueError(f"unknown network {network!r}: choose from {', '.join(NETWORKS)}")
    channels, height, width = image_shape
    if height != width or not _SMALLEST <= height <= _LARGEST or channels not in (1, 3):
        raise ValueError(
            f"network {network} takes square images of {_SMALLEST} to {_LARGEST} pixels per side "
            f"and 1 or 3 channels, not {channels}x{height}x{width}"
        )
    return _CONVOLUTIONAL[network][height < SMALL]
