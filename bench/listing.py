"""One line on everything that has a name."""

import inspect
from collections.abc import Iterator
from typing import Any

from bench.errors import RequestError
from bench.presets import PRESETS
from bench.resolve import Kind, registry, unknown

_KINDS: dict[str, Kind] = {"models": "model", "metrics": "metric", "datasets": "dataset"}


def describe(what: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions of a kind, for `bench list`. Raises RequestError.

    Models come by group: a line without a description is an empty one or the name of a group.
    """
    if what == "models":
        from bench.models import GROUPS

        for place, (group, models) in enumerate(GROUPS.items()):
            yield from [("", "")] * (place > 0)
            yield f"{group}:", ""
            yield from ((name, _first_line(model)) for name, model in models.items())
    elif what == "presets":
        for name, preset in PRESETS.items():
            yield name, preset.description
    elif what in _KINDS:
        for name, target in registry(_KINDS[what]).items():
            yield name, _first_line(target)
    else:
        raise RequestError(unknown("kind", what, [*_KINDS, "presets"]))


def _first_line(target: Any) -> str:
    return (inspect.getdoc(target) or "").partition("\n")[0]
