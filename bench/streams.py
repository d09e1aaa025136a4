"""Named streams of randomness: what one of them draws changes no other.

Every run has one seed. Each purpose ("rows", "noise", "mig", ...) has a generator of its own,
derived from the seed and the purpose's name, so that adding a model or a metric changes nobody
else's numbers.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # scores need streams too, and no torch
    import torch


def numpy_stream(seed: int, name: str) -> np.random.Generator:
    """The numpy generator of a purpose."""
    return np.random.default_rng(_sequence(seed, name))


def torch_stream(seed: int, name: str, device: "torch.device") -> "torch.Generator":
    """The torch generator of a purpose, on the device where it draws."""
    import torch

    return torch.Generator(device).manual_seed(_integer(seed, name))


def rows_stream(seed: int, step: int) -> np.random.Generator:
    """The numpy generator that draws the rows of one training step.

    A function of the step alone, so that a resumed run needs no state to go on.
    """
    key = _sequence(seed, "rows").generate_state(2, np.uint64)
    philox = np.random.Philox(key=key, counter=[0, 0, 0, step])
    return np.random.Generator(philox)


@contextlib.contextmanager
def lent_global_torch_stream(seed: int, name: str) -> Iterator[None]:
    """Inside, torch's global generator draws from a purpose's stream; afterwards it is as before.

    Layers initialise themselves from the global generator and take no other.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_integer(seed, name))
        yield


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, *name.encode()])


def _integer(seed: int, name: str) -> int:
    return int(_sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1))
