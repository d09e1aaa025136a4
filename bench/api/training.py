"""`bench.fit` and `bench.represent`: one model on one data set, without a study."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.naming import name_of
from bench.errors import RequestError, UnknownNameError
from bench.metrics import Representation

if TYPE_CHECKING:
    from torch import nn

    from bench.datasets import FactorData
    from bench.models import VAE, Encoder

    Data = str | Path | FactorData


def fit(
    model: "str | type[VAE] | VAE",
    data: "Data",
    *,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    precision: str = "float32",
    device: str = "auto",
    data_dir: str | Path | None = None,
    watch: Callable[[int, Mapping[str, float]], None] = lambda step, terms: None,
) -> "VAE":
    """Train a model. Nothing is written.

    With the settings, steps and seed of a run, the weights are those of `bench.run`.

    Args:
        model: a name, a class, or a model, which is then trained further on its own device.
        data: a name, a file of arrays, or a data set.
        steps: number of training steps; the preset's if not given.
        seed: of the initialisation, the rows and the noise.
        batch_size: images per step; the preset's, or else 64, if not given.
        settings: arguments of the model's constructor.
        preset: whose settings the model has where `settings` does not say otherwise, and whose
            size the images have; schedules scale with `steps`. Without one they are the model's
            defaults.
        precision: of the layers, float32 or bfloat16.
        device: auto, cpu, cuda, cuda:1 or mps.
        data_dir: where data files are.
        watch: called after each step with its number and the newest means of the objective's
            terms, in nats per image.

    Returns:
        The trained model, for evaluation, on the device.

    Raises:
        RequestError: a name, a setting or an option is wrong, or the training diverges.
    """
    import torch

    from bench.build import build_model, is_trained, model_settings, try_model
    from bench.executors.cluster import choose_device
    from bench.models import VAE
    from bench.presets import PRESETS, Recipe, scaled
    from bench.registry import resolve
    from bench.store.run import Run
    from bench.train.loop import Diverged, train

    if steps is None and preset is None:
        raise RequestError("steps is missing: give a number of training steps, or a preset")
    _check(steps=1 if steps is None else steps, batch_size=1 if batch_size is None else batch_size)
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    chosen = None if preset is None else PRESETS[preset]
    data = _opened(data, data_dir, None if chosen is None else chosen.size_of)
    if isinstance(model, VAE):
        if settings or preset:
            raise RequestError(
                "a model has its settings already: give a name or a class for others"
            )
        recipe = Recipe(0, 64)
        built = model
        target = next(model.parameters()).device
    else:
        name = name_of("model", model)
        kind = resolve("model", name)
        if not is_trained(kind):
            raise RequestError(f"{name} is not trained in steps: bench.run scores it")
        target = torch.device(choose_device(device))
        recipe = Recipe(0, 64)
        if chosen is not None:
            recipe = chosen.recipe(name, _name(data))
            recipe = scaled(recipe, steps or recipe.steps)
        known = model_settings(name, kind)
        if unknown := sorted(set(settings or {}) - set(known)):
            raise UnknownNameError(f"setting of {name}", unknown[0], known)
        own = {key: value for key, value in recipe.settings.items() if key in known}
        values = {**{k: p.default for k, p in known.items()}, **own, **(settings or {})}
        try_model(name, kind, values, data, batch_size or recipe.batch_size)
        run = Run(name, values, {}, "", {}, data.fingerprint, data.image_shape, "", 1, 1, 1, seed)
        built = build_model(run, target, data.factors)  # type: ignore[assignment]
    if precision not in ("float32", "bfloat16"):
        raise UnknownNameError("precision", precision, ("float32", "bfloat16"))
    try:
        train(
            built,
            data,
            steps=steps or recipe.steps,
            batch_size=batch_size or recipe.batch_size,
            seed=seed,
            device=target,
            precision=precision,  # type: ignore[arg-type]
            watch=watch,
        )
    except Diverged as error:
        raise RequestError(f"the training diverged: {error}") from error
    return built.eval()


def represent(
    model: "Encoder | nn.Module",
    data: "Data",
    *,
    rows: int = 10_000,
    seed: int = 0,
    data_dir: str | Path | None = None,
) -> Representation:
    """Encode images: the codes and factors that metrics read.

    Args:
        model: a trained model, on whatever device, or any network that encodes images, see
            docs/adding-a-model.md.
        data: a name, a file of arrays, or a data set.
        rows: at most this many rows, drawn by the seed, and as many held-out ones.
        seed: of the choice of rows.
        data_dir: where data files are.

    Raises:
        RequestError: the data cannot be opened, or the network does not encode its images.
    """
    import torch

    from bench.build import wrapped
    from bench.encode import encode_drawn
    from bench.models import Encoder

    _check(rows=rows)
    shape = getattr(model, "image_shape", None)
    size_of = None if shape is None else lambda name: int(shape[-1])
    data = _opened(data, data_dir, size_of)
    if not isinstance(model, Encoder):
        model = wrapped(model, data)
    elif shape is not None and tuple(shape) != data.image_shape:
        raise RequestError(
            f"the model takes images {tuple(shape)}, and the data are {data.image_shape}"
        )
    held = next(iter([*model.parameters(), *model.buffers()]), torch.zeros(0))
    training = model.training
    try:
        return encode_drawn(model, data, rows, seed, held.device).representation
    finally:
        model.train(training)


def _opened(
    data: "Data", data_dir: str | Path | None, size_of: Callable[[str], int] | None
) -> "FactorData":
    """The data set, with images of the size that is wanted where it has a choice."""
    from bench.build import open_data
    from bench.datasets import FactorData
    from bench.registry import resolve
    from bench.settings import parameters

    if isinstance(data, FactorData):
        return data
    name = name_of("dataset", data)
    target = resolve("dataset", name)
    sized = size_of is not None and "image_size" in parameters(target)
    settings = {"image_size": size_of(name)} if sized and size_of is not None else {}
    return open_data(name, settings, None if data_dir is None else str(data_dir), target)


def _name(data: "FactorData") -> str:
    """The name of a data set in the registry, for the recipes that are of one data set."""
    from bench.datasets import DATASETS

    return next((name for name, kind in DATASETS.items() if type(data) is kind), "")


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise RequestError(f"{name}={number}: must be at least 1")
