"""How every registered model is initialised and trained; `test_contract.py` has its promises."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.build import build_model
from bench.datasets import Toy
from bench.models import MODELS, VAE, FactorVAE
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
        ("betavae", {"beta": -1.0}),
        ("annealedvae", {"gamma": -1.0}),
        ("annealedvae", {"C": -1.0}),
        ("annealedvae", {"iterations": 0}),
        ("jointvae", {"gamma": -1.0}),
        ("jointvae", {"C_z": -1.0}),
        ("jointvae", {"C_c": -1.0}),
        ("jointvae", {"iterations": 0}),
        ("factorvae", {"gamma": -1.0}),
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
