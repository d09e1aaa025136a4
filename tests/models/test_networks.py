"""The encoders and decoders, and weights that the author of JointVAE released."""

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

    assert halvings("dupont") == halvings("burgess") == (3 if size < 48 else 4)
    assert (halvings("dupont32"), halvings("dupont64"), halvings("locatello")) == (3, 4, 4)


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
        "glorot": (6 / (inside + outside)) ** 0.5,
        "he": None,
    }[initialisation]
    weights = convolution.weight.detach()
    if bound is None:
        assert weights.std().item() == pytest.approx((2 / inside) ** 0.5, rel=0.03)
        assert weights.abs().max() > 3 * weights.std()  # a normal, not a uniform
    else:
        assert 0.98 * bound < weights.abs().max() <= bound
    assert (convolution.bias == 0).all() == (initialisation != "pytorch")
    assert (dense.bias == 0).all() == (initialisation != "pytorch")


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
