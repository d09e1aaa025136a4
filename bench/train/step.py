"""One training step."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

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


def take_step(
    model: VAE,
    x: Tensor,
    step: int,
    noise: torch.Generator,
    players: Mapping[str, list[nn.Parameter]],
    optimizers: Mapping[str, torch.optim.Optimizer],
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
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return objective
