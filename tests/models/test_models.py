"""How every registered model is initialised and trained; `test_contract.py` has its promises."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.build import build_model
from bench.datasets import Toy
from bench.models import MODELS, VAE, Encoder, FactorVAE
from bench.models.networks import INITIALISATIONS
from bench.store.run import Run
from bench.streams import rows_stream, torch_stream
from bench.train.loop import images, rows_of, train
from tests.models.conftest import assert_equal_up_to_rounding

CPU = torch.device("cpu")
LATENTS: dict[str, Any] = {"continuous": 3, "categorical": (3, 2)}
# those of models that do not take both kinds, or not two categories
OWN_LATENTS: dict[str, Any] = {
    "autoencoder": {"continuous": 3, "categorical": ()},
    "cascadevae": {"continuous": 3, "categorical": (3,)},
    "qlae": {"continuous": 0, "categorical": (4, 3)},
}
TRAINED = [name for name, model in MODELS.items() if issubclass(model, VAE)]
SMALL = {"factorvae": {"hidden": 16, "layers": 2}}
INITIALISED = [name for name, model in MODELS.items() if hasattr(model, "initialisation")]
every_model = pytest.mark.parametrize("name", TRAINED)


@pytest.fixture(scope="module")
def data() -> Toy:
    return Toy(image_size=32)


@pytest.fixture(scope="module")
def x(data: Toy) -> Tensor:
    return images(data, range(0, 576, 72), CPU)


def build(name: str, seed: int = 0, **settings: Any) -> VAE:
    run = Run(
        model=name,
        settings={**OWN_LATENTS.get(name, LATENTS), **SMALL.get(name, {}), **settings},
        changed={},
        dataset="toy",
        data_settings={},
        fingerprint="",
        image_shape=(1, 32, 32),
        preset="smoke",
        steps=1,
        batch_size=8,
        rows=576,
        seed=seed,
    )
    model = build_model(run, CPU)
    assert isinstance(model, VAE)
    return model


def losses(model: VAE, x: Tensor) -> dict[str, Tensor]:
    return dict(model.objective(x, 5, torch.Generator().manual_seed(3)).losses)


@every_model
def test_the_loop_moves_each_player_by_its_own_gradient(name: str, data: Toy) -> None:
    model = build(name)
    x = images(data, rows_of(model, data, rows_stream(0, 1), 8), CPU)
    objective = model.objective(x, 1, torch_stream(0, "noise", CPU))
    expected = []
    for player, parameters in model.players().items():
        loss = objective.losses[player]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        expected += [p.detach() - g for p, g in zip(parameters, gradients, strict=True)]

    descent = {player: torch.optim.SGD(ps, lr=1.0) for player, ps in model.players().items()}
    model.optimizers = lambda: descent
    train(model, data, steps=1, batch_size=8, seed=0, device=CPU)
    moved = [p.detach() for parameters in model.players().values() for p in parameters]
    for parameter, by_its_gradient in zip(moved, expected, strict=True):
        assert_equal_up_to_rounding(parameter, by_its_gradient)


@pytest.mark.parametrize("second_batch", [False, True])
def test_the_discriminator_loss_moves_only_the_discriminator(second_batch: bool, x: Tensor) -> None:
    model = build("factorvae", second_batch=second_batch)
    assert isinstance(model, FactorVAE)
    losses(model, x)["discriminator"].backward()
    assert all(p.grad is None for p in model.players()["vae"])
    assert all(p.grad is not None for p in model.players()["discriminator"])


def test_the_optimizers_of_factorvae_have_rates_and_betas_of_their_own() -> None:
    groups = {
        player: optimizer.param_groups[0]
        for player, optimizer in build("factorvae", lr=2e-4, lr_discriminator=3e-5)
        .optimizers()
        .items()
    }
    assert (groups["vae"]["lr"], groups["vae"]["betas"]) == (2e-4, (0.9, 0.999))
    assert groups["discriminator"]["lr"] == 3e-5
    assert groups["discriminator"]["betas"] == (0.5, 0.9)


@every_model
def test_a_model_is_a_function_of_the_seed(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        weights = build(name).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        same_seed, other_seed = build(name).state_dict(), build(name, seed=1).state_dict()
    assert all(torch.equal(weights[key], same_seed[key]) for key in weights)
    drawn = [key for key in weights if key != "values"]  # those of QLAE start evenly spaced
    assert not any(torch.equal(weights[key], other_seed[key]) for key in drawn)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vae", {"lr": 0.0}),
        ("vae", {"temperature": 0.0}),
        ("vae", {"warmup": -1}),
        ("betavae", {"beta": -1.0}),
        ("betavae", {"warmup": -1}),
        ("annealedvae", {"gamma": -1.0}),
        ("annealedvae", {"C": -1.0}),
        ("annealedvae", {"iterations": 0}),
        ("jointvae", {"gamma": -1.0}),
        ("jointvae", {"C_z": -1.0}),
        ("jointvae", {"C_c": -1.0}),
        ("jointvae", {"iterations": 0}),
        ("factorvae", {"gamma": -1.0}),
        ("factorvae", {"warmup": -1}),
        ("factorvae", {"hidden": 0}),
        ("factorvae", {"layers": 0}),
        ("factorvae", {"lr_discriminator": 0.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        build(name, **settings)


CUT = 0.7737  # variance of N(0, 1) within two standard deviations
Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def layers_of(model: Encoder) -> dict[str, Layer]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Layer)}


def initialised(name: str, initialisation: str) -> dict[str, Layer]:
    torch.manual_seed(0)
    return layers_of(MODELS[name](initialisation=initialisation))


def test_a_model_that_takes_no_initialisation_has_no_layers() -> None:
    assert sorted(set(MODELS) - set(INITIALISED)) == ["factors", "pca"]
    assert layers_of(MODELS["pca"]()) == {}


def assert_spread(values: Tensor, expected: float, name: str) -> None:
    """The standard deviation of independent draws is the expected one, within five of its own."""
    spread = values.detach().square().mean().sqrt().item()
    assert spread == pytest.approx(expected, rel=5 / math.sqrt(2 * values.numel())), name


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
@pytest.mark.parametrize("name", INITIALISED)
def test_every_layer_obeys_the_initialisation(name: str, initialisation: str) -> None:
    layers = initialised(name, initialisation)
    assert layers
    for where, layer in layers.items():
        weight, bias = layer.weight, layer.bias
        assert bias is not None
        patch = weight[0, 0].numel()
        outside, inside = (weight.shape[0] * patch, weight.shape[1] * patch)
        as_slim = initialisation == "he_glorot" and not isinstance(layer, nn.Linear)
        if initialisation in ("he", "he_uniform"):
            assert_spread(weight, math.sqrt(2 / inside), where)
        elif as_slim:
            assert_spread(weight, math.sqrt(1.3 * CUT * 2 / inside), where)
        elif initialisation in ("glorot", "he_glorot"):
            assert_spread(weight, math.sqrt(2 / (inside + outside)), where)
        else:
            transposed = isinstance(layer, nn.ConvTranspose2d)
            inputs = outside if transposed and initialisation == "torch03" else inside
            assert_spread(weight, math.sqrt(1 / (3 * inputs)), where)
            assert bias.abs().max() <= inputs**-0.5, where
        no_biases = initialisation in ("he", "glorot", "he_glorot")
        assert (bias == 0).all() == no_biases, where


def test_pytorchs_initialisation_draws_nothing_beyond_the_layers_own() -> None:
    torch.manual_seed(0)
    model = FactorVAE(hidden=16, layers=2)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    base = VAE()
    by_hand = [nn.Linear(10, 16), nn.Linear(16, 16), nn.Linear(16, 2)]
    assert torch.equal(torch.rand(1), drawn)
    expected = [*base.parameters(), *(p for layer in by_hand for p in layer.parameters())]
    for parameter, plain in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter, plain)
