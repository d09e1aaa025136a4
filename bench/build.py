"""From the names and settings of a run to its data set and its model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.datasets import FactorData
from bench.datasets.subsets import Subset
from bench.resolve import resolve
from bench.runs import Run
from bench.settings import parameters
from bench.streams import lent_global_torch_stream

SUBSET = ("correlate", "hold_out")

if TYPE_CHECKING:
    import torch

    from bench.models import Encoder


def build_data(name: str, settings: Mapping[str, Any], data_dir: str | Path | None) -> FactorData:
    """The data set, or the subset of it that `correlate` and `hold_out` of the settings ask for.

    `data_dir` is for those that look for files.
    """
    target = resolve("dataset", name)
    rules = {key: settings[key] for key in SUBSET if key in settings}
    own = {key: value for key, value in settings.items() if key not in SUBSET}
    place = {"data_dir": data_dir} if "data_dir" in parameters(target) else {}
    data: FactorData = target(**own, **place)
    return Subset(data, **rules) if rules else data


def build_model(run: Run, device: "torch.device") -> "Encoder":
    """The model of a run, initialised from the run's own stream, on the device."""
    import torch

    with lent_global_torch_stream(run.seed, "initialisation"):
        model: Encoder = resolve("model", run.model)(image_shape=run.image_shape, **run.settings)
    # faster convolutions on the CPU and on current GPUs
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
