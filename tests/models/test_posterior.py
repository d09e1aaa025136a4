"""The posterior: divergences, samples, modes; and the permutation of codes over a batch."""

import itertools
import math
from collections import Counter

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from bench.models import Latents, Posterior
from bench.models.factorvae import permute_latents
from tests.models.conftest import generator, random_posterior

SIZES = (3, 5)


def posterior(rows: int = 7) -> Posterior:
    return random_posterior(rows, 4, SIZES, scale=1.5)


def test_kl_of_continuous_latents_is_that_of_torch_distributions() -> None:
    q = posterior()
    expected = kl_divergence(Normal(q.mean, torch.exp(q.logvar / 2)), Normal(0.0, 1.0)).mean(0)
    assert q.kl_continuous().shape == (4,)
    torch.testing.assert_close(q.kl_continuous(), expected, rtol=1e-12, atol=0)


def test_kl_of_categorical_latents_is_that_of_torch_distributions() -> None:
    q = posterior()
    expected = [
        kl_divergence(Categorical(logits=k), Categorical(logits=torch.zeros_like(k))).mean()
        for k in q.logits
    ]
    torch.testing.assert_close(q.kl_categorical(), torch.stack(expected), rtol=1e-12, atol=0)


def test_the_prior_is_at_no_distance_and_no_categories_give_no_kl() -> None:
    prior = Posterior(torch.zeros(2, 3), torch.zeros(2, 3), (torch.full((2, 4), 8.0),))
    assert prior.kl_continuous().tolist() == [0, 0, 0]
    assert prior.kl_categorical().tolist() == pytest.approx([0], abs=1e-6)
    assert Posterior(torch.zeros(2, 3), torch.zeros(2, 3)).kl_categorical().shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_categories_have_finite_kl_gradients_and_samples(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    q = Posterior(torch.zeros(2, 1, dtype=dtype), torch.zeros(2, 1, dtype=dtype), (logits,))
    kl = q.kl_categorical()
    assert kl.item() == pytest.approx((math.log(3) + math.log(1.5)) / 2, rel=1e-6)
    sample = q.sample(generator(0))
    (kl.sum() + sample.square().sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert sample.isfinite().all()
    assert sample[0, 1:].tolist() == [1, 0, 0]
    assert sample[1, 1] == 0


def test_no_draw_however_rare_makes_a_sample_infinite() -> None:
    q = Posterior(torch.zeros(2, 0), torch.zeros(2, 0), (torch.zeros(2, 3),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "exponential_", lambda self, generator: self.zero_())
        assert q.sample(generator(0)).isfinite().all()


def test_a_sample_is_a_row_of_values_and_blocks_that_sum_to_one() -> None:
    z = posterior(rows=50).sample(generator(0))
    assert z.shape == (50, 4 + sum(SIZES))
    blocks = z[:, 4:].split(SIZES, -1)
    for block in blocks:
        assert (block >= 0).all()
        torch.testing.assert_close(block.sum(-1), torch.ones(50, dtype=torch.float64))
    assert (z[:, 4:].amax(-1) < 0.999).any()  # relaxed, not rounded


def test_the_mode_is_the_mean_and_the_most_probable_categories() -> None:
    mean = torch.tensor([[0.5, -2.0], [1.5, 3.0]])
    logits = torch.tensor([[0.1, 0.3, 0.2], [9.0, -1.0, 0.0]]), torch.tensor([[1.0, 0], [0, 1]])
    q = Posterior(mean, torch.ones(2, 2), logits)
    assert q.mode().tolist() == [[0.5, -2, 0, 1, 0, 1, 0], [1.5, 3, 1, 0, 0, 0, 1]]
    assert q.categories().tolist() == [[1, 0], [0, 1]]
    assert Posterior(mean, mean).categories().shape == (2, 0)


def test_samples_follow_the_posterior() -> None:
    rows = 40_000
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5])
    mean, logvar = torch.tensor([1.0, -3.0]), torch.tensor([0.5, -2.0])
    q = Posterior(mean.expand(rows, 2), logvar.expand(rows, 2), (logits.expand(rows, 4),))
    z = q.sample(generator(3))
    noise = (z[:, :2] - mean) / torch.exp(logvar / 2)
    assert noise.mean(0).abs().max() < 4 / math.sqrt(rows)
    assert (noise.var(0) - 1).abs().max() < 4 * math.sqrt(2 / rows)
    p = torch.softmax(logits, -1)
    frequencies = torch.bincount(z[:, 2:].argmax(-1), minlength=4) / rows
    assert ((frequencies - p).abs() < 4 * (p * (1 - p) / rows).sqrt()).all()


def test_a_sample_depends_only_on_its_generator() -> None:
    q = posterior()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        sample = q.sample(generator(3))
        torch.manual_seed(2)
        before = torch.get_rng_state()
        same_seed = q.sample(generator(3))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(sample, same_seed)
    assert not torch.equal(sample, q.sample(generator(4)))


def test_gradients_reach_every_parameter_through_a_sample() -> None:
    q = posterior()
    leaves = [k.detach().requires_grad_() for k in (q.mean, q.logvar, *q.logits)]
    z = Posterior(leaves[0], leaves[1], tuple(leaves[2:])).sample(generator(0))
    z[:, :4].sum().backward(retain_graph=True)
    assert torch.equal(leaves[0].grad, torch.ones(7, 4, dtype=torch.float64))
    torch.testing.assert_close(leaves[1].grad, (z[:, :4] - leaves[0]).detach() / 2)
    z[:, 4:].square().sum().backward()
    assert all((k.grad != 0).all() for k in leaves[2:])


def test_latents_count_their_columns() -> None:
    latents = Latents(6, (3, 2))
    assert (latents.width, latents.parameters, latents.blocks) == (11, 17, [1] * 6 + [3, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, ()), "at least one"), ((-1, (3,)), "at least"), ((2, (1,)), "size")],
)
def test_latents_that_make_no_sense_are_refused(
    arguments: tuple[int, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Latents(*arguments)


# the permutation of FactorVAE


def test_permuted_latents_keep_their_values_and_categories_stay_whole() -> None:
    rows = 64
    z = torch.arange(rows)[:, None] * 10.0 + torch.arange(8)  # the last digit is the column
    permuted = permute_latents(z, [1, 1, 3, 1, 2], generator(0))
    # all entries stay in their column
    assert torch.equal(permuted % 10, torch.arange(8.0).expand(rows, 8))
    sources = (permuted // 10).long()  # the row that each entry comes from
    assert torch.equal(sources.sort(0).values, torch.arange(rows)[:, None].expand(rows, 8))
    assert (sources[:, 2:5] == sources[:, 2:3]).all()
    assert (sources[:, 6:] == sources[:, 6:7]).all()
    orders = [*sources[:, [0, 1, 2, 5, 6]].T, torch.arange(rows)]
    for first, second in itertools.combinations(orders, 2):
        assert (first == second).sum() < 8  # 1 of 64 agrees by chance


def test_every_pair_of_permutations_is_equally_likely() -> None:
    z, g = torch.arange(3)[:, None].repeat(1, 2), generator(0)
    draws = 3600
    seen = Counter(tuple(permute_latents(z, [1, 1], g).T.flatten().tolist()) for _ in range(draws))
    assert len(seen) == 36  # 3! orders of each of two latents
    assert all(abs(count - 100) < 50 for count in seen.values())  # 5 standard deviations


def test_a_deterministic_code_is_its_mode_and_has_no_divergence() -> None:
    logits = (torch.tensor([[0.0, 1.0, -1.0]]),)
    posterior = Posterior(torch.tensor([[1.5, -2.0]]), None, logits)
    expected = torch.tensor([[1.5, -2.0, 0.0, 1.0, 0.0]])
    assert torch.equal(posterior.sample(generator()), expected)
    assert torch.equal(posterior.mode(), expected)
    assert torch.equal(posterior.variance, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="deterministic"):
        posterior.kl_continuous()
