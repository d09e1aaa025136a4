"""Faster layers: replacing them by their plain forms in torch.nn changes only the speed.

Up to rounding, each layer equals the plain one that it derives from in values and gradients, as the
tests prove, and its weights have the same names and shapes. Broadcast computes the same way on all
devices; the others differ from PyTorch's layers only on the CPU. docs/performance.md says how much
each difference gains.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW = 4  # output channels up to which a transposed convolution is faster as a plain one
_aten = torch.ops.aten


class Halving(nn.Conv2d):
    """A convolution of stride 2, which halves the size."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__(before, after, kernel, stride=2, padding=kernel // 2 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if _plain(x) else _chained(x, [self])


class Doubling(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1: doubles the size and adds `odd`."""

    def __init__(self, before: int, after: int, odd: int = 0) -> None:
        super().__init__(before, after, 4, stride=2, padding=1, output_padding=odd)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x, output_size) if _plain(x) else _chained(x, [self])


class Broadcast(nn.Conv2d):
    """A 3x3 convolution of a code that is repeated at every pixel, beside the pixel's coordinates.

    (B, inputs) -> (B, outputs, H, H). The plain form repeats the code over a grid, appends the
    pixels' vertical and horizontal coordinates as two channels, both from -1 to 1, and convolves
    the result with `weight` (outputs, inputs + 2, 3, 3). At each pixel that is an affine function
    of the code. Its slopes are sums of the taps that do not lie in the padding, and its constant
    comes from the coordinates, so that both are computed once per batch instead of once per image.
    """

    inside: Tensor
    coordinates: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, padding: int) -> None:
        """Create the layer.

        Args:
            inputs: width of the code.
            outputs: channels.
            size: of the grid, pixels per side.
            padding: pixels of zeros on each side; H = size - 2 + 2 padding.
        """
        super().__init__(inputs + 2, outputs, 3, padding=padding)
        # on the CPU also where a plan tries a model that takes no memory: stacking tensors without
        # memory imports torch's compiler, for a second
        line = torch.linspace(-1, 1, size, device="cpu")
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"))
        # what each of a pixel's nine taps sees: (H * H, 9) and (H * H, 2 * 9)
        inside = F.unfold(torch.ones_like(grid[:1]), 3, padding=padding).T.contiguous()
        coordinates = F.unfold(grid, 3, padding=padding).T.contiguous()
        self.register_buffer("inside", inside, persistent=False)
        self.register_buffer("coordinates", coordinates, persistent=False)

    def forward(self, code: Tensor) -> Tensor:
        assert self.bias is not None
        inputs = code.shape[1]
        taps = self.weight.permute(1, 2, 3, 0).flatten(1, 2)  # (inputs + 2, 9, outputs)
        slopes = self.inside @ taps[:inputs]
        constants = torch.addmm(self.bias, self.coordinates, taps[inputs:].flatten(0, 1))
        y = torch.addmm(constants.flatten(), code, slopes.flatten(1))
        side = math.isqrt(len(constants))
        return y.view(-1, side, side, self.out_channels).permute(0, 3, 1, 2)


class Layers(nn.Sequential):
    """A sequence of layers in which neighbouring convolutions share one backward pass.

    Within that pass nothing else holds the gradient of an activation, so that ReLU's gradient is
    computed in place.
    """

    def forward(self, x: Tensor) -> Tensor:
        if _plain(x):
            y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return y
        chain: list[nn.Module] = []
        for layer in self:
            if isinstance(layer, Halving | Doubling) or (chain and isinstance(layer, nn.ReLU)):
                chain.append(layer)
                continue
            x = layer(_chained(x, chain))
            chain = []
        return _chained(x, chain)


def _plain(x: Tensor) -> bool:
    """Whether to use PyTorch's own layers: off the CPU, and in what is exported or compiled."""
    return not x.is_cpu or torch.compiler.is_compiling()


class _Link(NamedTuple):
    """A convolution within a chain.

    Attributes:
        transposed: whether it is a Doubling.
        padding: on each side.
        odd: the output padding of a Doubling.
        relu: whether a ReLU follows.
    """

    transposed: bool
    padding: int
    odd: int
    relu: bool


def _chained(x: Tensor, layers: list[nn.Module]) -> Tensor:
    """Apply Halvings and Doublings, each with or without a ReLU after it, to x (B, C, H, W)."""
    links: list[_Link] = []
    parameters: list[Tensor] = []
    for layer in layers:
        if isinstance(layer, Halving | Doubling):
            transposed = isinstance(layer, Doubling)
            odd = layer.output_padding[0] if transposed else 0
            links.append(_Link(transposed, int(layer.padding[0]), int(odd), relu=False))
            assert layer.bias is not None
            parameters += [layer.weight, layer.bias]
        else:
            links[-1] = links[-1]._replace(relu=True)
    if not links:
        return x
    y: Tensor = _Chain.apply(x, links, *parameters)[-1]  # type: ignore[no-untyped-call]
    return y


def _activations(
    x: Tensor, links: list[_Link], parameters: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The result of each link, after its ReLU."""
    activations = []
    for link, weight, bias in zip(links, parameters[::2], parameters[1::2], strict=True):
        padding = [link.padding, link.padding]
        if not link.transposed:
            x = F.conv2d(_channels_last(x), weight, bias, stride=2, padding=padding)
        elif weight.shape[1] <= NARROW and not link.odd:
            x = _narrow_doubling(x, weight, bias)
        else:
            x = F.conv_transpose2d(x, weight, bias, 2, padding, link.odd)
        if link.relu:
            x = x.relu_()
        activations.append(x)
    return tuple(activations)


def _channels_last(x: Tensor) -> Tensor:
    """Give images of one channel strides from which PyTorch can tell that channels come last.

    Without them it takes a kernel that is four times slower.
    """
    if x.shape[1] != 1:
        return x
    rows, _, height, width = x.shape
    return x.reshape(rows, height, width, 1).permute(0, 3, 1, 2)


def _narrow_doubling(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute a transposed convolution as a plain 2x2 one, which does the same products.

    Each pixel becomes four; these are separate channels first, and are put side by side afterwards.
    PyTorch's kernel reaches only a few per cent of the processor's rate where few channels come
    out, as in the layer that gives the image.
    """
    inputs, outputs = weight.shape[:2]
    # the output pixel (2i + a - 1, 2j + b - 1) is the sum over p and q of the kernel's
    # tap (a + 2p, b + 2q) times the input pixel (i - p, j - q)
    taps = weight.reshape(inputs, outputs, 2, 2, 2, 2).flip(2, 4)  # p, a, q, b
    kernel = taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
    four = F.conv2d(x, kernel, bias.repeat(4), padding=1)
    rows, _, height, width = four.shape
    pixels = four.permute(0, 2, 3, 1).reshape(rows, height, width, 2, 2, outputs)
    whole = pixels.transpose(2, 3).reshape(rows, 2 * height, 2 * width, outputs)
    return whole.permute(0, 3, 1, 2)[:, :, 1:-1, 1:-1]


class _Chain(torch.autograd.Function):
    """All activations of a chain; the last one is its result.

    PyTorch's own gradient of the bias of a transposed convolution takes longer than the whole
    convolution, and its gradients of both operands at once take longer than one after the other.
    """

    @staticmethod
    def forward(x: Tensor, links: list[_Link], *parameters: Tensor) -> tuple[Tensor, ...]:
        return _activations(x, links, parameters)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, ctx.links, *parameters = inputs
        ctx.save_for_backward(x, *output, *parameters[::2])
        ctx.bias_dtypes = [bias.dtype for bias in parameters[1::2]]
        ctx.mark_non_differentiable(*output[:-1])
        ctx.set_materialize_grads(False)  # no zeros as their gradients

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        count, gradient = len(ctx.links), gradients[-1]
        activations, weights = [x, *saved[:count]], saved[count:]
        # one for each argument of forward: x, links, then weight and bias of each link
        results: list[Tensor | None] = [None] * (2 + 2 * count)
        owned = False  # whether the gradient is a tensor that nothing else holds
        for index in reversed(range(count)):
            link, after = ctx.links[index], activations[index + 1]
            # under autocast activations and weights may be of other types
            before, weight = (t.to(gradient.dtype) for t in (activations[index], weights[index]))
            if not link.relu:
                gradient = _channels_last(gradient)
            elif owned and not torch.is_grad_enabled():
                _aten.threshold_backward.grad_input(gradient, after, 0, grad_input=gradient)
            else:
                gradient = _aten.threshold_backward(gradient, after, 0)
            argument = 2 + 2 * index
            if ctx.needs_input_grad[argument]:
                weight_gradient = _weight_gradient(gradient, before, weight, link)
                results[argument] = weight_gradient.to(weights[index].dtype)
            if ctx.needs_input_grad[argument + 1]:
                results[argument + 1] = gradient.sum((0, 2, 3)).to(ctx.bias_dtypes[index])
            if index == 0 and not ctx.needs_input_grad[0]:
                break
            gradient, owned = _input_gradient(gradient, before, weight, link), True
        else:
            results[0] = gradient.to(x.dtype)
        return tuple(results)


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, link: _Link) -> Tensor:
    weight_gradient: Tensor = _aten.convolution_backward(
        gradient,
        x if link.transposed else _channels_last(x),
        weight,
        None,
        [2, 2],
        [link.padding, link.padding],
        [1, 1],
        link.transposed,
        [link.odd, link.odd],
        1,
        [False, True, False],
    )[1]
    return weight_gradient


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, link: _Link) -> Tensor:
    if link.transposed:
        return F.conv2d(gradient, weight, stride=2, padding=link.padding)
    # the rows and columns that halving has dropped
    least = [2 * (side - 1) + weight.shape[2] - 2 * link.padding for side in gradient.shape[2:]]
    odd = [side - kept for side, kept in zip(x.shape[2:], least, strict=True)]
    return F.conv_transpose2d(gradient, weight, None, 2, link.padding, odd)
