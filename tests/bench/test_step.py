"""A step of an optimiser without torch's compiler is the same step."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.train.step import step_of, without_compiler

OPTIMISERS: dict[str, Any] = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no test had loaded the compiler before."""
    monkeypatch.setattr("bench.train.step.compiler_is_loaded", lambda: False)


def stepped(name: str, plain: bool) -> tuple[list[torch.Tensor], Any]:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    optimiser = OPTIMISERS[name](layer.parameters())
    for _ in range(4):
        layer(torch.randn(7, 5)).square().sum().backward()
        (step_of(optimiser) if plain else optimiser.step)()
        optimiser.zero_grad(set_to_none=True)
    return [p.detach().clone() for p in layer.parameters()], optimiser.state_dict()["state"]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_step_is_the_same(name: str, unloaded: None) -> None:
    plain, state = stepped(name, plain=True)
    expected, expected_state = stepped(name, plain=False)
    assert all(map(torch.equal, plain, expected))
    for key, numbers in state.items():
        for term, number in numbers.items():
            assert torch.equal(torch.as_tensor(number), torch.as_tensor(expected_state[key][term]))


def test_hooks_are_called(unloaded: None) -> None:
    layer = nn.Linear(2, 1)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    called: list[str] = []
    optimiser.register_step_post_hook(lambda *_: called.append("after"))
    layer(torch.ones(1, 2)).sum().backward()
    step_of(optimiser)()
    assert called == ["after"]


def test_an_optimiser_of_ones_own_keeps_its_step(unloaded: None) -> None:
    class Own(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            return super().step(closure)

    layer = nn.Linear(2, 1)
    optimiser = Own(layer.parameters(), lr=0.1)
    before = copy.deepcopy(layer.weight)
    layer(torch.ones(1, 2)).sum().backward()
    step_of(optimiser)()
    assert optimiser.steps == 1
    assert not torch.equal(layer.weight, before)


def test_afterwards_the_compiler_is_loaded_as_ever(tmp_path: Path) -> None:
    code = """
import sys, torch
from torch import nn
from bench.train.step import step_of, without_compiler
layer = nn.Linear(2, 1)
with without_compiler():
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    step_of(optimiser)()
    optimiser.zero_grad()
print("torch._dynamo" in sys.modules)
optimiser.zero_grad()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_a_loaded_compiler_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.train.step.compiler_is_loaded", lambda: True)
    optimiser = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    assert step_of(optimiser) == optimiser.step
    plain = torch.optim.Optimizer.zero_grad.__wrapped__
    before = getattr(plain, "__dynamo_disable", None)
    with without_compiler():
        assert getattr(plain, "__dynamo_disable", None) is before
