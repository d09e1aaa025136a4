"""From a name to what `bench check` tries: the kind of the thing, and the thing itself."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.check.promises import Promise, named
from bench.datasets import FactorData, MissingFile
from bench.errors import RequestError, UnknownNameError
from bench.metrics import STUDY_METRICS
from bench.registry import Kind, registry, resolve
from bench.settings import Parameter, converted, parameters, parse

KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS = {"dataset": "data set", "metric": "metric", "model": "model"}


@dataclass(frozen=True)
class Asked:
    """What is to be checked: promises, their subject, and the author's file where there is one."""

    kind: Kind
    promises: Sequence[Promise]
    subject: Any
    file: Path | None


def ask(name: str, kind: str | None, sets: Sequence[str], data_dir: str | Path | None) -> Asked:
    """Find what a name means. Raises RequestError."""
    found, target = _find(name, kind)
    given = _settings(name, target, sets)
    file = _file_of(target)
    if found == "dataset":
        from bench.check import dataset as check_dataset

        if data_dir is not None and "data_dir" in _parameters(name, target):
            given = {**given, "data_dir": data_dir}
        make = functools.partial(target, **given)
        return Asked(found, check_dataset.PROMISES, check_dataset.Subject(_present(make)), file)
    if found == "metric":
        from bench.check import metric as check_metric

        subject = check_metric.Subject(target, given, file)
        return Asked(found, check_metric.PROMISES, subject, file)
    from bench.check import model as check_model

    model = check_model.Subject(target, given)
    return Asked(found, check_model.PROMISES, model, file)


def _find(name: str, kind: str | None) -> tuple[Kind, Any]:
    if kind is not None:
        if kind not in KINDS:
            raise UnknownNameError("kind", kind, KINDS)
        known = next(each for each in KINDS if each == kind)
        target = resolve(known, name)
        _suits(name, known, target)
        return known, target
    if name.endswith(".npz") and ":" not in name:
        return "dataset", resolve("dataset", name)
    if name.endswith(".py"):
        raise RequestError(f"{name}: name what to check in it, as {name}:Mine")
    if ":" in name:
        try:
            target = resolve("dataset", name)
        except RequestError as error:  # which does not know yet what it would be
            raise RequestError(str(error).removeprefix("dataset ")) from error
        return _kind_of(name, target), target
    return _registered(name)


def _registered(name: str) -> tuple[Kind, Any]:
    """A registered name or an installed entry point, of whatever kind it is."""
    found: list[tuple[Kind, Any]] = []
    for kind in KINDS:
        try:
            found.append((kind, resolve(kind, name)))
        except RequestError as error:
            if not str(error).startswith("unknown "):
                raise
    if len(found) > 1:
        kinds = " and ".join(f"a {WORDS[kind]}" for kind, _ in found)
        raise RequestError(f"{name} is {kinds}: say which by --kind")
    if not found:
        names = [each for kind in KINDS for each in registry(kind)]
        raise UnknownNameError("name", name, names)
    _suits(name, *found[0])
    return found[0]


def _kind_of(name: str, target: Any) -> Kind:
    if isinstance(target, type):
        if issubclass(target, FactorData):
            return "dataset"
        if _is_model(target):
            return "model"
        raise RequestError(
            f"{name} is a class, but no subclass of bench.datasets.FactorData or of "
            "bench.models.VAE: subclass one of them, or make it a function if it is a metric"
        )
    if not callable(target):
        raise RequestError(f"{name} is a {type(target).__name__}: name a class or a function")
    return "metric"


def _suits(name: str, kind: Kind, target: Any) -> None:
    if kind == "model" and not (isinstance(target, type) and _is_model(target)):
        raise RequestError(
            f"model {name!r} is no subclass of bench.models.VAE: what is not trained here keeps no "
            "promise but to encode images, which bench run --dry-run tries"
        )
    if not callable(target):
        raise RequestError(f"{name} is a {type(target).__name__}: name a class or a function")
    if kind == "metric" and name in STUDY_METRICS:
        raise RequestError(f"{name} compares several models: bench check tries metrics of one")


def _is_model(target: type) -> bool:
    # whoever subclasses VAE has imported it; a data set or a metric is checked without torch
    models = sys.modules.get("bench.models")
    return models is not None and issubclass(target, models.VAE)


def _settings(name: str, target: Any, sets: Sequence[str]) -> Mapping[str, Any]:
    settings = {}
    for assignment in parse("--set", sets):
        if assignment.owner != name:
            raise UnknownNameError("owner in --set", assignment.owner, [name])
        known = _parameters(name, target)
        known = {k: p for k, p in known.items() if k not in ("data_dir", "image_shape")}
        settings[assignment.key] = converted(assignment, known)
    return settings


def _parameters(name: str, target: Any) -> dict[str, Parameter]:
    try:
        return parameters(target)
    except Exception as error:  # annotations that cannot be read raise whatever they do
        raise RequestError(f"{name}: its signature cannot be read ({named(error)})") from error


def _present(make: Callable[[], FactorData]) -> Callable[[], FactorData]:
    """A file that is not there is no fault of the data set."""

    def made() -> FactorData:
        try:
            return make()
        except MissingFile as error:
            raise RequestError(str(error)) from error

    return made


def _file_of(target: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(inspect.unwrap(target))
    except TypeError:  # a file of arrays has no source
        return None
    return Path(file).resolve() if file else None
