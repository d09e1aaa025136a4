"""Models of one kind stacked to one: their objectives, their draws, their optimisers.

M models become one whose parameters have a first dimension M. `torch.func.vmap` computes the M
objectives at once, and as none depends on another's parameters, the gradient of their sum is that
of each. Only the order in which numbers are added up differs from one model alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.models import VAE, Objective

# They move each number by its own gradient alone, so that stacked models stay apart.
ELEMENTWISE = (torch.optim.Adam, torch.optim.AdamW)

Numbers = dict[str, Tensor]


class CannotStack(ValueError):
    """These models can be trained alone, but not as one model."""


def tensors_of(model: VAE) -> Numbers:
    """Parameters and buffers, by the names that `objectives` knows them by."""
    module = _Objective(model)
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def objectives(
    model: VAE, tensors: Numbers, x: Tensor, step: int, noise: Sequence[torch.Generator]
) -> tuple[Numbers, Numbers]:
    """Losses and terms, (M,) each, of M models like `model` on their batches (M, B, C, H, W).

    tensors: those of `tensors_of`, stacked; noise: a generator for each model.

    Raises CannotStack where the objective does what `vmap` cannot do.
    """
    module, draws = _Objective(model), _Draws(noise)

    def of_one(tensors: Numbers, x: Tensor, index: Tensor) -> tuple[Numbers, Numbers]:
        draws.index = index
        with draws:
            given = torch.func.functional_call(module, tensors, (x, step, draws.placeholder))
        return dict(given.losses), dict(given.terms)

    # "same" lets tensors be drawn that are not stacked, which `_Draws` does and then stacks
    of_all = torch.func.vmap(of_one, randomness="same")
    try:
        losses, terms = of_all(tensors, x, torch.arange(len(noise), device=x.device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise CannotStack(
            f"{type(model).__name__}: the objective of step {step} cannot be computed for several "
            f"seeds at once ({reason}): leave out --together"
        ) from error
    return losses, terms


def stack_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], stacked: Mapping[int, Tensor]
) -> torch.optim.Optimizer:
    """One optimiser of stacked parameters, which are found by the `id` of the first's.

    Raises CannotStack where an optimiser might let one model's gradients move another.
    """
    first = optimizers[0]
    kind = next((kind for kind in ELEMENTWISE if type(first) is kind), None)
    if kind is None:
        raise CannotStack(
            f"{type(first).__name__} may mix the seeds, of Adam and AdamW it is known that they "
            "do not: leave out --together"
        )
    together = kind(
        [
            {**group, "params": [stacked[id(parameter)] for parameter in group["params"]]}
            for group in first.param_groups
        ]
    )
    for same in zip(*map(_parameters, optimizers), strict=True):
        states = [one.state.get(p, {}) for one, p in zip(optimizers, same, strict=True)]
        if states[0]:
            together.state[stacked[id(same[0])]] = {
                key: value.clone() if key == "step" else torch.stack([s[key] for s in states])
                for key, value in states[0].items()
            }
    return together


def unstack_optimizer(
    together: torch.optim.Optimizer, index: int, optimizer: torch.optim.Optimizer
) -> None:
    """Give a member's optimiser its part of the state, in the layout of its parameters."""
    for ours, its in zip(_parameters(together), _parameters(optimizer), strict=True):
        if ours in together.state:
            optimizer.state[its] = {
                key: value.clone() if key == "step" else torch.empty_like(its).copy_(value[index])
                for key, value in together.state[ours].items()
            }


class _Objective(nn.Module):
    """A model's objective as a module of its own, which `functional_call` can call."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, step: int, generator: torch.Generator) -> Objective:
        objective: Objective = self.model.objective(x, step, generator)
        return objective


class _Draws(TorchFunctionMode):
    """Inside `vmap`: what is drawn from the placeholder comes from each member's own generator.

    `vmap` itself knows only one generator. `index` is the member's, as `vmap` sees it. A draw is
    the same as alone if its values depend on nothing but arguments that all members share.
    """

    index: Tensor

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.generators = generators
        self.placeholder = torch.Generator(generators[0].device)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not any(value is self.placeholder for value in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        name = func.__name__
        fills = name.endswith("_")  # the tensor that it is a method of, as normal_ does
        shape = args[:1] if fills or name.endswith("_like") else ()
        rest = args[len(shape) :]
        if any(isinstance(value, Tensor) for value in (*rest, *kwargs.values())):
            raise RuntimeError(f"{name} draws with tensors as arguments")
        drawn = []
        for own in self.generators:
            target = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in shape]
            values = [own if value is self.placeholder else value for value in rest]
            named = {k: own if v is self.placeholder else v for k, v in kwargs.items()}
            drawn.append(func(*target, *values, **named))
        mine = torch.stack(drawn).index_select(0, self.index[None])[0]
        return args[0].copy_(mine) if fills else mine


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
