"""One training step."""

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.models import VAE, Objective
from bench.store.run import Precision


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 on the CPU inside the block.

    Pixels that a decoder is sure of have such gradients, and a processor takes several times as
    long for them. The setting is undone afterwards, as numpy warns about it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Optimisers do not load torch's compiler inside the block, which takes a second.

    Some of their methods are kept out of compiled code, for which the first call of each imports
    all of torch._dynamo. Nothing is compiled here. Where the compiler is loaded already, or torch
    keeps the methods out in another way, all stays as it is.
    """
    methods = [getattr(getattr(Optimizer, name), "__wrapped__", None) for name in _NOT_COMPILED]
    spared = [m for m in methods if m is not None and not hasattr(m, _KEPT_OUT)]
    if compiler_is_loaded():
        spared = []
    for method in spared:
        setattr(method, _KEPT_OUT, method)
    try:
        yield
    finally:
        for method in spared:
            delattr(method, _KEPT_OUT)


_KEPT_OUT = "__dynamo_disable"  # torch/_compile.py: what is called in the place of a method
_NOT_COMPILED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def compiler_is_loaded() -> bool:
    """Whether torch has imported its compiler in this process."""
    return "torch._dynamo" in sys.modules


def step_of(optimizer: Optimizer) -> Callable[[], Any]:
    """The step of an optimiser; of torch's own without what loads the compiler, see above.

    That is the same step without its wrappers, which call hooks, note it for the profiler and tell
    the compiler not to look inside. With hooks, or where the compiler is loaded already, it is
    `optimizer.step`.
    """
    kind = type(optimizer)
    hooked = any(getattr(optimizer, name, {}) for name in _HOOKS)
    if compiler_is_loaded() or hooked or not kind.__module__.startswith("torch.optim."):
        return optimizer.step
    return torch.no_grad()(partial(inspect.unwrap(kind.step), optimizer))


def take_step(
    model: VAE,
    x: Tensor,
    step: int,
    noise: torch.Generator,
    players: Mapping[str, list[nn.Parameter]],
    optimizers: Mapping[str, Optimizer],
    precision: Precision = "float32",
) -> Objective:
    """Move every player by its own gradient on one batch.

    Args:
        model: the model.
        x: images, (B, C, H, W), on the model's device.
        step: number of the step, from 1 on, for the schedules of the objective and the learning
            rates.
        noise: generator of all random draws of the objective, on the device.
        players: the parameters of each player.
        optimizers: one per player.
        precision: with bfloat16 the layers compute in that type, by torch's autocast; weights,
            losses and optimisers stay in float32.

    Returns:
        The objective before the step.
    """
    lower = precision == "bfloat16"
    with torch.autocast(x.device.type, torch.bfloat16) if lower else contextlib.nullcontext():
        objective = model.objective(x, step, noise)
    for left, (player, loss) in enumerate(objective.losses.items(), 1 - len(players)):
        # all gradients before any step, and none to another player's parameters
        loss.backward(inputs=players[player], retain_graph=left < 0)
    for player, rate in model.learning_rates(step).items():
        for group in optimizers[player].param_groups:
            group["lr"] = rate
    for optimizer in optimizers.values():
        step_of(optimizer)()
        optimizer.zero_grad(set_to_none=True)
    return objective
