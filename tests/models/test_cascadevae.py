"""CascadeVAE: its assignment, its schedule, its objective, and the category that it infers."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.models.cascadevae import CascadeVAE, assign_categories
from tests.models import conftest
from tests.models.conftest import (
    BATCH,
    SHAPE,
    Array,
    D,
    assert_scalar,
    batch,
    generator,
    linear,
    objective,
)

S = 3
LIKELIHOODS = ["bernoulli", "gaussian", "continuous_bernoulli"]


def small(**settings: Any) -> CascadeVAE:
    schedule = {"category_after": 1, "iterations": 30}
    return conftest.small(CascadeVAE, **{"categorical": (S,), **schedule, **settings})


# formulas in numpy


def encoded(model: CascadeVAE, x: Tensor) -> tuple[Array, Array]:
    """Means and log-variances (B, D)."""
    outputs = linear(model.encoder[1], x.numpy().reshape(len(x), -1))
    return outputs[:, : model.continuous], outputs[:, model.continuous :]


def sampled(model: CascadeVAE, x: Tensor) -> Array:
    return conftest.sampled(*encoded(model, x), [], generator())


def errors(model: CascadeVAE, x: Tensor, code: Array) -> Array:
    """-log p(x | code) of each image, (B,)."""
    logits, pixels = linear(model.decoder[0], code), x.numpy().reshape(len(x), -1)
    p = 1 / (1 + np.exp(-logits))
    if model.likelihood == "gaussian":
        return ((pixels - p) ** 2).sum(1) / 2
    entropies = -pixels * np.log(p) - (1 - pixels) * np.log(1 - p)
    if model.likelihood == "continuous_bernoulli":
        # the normaliser of arXiv 1907.06845, equation 7, with lambda = p
        entropies -= np.log(2 * np.arctanh(1 - 2 * p) / (1 - 2 * p))
    return entropies.sum(1)


def costs_of(model: CascadeVAE, x: Tensor, z: Array) -> Array:
    (size,) = model.categorical
    codes = [np.concatenate([z, np.tile(hot, (len(z), 1))], 1) for hot in np.eye(size)]
    return np.stack([errors(model, x, code) for code in codes], 1)


def kl_of(model: CascadeVAE, x: Tensor) -> Array:
    """The KL of each continuous latent, batch mean, (D,)."""
    mean, logvar = encoded(model, x)
    return ((mean**2 + np.exp(logvar) - 1 - logvar) / 2).mean(0)


def total(costs: Array, choice: tuple[int, ...], pairwise: float) -> float:
    """The cost of a choice of categories: that of the images, and of each pair that agrees."""
    agree = sum(a == b for a, b in itertools.combinations(choice, 2))
    return float(sum(row[c] for row, c in zip(costs, choice, strict=True)) + pairwise * agree)


def best(costs: Array, pairwise: float) -> tuple[int, ...]:
    """The cheapest of all choices, tried one by one."""
    rows, size = costs.shape
    return min(itertools.product(range(size), repeat=rows), key=lambda c: total(costs, c, pairwise))


# the assignment


@pytest.mark.parametrize("pairwise", [0.0, 0.01, 0.3, 1.0, 20.0])
@pytest.mark.parametrize(("rows", "size"), [(1, 3), (2, 2), (5, 4), (6, 3), (8, 2), (3, 7)])
def test_the_assignment_is_the_cheapest_of_all_choices(
    rows: int, size: int, pairwise: float
) -> None:
    rng = np.random.default_rng(rows * 100 + size)
    for _ in range(5):
        costs = rng.normal(100, 1, (rows, size)) + rng.normal(0, 1, size)  # some suit most images
        given = tuple(assign_categories(torch.from_numpy(costs), pairwise).tolist())
        assert given == best(costs, pairwise)


def test_the_image_that_loses_least_gives_way() -> None:
    # All prefer category 0. Together there they make 3 pairs, 4.5. If the first moves, it pays 1
    # and 1 pair is left, 1.5. If two move, they pay at least 3.
    costs = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    assert assign_categories(costs, 1.5).tolist() == [1, 0, 0]
    assert assign_categories(costs, 0.4).tolist() == [
        0,
        0,
        0,
    ]  # moving saves 2 pairs, 0.8, and costs 1
    assert assign_categories(costs, 0.6).tolist() == [1, 0, 0]


def test_without_a_price_every_image_has_its_own_best_category() -> None:
    costs = torch.randn(64, 5, generator=generator(0))
    assert torch.equal(assign_categories(costs, 0.0), costs.argmin(1))


def test_a_high_price_spreads_the_batch_evenly() -> None:
    costs = torch.rand(64, 10, generator=generator(0))
    assert sorted(torch.bincount(assign_categories(costs, 1e3)).tolist()) == [6] * 6 + [7] * 4


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_costs_that_are_not_finite_are_assigned_nevertheless(broken: float) -> None:
    costs = torch.tensor([[broken, broken], [0.0, 1.0], [2.0, broken]])
    assert set(assign_categories(costs, 0.001).tolist()) <= {0, 1}
    assert assign_categories(torch.full((4, 3), broken), 0.001).shape == (4,)


# the schedule


def opened_by_the_authors(step: int, D: int, ntime: int, category: bool) -> tuple[int, bool]:
    """As in Dsprites_exp/*/model.py, run_batch: stages of 20,000 iterations, counted from 0."""
    stage = (step - 1) // 20_000
    if category and stage >= ntime:
        return min(stage, D), True
    return min(stage + 1, D), False


@pytest.mark.parametrize("around", range(0, 300_001, 20_000))
@pytest.mark.parametrize(
    ("settings", "iterations"),
    [
        ({}, 120_000),
        ({"continuous": 4}, 80_000),
        ({"category_after": 0}, 120_000),
        ({"category_after": 2, "categorical": (5,)}, 120_000),
        ({"continuous": 10, "categorical": ()}, 180_000),
    ],
)
def test_latents_open_at_the_steps_of_the_authors_code(
    settings: dict[str, Any], iterations: int, around: int
) -> None:
    small_networks = {"image_shape": (1, 28, 28), "iterations": iterations}
    with torch.device("meta"):
        model = CascadeVAE(**settings, **small_networks)
    shape = (model.continuous, model.category_after, bool(model.categorical))
    for step in (around - 1, around, around + 1, around + 2):
        if step >= 1:
            assert model.opened(step) == opened_by_the_authors(step, *shape), step


def test_the_defaults_are_the_authors() -> None:
    model = CascadeVAE(image_shape=(1, 28, 28))
    assert (model.continuous, model.categorical, model.category_after) == (6, (3,), 4)
    assert (model.beta_l, model.beta_h, model.pairwise) == (0.1, 10.0, 0.001)
    assert (model.lr, model.weight_decay, model.iterations) == (1e-4, 4e-5, 6 * 20_000)
    assert (model.lr_decay, model.lr_decay_steps) == (1.0, 50_000)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [(1, False), (1, True), (2, True), (3, True), (3, True)]),
        ({"category_after": 0}, [(0, True), (1, True), (2, True), (3, True), (3, True)]),
        # if there are fewer continuous latents than that, the category is the last
        ({"category_after": 9}, [(1, False), (2, False), (3, False), (3, True), (3, True)]),
    ],
)
def test_the_stages_share_the_iterations(
    settings: dict[str, Any], expected: list[tuple[int, bool]]
) -> None:
    model = small(iterations=30, **settings)
    assert [model.opened(step) for step in (1, 11, 21, 31, 41)] == expected
    assert [model.opened(step) for step in (10, 20, 30)] == expected[:3]
    at_once = small(iterations=1, **settings)
    assert [at_once.opened(step) for step in (1, 2, 3)] == [expected[0], (3, True), (3, True)]


def test_a_single_latent_is_open_from_the_start() -> None:
    model = small(continuous=1, categorical=(), iterations=100)
    assert [model.opened(step) for step in (1, 50, 101)] == [(1, False)] * 3


# the objective


@pytest.mark.parametrize(("step", "opened"), [(1, 1), (10, 1), (16, 2), (31, 3), (99, 3)])
def test_without_a_category_it_is_a_beta_vae_with_a_weight_per_latent(
    step: int, opened: int
) -> None:
    model, x = small(categorical=(), beta_l=0.25, beta_h=7.0), batch()
    given, kl = objective(model, x, step), kl_of(model, x)
    reconstruction = errors(model, x, sampled(model, x)).mean()
    weights = np.array([0.25] * opened + [7.0] * (D - opened))
    assert_scalar(given.terms["reconstruction"], reconstruction)
    assert_scalar(given.losses["vae"], reconstruction + (weights * kl).sum())
    assert_scalar(given.terms["loss"], reconstruction + (weights * kl).sum())
    assert_scalar(given.terms["kl_continuous"], kl.sum())
    assert_scalar(given.terms["kl_categorical"], 0.0)
    assert model.encode(x).logits == ()


def test_a_closed_category_says_nothing_to_the_decoder() -> None:
    model, x = small(beta_l=0.25, beta_h=7.0), batch()
    given, kl = objective(model, x, 10), kl_of(model, x)
    code = np.concatenate([sampled(model, x), np.zeros((BATCH, S))], 1)
    reconstruction = errors(model, x, code).mean()
    assert_scalar(given.losses["vae"], reconstruction + 0.25 * kl[0] + 7 * (kl[1] + kl[2]))
    assert_scalar(given.terms["kl_categorical"], 0.0)
    (gradient,) = torch.autograd.grad(given.losses["vae"], model.decoder[0].weight)
    assert (gradient[:, :D] != 0).all()
    assert (gradient[:, D:] == 0).all()


@pytest.mark.parametrize("pairwise", [0.0, 0.001, 5.0])
@pytest.mark.parametrize(("step", "opened"), [(11, 1), (21, 2), (31, 3)])
def test_an_open_category_is_the_cheapest_for_the_batch(
    step: int, opened: int, pairwise: float
) -> None:
    model, x = small(beta_l=0.25, beta_h=7.0, pairwise=pairwise), batch()
    given, kl, z = objective(model, x, step), kl_of(model, x), sampled(model, x)
    costs = costs_of(model, x, z)
    choice = best(costs, pairwise)
    if pairwise == 5.0:
        assert choice != best(costs, 0.0)
    reconstruction = np.mean([row[c] for row, c in zip(costs, choice, strict=True)])
    weights = np.array([0.25] * opened + [7.0] * (D - opened))
    assert_scalar(given.terms["reconstruction"], reconstruction)
    assert_scalar(given.losses["vae"], reconstruction + (weights * kl).sum())
    assert_scalar(given.terms["loss"], reconstruction + (weights * kl).sum())
    q = np.exp(costs.min(1, keepdims=True) - costs)
    q /= q.sum(1, keepdims=True)
    assert_scalar(given.terms["kl_categorical"], np.sum(q * np.log(q * S)) / BATCH)


def test_the_gradient_is_that_of_the_loss_with_its_categories_fixed() -> None:
    model, x = small(), batch()
    parameters = model.players()["vae"]
    gradients = torch.autograd.grad(objective(model, x, 31).losses["vae"], parameters)

    z = model._continuous(x).sample(generator())
    choice = best(costs_of(model, x, sampled(model, x)), model.pairwise)
    code = torch.cat([z, torch.eye(S, dtype=z.dtype)[list(choice)]], 1)
    loss = model.reconstruction(x, model.decode(code))
    loss = loss + model.beta_l * model._continuous(x).kl_continuous().sum()
    for given, expected in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)

    # and that of finite differences, which solve the assignment again
    draws = generator(5)
    direction = [torch.randn(p.shape, dtype=p.dtype, generator=draws) for p in parameters]
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
    ends = []
    for distance in (1e-6, -2e-6):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += distance * d
        ends.append(objective(model, x, 31).losses["vae"].item())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("step", [1, 31])
def test_extreme_outputs_give_finite_losses_and_gradients(step: int) -> None:
    model, x = small(), batch()
    with torch.no_grad():
        model.encoder[1].weight.zero_()
        model.encoder[1].bias[:D] = 1e3
        model.encoder[1].bias[D:] = -30.0
        model.decoder[0].bias[::2] = 1e4
        model.decoder[0].bias[1::2] = -1e4
    given = objective(model, x, step)
    assert all(term.isfinite() for term in given.terms.values())
    gradients = torch.autograd.grad(given.losses["vae"], model.players()["vae"])
    assert all(gradient.isfinite().all() for gradient in gradients)
    posterior = model.encode(x)
    assert posterior.logits[0].isfinite().all()
    assert posterior.kl_categorical().isfinite().all()


def test_a_model_that_has_diverged_says_so_by_its_loss() -> None:
    model = small()
    with torch.no_grad():
        model.decoder[0].bias.fill_(math.nan)
    assert objective(model, batch(), 31).losses["vae"].isnan()


# the category that it infers


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_logits_are_minus_the_costs_at_the_mean(likelihood: str) -> None:
    model, x = small(likelihood=likelihood), batch()
    posterior = model.encode(x)
    mean, logvar = encoded(model, x)
    expected = -costs_of(model, x, mean)
    (logits,) = posterior.logits
    np.testing.assert_allclose(posterior.mean.detach(), mean, rtol=1e-12)
    np.testing.assert_allclose(posterior.logvar.detach(), logvar, rtol=1e-12)
    np.testing.assert_allclose(logits.detach(), expected, rtol=1e-10)
    assert posterior.categories()[:, 0].tolist() == expected.argmax(1).tolist()


def test_the_inferred_category_is_the_one_that_explains_the_image_best() -> None:
    model, x = small(), batch()
    code = model.encode(x).mode()
    for image, given in zip(x, code, strict=True):
        tried = [
            model.reconstruction(
                image[None], model.decode(torch.cat([given[:D], hot])[None])
            ).item()
            for hot in torch.eye(S, dtype=torch.float64)
        ]
        inferred = model.reconstruction(image[None], model.decode(given[None])).item()
        assert inferred == pytest.approx(min(tried), rel=1e-12)
        assert sorted(tried)[1] > 1.0001 * inferred  # another category would show


def test_the_inferred_category_does_not_depend_on_the_rest_of_the_batch() -> None:
    model, x = small(pairwise=100.0), batch()  # the assignment does depend on it
    together = model.encode(x).logits[0]
    alone = torch.cat([model.encode(image[None]).logits[0] for image in x])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


def test_the_encoder_of_every_network_has_no_output_for_the_category() -> None:
    model = CascadeVAE(image_shape=(1, 32, 32), continuous=4, categorical=(5,))
    x = torch.rand(3, 1, 32, 32, generator=generator(0))
    assert model.encoder(x).shape == (3, 8)
    with torch.inference_mode():  # as bench encodes
        assert model.encode(x).logits[0].shape == (3, 5)


@pytest.mark.parametrize("initialisation", ["glorot", "he"])
def test_the_encoder_has_the_initialisation_of_its_setting(initialisation: str) -> None:
    model = CascadeVAE(image_shape=(1, 32, 32), initialisation=initialisation)
    assert all((layer.bias == 0).all() for layer in model.modules() if hasattr(layer, "bias"))


def test_a_category_that_opens_first_finds_the_kinds_of_images() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, S, 240)
    prototypes = rng.random((S, *SHAPE)) < 0.5
    images = np.clip(0.1 + 0.8 * prototypes[kinds] + rng.normal(0, 0.03, (240, *SHAPE)), 0, 1)
    # only the category is open
    settings = {"category_after": 0, "iterations": 10**9, "pairwise": 1.0}
    model = small(**settings, beta_h=100.0, lr=0.05)
    (optimizer,) = model.optimizers().values()
    draws = generator(0)
    for step in range(1, 101):
        rows = rng.choice(240, 24)
        optimizer.zero_grad()
        model.objective(torch.from_numpy(images[rows]), step, draws).losses["vae"].backward()
        optimizer.step()
    categories = model.encode(torch.from_numpy(images)).categories()[:, 0].numpy()
    pairs = set(zip(kinds.tolist(), categories.tolist(), strict=True))
    assert len(pairs) == S  # one category for each kind
    assert len(set(categories.tolist())) == S


# the optimizer


@pytest.mark.parametrize(
    ("step", "factor"),
    [(1, 1.0), (10, 1.0), (11, 0.3), (20, 0.3), (21, 0.09), (51, 0.3**5)],
)
def test_the_learning_rate_falls_by_stairs(step: int, factor: float) -> None:
    """As exponential_decay(lr, step - 1, 10, 0.3, staircase=True) of TensorFlow."""
    model = small(lr=1e-3, lr_decay=0.3, lr_decay_steps=10)
    assert model.learning_rates(step) == {"vae": pytest.approx(1e-3 * factor)}


@pytest.mark.parametrize("step", [1, 50_001, 10**6])
def test_by_default_the_learning_rate_stays(step: int) -> None:
    assert small(lr=1e-3).learning_rates(step) == {}


def test_the_weight_decay_is_an_l2_penalty() -> None:
    x = batch()
    model, penalised = small(weight_decay=0.3), small(weight_decay=0.0)
    optimizer, plain = model.optimizers()["vae"], penalised.optimizers()["vae"]
    for step in (11, 12, 13):
        objective(model, x, step).losses["vae"].backward()
        penalty = 0.3 / 2 * sum(p.square().sum() for p in penalised.parameters())
        (objective(penalised, x, step).losses["vae"] + penalty).backward()
        for stepping in (optimizer, plain):
            stepping.step()
            stepping.zero_grad()
    for given, expected in zip(model.parameters(), penalised.parameters(), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("weight_decay", "left"), [(4e-5, 0.0), (0.0, 1.0)])
def test_weight_decay_takes_the_decoders_weights_of_a_closed_category_to_0(
    weight_decay: float, left: float
) -> None:
    model, x = small(weight_decay=weight_decay, lr=0.01), batch()
    weight = model.decoder[0].weight
    before = weight[:, D:].detach().clone()
    (optimizer,) = model.optimizers().values()
    for _ in range(300):
        objective(model, x, 1).losses["vae"].backward()
        optimizer.step()
        optimizer.zero_grad()
    norms = [float(w.detach().square().mean().sqrt()) for w in (weight[:, D:], before)]
    assert norms[0] / norms[1] == pytest.approx(left, abs=0.03)


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_l": -1.0},
        {"lr_decay": 0.0},
        {"lr_decay": 1.1},
        {"lr_decay_steps": 0},
        {"beta_h": -1.0},
        {"pairwise": -0.1},
        {"category_after": -1},
        {"weight_decay": -1e-5},
        {"iterations": 0},
        {"categorical": (3, 2)},
        {"continuous": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}=") as refused:
        CascadeVAE(image_shape=(1, 32, 32), **settings)
    assert "\n" not in str(refused.value)
