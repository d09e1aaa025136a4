"""The decoder of report.html: what the page's own JavaScript draws are the model's pictures."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.models import MODELS, NETWORKS, QLAE, VAE
from bench.models.likelihoods import LIKELIHOODS
from bench.report.html.decoder import (
    ExportedDecoder,
    NotExportableError,
    export_decoder,
)
from bench.report.html.page import asset

LEVEL = 1 / 255
ROOM = 10**9  # bytes

# What node runs after decoder.js: decoders and codes on its standard input, pixels as its answer.
MAIN = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = cases.map(({ spec, weights, codes }) => {
  const decode = buildDecoder(spec, weights);
  return codes.map((code) => Array.from(decode(code)));
});
process.stdout.write(JSON.stringify(answers));
"""

Draw = Callable[[Sequence[tuple[ExportedDecoder, Tensor]]], list[np.ndarray]]


@pytest.fixture(scope="module")
def draw() -> Draw:
    """The pixels (n, C, H, W) that decoder.js makes of codes (n, D + sum S_c), per decoder."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the page's JavaScript cannot be run")

    def pixels(cases: Sequence[tuple[ExportedDecoder, Tensor]]) -> list[np.ndarray]:
        given = [
            {
                "spec": decoder.as_dict(),
                "weights": base64.b64encode(decoder.weights).decode(),
                "codes": codes.tolist(),
            }
            for decoder, codes in cases
        ]
        ran = subprocess.run(
            [node, "-e", asset("decoder.js") + MAIN],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        answers = json.loads(ran.stdout)
        return [
            np.array(answer, dtype=np.float64).reshape(-1, *decoder.image_shape)
            for answer, (decoder, _) in zip(answers, cases, strict=True)
        ]

    return pixels


def made(kind: type[VAE] = VAE, spread: float = 2.0, **settings: Any) -> VAE:
    """A model whose logits have this spread, so that its pictures have contrast."""
    torch.manual_seed(0)
    model = kind(initialisation="he", **settings)
    model.requires_grad_(False).eval()
    layers = [
        layer
        for layer in model.decoder.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    for layer in layers:
        layer.bias.normal_(0, 0.2)
    logits = model.decode(some_codes(model))
    layers[-1].weight *= spread / logits.std()
    layers[-1].bias.sub_(logits.mean()).mul_(spread / logits.std())
    return model


def some_codes(model: VAE, count: int = 3) -> Tensor:
    """Of continuous latents far and near, each category, and no category."""
    generator = torch.Generator().manual_seed(1)
    codes = 1.5 * torch.randn(count, model.latents.width, generator=generator)
    first = model.latents.continuous
    for size in model.latents.categorical:
        codes[:, first : first + size] = torch.eye(size)[torch.arange(count) % size]
        first += size
    return codes


def check(draw: Draw, model: VAE, count: int = 3) -> ExportedDecoder:
    codes = some_codes(model, count)
    expected = model.pictures(codes).numpy()
    assert expected.max() - expected.min() > 0.3, "a blank picture shows nothing"
    decoder = export_decoder(model, codes, ROOM)
    (drawn,) = draw([(decoder, codes)])
    assert np.abs(drawn - expected).max() <= LEVEL
    return decoder


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_the_pixels_of_the_model(network, channels, draw) -> None:
    model = made(network=network, image_shape=(channels, 32, 32), continuous=4, categorical=(3,))
    assert check(draw, model).format == "float16"


@pytest.mark.parametrize("size", [28, 45, 64])  # 45 loses a row and a column in each halving
@pytest.mark.parametrize("network", [n for n in NETWORKS if n != "broadcast_full"])
def test_every_network_has_the_pixels_of_the_model_at_other_sizes(network, size, draw) -> None:
    check(draw, made(network=network, image_shape=(1, size, size), continuous=3))


def test_a_broadcast_over_the_whole_image_at_another_size(draw) -> None:
    model = made(network="broadcast_full", image_shape=(1, 45, 45), continuous=3)
    check(draw, model, count=2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_has_its_own_pictures(likelihood, draw) -> None:
    model = made(
        network="dupont", image_shape=(1, 32, 32), likelihood=likelihood, continuous=4, spread=4.0
    )
    check(draw, model)


def test_a_continuous_bernoulli_near_its_pole(draw) -> None:
    """Its mean has 1 / l, whose limit at 0 the page knows too."""
    model = made(network="mlp1200", image_shape=(1, 28, 28), likelihood="continuous_bernoulli")
    last = [m for m in model.decoder.modules() if isinstance(m, nn.Linear)][-1]
    last.weight *= 1e-4
    last.bias.copy_(torch.linspace(-0.03, 0.03, len(last.bias)))
    codes = some_codes(model)
    decoder = export_decoder(model, codes, ROOM)
    (drawn,) = draw([(decoder, codes)])
    assert np.abs(drawn - model.pictures(codes).numpy()).max() < 1e-3


@pytest.mark.parametrize("name", [n for n, kind in MODELS.items() if issubclass(kind, VAE)])
def test_every_model_that_has_a_decoder(name, draw) -> None:
    check(draw, made(MODELS[name], network="broadcast", image_shape=(1, 32, 32)))


@pytest.mark.parametrize(("kind", "size"), [("float16", 2), ("float32", 4)])
def test_every_format_of_weights(kind, size, draw, monkeypatch) -> None:
    monkeypatch.setattr("bench.report.html.decoder.FORMATS", (kind,))
    model = made(network="residual", image_shape=(3, 32, 32), continuous=4)
    codes = some_codes(model)
    decoder = export_decoder(model, codes, ROOM)
    (drawn,) = draw([(decoder, codes)])
    # the rounding of the weights is known, and the page's arithmetic adds nothing to it
    assert np.abs(drawn - model.pictures(codes).numpy()).max() <= decoder.error + 1e-5
    parameters = sum(p.numel() for p in model.decoder.parameters())
    assert size * parameters <= len(decoder.weights) < 1.05 * size * parameters
    assert (decoder.error > 0) == (kind == "float16")


def test_layers_of_other_networks(draw) -> None:
    model = made(network="dupont", image_shape=(3, 32, 32), continuous=5)
    torch.manual_seed(3)
    model.decoder = nn.Sequential(
        nn.Linear(5, 6 * 7 * 7),
        nn.SiLU(),
        nn.Unflatten(1, (6, 7, 7)),
        nn.Conv2d(6, 4, 5, padding=2),
        nn.Sigmoid(),
        nn.ConvTranspose2d(4, 4, 3, stride=3, padding=1, output_padding=2),
        nn.Tanh(),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, bias=False), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(8 * 10 * 10, 3 * 32 * 32),
        nn.Unflatten(-1, (3, 32, 32)),
    ).requires_grad_(False)
    model.decoder[-2].weight *= 8
    check(draw, model)


def test_weights_without_room_are_refused() -> None:
    model = made(network="dupont", image_shape=(1, 32, 32), continuous=4)
    parameters = sum(p.numel() for p in model.decoder.parameters())
    codes = some_codes(model)
    assert export_decoder(model, codes, 2 * parameters + 4_000).format == "float16"
    with pytest.raises(
        NotExportableError, match=r"no room on the page \(0.6 MB as float16, 1.3 MB"
    ):
        export_decoder(model, codes, 2 * parameters - 1)


def test_weights_beyond_float16_are_kept_exactly(draw) -> None:
    model = made(network="dupont", image_shape=(1, 32, 32), continuous=4)
    first, second = [m for m in model.decoder.modules() if isinstance(m, nn.Linear)]
    first.weight *= 1e6
    first.bias *= 1e6
    second.weight *= 1e-6
    assert check(draw, model).format == "float32"


# --- never wrong pixels: what the page does not know is refused


class Odd(nn.ReLU):
    """A ReLU of somebody's own, which may do anything."""


class OwnDecode(VAE):
    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(-z)


class OwnPictures(VAE):
    def pictures(self, z: Tensor) -> Tensor:
        return 1 - super().pictures(z)


class OwnCodebook(QLAE):
    def decode(self, z: Tensor) -> Tensor:
        return -super().decode(z)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Odd(), "lacks layers of type Odd"),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3), "the page lacks convolutions"),
        (nn.Conv2d(3, 3, 3, padding=2, dilation=2), "the page lacks convolutions"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), "the page lacks convolutions"),
        (nn.Conv2d(3, 3, (3, 1), padding=(1, 0)), "sides that differ"),
        (nn.Conv2d(3, 3, 3, padding="same"), "sides that differ"),
        (nn.Linear(32, 32), "lacks layers of type Linear"),  # along the rows of an image
        (nn.Flatten(0, 1), "mixes rows"),
        (nn.Dropout(), "lacks layers of type Dropout"),
    ],
)
def test_a_layer_that_the_page_does_not_know_is_refused(layer, words) -> None:
    model = made(network="dupont", image_shape=(3, 32, 32))
    model.decoder.append(layer)
    with pytest.raises(NotExportableError, match=words):
        export_decoder(model, some_codes(model), ROOM)


@pytest.mark.parametrize("kind", [OwnDecode, OwnPictures, OwnCodebook])
def test_a_decoder_in_a_way_of_its_own_is_refused(kind) -> None:
    settings = {"categorical": (3, 3)} if kind is OwnCodebook else {}
    model = made(kind, network="dupont", image_shape=(1, 32, 32), **settings)
    with pytest.raises(NotExportableError, match="of its own|not those of the suite"):
        export_decoder(model, some_codes(model), ROOM)


def test_the_page_refuses_what_it_does_not_know(draw) -> None:
    model = made(network="dupont", image_shape=(1, 32, 32))
    codes = some_codes(model)
    decoder = export_decoder(model, codes, ROOM)
    for change in (
        {"layers": [{"op": "constructor"}]},
        {"likelihood": "toString"},
        {"format": "float8"},
    ):
        with pytest.raises(AssertionError, match="unknown"):
            draw([(ExportedDecoder(**{**vars(decoder), **change}), codes)])
