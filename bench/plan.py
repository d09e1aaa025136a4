"""From a request to a plan: every name, setting and place is checked before anything starts."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.build import build_data, is_trained, model_settings, try_model
from bench.datasets import FactorData
from bench.errors import RequestError, UnknownNameError
from bench.presets import PRESETS, Preset
from bench.recipes import Recipe
from bench.registry import registry, resolve
from bench.score import applicable, definition, metric_names
from bench.seeds import parse_seeds
from bench.settings import Assignment, Parameter, converted, parameters, parse
from bench.store.run import Precision, Run
from bench.store.study import check_folder, default_name
from bench.streams import lent_global_torch_stream

BASELINES = "baselines"  # the group of models that may be asked for as a whole, as `all` may

# `--set train.batch_size=32`: the budget, for all models of the study
_TRAIN = {
    "batch_size": Parameter(int, None),
    "rows": Parameter(int, None),
    "precision": Parameter(Precision, None),
}


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, in its words."""

    models: str
    dataset: str
    preset: str = "quick"
    seeds: str = "3"
    sets: Sequence[str] = ()
    sweeps: Sequence[str] = ()
    metrics: str | None = None
    steps: int | None = None
    correlate: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    output: Path | None = None
    data_dir: str | None = None


@dataclass(frozen=True)
class Plan:
    """What will be done: runs of one study, and the metrics to score them by.

    study: what all runs of the folder share, as study.json holds it; refused: metrics that the
    data does not allow, with the reason.
    """

    folder: Path
    runs: tuple[Run, ...]
    definitions: tuple[Mapping[str, Any], ...]
    study: Mapping[str, Any]
    refused: Mapping[str, str] = field(default_factory=dict)


def plan(request: Request) -> Plan:
    """Resolve and check a request. Raises RequestError; writes nothing."""
    if request.preset not in PRESETS:
        raise UnknownNameError("preset", request.preset, PRESETS)
    preset = PRESETS[request.preset]
    models = _models(request.models)
    seeds = parse_seeds(request.seeds)
    if request.steps is not None and request.steps < 1:
        raise RequestError(f"--steps {request.steps}: must be at least 1")
    names = metric_names(request.metrics)
    given = _Given.sort(request, list(models), names)

    known = parameters(resolve("dataset", request.dataset))
    data_settings = given.settings_of(request.dataset, known)
    if "image_size" in known:
        data_settings = {"image_size": preset.size_of(request.dataset), **data_settings}
    rules = {"correlate": sorted(request.correlate), "hold_out": sorted(request.hold_out)}
    data_settings |= {key: texts for key, texts in rules.items() if texts}
    data = _data(request.dataset, data_settings, request.data_dir)
    definitions = [definition(name, given.sets) for name in names]
    good, refused = applicable(definitions, data)
    if not good:
        raise RequestError(
            f"no metric is left for {request.dataset}: {'; '.join(refused.values())}"
        )

    train = given.settings_of("train", _TRAIN)
    for key, value in train.items():
        if isinstance(value, int) and value < 1:
            raise RequestError(f"train.{key}={value}: must be at least 1")
    study = {
        "dataset": request.dataset,
        "data_settings": data_settings,
        "fingerprint": data.fingerprint,
        "source": data.source,
        "preset": request.preset,
        "steps": request.steps,
        "train": train,
    }
    runs = tuple(
        Run(
            model=model,
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
            code=code,
            precision=train.get("precision", "float32") if recipe.steps else "float32",
        )
        for model, target in models.items()
        for recipe in [_recipe(preset, model, target, request, train)]
        for settings, changed, code in _variants(model, target, recipe, given, data)
        for seed in seeds
    )
    folder = request.output or Path("results") / default_name(study, preset)
    check_folder(folder, study)
    unique = {run.identity: run for run in runs}
    return Plan(folder, tuple(unique.values()), tuple(good), study, refused)


@dataclass(frozen=True)
class _Given:
    """The assignments of --set and --sweep, each known to have an owner."""

    sets: Sequence[Assignment]
    sweeps: Sequence[Assignment]

    @classmethod
    def sort(cls, request: Request, models: Sequence[str], metrics: Sequence[str]) -> "_Given":
        sets, sweeps = parse("--set", request.sets), parse("--sweep", request.sweeps)
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
        return cls(sets, sweeps)

    def settings_of(self, owner: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
        free = {k: v for k, v in known.items() if k != "data_dir"}
        return {a.key: converted(a, free) for a in self.sets if a.owner == owner}

    def grid_of(self, owner: str, known: Mapping[str, Parameter]) -> list[dict[str, Any]]:
        """All combinations of the owner's sweeps; one empty one where there is none."""
        axes = [
            [(a.key, converted(Assignment(owner, a.key, t), known)) for t in a.text.split(",")]
            for a in self.sweeps
            if a.owner == owner
        ]
        return [dict(point) for point in itertools.product(*axes)]


def _models(text: str) -> dict[str, Any]:
    """The models of a list by name, and what each name means."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    if not asked:
        raise RequestError(f"--models is empty: choose from {', '.join(registry('model'))} or all")
    from bench.models import GROUPS  # torch, which the commands without a model do not load

    several = {"all": registry("model"), BASELINES: GROUPS[BASELINES]}
    names = [name for each in asked for name in several.get(each, [each])]
    found = {}
    for name in dict.fromkeys(names):
        # a network that stands in a file draws its weights when the file is read
        with lent_global_torch_stream(0, "initialisation"):
            found[name] = resolve("model", name)
    return found


def _recipe(
    preset: Preset, model: str, target: Any, request: Request, train: Mapping[str, Any]
) -> Recipe:
    """The recipe as asked for, none of a model that is not trained.

    With other steps its schedules scale.
    """
    if not is_trained(target):
        return Recipe(0, 0)
    recipe = preset.recipe(model, request.dataset)
    steps, settings = request.steps or recipe.steps, dict(recipe.settings)
    if "iterations" in settings:
        settings["iterations"] = max(1, round(settings["iterations"] * steps / recipe.steps))
    batch_size = train.get("batch_size", recipe.batch_size)
    return Recipe(steps, batch_size, settings, recipe.source)


def _variants(
    model: str, target: Any, recipe: Recipe, given: _Given, data: FactorData
) -> list[tuple[dict[str, Any], dict[str, Any], str | None]]:
    """Each variant of a model: settings, what was changed of the preset's, digest of its code."""
    known = model_settings(model, target)
    defaults = {key: p.default for key, p in known.items()}
    base = {**defaults, **{k: v for k, v in recipe.settings.items() if k in defaults}}
    fixed = given.settings_of(model, known)
    variants = []
    for point in given.grid_of(model, known):
        asked = {**fixed, **point}
        settings = {**base, **{k: v for k, v in asked.items() if v != base[k]}}
        code = try_model(model, target, settings, data, recipe.batch_size)
        # in the signature's order: the same settings have the same name, however asked for
        changed = {k: v for k, v in settings.items() if v != base[k]}
        variants.append((settings, changed, code))
    return variants


def _data(name: str, settings: Mapping[str, Any], data_dir: str | None) -> FactorData:
    try:
        return build_data(name, settings, data_dir)
    except (ValueError, TypeError, OSError) as error:
        about = "" if str(error).startswith((name, str(Path(name).resolve()))) else f"{name}: "
        raise RequestError(f"{about}{error}") from error
