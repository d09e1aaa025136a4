"""The layers of the networks that PyTorch's kernels are slow at, with PyTorch's own weights.

Each equals the plain layer that it is a subclass of in values and gradients, which the tests prove
in float64; weights have the same names and shapes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NARROW = 4  # channels up to which a transposed convolution is faster as a plain one


class Doubling(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1: twice the size, and `odd` more.

    On the CPU PyTorch's kernel for it runs at a few per cent of the processor's rate where few
    channels come out, as in the layer that gives the image; see `_Narrow`.
    """

    def __init__(self, before: int, after: int, odd: int = 0) -> None:
        super().__init__(before, after, 4, stride=2, padding=1, output_padding=odd)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.out_channels > NARROW or self.output_padding != (0, 0) or not x.is_cpu:
            return super().forward(x, output_size)
        doubled: Tensor = _Narrow.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return doubled


class Halving(nn.Conv2d):
    """A convolution of stride 2: half the size.

    Of images of one channel PyTorch cannot tell from the strides that channels come last, and on
    the CPU takes a kernel that is four times as slow; here the strides say so.
    """

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__(before, after, kernel, stride=2, padding=kernel // 2 - 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and x.is_cpu:
            rows, _, height, width = x.shape
            x = x.reshape(rows, height, width, 1).permute(0, 3, 1, 2)
        return super().forward(x)


class _Narrow(torch.autograd.Function):
    """The transposed convolution as a plain 2x2 one, which does the same products.

    Each of the four pixels that a pixel becomes is a channel of its own; they are put side by side
    afterwards. The gradients are those of the transposed convolution, which PyTorch is fast at.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
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

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        x, weight, bias = inputs
        ctx.save_for_backward(x, weight)
        ctx.outputs, ctx.of_bias = bias.shape, bias.dtype

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        # under autocast the output is of another type than the weights
        gradients = torch.ops.aten.convolution_backward(
            gradient,
            x.to(gradient.dtype),
            weight.to(gradient.dtype),
            ctx.outputs,
            [2, 2],
            [1, 1],
            [1, 1],
            True,
            [0, 0],
            1,
            list(ctx.needs_input_grad),
        )
        types = (x.dtype, weight.dtype, ctx.of_bias)
        return tuple(g if g is None else g.to(t) for g, t in zip(gradients, types, strict=True))
