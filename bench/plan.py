"""Request -> Plan: every name, setting and folder is checked before anything starts."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.build import (
    Tried,
    is_trained,
    model_settings,
    open_data,
    settings_of_data,
    try_model,
)
from bench.datasets import FactorData
from bench.errors import RequestError, SettingError, UnknownNameError
from bench.presets import PRESETS, Preset, Recipe, scaled
from bench.registry import check_known, digest, entries, registry, resolve
from bench.score import UNLABELLED, UNSEEN, applicable, definition, metric_names
from bench.settings import (
    Assignment,
    Parameter,
    converted,
    parameters,
    parse,
    parse_seeds,
    points_of,
    with_owners,
)
from bench.store.record import Definition
from bench.store.run import Precision, Run
from bench.store.study import StudyRecord, check_folder
from bench.streams import lent_global_torch_stream

BASELINES = "baselines"  # a group of models that may be named as a whole, as `all` may

MOST_RUNS = 20_000  # in one plan: more are a mistake, or several studies
MOST_STEPS = 100_000_000  # of a training: a hundred times the longest one that was published

# `--set train.batch_size=32`: the budget, for all models of the study
_TRAIN = {
    "batch_size": Parameter(int, None),
    "rows": Parameter(int, None),
    "precision": Parameter(Precision, None),
}


@dataclass(frozen=True)
class Request:
    """What is asked for, in the words of the command line.

    Attributes:
        models: names, comma-separated, each also as `DISPLAY_NAME=NAME`; `all`, or a group's name.
        dataset: name of the data set.
        preset: name of the preset.
        seeds: as `parse_seeds` takes them.
        sets: `OWNER.KEY=VALUE`.
        sweeps: `MODEL.KEY=V1,V2`; of settings that change together `MODEL.KEY,KEY=V,V;V,V`.
        metrics: names, comma-separated, or `all`; None for the default ones.
        steps: training steps instead of the preset's.
        fix: factors with the one class of each that is trained on and scored; `FACTOR=CLASS`, also
            several in a text, comma-separated.
        correlate: rules for correlated factors.
        hold_out: combinations of factors that are held out of training.
        split: name of a split of the literature, whose combinations are held out of training.
        factors: names of the factors that are scored, comma-separated; None for all.
        output: folder of the study; None for one named after it in results/.
        data_dir: where data sets look for files.
    """

    models: str
    dataset: str
    preset: str = "quick"
    seeds: str = "3"
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


@dataclass(frozen=True)
class Plan:
    """What will be done: the runs of one study, and the metrics to score them by.

    Attributes:
        folder: of the study.
        runs: all of them, finished or not.
        definitions: of the metrics.
        study: what all runs share.
        refused: metrics that the data does not allow, with the reason.
        found: by the label of an external network, what of its output was taken for what.
    """

    folder: Path
    runs: tuple[Run, ...]
    definitions: tuple[Definition, ...]
    study: StudyRecord
    refused: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)

    def run_folder(self, run: Run) -> Path:
        return self.folder / "runs" / run.folder


def plan(request: Request) -> Plan:
    """Resolve and check a request. Writes nothing.

    Raises:
        RequestError: something of the request is unknown, wrong or does not go together.
    """
    asked = _Asked.of(request)
    preset, dataset, assigned = asked.preset, asked.dataset, asked.assigned
    metrics, train = asked.metrics, asked.train

    data_settings = _data_settings(request, dataset, preset, assigned)
    data = open_data(request.dataset, data_settings, request.data_dir, dataset)
    if request.metrics is None:
        more: tuple[str, ...] = () if data.factors else UNLABELLED
        more += UNSEEN if {"hold_out", "split"} & data_settings.keys() else ()
        metrics = {**metrics} | {name: resolve("metric", name) for name in more}
    definitions, refused = applicable(
        [definition(name, assigned.sets, metric) for name, metric in metrics.items()], metrics, data
    )
    if not definitions:
        raise RequestError(
            f"no metric is left for {request.dataset}: {'; '.join(dict.fromkeys(refused.values()))}"
        )
    study = StudyRecord(
        dataset=request.dataset,
        data_settings=data_settings,
        fingerprint=data.fingerprint,
        source=data.source,
        notes=data.notes,
        preset=request.preset,
        steps=request.steps,
        train=train,
    )
    folder = request.output or Path("results") / default_name(study, preset)
    check_folder(folder, study)
    data_code = digest(request.dataset, dataset, "dataset")
    runs: dict[str, Run] = {}
    found: dict[str, str] = {}
    for name, target in asked.models.items():
        address = asked.addresses[name]
        recipe = _recipe(preset, address, target, request, train)
        for point in _points(name, address, target, recipe, assigned):
            settings, changed, tried = _tried(address, target, point, recipe, data)
            for seed in asked.seeds:
                run = Run(
                    model=address,
                    settings=settings,
                    changed=changed,
                    dataset=request.dataset,
                    data_settings=data_settings,
                    fingerprint=data.fingerprint,
                    image_shape=data.image_shape,
                    preset=request.preset,
                    steps=recipe.steps,
                    batch_size=recipe.batch_size,
                    rows=min(train.get("rows", preset.rows), data.training),
                    seed=seed,
                    code=tried.code,
                    precision=train.get("precision", "float32") if recipe.steps else "float32",
                    data_code=data_code,
                    display_name="" if name == address else name,
                )
                same = runs.setdefault(run.identity, run)
                if same.label != run.label:
                    raise RequestError(
                        f"--models: {same.label} and {run.label} are the same model with the same "
                        "settings: leave out one"
                    )
                if tried.found:
                    found[run.label] = tried.found
    return Plan(folder, tuple(runs.values()), tuple(definitions), study, refused, found)


def runs_without_data(request: Request) -> tuple[Run, ...]:
    """The runs of a request whose data set cannot be opened: what their rows and steps will be.

    Their identities mean nothing, as pixels and shapes are not known.

    Raises:
        RequestError: something is unknown or wrong, as far as that can be told without the data.
    """
    asked = _Asked.of(request)
    runs: dict[str, Run] = {}
    for name, target in asked.models.items():
        address = asked.addresses[name]
        recipe = _recipe(asked.preset, address, target, request, asked.train)
        for point in _points(name, address, target, recipe, asked.assigned):
            for seed in asked.seeds:
                run = Run(
                    model=address,
                    settings=point.settings,
                    changed=point.changed,
                    dataset=request.dataset,
                    data_settings={},
                    fingerprint="",
                    image_shape=(0, 0, 0),
                    preset=request.preset,
                    steps=recipe.steps,
                    batch_size=recipe.batch_size,
                    rows=asked.train.get("rows", asked.preset.rows),
                    seed=seed,
                    display_name="" if name == address else name,
                )
                runs.setdefault(run.title, run)
    return tuple(runs.values())


def with_settings_owners(request: Request) -> tuple[list[str], list[str]]:
    """The texts of --set and --sweep, each with its owner.

    Raises:
        RequestError: a name is unknown, or a setting belongs to none or to several of the owners.
    """
    if all("." in t.partition("=")[0] for t in (*request.sets, *request.sweeps)):
        return list(request.sets), list(request.sweeps)
    addresses = _addresses(request.models)
    metrics = {name: resolve("metric", name) for name in metric_names(request.metrics)}
    return _complete(request, _models(addresses), resolve("dataset", request.dataset), metrics)


def default_name(study: StudyRecord, preset: Preset) -> str:
    """The name of a study's folder: data, preset, and whatever else sets the study apart."""
    parts = [study.dataset, study.preset]
    if study.steps is not None:
        parts.append(f"steps{study.steps}")
    own = {
        key: value
        for key, value in study.data_settings.items()
        if (key, value) != ("image_size", preset.size_of(study.dataset))
    }
    for key in {"fix", "factors", "split"} & own.keys():  # the others keep the names of studies
        own[key] = f"-{own[key] if key == 'split' else '-'.join(own[key])}"
    parts += [f"{key}{value}" for key, value in {**own, **study.train}.items()]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(map(str, parts)))
    return name.lstrip("-.")  # of a path such as ./faces: no hidden folder, no option of a shell


def _complete(
    request: Request, models: Mapping[str, Any], dataset: Any, metrics: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    def settings_of_models() -> dict[str, Iterable[str]]:
        return {name: model_settings(name, target) for name, target in models.items()}

    def all_settings() -> dict[str, Iterable[str]]:
        scored = {name: parameters(target) for name, target in metrics.items()}
        own = {request.dataset: parameters(dataset), "train": _TRAIN}
        return {**settings_of_models(), **scored, **own}

    sets = with_owners("--set", request.sets, all_settings)
    return sets, with_owners("--sweep", request.sweeps, settings_of_models)


@dataclass(frozen=True)
class _Asked:
    """A request of which all names are resolved; the data are not opened yet."""

    preset: Preset
    seeds: Sequence[int]
    addresses: Mapping[str, str]
    models: Mapping[str, Any]
    metrics: Mapping[str, Any]
    dataset: Any
    assigned: "_Assigned"
    train: Mapping[str, Any]

    @classmethod
    def of(cls, request: Request) -> "_Asked":
        if request.preset not in PRESETS:
            raise UnknownNameError("preset", request.preset, PRESETS)
        if request.steps is not None and request.steps < 1:
            raise RequestError(f"--steps {request.steps}: must be at least 1")
        if request.steps is not None and request.steps > MOST_STEPS:
            raise RequestError(
                f"--steps {request.steps}: at most {MOST_STEPS:,}, as no training here ends "
                "otherwise"
            )
        seeds = parse_seeds(request.seeds)
        addresses = _addresses(request.models)
        metrics = {name: resolve("metric", name) for name in metric_names(request.metrics)}
        dataset = resolve("dataset", request.dataset)
        models = _models(addresses)
        assigned = _Assigned.of(request, models, dataset, metrics)
        assigned.check_number_of_runs(list(models), len(seeds))
        train = assigned.settings_of("train", _TRAIN)
        for key, value in train.items():
            if isinstance(value, int) and value < 1:
                raise SettingError("train", key, f"train.{key}={value}: must be at least 1")
        preset = PRESETS[request.preset]
        return cls(preset, seeds, addresses, models, metrics, dataset, assigned, train)


@dataclass(frozen=True)
class _Assigned:
    """The assignments of --set and --sweep, each known to have an owner."""

    sets: Sequence[Assignment]
    sweeps: Sequence[Assignment]

    @classmethod
    def of(
        cls,
        request: Request,
        models: Mapping[str, Any],
        dataset: Any,
        metrics: Mapping[str, Any],
    ) -> "_Assigned":
        complete_sets, complete_sweeps = _complete(request, models, dataset, metrics)
        sets, sweeps = parse("--set", complete_sets), parse("--sweep", complete_sweeps)
        owners = [*models, request.dataset, *metrics, "train"]
        for assignment, option, allowed in [
            *((a, "--set", owners) for a in sets),
            *((a, "--sweep", models) for a in sweeps),
        ]:
            if assignment.owner in allowed:
                continue
            if assignment.owner in registry("model") or assignment.owner in owners:
                what = "a model of --models" if option == "--sweep" else "among --models"
                raise RequestError(
                    f"{option} {assignment.owner}.{assignment.key}: {assignment.owner} is not "
                    f"{what} ({', '.join(models)})"
                )
            raise UnknownNameError(f"owner in {option}", assignment.owner, allowed)
        taken = {(a.owner, a.key): "by --set and by --sweep" for a in sets}
        for setting in sweeps:
            for key in setting.keys:
                if how := taken.get((setting.owner, key)):
                    raise SettingError(
                        setting.owner, key, f"{setting.owner}.{key} is given {how}: leave out one"
                    )
                taken[setting.owner, key] = "by two sweeps"
        return cls(sets, sweeps)

    def check_number_of_runs(self, models: Sequence[str], seeds: int) -> None:
        """Raise RequestError where the sweeps multiply to more runs than a study holds."""
        points = {
            model: math.prod(len(points_of(a)) for a in self.sweeps if a.owner == model)
            for model in models
        }
        runs = seeds * sum(points.values())
        if runs > MOST_RUNS:
            swept = ", ".join(f"{n:,} of {model}" for model, n in points.items() if n > 1)
            words = f"the sweeps have {swept} points" if swept else f"{len(models)} models"
            raise RequestError(
                f"{words}, with {seeds} seeds {runs:,} runs: at most {MOST_RUNS:,} are planned at "
                "once; sweep fewer values, or plan them in parts"
            )

    def settings_of(self, owner: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
        free = {k: v for k, v in known.items() if k != "data_dir"}
        return {a.key: converted(a, free) for a in self.sets if a.owner == owner}

    def grid_of(self, owner: str, known: Mapping[str, Parameter]) -> list[dict[str, Any]]:
        """All combinations of the owner's sweeps; one empty combination where there are none."""
        axes = [
            [
                {k: converted(Assignment(owner, k, text), known) for k, text in point.items()}
                for point in points_of(a)
            ]
            for a in self.sweeps
            if a.owner == owner
        ]
        points = itertools.product(*axes)
        return [{k: v for part in point for k, v in part.items()} for point in points]


def _addresses(text: str) -> dict[str, str]:
    """The models of a list: what each is called in tables, and the name that tells what it is."""
    listed = [name.strip() for name in text.split(",") if name.strip()]
    models = entries("model")
    every = [model.name for model in models]
    if not listed:
        raise RequestError(f"--models is empty: choose from {', '.join(every)} or all")
    groups = {"all": every, BASELINES: [m.name for m in models if m.group == BASELINES]}
    addresses: dict[str, str] = {}
    for entry in listed:
        called, address = display_name(entry)
        for name in [address] if called else groups.get(address, [address]):
            shown = called or name
            if addresses.setdefault(shown, name) != name:
                raise RequestError(f"--models has two models called {shown}: rename one")
    known = {*groups, *every}
    for shown, name in addresses.items():
        if shown != name and shown in known:
            raise RequestError(f"--models {shown}={name}: {shown} is another model: rename it")
        check_known("model", name)
    return addresses


def display_name(entry: str) -> tuple[str, str]:
    """`Warm=./warm.py:Warm` as the name for tables and what it is; without one, an empty name."""
    called, equals, address = (part.strip() for part in entry.partition("="))
    # a path may have that character, too
    if not equals or "/" in called or "\\" in called or Path(entry.rpartition(":")[0]).is_file():
        return "", entry
    if not called or not address:
        raise RequestError(f"--models {entry!r}: write DISPLAY_NAME=MODEL")
    return called, address


def _models(addresses: Mapping[str, str]) -> dict[str, Any]:
    """What each name of a model in tables stands for. Imports torch, which takes a second."""
    models = {}
    for shown, name in addresses.items():
        # a network that a file holds draws its weights when the file is read
        with lent_global_torch_stream(0, "initialisation"):
            models[shown] = resolve("model", name)
    return models


def _data_settings(
    request: Request, dataset: Any, preset: Preset, assigned: _Assigned
) -> dict[str, Any]:
    """Arguments of the data set's constructor, and the rules of what is left out of it."""
    known = parameters(dataset)
    settings = assigned.settings_of(request.dataset, known)
    # own arrays have no size by default: they stay as they are where that is possible
    if "image_size" in known and known["image_size"].default is not None:
        settings = {"image_size": preset.size_of(request.dataset), **settings}
    rules = {
        # an empty part is kept, for the data to refuse
        "fix": sorted({part.strip() for text in request.fix for part in text.split(",")}),
        "correlate": sorted(request.correlate),
        "hold_out": sorted(request.hold_out),
        "split": request.split,
        "factors": sorted(name.strip() for name in (request.factors or "").split(",")),
    }
    if request.factors is None:
        del rules["factors"]
    return settings | {key: rule for key, rule in rules.items() if rule not in (None, [])}


def _recipe(
    preset: Preset, model: str, target: Any, request: Request, train: Mapping[str, Any]
) -> Recipe:
    """A model's recipe with the steps that are asked for, to which its schedules scale.

    A model that is not trained has none.
    """
    if not is_trained(target):
        return Recipe(0, 0)
    recipe = preset.recipe(model, request.dataset)
    recipe = scaled(recipe, request.steps or recipe.steps)
    return replace(recipe, batch_size=train.get("batch_size", recipe.batch_size))


@dataclass(frozen=True)
class _Point:
    """A model with all its settings, and those that were asked for and differ from the preset's."""

    settings: Mapping[str, Any]
    wanted: Mapping[str, Any]
    base: Mapping[str, Any]

    @property
    def changed(self) -> dict[str, Any]:
        # in the signature's order: the same settings have the same name, however asked for
        items = self.settings.items()
        return {k: v for k, v in items if v != self.base[k] and k in self.wanted}


def _points(
    owner: str, model: str, target: Any, recipe: Recipe, assigned: _Assigned
) -> list[_Point]:
    """The model with each combination of its swept settings."""
    known = model_settings(model, target)
    defaults = {key: p.default for key, p in known.items()}
    base = {**defaults, **{k: v for k, v in recipe.settings.items() if k in defaults}}
    fixed = assigned.settings_of(owner, known)
    points = []
    for point in assigned.grid_of(owner, known):
        wanted = {**fixed, **point}
        settings = {**base, **{k: v for k, v in wanted.items() if v != base[k]}}
        points.append(_Point(settings, wanted, base))
    return points


def _tried(
    model: str, target: Any, point: _Point, recipe: Recipe, data: FactorData
) -> tuple[Mapping[str, Any], Mapping[str, Any], Tried]:
    """Settings with those that the data decide, what was changed, and what building has told."""
    of_data = settings_of_data(target, point.settings, data)
    own = {k: v for k, v in of_data.items() if k not in point.wanted}
    complete = replace(point, settings={**point.settings, **own})
    tried = try_model(model, target, complete.settings, data, recipe.batch_size)
    return complete.settings, complete.changed, tried
