"""DIP-VAE: its covariances, their pull to the identity, its objective."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.models import VAE, Posterior
from bench.models.dipvae import DIPVAE1, DIPVAE2, covariance, distance_from_identity
from tests.models.conftest import (
    BATCH,
    Array,
    D,
    bare,
    batch,
    encoded,
    generator,
    objective,
    small,
)

KINDS: list[type[VAE]] = [DIPVAE1, DIPVAE2]
both = pytest.mark.parametrize("kind", KINDS)


def loss(model: VAE, x: Tensor) -> Tensor:
    return objective(model, x).losses["vae"]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def penalty(model: VAE, q: Posterior) -> Tensor:
    """What DIP-VAE adds to reconstruction and KL."""
    return model.regularizer(q, q.mean, 1) - q.kl_continuous().sum() - q.kl_categorical().sum()


def pull(matrix: Array, od: float, d: float) -> float:
    """The formula, entry by entry: every pair of latents counts in both orders."""
    total = 0.0
    for i in range(len(matrix)):
        for j in range(len(matrix)):
            total += d * (matrix[i, i] - 1) ** 2 if i == j else od * matrix[i, j] ** 2
    return total


# the objective


@both
@pytest.mark.parametrize(("od", "d"), [(10.0, 100.0), (7.0, 0.0), (0.0, 3.0)])
def test_the_covariance_is_pulled_to_the_identity(kind: type[VAE], od: float, d: float) -> None:
    x = batch()
    model = small(kind, lambda_od=od, lambda_d=d)
    mean, logvar, _ = encoded(model, x)
    # numpy's covariance of all rows as a population: divided by B, as in disentanglement_lib
    matrix = np.cov(mean, rowvar=False, bias=True)
    if kind is DIPVAE2:
        matrix += np.diag(np.exp(logvar).mean(0))
    added = loss(model, x) - loss(small(VAE), x)
    expected = pull(matrix, od, d)
    assert expected > 0.1
    assert added.item() == pytest.approx(expected, rel=1e-11)


@both
def test_without_weights_it_is_a_vae(kind: type[VAE]) -> None:
    model = small(kind, lambda_od=0.0, lambda_d=0.0)
    assert loss(model, batch()).item() == pytest.approx(loss(small(VAE), batch()).item(), rel=1e-12)


def test_the_two_variants_differ_by_the_mean_variance() -> None:
    q = Posterior(draw(BATCH, D), torch.full((BATCH, D), -1500.0, dtype=torch.float64))
    settings = {"lambda_od": 2.0, "lambda_d": 3.0}
    one, two = (penalty(bare(kind, D, **settings), q).item() for kind in KINDS)
    assert one == pytest.approx(two, rel=1e-12)  # no variance, no difference
    wide = Posterior(q.mean, draw(BATCH, D, seed=1))
    assert penalty(bare(DIPVAE1, D, **settings), wide).item() == pytest.approx(one, rel=1e-11)
    assert penalty(bare(DIPVAE2, D, **settings), wide).item() > one + 0.1


@both
def test_categories_have_no_part_in_the_covariance(kind: type[VAE]) -> None:
    mean, logvar = draw(BATCH, D), draw(BATCH, D, seed=1)
    mixed = Posterior(mean, logvar, (draw(BATCH, 3, seed=2),))
    given = penalty(bare(kind, D, categorical=(3,)), mixed)
    expected = penalty(bare(kind, D), Posterior(mean, logvar))
    assert given.item() == pytest.approx(expected.item(), rel=1e-11)


# covariance and gradients


def test_the_covariance_is_that_of_a_population() -> None:
    values = draw(50, 4) @ draw(4, 4, seed=1) + 3
    expected = np.cov(values.numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance(values), expected, rtol=1e-12, atol=1e-14)
    # E[m m^T] - E[m] E[m]^T, as disentanglement_lib computes it
    moments = values.T @ values / 50 - torch.outer(values.mean(0), values.mean(0))
    torch.testing.assert_close(covariance(values), moments, rtol=1e-12, atol=1e-12)


def test_a_batch_shown_twice_has_the_same_covariance() -> None:
    values = draw(BATCH, D)
    torch.testing.assert_close(covariance(values.repeat(2, 1)), covariance(values))


@both
def test_a_batch_shown_twice_has_the_same_penalty(kind: type[VAE]) -> None:
    q = Posterior(draw(BATCH, D), draw(BATCH, D, seed=1))
    twice = Posterior(q.mean.repeat(2, 1), q.logvar.repeat(2, 1))
    model = bare(kind, D)
    assert penalty(model, twice).item() == pytest.approx(penalty(model, q).item(), rel=1e-12)


def test_means_far_from_zero_lose_no_digits_in_float32() -> None:
    # E[m m^T] - E[m] E[m]^T would be off by about 1 here: 1e8 has a spacing of 8 in float32.
    values = draw(64, 3, dtype=torch.float32) + 1e4
    expected = np.cov(values.double().numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance(values), expected, atol=2e-3)


@both
def test_gradients_are_those_of_a_covariance_written_out(kind: type[VAE]) -> None:
    model = bare(kind, D, lambda_od=7.0, lambda_d=3.0)
    mean, logvar = draw(BATCH, D).requires_grad_(), draw(BATCH, D, seed=1).requires_grad_()
    given = torch.autograd.grad(penalty(model, Posterior(mean, logvar)), (mean, logvar))

    total = torch.zeros((), dtype=torch.float64)
    for i in range(D):
        for j in range(D):
            entry = sum(mean[b, i] * mean[b, j] for b in range(BATCH)) / BATCH
            entry = entry - mean[:, i].sum() * mean[:, j].sum() / BATCH**2
            if i == j and kind is DIPVAE2:
                entry = entry + sum(logvar[b, i].exp() for b in range(BATCH)) / BATCH
            total = total + (3 * (entry - 1) ** 2 if i == j else 7 * entry**2)
    expected = torch.autograd.grad(total, (mean, logvar), allow_unused=True, materialize_grads=True)
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert (expected[1] != 0).all() == (kind is DIPVAE2)


@both
def test_gradients_are_those_of_finite_differences(kind: type[VAE]) -> None:
    model = bare(kind, D, lambda_od=7.0, lambda_d=3.0)

    def regularizer(mean: Tensor, logvar: Tensor) -> Tensor:
        return model.regularizer(Posterior(mean, logvar), mean, 1)

    leaves = [draw(BATCH, D).requires_grad_(), draw(BATCH, D, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(regularizer, leaves)


@both
def test_float32_agrees_with_float64(kind: type[VAE]) -> None:
    model = bare(kind, 10)
    wide = Posterior(draw(64, 10), draw(64, 10, seed=1))
    narrow = Posterior(wide.mean.float(), wide.logvar.float())
    given = model.regularizer(narrow, narrow.mean, 1)
    assert given.dtype == torch.float32
    assert given.item() == pytest.approx(model.regularizer(wide, wide.mean, 1).item(), rel=1e-5)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_posteriors_have_finite_losses_and_gradients(
    kind: type[VAE], dtype: torch.dtype
) -> None:
    mean = torch.tensor([[0.0, 300.0], [-300.0, 1.0]], dtype=dtype, requires_grad=True)
    logvar = torch.tensor([[-1500.0, -30.0], [-30.0, 10.0]], dtype=dtype, requires_grad=True)
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    q = Posterior(mean, logvar, (logits,))
    value = bare(kind, 2, categorical=(2,)).regularizer(q, q.mean, 1)
    assert value.isfinite()
    for gradient in torch.autograd.grad(value, (mean, logvar, logits)):
        assert gradient.isfinite().all()


# what it costs


def test_independent_means_cost_what_a_batch_shows_by_chance() -> None:
    # For normal means of variance 1, an off-diagonal entry has mean 0 and variance (B - 1) / B^2; a
    # diagonal one is chi-squared with B - 1 degrees of freedom over B, with mean 1 - 1 / B and
    # variance 2 (B - 1) / B^2. So the penalty is not 0, but falls as 1 / B.
    od, d, latents = 2.0, 3.0, 4
    for size in (8, 64):
        values = draw(2000, size, latents, seed=size)
        costs = np.array([distance_from_identity(covariance(v), od, d).item() for v in values])
        pairs, diagonal = latents * (latents - 1), latents
        expected = od * pairs * (size - 1) + d * diagonal * (2 * (size - 1) + 1)
        expected /= size**2
        assert abs(costs.mean() - expected) < 4 * costs.std() / math.sqrt(len(costs))


def test_unused_latents_cost_dip_vae_1_and_not_dip_vae_2() -> None:
    unused = Posterior(torch.zeros(8, 5), torch.zeros(8, 5))  # the prior, for every image
    assert penalty(bare(DIPVAE1, 5, lambda_d=3.0), unused).item() == 5 * 3
    assert penalty(bare(DIPVAE2, 5, lambda_d=3.0), unused).item() == 0


@both
def test_a_single_latent_is_held_to_variance_1_and_has_no_covariances(kind: type[VAE]) -> None:
    mean = torch.tensor([[2.0], [-2.0]])
    q = Posterior(mean, torch.full((2, 1), -80.0))
    model = bare(kind, 1, lambda_od=1000.0, lambda_d=3.0)
    assert penalty(model, q).item() == pytest.approx(3 * (4 - 1) ** 2, rel=1e-5)


@pytest.mark.parametrize(("kind", "lambda_d"), [(DIPVAE1, 100.0), (DIPVAE2, 10.0)])
def test_the_defaults_are_those_of_the_sweep(kind: type[VAE], lambda_d: float) -> None:
    # disentanglement_lib's unsupervised_study_v1: lambda_d is 10 and 1 times lambda_od
    model = bare(kind, 2)
    assert (model.lambda_od, model.lambda_d) == (10.0, lambda_d)


# refusals


@both
@pytest.mark.parametrize("setting", ["lambda_od", "lambda_d"])
def test_negative_weights_are_refused_by_name(kind: type[VAE], setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        bare(kind, 2, **{setting: -1.0})


@both
def test_categories_alone_are_refused(kind: type[VAE]) -> None:
    with pytest.raises(ValueError, match="continuous=0.*at least 1"):
        bare(kind, 0, categorical=(3,))
