"""State dicts that others have released, recognised by the names of their tensors.

Only names and shapes tell what a file is. Both formats are 4x4 convolutions of stride 2, fully
connected layers, and the same back, with ReLU in between and a sigmoid at the end: the layers of
`bench.models.networks` under other names, and here of any width. Their likelihood is Bernoulli,
which weights cannot tell; disentangling-vae has others as options.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.models import Latents

JOINT_VAE = "Schlumberger/joint-vae"
DISENTANGLING_VAE = "YannDubs/disentangling-vae"
_OURS = re.compile(r"(encoder|decoder)\.\d+\.")  # as `VAE` names its layers


class Unfit(ValueError):
    """What a state dict has or lacks, to be said after the name of its file."""


@dataclass(frozen=True)
class Layer:
    """A layer by its name in the state dict; weight as PyTorch has it, bias (outputs,)."""

    name: str
    weight: Tensor
    bias: Tensor

    @property
    def outputs(self) -> int:
        return self.bias.numel()

    @property
    def inputs(self) -> int:
        """Of a Conv2d or Linear."""
        return self.weight.shape[1] if self.weight.dim() > 1 else 0

    def check(self, *shape: int) -> None:
        """Raise Unfit where the weight has another shape."""
        for kind, tensor, expected in (
            ("weight", self.weight, shape),
            ("bias", self.bias, (self.outputs,)),
        ):
            if tensor.shape != expected:
                raise Unfit(
                    f"has {self.name}.{kind} of shape {tuple(tensor.shape)}, expected {expected}"
                )


@dataclass(frozen=True)
class Structure:
    """The layers of a state dict in the order of computation, and what their shapes tell.

    The last layer of `dense` gives means, log variances and logits, in this order.
    """

    format: str
    image_shape: tuple[int, int, int]
    latents: Latents
    convolutions: Sequence[Layer]
    dense: Sequence[Layer]
    dense_back: Sequence[Layer]
    convolutions_back: Sequence[Layer]

    def __str__(self) -> str:
        sizes = "+".join(map(str, self.latents.categorical)) or "no"
        convolutions = "-".join(str(layer.outputs) for layer in self.convolutions)
        hidden = "-".join(str(layer.outputs) for layer in self.dense[:-1])
        return (
            f"{'x'.join(map(str, self.image_shape))} images, {self.latents.continuous} continuous "
            f"latents, {sizes} categories, convolutions {convolutions}, hidden {hidden}"
        )


def structure(tensors: Mapping[str, Tensor]) -> Structure:
    """What a state dict of float tensors is. Raises Unfit."""
    for name, (mark, read) in _FORMATS.items():
        if mark in tensors:
            left = _Left(tensors)
            try:
                found = read(left)
            except Unfit as error:
                raise Unfit(f"looks like {name}, but {error}") from error
            if surplus := left.names():
                raise Unfit(f"looks like {name}, but has {surplus[0]}, which that does not have")
            return found
    some = ", ".join([*tensors][:3]) or "none at all"
    known = " or ".join(f"{name} ({mark}, ...)" for name, (mark, _) in _FORMATS.items())
    raise Unfit(f"holds tensors of no known model ({some}): expected a state dict of {known}")


def is_ours(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those that `bench run` gives the weights of a model."""
    return any(_OURS.match(name) for name in tensors)


class _Left:
    """The tensors of a state dict that nobody has taken yet. Taking raises Unfit."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)

    def names(self) -> list[str]:
        return list(self._tensors)

    def has(self, layer: str) -> bool:
        return f"{layer}.weight" in self._tensors

    def take(self, *layers: str) -> list[Layer]:
        taken = []
        for name in layers:
            for kind in ("weight", "bias"):
                if f"{name}.{kind}" not in self._tensors:
                    raise Unfit(f"has no {name}.{kind}")
            weight, bias = (self._tensors.pop(f"{name}.{kind}") for kind in ("weight", "bias"))
            taken.append(Layer(name, weight, bias))
        return taken

    def take_numbered(self, stem: str) -> list[Layer]:
        """`stem`.0 and those after it; in a Sequential the activations have numbers, too."""
        pattern = re.compile(rf"{re.escape(stem)}\.(\d+)\.weight")
        numbers = sorted(int(m[1]) for m in map(pattern.fullmatch, self._tensors) if m)
        return self.take(*(f"{stem}.{number}" for number in numbers or [0]))


def _joint_vae(left: _Left) -> Structure:
    """A head for the means, one for the log variances, and one for each categorical latent."""
    convolutions = left.take_numbered("img_to_features")
    hidden = left.take_numbered("features_to_hidden")
    # a model without continuous latents has none of these two, one without categories no third
    gaussian = left.take("fc_mean", "fc_log_var") if left.has("fc_mean") else []
    heads = [*gaussian, *(left.take_numbered("fc_alphas") if left.has("fc_alphas.0") else [])]
    if not heads:
        raise Unfit("has neither fc_mean.weight nor fc_alphas.0.weight")
    for head in heads:
        head.check(head.outputs, hidden[-1].outputs)
    if gaussian:
        gaussian[1].check(*gaussian[0].weight.shape)
    head = Layer("head", torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads]))
    latents = _latents(
        gaussian[0].outputs if gaussian else 0,
        tuple(head.outputs for head in heads[len(gaussian) :]),
    )
    back = left.take_numbered("latent_to_features"), left.take_numbered("features_to_img")
    return _checked(JOINT_VAE, latents, convolutions, [*hidden, head], *back)


def _disentangling_vae(left: _Left) -> Structure:
    """One head, whose rows are mean and log variance of each latent in turn."""
    extra = ["conv_64"] if left.has("encoder.conv_64") else []  # of 64x64 images
    convolutions = left.take(*(f"encoder.{n}" for n in ["conv1", "conv2", "conv3", *extra]))
    hidden = left.take("encoder.lin1", "encoder.lin2")
    (pairs,) = left.take("encoder.mu_logvar_gen")
    if pairs.outputs % 2:
        raise Unfit(f"has {pairs.name} of {pairs.outputs} outputs, expected two a latent")
    pairs.check(pairs.outputs, hidden[-1].outputs)
    head = Layer(
        pairs.name,
        torch.cat([pairs.weight[0::2], pairs.weight[1::2]]),
        torch.cat([pairs.bias[0::2], pairs.bias[1::2]]),
    )
    extra = ["convT_64"] if left.has("decoder.convT_64") else []
    dense_back = left.take(*(f"decoder.{n}" for n in ["lin1", "lin2", "lin3"]))
    back = left.take(*(f"decoder.{n}" for n in [*extra, "convT1", "convT2", "convT3"]))
    latents = _latents(pairs.outputs // 2, ())
    return _checked(DISENTANGLING_VAE, latents, convolutions, [*hidden, head], dense_back, back)


# By name: the tensor that only this format has, and what reads it.
_FORMATS: Mapping[str, tuple[str, Callable[[_Left], Structure]]] = {
    JOINT_VAE: ("img_to_features.0.weight", _joint_vae),
    DISENTANGLING_VAE: ("encoder.mu_logvar_gen.weight", _disentangling_vae),
}


def _latents(continuous: int, categorical: tuple[int, ...]) -> Latents:
    try:
        return Latents(continuous, categorical)
    except ValueError as error:
        raise Unfit(f"has no latents that are known here ({error})") from error


def _checked(
    format: str,
    latents: Latents,
    convolutions: Sequence[Layer],
    dense: Sequence[Layer],
    dense_back: Sequence[Layer],
    convolutions_back: Sequence[Layer],
) -> Structure:
    """The structure, if every layer takes what the one before it gives. Raises Unfit."""
    channels = width = convolutions[0].inputs
    for layer in convolutions:
        layer.check(layer.outputs, width, 4, 4)
        width = layer.outputs
    side = math.isqrt(dense[0].inputs // width)
    pixels = side << len(convolutions)
    if channels not in (1, 3) or pixels not in (32, 64):
        raise Unfit(
            f"is for {channels}x{pixels}x{pixels} images, expected 1 or 3 channels of 32 or 64 "
            "pixels a side"
        )
    if len(convolutions_back) != len(convolutions):
        raise Unfit(f"has {len(convolutions)} convolutions and {len(convolutions_back)} back")
    for before, layers in ((width * side**2, dense), (latents.width, dense_back)):
        for layer in layers:
            layer.check(layer.outputs, before)
            before = layer.outputs
    width = convolutions_back[0].weight.shape[0]
    dense_back[-1].check(width * side**2, dense_back[-1].inputs)
    for layer in convolutions_back:
        layer.check(width, layer.outputs, 4, 4)
        width = layer.outputs
    convolutions_back[-1].check(convolutions_back[-1].weight.shape[0], channels, 4, 4)
    shape = (channels, pixels, pixels)
    return Structure(format, shape, latents, convolutions, dense, dense_back, convolutions_back)
