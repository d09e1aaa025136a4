"""InfoVAE: its objective, and the MMD against double loops and closed forms."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench.models.infovae import InfoVAE, squared_mmd
from tests.models import conftest
from tests.models.conftest import (
    SIZES,
    Array,
    D,
    assert_scalar,
    batch,
    expected_terms,
    generator,
    sampled,
)

SAMPLES = 5
small = partial(conftest.small, InfoVAE, samples=SAMPLES)


def prior_draws(continuous: int, sizes: tuple[int, ...], draws: torch.Generator) -> Array:
    """Codes of the prior, (SAMPLES, width)."""
    zeros = np.zeros((SAMPLES, continuous))
    uniform = [np.full((SAMPLES, size), 1 / size) for size in sizes]
    return sampled(zeros, zeros, uniform, draws)


def looped(x: Array, y: Array, width: float) -> float:
    """The squared MMD by its definition, pair of rows by pair of rows."""

    def mean(a: Array, b: Array) -> float:
        total = 0.0
        for row in a:
            for other_row in b:
                total += math.exp(-sum((row - other_row) ** 2) / width)
        return total / (len(a) * len(b))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def expected_kernel(
    width: float, columns: int, variance: float, shift: Array | float = 0.0
) -> float:
    """E exp(-|d|^2 / width) of a difference d ~ N(shift, variance I): a product of Gaussians."""
    length = float(np.sum(np.square(np.broadcast_to(shift, columns))))
    spread = width + 2 * variance
    return (width / spread) ** (columns / 2) * math.exp(-length / spread)


# the objective


@pytest.mark.parametrize(("alpha", "lambda_"), [(1.0, 30.0), (0.0, 1.0), (0.25, 8.0), (-0.5, 5.0)])
@pytest.mark.parametrize(
    ("continuous", "categorical"), [(3, (3, 2)), (4, ()), (0, (5,))], ids=["both", "z", "c"]
)
def test_the_objective_is_its_formula(
    alpha: float, lambda_: float, continuous: int, categorical: tuple[int, ...]
) -> None:
    latents = {"continuous": continuous, "categorical": categorical}
    model, x = small(**latents, alpha=alpha, lambda_=lambda_), batch()
    given = model.objective(x, 1, generator())

    draws, columns = generator(), continuous + sum(categorical)
    prior = prior_draws(continuous, categorical, draws)
    expected = expected_terms(model, x, draws)
    mmd = looped(expected.z, prior, columns**2)
    assert expected.kl > 0.1
    assert mmd > 0.001

    loss = expected.reconstruction + (1 - alpha) * expected.kl + (alpha + lambda_ - 1) * mmd
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["loss"], loss)
    assert_scalar(given.terms["reconstruction"], expected.reconstruction)
    assert_scalar(given.terms["mmd"], mmd)
    assert_scalar(given.terms["kl_continuous"] + given.terms["kl_categorical"], expected.kl)


def test_the_bandwidth_is_in_units_of_the_squared_number_of_columns() -> None:
    model, x = small(bandwidth=0.3), batch()
    draws = generator()
    prior = prior_draws(D, SIZES, draws)
    z = expected_terms(model, x, draws).z
    assert_scalar(model.objective(x, 1, generator()).terms["mmd"], looped(z, prior, 0.3 * 8**2))


def test_alpha_0_and_lambda_1_leave_the_vae() -> None:
    terms = small(alpha=0.0, lambda_=1.0).objective(batch(), 1, generator()).terms
    kl = terms["kl_continuous"] + terms["kl_categorical"]
    assert_scalar(terms["loss"], (terms["reconstruction"] + kl).item())


def test_a_batch_shown_twice_gives_the_same_terms() -> None:
    # The draws of the prior come before the noise, and their number does not depend on the batch; a
    # V-statistic of rows that each come twice is that of the rows. Variances of 0 leave no noise.
    model, x = small(categorical=()), batch()
    with torch.no_grad():
        model.encoder[1].weight[3:] = 0
        model.encoder[1].bias[3:] = -1500
    once = model.objective(x, 1, generator()).terms
    twice = model.objective(torch.cat([x, x]), 1, generator()).terms
    assert once["mmd"] > 0.001
    for name in once:
        assert_scalar(twice[name], once[name].item())


def test_the_draws_of_the_prior_follow_the_prior() -> None:
    model = small(continuous=2, categorical=(3,), samples=40_000)
    prior = model.draw_prior(batch(), generator())
    assert prior.shape == (40_000, 5)
    assert prior.dtype == torch.float64
    assert prior[:, :2].mean(0).abs().max() < 4 / math.sqrt(40_000)
    assert (prior[:, :2].var(0) - 1).abs().max() < 4 * math.sqrt(2 / 40_000)
    torch.testing.assert_close(prior[:, 2:].sum(-1), torch.ones(40_000, dtype=torch.float64))
    share = torch.bincount(prior[:, 2:].argmax(-1), minlength=3) / 40_000
    assert (share - 1 / 3).abs().max() < 4 * math.sqrt(2 / 9 / 40_000)


def test_the_objective_depends_only_on_its_generator() -> None:
    model, x = small(), batch()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loss = model.objective(x, 1, generator()).losses["vae"]
        torch.manual_seed(2)
        before = torch.get_rng_state()
        same_seed = model.objective(x, 1, generator()).losses["vae"]
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(loss, same_seed)
    other_seed = model.objective(x, 1, generator(4)).terms["mmd"]
    assert other_seed != model.objective(x, 1, generator()).terms["mmd"]


# the MMD


@pytest.mark.parametrize(("rows", "others", "columns"), [(1, 1, 1), (7, 4, 3), (2, 9, 5)])
@pytest.mark.parametrize("width", [0.5, 9.0])
def test_the_mmd_is_that_of_a_double_loop(
    rows: int, others: int, columns: int, width: float
) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(1, 2, (rows, columns)), rng.normal(size=(others, columns))
    given = squared_mmd(torch.from_numpy(x), torch.from_numpy(y), width)
    assert_scalar(given, looped(x, y, width))


def test_two_points_have_the_mmd_worked_out_by_hand() -> None:
    # k(x, x) + k(y, y) - 2 k(x, y) = 2 - 2 exp(-(3^2 + 4^2) / 25)
    x, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert squared_mmd(x, y, 25.0).item() == pytest.approx(2 - 2 / math.e, rel=1e-6)


def test_the_mmd_is_never_negative_and_0_between_the_same_rows() -> None:
    # Without the pairs of a row with itself it could be negative: its mean here is 0.
    rng = np.random.default_rng(4)
    for _ in range(200):
        x, y = (torch.from_numpy(rng.normal(size=(5, 2))) for _ in range(2))
        assert squared_mmd(x, y, 4.0) > 0
        assert squared_mmd(x, x.flip(0), 4.0).abs() < 1e-14


def statistics(draws: int, rows: int, mean: Array, deviation: float) -> tuple[Array, Array]:
    """V-statistics of `rows` codes N(mean, deviation^2 I) against 40 of the prior, width 4, and
    their derivatives by the deviation."""
    rng = np.random.default_rng(5)
    noise = torch.from_numpy(rng.normal(size=(draws, rows, len(mean))))
    prior = torch.from_numpy(rng.normal(size=(draws, 40, len(mean))))
    scale = torch.tensor(deviation, dtype=torch.float64, requires_grad=True)
    values, slopes = [], []
    for codes, prior_codes in zip(noise, prior, strict=True):
        value = squared_mmd(torch.from_numpy(mean) + scale * codes, prior_codes, 4.0)
        slopes.append(torch.autograd.grad(value, scale)[0].item())
        values.append(value.item())
    return np.array(values), np.array(slopes)


def assert_mean(values: Array, expected: float) -> None:
    """Within 4 standard errors, which are small compared with the expected mean."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert error < 0.05 * expected
    assert abs(values.mean() - expected) < 4 * error


def bias(rows: int, columns: int, deviation: float) -> float:
    """Of the V-statistic, where 1 / rows of all pairs are a row with itself: 1 instead of E k."""
    bias_of_codes = (1 - expected_kernel(4.0, columns, 2 * deviation**2)) / rows
    return bias_of_codes + (1 - expected_kernel(4.0, columns, 2)) / 40


@pytest.mark.parametrize(("mean", "deviation"), [((0.7, -0.4, 0.0), 0.5), ((0.0, 0.0), 2.0)])
def test_many_batches_agree_with_the_closed_form_between_gaussians(
    mean: tuple[float, ...], deviation: float
) -> None:
    centre, columns = np.array(mean), len(mean)
    closed = (
        expected_kernel(4.0, columns, 2 * deviation**2)
        + expected_kernel(4.0, columns, 2)
        - 2 * expected_kernel(4.0, columns, deviation**2 + 1, centre)
    )
    assert closed > 0.03
    values, _ = statistics(600, 20, centre, deviation)
    assert_mean(values, closed + bias(20, columns, deviation))


@pytest.mark.parametrize("rows", [5, 20, 80])
def test_codes_of_the_prior_are_at_a_distance_that_falls_with_the_batch(rows: int) -> None:
    # There is no distance but the bias: (1 - E k) / B of the codes and (1 - E k) / 40 of the draws.
    values, _ = statistics(600, rows, np.zeros(3), 1.0)
    assert_mean(values, (1 - expected_kernel(4.0, 3, 2)) * (1 / rows + 1 / 40))


def test_the_bias_pulls_codes_of_the_prior_inwards_as_far_as_the_closed_form_says() -> None:
    # The MMD itself is least at deviation 1, so its slope is 0 there; what is left is the slope of
    # -E k / B, with E k = (1 + s^2)^(-3 / 2) at width 4: 3 s (1 + s^2)^(-5 / 2) / B.
    _, slopes = statistics(1500, 5, np.zeros(3), 1.0)
    assert_mean(slopes, 3 * 2**-2.5 / 5)


def test_latents_that_are_0_are_at_the_distance_that_the_docstring_gives() -> None:
    closed = 1 + expected_kernel(100.0, 10, 2) - 2 * expected_kernel(100.0, 10, 1)
    assert f"{closed:.4f}" in (InfoVAE.__doc__ or "")
    prior = torch.from_numpy(np.random.default_rng(6).normal(size=(1_000, 10)))
    given = squared_mmd(torch.zeros(64, 10, dtype=torch.float64), prior, 100.0)
    assert given.item() == pytest.approx(closed, rel=0.05)


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(6)
    x = torch.from_numpy(rng.normal(size=(4, 3))).requires_grad_()
    y = torch.from_numpy(rng.normal(size=(5, 3)))
    assert torch.autograd.gradcheck(lambda z: squared_mmd(z, y, 9.0), (x,))


def test_gradients_of_the_objective_reach_means_variances_and_logits() -> None:
    model, x = small(lambda_=50.0), batch()
    model.objective(x, 1, generator()).terms["mmd"].backward()
    gradient = model.encoder[1].bias.grad
    assert gradient is not None
    assert (gradient != 0).all()


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_outputs_of_the_encoder_give_finite_losses_and_gradients(value: float) -> None:
    model, x = small().float(), batch().float()
    with torch.no_grad():
        model.encoder[1].weight.zero_()
        model.encoder[1].bias[:3] = value
        model.encoder[1].bias[3:6] = -30
        model.encoder[1].bias[6:] = torch.tensor([value, -value, 0, value, -value])
    model.objective(x, 1, generator()).losses["vae"].backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_float32_agrees_with_float64() -> None:
    rng = np.random.default_rng(7)
    x = torch.from_numpy(rng.normal(size=(64, 10)))
    y = torch.from_numpy(rng.normal(size=(200, 10)))
    exact = squared_mmd(x, y, 100.0).item()
    assert abs(squared_mmd(x.float(), y.float(), 100.0).item() - exact) < 1e-6
    assert exact > 1e-3


# refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"alpha": 0.0, "lambda_": 0.5}, "lambda_=0.5.*at least 1"),
        ({"lambda_": -1.0}, "lambda_=-1.0"),
        ({"samples": 0}, "samples=0"),
        ({"bandwidth": 0.0}, "bandwidth=0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)


# a deterministic encoder


def test_a_deterministic_encoder_gives_codes_without_noise_or_kl() -> None:
    settings = {"deterministic": True, "lambda_": 30.0, "categorical": ()}
    model, x = small(**settings), batch()
    given = model.objective(x, 1, generator())

    codes = conftest.linear(model.encoder[1], x.numpy().reshape(len(x), -1))
    assert codes.shape == (len(x), D)
    posterior = model.encode(x)
    assert posterior.logvar is None
    np.testing.assert_allclose(posterior.mean.detach().numpy(), codes)
    mmd = looped(codes, prior_draws(D, (), generator()), D**2)
    reconstruction = conftest.cross_entropy(model, x, codes)
    assert_scalar(given.terms["reconstruction"], reconstruction)
    assert_scalar(given.terms["mmd"], mmd)
    assert_scalar(given.losses["vae"], reconstruction + 30 * mmd)
    assert given.terms.keys() == {"loss", "reconstruction", "mmd"}


def test_by_default_the_encoder_is_gaussian() -> None:
    assert small(categorical=()).encode(batch()).logvar is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": 0.0}, "alpha=0.0: a deterministic encoder has no KL: set alpha=1"),
        ({"alpha": 0.999}, "alpha=0.999"),
        ({"categorical": (3,)}, r"categorical=\(3,\): .*set categorical=\(\)"),
    ],
)
def test_what_a_deterministic_encoder_cannot_have_is_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        InfoVAE(deterministic=True, **settings)
