"""The encoders and decoders, and weights that the author of JointVAE released."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.datasets import DSprites
from bench.models import NETWORKS, VAE, JointVAE
from bench.models.networks import INITIALISATIONS, decoder, encoder
from bench.train.loop import images

CONVOLUTIONAL = tuple(name for name in NETWORKS if name != "mlp1200")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [64, 32])
@pytest.mark.parametrize("network", NETWORKS)
def test_shapes(network: str, size: int, channels: int) -> None:
    shape = (channels, size, size)
    assert encoder(network, shape, 7)(torch.zeros(2, *shape)).shape == (2, 7)
    assert decoder(network, shape, 5)(torch.zeros(2, 5)).shape == (2, *shape)


def layers(network: nn.Sequential) -> list[str]:
    """Short names of all layers: `Conv2d 1-32`, `ReLU`."""
    return [
        f"{'Conv2d' if isinstance(layer, nn.Conv2d) else 'Linear'} "
        f"{layer.weight.shape[1]}-{layer.weight.shape[0]}"
        if isinstance(layer, nn.Conv2d | nn.Linear)
        else f"ConvTranspose2d {layer.weight.shape[0]}-{layer.weight.shape[1]}"
        if isinstance(layer, nn.ConvTranspose2d)
        else type(layer).__name__
        for layer in network
    ]


@pytest.mark.parametrize(
    ("network", "size", "convolutions", "dense"),
    [
        ("dupont", 64, [1, 32, 32, 64, 64], [1024, 256]),
        ("dupont", 32, [1, 32, 64, 64], [1024, 256]),
        ("burgess", 64, [1, 32, 32, 32, 32], [512, 256, 256]),
        ("factorvae", 64, [1, 32, 32, 64, 64], [1024, 128]),
        ("broadcast", 64, [1, 16, 32, 32, 32], [512, 128]),
        ("broadcast", 32, [1, 16, 32, 32], [512, 128]),
        ("broadcast_full", 64, [1, 64, 64, 64, 64], [1024, 256]),
        ("broadcast_full", 32, [1, 64, 64, 64, 64], [256, 256]),
    ],
)
def test_encoders_of_the_papers(
    network: str, size: int, convolutions: list[int], dense: list[int]
) -> None:
    expected = []
    for before, after in zip(convolutions, convolutions[1:], strict=False):
        expected += [f"Conv2d {before}-{after}", "ReLU"]
    expected.append("Flatten")
    for before, after in zip(dense, dense[1:], strict=False):
        expected += [f"Linear {before}-{after}", "ReLU"]
    if network == "factorvae":
        expected.pop()  # its fully connected layer is linear
    assert layers(encoder(network, (1, size, size), 20)) == [*expected, f"Linear {dense[-1]}-20"]


@pytest.mark.parametrize(
    ("network", "size", "dense", "convolutions"),
    [
        ("dupont", 64, [256, 1024], [64, 64, 32, 32, 1]),
        ("dupont", 32, [256, 1024], [64, 32, 32, 1]),
        ("burgess", 64, [256, 256, 512], [32, 32, 32, 32, 1]),
        ("factorvae", 64, [128, 1024], [64, 64, 32, 32, 1]),
    ],
)
def test_decoders_of_the_papers(
    network: str, size: int, dense: list[int], convolutions: list[int]
) -> None:
    expected = []
    for before, after in zip([10, *dense], dense, strict=False):
        expected += [f"Linear {before}-{after}", "ReLU"]
    expected.append("Unflatten")
    for before, after in zip(convolutions, convolutions[1:], strict=False):
        expected += [f"ConvTranspose2d {before}-{after}", "ReLU"]
    assert layers(decoder(network, (1, size, size), 10)) == expected[:-1]  # ends in logits


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "grid"), [(64, 16), (32, 8), (28, 7), (29, 7)])
def test_a_coarse_broadcast_covers_a_quarter_of_the_images_side(
    size: int, grid: int, channels: int
) -> None:
    decoding = decoder("broadcast", (channels, size, size), 10)
    up = ["ConvTranspose2d 32-16", "ReLU", f"ConvTranspose2d 16-{channels}"]
    assert layers(decoding) == ["Conv2d 12-32", "ReLU", *up]
    assert decoding[0](torch.zeros(2, 10)).shape == (2, 32, grid, grid)


@pytest.mark.parametrize("size", [64, 32])
def test_a_full_broadcast_covers_the_image_and_a_margin_of_four_pixels(size: int) -> None:
    decoding = decoder("broadcast_full", (3, size, size), 10)
    inner = ["Conv2d 64-64", "ReLU"] * 3
    assert layers(decoding) == ["Conv2d 12-64", "ReLU", *inner, "Conv2d 64-3"]
    assert decoding[0](torch.zeros(2, 10)).shape == (2, 64, size + 6, size + 6)


def test_without_coordinates_a_full_broadcast_gives_all_pixels_the_same_value() -> None:
    decoding = decoder("broadcast_full", (1, 32, 32), 4)
    with torch.no_grad():
        codes = torch.rand(2, 4)
        assert decoding(codes).std((1, 2, 3)).min() > 1e-4
        decoding[0].weight[:, 4:] = 0
        assert decoding(codes).std((1, 2, 3)).max() < 1e-6


@pytest.mark.parametrize(
    ("network", "size", "parameters"),
    [
        ("broadcast", 32, 93_156 + 11_953),
        ("broadcast", 64, 109_572 + 11_953),
        ("broadcast_full", 64, 465_428 + 117_825),
    ],
)
def test_parameters_of_a_broadcast_network(network: str, size: int, parameters: int) -> None:
    """Encoder with 20 outputs and decoder with 10 inputs."""
    shape = (1, size, size)
    both = [encoder(network, shape, 20), decoder(network, shape, 10)]
    assert sum(p.numel() for side in both for p in side.parameters()) == parameters


@pytest.mark.parametrize("side", [encoder, decoder])
@pytest.mark.parametrize("shape", [(1, 27, 27), (1, 129, 129), (1, 64, 32), (2, 64, 64)])
@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_other_shapes_are_refused_naming_those_that_are_taken(
    network: str, shape: tuple[int, int, int], side: Any
) -> None:
    refused = "x".join(map(str, shape))
    with pytest.raises(ValueError, match=f"{network}.*28 to 128 pixels.*1 or 3.*not {refused}"):
        side(network, shape, 4)


@pytest.mark.parametrize("size", [28, 29, 31, 47, 48, 50, 63, 65, 96, 127, 128])
@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_images_of_any_size_are_encoded_and_decoded(network: str, size: int) -> None:
    shape = (1, size, size)
    code = encoder(network, shape, 4)(torch.rand(2, *shape))
    assert code.shape == (2, 4)
    assert decoder(network, shape, 4)(code).shape == (2, *shape)


@pytest.mark.parametrize("size", [47, 48])
def test_a_network_has_one_halving_fewer_below_48_pixels(size: int) -> None:
    def halvings(network: str) -> int:
        return sum(isinstance(layer, nn.Conv2d) for layer in encoder(network, (1, size, size), 4))

    for network in ("dupont", "burgess", "broadcast"):
        assert halvings(network) == (3 if size < 48 else 4), network
    assert (halvings("dupont32"), halvings("dupont64"), halvings("locatello")) == (3, 4, 4)
    assert halvings("broadcast_full") == 4


def test_locatellos_inner_kernels_are_2x2() -> None:
    kernels = [
        layer.kernel_size
        for layer in encoder("locatello", (1, 64, 64), 4)
        if isinstance(layer, nn.Conv2d)
    ]
    assert kernels == [(4, 4), (4, 4), (2, 2), (2, 2)]


def test_a_residual_block_adds_up_two_ways_of_halving() -> None:
    down = encoder("residual", (1, 64, 64), 4)[2]
    x = torch.rand(2, 32, 32, 32)
    whole = down(x)
    with torch.no_grad():
        down.skip.weight.zero_()
        down.skip.bias.zero_()
    other = down.refine(torch.relu(down.reduce(x)))
    torch.testing.assert_close(down(x), other)
    assert not torch.allclose(whole, other)


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_initialisations(initialisation: str) -> None:
    torch.manual_seed(0)
    model = VAE(image_shape=(1, 64, 64), initialisation=initialisation)
    convolution, dense = model.encoder[2], model.encoder[9]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(dense, nn.Linear)
    inside, outside = 32 * 16, 32 * 16
    bound = {
        "pytorch": inside**-0.5,  # Kaiming with a = sqrt 5: sqrt(6 / ((1 + 5) fan-in))
        "torch03": inside**-0.5,
        "glorot": (6 / (inside + outside)) ** 0.5,
        "he": None,
        "he_uniform": (6 / inside) ** 0.5,
        "he_glorot": 2 * (1.3 * 2 / inside) ** 0.5,
    }[initialisation]
    weights = convolution.weight.detach()
    if bound is None:
        assert weights.std().item() == pytest.approx((2 / inside) ** 0.5, rel=0.03)
        assert weights.abs().max() > 3 * weights.std()  # a normal, not a uniform
    else:
        assert 0.98 * bound < weights.abs().max() <= bound
    zero_biases = initialisation in ("glorot", "he", "he_glorot")
    assert (convolution.bias == 0).all() == zero_biases
    assert (dense.bias == 0).all() == zero_biases


@pytest.mark.parametrize("network", NETWORKS)
def test_torch03_counts_input_channels_in_every_layer(network: str) -> None:
    torch.manual_seed(0)
    model = VAE(image_shape=(3, 64, 64), network=network, initialisation="torch03")  # type: ignore[arg-type]
    checked = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            bound = (layer.in_channels * math.prod(layer.kernel_size)) ** -0.5
        else:
            continue
        assert layer.bias is not None
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert 0 < layer.bias.abs().max() <= bound
        checked += 1
    assert checked == sum(1 for p in model.parameters() if p.ndim > 1)


def test_dupont64s_last_layer_starts_narrower_than_with_todays_pytorch() -> None:
    """PyTorch counts its one output channel, and counted its 32 input channels before 1.0."""

    def widest(initialisation: Any, layer: int) -> float:
        torch.manual_seed(0)
        model = VAE(image_shape=(1, 64, 64), network="dupont64", initialisation=initialisation)
        return float(model.decoder[layer].weight.detach().abs().max())

    ratios = [widest("pytorch", layer) / widest("torch03", layer) for layer in (5, 7, 9, 11)]
    assert ratios == pytest.approx([1, 2**0.5, 1, 32**0.5], rel=0.02)


def test_an_unknown_initialisation_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'zero'.*" + ".*".join(INITIALISATIONS)):
        VAE(initialisation="zero")  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [encoder, decoder])
def test_an_unknown_network_is_refused_naming_the_known_ones(side: Any) -> None:
    with pytest.raises(ValueError, match="'resnet'.*" + ".*".join(NETWORKS)):
        side("resnet", (1, 64, 64), 4)


@pytest.fixture(scope="module")
def released(shared: Path) -> dict[str, Tensor]:
    path = shared / "released" / "joint-vae-dsprites.pt"
    if not path.is_file():
        pytest.skip("the released weights are not at hand")
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights


def test_dupont_has_as_many_parameters_as_the_released_model(released: dict[str, Tensor]) -> None:
    model = JointVAE(continuous=6, categorical=(3,), network="dupont")
    assert sum(p.numel() for p in model.parameters()) == sum(v.numel() for v in released.values())


def test_the_released_model_gives_its_published_divergences(released: dict[str, Tensor]) -> None:
    """Its capacities are 40 and 1.1 nats; the expected values were measured on 40,000 images."""
    model = JointVAE(continuous=6, categorical=(3,), network="dupont")
    weights = dict(released)
    for kind in ("weight", "bias"):  # ours has one head: means, log variances, logits
        heads = [released[f"{head}.{kind}"] for head in ("fc_mean", "fc_log_var", "fc_alphas.0")]
        weights[f"head.{kind}"] = torch.cat(heads)
    encoding = ("img_to_features.", "features_to_hidden.", "head.")
    decoding = ("latent_to_features.", "features_to_img.")
    names = [name for part in encoding + decoding for name in weights if name.startswith(part)]
    ours = [*model.encoder.parameters(), *model.decoder.parameters()]
    with torch.no_grad():
        for parameter, name in zip(ours, names, strict=True):
            assert parameter.shape == weights[name].shape, name
            parameter.copy_(weights[name])

    data = DSprites(image_size=64)
    rows = np.random.default_rng(0).choice(len(data), 2000, replace=False)
    totals = np.zeros(3)
    with torch.inference_mode():
        for part in np.split(rows, 20):
            x = images(data, part, torch.device("cpu"))
            posterior = model.encode(x)
            totals += [
                posterior.kl_continuous().sum().item(),
                posterior.kl_categorical().item(),
                model.reconstruction(x, model.decode(posterior.mode())).item(),
            ]
    kl_z, kl_c, reconstruction = totals / 20
    assert kl_z == pytest.approx(40.04, abs=0.5)
    assert kl_c == pytest.approx(1.08, abs=0.02)
    assert reconstruction == pytest.approx(42.5, abs=1.5)
