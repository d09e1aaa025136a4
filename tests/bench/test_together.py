"""Seeds trained together end where they end alone, in float64, for every model."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.datasets import Toy
from bench.models import MODELS, VAE, CascadeVAE, FactorVAE, Objective
from bench.streams import lent_global_torch_stream
from bench.train.loop import Diverged, Interrupted, Progress, train
from bench.train.stacking import CannotStack
from bench.train.together import Ending, train_together

CPU = torch.device("cpu")
SEEDS = (3, 0, 11)
STEPS = 5
BATCH = 4

# Settings other than the defaults, several where the draws differ.
SMALL = {"hidden": 16, "layers": 2}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "vae": [{"categorical": (3, 2)}, {"network": "residual", "likelihood": "gaussian"}],
    "factorvae": [SMALL, {**SMALL, "second_batch": True, "categorical": (3,)}],
    "hfsvae": [{"pairs": 4}, {"points": 7}],
    "betatcvae": [{"estimator": "mss"}],
}
ALONE = {"cascadevae"}  # its objective solves an assignment outside torch
CONVOLUTIONAL = {"vae", "jointvae"}  # with networks as they are; the others' are small
CASES = [
    pytest.param(model, settings, name not in CONVOLUTIONAL, id=f"{name}{index or ''}")
    for name, model in MODELS.items()
    if issubclass(model, VAE) and name not in ALONE
    for index, settings in enumerate(SETTINGS.get(name, [{}]))
]


@pytest.fixture(scope="module")
def data() -> Toy:
    return Toy(image_size=32)


def build(kind: type[VAE], seed: int, small: bool = False, **settings: Any) -> VAE:
    """A run's model, in the layout of its weights, that computes in float64."""
    with lent_global_torch_stream(seed, "initialisation"):
        model = kind(image_shape=(1, 32, 32), **settings)
        if small:
            outputs, inputs = model.encoder[-1].out_features, model.decoder[0].in_features
            model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, outputs))
            model.decoder = nn.Sequential(nn.Linear(inputs, 1024), nn.Unflatten(1, (1, 32, 32)))
    model = model.to(torch.float64, memory_format=torch.channels_last)
    objective = model.objective
    model.objective = lambda x, step, generator: objective(x.double(), step, generator)
    return model


@dataclass(kw_only=True, eq=False, repr=False)
class Tiny(VAE):
    """Linear, for speed, with running means; its loss is no number from step `limit` on."""

    image_shape: tuple[int, int, int] = (1, 32, 32)
    continuous: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(1024, 4, bias=False), nn.BatchNorm1d(4)
        )
        self.decoder = nn.Sequential(nn.Linear(2, 1024), nn.Unflatten(1, (1, 32, 32)))
        self.register_buffer("limit", torch.tensor(math.inf))

    def regularizer(self, posterior: Any, z: Tensor, step: int) -> Tensor:
        late = torch.where(self.limit <= step, math.nan, 0.0)
        return super().regularizer(posterior, z, step) + late


def tiny(seeds: Sequence[int] = SEEDS) -> list[VAE]:
    return [build(Tiny, seed) for seed in seeds]


def alone(model: VAE, data: Toy, seed: int, steps: int = STEPS, **more: Any) -> Progress:
    return train(model, data, steps=steps, batch_size=BATCH, seed=seed, device=CPU, **more)


def together(
    models: Sequence[VAE],
    data: Toy,
    steps: int = STEPS,
    seeds: Sequence[int] = SEEDS,
    **more: Any,
) -> list[Ending]:
    return train_together(
        models, data, steps=steps, batch_size=BATCH, seeds=seeds, device=CPU, **more
    )


def after(calls: int) -> Callable[[], bool]:
    """A `stop` that says so the given time it is asked."""
    asked = iter(range(1, 10**6))
    return lambda: next(asked) == calls


def distance(one: VAE, other: VAE) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs if a.isfinite().all())


def assert_same(model: VAE, ending: Ending, straight: VAE, expected: Progress) -> None:
    assert isinstance(ending, Progress)
    assert ending.step == expected.step
    assert list(ending.history[0]) == list(expected.history[0])
    for row, wanted in zip(ending.history, expected.history, strict=True):
        assert row == pytest.approx(wanted, rel=1e-10, abs=1e-10)
    assert distance(model, straight) < 1e-10


def assert_all_same(models: Sequence[VAE], endings: Sequence[Ending], undisturbed: Any) -> None:
    for model, ending, (straight, expected) in zip(models, endings, undisturbed, strict=True):
        assert_same(model, ending, straight, expected)


def places(folder: Path) -> list[Path]:
    return [folder / f"checkpoint-{seed}.pt" for seed in SEEDS]


@pytest.mark.parametrize(("kind", "settings", "small"), CASES)
def test_each_seed_ends_where_it_ends_alone(
    kind: type[VAE], settings: dict[str, Any], small: bool, data: Toy
) -> None:
    straight = [build(kind, seed, small, **settings) for seed in SEEDS]
    expected = [alone(model, data, seed) for model, seed in zip(straight, SEEDS, strict=True)]
    models = [build(kind, seed, small, **settings) for seed in SEEDS]
    endings = together(models, data)
    assert_all_same(models, endings, zip(straight, expected, strict=True))
    assert distance(models[0], models[1]) > 1e-3


@pytest.fixture(scope="module")
def undisturbed(data: Toy) -> list[tuple[VAE, Progress]]:
    """The tiny models, trained alone for 420 steps; a row of the history is the mean of two."""
    models = tiny()
    return [(m, alone(m, data, seed, 420)) for m, seed in zip(models, SEEDS, strict=True)]


def test_running_means_and_the_sums_of_an_interval_are_each_models_own(
    data: Toy, undisturbed: Any
) -> None:
    models = tiny()
    assert_all_same(models, together(models, data, 420), undisturbed)


def test_a_group_stopped_amid_an_interval_goes_on_alone_or_in_another_group(
    data: Toy, undisturbed: Any, tmp_path: Path
) -> None:
    checkpoints = places(tmp_path)
    stopped = together(tiny(), data, 420, checkpoints=checkpoints, stop=after(211))
    assert [str(ending) for ending in stopped] == ["stopped at step 211 of 420"] * 3
    assert all(isinstance(ending, Interrupted) for ending in stopped)

    first, *others = tiny()
    ending = alone(first, data, SEEDS[0], 420, checkpoint=checkpoints[0])
    assert_same(first, ending, *undisturbed[0])
    endings = together(others, data, 420, SEEDS[1:], checkpoints=checkpoints[1:])
    assert_all_same(others, endings, undisturbed[1:])


def test_models_of_different_steps_meet(data: Toy, undisturbed: Any, tmp_path: Path) -> None:
    checkpoints, models, watched = places(tmp_path), tiny(), []
    for index, steps in ((0, 300), (2, 150)):
        with pytest.raises(Interrupted):
            alone(
                tiny()[index],
                data,
                SEEDS[index],
                420,
                checkpoint=checkpoints[index],
                stop=after(steps),
            )
    endings = together(
        models,
        data,
        420,
        checkpoints=checkpoints,
        watch=lambda index, step, terms: watched.append((index, step)),
    )
    assert_all_same(models, endings, undisturbed)
    one, two, three = (
        [(index, step) for step in steps for index in indices]
        for indices, steps in (
            ([1], range(1, 151)),
            ([1, 2], range(151, 301)),
            ([0, 1, 2], range(301, 421)),
        )
    )
    assert watched == [*one, *two, *three]
    # trained to the end, and scored nowhere: nothing is left to do
    finished = together(tiny(), data, 420, checkpoints=checkpoints)
    assert [ending.history for ending in finished] == [ending.history for ending in endings]


def test_convolutions_and_two_optimisers_go_on_from_checkpoints_on_the_way(
    data: Toy, tmp_path: Path
) -> None:
    def two() -> list[VAE]:
        return [build(FactorVAE, seed, **SMALL) for seed in SEEDS[:2]]

    def kill(index: int, step: int, terms: dict[str, float]) -> None:
        if (index, step) == (1, 4):
            raise KeyboardInterrupt

    straight, checkpoints = two(), places(tmp_path)[:2]
    expected = [alone(model, data, seed) for model, seed in zip(straight, SEEDS, strict=False)]
    with pytest.raises(KeyboardInterrupt):
        together(
            two(),
            data,
            seeds=SEEDS[:2],
            checkpoints=checkpoints,
            checkpoint_seconds=0,
            watch=kill,
        )
    kept = [torch.load(path, weights_only=True)["progress"]["step"] for path in checkpoints]
    assert kept == [3, 3]
    models = two()
    endings = together(models, data, seeds=SEEDS[:2], checkpoints=checkpoints)
    assert_all_same(models, endings, zip(straight, expected, strict=True))
    again = two()[0]
    assert alone(again, data, SEEDS[0], checkpoint=checkpoints[0]).step == STEPS
    assert distance(again, models[0]) == 0


def test_a_model_that_diverges_leaves_the_others_alone(
    data: Toy, undisturbed: Any, tmp_path: Path
) -> None:
    bad, models, checkpoints = tiny()[1], tiny(), places(tmp_path)
    for model in (bad, models[1]):
        model.limit.fill_(99)
    with pytest.raises(Diverged) as caught:
        alone(bad, data, SEEDS[1], 420)
    first, diverged, third = together(models, data, 420, checkpoints=checkpoints)
    assert isinstance(diverged, Diverged)
    assert (str(diverged), diverged.step) == (str(caught.value), caught.value.step)
    assert "loss not finite by step 100" in str(diverged)
    assert [row["step"] for row in diverged.history] == list(range(2, 100, 2))
    for index, ending in ((0, first), (2, third)):
        assert_same(models[index], ending, *undisturbed[index])

    for model in models:
        model.limit.fill_(1)
    endings = together(models, data)
    assert all(isinstance(ending, Diverged) and ending.step == 1 for ending in endings)


def test_weights_that_are_no_numbers_stay_out_of_the_other_convolutions(data: Toy) -> None:
    models, others = ([build(VAE, seed) for seed in SEEDS[:2]] for _ in range(2))
    with torch.no_grad():
        for parameter in others[1].parameters():
            parameter.fill_(math.nan)
    together(models, data, 2, SEEDS[:2])
    _, diverged = together(others, data, 2, SEEDS[:2])
    assert isinstance(diverged, Diverged)
    assert distance(models[0], others[0]) < 1e-10


def test_every_step_is_watched_and_seconds_are_shared(data: Toy) -> None:
    watched, before = [], time.monotonic()
    endings = together(
        tiny(), data, watch=lambda index, step, terms: watched.append((index, step, dict(terms)))
    )
    elapsed = time.monotonic() - before
    assert watched == [
        (index, step, ending.history[step - 1])
        for step in range(1, STEPS + 1)
        for index, ending in enumerate(endings)
    ]
    seconds = [ending.seconds for ending in endings]
    assert seconds[0] == seconds[1] == seconds[2] > endings[0].data_seconds > 0
    assert 0.5 * elapsed < sum(seconds) < elapsed


# refusals


def test_an_objective_that_leaves_torch_is_refused_before_anything_is_trained(data: Toy) -> None:
    def cascade() -> list[VAE]:
        settings = {"continuous": 2, "categorical": (3,), "iterations": 4}
        return [build(CascadeVAE, seed, **settings) for seed in SEEDS[:2]]

    models, watched = cascade(), []
    with pytest.raises(CannotStack, match="^CascadeVAE: .*step 5 .*: leave out --together$"):
        together(models, data, seeds=SEEDS[:2], watch=lambda *news: watched.append(news))
    assert watched == []
    assert distance(models[0], cascade()[0]) == 0


def test_layers_in_bfloat16_are_refused(data: Toy) -> None:
    with pytest.raises(CannotStack, match="^precision=bfloat16: .*: leave out --together$"):
        together(tiny(), data, precision="bfloat16")


def test_draws_that_depend_on_the_model_are_refused(data: Toy) -> None:
    class Coin(Tiny):
        def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
            kept = torch.bernoulli(self.encode(x).mean.sigmoid(), generator=generator)
            given = super().objective(x, step, generator)
            loss = given.losses["vae"] + kept.mean()
            return Objective({"vae": loss}, {"loss": loss})

    models = [build(Coin, seed) for seed in SEEDS]
    with pytest.raises(CannotStack, match="bernoulli draws with tensors.*: leave out --together"):
        together(models, data)


def test_an_optimiser_that_may_mix_models_is_refused(data: Toy) -> None:
    class Muddled(Tiny):
        def optimizers(self) -> dict[str, torch.optim.Optimizer]:
            return {"vae": torch.optim.LBFGS(self.parameters())}

    models = [build(Muddled, seed) for seed in SEEDS]
    with pytest.raises(CannotStack, match="LBFGS .*: leave out --together"):
        together(models, data)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x, generator: torch.rand(3, generator=generator, dtype=x.dtype),
        lambda x, generator: torch.rand_like(x[0, 0, 0], generator=generator),
        lambda x, generator: torch.normal(1.0, 2.0, (2, 3), generator=generator, dtype=x.dtype),
        lambda x, generator: torch.zeros_like(x[0]).uniform_(1, 2, generator=generator),
        lambda x, generator: torch.randint(9, (5,), generator=generator).to(x.dtype),
        lambda x, generator: torch.zeros_like(x[0]).bernoulli_(0.5, generator=generator),
    ],
    ids=["rand", "rand_like", "normal", "uniform_", "randint", "bernoulli_"],
)
def test_draws_of_all_kinds_are_those_of_training_alone(draw: Any, data: Toy) -> None:
    class Noisy(Tiny):
        def objective(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
            drawn = draw(x, generator).sum()
            given = super().objective(x, step, generator)
            return Objective(given.losses, {**given.terms, "drawn": drawn})

    models, straight = ([build(Noisy, seed) for seed in SEEDS] for _ in range(2))
    expected = [alone(m, data, seed, 2) for m, seed in zip(straight, SEEDS, strict=True)]
    endings = together(models, data, 2)
    assert_all_same(models, endings, zip(straight, expected, strict=True))
    assert len({ending.history[-1]["drawn"] for ending in endings}) > 1
