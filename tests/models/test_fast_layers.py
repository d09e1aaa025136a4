"""Every layer of our own against the plain layer of PyTorch that it replaces."""

import pytest
import torch
from torch import Tensor, nn

from bench.models.fast_layers import NARROW, Broadcast, Doubling, Halving, Layers
from tests.models.conftest import assert_equal_up_to_rounding, generator


def doublings(channels: int, odd: int = 0) -> tuple[Doubling, nn.ConvTranspose2d]:
    """Ours and PyTorch's, with the same weights."""
    ours = Doubling(5, channels, odd).double()
    plain = nn.ConvTranspose2d(5, channels, 4, stride=2, padding=1, output_padding=odd).double()
    plain.load_state_dict(ours.state_dict())  # the same names and shapes
    return ours, plain


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return list(torch.autograd.grad((y.square() * weights).sum(), [x, *layer.parameters()]))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 5, 6, 7, dtype=torch.float64, generator=generator(1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("channels", [1, 2, 3, NARROW, NARROW + 1])
def test_doubling_is_the_transposed_convolution(
    channels: int, odd: int, layout: torch.memory_format, x: Tensor
) -> None:
    ours, plain = doublings(channels, odd)
    x = x.to(memory_format=layout)
    assert ours(x).shape == (3, channels, 12 + odd, 14 + odd)
    assert_equal_up_to_rounding(ours(x), plain(x))
    for given, expected in zip(gradients(ours, x), gradients(plain, x), strict=True):
        assert_equal_up_to_rounding(given, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_halving_is_the_convolution(
    channels: int, kernel: int, layout: torch.memory_format
) -> None:
    ours = Halving(channels, 5, kernel).double().to(memory_format=layout)
    plain = nn.Conv2d(channels, 5, kernel, stride=2, padding=kernel // 2 - 1).double()
    plain.load_state_dict(ours.state_dict())
    whole = torch.randn(3, 2 * channels, 9, 8, dtype=torch.float64, generator=generator(2))
    for x in (whole[:, :channels], whole[:, ::2], whole[:, :channels].to(memory_format=layout)):
        assert_equal_up_to_rounding(ours(x), plain(x))
        for given, expected in zip(gradients(ours, x), gradients(plain, x), strict=True):
            assert_equal_up_to_rounding(given, expected)


class PlainBroadcast(nn.Conv2d):
    """The code repeated over a grid, with two channels of coordinates, through a convolution."""

    def __init__(self, inputs: int, outputs: int, size: int, padding: int) -> None:
        super().__init__(inputs + 2, outputs, 3, padding=padding)
        self.size = size

    def forward(self, code: Tensor) -> Tensor:
        size = self.size
        line = torch.linspace(-1, 1, size).to(self.weight.dtype)
        vertical = line[:, None].repeat(len(code), 1, 1, size)
        horizontal = line.repeat(len(code), 1, size, 1)
        repeated = code[:, :, None, None].repeat(1, 1, size, size)
        return super().forward(torch.cat([repeated, vertical, horizontal], 1))


def broadcasts(size: int, padding: int) -> tuple[Broadcast, PlainBroadcast]:
    """Ours and the plain one, with the same weights."""
    torch.manual_seed(5)
    ours, plain = Broadcast(4, 6, size, padding), PlainBroadcast(4, 6, size, padding)
    assert ours.weight.shape == (6, 4 + 2, 3, 3)
    plain.load_state_dict(ours.state_dict())  # the same names and shapes, and nothing else
    return ours, plain


def code(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(5, 4, dtype=dtype, generator=generator(6))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [3, 4, 7])
def test_broadcast_is_the_convolution_of_the_repeated_code(
    size: int, padding: int, layout: torch.memory_format
) -> None:
    ours, plain = broadcasts(size, padding)
    ours.double().to(memory_format=layout)
    plain.double()
    assert ours(code()).shape == (5, 6, size - 2 + 2 * padding, size - 2 + 2 * padding)
    assert_equal_up_to_rounding(ours(code()), plain(code()))
    for given, expected in zip(gradients(ours, code()), gradients(plain, code()), strict=True):
        assert_equal_up_to_rounding(given, expected)


def test_broadcast_in_float32_and_bfloat16() -> None:
    ours, plain = broadcasts(size=8, padding=1)
    x = code(torch.float32)
    for given, expected in zip(gradients(ours, x), gradients(plain, x), strict=True):
        assert_equal_up_to_rounding(given, expected)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = ours(x), plain(x)
    assert y.dtype == expected.dtype == torch.bfloat16
    assert_equal_up_to_rounding(y, expected, roundings=4)


def test_a_gradient_of_a_gradient_of_a_broadcast() -> None:
    ours, plain = broadcasts(size=5, padding=1)

    def penalty(layer: nn.Module) -> Tensor:
        x = code().requires_grad_()
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), layer.weight)[0]

    assert_equal_up_to_rounding(penalty(ours.double()), penalty(plain.double()))


def test_gradients_that_are_not_needed_are_not_computed(x: Tensor) -> None:
    ours, _ = doublings(1)
    ours(x).sum().backward()
    assert x.grad is None
    assert ours.weight.grad is not None
    ours.weight.grad = None
    ours.weight.requires_grad_(False)
    y = x.clone().requires_grad_()
    ours(y).sum().backward()
    assert y.grad is not None
    assert ours.weight.grad is None


def chain(dtype: torch.dtype = torch.float64) -> tuple[Layers, nn.Sequential]:
    """Ours and PyTorch's, with the same weights.

    With and without ReLU, with odd sizes, one and many channels, and a layer in between that is no
    convolution.
    """
    torch.manual_seed(3)
    odd = NARROW + 1
    ours = Layers(
        *(Halving(1, odd, 4), nn.ReLU(inplace=True), Halving(odd, 6, 4), Halving(6, 7, 2)),
        *(nn.ReLU(inplace=True), nn.Tanh(), nn.ReLU()),
        *(Doubling(7, odd, odd=1), nn.ReLU(inplace=True), Doubling(odd, 6), nn.ReLU()),
        Doubling(6, 1),
    ).to(dtype)
    plain = nn.Sequential(
        *(nn.Conv2d(1, odd, 4, 2, 1), nn.ReLU(), nn.Conv2d(odd, 6, 4, 2, 1), nn.Conv2d(6, 7, 2, 2)),
        *(nn.ReLU(), nn.Tanh(), nn.ReLU()),
        *(nn.ConvTranspose2d(7, odd, 4, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(odd, 6, 4, 2, 1)),
        *(nn.ReLU(), nn.ConvTranspose2d(6, 1, 4, 2, 1)),
    ).to(dtype)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def picture(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(4, 1, 30, 26, dtype=dtype, generator=generator(4))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_neighbouring_layers_are_the_plain_ones(layout: torch.memory_format) -> None:
    ours, plain = chain()
    ours.to(memory_format=layout)
    assert_equal_up_to_rounding(ours(picture()), plain(picture()))
    with torch.no_grad():
        assert_equal_up_to_rounding(ours(picture()), plain(picture()))
    for given, expected in zip(
        gradients(ours, picture()), gradients(plain, picture()), strict=True
    ):
        assert_equal_up_to_rounding(given, expected)


def test_in_float32_too() -> None:
    (ours, plain), x = chain(torch.float32), picture(torch.float32)
    assert_equal_up_to_rounding(ours(x), plain(x))
    for given, expected in zip(gradients(ours, x), gradients(plain, x), strict=True):
        assert_equal_up_to_rounding(given, expected)


def test_in_bfloat16_too() -> None:
    """Each of the six activations is rounded to 8 bits, which kernels may do differently."""
    (ours, plain), x = chain(torch.float32), picture(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = ours(x), plain(x)
    assert y.dtype == torch.bfloat16
    assert_equal_up_to_rounding(y, expected, roundings=4)
    y.float().square().sum().backward()
    expected.float().square().sum().backward()
    for parameter, of_plain in zip(ours.parameters(), plain.parameters(), strict=True):
        assert parameter.grad is not None
        assert of_plain.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert_equal_up_to_rounding(
            parameter.grad, of_plain.grad, roundings=8, computed_in=torch.bfloat16
        )


def test_a_gradient_of_a_gradient() -> None:
    ours, plain = chain()

    def penalty(layers: nn.Module) -> list[Tensor]:
        x = picture().requires_grad_()
        (slope,) = torch.autograd.grad(layers(x).square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), [layers[0].weight, layers[2].bias]))

    for given, expected in zip(penalty(ours), penalty(plain), strict=True):
        assert_equal_up_to_rounding(given, expected)


def test_two_backward_passes_of_one_output_leave_its_gradient_unchanged() -> None:
    ours, plain = chain()
    ours.append(nn.ReLU(inplace=True))  # so that the last gradient has a mask too
    plain.append(nn.ReLU())
    results: list[list[Tensor]] = []
    for layers in (ours, plain):
        y = layers(picture())
        gradient = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
        before = gradient.clone()
        parameters = list(layers.parameters())
        passes = [torch.autograd.grad(y, parameters, gradient, retain_graph=True) for _ in range(2)]
        results.append([*passes[0], *passes[1]])
        assert torch.equal(gradient, before)
    for given, expected in zip(*results, strict=True):
        assert_equal_up_to_rounding(given, expected)
