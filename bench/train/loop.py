"""The one training loop. It knows nothing of any model but `objective`, `players`, `optimizers`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.datasets import FactorData
from bench.models import VAE
from bench.store.files import write_checkpoint
from bench.store.run import Precision
from bench.streams import rows_stream, torch_stream
from bench.train.feed import Resident, images, rows_of
from bench.train.step import Captured, take_step, without_denormals


class Diverged(Exception):
    """A loss is no longer a finite number.

    `step` ends the interval in which that was seen; `history` has the rows before it.
    """

    def __init__(self, step: int, terms: list[str], history: list[dict[str, float]]) -> None:
        super().__init__(f"{' and '.join(terms)} not finite by step {step}")
        self.step = step
        self.history = history


class Interrupted(Exception):
    """Training was asked to stop; its checkpoint is written."""


@dataclass
class Progress:
    """Where a training stands: all that a checkpoint holds beside weights and optimisers.

    history: one row an interval, with the step and the mean of every term over it (nats an image)
    sums, count: terms of the interval under way
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0


@without_denormals()
def train(
    model: VAE,
    data: FactorData,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device,
    precision: Precision = "float32",
    capture: bool = False,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[int, dict[str, float]], None] = lambda step, terms: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train for `steps` steps, from the checkpoint where there is one.

    A training that was stopped or killed and goes on from its checkpoint ends with the same
    weights as an undisturbed one on the same machine. `watch` gets every step and the newest row
    of the history; `stop` is asked after every step.

    With `capture` the steps are replayed as one CUDA graph.

    Raises Diverged, and Interrupted after `stop` said so (the checkpoint is written then);
    CannotCapture where a graph cannot hold the model's step.
    """
    players, optimizers = model.players(), model.optimizers()
    noise = torch_stream(seed, "noise", device)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = load(checkpoint, model, optimizers, noise, device)
    resident = None
    if Resident.worthwhile(data, device, steps - progress.step, batch_size):
        resident = Resident(data, device)
    captured = Captured(model, noise, players, optimizers, precision) if capture else None
    interval = interval_of(steps)
    model.train()
    started = saved = time.monotonic()
    spent_before = progress.seconds

    def save() -> None:
        progress.seconds = spent_before + time.monotonic() - started
        if checkpoint is not None:
            write_checkpoint(checkpoint, state_of(progress, model, optimizers, noise))

    for step in range(progress.step + 1, steps + 1):
        before = time.monotonic()
        rows = rows_of(model, data, rows_stream(seed, step), batch_size)
        x = images(data, rows, device) if resident is None else resident.images(rows)
        progress.data_seconds += time.monotonic() - before

        if captured is not None:
            objective = captured(x, step)
        else:
            objective = take_step(model, x, step, noise, players, optimizers, precision)
        progress.step = step
        progress.count += 1
        for name, term in objective.terms.items():
            term = term.detach()
            progress.sums[name] = progress.sums[name] + term if name in progress.sums else term
        if progress.count == interval or step == steps:
            close_interval(progress)
        watch(step, progress.history[-1] if progress.history else {})
        if step < steps and stop():
            save()
            raise Interrupted(f"stopped at step {step} of {steps}")
        if time.monotonic() - saved > checkpoint_seconds and step < steps:
            save()
            saved = time.monotonic()
    save()
    return progress


def interval_of(steps: int) -> int:
    """How many steps a row of the history stands for."""
    return max(1, min(100, steps // 200))


def close_interval(progress: Progress) -> None:
    """Append the interval's means to the history; the one place that waits for the device."""
    names = list(progress.sums)
    values = (torch.stack(list(progress.sums.values())) / progress.count).tolist()
    broken = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
    if broken:
        raise Diverged(progress.step, broken, progress.history)
    progress.history.append({"step": progress.step, **dict(zip(names, values, strict=True))})
    progress.sums, progress.count = {}, 0


def state_of(
    progress: Progress,
    model: VAE,
    optimizers: dict[str, torch.optim.Optimizer],
    noise: torch.Generator,
) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {
        "progress": vars(progress),
        "model": model.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "noise": noise.get_state(),
    }


def load(
    checkpoint: Path,
    model: VAE,
    optimizers: dict[str, torch.optim.Optimizer],
    noise: torch.Generator,
    device: torch.device,
) -> Progress:
    """Put all where the checkpoint has it; the progress there."""
    state = torch.load(checkpoint, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    noise.set_state(state["noise"].cpu())
    return Progress(**state["progress"])
