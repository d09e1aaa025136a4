"""Hausdorff factorised support: its objective, and the distance against loops and by hand."""

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench.models.hfsvae import HFSVAE, hausdorff
from tests.models import conftest
from tests.models.conftest import (
    BATCH,
    SEED,
    Array,
    assert_scalar,
    batch,
    encoded,
    expected_terms,
    generator,
)

ONE_PAIR = torch.tensor([[0, 1]])
small = partial(conftest.small, HFSVAE)


def directed(start: Array, end: Array) -> float:
    """Squared directed Hausdorff distance: from the point of `start` farthest from all of `end`."""
    return max(min(float(np.sum((p - q) ** 2)) for q in end) for p in start)


def combinations_of(points: Array) -> Array:
    """The factorised support of points in the plane."""
    return np.array(list(itertools.product(points[:, 0], points[:, 1])))


def looped(z: Array, pairs: Any) -> float:
    planes = [z[:, list(pair)] for pair in pairs]
    return sum(directed(combinations_of(points), points) for points in planes)


def distance(z: Array, pairs: torch.Tensor = ONE_PAIR, points: int = 0, seed: int = SEED) -> float:
    return hausdorff(torch.from_numpy(z), pairs, points, generator(seed)).item()


# the objective


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize(
    ("continuous", "categorical", "settings"),
    [
        (3, (3, 2), {}),
        (4, (), {"pairs": 2}),
        (3, (), {"points": 4}),
        (5, (2,), {"pairs": 3, "points": 7}),
    ],
    ids=["all", "pairs", "points", "pairs and points"],
)
def test_the_objective_is_its_formula(
    beta: float, continuous: int, categorical: tuple[int, ...], settings: dict[str, int]
) -> None:
    latents = {"continuous": continuous, "categorical": categorical}
    model, x = small(**latents, beta=beta, gamma=7.0, **settings), batch()
    given = model.objective(x, 1, generator())

    draws = generator()
    pairs = list(itertools.combinations(range(continuous), 2))
    if "pairs" in settings:
        order = torch.randperm(len(pairs), generator=draws)[: settings["pairs"]]
        pairs = [pairs[n] for n in order.tolist()]
    expected = expected_terms(model, x, draws)
    mean, _, _ = encoded(model, x)
    if points := settings.get("points"):
        rows = torch.randint(BATCH, (2, len(pairs), points), generator=draws).numpy()
        apart = 0.0
        for n, (i, j) in enumerate(pairs):
            combinations = np.stack([mean[rows[0, n], i], mean[rows[1, n], j]], 1)
            apart += directed(combinations, mean[:, [i, j]])
    else:
        apart = looped(mean, pairs)
    assert expected.kl > 0.1
    assert apart > 0.1

    loss = expected.reconstruction + beta * expected.kl + 7 * apart
    assert_scalar(given.losses["vae"], loss)
    assert_scalar(given.terms["loss"], loss)
    assert_scalar(given.terms["reconstruction"], expected.reconstruction)
    assert_scalar(given.terms["hausdorff"], apart)
    assert_scalar(given.terms["kl_continuous"] + given.terms["kl_categorical"], expected.kl)


def test_a_batch_shown_twice_gives_the_same_terms() -> None:
    # No combination is new then, and the pairs are drawn before the noise, whose variance is 0.
    model, x = small(continuous=6, categorical=(), beta=0.5, pairs=4), batch()
    with torch.no_grad():
        model.encoder[1].weight[6:] = 0
        model.encoder[1].bias[6:] = -1500
    once = model.objective(x, 1, generator()).terms
    twice = model.objective(torch.cat([x, x]), 1, generator()).terms
    assert once["hausdorff"] > 0.1
    for name in once:
        assert_scalar(twice[name], once[name].item())


@pytest.mark.parametrize("settings", [{"pairs": 2}, {"points": 3}])
def test_the_objective_depends_only_on_its_generator(settings: dict[str, int]) -> None:
    model, x = small(continuous=5, **settings), batch()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loss = model.objective(x, 1, generator()).losses["vae"]
        torch.manual_seed(2)
        before = torch.get_rng_state()
        same_seed = model.objective(x, 1, generator()).losses["vae"]
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(loss, same_seed)
    distances = {model.objective(x, 1, generator(s)).terms["hausdorff"].item() for s in range(9)}
    assert len(distances) > 1


def test_pairs_are_drawn_without_repetition_and_are_equally_likely() -> None:
    model, source, draws = small(continuous=4, categorical=(), pairs=2), generator(), 3_000
    seen = dict.fromkeys(itertools.combinations(range(4), 2), 0)
    for _ in range(draws):
        first, second = (tuple(pair) for pair in model.draw_pairs(source).tolist())
        assert first != second
        seen[first] += 1
        seen[second] += 1
    # each of 6 pairs is among 2 with probability 1 / 3
    assert all(abs(n - draws / 3) < 4 * math.sqrt(draws * 2 / 9) for n in seen.values())


@pytest.mark.parametrize("pairs", [6, 25])
def test_all_pairs_are_taken_if_there_are_no_more(pairs: int) -> None:
    expected = [list(pair) for pair in itertools.combinations(range(4), 2)]
    model = small(continuous=4, categorical=(), pairs=pairs)
    assert model.draw_pairs(generator()).tolist() == expected


# the distance


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_grid_without_one_corner_is_as_far_as_worked_out_by_hand(scale: float) -> None:
    # (2, 3) is missing; of its neighbours (2, 0) and (0, 3) the latter is nearer, at 2^2.
    z = scale * np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    assert distance(z) == 4 * scale**2


def test_the_direction_from_the_codes_to_their_factorised_support_is_always_0() -> None:
    # Each code is one of the combinations, so only the direction from these to the codes is left.
    grid = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    random = np.random.default_rng(3).normal(size=(9, 2))
    for z in (grid, random):
        factorised = combinations_of(z)
        assert directed(z, factorised) == 0
        both = max(directed(z, factorised), directed(factorised, z))
        assert distance(z) == pytest.approx(both, rel=1e-12)
        assert both > 0


def test_a_full_grid_is_at_distance_0_whatever_its_density() -> None:
    corners = list(itertools.product([-1.0, 0.5, 2.0], [0.0, 7.0]))
    often = [corner for n, corner in enumerate(corners) for _ in range(n + 1)]
    z = torch.tensor(often, requires_grad=True)
    assert len({often.count(corner) for corner in corners}) == 6  # the two latents are correlated
    given = hausdorff(z, ONE_PAIR, 0, generator())
    given.backward()
    assert given == 0
    assert z.grad is not None
    assert (z.grad == 0).all()


@pytest.mark.parametrize(("rows", "latents"), [(1, 2), (2, 3), (7, 4)])
def test_the_distance_is_that_of_loops_over_combinations(rows: int, latents: int) -> None:
    z = np.random.default_rng(4).normal(size=(rows, latents))
    pairs = list(itertools.combinations(range(latents), 2))
    assert distance(z, torch.tensor(pairs)) == pytest.approx(looped(z, pairs), rel=1e-12)
    some = pairs[1:] or pairs
    assert distance(z, torch.tensor(some)) == pytest.approx(looped(z, some), rel=1e-12)


def test_the_distance_over_drawn_points_reaches_that_over_all_and_never_exceeds_it() -> None:
    z = np.random.default_rng(5).normal(size=(5, 2))
    few = [distance(z, points=2, seed=seed) for seed in range(200)]
    most = distance(z)
    assert max(few) == pytest.approx(most, rel=1e-12)
    assert np.mean(few) < 0.9 * most  # a maximum over fewer points is too small on average
    # 500 draws miss the one of 25 combinations with probability (24 / 25)^500 < 2e-9
    assert distance(z, points=500) == pytest.approx(most, rel=1e-12)


def test_all_combinations_are_drawn_equally_often() -> None:
    # Of 9 combinations of the grid without a corner, 1 is that corner: rows 1 and 2.
    z = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    draws = 1_800
    hits = sum(distance(z, points=1, seed=seed) == 4 for seed in range(draws))
    assert abs(hits - draws / 9) < 4 * math.sqrt(draws * 8 / 81)


@pytest.mark.parametrize("points", [0, 6])
def test_gradients_are_those_of_finite_differences(points: int) -> None:
    # The rows that attain maximum and minimum are the same nearby, so the distance is smooth.
    z = torch.from_numpy(np.random.default_rng(6).normal(size=(5, 3))).requires_grad_()
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    assert torch.autograd.gradcheck(lambda z: hausdorff(z, pairs, points, generator()), (z,))


def test_the_gradient_moves_the_combination_and_its_nearest_point_together() -> None:
    # (2, 3) takes its first value from row 1 and its second from row 2, which is also the nearest
    # point: (z_10 - z_20)^2 + (z_21 - z_21)^2.
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]], requires_grad=True)
    hausdorff(z, ONE_PAIR, 0, generator()).backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[0, 0], [4, 0], [-4, 0]]


def test_the_distance_moves_only_means() -> None:
    model = small()
    model.objective(batch(), 1, generator()).terms["hausdorff"].backward()
    gradient = model.encoder[1].bias.grad
    assert gradient is not None
    # Shifting one latent of all codes changes nothing; changing weights does.
    assert gradient.abs().max() < 1e-12
    weight = model.encoder[1].weight.grad
    assert weight is not None
    assert (weight[:3] != 0).all()
    assert (weight[3:] == 0).all()


@pytest.mark.parametrize("points", [0, 9])
@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_outputs_of_the_encoder_give_finite_losses_and_gradients(
    value: float, points: int
) -> None:
    model, x = small(points=points).float(), batch().float()
    with torch.no_grad():
        model.encoder[1].weight[3:].zero_()
        model.encoder[1].bias[:3] = value
        model.encoder[1].bias[3:6] = -30
        model.encoder[1].bias[6:] = torch.tensor([value, -value, 0, value, -value])
    given = model.objective(x, 1, generator())
    given.losses["vae"].backward()
    assert given.losses["vae"].isfinite()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_float32_agrees_with_float64() -> None:
    z = np.random.default_rng(7).normal(size=(32, 10))
    pairs = torch.tensor(list(itertools.combinations(range(10), 2)))
    single = hausdorff(torch.from_numpy(z).float(), pairs, 0, generator()).item()
    assert single == pytest.approx(distance(z, pairs), rel=1e-5)


# refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "beta=-1.0"),
        ({"gamma": -1.0}, "gamma=-1.0"),
        ({"points": -1}, "points=-1"),
        ({"pairs": 0}, "pairs=0"),
        ({"continuous": 1}, "continuous=1.*at least 2"),
        ({"continuous": 0}, "continuous=0.*at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(**settings)
