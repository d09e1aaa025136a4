"""Every objective against its formula, worked out in float64 numpy on fixed tensors."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.models import MODELS, VAE, AnnealedVAE, BetaVAE, FactorVAE, JointVAE, Objective
from bench.models.factorvae import permute_latents

# The others change by what a batch is: estimates from all of it, pairs, draws of latents; or they
# have a code of another shape. Tests of their own have their formulas.
TRAINED = ("vae", "betavae", "annealedvae", "jointvae", "jointbetavae", "factorvae", "dipvae1")
TRAINED = (*TRAINED, "dipvae2", "infovae", "categoricalvae")
SHAPE = (2, 3, 4)  # more channels than one, so that a mean over channels would show
D, SIZES = 3, (3, 2)
BATCH, SEED, TEMPERATURE = 6, 11, 0.67
LN_S = math.log(3) + math.log(2)
DISCRIMINATOR = {"factorvae": {"hidden": 5, "layers": 2}}


def small(kind: type[VAE], categorical: tuple[int, ...] = SIZES, **settings: Any) -> VAE:
    """Linear networks in float64, with weights that keep every term far from 0."""
    model = kind(
        image_shape=SHAPE, continuous=D, categorical=categorical, network="mlp1200", **settings
    )
    pixels = math.prod(SHAPE)
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, model.latents.parameters))
    model.decoder = nn.Sequential(nn.Linear(model.latents.width, pixels), nn.Unflatten(1, SHAPE))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model


def batch(rows: int = BATCH) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((rows, *SHAPE)))


def objective(model: VAE, x: torch.Tensor, step: int = 1) -> Objective:
    return model.objective(x, step, torch.Generator().manual_seed(SEED))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@dataclass
class Known:
    """What the formulas give for a batch: codes (B, width), nats an image of each term."""

    z: np.ndarray
    reconstruction: float
    kl_z: float
    kl_c: float

    @property
    def kl(self) -> float:
        return self.kl_z + self.kl_c


def known(model: VAE, x: torch.Tensor, generator: torch.Generator | None = None) -> Known:
    """Draws what the sampling draws: a normal for each z, an exponential for each category."""
    generator = generator or torch.Generator().manual_seed(SEED)
    rows = len(x)
    parameters = model.encoder(x).detach().numpy()
    mean, logvar = parameters[:, :D], parameters[:, D : 2 * D]
    noise = torch.empty(rows, D, dtype=torch.float64).normal_(generator=generator).numpy()
    blocks = [mean + np.sqrt(np.exp(logvar)) * noise]
    variance = np.exp(logvar)
    kl_z = np.sum((variance + mean**2 - 1 - np.log(variance)) / 2) / rows
    kl_c, start = 0.0, 2 * D
    for size in model.latents.categorical:
        q = softmax(parameters[:, start : start + size])
        start += size
        wait = torch.empty(rows, size, dtype=torch.float64).exponential_(generator=generator)
        blocks.append(softmax((np.log(q) - np.log(wait.numpy())) / TEMPERATURE))
        kl_c += np.sum(q * np.log(q * size)) / rows
    z = np.concatenate(blocks, 1)
    p = 1 / (1 + np.exp(-model.decoder(torch.from_numpy(z)).detach().numpy()))
    pixels = x.numpy()
    likelihood = pixels * np.log(p) + (1 - pixels) * np.log(1 - p)
    return Known(z, -likelihood.sum() / rows, kl_z, kl_c)


def equal(given: torch.Tensor, expected: float) -> None:
    assert given.shape == ()
    assert given.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_vae_is_reconstruction_plus_kl_and_logs_them() -> None:
    model, x = small(VAE), batch()
    given, expected = objective(model, x), known(model, x)
    equal(given.losses["vae"], expected.reconstruction + expected.kl)
    equal(given.terms["loss"], expected.reconstruction + expected.kl)
    equal(given.terms["reconstruction"], expected.reconstruction)
    equal(given.terms["kl_continuous"], expected.kl_z)
    equal(given.terms["kl_categorical"], expected.kl_c)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_betavae_weighs_the_kl(beta: float) -> None:
    model, x = small(BetaVAE, beta=beta), batch()
    expected = known(model, x)
    equal(objective(model, x).losses["vae"], expected.reconstruction + beta * expected.kl)


@pytest.mark.parametrize("factor", [0.2, 5.0])
@pytest.mark.parametrize(("step", "share"), [(1, 0.01), (37, 0.37), (100, 1.0), (250, 1.0)])
def test_annealedvae_keeps_the_kl_at_a_capacity_that_rises(
    factor: float, step: int, share: float
) -> None:
    x = batch()
    expected = known(small(VAE), x)
    C = factor * expected.kl  # the KL ends above it, or below
    model = small(AnnealedVAE, gamma=7.0, C=C, iterations=100)
    loss = expected.reconstruction + 7 * abs(expected.kl - share * C)
    equal(objective(model, x, step).losses["vae"], loss)


@pytest.mark.parametrize("factor_z", [0.2, 5.0])
@pytest.mark.parametrize("factor_c", [0.2, 1.5])
@pytest.mark.parametrize(("step", "share"), [(1, 0.01), (37, 0.37), (100, 1.0), (250, 1.0)])
def test_jointvae_has_a_capacity_for_each_kind(
    factor_z: float, factor_c: float, step: int, share: float
) -> None:
    x = batch()
    expected = known(small(VAE), x)
    C_z, C_c = factor_z * expected.kl_z, factor_c * expected.kl_c
    assert C_c < LN_S
    model = small(JointVAE, gamma=7.0, C_z=C_z, C_c=C_c, iterations=100)
    apart = abs(expected.kl_z - share * C_z) + abs(expected.kl_c - share * C_c)
    equal(objective(model, x, step).losses["vae"], expected.reconstruction + 7 * apart)


@pytest.mark.parametrize(("step", "capacity"), [(10, 1.0), (17, 1.7), (18, LN_S), (100, LN_S)])
def test_jointvae_clips_the_capacity_at_what_all_categories_hold(
    step: int, capacity: float
) -> None:
    model, x = small(JointVAE, gamma=7.0, C_z=0.0, C_c=10.0, iterations=100), batch()
    expected = known(model, x)
    loss = expected.reconstruction + 7 * (expected.kl_z + abs(expected.kl_c - capacity))
    equal(objective(model, x, step).losses["vae"], loss)


def test_jointvae_without_categories_has_no_categorical_capacity() -> None:
    model, x = small(JointVAE, (), gamma=7.0, C_z=0.0, C_c=1.1, iterations=1), batch()
    expected = known(model, x)
    equal(objective(model, x).losses["vae"], expected.reconstruction + 7 * expected.kl_z)


@pytest.mark.parametrize("kind", [AnnealedVAE, JointVAE])
def test_the_bars_stand_around_the_batch_mean(kind: type[VAE]) -> None:
    x = batch()
    expected = known(small(VAE), x)
    assert np.ptp([known(small(VAE), row[None]).kl for row in x]) > 1
    capacities = (
        {"C": expected.kl} if kind is AnnealedVAE else {"C_z": expected.kl_z, "C_c": expected.kl_c}
    )
    model = small(kind, gamma=1000.0, iterations=1, **capacities)
    assert objective(model, x).losses["vae"].item() == pytest.approx(
        expected.reconstruction, abs=1e-9
    )


def discriminated(model: VAE, z: np.ndarray) -> np.ndarray:
    """Two hidden layers of leaky slope 0.2, then two logits, (n, 2)."""
    weights = {k: v.numpy() for k, v in model.state_dict().items() if k.startswith("discr")}
    for layer in (0, 2, 4):
        z = z @ weights[f"discriminator.{layer}.weight"].T + weights[f"discriminator.{layer}.bias"]
        if layer < 4:
            z = np.where(z > 0, z, 0.2 * z)
    return z


@pytest.mark.parametrize("second_batch", [False, True])
def test_factorvae_estimates_total_correlation_and_trains_its_discriminator(
    second_batch: bool,
) -> None:
    settings = {"gamma": 35.0, "second_batch": second_batch, **DISCRIMINATOR["factorvae"]}
    model, x = small(FactorVAE, **settings), batch()
    given = objective(model, x)

    generator = torch.Generator().manual_seed(SEED)
    first = x[: BATCH // 2] if second_batch else x
    expected = known(model, first, generator)
    second = known(model, x[BATCH // 2 :], generator).z if second_batch else expected.z
    permuted, start = second.copy(), 0
    for width in (1, 1, 1, 3, 2):
        order = torch.randperm(len(second), generator=generator).numpy()
        permuted[:, start : start + width] = second[order, start : start + width]
        start += width
    assert not np.array_equal(permuted, second)

    logits = discriminated(model, expected.z)
    total_correlation = np.mean(logits[:, 0] - logits[:, 1])
    assert abs(total_correlation) > 0.01
    loss = expected.reconstruction + expected.kl + 35 * total_correlation
    equal(given.losses["vae"], loss)
    equal(given.terms["loss"], loss)

    right = softmax(logits)[:, 0], softmax(discriminated(model, permuted))[:, 1]
    cross_entropy = -(np.log(right[0]).mean() + np.log(right[1]).mean()) / 2
    equal(given.losses["discriminator"], cross_entropy)
    equal(given.terms["discriminator_loss"], cross_entropy)


def test_the_density_ratio_finds_a_known_total_correlation() -> None:
    # Two latents of N(0, 1) with correlation rho have TC = -ln(1 - rho^2) / 2 in closed form. The
    # estimate is the mean logit difference, of an optimal discriminator log q(z) / q(z_1) q(z_2).
    rho, generator = 0.8, torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = FactorVAE(image_shape=(1, 32, 32), continuous=2, hidden=64, layers=2)
    optimizer = torch.optim.Adam(model.discriminator.parameters(), lr=3e-3)

    def codes(rows: int) -> torch.Tensor:
        a, b = torch.randn(2, rows, generator=generator)
        return torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], -1)

    for _ in range(600):
        z = codes(512)
        permuted = permute_latents(z, model.latents.blocks, generator)
        logits = model.discriminator(torch.cat([z, permuted]))
        truth = torch.arange(2).repeat_interleave(512)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, truth).backward()
        optimizer.step()
    with torch.no_grad():
        estimate = model.total_correlation(codes(20_000)).item()
    assert estimate == pytest.approx(-0.5 * math.log(1 - rho**2), rel=0.1)


def noiseless(name: str) -> VAE:
    model = small(MODELS[name], (), **DISCRIMINATOR.get(name, {}))
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
    model, x = small(MODELS[name], (), **DISCRIMINATOR.get(name, {})), batch()
    head = model.encoder[1]
    with torch.no_grad():  # variances of 0 leave no noise
        head.weight[D:] = 0
        head.bias[D:] = -1500
    once, twice = objective(model, x, 3), objective(model, torch.cat([x, x]), 3)
    for term in ("loss", "reconstruction", "kl_continuous", "kl_categorical"):
        equal(twice.terms[term], once.terms[term].item())
    assert once.terms["reconstruction"] > 1


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_the_reconstruction_is_summed_over_channels_and_pixels(axis: int) -> None:
    model, x = small(VAE), batch()
    logits = model.decode(torch.ones(BATCH, D + sum(SIZES), dtype=torch.float64)).detach()
    once = model.reconstruction(x, logits).item()
    twice = model.reconstruction(torch.cat([x, x], axis), torch.cat([logits, logits], axis))
    assert once > 1
    equal(twice, 2 * once)
