"""Ada-GVAE and Ada-ML-VAE: which latents a pair shares, what becomes of them, and the loss."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from bench.models import BetaVAE, Posterior
from bench.models.adavae import (
    AdaGVAE,
    AdaMLVAE,
    divergence,
    mean_of_both,
    merge_shared,
    product_of_both,
    shared_latents,
)
from tests.models.conftest import (
    SIZES,
    D,
    batch,
    categorical_kl,
    cross_entropy,
    encoded,
    gaussian_kl,
    generator,
    objective,
    random_posterior,
    sampled,
    small,
)

BATCH = 8
Kind = type[AdaGVAE] | type[AdaMLVAE]
both_kinds = pytest.mark.parametrize("kind", [AdaGVAE, AdaMLVAE])


def posterior(rows: int = 6, seed: int = 5) -> Posterior:
    return random_posterior(rows, scale=1.5, seed=seed)


def expected_terms(
    model: Any, x: Tensor, average: str, power: float = 0.5, symmetric: bool = False
) -> dict[str, float]:
    """The formulas in numpy, pair by pair and latent by latent."""
    half = len(x) // 2
    mean, logvar, q = encoded(model, x)
    variance = np.exp(logvar)

    def distance(i: int, j: int) -> list[float]:
        gaussian = [
            math.log(math.sqrt(variance[j, d] / variance[i, d]))
            + (variance[i, d] + (mean[i, d] - mean[j, d]) ** 2) / (2 * variance[j, d])
            - 0.5
            for d in range(D)
        ]
        return gaussian + [float(np.sum(p[i] * np.log(p[i] / p[j]))) for p in q]

    number = 0
    for i in range(half):
        j = i + half
        distances = distance(i, j)
        if symmetric:
            distances = [(a + b) / 2 for a, b in zip(distances, distance(j, i), strict=True)]
        shared = [value < (min(distances) + max(distances)) / 2 for value in distances]
        number += sum(shared)
        for d in np.flatnonzero(shared[:D]):
            m, v = mean[[i, j], d], variance[[i, j], d]
            if average == "mean":
                m, v = m.mean(), v.mean()
            else:
                m, v = (m / v).sum() / (1 / v).sum(), 1 / (power * (1 / v).sum())
            mean[[i, j], d], variance[[i, j], d] = m, v
        for c in np.flatnonzero(shared[D:]):
            p = q[c][[i, j]]
            merged = p.mean(0) if average == "mean" else p.prod(0) ** power
            q[c][[i, j]] = merged / merged.sum()

    z = sampled(mean, np.log(variance), q, generator())
    return {
        "reconstruction": cross_entropy(model, x, z),
        "kl_continuous": gaussian_kl(mean, np.log(variance)),
        "kl_categorical": categorical_kl(q),
        "shared_latents": number / half,
    }


@pytest.mark.parametrize(
    ("kind", "average", "settings"),
    [
        (AdaGVAE, "mean", {}),
        (AdaGVAE, "mean", {"symmetric": True, "beta": 4.0}),
        (AdaMLVAE, "product", {}),
        (AdaMLVAE, "product", {"power": 1.0, "beta": 0.0}),
        (AdaMLVAE, "product", {"symmetric": True, "beta": 2.5}),
    ],
)
def test_the_loss_is_that_of_betavae_over_both_images_with_shared_latents_merged(
    kind: Kind, average: str, settings: dict[str, Any]
) -> None:
    model, x = small(kind, **settings), batch(BATCH)
    given = objective(model, x)
    beta = settings.get("beta", 1.0)
    rest = {key: value for key, value in settings.items() if key != "beta"}
    expected = expected_terms(model, x, average, **rest)
    kl = expected["kl_continuous"] + expected["kl_categorical"]
    expected["loss"] = expected["reconstruction"] + beta * kl
    assert set(given.losses) == {"vae"}
    assert set(given.terms) == set(expected)
    assert given.losses["vae"].item() == pytest.approx(expected["loss"], rel=1e-12)
    for name, value in expected.items():
        assert given.terms[name].shape == ()
        assert given.terms[name].item() == pytest.approx(value, rel=1e-12), name
    assert 1 < expected["shared_latents"] < 4.5


def test_the_direction_of_the_divergence_matters_to_the_fixture() -> None:
    """So that the test above can tell KL(first || second) from the others."""
    model, x = small(AdaGVAE), batch(BATCH)
    swapped = torch.cat([x[BATCH // 2 :], x[: BATCH // 2]])
    first, second = (expected_terms(model, k, "mean")["kl_continuous"] for k in (x, swapped))
    middle = expected_terms(model, x, "mean", symmetric=True)["kl_continuous"]
    assert len({round(first, 9), round(second, 9), round(middle, 9)}) == 3


def test_symmetric_shares_the_same_latents_whichever_image_comes_first() -> None:
    first, second = posterior(200, 5), posterior(200, 6)
    assert torch.equal(shared_latents(first, second, True), shared_latents(second, first, True))
    assert not torch.equal(shared_latents(first, second), shared_latents(second, first))


def test_the_divergence_is_that_of_torch_distributions() -> None:
    first, second = posterior(50, 5), posterior(50, 6)
    gaussians = [Normal(k.mean, torch.exp(k.logvar / 2)) for k in (first, second)]
    expected = [kl_divergence(*gaussians)]
    for a, b in zip(first.logits, second.logits, strict=True):
        categories = kl_divergence(Categorical(logits=a), Categorical(logits=b))
        expected.append(categories[:, None])
    torch.testing.assert_close(
        divergence(first, second), torch.cat(expected, 1), rtol=1e-10, atol=1e-12
    )
    assert divergence(first, first).abs().max() < 1e-14


def test_latents_below_the_midpoint_of_the_range_are_shared() -> None:
    """With variance 1, means a apart have a KL of a^2 / 2: here 0, 1, 4, 4.5; midpoint 2.25."""
    apart = torch.tensor([[0, 2, 8, 9]], dtype=torch.float64).sqrt()
    zero = torch.zeros(1, 4, dtype=torch.float64)
    first, second = Posterior(zero, zero), Posterior(apart, zero)
    assert shared_latents(first, second).tolist() == [[True, True, False, False]]
    # the farthest is never shared, and none is if all are equally far
    assert not shared_latents(first, Posterior(zero + 1, zero)).any()
    assert not shared_latents(first, first).any()


def test_the_mean_of_both_is_that_of_their_parameters() -> None:
    first, second = posterior(seed=5), posterior(seed=6)
    both = mean_of_both(first, second)
    torch.testing.assert_close(both.mean, (first.mean + second.mean) / 2)
    torch.testing.assert_close(both.variance, (first.variance + second.variance) / 2)
    for k, a, b in zip(both.logits, first.logits, second.logits, strict=True):
        torch.testing.assert_close(k.softmax(-1), (a.softmax(-1) + b.softmax(-1)) / 2)


@pytest.mark.parametrize("power", [0.5, 1.0, 0.8])
def test_the_product_of_both_is_the_product_of_their_densities(power: float) -> None:
    """log q - power (log q_1 + log q_2) is the same constant everywhere, and q is a density."""
    first, second = posterior(seed=5), posterior(seed=6)
    both = product_of_both(first, second, power)

    def log_density(k: Posterior, z: Tensor) -> Tensor:
        assert k.logvar is not None
        return Normal(k.mean, torch.exp(k.logvar / 2)).log_prob(z)

    at = [torch.full((6, D), z, dtype=torch.float64) for z in (-2.0, 0.1, 1.0, 3.5)]
    over = [
        log_density(both, z) - power * (log_density(first, z) + log_density(second, z)) for z in at
    ]
    for value in over[1:]:
        torch.testing.assert_close(value, over[0])
    for k, a, b in zip(both.logits, first.logits, second.logits, strict=True):
        product = (a.softmax(-1) * b.softmax(-1)) ** power
        torch.testing.assert_close(k.softmax(-1), product / product.sum(-1, keepdim=True))


def test_a_geometric_mean_of_the_same_posterior_is_that_posterior() -> None:
    q = posterior()
    both = product_of_both(q, q, 0.5)
    torch.testing.assert_close(both.mean, q.mean)
    torch.testing.assert_close(both.logvar, q.logvar)
    halved = product_of_both(q, q, 1.0)
    torch.testing.assert_close(halved.variance, q.variance / 2)


def test_both_images_get_one_posterior_of_shared_latents_and_keep_the_others() -> None:
    q = posterior(rows=40)
    # categories as far apart as the other latents
    q = Posterior(q.mean, q.logvar, tuple(4 * k for k in q.logits))
    adapted, shared = merge_shared(q, mean_of_both, False)
    assert shared.shape == (20, D + len(SIZES))
    assert shared.any(0).all()
    assert (~shared).any(0).all()
    z = shared[:, :D]
    for after, before in ((adapted.mean, q.mean), (adapted.logvar, q.logvar)):
        assert after is not None
        assert before is not None
        assert torch.equal(after[:20][z], after[20:][z])
        assert not torch.isclose(after[:20][z], before[:20][z]).any()
        assert torch.equal(after[:20][~z], before[:20][~z])
        assert torch.equal(after[20:][~z], before[20:][~z])
    for c in range(len(SIZES)):
        mask, after, before = shared[:, D + c], adapted.logits[c], q.logits[c]
        assert torch.equal(after[:20][mask], after[20:][mask])
        assert torch.equal(after[:20][~mask], before[:20][~mask])
        assert torch.equal(after[20:][~mask], before[20:][~mask])


@both_kinds
def test_a_pair_of_one_image_is_betavae(kind: Kind) -> None:
    model, plain = small(kind, beta=3.0), small(BetaVAE, beta=3.0)
    half = batch(BATCH)[: BATCH // 2]
    x = torch.cat([half, half])
    given, expected = objective(model, x), objective(plain, x)
    assert given.losses["vae"].item() == pytest.approx(expected.losses["vae"].item(), rel=1e-12)


def test_a_pair_of_one_posterior_shares_no_latent() -> None:
    # All latents are equally far apart, at 0. That holds for copies only, as a network may round
    # the two halves of a batch differently.
    q = posterior()
    twice = Posterior(
        torch.cat([q.mean, q.mean]),
        torch.cat([q.logvar, q.logvar]),
        tuple(torch.cat([k, k]) for k in q.logits),
    )
    _, shared = merge_shared(twice, mean_of_both, False)
    assert not shared.any()


@both_kinds
def test_pairs_shown_twice_give_the_same_terms(kind: Kind) -> None:
    model, x = small(kind, categorical=()), batch(BATCH)
    head = model.encoder[1]
    with torch.no_grad():  # variances of 1e-30 leave no noise
        head.weight[D:] = 0
        head.bias[D:] = -70
    once = objective(model, x).terms
    # each image next to its copy, so that rows i and i + B / 2 are still a pair
    twice = objective(model, x.repeat_interleave(2, 0)).terms
    for name, term in once.items():
        assert twice[name].item() == pytest.approx(term.item(), rel=1e-9), name
    assert once["shared_latents"] > 0


@both_kinds
def test_the_gradient_is_that_of_finite_differences(kind: Kind) -> None:
    model, x = small(kind), batch(BATCH)
    objective(model, x).losses["vae"].backward()
    bias, step = model.encoder[1].bias, 1e-6
    for k in range(len(bias)):
        ends = []
        with torch.no_grad():
            for change in (step, -step):
                bias[k] += change
                ends.append(objective(model, x).losses["vae"].item())
                bias[k] -= change
        slope = (ends[0] - ends[1]) / (2 * step)
        assert bias.grad[k].item() == pytest.approx(slope, rel=1e-5, abs=1e-6)


@both_kinds
@pytest.mark.parametrize(
    ("continuous", "categorical"), [(2, ()), (0, (3, 4)), (1, (3,))], ids=["z", "c", "both"]
)
def test_any_two_latents_will_do(kind: Kind, continuous: int, categorical: tuple[int, ...]) -> None:
    model = small(kind, continuous=continuous, categorical=categorical)
    given = objective(model, batch(BATCH))
    given.losses["vae"].backward()
    # of two latents the farther one is never shared, and the nearer one always is
    assert given.terms["shared_latents"] == 1
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@both_kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-30.0, 30.0, -100.0])
def test_extreme_posteriors_leave_values_and_gradients_finite(
    kind: Kind, dtype: torch.dtype, logvar: float
) -> None:
    mean = torch.tensor([[0, 1, -2], [5, 1, -2], [0, 1.5, 2], [-5, 1, 2]], dtype=dtype)
    spread = torch.tensor([[logvar, logvar, 0], [0, logvar, 0]], dtype=dtype).repeat(2, 1)
    logits = torch.tensor([[1e4, -1e4, 0], [0, 1e4, -1e4]], dtype=dtype).repeat(2, 1)
    other = torch.tensor([[1e4, 1e4], [-1e4, 1e4], [0, 0], [1e4, -1e4]], dtype=dtype)
    leaves = [k.requires_grad_() for k in (mean, spread, logits, other)]
    q = Posterior(leaves[0], leaves[1], tuple(leaves[2:]))
    merge = mean_of_both if kind is AdaGVAE else lambda a, b: product_of_both(a, b, 0.5)
    adapted, shared = merge_shared(q, merge, False)
    assert shared.any(1).all()
    kl = adapted.kl_continuous().sum() + adapted.kl_categorical().sum()
    (kl + adapted.sample(generator(0)).sin().sum()).backward()
    assert kl.isfinite()
    assert all(k.grad is not None and k.grad.isfinite().all() for k in leaves)


@both_kinds
def test_single_images_can_be_encoded(kind: Kind) -> None:
    model, x = small(kind), batch(BATCH)
    assert kind.input == "pairs"
    torch.testing.assert_close(model.encode(x[:3]).mean, model.encoder(x[:3])[:, :D])


@both_kinds
def test_an_odd_batch_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="batch of 7 images .*batch_size") as error:
        objective(small(kind), batch(BATCH)[:7])
    assert "\n" not in str(error.value)


@both_kinds
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "beta"),
        ({"changed": -1}, "changed"),
        ({"continuous": 1, "categorical": ()}, "continuous=1.*takes at least two"),
        ({"continuous": 0, "categorical": (5,)}, r"categorical=\(5,\).*takes at least two"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    kind: Kind, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        kind(image_shape=(1, 32, 32), **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("power", [0.0, -1.0])
def test_a_power_of_the_product_is_above_zero(power: float) -> None:
    with pytest.raises(ValueError, match="power"):
        AdaMLVAE(image_shape=(1, 32, 32), power=power)
