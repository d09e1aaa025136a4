"""The one training loop, its batches and its checkpoints.

It knows nothing of a model but its `objective`, `players`, `optimizers` and what it takes as input.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets import FactorData
from bench.datasets.pairs import draw_pairs
from bench.epochs import OF_LATENT, Epochs
from bench.models import VAE, Encoder, Objective
from bench.store.files import predecessor, read_checkpoint, set_aside, write_checkpoint
from bench.store.run import Precision
from bench.streams import rows_stream, torch_stream
from bench.train.step import take_step, without_compiler, without_denormals

_BLOCK = 4096  # images that are drawn at once when a data set moves to a device
_SHARE = 0.5  # of a device's free memory that a data set may fill
_REASON = 200  # characters of what is wrong with a checkpoint: torch names every tensor


class Diverged(Exception):
    """A loss is no longer a finite number.

    Attributes:
        step: the end of the interval in which that was seen.
        history: the rows before it.
        scores: the rows of scores before it.
    """

    def __init__(self, state: "TrainingState", terms: list[str]) -> None:
        super().__init__(f"{' and '.join(terms)} not finite by step {state.step}")
        self.step = state.step
        self.history = state.history
        self.scores = state.scores


class Interrupted(Exception):
    """Training was asked to stop; its checkpoint is written."""


@dataclass
class TrainingState:
    """Where a training stands: all that a checkpoint holds besides weights and optimisers.

    Attributes:
        step: the last step taken.
        history: one row per interval, with the step and the mean of every term over the interval,
            in nats per image.
        sums: sums of the terms over the current interval.
        count: number of steps in the current interval.
        seconds: time spent training.
        data_seconds: the part of it that went into drawing batches.
        scores: one row per time that the model was scored, with the step and the scores.
        scoring_seconds: time spent on that, besides `seconds`.
        epochs: one row per epoch, with its number, its last step and the mean of every term and of
            the KL of each latent (`kl_1`, ...) over those of its steps that count.
        epoch_sums: their sums over the current epoch.
        epoch_count: number of steps of the current epoch that have counted.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    scores: list[dict[str, float]] = field(default_factory=list)
    scoring_seconds: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)
    epoch_sums: dict[str, Tensor] = field(default_factory=dict)
    epoch_count: int = 0


@without_denormals()
@without_compiler()
def train(
    model: VAE,
    data: FactorData,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device,
    precision: Precision = "float32",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    identity: str | None = None,
    score_every: int | None = None,
    score: Callable[[], Mapping[str, float]] = lambda: {},
    epochs: Epochs | None = None,
    watch: Callable[[int, dict[str, float]], None] = lambda step, terms: None,
    stop: Callable[[], bool] = lambda: False,
    notice: Callable[[str], None] = lambda text: None,
) -> TrainingState:
    """Train for `steps` steps, from the checkpoint on if there is one.

    A training that was stopped or killed and goes on from its checkpoint ends with the same
    weights as an undisturbed one on the same machine. So does one whose checkpoint is damaged: it
    goes on from the checkpoint before, or starts again.

    Args:
        model: the model, on the device.
        data: what it is trained on.
        steps: number of steps from the very start.
        batch_size: images per step.
        seed: of the rows and of the objective's noise.
        device: where to compute.
        precision: of the layers.
        checkpoint: file of the checkpoint; None for none.
        checkpoint_seconds: time between two checkpoints.
        identity: of the run; a checkpoint of another run is not gone on from.
        score_every: steps between two calls of `score`; None for none. It is also called after the
            last step.
        score: gives scores of the model, which is in evaluation mode meanwhile. The training goes
            on as if it had not been called.
        epochs: what the means per epoch are over; None for none.
        watch: called after every step with the step and the newest row of the history.
        stop: asked after every step whether to stop.
        notice: called with a line about each checkpoint that is set aside.

    Raises:
        Diverged: a term of the objective is no longer finite.
        Interrupted: `stop` said so; the checkpoint is written.
    """
    players, optimizers = model.players(), model.optimizers()
    noise = torch_stream(seed, "noise", device)
    state = TrainingState()
    if checkpoint is not None:
        state = resume(checkpoint, steps, identity, model, optimizers, noise, device, notice)
    resident = None
    if Resident.worthwhile(data, device, steps - state.step, batch_size):
        resident = Resident(data, device)
    interval = interval_of(steps)
    model.train()
    started = saved = time.monotonic()
    spent_before = state.seconds

    def save() -> None:
        state.seconds = spent_before + time.monotonic() - started
        if checkpoint is not None:
            write_checkpoint(checkpoint, checkpoint_of(state, model, optimizers, noise, identity))

    for step in range(state.step + 1, steps + 1):
        before = time.monotonic()
        rows = rows_of(model, data, rows_stream(seed, step), batch_size)
        x = images(data, rows, device) if resident is None else resident.images(rows)
        state.data_seconds += time.monotonic() - before

        objective = take_step(model, x, step, noise, players, optimizers, precision)
        state.step = step
        state.count += 1
        add(state.sums, objective.terms)
        if epochs is not None:
            follow(state, objective, epochs)
        if state.count == interval or step == steps:
            close_interval(state)
        if score_every and (step % score_every == 0 or step == steps):
            before = time.monotonic()
            state.scores.append({"step": step, **_undisturbed(model, score, device)})
            state.scoring_seconds += time.monotonic() - before
            started += time.monotonic() - before
        watch(step, state.history[-1] if state.history else {})
        if step < steps and stop():
            save()
            raise Interrupted(f"stopped at step {step} of {steps}")
        if time.monotonic() - saved > checkpoint_seconds and step < steps:
            save()
            saved = time.monotonic()
    save()
    return state


def interval_of(steps: int) -> int:
    """How many steps a row of the history stands for."""
    return max(1, min(100, steps // 200))


def add(sums: dict[str, Tensor], terms: Mapping[str, Tensor]) -> None:
    """Add terms to their sums."""
    for name, term in terms.items():
        sums[name] = sums[name] + term.detach() if name in sums else term.detach()


def follow(state: TrainingState, objective: Objective, epochs: Epochs) -> None:
    """Add a step to its epoch, and at the end of the epoch append its means.

    An epoch of which steps are missing, as another command has trained them, has no row.
    """
    if epochs.counts(state.step):
        add(state.epoch_sums, objective.terms)
        state.epoch_count += 1
        if objective.kl is not None:
            add(state.epoch_sums, {"kl": objective.kl})
    if not epochs.ends(state.step):
        return
    first = state.step - epochs.steps + 1
    if state.epoch_count == sum(epochs.counts(step) for step in range(first, state.step + 1)):
        row: dict[str, float] = {"epoch": state.step // epochs.steps, "step": state.step}
        for name, total in state.epoch_sums.items():
            means = (total / state.epoch_count).reshape(-1).tolist()
            of_latents = [f"{OF_LATENT}{latent}" for latent in range(1, len(means) + 1)]
            row |= dict(zip(of_latents if name == "kl" else [name], means, strict=True))
        state.epochs.append(row)
    state.epoch_sums, state.epoch_count = {}, 0


def close_interval(state: TrainingState) -> None:
    """Append the interval's means to the history; the one place that waits for the device."""
    names = list(state.sums)
    values = (torch.stack(list(state.sums.values())) / state.count).tolist()
    broken = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
    if broken:
        raise Diverged(state, broken)
    state.history.append({"step": state.step, **dict(zip(names, values, strict=True))})
    state.sums, state.count = {}, 0


def _undisturbed(
    model: VAE, score: Callable[[], Mapping[str, float]], device: torch.device
) -> Mapping[str, float]:
    """The scores of a model in evaluation mode; its mode and torch's generators stay."""
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.eval()
        try:
            return score()
        finally:
            model.train(modes[0][1])
            for module, training in modes:
                module.training = training


def checkpoint_of(
    state: TrainingState,
    model: VAE,
    optimizers: dict[str, torch.optim.Optimizer],
    noise: torch.Generator,
    identity: str | None = None,
) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {
        **({} if identity is None else {"run": identity}),
        "progress": vars(state),
        "model": model.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "noise": noise.get_state(),
    }


def resume(
    checkpoint: Path,
    steps: int,
    identity: str | None,
    model: VAE,
    optimizers: dict[str, torch.optim.Optimizer],
    noise: torch.Generator,
    device: torch.device,
    notice: Callable[[str], None],
) -> TrainingState:
    """Put everything where the newest good checkpoint has it, or leave it at the start.

    Checkpoints that are damaged, of another run or beyond the last step are set aside, and
    `notice` is called with a line about each.
    """
    candidates = [path for path in (checkpoint, predecessor(checkpoint)) if path.exists()]
    if not candidates:
        return TrainingState()
    start = copy.deepcopy(checkpoint_of(TrainingState(), model, optimizers, noise))
    state, problems = TrainingState(), []
    for path in candidates:
        try:
            held = read_checkpoint(path, device)
            if identity is not None and held.get("run", identity) != identity:
                raise ValueError("it is of another run")
            state = restore(held, steps, model, optimizers, noise)
            break
        except torch.OutOfMemoryError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            restore(start, steps, model, optimizers, noise)  # as it may have been half restored
            reason = " ".join(str(error).split())
            reason = reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."
            problems.append((path.name, reason, set_aside(path).name))
    ahead = f"training goes on from step {state.step}" if state.step else "training starts again"
    for name, reason, aside in problems:
        notice(f"{name} cannot be used ({reason}) and is kept as {aside}: {ahead}")
    return state


def restore(
    held: Mapping[str, Any],
    steps: int,
    model: VAE,
    optimizers: dict[str, torch.optim.Optimizer],
    noise: torch.Generator,
) -> TrainingState:
    """Put the model, the optimisers and the noise where a checkpoint has them.

    Raises:
        ValueError: it is beyond the last of the `steps`.
        KeyError, TypeError, AttributeError, RuntimeError: it is none of this model.
    """
    state = TrainingState(**held["progress"])
    if not 0 <= state.step <= steps:
        raise ValueError(f"it is of step {state.step}, and there are {steps}")
    model.load_state_dict(held["model"])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(held["optimizers"][name])
    noise.set_state(held["noise"].cpu())
    return state


def rows_of(
    model: Encoder, data: FactorData, rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """The rows of a batch, (count,): independent ones, or pairs for a model that takes pairs."""
    if model.input == "pairs":
        return draw_pairs(data, rng, count, model.changed)
    return data.draw(rng, count)


def images(data: FactorData, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Images of some rows as models take them: float32 (B, C, H, W) in [0, 1] on the device."""
    return _scaled(torch.from_numpy(data.images(rows)).to(device))


class Resident:
    """A data set's images on the device, one byte per pixel and channel, gathered there.

    It gives the same numbers as `images`, without a transfer of pixels at each step.
    """

    def __init__(self, data: FactorData, device: torch.device) -> None:
        self._pixels = torch.empty(len(data), *data.image_shape, dtype=torch.uint8, device=device)
        for start in range(0, len(data), _BLOCK):
            block = np.arange(start, min(start + _BLOCK, len(data)))
            self._pixels[start : start + len(block)] = torch.from_numpy(data.images(block))

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """Images (B, C, H, W) of some rows, as `images` gives them."""
        return _scaled(self._pixels[torch.from_numpy(rows).to(self._pixels.device)])

    @staticmethod
    def worthwhile(data: FactorData, device: torch.device, steps: int, batch_size: int) -> bool:
        """Whether the images go to the device: a GPU with room for them, and a training that draws
        more images than there are."""
        if device.type != "cuda" or steps * batch_size < len(data):
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return len(data) * int(np.prod(data.image_shape)) < _SHARE * free


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32).div_(255)
