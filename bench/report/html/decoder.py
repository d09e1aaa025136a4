"""A trained decoder as layers and weights that the page's interpreter, `decoder.js`, knows.

A layer is a plain dict with its kind under `op`. Weights are in one block of bytes: first float32
numbers (biases and the like), then the weights themselves in the format of the decoder.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from bench.models import QLAE, VAE
from bench.models.fast_layers import Broadcast, Doubling, Halving, Layers
from bench.models.networks import Up

Format = Literal["float16", "float32"]
FORMATS: tuple[Format, ...] = get_args(Format)  # in the order in which they are tried

# How far rounded weights may move a pixel, as a share of the range from black to white. With the
# rounding to grey levels, what a page shows is within one grey level of the model's pictures.
ALLOWED = 0.5 / 255

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
}
_SEQUENCES = (nn.Sequential, Layers)
_CONVOLUTIONS = (nn.Conv2d, Halving)
_TRANSPOSED = (nn.ConvTranspose2d, Doubling)


class NotExportableError(Exception):
    """A decoder that the page cannot draw; the message is one line and says why."""


@dataclass(frozen=True)
class ExportedDecoder:
    """A decoder without Python.

    Attributes:
        layers: what is computed of a code, one after another.
        likelihood: by which the last layer's numbers become an image.
        image_shape: (C, H, W).
        format: of the weights.
        exact: count of float32 numbers before the weights.
        weights: the block of bytes, little-endian.
        error: by how much the rounding of the weights moves a pixel at most, in the pictures that
            were compared; 1 is the range from black to white.
    """

    layers: Sequence[dict[str, Any]]
    likelihood: str
    image_shape: tuple[int, int, int]
    format: Format
    exact: int
    weights: bytes
    error: float

    def as_dict(self) -> dict[str, Any]:
        """All but the weights, as the page takes it."""
        return {
            "layers": list(self.layers),
            "likelihood": self.likelihood,
            "shape": list(self.image_shape),
            "format": self.format,
            "exact": self.exact,
        }


def export_decoder(model: VAE, codes: Tensor, limit: int) -> ExportedDecoder:
    """The decoder of a model with the first format of weights that is small and exact enough.

    Args:
        model: trained, on the CPU.
        codes: of which pictures are compared, (n, D + sum S_c).
        limit: bytes that the weights may take.

    Raises:
        NotExportableError: it has a part that the page does not know, or its weights take more than
            the limit in every format that is exact enough.
    """
    if type(model).pictures is not VAE.pictures:
        raise NotExportableError("its pictures are not those of the suite's likelihoods")
    with torch.inference_mode():
        expected = model.pictures(codes)
        reasons = []
        for kind in FORMATS:
            # the copy gets the rounded weights, so that both compute with the same ones
            rounded = copy.deepcopy(model)
            taken = _Taken(kind)
            layers = taken.model(rounded, codes[:1])
            weights = taken.weights()
            if len(weights) > limit:
                reasons.append(f"{len(weights) / 1e6:.1f} MB as {kind}")
                continue
            error = float((rounded.pictures(codes) - expected).abs().max())
            if not error <= ALLOWED:
                reasons.append(f"pixels {255 * error:.1f} of 255 off as {kind}")
                continue
            return ExportedDecoder(
                layers=layers,
                likelihood=model.likelihood,
                image_shape=model.image_shape,
                format=kind,
                exact=taken.count,
                weights=weights,
                error=error,
            )
    raise NotExportableError(f"its weights have no room on the page ({', '.join(reasons)})")


@dataclass
class _Taken:
    """The layers of a decoder as they are taken apart, each rounded in place.

    Attributes:
        format: of the weights.
        count: of the float32 numbers so far.
        coded: count of the weights so far.
        numbers: the float32 numbers.
        blocks: the weights in their format.
    """

    format: Format
    count: int = 0
    coded: int = 0
    numbers: list[np.ndarray] = field(default_factory=list)
    blocks: list[np.ndarray] = field(default_factory=list)

    def weights(self) -> bytes:
        kind = "<f2" if self.format == "float16" else "<f4"
        exact = b"".join(block.astype("<f4").tobytes() for block in self.numbers)
        return exact + b"".join(block.astype(kind).tobytes() for block in self.blocks)

    def model(self, model: VAE, codes: Tensor) -> list[dict[str, Any]]:
        """The layers from codes (1, D + sum S_c) to what the likelihood takes."""
        kind = type(model)
        if kind.decode is VAE.decode:
            layers, _ = self._layers(model.decoder, codes)
            return layers
        if isinstance(model, QLAE) and kind.decode is QLAE.decode:
            sizes = list(model.latents.categorical)
            values = {"op": "codebook", "sizes": sizes, "values": self._exact(model.values)}
            layers, _ = self._layers(model.decoder, codes.new_zeros(1, len(sizes)))
            return [values, *layers]
        raise NotExportableError(f"{kind.__name__} decodes in a way of its own")

    def _layers(self, module: nn.Module, x: Tensor) -> tuple[list[dict[str, Any]], Tensor]:
        """What a module computes, and its output for an input x of one row."""
        kind = type(module)
        if kind in _SEQUENCES:
            layers = []
            for child in module.children():
                own, x = self._layers(child, x)
                layers += own
            return layers, x
        if kind is Up:
            assert isinstance(module, Up)
            first, _ = self._layers(module.enlarge, x)
            second, y = self._layers(module.refine, module.enlarge(x))
            skip, _ = self._layers(module.skip, x)
            main = [*first, {"op": "relu"}, *second]
            return [{"op": "up", "main": main, "skip": skip}], y
        y = module(x)
        return self._layer(module, x, y), y

    def _layer(self, module: nn.Module, x: Tensor, y: Tensor) -> list[dict[str, Any]]:
        kind = type(module)
        if kind in _ACTIVATIONS:
            return [{"op": _ACTIVATIONS[kind]}]
        if isinstance(module, nn.Flatten | nn.Unflatten) and kind in (nn.Flatten, nn.Unflatten):
            if y.shape[0] != 1 or y.numel() != x.numel():
                raise NotExportableError(f"{module} mixes rows")
            return [{"op": "reshape", "shape": list(y.shape[1:])}]
        if isinstance(module, nn.Linear) and kind is nn.Linear and x.dim() == 2:
            sizes = {"inputs": module.in_features, "outputs": module.out_features}
            return [{"op": "linear", **sizes, **self._parameters(module)}]
        if isinstance(module, Broadcast) and kind is Broadcast:
            grid = {"op": "grid", "size": y.shape[-1] + 2 - 2 * _one(module.padding)}
            return [grid, self._convolution(module, "conv")]
        if isinstance(module, nn.Conv2d) and kind in _CONVOLUTIONS and x.dim() == 4:
            return [self._convolution(module, "conv")]
        if isinstance(module, nn.ConvTranspose2d) and kind in _TRANSPOSED and x.dim() == 4:
            odd = _one(module.output_padding)
            return [{**self._convolution(module, "transposed"), "odd": odd}]
        raise NotExportableError(f"the page lacks layers of type {kind.__name__}, such as it has")

    def _convolution(self, module: nn.Conv2d | nn.ConvTranspose2d, op: str) -> dict[str, Any]:
        if module.groups != 1 or _one(module.dilation) != 1 or module.padding_mode != "zeros":
            raise NotExportableError(f"the page lacks convolutions such as its {module}")
        return {
            "op": op,
            "inputs": module.in_channels,
            "outputs": module.out_channels,
            "kernel": _one(module.kernel_size),
            "stride": _one(module.stride),
            "padding": _one(module.padding),
            **self._parameters(module),
        }

    def _parameters(self, module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Any]:
        """Where the weights (outputs first) and the biases of a layer are."""
        # of a transposed convolution PyTorch has the inputs first
        transposed = isinstance(module, nn.ConvTranspose2d)
        weight = module.weight.transpose(0, 1) if transposed else module.weight
        place = self.coded
        block = weight.detach().numpy()
        if self.format == "float16":
            with np.errstate(over="ignore"):  # infinite weights are seen to be wrong
                block = block.astype(np.float16)
            weight.copy_(torch.from_numpy(block))
        self.blocks.append(block.ravel())
        self.coded += block.size
        return {"weight": place, "bias": None if module.bias is None else self._exact(module.bias)}

    def _exact(self, tensor: Tensor) -> int:
        """Keep numbers as float32; where they are."""
        place = self.count
        self.numbers.append(tensor.detach().numpy().ravel())
        self.count += tensor.numel()
        return place


def _one(pair: Any) -> int:
    """The number of which a pair consists."""
    numbers = pair if isinstance(pair, tuple) else (pair,)
    if len(set(numbers)) != 1 or not isinstance(numbers[0], int):
        raise NotExportableError(f"it has a convolution with sides that differ: {pair}")
    return numbers[0]
