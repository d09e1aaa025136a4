"""The command `bench list`: what has a name, and all about one name.

The lines of a list are read from the sources: importing torch takes seconds.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from bench.cli.options import complete_listed
from bench.errors import UnknownNameError
from bench.presets import PRESETS, Preset, Recipe
from bench.registry import KINDS, Kind, entries, resolve
from bench.settings import Parameter, parameters
from bench.studyfile.shipped import about, shipped

if TYPE_CHECKING:
    from bench.reproduce.published import Table

LIST_HELP = """Describe what there is, one line each, or all about one name.

[bold]Examples[/bold]

  bench list

  bench list models

  bench list jointvae
"""

_KINDS: Mapping[str, Kind] = {f"{kind}s": kind for kind in KINDS}
_PLUG_INS = "plug-ins"


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND | NAME]",
            help="models, metrics, datasets, presets, reproductions, studies, or a name of one of "
            "them.",
            autocompletion=complete_listed,
            show_default=False,
        ),
    ] = None,
) -> None:
    if what is None:
        for kind, names in _names().items():
            print(f"{kind:24} {len(names)} names: bench list {kind}")
    elif what == "presets":
        _print({name: preset.description for name, preset in PRESETS.items()})
    elif what == "reproductions":
        _print({name: table.title for name, table in _tables().items()})
    elif what == "studies":
        _print({name: about(name) for name in shipped()})
    elif what in _KINDS:
        _print_entries(_KINDS[what])
    else:
        print("\n\n".join("\n".join(lines) for lines in _described(what)))


def _names() -> dict[str, list[str]]:
    """The names of each kind of thing."""
    known = {what: [entry.name for entry in entries(kind)] for what, kind in _KINDS.items()}
    known |= {"presets": list(PRESETS), "reproductions": list(_tables())}
    return known | {"studies": list(shipped())}


def _print(lines: Mapping[str, str]) -> None:
    for name, line in lines.items():
        print(f"{name:24} {line}".rstrip())


def _print_entries(kind: Kind) -> None:
    """Models under the names of their groups; plug-ins with their package, after all others."""
    group = ""
    for index, entry in enumerate(entries(kind)):
        own = entry.group or (_PLUG_INS if entry.package and kind == "model" else "")
        if own != group:
            print("\n" * (index > 0) + f"{own}:")
            group = own
        _print({entry.name: f"{entry.line} [{entry.package}]" if entry.package else entry.line})


def _described(what: str) -> Iterator[Iterator[str]]:
    """All that is known of a name, for each kind of thing that has it."""
    names = _names()
    kinds = [kind for kind in names if what in names[kind]]
    if not kinds:
        unknown = UnknownNameError("kind", what, names)
        every = [name for listed in names.values() for name in listed]
        raise unknown if unknown.near else UnknownNameError("name", what, every)
    for kind in kinds:
        if kind == "presets":
            yield _preset(what, PRESETS[what])
        elif kind == "reproductions":
            yield iter([f"{what}: {_tables()[what].title}", f"bench reproduce {what} --dry-run"])
        elif kind == "studies":
            yield _study(what)
        else:
            yield _target(_KINDS[kind], what)


def _study(name: str) -> Iterator[str]:
    """What a study is for, and its file, which is short and can be copied."""
    yield f"{name} (study): {about(name)}"
    yield f"bench run {name} --dry-run"
    yield ""
    yield from shipped()[name].read_text(encoding="utf-8").splitlines()


def _target(kind: Kind, name: str) -> Iterator[str]:
    """A model, metric or data set: its docstring, its settings, and how presets train it."""
    target = resolve(kind, name)
    (entry,) = (entry for entry in entries(kind) if entry.name == name)
    origin = f", from {entry.package}" if entry.package else ""
    yield f"{name} ({'data set' if kind == 'dataset' else kind}{origin})"
    yield ""
    yield from (inspect.getdoc(target) or "").splitlines()
    yield ""
    if kind == "model":
        from bench.build import is_trained, model_settings

        known = model_settings(name, target)
        yield from _settings(name, known)
        if is_trained(target):
            for preset_name, preset in PRESETS.items():
                yield from _recipes(preset_name, preset, name, known)
    else:
        known = {key: p for key, p in parameters(target).items() if key != "data_dir"}
        yield from _settings(name, known)
        if kind == "dataset":
            yield f"Files, licence and source: bench data list {name}"


def _settings(name: str, known: Mapping[str, Parameter]) -> Iterator[str]:
    if not known:
        yield "It has no settings."
        return
    yield f"Settings with their defaults (--set {name}.KEY=VALUE):"
    for key, parameter in known.items():
        yield f"  {key}={_plain(parameter.default)}  ({_type(parameter.annotation)})"


def _recipes(
    preset_name: str, preset: Preset, model: str, known: Mapping[str, Parameter]
) -> Iterator[str]:
    """A model's recipes of one preset: for any data, then those for a named data set."""
    yield f"Preset {preset_name}:"
    yield from _recipe(preset.recipes.get(model, preset.other), known)
    alike: list[tuple[list[str], Recipe]] = []
    for key, recipe in preset.recipes.items():
        owner, _, dataset = key.partition(" on ")
        if owner == model and dataset:
            if alike and alike[-1][1] == recipe:
                alike[-1][0].append(dataset)
            else:
                alike.append(([dataset], recipe))
    for datasets, recipe in alike:
        yield f"Preset {preset_name}, on {', '.join(datasets)}:"
        yield from _recipe(recipe, known)


def _recipe(recipe: Recipe, known: Mapping[str, Parameter]) -> Iterator[str]:
    yield f"  {recipe.steps} steps of {recipe.batch_size} images"
    own = [f"{key}={_plain(value)}" for key, value in recipe.settings.items() if key in known]
    if own:
        yield f"  {', '.join(own)}"
    yield f"  source: {recipe.source}"


def _preset(name: str, preset: Preset) -> Iterator[str]:
    yield f"{name} (preset): {preset.description}"
    yield f"  {preset.note}"
    yield f"  {preset.image_size} pixels per side, {preset.rows} rows scored"
    for owner, recipe in {"any other model": preset.other, **preset.recipes}.items():
        yield f"{owner}:"
        yield from _recipe(recipe, {key: Parameter(None, None) for key in recipe.settings})


def _plain(value: Any) -> str:
    """As `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(annotation: Any) -> str:
    """A type in words: what values there are, if they are few."""
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    return inspect.formatannotation(annotation)


def _tables() -> "Mapping[str, Table]":
    from bench.reproduce.tables import TABLES  # only here, as it takes as long as all else

    return TABLES
