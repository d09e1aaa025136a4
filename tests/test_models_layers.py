"""Every layer of our own against the plain layer of PyTorch that it replaces, in float64."""

import pytest
import torch
from torch import Tensor, nn

from bench.models.layers import NARROW, Doubling, Halving


def both(channels: int, odd: int = 0) -> tuple[Doubling, nn.ConvTranspose2d]:
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
    return torch.randn(3, 5, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("channels", [1, 2, 3, NARROW, NARROW + 1])
def test_doubling_is_the_transposed_convolution(
    channels: int, odd: int, layout: torch.memory_format, x: Tensor
) -> None:
    ours, plain = both(channels, odd)
    x = x.to(memory_format=layout)
    assert ours(x).shape == (3, channels, 12 + odd, 14 + odd)
    torch.testing.assert_close(ours(x), plain(x), rtol=1e-13, atol=1e-13)
    for one, other in zip(gradients(ours, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_halving_is_the_convolution(
    channels: int, kernel: int, layout: torch.memory_format
) -> None:
    ours = Halving(channels, 5, kernel).double().to(memory_format=layout)
    plain = nn.Conv2d(channels, 5, kernel, stride=2, padding=kernel // 2 - 1).double()
    plain.load_state_dict(ours.state_dict())
    generator = torch.Generator().manual_seed(2)
    whole = torch.randn(3, 2 * channels, 9, 8, dtype=torch.float64, generator=generator)
    for x in (whole[:, :channels], whole[:, ::2], whole[:, :channels].to(memory_format=layout)):
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-13, atol=1e-13)
        for one, other in zip(gradients(ours, x), gradients(plain, x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_gradients_that_nobody_asks_for_are_not_given(x: Tensor) -> None:
    ours, _ = both(1)
    ours(x).sum().backward()
    assert x.grad is None
    assert ours.weight.grad is not None
    ours.weight.grad = None
    ours.weight.requires_grad_(False)
    y = x.clone().requires_grad_()
    ours(y).sum().backward()
    assert y.grad is not None
    assert ours.weight.grad is None


def test_several_models_at_once_are_each_by_itself(x: Tensor) -> None:
    layers = [both(1)[0] for _ in range(3)]
    stacked = {
        name: torch.stack([dict(layer.named_parameters())[name] for layer in layers])
        for name in ("weight", "bias")
    }

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layers[0], parameters, (x,)).square().sum()

    together = torch.func.vmap(torch.func.grad(loss))(stacked)
    for place, layer in enumerate(layers):
        alone = torch.func.grad(loss)(dict(layer.named_parameters()))
        for name in alone:
            torch.testing.assert_close(together[name][place], alone[name], rtol=1e-12, atol=1e-12)
