"""The layers of the networks that PyTorch's kernels are slow at, with PyTorch's own weights.

Each equals the plain layer that it is a subclass of in values and gradients, which the tests prove
in float64; weights have the same names and shapes. What is done differently is done on the CPU
only, and docs/performance.md says what each difference is worth.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW = 4  # channels up to which a transposed convolution is faster as a plain one
_aten = torch.ops.aten


class Halving(nn.Conv2d):
    """A convolution of stride 2: half the size."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__(before, after, kernel, stride=2, padding=kernel // 2 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if _plain(x) else _chained(x, [self])


class Doubling(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1: twice the size, and `odd` more."""

    def __init__(self, before: int, after: int, odd: int = 0) -> None:
        super().__init__(before, after, 4, stride=2, padding=1, output_padding=odd)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x, output_size) if _plain(x) else _chained(x, [self])


class Layers(nn.Sequential):
    """Layers one after the other, of which neighbouring convolutions share one gradient.

    Within it nobody else holds the gradient of an activation, so that ReLU's is taken in place.
    """

    def forward(self, x: Tensor) -> Tensor:
        if _plain(x):
            whole: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return whole
        chain: list[nn.Module] = []
        for layer in self:
            if isinstance(layer, Halving | Doubling) or (chain and isinstance(layer, nn.ReLU)):
                chain.append(layer)
                continue
            x = layer(_chained(x, chain))
            chain = []
        return _chained(x, chain)


def _plain(x: Tensor) -> bool:
    """Whether PyTorch's own layers are best: off the CPU, and in what is exported or compiled."""
    return not x.is_cpu or torch.compiler.is_compiling()


class _Link(NamedTuple):
    """A convolution within a chain, and whether ReLU follows."""

    transposed: bool
    padding: int
    odd: int
    relu: bool


def _chained(x: Tensor, layers: list[nn.Module]) -> Tensor:
    """Halvings and Doublings, a ReLU after any of them, applied to x (B, C, H, W)."""
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
    found = []
    for link, weight, bias in zip(links, parameters[::2], parameters[1::2], strict=True):
        padding = [link.padding, link.padding]
        if not link.transposed:
            x = F.conv2d(_last(x), weight, bias, stride=2, padding=padding)
        elif weight.shape[1] <= NARROW and not link.odd:
            x = _narrow(x, weight, bias)
        else:
            x = F.conv_transpose2d(x, weight, bias, 2, padding, link.odd)
        if link.relu:
            x = x.relu_()
        found.append(x)
    return tuple(found)


def _last(x: Tensor) -> Tensor:
    """Images of one channel with strides from which PyTorch can tell that channels come last.

    Without, it takes a kernel that is four times as slow.
    """
    if x.shape[1] != 1:
        return x
    rows, _, height, width = x.shape
    return x.reshape(rows, height, width, 1).permute(0, 3, 1, 2)


def _narrow(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The transposed convolution as a plain 2x2 one, which does the same products.

    Each of the four pixels that a pixel becomes is a channel of its own; they are put side by side
    afterwards. PyTorch's kernel runs at a few per cent of the processor's rate where few channels
    come out, as in the layer that gives the image.
    """
    inputs, outputs = weight.shape[:2]
    # the pixel (2i + a - 1, 2j + b - 1) that comes out is the sum over p and q of the
    # kernel's tap (a + 2p, b + 2q) times the pixel (i - p, j - q) that goes in
    taps = weight.reshape(inputs, outputs, 2, 2, 2, 2).flip(2, 4)  # p, a, q, b
    kernel = taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
    four = F.conv2d(x, kernel, bias.repeat(4), padding=1)
    rows, _, height, width = four.shape
    pixels = four.permute(0, 2, 3, 1).reshape(rows, height, width, 2, 2, outputs)
    whole = pixels.transpose(2, 3).reshape(rows, 2 * height, 2 * width, outputs)
    return whole.permute(0, 3, 1, 2)[:, :, 1:-1, 1:-1]


class _Chain(torch.autograd.Function):
    """All activations of a chain, of which the last is the result.

    PyTorch's own gradient of a bias of a transposed convolution takes longer than the whole
    convolution, and that of both operands at once longer than one after the other.
    """

    @staticmethod
    def forward(x: Tensor, links: list[_Link], *parameters: Tensor) -> tuple[Tensor, ...]:
        return _activations(x, links, parameters)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, ctx.links, *parameters = inputs
        ctx.save_for_backward(x, *output, *parameters[::2])
        ctx.of_biases = [bias.dtype for bias in parameters[1::2]]
        ctx.mark_non_differentiable(*output[:-1])
        ctx.set_materialize_grads(False)  # no zeros for them

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        count, gradient = len(ctx.links), gradients[-1]
        activations, weights = [x, *saved[:count]], saved[count:]
        found: list[Tensor | None] = [None] * (2 + 2 * count)
        ours = False  # whether the gradient is a tensor that nobody else holds
        for at in reversed(range(count)):
            link, after = ctx.links[at], activations[at + 1]
            # under autocast activations and weights may be of other types
            before, weight = (t.to(gradient.dtype) for t in (activations[at], weights[at]))
            if not link.relu:
                gradient = _last(gradient)
            elif ours and not torch.is_grad_enabled():
                _aten.threshold_backward.grad_input(gradient, after, 0, grad_input=gradient)
            else:
                gradient = _aten.threshold_backward(gradient, after, 0)
            place = 2 + 2 * at
            if ctx.needs_input_grad[place]:
                of_weight = _of_weight(gradient, before, weight, link)
                found[place] = of_weight.to(weights[at].dtype)
            if ctx.needs_input_grad[place + 1]:
                found[place + 1] = gradient.sum((0, 2, 3)).to(ctx.of_biases[at])
            if at == 0 and not ctx.needs_input_grad[0]:
                break
            gradient, ours = _of_input(gradient, before, weight, link), True
        else:
            found[0] = gradient.to(x.dtype)
        return tuple(found)


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, link: _Link) -> Tensor:
    of_weight: Tensor = _aten.convolution_backward(
        gradient,
        x if link.transposed else _last(x),
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
    return of_weight


def _of_input(gradient: Tensor, x: Tensor, weight: Tensor, link: _Link) -> Tensor:
    if link.transposed:
        return F.conv2d(gradient, weight, stride=2, padding=link.padding)
    # what halving has dropped
    least = [2 * (side - 1) + weight.shape[2] - 2 * link.padding for side in gradient.shape[2:]]
    odd = [side - other for side, other in zip(x.shape[2:], least, strict=True)]
    return F.conv_transpose2d(gradient, weight, None, 2, link.padding, odd)
