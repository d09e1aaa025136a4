"""One line on everything that has a name."""

import inspect
from collections.abc import Iterator

from bench.errors import RequestError
from bench.presets import PRESETS
from bench.resolve import Kind, registry, unknown

_KINDS: dict[str, Kind] = {"models": "model", "metrics": "metric", "datasets": "dataset"}


def describe(what: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a kind, for `bench list`. Raises RequestError."""
    if what == "presets":
        for name, preset in PRESETS.items():
            yield name, preset.description
    elif what in _KINDS:
        for name, target in registry(_KINDS[what]).items():
            yield name, (inspect.getdoc(target) or "").partition("\n")[0]
    else:
        raise RequestError(unknown("kind", what, [*_KINDS, "presets"]))
