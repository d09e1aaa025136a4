"""A metric to be checked, and the arrays to check it on."""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.metrics import Representation
from bench.metrics.arrays import MISSING

ROWS = 400
SIZES = (3, 4, 5)
KINDS = ("categorical", "ordinal", "cyclic")
SEEDS = 5  # behind the estimate of a metric's own noise

Arrays = dict[str, Any]
CASES: dict[str, Callable[[Arrays], Arrays]] = {
    "constant codes": lambda a: a | {"codes": np.full_like(a["codes"], 0.1)},
    "one latent": lambda a: {
        "factors": a["factors"],
        "codes": a["codes"][:, :1],
        "logvar": a["logvar"][:, :1],
    },
    "no categorical latent": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "codes", "logvar")
    },
    "categorical latents only": lambda a: {
        key: a[key] for key in ("factors", "factor_kinds", "categories", "probabilities")
    },
    "missing labels (-1)": lambda a: (
        a | {"factors": np.where(_every(7, a["factors"]), MISSING, a["factors"])}
    ),
    "a continuous factor": lambda a: (
        a
        | {
            "factors": np.hstack([a["factors"][:, :2], a["codes"][:, 2:]]),
            "factor_kinds": ("categorical", "ordinal", "continuous"),
        }
    ),
}


class Subject:
    """A metric with the options to call it by, and its author's file."""

    def __init__(
        self, metric: Callable[..., Any], options: Mapping[str, Any], file: Path | None
    ) -> None:
        self.metric, self.options, self.file = metric, options, file

    def score(self, arrays: Mapping[str, Any], seed: int = 0) -> Any:
        """What the metric answers about some arrays, by a generator of its own."""
        made = Representation.of(**arrays)
        with _same_globals():
            return self.metric(made, np.random.default_rng(seed), **self.options)

    @cached_property
    def usual(self) -> Any:
        """The answer about ordinary codes: entangled, noisy, of every kind."""
        return self.score(ordinary())

    @cached_property
    def noise(self) -> float:
        """How far its value moves by its own draws."""
        others = [self.score(ordinary(), seed).value for seed in range(1, SEEDS)]
        return float(np.ptp([self.usual.value, *others]))

    def moved(self, arrays: Mapping[str, Any]) -> float:
        """By how much these arrays move the value beyond its noise; 0 within it."""
        change = float(self.score(arrays).value) - float(self.usual.value)
        slack = 4 * self.noise + 1e-6 * max(1.0, abs(self.usual.value))
        return change if abs(change) > slack else 0.0


def ordinary() -> Arrays:
    """Arrays of codes at no end of any range, fresh at every call."""
    rng = np.random.default_rng(7)
    factors = rng.integers(SIZES, size=(ROWS, 3))
    mixing = np.array([[1.0, 0.6, 0.1], [0.3, 1.0, 0.5], [0.6, 0.3, 1.0]])
    codes = factors / np.array(SIZES) @ mixing + 0.2 * rng.normal(size=(ROWS, 3))
    lost = rng.random(ROWS) < 0.4
    shape = np.where(lost, rng.integers(3, size=ROWS), factors[:, 0])
    return {
        "factors": factors,
        "factor_kinds": KINDS,
        "codes": codes,
        "categories": shape[:, None],
        "logvar": 0.5 * np.tanh(codes) - 2.5,
        "probabilities": 0.1 + 0.7 * np.eye(3)[shape],
    }


def _every(n: int, array: Any) -> Any:
    """True in every n-th place."""
    return np.arange(array.size).reshape(array.shape) % n == 0


@contextlib.contextmanager
def _same_globals() -> Iterator[None]:
    """A metric that draws from global generators fails the promise on these, and no other."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
