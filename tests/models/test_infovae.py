"""InfoVAE: its objective, and the MMD against double loops and closed forms."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.models.infovae import InfoVAE, squared_mmd

SHAPE = (2, 3, 4)
BATCH, SEED, TEMPERATURE = 6, 11, 0.67
Array = np.ndarray


def generator(seed: int = SEED) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(continuous: int = 3, categorical: tuple[int, ...] = (3, 2), **settings: Any) -> InfoVAE:
    """Linear networks in float64, with weights that keep every term far from 0."""
    model = InfoVAE(
        image_shape=SHAPE,
        continuous=continuous,
        categorical=categorical,
        network="mlp1200",
        **{"samples": 5, **settings},
    )
    pixels = math.prod(SHAPE)
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, model.latents.parameters))
    model.decoder = nn.Sequential(nn.Linear(model.latents.width, pixels), nn.Unflatten(1, SHAPE))
    weights = generator(1)
    for parameter in model.double().parameters():
        nn.init.normal_(parameter, std=0.5, generator=weights)
    return model


def batch(rows: int = BATCH) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((rows, *SHAPE)))


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def drawn(
    parameters: Array, continuous: int, sizes: tuple[int, ...], source: torch.Generator
) -> Array:
    """Codes of rows of means, log-variances and logits: normal draws, then exponential ones."""
    rows = len(parameters)
    mean, logvar = parameters[:, :continuous], parameters[:, continuous : 2 * continuous]
    noise = torch.empty(rows, continuous, dtype=torch.float64).normal_(generator=source)
    blocks, start = [mean + np.exp(logvar / 2) * noise.numpy()], 2 * continuous
    for size in sizes:
        q = softmax(parameters[:, start : start + size])
        wait = torch.empty(rows, size, dtype=torch.float64).exponential_(generator=source)
        blocks.append(softmax((np.log(q) - np.log(wait.numpy())) / TEMPERATURE))
        start += size
    return np.concatenate(blocks, 1)


def looped(x: Array, y: Array, width: float) -> float:
    """The squared MMD by its definition, one pair of rows after the other."""

    def mean(a: Array, b: Array) -> float:
        total = 0.0
        for one in a:
            for other in b:
                total += math.exp(-sum((one - other) ** 2) / width)
        return total / (len(a) * len(b))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def expected(width: float, columns: int, variance: float, shift: Array | float = 0.0) -> float:
    """E exp(-|d|^2 / width) of a difference d ~ N(shift, variance I): a product of Gaussians."""
    length = float(np.sum(np.square(np.broadcast_to(shift, columns))))
    spread = width + 2 * variance
    return (width / spread) ** (columns / 2) * math.exp(-length / spread)


def equal(given: Tensor, known: float) -> None:
    assert given.shape == ()
    assert given.item() == pytest.approx(known, rel=1e-12, abs=1e-12)


# the objective


@pytest.mark.parametrize(("alpha", "lambda_"), [(1.0, 30.0), (0.0, 1.0), (0.25, 8.0), (-0.5, 5.0)])
@pytest.mark.parametrize(
    ("continuous", "categorical"), [(3, (3, 2)), (4, ()), (0, (5,))], ids=["both", "z", "c"]
)
def test_the_objective_is_its_formula(
    alpha: float, lambda_: float, continuous: int, categorical: tuple[int, ...]
) -> None:
    model, x = small(continuous, categorical, alpha=alpha, lambda_=lambda_), batch()
    given = model.objective(x, 1, generator())

    source, columns = generator(), continuous + sum(categorical)
    flat = np.zeros((5, 2 * continuous + sum(categorical)))
    prior = drawn(flat, continuous, categorical, source)
    parameters = model.encoder(x).detach().numpy()
    z = drawn(parameters, continuous, categorical, source)
    p = 1 / (1 + np.exp(-model.decoder(torch.from_numpy(z)).detach().numpy()))
    pixels = x.numpy()
    reconstruction = -np.sum(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)) / BATCH
    mean, logvar = np.split(parameters[:, : 2 * continuous], 2, 1)
    kl = np.sum((np.exp(logvar) + mean**2 - 1 - logvar) / 2) / BATCH
    start = 2 * continuous
    for size in categorical:
        q = softmax(parameters[:, start : start + size])
        kl += np.sum(q * np.log(q * size)) / BATCH
        start += size
    mmd = looped(z, prior, columns**2)
    assert kl > 0.1
    assert mmd > 0.001

    loss = reconstruction + (1 - alpha) * kl + (alpha + lambda_ - 1) * mmd
    equal(given.losses["vae"], loss)
    equal(given.terms["loss"], loss)
    equal(given.terms["reconstruction"], reconstruction)
    equal(given.terms["mmd"], mmd)
    equal(given.terms["kl_continuous"] + given.terms["kl_categorical"], kl)


def test_bandwidth_is_in_squares_of_the_columns_of_a_code() -> None:
    model, x = small(bandwidth=0.3), batch()
    source = generator()
    prior = drawn(np.zeros((5, 11)), 3, (3, 2), source)
    z = drawn(model.encoder(x).detach().numpy(), 3, (3, 2), source)
    equal(model.objective(x, 1, generator()).terms["mmd"], looped(z, prior, 0.3 * 8**2))


def test_alpha_0_and_lambda_1_leave_the_vae() -> None:
    terms = small(alpha=0.0, lambda_=1.0).objective(batch(), 1, generator()).terms
    kl = terms["kl_continuous"] + terms["kl_categorical"]
    equal(terms["loss"], (terms["reconstruction"] + kl).item())


def test_a_batch_shown_twice_gives_the_same_terms() -> None:
    # The draws of the prior come before the noise and are as many for any batch; a V-statistic
    # of rows that each come twice is that of the rows. Variances of 0 leave no noise.
    model, x = small(categorical=()), batch()
    with torch.no_grad():
        model.encoder[1].weight[3:] = 0
        model.encoder[1].bias[3:] = -1500
    once = model.objective(x, 1, generator()).terms
    twice = model.objective(torch.cat([x, x]), 1, generator()).terms
    assert once["mmd"] > 0.001
    for name in once:
        equal(twice[name], once[name].item())


def test_the_draws_of_the_prior_are_the_priors() -> None:
    model = small(2, (3,), samples=40_000)
    prior = model.draw_prior(batch(), generator())
    assert prior.shape == (40_000, 5)
    assert prior.dtype == torch.float64
    assert prior[:, :2].mean(0).abs().max() < 4 / math.sqrt(40_000)
    assert (prior[:, :2].var(0) - 1).abs().max() < 4 * math.sqrt(2 / 40_000)
    torch.testing.assert_close(prior[:, 2:].sum(-1), torch.ones(40_000, dtype=torch.float64))
    share = torch.bincount(prior[:, 2:].argmax(-1), minlength=3) / 40_000
    assert (share - 1 / 3).abs().max() < 4 * math.sqrt(2 / 9 / 40_000)


def test_the_objective_hangs_on_its_generator_alone() -> None:
    model, x = small(), batch()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = model.objective(x, 1, generator()).losses["vae"]
        torch.manual_seed(2)
        before = torch.get_rng_state()
        two = model.objective(x, 1, generator()).losses["vae"]
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    other = model.objective(x, 1, generator(4)).terms["mmd"]
    assert other != model.objective(x, 1, generator()).terms["mmd"]


# the MMD


@pytest.mark.parametrize(("rows", "others", "columns"), [(1, 1, 1), (7, 4, 3), (2, 9, 5)])
@pytest.mark.parametrize("width", [0.5, 9.0])
def test_the_mmd_is_that_of_a_double_loop(
    rows: int, others: int, columns: int, width: float
) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(1, 2, (rows, columns)), rng.normal(size=(others, columns))
    given = squared_mmd(torch.from_numpy(x), torch.from_numpy(y), width)
    equal(given, looped(x, y, width))


def test_two_points_have_the_mmd_known_by_hand() -> None:
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
    for one, other in zip(noise, prior, strict=True):
        value = squared_mmd(torch.from_numpy(mean) + scale * one, other, 4.0)
        slopes.append(torch.autograd.grad(value, scale)[0].item())
        values.append(value.item())
    return np.array(values), np.array(slopes)


def agrees(values: Array, known: float) -> None:
    """Within 4 standard errors, which are small against what is known."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert error < 0.05 * known
    assert abs(values.mean() - known) < 4 * error


def bias(rows: int, columns: int, deviation: float) -> float:
    """Of the V-statistic: each row paired with itself counts 1 instead of E k, 1 / rows of all."""
    of_codes = (1 - expected(4.0, columns, 2 * deviation**2)) / rows
    return of_codes + (1 - expected(4.0, columns, 2)) / 40


@pytest.mark.parametrize(("mean", "deviation"), [((0.7, -0.4, 0.0), 0.5), ((0.0, 0.0), 2.0)])
def test_many_batches_agree_with_the_closed_form_between_gaussians(
    mean: tuple[float, ...], deviation: float
) -> None:
    centre, columns = np.array(mean), len(mean)
    closed = (
        expected(4.0, columns, 2 * deviation**2)
        + expected(4.0, columns, 2)
        - 2 * expected(4.0, columns, deviation**2 + 1, centre)
    )
    assert closed > 0.03
    values, _ = statistics(600, 20, centre, deviation)
    agrees(values, closed + bias(20, columns, deviation))


@pytest.mark.parametrize("rows", [5, 20, 80])
def test_codes_of_the_prior_are_at_a_distance_that_falls_with_the_batch(rows: int) -> None:
    # No distance but the bias: (1 - E k) / B from the codes, and as much / 40 from the draws.
    values, _ = statistics(600, rows, np.zeros(3), 1.0)
    agrees(values, (1 - expected(4.0, 3, 2)) * (1 / rows + 1 / 40))


def test_the_bias_pulls_codes_of_the_prior_inwards_as_far_as_the_closed_form_says() -> None:
    # The MMD itself is least at deviation 1, so that its slope is 0 there; what is left is that
    # of -E k / B, with E k = (1 + s^2)^(-3 / 2) at width 4: 3 s (1 + s^2)^(-5 / 2) / B.
    _, slopes = statistics(1500, 5, np.zeros(3), 1.0)
    agrees(slopes, 3 * 2**-2.5 / 5)


def test_latents_that_are_0_are_at_the_distance_that_the_docstring_gives() -> None:
    closed = 1 + expected(100.0, 10, 2) - 2 * expected(100.0, 10, 1)
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
    ("settings", "said"),
    [
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"alpha": 0.0, "lambda_": 0.5}, "lambda_=0.5.*at least 1"),
        ({"lambda_": -1.0}, "lambda_=-1.0"),
        ({"samples": 0}, "samples=0"),
        ({"bandwidth": 0.0}, "bandwidth=0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        small(**settings)
