"""One training step, as it is written or as a CUDA graph: its kernels launched as one.

What a graph holds is fixed: the batch is copied into its tensor, the step is a number on the
device, and the objective may neither ask for a value nor compute with the step in Python.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.models import VAE, Objective
from bench.store.run import Precision

WARM = 3  # steps as usual first: libraries set themselves up, optimisers make their state


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 on the CPU meanwhile.

    Pixels that a decoder is sure of have such gradients, and a processor takes several times as
    long for them. Not for longer, as numpy warns of it.
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
    """Move every player by its own gradient on one batch (B, C, H, W); the objective before.

    With bfloat16 the layers compute in that type, by torch's autocast; weights, losses and
    optimisers stay in float32.
    """
    lower = precision == "bfloat16"
    with torch.autocast(x.device.type, torch.bfloat16) if lower else contextlib.nullcontext():
        objective = model.objective(x, step, noise)
    for left, (player, loss) in enumerate(objective.losses.items(), 1 - len(players)):
        # all gradients before any step, and none to another player's parameters
        loss.backward(inputs=players[player], retain_graph=left < 0)
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return objective


class CannotCapture(ValueError):
    """This model can be trained, but its steps cannot be captured."""


class Captured:
    """`take_step` of one model on batches of one shape, with the step on the device.

    The first steps are taken as usual. Then one is captured, and replayed from there on. In it
    the objective is given the step as a tensor, float32 ().

    Raises CannotCapture from the step that is captured, where the objective does what a graph
    cannot hold.
    """

    def __init__(
        self,
        model: VAE,
        noise: torch.Generator,
        players: Mapping[str, list[nn.Parameter]],
        optimizers: Mapping[str, torch.optim.Optimizer],
        precision: Precision = "float32",
    ) -> None:
        self._model, self._noise, self._precision = model, noise, precision
        self._players, self._optimizers = players, optimizers
        self._stream = torch.cuda.Stream(noise.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._taken = 0
        self._objective = Objective({}, {})

    def __call__(self, x: Tensor, step: int) -> Objective:
        """As `take_step`. The terms are the caller's to keep, the losses are not."""
        if self._taken < WARM:
            self._taken += 1
            with self._aside():
                return self._take(x, step)
        if self._graph is None:
            self._x = torch.empty_like(x)
            self._step = torch.zeros((), device=x.device)
            self._graph = self._captured()
        self._x.copy_(x)
        self._step.fill_(step)
        self._graph.replay()
        terms = {name: term.clone() for name, term in self._objective.terms.items()}
        return Objective(self._objective.losses, terms)

    def _take(self, x: Tensor, step: Any) -> Objective:
        return take_step(
            self._model, x, step, self._noise, self._players, self._optimizers, self._precision
        )

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._noise)
        groups = [group for each in self._optimizers.values() for group in each.param_groups]
        try:
            for group in groups:
                group["capturable"] = True
            with torch.cuda.graph(graph, stream=self._stream):
                self._objective = self._take(self._x, self._step)
        except Exception as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise CannotCapture(
                f"{type(self._model).__name__}: the step cannot be captured ({reason}): leave out "
                "--capture"
            ) from error
        finally:
            for group in groups:  # a checkpoint is to be of use without a GPU
                group["capturable"] = False
        return graph

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the stream from which a step is captured."""
        before = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            yield
        before.wait_stream(self._stream)
