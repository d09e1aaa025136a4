"""Every objective against its formula, worked out in numpy on fixed tensors in float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.models import MODELS, VAE, AnnealedVAE, BetaVAE, FactorVAE, JointVAE, PlainVAE
from bench.models.factorvae import permute_latents
from tests.models.conftest import (
    BATCH,
    SIZES,
    Array,
    D,
    assert_scalar,
    batch,
    expected_terms,
    generator,
    linear,
    objective,
    small,
    softmax,
)

# The other models depend on what a batch is (estimates from all of it, pairs, draws of latents), or
# have codes of another shape. Their formulas are in test files of their own.
TRAINED = ("vae", "betavae", "annealedvae", "jointvae", "jointbetavae", "factorvae", "dipvae1")
TRAINED = (*TRAINED, "dipvae2", "infovae", "categoricalvae")
LN_S = math.log(3) + math.log(2)
DISCRIMINATOR = {"factorvae": {"hidden": 5, "layers": 2}}


def test_vae_is_reconstruction_plus_kl_and_logs_them() -> None:
    model, x = small(VAE), batch()
    given, expected = objective(model, x), expected_terms(model, x)
    assert_scalar(given.losses["vae"], expected.reconstruction + expected.kl)
    assert_scalar(given.terms["loss"], expected.reconstruction + expected.kl)
    assert_scalar(given.terms["reconstruction"], expected.reconstruction)
    assert_scalar(given.terms["kl_continuous"], expected.kl_z)
    assert_scalar(given.terms["kl_categorical"], expected.kl_c)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_betavae_weighs_the_kl(beta: float) -> None:
    model, x = small(BetaVAE, beta=beta), batch()
    expected = expected_terms(model, x)
    assert_scalar(objective(model, x).losses["vae"], expected.reconstruction + beta * expected.kl)


@pytest.mark.parametrize("factor", [0.2, 5.0])
@pytest.mark.parametrize(("step", "share"), [(1, 0.01), (37, 0.37), (100, 1.0), (250, 1.0)])
def test_annealedvae_holds_the_kl_at_a_rising_capacity(
    factor: float, step: int, share: float
) -> None:
    x = batch()
    expected = expected_terms(small(VAE), x)
    C = factor * expected.kl  # below the KL, or above it
    model = small(AnnealedVAE, gamma=7.0, C=C, iterations=100)
    loss = expected.reconstruction + 7 * abs(expected.kl - share * C)
    given = objective(model, x, step)
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["capacity"], share * C)


@pytest.mark.parametrize("factor_z", [0.2, 5.0])
@pytest.mark.parametrize("factor_c", [0.2, 1.5])
@pytest.mark.parametrize(("step", "share"), [(1, 0.01), (37, 0.37), (100, 1.0), (250, 1.0)])
def test_jointvae_has_a_capacity_for_each_kind(
    factor_z: float, factor_c: float, step: int, share: float
) -> None:
    x = batch()
    expected = expected_terms(small(VAE), x)
    C_z, C_c = factor_z * expected.kl_z, factor_c * expected.kl_c
    assert C_c < LN_S
    model = small(JointVAE, gamma=7.0, C_z=C_z, C_c=C_c, iterations=100)
    apart = abs(expected.kl_z - share * C_z) + abs(expected.kl_c - share * C_c)
    given = objective(model, x, step)
    assert_scalar(given.losses["vae"], expected.reconstruction + 7 * apart)
    assert_scalar(given.terms["capacity_continuous"], share * C_z)
    assert_scalar(given.terms["capacity_categorical"], share * C_c)


@pytest.mark.parametrize(("step", "capacity"), [(10, 1.0), (17, 1.7), (18, LN_S), (100, LN_S)])
def test_jointvae_clips_the_capacity_at_what_all_categories_can_hold(
    step: int, capacity: float
) -> None:
    model, x = small(JointVAE, gamma=7.0, C_z=0.0, C_c=10.0, iterations=100), batch()
    expected = expected_terms(model, x)
    loss = expected.reconstruction + 7 * (expected.kl_z + abs(expected.kl_c - capacity))
    given = objective(model, x, step)
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["capacity_categorical"], capacity)


def test_jointvae_without_categories_has_no_categorical_capacity() -> None:
    model, x = small(JointVAE, categorical=(), gamma=7.0, C_z=0.0, C_c=1.1, iterations=1), batch()
    expected = expected_terms(model, x)
    assert_scalar(objective(model, x).losses["vae"], expected.reconstruction + 7 * expected.kl_z)


@pytest.mark.parametrize("kind", [AnnealedVAE, JointVAE])
def test_the_absolute_value_is_that_of_the_batch_mean(kind: type[VAE]) -> None:
    x = batch()
    expected = expected_terms(small(VAE), x)
    assert np.ptp([expected_terms(small(VAE), row[None]).kl for row in x]) > 1
    capacities = (
        {"C": expected.kl} if kind is AnnealedVAE else {"C_z": expected.kl_z, "C_c": expected.kl_c}
    )
    model = small(kind, gamma=1000.0, iterations=1, **capacities)
    assert objective(model, x).losses["vae"].item() == pytest.approx(
        expected.reconstruction, abs=1e-9
    )


def discriminator_logits(model: FactorVAE, z: Array) -> Array:
    """Two hidden layers of leaky slope 0.2, then two logits, (B, 2)."""
    for layer in (0, 2, 4):
        z = linear(model.discriminator[layer], z)
        if layer < 4:
            z = np.where(z > 0, z, 0.2 * z)
    return z


# steps of a warmup over 100, as in YannDubs/disentangling-vae: its first step has 1 / 100
WARMUP = pytest.mark.parametrize(
    ("step", "share"), [(1, 0.01), (2, 0.02), (37, 0.37), (99, 0.99), (100, 1.0), (250, 1.0)]
)


@WARMUP
def test_the_warmup_of_vae_and_betavae_is_that_of_the_kl(step: int, share: float) -> None:
    x = batch()
    expected = expected_terms(small(VAE), x)
    assert expected.kl > 1
    for model, beta in (
        (small(PlainVAE, warmup=100), 1.0),
        (small(BetaVAE, beta=4.0, warmup=100), 4.0),
    ):
        given = objective(model, x, step)
        assert_scalar(given.losses["vae"], expected.reconstruction + share * beta * expected.kl)
        assert_scalar(given.terms["kl_continuous"], expected.kl_z)


@pytest.mark.parametrize("step", [1, 2, 100])
def test_without_a_warmup_the_kl_has_its_whole_weight_from_the_start(step: int) -> None:
    x = batch()
    expected = expected_terms(small(VAE), x)
    for model, beta in ((small(PlainVAE), 1.0), (small(BetaVAE, beta=4.0), 4.0)):
        loss = expected.reconstruction + beta * expected.kl
        assert_scalar(objective(model, x, step).losses["vae"], loss)


@WARMUP
def test_the_warmup_of_factorvae_is_that_of_the_total_correlation(step: int, share: float) -> None:
    settings = {"gamma": 35.0, **DISCRIMINATOR["factorvae"]}
    model, x = small(FactorVAE, warmup=100, **settings), batch()
    given, expected = objective(model, x, step), expected_terms(model, x)
    logits = discriminator_logits(model, expected.z)
    total_correlation = np.mean(logits[:, 0] - logits[:, 1])
    assert abs(total_correlation) > 0.01
    loss = expected.reconstruction + expected.kl + share * 35 * total_correlation
    assert_scalar(given.losses["vae"], loss)
    # the discriminator's own loss has no warmup
    plain = objective(small(FactorVAE, **settings), x, step)
    assert_scalar(given.losses["discriminator"], plain.losses["discriminator"].item())


def test_only_models_whose_loss_it_changes_take_a_warmup() -> None:
    takers = {name for name, model in MODELS.items() if hasattr(model, "warmup")}
    assert takers == {"vae", "betavae", "factorvae"}


@pytest.mark.parametrize("second_batch", [False, True])
def test_factorvae_estimates_total_correlation_and_trains_its_discriminator(
    second_batch: bool,
) -> None:
    settings = {"gamma": 35.0, "second_batch": second_batch, **DISCRIMINATOR["factorvae"]}
    model, x = small(FactorVAE, **settings), batch()
    given = objective(model, x)

    draws = generator()
    first = x[: BATCH // 2] if second_batch else x
    expected = expected_terms(model, first, draws)
    second = expected_terms(model, x[BATCH // 2 :], draws).z if second_batch else expected.z
    permuted, start = second.copy(), 0
    for width in (1, 1, 1, 3, 2):
        order = torch.randperm(len(second), generator=draws).numpy()
        permuted[:, start : start + width] = second[order, start : start + width]
        start += width
    assert not np.array_equal(permuted, second)

    logits = discriminator_logits(model, expected.z)
    total_correlation = np.mean(logits[:, 0] - logits[:, 1])
    assert abs(total_correlation) > 0.01
    loss = expected.reconstruction + expected.kl + 35 * total_correlation
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["loss"], loss)

    of_truth = softmax(logits)[:, 0], softmax(discriminator_logits(model, permuted))[:, 1]
    cross_entropy = -(np.log(of_truth[0]).mean() + np.log(of_truth[1]).mean()) / 2
    assert_scalar(given.losses["discriminator"], cross_entropy)
    assert_scalar(given.terms["discriminator_loss"], cross_entropy)


def test_the_density_ratio_finds_a_known_total_correlation() -> None:
    # Two latents of N(0, 1) with correlation rho have TC = -ln(1 - rho^2) / 2 in closed form. The
    # estimate is the mean logit difference, which is log q(z) / q(z_1) q(z_2) for an optimal
    # discriminator.
    rho, draws = 0.8, generator(0)
    torch.manual_seed(0)
    model = FactorVAE(image_shape=(1, 32, 32), continuous=2, hidden=64, layers=2)
    optimizer = torch.optim.Adam(model.discriminator.parameters(), lr=3e-3)

    def codes(rows: int) -> torch.Tensor:
        a, b = torch.randn(2, rows, generator=draws)
        return torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], -1)

    for _ in range(600):
        z = codes(512)
        permuted = permute_latents(z, model.latents.blocks, draws)
        logits = model.discriminator(torch.cat([z, permuted]))
        truth = torch.arange(2).repeat_interleave(512)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, truth).backward()
        optimizer.step()
    with torch.no_grad():
        estimate = model.total_correlation(codes(20_000)).item()
    assert estimate == pytest.approx(-0.5 * math.log(1 - rho**2), rel=0.1)


def noiseless(name: str) -> VAE:
    model = small(MODELS[name], categorical=(), **DISCRIMINATOR.get(name, {}))
    head = model.encoder[1]
    with torch.no_grad():
        head.weight[D : 2 * D] = 0
        head.bias[D : 2 * D] = -20  # far below what float32 resolves beside the means
    return model


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "infovae"])
def test_float32_agrees_with_float64(name: str) -> None:
    exact, x = noiseless(name), batch()
    single = noiseless(name).float()
    given, expected = objective(single, x.float(), 3), objective(exact, x, 3)
    for term in ("loss", "reconstruction", "kl_continuous"):
        assert given.terms[term].dtype == torch.float32
        assert given.terms[term].item() == pytest.approx(expected.terms[term].item(), rel=2e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_shown_twice_gives_the_same_loss(name: str) -> None:
    model, x = small(MODELS[name], categorical=(), **DISCRIMINATOR.get(name, {})), batch()
    head = model.encoder[1]
    with torch.no_grad():  # variances of 0 leave no noise
        head.weight[D:] = 0
        head.bias[D:] = -1500
    once, twice = objective(model, x, 3), objective(model, torch.cat([x, x]), 3)
    for term in ("loss", "reconstruction", "kl_continuous", "kl_categorical"):
        assert_scalar(twice.terms[term], once.terms[term].item())
    assert once.terms["reconstruction"] > 1


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_the_reconstruction_is_summed_over_channels_and_pixels(axis: int) -> None:
    model, x = small(VAE), batch()
    logits = model.decode(torch.ones(BATCH, D + sum(SIZES), dtype=torch.float64)).detach()
    once = model.reconstruction(x, logits).item()
    twice = model.reconstruction(torch.cat([x, x], axis), torch.cat([logits, logits], axis))
    assert once > 1
    assert_scalar(twice, 2 * once)
