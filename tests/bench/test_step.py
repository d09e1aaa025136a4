"""A training step as a CUDA graph; on the CPU what such a graph asks of the models."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.datasets import Toy
from bench.models import MODELS, VAE, BetaVAE, CascadeVAE, FactorVAE, JointVAE
from bench.train.loop import train
from bench.train.step import WARM, CannotCapture, Captured

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")
CPU = torch.device("cpu")
UNCAPTURED = {"cascadevae"}  # its objective solves an assignment outside torch
TRAINED = [name for name, model in MODELS.items() if issubclass(model, VAE)]


def built(name: str) -> VAE:
    torch.manual_seed(0)
    model = MODELS[name](image_shape=(1, 32, 32))
    assert isinstance(model, VAE)
    return model


@pytest.mark.parametrize("name", sorted(set(TRAINED) - UNCAPTURED))
@pytest.mark.parametrize("step", [1, 700, 10**6])
def test_an_objective_of_a_step_that_is_a_tensor(name: str, step: int) -> None:
    model, x = built(name), torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    found = []
    for given in (step, torch.tensor(float(step))):
        objective = model.objective(x, given, torch.Generator().manual_seed(2))  # type: ignore[arg-type]
        found.append({**objective.losses, **{f"term {k}": v for k, v in objective.terms.items()}})
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-5, atol=1e-5)
        assert found[1][key].dtype == torch.float32


class Replayed:
    """In place of a CUDA graph: does what was captured, which took no step itself."""

    def __init__(self) -> None:
        self.held: Callable[[], None] = lambda: None

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generator = generator

    def replay(self) -> None:
        self.held()


@pytest.fixture
def no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's names, of things that do without CUDA."""

    class Stream:
        device = CPU

        def __init__(self, device: torch.device) -> None: ...

        def wait_stream(self, other: Any) -> None: ...

    def captured(self: Captured) -> Any:
        graph = Replayed()

        def held() -> None:
            objective = self._take(self._x, self._step)
            if not self._objective.terms:
                self._objective = objective
            for name, term in objective.terms.items():  # always the same tensors
                self._objective.terms[name].detach().copy_(term.detach())

        graph.held = held
        return graph

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(Captured, "_captured", captured)


def history(model: VAE, device: torch.device, steps: int, **options: Any) -> list[dict[str, float]]:
    data = Toy(image_size=32)
    return train(model, data, steps=steps, batch_size=8, seed=0, device=device, **options).history


@pytest.mark.usefixtures("no_graphs")
@pytest.mark.parametrize("name", ["jointvae", "factorvae"])
def test_every_replayed_step_has_its_own_batch_and_number(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.train.loop.interval_of", lambda steps: 4)  # means over several steps
    plain, replayed = built(name), built(name)
    rows = [
        history(plain, CPU, WARM + 4),
        history(replayed, CPU, WARM + 4, capture=True),
    ]
    assert len(rows[0]) == len(rows[1])
    for one, other in zip(*rows, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    for weight, other in zip(plain.parameters(), replayed.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)


@gpu
@pytest.mark.parametrize("kind", [BetaVAE, JointVAE, FactorVAE])
def test_on_a_gpu_replayed_steps_end_where_others_end(kind: type[VAE], tmp_path: Path) -> None:
    torch.backends.cudnn.deterministic = True
    device, ends = torch.device("cuda"), []
    for capture in (False, True):
        torch.manual_seed(0)
        model = kind(image_shape=(1, 32, 32)).to(device, memory_format=torch.channels_last)
        path = tmp_path / f"{capture}.pt"
        rows = history(model, device, WARM + 20, capture=capture, checkpoint=path)
        ends.append((rows, [weight.detach() for weight in model.parameters()]))
        saved = torch.load(path, weights_only=True)
        groups = [g for state in saved["optimizers"].values() for g in state["param_groups"]]
        assert not any(group["capturable"] for group in groups)
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        assert other == pytest.approx(one, rel=1e-3)
    for weight, of_replayed in zip(ends[0][1], ends[1][1], strict=True):
        torch.testing.assert_close(weight, of_replayed, rtol=1e-2, atol=1e-4)


@gpu
def test_on_a_gpu_a_model_that_leaves_torch_is_refused() -> None:
    model = CascadeVAE(image_shape=(1, 32, 32)).to("cuda")
    with pytest.raises(CannotCapture, match="leave out --capture"):
        history(model, torch.device("cuda"), WARM + 2, capture=True)


@gpu
def test_on_a_gpu_a_model_that_asks_for_a_value_is_refused() -> None:
    class Asks(BetaVAE):
        """Looks at a number each step."""

        def regularizer(self, posterior: Any, z: Tensor, step: int) -> Tensor:
            kl = super().regularizer(posterior, z, step)
            return kl if float(kl) < 1 else 2 * kl

    model = Asks(image_shape=(1, 32, 32)).to("cuda")
    with pytest.raises(CannotCapture, match="Asks"):
        history(model, torch.device("cuda"), WARM + 2, capture=True)
