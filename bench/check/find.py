"""From a name to what `bench check` tries: promises, and the subject that is to keep them."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.check.promises import Finding, Promise, in_words, try_promises
from bench.datasets import FactorData, MissingFileError
from bench.errors import RequestError, UnknownNameError
from bench.metrics import STUDY_METRICS
from bench.registry import KINDS, Kind, resolve, resolve_any
from bench.settings import Parameter, converted, parameters, parse

KIND_IN_WORDS = {"dataset": "data set", "metric": "metric", "model": "model"}
PASSED_BY_SUITE = ("data_dir", "image_shape")  # arguments that are no settings


@dataclass(frozen=True)
class Contract:
    """What one named thing has to keep.

    Attributes:
        kind: whether it is a model, a data set or a metric.
        promises: the list of its kind.
        subject: what the promises are tried on.
        source: the author's file, if there is one.
    """

    kind: Kind
    promises: Sequence[Promise]
    subject: Any
    source: Path | None

    def findings(self) -> Iterator[Finding]:
        """The outcome of each promise, as it is tried."""
        return try_promises(self.promises, self.subject, self.source)

    def values(self) -> Iterator[Finding]:
        """The values of a metric for codes whose quality is known in advance; else nothing."""
        if self.kind == "metric":
            from bench.check.metric import values_on_cases

            yield from values_on_cases(self.subject)


def find_contract(
    name: str, kind: str | None, assignments: Sequence[str], data_dir: str | Path | None
) -> Contract:
    """The promises for what a name means, and their subject.

    Args:
        name: of a model, a data set or a metric; see `bench.registry`.
        kind: which of these, if the name does not tell.
        assignments: settings, each as NAME.KEY=VALUE.
        data_dir: where a data set looks for files, if it takes that.
    """
    known_kind, target = _resolved(name, kind)
    settings = _settings(name, target, assignments)
    source = _source_file(target)
    if known_kind == "dataset":
        from bench.check import dataset

        if data_dir is not None and "data_dir" in _parameters(name, target):
            settings = {**settings, "data_dir": data_dir}
        made = dataset.DatasetSubject(_refusing(functools.partial(target, **settings)))
        return Contract(known_kind, dataset.PROMISES, made, source)
    if known_kind == "metric":
        from bench.check import metric

        scored = metric.MetricSubject(target, settings, source)
        return Contract(known_kind, metric.PROMISES, scored, source)
    from bench.check import model

    trained = model.ModelSubject(target, settings)
    return Contract(known_kind, model.PROMISES, trained, source)


def _resolved(name: str, kind: str | None) -> tuple[Kind, Any]:
    """What a name means, and its kind."""
    if kind is None:
        meanings = resolve_any(name)
        if len(meanings) > 1:
            kinds = " and ".join(f"a {KIND_IN_WORDS[known]}" for known, _ in meanings if known)
            raise RequestError(f"{name} is {kinds}: say which with --kind")
        known_kind, target = meanings[0]
        if known_kind is None:
            return _kind_of(name, target), target
    else:
        known_kind = next((known for known in KINDS if known == kind), None)
        if known_kind is None:
            raise UnknownNameError("kind", kind, KINDS)
        target = resolve(known_kind, name)
    _refuse_without_promises(name, known_kind, target)
    return known_kind, target


def _kind_of(name: str, target: Any) -> Kind:
    """The kind of a class or function that was found at an address."""
    if isinstance(target, type):
        if issubclass(target, FactorData):
            return "dataset"
        if _is_model(target):
            return "model"
        raise RequestError(
            f"{name} is a class, but no subclass of bench.datasets.FactorData or of "
            "bench.models.VAE: subclass one of them, or make it a function if it is a metric"
        )
    _refuse_uncallable(name, target)
    return "metric"


def _refuse_without_promises(name: str, kind: Kind, target: Any) -> None:
    if kind == "model" and not (isinstance(target, type) and _is_model(target)):
        raise RequestError(
            f"model {name!r} is no subclass of bench.models.VAE: a model that is not trained here "
            "only promises to encode images, which bench run --dry-run tries"
        )
    _refuse_uncallable(name, target)
    if kind == "metric" and name in STUDY_METRICS:
        raise RequestError(f"{name} compares several models: bench check tries metrics of one")


def _refuse_uncallable(name: str, target: Any) -> None:
    if not callable(target):
        raise RequestError(f"{name} is a {type(target).__name__}: name a class or a function")


def _is_model(target: type) -> bool:
    # Who subclasses VAE has imported it; a data set or a metric is checked without torch.
    models = sys.modules.get("bench.models")
    return models is not None and issubclass(target, models.VAE)


def _settings(name: str, target: Any, assignments: Sequence[str]) -> Mapping[str, Any]:
    settings = {}
    for assignment in parse("--set", assignments):
        if assignment.owner != name:
            raise UnknownNameError("owner in --set", assignment.owner, [name])
        known = _parameters(name, target)
        known = {key: p for key, p in known.items() if key not in PASSED_BY_SUITE}
        settings[assignment.key] = converted(assignment, known)
    return settings


def _parameters(name: str, target: Any) -> dict[str, Parameter]:
    try:
        return parameters(target)
    except Exception as error:  # evaluating annotations can raise anything
        raise RequestError(f"{name}: its signature cannot be read ({in_words(error)})") from error


def _refusing(make: Callable[[], FactorData]) -> Callable[[], FactorData]:
    """Make a data set; a missing file is the user's to get, and breaks no promise."""

    def make_or_refuse() -> FactorData:
        try:
            return make()
        except MissingFileError as error:
            raise RequestError(str(error)) from error

    return make_or_refuse


def _source_file(target: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(inspect.unwrap(target))
    except TypeError:  # a file of arrays has no source
        return None
    return Path(file).resolve() if file else None
