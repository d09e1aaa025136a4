"""Train disentangled VAEs on data with known generative factors and compare them.

Everything public is in `__all__` and is loaded when it is first used: `import bench` itself takes
milliseconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "RequestError",
    "Scores",
    "Study",
    "datasets",
    "evaluate",
    "fit",
    "load",
    "metrics",
    "models",
    "plots",
    "published",
    "represent",
    "run",
]

# Where each name is; without a colon it is the module itself.
_PLACES = {
    "RequestError": "bench.errors:RequestError",
    "Scores": "bench.api.scores:Scores",
    "Study": "bench.api.study:Study",
    "datasets": "bench.datasets",
    "evaluate": "bench.api.scores:evaluate",
    "fit": "bench.api.training:fit",
    "load": "bench.api.study:load",
    "metrics": "bench.metrics",
    "models": "bench.models",
    "plots": "bench.report.plots",
    "published": "bench.api.study:published",
    "represent": "bench.api.training:represent",
    "run": "bench.api.run:run",
}

if TYPE_CHECKING:
    from bench import datasets, metrics, models
    from bench.api.run import run
    from bench.api.scores import Scores, evaluate
    from bench.api.study import Study, load, published
    from bench.api.training import fit, represent
    from bench.errors import RequestError
    from bench.report import plots


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = importlib.import_module(module)
    globals()[name] = getattr(value, attribute) if attribute else value
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
