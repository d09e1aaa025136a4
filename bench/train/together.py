"""Several seeds of one model trained as one model: each gets the numbers of training it alone.

A step is about as many operations as that of one model, each M times the size. It is meant for a
GPU, which small models keep waiting for its next operation; on the CPU it is slower than alone.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.datasets import FactorData
from bench.models import VAE
from bench.store.files import write_checkpoint
from bench.store.run import Precision
from bench.streams import rows_stream, torch_stream
from bench.train.feed import Resident, images, rows_of
from bench.train.loop import (
    Diverged,
    Interrupted,
    Progress,
    close_interval,
    interval_of,
    load,
    state_of,
)
from bench.train.stacking import (
    CannotStack,
    objectives,
    stack_optimizers,
    tensors_of,
    unstack_optimizer,
)
from bench.train.step import without_denormals

Ending = Progress | Diverged | Interrupted


@without_denormals()
def train_together(
    models: Sequence[VAE],
    data: FactorData,
    *,
    steps: int,
    batch_size: int,
    seeds: Sequence[int],
    device: torch.device,
    precision: Precision = "float32",
    checkpoints: Sequence[Path] | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[int, int, dict[str, float]], None] = lambda index, step, terms: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Ending]:
    """Train models that differ in their seeds alone: what `train` returns or raises for each.

    All is as in `train`; `watch` also gets the index of the model. A checkpoint is that of one
    model, which can go on alone or in another group. Models that are behind are trained first, as
    far as the next one is. A model that diverges leaves the group, which goes on. The seconds of
    the group are shared out evenly.

    Raises CannotStack, before anything is trained, for another precision than float32, where an
    optimiser is not elementwise, or where the objective of the first step or of the last one
    cannot be computed for all models at once. Where one between cannot, the checkpoints stay as
    they are.
    """
    if precision != "float32":  # autocast misses what vmap takes apart first, as convolutions
        raise CannotStack(
            f"precision={precision}: seeds train together in float32: leave out --together"
        )
    places: Sequence[Path | None] = checkpoints or [None] * len(models)
    members = [
        _Member(index, model, seed, place, device)
        for index, (model, seed, place) in enumerate(zip(models, seeds, places, strict=True))
    ]
    interval = interval_of(steps)
    missing = sum(steps - one.progress.step for one in members)
    resident = None
    if Resident.worthwhile(data, device, missing, batch_size):
        resident = Resident(data, device)
    while left := [one for one in members if one.ending is None and one.progress.step < steps]:
        least, until = sorted({steps, *(one.progress.step for one in left)})[:2]
        stack = _Stack([one for one in left if one.progress.step == least], device)
        started = time.monotonic()
        for step in range(least + 1, until + 1):
            x = stack.batch(data, resident, step, batch_size)
            if step == least + 1:
                stack.rehearse(x, steps)
            stack.take_step(x, step)
            if stack.count == interval or step == steps:
                stack.close_interval()
            for one in stack.running:
                watch(one.index, step, one.progress.history[-1] if one.progress.history else {})
            stopped = step < steps and stop()
            overdue = time.monotonic() - started > checkpoint_seconds
            if stopped or overdue or len(stack.running) < len(stack.members):
                break
        stack.give_back(time.monotonic() - started)
        for one in stack.running:
            one.save()
        if stopped:
            for one in left:
                if one.ending is None:
                    reached = one.progress.step
                    one.ending = Interrupted(f"stopped at step {reached} of {steps}")
    return [one.ending or one.progress for one in members]


class _Member:
    """One of the models, as `train` would have it, from its checkpoint where there is one."""

    ending: Diverged | Interrupted | None = None

    def __init__(
        self, index: int, model: VAE, seed: int, checkpoint: Path | None, device: torch.device
    ) -> None:
        self.index, self.model, self.seed, self.checkpoint = index, model, seed, checkpoint
        self.players, self.optimizers = model.players(), model.optimizers()
        self.noise = torch_stream(seed, "noise", device)
        self.progress = Progress()
        if checkpoint is not None and checkpoint.exists():
            self.progress = load(checkpoint, model, self.optimizers, self.noise, device)
        model.train()

    def save(self) -> None:
        if self.checkpoint is not None:
            state = state_of(self.progress, self.model, self.optimizers, self.noise)
            write_checkpoint(self.checkpoint, state)


class _Stack:
    """Members at the same step as one model, first dimension M; `give_back` moves themselves."""

    def __init__(self, members: Sequence[_Member], device: torch.device) -> None:
        first = members[0]
        self.members, self.device = members, device
        self.tensors = {
            name: torch.stack([tensors_of(one.model)[name].detach() for one in members])
            for name in tensors_of(first.model)
        }
        stacked = {}
        for name, tensor in tensors_of(first.model).items():
            stacked[id(tensor)] = self.tensors[name].requires_grad_(tensor.requires_grad)
        self.players = {
            player: [stacked[id(parameter)] for parameter in parameters]
            for player, parameters in first.players.items()
        }
        self.optimizers = {
            player: stack_optimizers([one.optimizers[player] for one in members], stacked)
            for player in first.optimizers
        }
        self.sums = {
            name: torch.stack([one.progress.sums[name] for one in members])
            for name in first.progress.sums
        }
        self.count = first.progress.count

    @property
    def running(self) -> list[_Member]:
        return [one for one in self.members if one.ending is None]

    def batch(
        self, data: FactorData, resident: Resident | None, step: int, batch_size: int
    ) -> Tensor:
        """The images of a step, of each member its own, (M, B, C, H, W)."""
        before = time.monotonic()
        rows = np.concatenate(
            [
                rows_of(one.model, data, rows_stream(one.seed, step), batch_size)
                for one in self.members
            ]
        )
        x = images(data, rows, self.device) if resident is None else resident.images(rows)
        for one in self.members:
            one.progress.data_seconds += (time.monotonic() - before) / len(self.members)
        return x.view(len(self.members), -1, *x.shape[1:])

    def rehearse(self, x: Tensor, step: int) -> None:
        """Raise CannotStack where the objective of a step to come cannot be computed."""
        spare = {name: tensor.clone() for name, tensor in self.tensors.items()}
        with torch.no_grad():
            noise = [torch.Generator(self.device) for _ in self.members]
            objectives(self.members[0].model, spare, x, step, noise)

    def take_step(self, x: Tensor, step: int) -> None:
        """As `train.take_step`, for each member on its batch; the terms are added to the sums."""
        noise = [one.noise for one in self.members]
        losses, terms = objectives(self.members[0].model, self.tensors, x, step, noise)
        for left, (player, loss) in enumerate(losses.items(), 1 - len(self.players)):
            loss.sum().backward(inputs=self.players[player], retain_graph=left < 0)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.count += 1
        for name, term in terms.items():
            term = term.detach()
            self.sums[name] = self.sums[name] + term if name in self.sums else term
        for one in self.members:
            one.progress.step = step

    def close_interval(self) -> None:
        """Append the interval's means to the histories; members that diverged end here."""
        sums = torch.stack(list(self.sums.values())).cpu()  # what waits for the device
        for index, one in enumerate(self.members):
            one.progress.sums = dict(zip(self.sums, sums[:, index], strict=True))
            one.progress.count = self.count
            try:
                close_interval(one.progress)
            except Diverged as error:
                one.ending = error
        self.sums, self.count = {}, 0

    @torch.no_grad()
    def give_back(self, seconds: float) -> None:
        """Move the members to where the stack stands, which took so many seconds."""
        for index, one in enumerate(self.members):
            for name, tensor in tensors_of(one.model).items():
                tensor.copy_(self.tensors[name][index])
            for player, optimizer in one.optimizers.items():
                unstack_optimizer(self.optimizers[player], index, optimizer)
            one.progress.sums = {name: term[index].clone() for name, term in self.sums.items()}
            one.progress.count = self.count
            one.progress.seconds += seconds / len(self.members)
