"""The contract that every registered model keeps, on the toy data."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.build import build_model
from bench.datasets import Toy
from bench.models import MODELS, VAE, FactorVAE
from bench.store.run import Run
from bench.streams import rows_stream, torch_stream
from bench.train.feed import images, rows_of
from bench.train.loop import train

CPU = torch.device("cpu")
LATENTS: dict[str, Any] = {"continuous": 3, "categorical": (3, 2)}
# of those that have no meaning for both kinds, or for two categories
OWN_LATENTS: dict[str, Any] = {
    "autoencoder": {"continuous": 3, "categorical": ()},
    "cascadevae": {"continuous": 3, "categorical": (3,)},
    "qlae": {"continuous": 0, "categorical": (4, 3)},
}
REFUSED = {
    "autoencoder": ("both", "c"),
    "cascadevae": ("both", "c"),
    "dipvae1": ("c",),
    "dipvae2": ("c",),
    "hfsvae": ("c",),
    "adagvae": ("c",),
    "adamlvae": ("c",),
    "qlae": ("both", "z"),
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
def test_the_constructor_is_the_configuration(name: str) -> None:
    parameters = inspect.signature(MODELS[name]).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)
    assert all(p.annotation is not p.empty for p in parameters)


@every_model
@pytest.mark.parametrize(
    ("kinds", "continuous", "categorical"),
    [("both", 3, (3, 2)), ("z", 4, ()), ("c", 0, (5,))],
    ids=["both", "z", "c"],
)
def test_shapes_and_finite_terms(
    name: str, kinds: str, continuous: int, categorical: tuple[int, ...], x: Tensor
) -> None:
    if kinds in REFUSED.get(name, ()):
        with pytest.raises(ValueError, match=r"^(continuous|categorical)="):
            build(name, continuous=continuous, categorical=categorical)
        return
    model = build(name, continuous=continuous, categorical=categorical)
    posterior = model.encode(x)
    assert posterior.mean.shape == (8, continuous)
    assert [tuple(k.shape) for k in posterior.logits] == [(8, size) for size in categorical]
    assert posterior.kl_categorical().shape == (len(categorical),)
    assert model.decode(posterior.mode()).shape == x.shape
    named = {"loss", "reconstruction"}
    if model.deterministic:
        assert posterior.logvar is None
    else:
        assert posterior.logvar is not None
        assert posterior.logvar.shape == (8, continuous)
        assert posterior.kl_continuous().shape == (continuous,)
        named |= {"kl_continuous", "kl_categorical"}

    objective = model.objective(x, 1, torch.Generator().manual_seed(0))
    assert set(objective.losses) == set(model.players()) == set(model.optimizers())
    assert named <= set(objective.terms)
    for scalar in (*objective.losses.values(), *objective.terms.values()):
        assert scalar.shape == ()
        assert scalar.isfinite()


@every_model
def test_players_share_out_all_parameters(name: str) -> None:
    model = build(name)
    held = [id(p) for parameters in model.players().values() for p in parameters]
    assert len(set(held)) == len(held)
    assert set(held) == {id(p) for p in model.parameters()}
    assert all(p.requires_grad for p in model.parameters())
    for player, optimizer in model.optimizers().items():
        moved = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert moved == [id(p) for p in model.players()[player]]


@every_model
def test_one_step_changes_every_player(name: str, data: Toy) -> None:
    model = build(name)
    before = {player: [p.clone() for p in ps] for player, ps in model.players().items()}
    train(model, data, steps=1, batch_size=8, seed=0, device=CPU)
    for player, parameters in model.players().items():
        changed = [not torch.equal(*pair) for pair in zip(before[player], parameters, strict=True)]
        assert all(changed), player


@every_model
def test_no_gradient_crosses_to_another_player(name: str, x: Tensor) -> None:
    model = build(name)
    players, together = model.players(), losses(model, x)
    for player in players:
        together[player].backward(inputs=players[player], retain_graph=True)
    for player, parameters in players.items():
        alone = torch.autograd.grad(losses(model, x)[player], parameters)
        for parameter, gradient in zip(parameters, alone, strict=True):
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, gradient)
        assert any((gradient != 0).any() for gradient in alone)


@every_model
def test_the_loop_moves_each_player_by_its_own_gradient(name: str, data: Toy) -> None:
    model = build(name)
    x = images(data, rows_of(model, data, rows_stream(0, 1), 8), CPU)
    given = model.objective(x, 1, torch_stream(0, "noise", CPU)).losses
    expected = []
    for player, parameters in model.players().items():
        gradients = torch.autograd.grad(given[player], parameters, retain_graph=True)
        expected += [p.detach() - g for p, g in zip(parameters, gradients, strict=True)]

    descent = {player: torch.optim.SGD(ps, lr=1.0) for player, ps in model.players().items()}
    model.optimizers = lambda: descent
    train(model, data, steps=1, batch_size=8, seed=0, device=CPU)
    moved = [p for parameters in model.players().values() for p in parameters]
    assert all(map(torch.equal, moved, expected))


@pytest.mark.parametrize("second_batch", [False, True])
def test_the_discriminator_loss_by_itself_moves_the_discriminator_alone(
    second_batch: bool, x: Tensor
) -> None:
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
def test_saved_weights_give_the_same_next_objective(name: str, data: Toy, x: Tensor) -> None:
    model, other = build(name), build(name, seed=1)
    train(model, data, steps=2, batch_size=8, seed=0, device=CPU)
    expected = losses(model, x)
    assert losses(other, x) != expected
    other.load_state_dict(model.state_dict())
    assert losses(other, x) == expected


@every_model
def test_a_model_is_a_function_of_the_seed(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = build(name).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        two, other = build(name).state_dict(), build(name, seed=1).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    drawn = [key for key in one if key != "values"]  # those of QLAE start evenly
    assert not any(torch.equal(one[key], other[key]) for key in drawn)


@every_model
def test_the_objective_counts_nothing(name: str, x: Tensor) -> None:
    model = build(name)
    once = losses(model, x)
    model.objective(x, 1, torch.Generator().manual_seed(0))
    assert losses(model, x) == once


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
