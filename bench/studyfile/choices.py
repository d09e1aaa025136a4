"""What the command line says of a study, alone or instead of what a file says."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import RequestError, SettingError
from bench.plan import Request, display_name, with_settings_owners
from bench.settings import owner_of, parse
from bench.studyfile.definition import StudyDefinition, folder_name
from bench.studyfile.reader import read_study_file
from bench.studyfile.shipped import find

_SHARED = (
    "preset",
    "steps",
    "fix",
    "correlate",
    "hold_out",
    "split",
    "factors",
)  # what a study's folder can have but one of


@dataclass(frozen=True)
class Choices:
    """What the command line says: the fields of `Request`, None or empty where it says nothing.

    `dataset` may name several data sets, comma-separated.
    """

    models: str | None = None
    dataset: str | None = None
    preset: str | None = None
    seeds: str | None = None
    sets: Sequence[str] = ()
    sweeps: Sequence[str] = ()
    metrics: str | None = None
    steps: int | None = None
    fix: Sequence[str] = ()
    correlate: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    split: str | None = None
    factors: str | None = None
    output: Path | None = None
    data_dir: str | None = None

    @property
    def made(self) -> dict[str, Any]:
        """Those that say something, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, (), [])}


def study_definition(file: str | None, choices: Choices) -> StudyDefinition:
    """The study in a file, or of a shipped name, with what the command line says instead.

    Args:
        file: path of a YAML file, or the name of a shipped study; None for the command line alone.
        choices: of the command line.

    Raises:
        RequestError: there is no such file or study, something in it is wrong, or neither names
            models and data.
    """
    if file is None:
        for option, value in (("--models", choices.models), ("--dataset", choices.dataset)):
            if value is None:
                raise RequestError(
                    f"{option} is missing: bench run takes --models and --dataset, or a study, as "
                    "in bench run study.yaml (bench list studies)"
                )
        return _of_the_command_line(choices)
    return _overridden(read_study_file(find(file)), choices)


def _of_the_command_line(choices: Choices) -> StudyDefinition:
    made = choices.made
    datasets = _datasets_of(made.pop("dataset"))
    output = made.pop("output", None)
    requests = []
    for name in datasets:
        folder = output / folder_name(name) if output and len(datasets) > 1 else output
        requests.append(Request(dataset=name, output=folder, **made))
    return StudyDefinition("", "", tuple(requests))


def _datasets_of(text: str) -> list[str]:
    """Comma-separated data sets; a file or folder that has a comma in its name is one."""
    if "," not in text or os.path.exists(text):
        return [text]
    listed = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not listed:
        raise RequestError(f"--dataset {text!r} names no data set: choose from bench list datasets")
    return listed


def _overridden(study: StudyDefinition, choices: Choices) -> StudyDefinition:
    """A study of a file with what the command line says instead."""
    made = choices.made
    requests = {request.dataset: request for request in study.requests}
    first = study.requests[0]
    several = len(requests) > 1
    above = first.output.parent if several and first.output else first.output
    if "dataset" in made:
        chosen = _datasets_of(made.pop("dataset"))
        several |= len(chosen) > 1
        other = replace(first, sets=[t for t in first.sets if owner_of(t) != first.dataset])
        requests = {
            name: requests[name] if name in requests else replace(other, dataset=name)
            for name in chosen
        }
    shared = [_shown(name, made[name]) for name in _SHARED if name in made]
    if "output" in made:
        above = made.pop("output")
    elif above is not None and shared:  # another study than the file's: not into its folder
        above = above.with_name(folder_name("-".join([above.name, *shared])))
    sets, sweeps = made.pop("sets", ()), made.pop("sweeps", ())
    changed = []
    for name, request in requests.items():
        folder = above / folder_name(name) if several and above else above
        changed_request = replace(_with_models(request, made.get("models")), output=folder)
        own = {key: value for key, value in made.items() if key != "models"}
        changed_request = replace(changed_request, **own)
        others = set(requests) - {name}
        changed.append(_with_settings(changed_request, sets, sweeps, others))
    return replace(study, requests=tuple(changed))


def _shown(name: str, value: Any) -> str:
    if name == "preset":
        return str(value)
    return f"{name}{value}" if isinstance(value, int | str) else f"{name}{'-'.join(value)}"


def _with_models(request: Request, models: str | None) -> Request:
    """Another choice of models; those that were chosen before keep their settings."""
    if models is None:
        return request
    before = {_called(entry): entry for entry in _listed(request.models)}
    chosen = [before.get(entry, entry) for entry in _listed(models)]
    gone = before.keys() - {_called(entry) for entry in chosen}

    def kept(texts: Sequence[str]) -> list[str]:
        return [text for text in texts if owner_of(text) not in gone]

    sets, sweeps = kept(request.sets), kept(request.sweeps)
    return replace(request, models=",".join(chosen), sets=sets, sweeps=sweeps)


def _listed(models: str) -> list[str]:
    return [entry.strip() for entry in models.split(",") if entry.strip()]


def _called(entry: str) -> str:
    """What settings call a model of a list."""
    called, address = display_name(entry)
    return called or address


def _with_settings(
    request: Request, sets: Sequence[str], sweeps: Sequence[str], others: Iterable[str]
) -> Request:
    """The settings of the command line in the place of the file's for the same keys."""
    if not sets and not sweeps:
        return request
    sets, sweeps = with_settings_owners(replace(request, sets=sets, sweeps=sweeps))
    sets = [text for text in sets if owner_of(text) not in others]
    given = [*parse("--set", sets), *parse("--sweep", sweeps)]
    replaced = {(a.owner, key) for a in given for key in a.keys}
    old_sets, old_sweeps = with_settings_owners(request)

    def kept(option: str, texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        for text in texts:
            (old,) = parse(option, [text])
            overlap = [key for key in old.keys if (old.owner, key) in replaced]
            if overlap and len(overlap) < len(old.keys):
                raise SettingError(
                    old.owner,
                    overlap[0],
                    f"{old.owner}.{overlap[0]} is swept together with others in the study "
                    f"({old.owner}.{old.key}): give a --sweep of all of them",
                )
            if not overlap:
                found.append(text)
        return found

    return replace(
        request,
        sets=[*kept("--set", old_sets), *sets],
        sweeps=[*kept("--sweep", old_sweeps), *sweeps],
    )
