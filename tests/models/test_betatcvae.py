"""beta-TCVAE: its estimators of q(z), its decomposition of the KL, its objective."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from bench.models import VAE, Posterior
from bench.models.betatcvae import ESTIMATORS, BetaTCVAE, log_aggregate, log_weights
from tests.models import conftest
from tests.models.conftest import (
    BATCH,
    SIZES,
    Array,
    D,
    batch,
    cross_entropy,
    encoded,
    generator,
    objective,
    random_posterior,
    sampled,
    small,
    softmax,
)

L = D + len(SIZES)
bare = partial(conftest.bare, BetaTCVAE)
both = pytest.mark.parametrize("estimator", ESTIMATORS)


def loss(model: VAE, x: Tensor) -> Tensor:
    return objective(model, x).losses["vae"]


def weights(estimator: str, size: int, rows: int) -> Array:
    """The published weights of row m for the code of row i: N rows, M = B - 1."""
    if estimator == "mws":
        return np.full((size, size), 1 / (rows * size))
    N, M = rows, size - 1
    w = np.full((size, size), 1 / M)
    for i in range(size):
        w[i, i] = 1 / N
        w[i, (i + 1) % size] = (N - M) / (N * M)
    return w


def densities(q: Posterior, z: Array) -> Array:
    """q(z_l | x_m) of each code i, row m and latent l, worked out one by one."""
    continuous = q.mean.shape[1]
    out = np.empty((len(z), len(z), continuous + len(q.logits)))
    for i, m in itertools.product(range(len(z)), repeat=2):
        for d in range(continuous):
            out[i, m, d] = norm.pdf(z[i, d], q.mean[m, d], math.exp(q.logvar[m, d] / 2))
        start = continuous
        for c, logits in enumerate(q.logits):
            p = softmax(logits[m].numpy())
            out[i, m, continuous + c] = sum(z[i, start + k] * p[k] for k in range(len(p)))
            start += len(p)
    return out


# the objective


@both
@pytest.mark.parametrize(
    ("alpha", "beta", "gamma"), [(1, 6, 1), (0, 6, 1), (2, 0.5, 3), (1, 0, 0), (0, 0, 0)]
)
def test_the_loss_weights_the_three_parts_of_the_kl(
    alpha: float, beta: float, gamma: float, estimator: str
) -> None:
    settings = {"alpha": alpha, "beta": beta, "gamma": gamma, "estimator": estimator, "rows": 50}
    model, x = small(BetaTCVAE, **settings), batch()
    given = loss(model, x)

    mean, logvar, probabilities = encoded(model, x)
    z = sampled(mean, logvar, probabilities, generator())
    reconstruction = cross_entropy(model, x, z)
    q = Posterior(
        torch.from_numpy(mean),
        torch.from_numpy(logvar),
        tuple(torch.from_numpy(np.log(p)) for p in probabilities),
    )
    density = densities(q, z)
    w = weights(estimator, BATCH, 50)
    joint = np.log(np.sum(w * density.prod(2), 1))
    marginals = np.log(np.einsum("im,iml->il", w, density)).sum(1)
    variance = np.exp(logvar)
    entropy = np.sum(np.log(2 * np.pi * np.e * variance)) / 2 / BATCH
    entropy -= sum(np.sum(p * np.log(p)) for p in probabilities) / BATCH
    prior = np.sum(np.log(2 * np.pi) + mean**2 + variance) / 2 / BATCH
    prior += math.log(3) + math.log(2)
    information = -entropy - joint.mean()
    total_correlation = np.mean(joint - marginals)
    dimension_wise = marginals.mean() + prior
    assert min(abs(information), abs(total_correlation), abs(dimension_wise)) > 0.1
    expected = reconstruction + alpha * information + beta * total_correlation
    assert given.shape == ()
    assert given.item() == pytest.approx(expected + gamma * dimension_wise, rel=1e-12)


@both
def test_weights_of_one_make_it_a_vae(estimator: str) -> None:
    model = small(BetaTCVAE, alpha=1, beta=1, gamma=1, estimator=estimator)
    assert loss(model, batch()).item() == pytest.approx(loss(small(VAE), batch()).item(), rel=1e-12)


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(1, 6, 1), (0.5, 3, 2)])
def test_the_number_of_rows_moves_the_weighted_loss_by_a_constant(
    alpha: float, beta: float, gamma: float
) -> None:
    few = small(BetaTCVAE, alpha=alpha, beta=beta, gamma=gamma, rows=10)
    many = small(BetaTCVAE, alpha=alpha, beta=beta, gamma=gamma, rows=1000)
    losses = [loss(model, batch()) for model in (few, many)]
    constant = (alpha + beta * (L - 1) - gamma * L) * math.log(100)
    assert (losses[1] - losses[0]).item() == pytest.approx(constant, rel=1e-9)
    gradients = [
        torch.autograd.grad(value, list(model.parameters()))
        for value, model in zip(losses, (few, many), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def posterior(rows: int = BATCH, dtype: torch.dtype = torch.float64) -> tuple[Posterior, Tensor]:
    """A posterior with both kinds of latents, and a code of each row."""
    q = random_posterior(rows)
    z = q.sample(generator(6))
    return Posterior(q.mean.to(dtype), q.logvar.to(dtype), tuple(k.to(dtype) for k in q.logits)), z


@both
def test_gradients_are_those_of_finite_differences(estimator: str) -> None:
    model = bare(D, SIZES, alpha=0.5, beta=3.0, gamma=2.0, estimator=estimator, rows=50)
    q, z = posterior()

    def regularizer(z: Tensor, mean: Tensor, logvar: Tensor, *logits: Tensor) -> Tensor:
        return model.regularizer(Posterior(mean, logvar, logits), z, 1)

    leaves = [k.clone().requires_grad_() for k in (z, q.mean, q.logvar, *q.logits)]
    assert torch.autograd.gradcheck(regularizer, leaves)


@both
def test_float32_agrees_with_float64(estimator: str) -> None:
    model = bare(D, SIZES, alpha=0.5, gamma=2.0, estimator=estimator)
    (q, z), (narrow, _) = posterior(64), posterior(64, torch.float32)
    expected = model.regularizer(q, z, 1)
    given = model.regularizer(narrow, z.float(), 1)
    assert given.dtype == torch.float32
    assert given.item() == pytest.approx(expected.item(), rel=1e-5)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-1500.0, -30.0, 30.0])
def test_extreme_posteriors_have_finite_losses_and_gradients(
    logvar: float, dtype: torch.dtype, estimator: str
) -> None:
    model = bare(2, (3,), alpha=0.5, gamma=2.0, estimator=estimator)
    leaves = [
        torch.tensor([[0.0, 300.0], [-300.0, 1.0], [0.0, 300.0]], dtype=dtype),
        torch.tensor([[logvar, 0.0], [logvar, logvar], [0.0, logvar]], dtype=dtype),
        torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 1e4]], dtype=dtype),
    ]
    mean, spread, logits = (leaf.requires_grad_() for leaf in leaves)
    q = Posterior(mean, spread, (logits,))
    penalty = model.regularizer(q, q.sample(generator(0)), 1)
    assert penalty.isfinite()
    for gradient in torch.autograd.grad(penalty, leaves):
        assert gradient.isfinite().all()


def test_a_batch_shown_twice_has_the_same_weighted_estimates() -> None:
    model = bare(D, SIZES)
    q, z = posterior()
    twice = Posterior(
        q.mean.repeat(2, 1), q.logvar.repeat(2, 1), tuple(k.repeat(2, 1) for k in q.logits)
    )
    once, again = model.estimates(q, z), model.estimates(twice, z.repeat(2, 1))
    assert torch.stack(again).tolist() == pytest.approx(torch.stack(once).tolist(), rel=1e-12)


# the estimators, over all batches of a data set of N rows


N = 5


def rows_of_a_data_set() -> tuple[Posterior, Tensor, Array, Array]:
    """Its posterior, the codes z, and q(z) and each q(z_l) at them, under all rows and the own one.

    The densities are (N, 4). There are two continuous latents and a categorical one, whose codes
    are one-hot.
    """
    g = np.random.default_rng(3)
    q = Posterior(
        torch.from_numpy(g.normal(size=(N, 2))),
        torch.from_numpy(g.normal(-1, 0.5, size=(N, 2))),
        (torch.from_numpy(g.normal(size=(N, 3))),),
    )
    z = torch.from_numpy(
        np.concatenate([g.normal(size=(N, 2)), np.eye(3)[g.integers(3, size=N)]], 1)
    )
    density = densities(q, z.numpy())
    truth = np.concatenate([density.prod(2, keepdims=True), density], 2)  # q(z), then each q(z_l)
    return q, z, truth.mean(1), truth[range(N), range(N)]


def mean_estimates(estimator: str, size: int, batches: list[tuple[int, ...]]) -> Array:
    """Mean estimates of q(z) and each q(z_l) at the code of row n in position i, (i, n, 4)."""
    q, z, _, _ = rows_of_a_data_set()
    sums, counts = np.zeros((size, N, 4)), np.zeros((size, N, 1))
    for chosen in batches:
        rows = list(chosen)
        part = Posterior(q.mean[rows], q.logvar[rows], (q.logits[0][rows],))
        joint, marginals = log_aggregate(part, z[rows], estimator, N)
        sums[range(size), rows] += torch.cat([joint[:, None], marginals], 1).exp().numpy()
        counts[range(size), rows] += 1
    return sums / counts


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_stratified_estimates_are_unbiased_over_all_batches_without_replacement(size: int) -> None:
    # 20 to 120 batches. The own row's weight in a column, or a weight per latent, would fail here.
    given = mean_estimates("mss", size, list(itertools.permutations(range(N), size)))
    _, _, aggregate, own = rows_of_a_data_set()
    assert (np.abs(own / aggregate - 1).max(0) > 0.5).all()  # other weights would show
    np.testing.assert_allclose(given, np.broadcast_to(aggregate, given.shape), rtol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_stratified_estimates_count_the_own_row_once_too_often_with_replacement(
    size: int,
) -> None:
    # Then the other rows may be the own one too: q(z | x) / N + (1 - 1 / N) q(z).
    given = mean_estimates("mss", size, list(itertools.product(range(N), repeat=size)))
    _, _, aggregate, own = rows_of_a_data_set()
    expected = own / N + (1 - 1 / N) * aggregate
    assert (expected < 2 * aggregate).all()
    np.testing.assert_allclose(given, np.broadcast_to(expected, given.shape), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_weighted_estimates_are_low_over_all_batches(size: int) -> None:
    # The batch holds the own row for certain, and counts as one of N such batches.
    given = mean_estimates("mws", size, list(itertools.product(range(N), repeat=size)))
    _, _, aggregate, own = rows_of_a_data_set()
    expected = (own + (size - 1) * aggregate) / (N * size)
    assert (expected < aggregate).all()
    np.testing.assert_allclose(given, np.broadcast_to(expected, given.shape), rtol=1e-12)


@pytest.mark.parametrize(("size", "rows"), [(2, 2), (4, 10), (6, 6), (64, 737_280)])
@both
def test_the_weights_are_the_published_ones(size: int, rows: int, estimator: str) -> None:
    given = log_weights(estimator, rows, torch.zeros(size, 1, dtype=torch.float64)).exp().numpy()
    np.testing.assert_allclose(given, weights(estimator, size, rows), rtol=1e-9)
    np.testing.assert_allclose(given.sum(1), 1 if estimator == "mss" else 1 / rows, rtol=1e-12)


# total correlations with a closed form


def test_two_categories_that_agree_have_the_total_correlation_of_one() -> None:
    # Three rows are the whole data set, so rows=1 gives the aggregate posterior itself: uniform
    # over three codes, and each latent of it uniform over three categories, as the prior is.
    logits = 1e4 * torch.eye(3, dtype=torch.float64)
    q = Posterior(torch.zeros(3, 0).double(), torch.zeros(3, 0).double(), (logits, logits))
    model = bare(0, (3, 3), rows=1)
    total_correlation, dimension_wise = model.estimates(q, q.mode())
    assert total_correlation.item() == pytest.approx(math.log(3), rel=1e-12)
    assert dimension_wise.item() == pytest.approx(0, abs=1e-12)
    kl = q.kl_categorical().sum().item()
    assert kl == pytest.approx(2 * math.log(3))  # ln 3 left for the mutual information


def test_a_category_that_follows_from_a_gaussian_has_a_total_correlation_with_it() -> None:
    mean = torch.tensor([[-9.0], [9.0]], dtype=torch.float64)
    q = Posterior(mean, torch.zeros_like(mean), (1e4 * torch.eye(2, dtype=torch.float64),))
    total_correlation, _ = bare(1, (2,), rows=1).estimates(q, q.mode())
    assert total_correlation.item() == pytest.approx(math.log(2), rel=1e-12)


@both
@pytest.mark.parametrize("latents", [(1, ()), (0, (3,))])
def test_a_single_latent_has_no_total_correlation(
    latents: tuple[int, tuple[int, ...]], estimator: str
) -> None:
    q = random_posterior(8, *latents)
    z = q.sample(generator(6))
    total_correlation, _ = bare(*latents, estimator=estimator).estimates(q, z)
    assert total_correlation.item() == pytest.approx(0, abs=1e-12)


def test_rows_that_never_overlap_have_the_information_of_the_data_set() -> None:
    # Only the own row, of weight 1 / rows, is seen: ln(rows) nats of mutual information, the most
    # that `mss` can see, and as much in each latent, so (L - 1) ln(rows) of total correlation.
    # At one standard deviation a log-density is at its mean, so that this is free of noise.
    mean = 50.0 * torch.arange(8, dtype=torch.float64)[:, None].repeat(1, 4)
    q = Posterior(mean, torch.full_like(mean, -4.0))
    model = bare(4, estimator="mss", rows=1000)
    total_correlation, dimension_wise = model.estimates(q, q.mean + math.exp(-2))
    assert total_correlation.item() == pytest.approx(3 * math.log(1000), rel=1e-9)
    information = q.kl_continuous().sum() - total_correlation - dimension_wise
    assert information.item() == pytest.approx(math.log(1000), rel=1e-6)


RHO, NOISE = 0.8, 0.1


def gaussian_errors(estimator: str, size: int, batches: int) -> tuple[Array, Array]:
    """For each batch, log q(z) / q(z_1) q(z_2) and the error of its estimate, at the same codes.

    Means are N(0, C - NOISE), codes N(0, C), where C has variances of 1 and correlation RHO. As the
    data set is infinite, `mss` gives the own row no weight, and `mws` has an arbitrary constant.

    Returns:
        The errors, then the exact values.
    """
    g = generator(size)
    root = torch.linalg.cholesky(
        torch.tensor([[1 - NOISE, RHO], [RHO, 1 - NOISE]], dtype=torch.float64)
    )
    rows = 10**12 if estimator == "mss" else 1
    model = bare(2, estimator=estimator, rows=rows)
    errors, exact = [], []
    for _ in range(batches):
        mean = torch.randn(size, 2, generator=g, dtype=torch.float64) @ root.T
        q = Posterior(mean, torch.full_like(mean, math.log(NOISE)))
        z = q.sample(g)
        x, y = z.numpy().T
        ratio = -math.log(1 - RHO**2) / 2 + (x**2 + y**2) / 2
        ratio -= (x**2 - 2 * RHO * x * y + y**2) / (2 * (1 - RHO**2))
        errors.append(model.estimates(q, z)[0].item() - ratio.mean())
        exact.append(ratio.mean())
    return np.array(errors), np.array(exact)


@pytest.mark.parametrize(("estimator", "sign"), [("mws", 1), ("mss", -1)])
def test_the_total_correlation_of_a_gaussian_is_approached_from_one_side(
    estimator: str, sign: int
) -> None:
    # -ln(1 - rho^2) / 2 = 0.511 nats. `mws` counts the own row, near which the code lies, so that
    # both log q(z) and log q(z_l) are too high, the former more. `mss` does not, but the mean of a
    # logarithm is below the logarithm of the mean: both are too low, the former more.
    closed_form = -math.log(1 - RHO**2) / 2
    bias, noise = [], []
    for size, batches in ((16, 400), (64, 200), (512, 30)):
        errors, exact = gaussian_errors(estimator, size, batches)
        # the estimate minus the error is a plain Monte Carlo mean of the closed form
        assert abs(exact.mean() - closed_form) < 4 * exact.std() / math.sqrt(batches)
        bias.append(sign * errors.mean())
        noise.append(errors.std() / math.sqrt(batches))
    assert bias[0] > 5 * noise[0]
    assert bias[1] > 5 * noise[1]
    assert bias[0] - bias[1] > 3 * math.hypot(noise[0], noise[1])
    assert bias[1] > abs(bias[2])
    assert abs(bias[2]) < 0.02 * closed_form


@pytest.mark.parametrize(("estimator", "sign"), [("mws", 1), ("mss", -1)])
def test_the_bias_is_that_of_the_second_order(estimator: str, sign: int) -> None:
    # With r = q(z | x) / q(z) of variance V over x, the own row adds E[r] - 1 = V to the B terms
    # of `mws`, and the logarithm loses half the variance of their mean: V / B - V / 2 B. `mss` has
    # only the latter, -V / 2 (B - 1). For categories, whose r is bounded, that holds early.
    size, batches = 100, 400
    kinds = 0.3 / 9 + 0.7 / 3 * np.eye(3)  # of images, which the two latents should tell
    p = np.full((3, 3), 0.04) + 0.88 * np.eye(3)  # q(c | x) of each of the two latents
    q = np.einsum("ab,ac,bd->cd", kinds, p, p)
    q1, q2 = q.sum(1), q.sum(0)
    V = np.einsum("ab,ac,bd->cd", kinds, p**2, p**2) / q**2 - 1
    V1, V2 = kinds.sum(1) @ p**2 / q1**2 - 1, kinds.sum(0) @ p**2 / q2**2 - 1
    excess = np.sum(q * V) - q1 @ V1 - q2 @ V2
    assert excess > 0.5

    rng = np.random.default_rng(0)
    model = bare(0, (3, 3), estimator=estimator, rows=10**12 if estimator == "mss" else 1)
    empty = torch.zeros(size, 0, dtype=torch.float64)
    errors = []
    for _ in range(batches):
        a, b = np.divmod(rng.choice(9, size=size, p=kinds.ravel()), 3)
        c, d = (np.array([rng.choice(3, p=p[k]) for k in column]) for column in (a, b))
        z = torch.from_numpy(np.concatenate([np.eye(3)[c], np.eye(3)[d]], 1))
        logits = tuple(torch.from_numpy(np.log(p[k])) for k in (a, b))
        given = model.estimates(Posterior(empty, empty, logits), z)[0].item()
        errors.append(given - np.log(q / np.outer(q1, q2))[c, d].mean())
    expected = sign * excess / (2 * (size if estimator == "mws" else size - 1))
    noise = np.std(errors) / math.sqrt(batches)
    assert abs(expected) > 5 * noise
    assert abs(np.mean(errors) - expected) < 4 * noise


@pytest.mark.parametrize("rows", [64, 256])
def test_information_beyond_ln_b_of_independent_latents_counts_as_total_correlation(
    rows: int,
) -> None:
    """Ten independent latents of N(0, 1) tell 2.3 nats each and have no total correlation."""
    latents, deviation = 10, 0.1
    model = bare(latents, rows=1)
    draws = generator(0)
    mean = torch.randn(rows, latents, generator=draws, dtype=torch.float64)
    logvar = torch.full_like(mean, 2 * math.log(deviation))
    posterior = Posterior(mean * math.sqrt(1 - deviation**2), logvar)
    z = posterior.sample(draws)
    joint, marginals = log_aggregate(posterior, z, "mws", 1)
    own = norm.logpdf(z.numpy(), posterior.mean.numpy(), deviation).sum(1)
    seen = (own - joint.numpy()).max()  # log q(z | x) / q(z), whose mean is the information
    assert seen == pytest.approx(math.log(rows), abs=0.01)
    assert seen < 0.5 * latents * -math.log(deviation)
    total_correlation, _ = model.estimates(posterior, z)
    assert total_correlation == pytest.approx((joint - marginals.sum(1)).mean().item())
    assert total_correlation > 2 * math.log(rows)


# refusals


@pytest.mark.parametrize("setting", ["alpha", "beta", "gamma", "rows", "estimator"])
def test_settings_that_make_no_sense_are_refused_by_name(setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        bare(2, **{setting: "mwss" if setting == "estimator" else -1})


@pytest.mark.parametrize(("size", "rows"), [(1, 100), (8, 7)])
def test_a_batch_that_cannot_be_stratified_is_refused(size: int, rows: int) -> None:
    q = Posterior(torch.zeros(size, 2), torch.zeros(size, 2))
    with pytest.raises(ValueError, match=f"batch_size from 2 to rows={rows}, not {size}"):
        bare(2, estimator="mss", rows=rows).regularizer(q, q.mean, 1)


def test_a_deterministic_code_is_refused() -> None:
    with pytest.raises(ValueError, match="deterministic"):
        bare(2).estimates(Posterior(torch.zeros(3, 2), None), torch.zeros(3, 2))
