"""From the names and settings of a run to its data set and its model."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.datasets import Factor, FactorData, MissingFileError
from bench.datasets.pairs import draw_pairs
from bench.datasets.subsets import Fixed, Scored, Subset
from bench.errors import MissingDataError, RequestError
from bench.registry import digest, resolve
from bench.settings import Parameter, is_plain, parameters
from bench.store.record import WEIGHTS, Record
from bench.store.run import Run
from bench.streams import lent_global_torch_stream

FIX = "fix"
SUBSET = ("correlate", "hold_out", "split")
SCORED = "factors"
RULES = (FIX, *SUBSET, SCORED)  # data settings that are no arguments of the constructor

# What a model's constructor gets from the suite if it takes it: the data decide it, so that it is
# no setting.
HANDED_OVER = ("image_shape", "factors")

if TYPE_CHECKING:
    import torch

    from bench.models import Encoder


def build_data(
    name: str, settings: Mapping[str, Any], data_dir: str | Path | None, target: Any = None
) -> FactorData:
    """A data set, or the part of it that the rules among the settings ask for.

    Args:
        name: of the data set.
        settings: arguments of its constructor, and the rules `fix`, `correlate`, `hold_out`,
            `split` and `factors`.
        data_dir: where it looks for files, if it takes that.
        target: what the name means, if that is known already.

    Raises:
        ValueError, TypeError, OSError: as the data set's constructor.
    """
    target = target or resolve("dataset", name)
    rules = {key: settings[key] for key in SUBSET if key in settings}
    own = {key: value for key, value in settings.items() if key not in RULES}
    place = {"data_dir": data_dir} if "data_dir" in parameters(target) else {}
    data: FactorData = target(**own, **place)
    if FIX in settings:  # first, as the rules are about the factors that vary
        data = Fixed(data, settings[FIX])
    if rules:
        data = Subset(data, **rules)
    # last, as the rules may be about factors that are not scored
    return Scored(data, settings[SCORED]) if SCORED in settings else data


def open_data(
    name: str, settings: Mapping[str, Any], data_dir: str | Path | None, target: Any = None
) -> FactorData:
    """As `build_data`, for what a user asked for: every error is a RequestError that names it.

    Raises:
        MissingDataError: its files are not there.
        RequestError: anything else.
    """
    target = target or resolve("dataset", name)
    own = digest(name, target, "dataset") is not None
    try:
        data = build_data(name, settings, data_dir, target)
        if own:
            _try_data(data)
        return data
    except MissingFileError as error:
        raise MissingDataError(str(error)) from error
    except (ValueError, TypeError, OSError) as error:
        # all of the suite's own name themselves
        raise RequestError(f"{name}: {error}" if own else str(error)) from error
    except RequestError:
        raise
    except Exception as error:  # whatever somebody's own raises: it is theirs to mend
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise RequestError(f"{name} raises {words}: try bench check {name}") from error


def _try_data(data: Any) -> None:
    """Ask somebody's own data set for a row of all that a plan reads.

    Raises:
        TypeError: it is none.
        Exception: whatever it raises.
    """
    if not isinstance(data, FactorData):
        raise TypeError(f"it makes a {type(data).__name__}, no bench.datasets.FactorData")
    for name in ("factors", "image_shape", "source", "fingerprint"):
        getattr(data, name)
    rows = data.draw(np.random.default_rng(0), 2)
    data.values(rows)
    data.images(rows)


def build_model(run: Run, device: "torch.device", factors: Sequence[Factor] = ()) -> "Encoder":
    """The model of a run, initialised from the run's own stream, on the device.

    `factors` of the data set are for the models that take them.
    """
    import torch

    with lent_global_torch_stream(run.seed, "initialisation"):
        model = _made(resolve("model", run.model), run.settings, run.image_shape, factors)
    # faster convolutions on the CPU and on current GPUs
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def data_of(record: Record, data_dir: str | Path | None) -> FactorData:
    """The data set of a run.

    Raises:
        RequestError: it cannot be opened, or has other pixels here.
    """
    run = record.run
    data = open_data(run.dataset, run.data_settings, data_dir)
    if data.fingerprint != run.fingerprint:
        raise RequestError(
            f"{record.folder}: the run has seen {run.fingerprint}, and {run.dataset} is "
            f"{data.fingerprint} here: name the folder of its files with --data-dir"
        )
    return data


def model_of(record: Record, data: FactorData | None = None) -> "Encoder":
    """The trained model of a run, on the CPU, for evaluation.

    Only a model that encodes factors needs the data.

    Raises:
        RequestError: the weights cannot be read, or the model is another one now.
    """
    import torch
    from safetensors.torch import load_file

    run, path = record.run, record.folder / WEIGHTS
    try:
        factors = () if data is None else data.factors
        model = build_model(run, torch.device("cpu"), factors)
        if path.exists() or model.state_dict():
            model.load_state_dict(load_file(path))
    except RequestError:
        raise
    except Exception as error:  # also whatever somebody's own model raises
        reason = " ".join(str(error).split())[:200]
        raise RequestError(
            f"{path} cannot be read into {run.model} as it is now "
            f"({type(error).__name__}: {reason})"
        ) from error
    return model.eval().requires_grad_(False)


def is_trained(target: Any) -> bool:
    """Whether the suite trains what a model's name means; anything else is only scored."""
    from bench.models import VAE

    return isinstance(target, type) and issubclass(target, VAE)


def model_settings(name: str, target: Any) -> dict[str, Parameter]:
    """The settings of a model. Raises RequestError where its signature cannot be read."""
    try:
        known = parameters(target) if callable(target) and not _is_module(target) else {}
    except Exception as error:  # annotations that cannot be read raise whatever they do
        reason = f"{type(error).__name__}: {error}"
        raise RequestError(f"{name}: its signature cannot be read ({reason})") from error
    if _is_encoder(target):
        return {key: p for key, p in known.items() if key not in HANDED_OVER}
    # an external network: what no record can hold keeps its default
    return {k: p for k, p in known.items() if k != "image_shape" and is_plain(p.default)}


@dataclass(frozen=True)
class Tried:
    """What building a model has told.

    Attributes:
        code: the digest of the code and weights that are not the suite's own.
        found: what of an external network's output was taken for what.
    """

    code: str | None
    found: str = ""


def settings_of_data(target: Any, settings: Mapping[str, Any], data: FactorData) -> dict[str, Any]:
    """The settings of a model that have to be those of the data, unless the user gives others."""
    return target.settings_of_data(settings, data.training) if _is_encoder(target) else {}


def try_model(
    name: str, target: Any, settings: Mapping[str, Any], data: FactorData, batch_size: int
) -> "Tried":
    """Build a model of the plan, so that it refuses now what it would refuse later.

    Models of the suite and subclasses of them take no memory; an external network is built and
    encodes images of zeros.

    Raises:
        RequestError: the model refuses the settings, the images or the data.
    """
    import torch

    code = digest(name, target)
    try:
        if _is_encoder(target):
            with torch.device("meta"):
                model = _made(target, settings, data.image_shape, data.factors)
            if model.input == "pairs":
                draw_pairs(data, np.random.default_rng(0), batch_size, model.changed)
            return Tried(code)
        from bench.external import weights_digest, wrap

        with lent_global_torch_stream(0, "initialisation"):
            network = wrap(target, settings, data.image_shape)
            return Tried(weights_digest(network, code), network.found)
    except (ValueError, TypeError) as error:
        raise RequestError(f"{name}: {error}") from error
    except RequestError:
        raise
    except Exception as error:  # whatever somebody's own raises: it is theirs to mend
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise RequestError(f"{name} raises {words}: try bench check {name}") from error


def wrapped(network: Any, data: FactorData) -> "Encoder":
    """A network that knows nothing of this suite, as an encoder of a data set's images.

    Raises:
        RequestError: it does not encode them.
    """
    from bench.external import wrap

    try:
        return wrap(network, {}, data.image_shape)
    except ValueError as error:
        raise RequestError(f"{type(network).__name__}: {error}") from error


def _made(
    target: Any,
    settings: Mapping[str, Any],
    image_shape: tuple[int, int, int],
    factors: Sequence[Factor],
) -> "Encoder":
    if not _is_encoder(target):
        from bench.external import wrap

        return wrap(target, settings, image_shape)
    takes = inspect.signature(target).parameters
    handed = {"factors": tuple(factors)} if "factors" in takes else {}
    model: Encoder = target(image_shape=image_shape, **handed, **settings)
    return model


def _is_encoder(target: Any) -> bool:
    from bench.models import Encoder

    return isinstance(target, type) and issubclass(target, Encoder)


def _is_module(target: Any) -> bool:
    from torch import nn

    return isinstance(target, nn.Module)
