"""The beta-VAEs of categories: categorical ones alone, annealed, and both kinds of latents."""

import math
from typing import Any

import pytest
import torch

from bench.models import VAE, BetaVAE
from bench.models.categoricalvae import CategoricalVAE
from bench.models.jointbetavae import JointBetaVAE
from tests.models.conftest import (
    assert_scalar,
    batch,
    expected_terms,
    generator,
    objective,
    small,
)

MIXED: dict[str, Any] = {"continuous": 2, "categorical": (3, 2)}


# categorical latents alone


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("step", [1, 37, 100, 250])
@pytest.mark.parametrize(
    "latents",
    [{"continuous": 0, "categorical": (3, 2, 4)}, MIXED, {"continuous": 2, "categorical": ()}],
    ids=["categories", "both", "continuous"],
)
def test_categoricalvae_samples_at_the_temperature_of_the_step(
    latents: dict[str, Any], step: int, beta: float
) -> None:
    model = small(CategoricalVAE, beta=beta, iterations=100, **latents)
    x = batch()
    temperature = max(0.5, math.exp(-math.log(2) / 100 * step))
    expected = expected_terms(model, x, temperature=temperature)
    given = objective(model, x, step)
    assert_scalar(given.losses["vae"], expected.reconstruction + beta * expected.kl)
    assert_scalar(given.terms["loss"], expected.reconstruction + beta * expected.kl)
    assert_scalar(given.terms["reconstruction"], expected.reconstruction)
    assert_scalar(given.terms["kl_continuous"], expected.kl_z)
    assert_scalar(given.terms["kl_categorical"], expected.kl_c)


def test_the_temperature_matters() -> None:
    model, x = small(CategoricalVAE, iterations=100, continuous=0, categorical=(3, 2)), batch()
    early, late = (objective(model, x, step).losses["vae"].item() for step in (1, 100))
    assert abs(early - late) > 0.01


@pytest.mark.parametrize("step", [1, 1_000, 10_000, 20_000, 23_000, 23_200, 100_000])
def test_the_default_temperature_is_that_of_jang_et_al(step: int) -> None:
    model = CategoricalVAE(image_shape=(1, 28, 28))
    expected = max(0.5, math.exp(-3e-5 * step))
    assert model.temperature_at(step) == pytest.approx(expected, rel=1e-5)


def test_a_temperature_that_ends_where_it_starts_is_constant() -> None:
    model = small(CategoricalVAE, temperature=0.67, temperature_end=0.67, **MIXED)
    assert {model.temperature_at(step) for step in (1, 1_000, 10**6)} == {0.67}
    x, plain = batch(), small(VAE, temperature=0.67, **MIXED)
    assert_scalar(objective(model, x, 9).losses["vae"], objective(plain, x).losses["vae"].item())


def test_categoricalvae_has_the_latents_of_jang_et_al() -> None:
    model = CategoricalVAE(image_shape=(1, 28, 28))
    x = torch.rand(2, 1, 28, 28, generator=generator(0))
    posterior = model.encode(x)
    assert posterior.mean.shape == posterior.logvar.shape == (2, 0)
    assert [k.shape for k in posterior.logits] == [(2, 10)] * 20
    code = posterior.mode()
    assert code.shape == (2, 200)
    assert code.sum(1).tolist() == [20, 20]
    assert set(code.flatten().tolist()) == {0, 1}
    assert objective(model, x).losses["vae"].isfinite()


# both kinds


@pytest.mark.parametrize(("beta", "beta_c"), [(4.0, 4.0), (2.0, 0.0), (0.0, 3.0), (1.5, 0.25)])
@pytest.mark.parametrize(
    "latents",
    [MIXED, {"continuous": 0, "categorical": (3, 2)}, {"continuous": 3, "categorical": ()}],
    ids=["both", "categories", "continuous"],
)
def test_jointbetavae_weights_each_kind_of_latent(
    latents: dict[str, Any], beta: float, beta_c: float
) -> None:
    model, x = small(JointBetaVAE, beta=beta, beta_c=beta_c, **latents), batch()
    expected = expected_terms(model, x)
    loss = expected.reconstruction + beta * expected.kl_z + beta_c * expected.kl_c
    given = objective(model, x)
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["loss"], loss)
    assert_scalar(given.terms["kl_continuous"], expected.kl_z)
    assert_scalar(given.terms["kl_categorical"], expected.kl_c)


def test_jointbetavae_with_one_weight_is_betavae() -> None:
    x = batch()
    joint = small(JointBetaVAE, beta=3.0, beta_c=3.0, **MIXED)
    plain = small(BetaVAE, beta=3.0, **MIXED)
    assert_scalar(objective(joint, x).losses["vae"], objective(plain, x).losses["vae"].item())


def test_jointbetavae_has_the_latents_of_jointvae() -> None:
    latents = JointBetaVAE(image_shape=(1, 28, 28)).latents
    assert (latents.continuous, latents.categorical) == (6, (3,))


# both models


@pytest.mark.parametrize("kind", [CategoricalVAE, JointBetaVAE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_outputs_give_finite_losses_and_gradients(
    kind: type[VAE], dtype: torch.dtype
) -> None:
    model, x = small(kind, **MIXED).to(dtype), batch().to(dtype)
    with torch.no_grad():
        model.encoder[1].weight.zero_()
        model.encoder[1].bias.copy_(torch.tensor([0.0, 1e3, -30, -30, 1e4, -1e4, 0, -1e4, -1e4]))
    for step in (1, 10**6):
        given = objective(model, x, step)
        assert all(term.isfinite() for term in given.terms.values())
        # certain of one of 3 categories, undecided between 2
        assert given.terms["kl_categorical"].item() == pytest.approx(math.log(3), rel=1e-6)
        gradients = torch.autograd.grad(given.losses["vae"], model.players()["vae"])
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (CategoricalVAE, {"beta": -1.0}),
        (CategoricalVAE, {"temperature": 0.0}),
        (CategoricalVAE, {"temperature_end": 0.0}),
        (CategoricalVAE, {"temperature_end": 2.0}),
        (CategoricalVAE, {"iterations": 0}),
        (JointBetaVAE, {"beta": -1.0}),
        (JointBetaVAE, {"beta_c": -1.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    kind: type[VAE], settings: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}=") as refused:
        kind(image_shape=(1, 32, 32), **settings)
    assert "\n" not in str(refused.value)
