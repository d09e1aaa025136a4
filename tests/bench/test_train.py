"""The training loop on the toy data: capacities are met, resuming changes nothing."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.datasets import Toy
from bench.encode import encode
from bench.epochs import Epochs
from bench.models import MODELS, VAE, AnnealedVAE, FactorVAE, JointVAE, Objective
from bench.streams import lent_global_torch_stream, numpy_stream, rows_stream, torch_stream
from bench.train import loop
from bench.train.loop import Diverged, Interrupted, TrainingState, images, train

CPU = torch.device("cpu")
OWN = {
    "factorvae": {"hidden": 16, "layers": 2},
    "autoencoder": {"categorical": ()},
    "qlae": {"continuous": 0},
}


@pytest.fixture(scope="module")
def data() -> Toy:
    return Toy(image_size=32)


def build(name: str) -> VAE:
    """The layout of a run's model, which a checkpoint has to keep."""
    settings = {"continuous": 3, "categorical": (3,), **OWN.get(name, {})}
    with lent_global_torch_stream(0, "initialisation"):
        model = MODELS[name](image_shape=(1, 32, 32), **settings)
    return model.to(memory_format=torch.channels_last)


def dense(model: VAE, hidden: int = 64) -> VAE:
    """The model with networks of one hidden layer, for speed."""
    with lent_global_torch_stream(0, "networks"):
        model.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(1024, hidden),
            nn.ReLU(),
            nn.Linear(hidden, model.latents.parameters),
        )
        model.decoder = nn.Sequential(
            nn.Linear(model.latents.width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1024),
            nn.Unflatten(1, (1, 32, 32)),
        )
    return model


def tiny() -> VAE:
    return dense(VAE(image_shape=(1, 32, 32), continuous=2), hidden=4)


def run(model: VAE, data: Toy, steps: int, **more: Any) -> TrainingState:
    return train(model, data, steps=steps, batch_size=8, seed=0, device=CPU, **more)


def after(calls: int) -> Callable[[], bool]:
    """A `stop` that says so the given time it is asked."""
    asked = iter(range(1, 10**6))
    return lambda: next(asked) == calls


def assert_same(one: VAE, other: VAE) -> None:
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


# capacities


@pytest.mark.parametrize("C", [2.0, 30.0])
def test_annealedvae_ends_with_its_kl_at_the_capacity(C: float, data: Toy) -> None:
    model = dense(
        AnnealedVAE(image_shape=(1, 32, 32), continuous=4, gamma=50.0, C=C, iterations=250, lr=2e-3)
    )
    history = run(model, data, 400).history
    assert np.mean([row["kl_continuous"] for row in history[-25:]]) == pytest.approx(C, rel=0.2)


def test_jointvae_ends_with_each_kl_at_its_capacity(data: Toy) -> None:
    model = dense(
        JointVAE(
            image_shape=(1, 32, 32),
            continuous=4,
            categorical=(3, 4),
            gamma=50.0,
            C_z=20.0,
            C_c=1.2,
            iterations=250,
            lr=2e-3,
        )
    )
    history = run(model, data, 400).history[-25:]
    means = {name: np.mean([row[name] for row in history]) for name in history[0]}
    assert means["kl_continuous"] == pytest.approx(20, rel=0.2)
    assert means["kl_categorical"] == pytest.approx(1.2, rel=0.2)


# stop, resume, diverge


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if issubclass(m, VAE)])
def test_a_stopped_training_ends_where_an_undisturbed_one_does(
    name: str, data: Toy, tmp_path: Path
) -> None:
    straight, checkpoint = build(name), tmp_path / "checkpoint.pt"
    expected = run(straight, data, 60)

    stopped = build(name)
    with pytest.raises(Interrupted, match="25 of 60"):
        run(stopped, data, 60, checkpoint=checkpoint, stop=after(25))
    resumed = build(name)
    given = run(resumed, data, 60, checkpoint=checkpoint)

    assert_same(resumed, straight)
    assert given.history == expected.history
    assert [row["step"] for row in given.history] == list(range(1, 61))
    assert not all(map(torch.equal, stopped.parameters(), straight.parameters()))


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if issubclass(m, VAE)])
def test_a_model_that_is_scored_meanwhile_ends_as_without(
    name: str, data: Toy, tmp_path: Path
) -> None:
    straight, checkpoint = build(name), tmp_path / "checkpoint.pt"
    expected = run(straight, data, 9)
    rows = np.arange(70)

    def scored(model: VAE, **more: Any) -> TrainingState:
        def score() -> dict[str, float]:
            assert not model.training
            return {
                "error": encode(model, data, rows, CPU).reconstruction,
                "drawn": float(torch.rand(1)),
            }

        return run(model, data, 9, score_every=2, score=score, checkpoint=checkpoint, **more)

    first, last = build(name), build(name)
    with pytest.raises(Interrupted):
        scored(first, stop=after(5))
    copy = checkpoint.read_bytes()
    for _ in range(2):  # the second time as after a kill beyond the checkpoint
        checkpoint.write_bytes(copy)
        last = build(name)
        given = scored(last)
        assert_same(last, straight)
        assert given.history == expected.history
        assert [row["step"] for row in given.scores] == [2, 4, 6, 8, 9]
    errors = [row["error"] for row in given.scores]
    assert len(set(errors)) == 5
    assert errors[-1] == encode(last.eval(), data, rows, CPU).reconstruction


def test_scoring_changes_neither_modes_nor_what_torch_draws(data: Toy) -> None:
    def dropping() -> VAE:
        model = tiny()
        model.decoder.append(nn.Dropout(0.2))
        model.encoder.append(nn.BatchNorm1d(model.latents.parameters))
        return model

    def trained(**more: Any) -> VAE:
        model = dropping()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            run(model, data, 8, **more)
        return model

    model = trained()
    drawn: list[float] = []
    assert_same(
        trained(score_every=2, score=lambda: drawn.append(float(torch.rand(1))) or {}), model
    )
    assert len(drawn) == 4
    assert model.training


class Slowing(FactorVAE):
    """FactorVAE whose discriminator learns at half the rate from each third step on."""

    def learning_rates(self, step: int) -> dict[str, float]:
        return {"discriminator": 1e-2 * 0.5 ** (step // 3)}


def slowing() -> VAE:
    with lent_global_torch_stream(0, "initialisation"):
        model = Slowing(image_shape=(1, 32, 32), continuous=2, hidden=4, layers=1)
    return dense(model, hidden=4)


def test_a_learning_rate_is_that_of_the_step_for_the_players_it_names(data: Toy) -> None:
    model, seen = slowing(), []
    optimizers = model.optimizers()
    model.optimizers = lambda: optimizers

    def watch(step: int, terms: dict[str, float]) -> None:
        seen.append([optimizers[p].param_groups[0]["lr"] for p in ("vae", "discriminator")])

    run(model, data, 7, watch=watch)
    assert seen == [[1e-4, 1e-2 * 0.5 ** (step // 3)] for step in range(1, 8)]


def test_the_learning_rate_of_a_step_is_what_moves_the_weights(data: Toy) -> None:
    model = tiny()
    before = [p.detach().clone() for p in model.parameters()]
    model.learning_rates = lambda step: {"vae": 0.0}
    run(model, data, 2)
    assert all(map(torch.equal, model.parameters(), before))


def test_a_stopped_training_goes_on_with_the_learning_rates_of_its_steps(
    data: Toy, tmp_path: Path
) -> None:
    straight, resumed, checkpoint = slowing(), slowing(), tmp_path / "checkpoint.pt"
    run(straight, data, 12)
    with pytest.raises(Interrupted):
        run(slowing(), data, 12, checkpoint=checkpoint, stop=after(5))
    run(resumed, data, 12, checkpoint=checkpoint)
    assert_same(resumed, straight)


def test_a_stop_amid_an_interval_keeps_the_sums(data: Toy, tmp_path: Path) -> None:
    straight, resumed, checkpoint = tiny(), tiny(), tmp_path / "checkpoint.pt"
    expected = run(straight, data, 620)
    assert [row["step"] for row in expected.history] == [*range(3, 619, 3), 620]
    with pytest.raises(Interrupted):
        run(tiny(), data, 620, checkpoint=checkpoint, stop=after(302))
    given = run(resumed, data, 620, checkpoint=checkpoint)
    assert given.history == expected.history
    assert_same(resumed, straight)


def test_a_row_of_the_history_is_the_mean_over_its_interval(data: Toy) -> None:
    model, seen = tiny(), []

    def objective(x: torch.Tensor, step: int, generator: torch.Generator) -> Objective:
        given = VAE.objective(model, x, step, generator)
        seen.append(given.terms["loss"].item())
        return given

    model.objective = objective
    rows = run(model, data, 411).history
    assert [row["step"] for row in rows] == [*range(2, 411, 2), 411]  # the last interval is short
    expected = [*np.reshape(seen[:-1], (-1, 2)).mean(1), seen[-1]]
    np.testing.assert_allclose([row["loss"] for row in rows], expected, rtol=1e-6)


def test_checkpoints_written_on_the_way_change_nothing(
    data: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed, resumed = tiny(), tiny(), tiny()
    checkpoint, written = tmp_path / "checkpoint.pt", []
    expected = run(straight, data, 12)

    def write(path: Path, state: dict[str, Any]) -> None:
        write_checkpoint(path, state)
        written.append(state["progress"]["step"])

    def kill(step: int, terms: dict[str, float]) -> None:
        if step == 8:
            raise KeyboardInterrupt

    write_checkpoint = loop.write_checkpoint
    monkeypatch.setattr(loop, "write_checkpoint", write)
    with pytest.raises(KeyboardInterrupt):
        run(killed, data, 12, checkpoint=checkpoint, checkpoint_seconds=0, watch=kill)
    assert written == list(range(1, 8))
    given = run(resumed, data, 12, checkpoint=checkpoint, checkpoint_seconds=math.inf)
    assert written == [*range(1, 8), 12]
    assert given.history == expected.history
    assert_same(resumed, straight)

    finished = run(tiny(), data, 12, checkpoint=checkpoint)
    assert (finished.step, finished.history) == (12, expected.history)
    assert finished.seconds >= given.seconds > given.data_seconds > 0


def test_every_step_is_watched(data: Toy) -> None:
    watched = []
    progress = run(tiny(), data, 5, watch=lambda step, terms: watched.append((step, dict(terms))))
    assert watched == list(enumerate(progress.history, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training(bad: float, data: Toy) -> None:
    model = tiny()

    def objective(x: torch.Tensor, step: int, generator: torch.Generator) -> Objective:
        given = VAE.objective(model, x, step, generator)
        terms = {**given.terms, "reconstruction": given.terms["reconstruction"] + bad}
        return Objective(given.losses, terms if step == 7 else given.terms)

    model.objective = objective
    with pytest.raises(Diverged, match="reconstruction not finite by step 7") as caught:
        run(model, data, 12)
    assert caught.value.step == 7


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot")
def test_denormal_numbers_are_zero_while_a_model_trains_and_not_later(data: Toy) -> None:
    def small() -> list[bool]:  # of a plain operation, and of a gradient
        weight = torch.ones(4, requires_grad=True)
        (weight * 1e-30).sum().backward(torch.tensor(1e-10))
        assert weight.grad is not None
        return [bool((torch.full((4,), 1e-30) * 1e-10 == 0).all()), bool((weight.grad == 0).all())]

    found: list[bool] = []
    run(tiny(), data, 3, watch=lambda step, terms: found.extend(small()))
    assert found == [True] * 6
    with pytest.raises(Interrupted):
        run(tiny(), data, 3, stop=lambda: True)
    assert small() == [False, False]


def test_images_are_shares_of_white(data: Toy) -> None:
    x = images(data, np.arange(5), CPU)
    assert (x.shape, x.dtype) == ((5, 1, 32, 32), torch.float32)
    assert np.array_equal(x.numpy() * 255, data.images(np.arange(5)))
    assert set(x.unique().tolist()) == {0.0, 1.0}


# streams


def test_the_rows_of_a_step_hang_on_the_seed_and_the_step_alone() -> None:
    def rows(seed: int, step: int) -> np.ndarray:
        return rows_stream(seed, step).integers(1000, size=64)

    draw = rows(3, 17)
    rows(3, 18)
    assert np.array_equal(rows(3, 17), draw)
    others = [rows(3, 18), rows(4, 17)]
    # 64 draws of 1000 agree in place by chance 0.06 times
    assert all((other == draw).sum() < 5 for other in others)


def test_the_rows_of_many_steps_cover_the_data_evenly() -> None:
    draws = [rows_stream(0, step).integers(50, size=64) for step in range(1, 501)]
    counts = np.bincount(np.concatenate(draws), minlength=50)
    assert len(counts) == 50  # none out of range
    assert np.abs(counts - 640).max() < 5 * math.sqrt(640)


def test_streams_differ_by_seed_and_by_name() -> None:
    names = [(0, "noise"), (0, "rows"), (1, "noise"), (0, "nois"), (0, "noise2")]
    with_numpy = {numpy_stream(*name).integers(2**63) for name in names}
    with_torch = {torch_stream(*name, CPU).initial_seed() for name in names}
    assert len(with_numpy) == len(with_torch) == len(names)
    one, other = numpy_stream(0, "noise"), numpy_stream(0, "noise")
    numpy_stream(0, "rows").random(100)
    assert one.random() == other.random()


def test_a_lent_global_stream_is_the_same_each_time_and_given_back() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before, drawn = torch.get_rng_state(), []
        for _ in range(2):
            with lent_global_torch_stream(0, "initialisation"):
                drawn.append(torch.rand(3).tolist())
            assert torch.equal(torch.get_rng_state(), before)
            torch.manual_seed(1)
        with (
            contextlib.suppress(ZeroDivisionError),
            lent_global_torch_stream(1, "initialisation"),
        ):
            drawn.append(torch.rand(3).tolist())
            raise ZeroDivisionError
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[1] != drawn[2]


# precision


def test_bfloat16_is_close_and_keeps_weights_and_losses_in_float32(data: Toy) -> None:
    histories = {}
    for precision in ("float32", "bfloat16"):
        model = build("jointvae")
        histories[precision] = run(model, data, 1, precision=precision).history
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    whole, half = (histories[name][-1] for name in ("float32", "bfloat16"))
    epsilon = torch.finfo(torch.bfloat16).eps
    assert half["reconstruction"] == pytest.approx(whole["reconstruction"], rel=epsilon)
    assert half["reconstruction"] != whole["reconstruction"]


def test_a_stopped_training_in_bfloat16_ends_where_an_undisturbed_one_does(
    data: Toy, tmp_path: Path
) -> None:
    straight, checkpoint = build("factorvae"), tmp_path / "checkpoint.pt"
    run(straight, data, 12, precision="bfloat16")
    with pytest.raises(Interrupted):
        run(
            build("factorvae"), data, 12, precision="bfloat16", checkpoint=checkpoint, stop=after(5)
        )
    resumed = build("factorvae")
    run(resumed, data, 12, precision="bfloat16", checkpoint=checkpoint)
    assert_same(resumed, straight)


# means per epoch


def test_an_epochs_means_are_over_the_steps_that_count(data: Toy) -> None:
    """Against the terms of each step, gathered from outside."""
    model = build("vae")
    steps: list[Objective] = []
    own = model.objective

    def kept(*arguments: Any) -> Objective:
        steps.append(own(*arguments))
        return steps[-1]

    model.objective = kept  # type: ignore[method-assign]
    epochs = run(model, data, 11, epochs=Epochs(steps=5, every=3)).epochs
    assert [(row["epoch"], row["step"]) for row in epochs] == [(1, 5), (2, 10)]
    for row, counted in zip(epochs, ([1, 4], [7, 10]), strict=True):
        chosen = [steps[step - 1] for step in counted]
        for name in ("loss", "reconstruction", "kl_continuous"):
            expected = float(np.mean([objective.terms[name].item() for objective in chosen]))
            assert row[name] == pytest.approx(expected, rel=1e-6)
        kl = torch.stack([objective.kl for objective in chosen]).mean(0).tolist()
        assert [row[f"kl_{latent}"] for latent in (1, 2, 3, 4)] == pytest.approx(kl, rel=1e-6)
        of_all = row["kl_continuous"] + row["kl_categorical"]
        assert of_all == pytest.approx(sum(kl), rel=1e-5)


@pytest.mark.parametrize("name", [n for n, model in MODELS.items() if issubclass(model, VAE)])
def test_the_kl_of_latents_sums_to_the_kl_that_is_logged(name: str, data: Toy) -> None:
    model = build(name)
    rows = loop.rows_of(model, data, np.random.default_rng(0), 8)
    noise = torch_stream(0, "noise", CPU)
    objective = model.objective(images(data, rows, CPU), 1, noise)
    total = sum(v.item() for k, v in objective.terms.items() if k.startswith("kl_"))
    if objective.kl is None:
        assert not [name for name in objective.terms if name.startswith("kl_")]
    else:
        assert objective.kl.sum().item() == pytest.approx(total, rel=1e-5)


def test_a_training_that_stops_within_an_epoch_has_the_same_means(
    data: Toy, tmp_path: Path
) -> None:
    epochs = Epochs(steps=6, every=2)
    whole = run(build("factorvae"), data, 14, epochs=epochs)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        run(build("factorvae"), data, 14, epochs=epochs, checkpoint=checkpoint, stop=after(9))
    assert run(build("factorvae"), data, 14, epochs=epochs, checkpoint=checkpoint).epochs == (
        whole.epochs
    )


def test_an_epoch_of_which_steps_are_missing_has_no_row(data: Toy, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        run(build("vae"), data, 8, checkpoint=checkpoint, stop=after(2))
    rows = run(build("vae"), data, 8, epochs=Epochs(4), checkpoint=checkpoint).epochs
    assert [row["epoch"] for row in rows] == [2]


def test_the_total_correlation_that_is_logged_is_the_one_that_is_minimised(data: Toy) -> None:
    model = build("factorvae")
    x = images(data, data.draw(np.random.default_rng(0), 8), CPU)
    terms = model.objective(x, 1, torch_stream(0, "noise", CPU)).terms
    rest = terms["loss"] - terms["reconstruction"] - terms["kl_continuous"]
    rest = rest - terms["kl_categorical"]
    assert (rest / model.gamma).item() == pytest.approx(terms["total_correlation"].item(), abs=1e-5)
