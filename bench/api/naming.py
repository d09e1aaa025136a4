"""Classes, functions and objects in the place of names."""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import RequestError
from bench.registry import Kind, offer, offered, registry, source_of


def name_of(kind: Kind, thing: Any) -> str:
    """A name by which `bench.registry.resolve` finds a thing.

    A name stays as it is. What the suite has registered gets its name there, what can be imported
    gets its address, and what only this process knows is offered under its own name.

    Raises:
        RequestError: the name is taken, or the source of a class cannot be read.
    """
    if isinstance(thing, str):
        return thing
    if hasattr(thing, "__fspath__"):
        return str(thing)
    for name, target in registry(kind).items():
        if thing is target:
            return name
    described = inspect.isclass(thing) or inspect.isfunction(thing)
    if described and (address := _address(thing)):
        return address
    name = thing.__name__ if described else type(thing).__name__
    if described:
        try:
            source_of(thing)
        except (OSError, TypeError) as error:
            raise RequestError(
                f"the source of {name} cannot be read, and without it no record can say what was "
                f"run: put it into a file and name it as file.py:{name}"
            ) from error
    offer(kind, name, _opener(thing) if kind == "dataset" and not described else thing)
    return name


def names_of(kind: Kind, things: Any) -> str:
    """Names of one or several things, comma-separated; of models also by their display names."""
    if kind == "model" and isinstance(things, Mapping):
        return ",".join(f"{shown}={name_of(kind, thing)}" for shown, thing in things.items())
    several = isinstance(things, Iterable) and not isinstance(things, str | Mapping)
    # a network of torch's may be iterable, as a sequence of layers is
    if several and not hasattr(things, "state_dict") and not hasattr(things, "images"):
        return ",".join(name_of(kind, thing) for thing in things)
    return name_of(kind, things)


def known_to_this_process_only(kind: Kind, names: str) -> list[str]:
    """Those of some comma-separated names that no other process could resolve."""
    listed = [name.rpartition("=")[2].strip() for name in names.split(",")]
    return [name for name in listed if name in offered(kind)]


def _address(thing: Any) -> str | None:
    """`package.module:Name`, if that is the thing itself in another process, too."""
    module = thing.__module__
    if module == "__main__" or module.startswith("bench_plugin_"):
        return None
    try:
        found: Any = getattr(importlib.import_module(module), thing.__name__, None)
    except ImportError:
        return None
    return f"{module}:{thing.__name__}" if found is thing else None


def _opener(data: Any) -> Any:
    """What the registry holds of data sets: something to call."""
    if not hasattr(data, "fingerprint"):
        raise RequestError(
            f"{type(data).__name__} is no data set: give a name, a file of arrays, or a "
            "bench.datasets.FactorData"
        )
    return lambda: data
