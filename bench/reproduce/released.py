"""Weights that others have released: read, recognised, and encoded as a run's model is.

A file of tensors alone, as `torch.save(model.state_dict(), path)` or safetensors write it. What
else a pickle may hold is never opened.
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from bench.build import build_data
from bench.datasets import FactorData
from bench.encode import encode_drawn
from bench.errors import RequestError
from bench.metrics import Representation
from bench.models import VAE, JointVAE
from bench.models.networks import Network
from bench.registry import resolve
from bench.reproduce.released_formats import JOINT_VAE, Layer, Structure, Unfit, is_ours, structure
from bench.settings import parameters
from bench.store import record as records
from bench.streams import lent_global_torch_stream

ROWS = 40_000  # images that are encoded, of the training rows and of those held out each
SEED = 0  # of their draw

# By channels and pixels a side: the sets that the two repositories train on
_CANDIDATES = {
    (1, 64): ("dsprites", "chairs3d"),
    (1, 32): ("fashionmnist", "mnist"),
    (3, 64): ("celeba", "shapes3d"),
}

Tell = Callable[[str], None]


def evaluate_released(
    path: Path, dataset: str | None, data_dir: str | None, tell: Tell, *, rows: int = ROWS
) -> tuple[Representation, dict[str, Any], str]:
    """Encode a data set with the released weights in a file.

    Images are up to `rows` random ones of a data set's training rows, always the same, and as
    many of those held out, which become the representation's `test`.

    Returns:
        The representation; the evaluation, see `encode`, with `held_out` as a run has it; and one
        line that says what exactly was encoded by what.

    Raises:
        RequestError: the file cannot be read, is of no known format, or the data do not fit it.
    """
    tell(f"reading {path.name}")
    content = _content(path)
    tensors = _tensors(path, content)
    beside = (path.parent / records.SETTINGS).exists()
    if is_ours(tensors) or (beside and path.name == records.WEIGHTS):
        folder = f", bench evaluate {path.parent}" if beside else ""
        raise RequestError(
            f"{path} holds weights as bench run writes them: name the folder of their run{folder}, "
            "which has their settings and codes"
        )
    try:
        found = structure(_numbers(tensors))
    except Unfit as error:
        raise RequestError(f"{path} {error}") from error
    data = _data(path, found, dataset, data_dir)
    model = model_of(found).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    representation, evaluation, _ = encode_drawn(
        model,
        data,
        rows,
        SEED,
        torch.device("cpu"),
        lambda done, total: tell(f"encoding {done:,} of {total:,} images"),
    )
    checksum = hashlib.sha256(content).hexdigest()
    source = (
        f"{path.name}, {found.format} state dict, sha256 {checksum}: {found}; data: {data.source}"
    )
    return representation, evaluation, source


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror})") from error


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises RequestError."""
    if path.suffix.lower() == ".safetensors":
        try:
            return load_safetensors(content)
        except Exception as error:  # safetensors' own, and KeyError for a type that torch lacks
            raise RequestError(f"{path} is damaged or no safetensors file ({error})") from error
    try:
        with warnings.catch_warnings():  # about other kinds of files, which the error says
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged pickle raises
        # torch's own message advises to open it without care
        raise RequestError(
            f"{path} is damaged, or holds more than tensors, which is never opened: expected what "
            "torch.save(model.state_dict(), path) writes"
        ) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        what = f"a {type(loaded).__name__}" if not isinstance(loaded, dict) else "other things, too"
        raise RequestError(
            f"{path} holds {what}: expected tensors by name, as "
            "torch.save(model.state_dict(), path) writes them"
        )
    return loaded


def _numbers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as float32. Raises Unfit."""
    for name, tensor in tensors.items():
        dense = tensor.is_floating_point() and tensor.layout == torch.strided
        if not (dense and tensor.numel() and tensor.dim()):
            raise Unfit(f"has {name} of {tensor.dtype} {tuple(tensor.shape)}, expected weights")
        if not tensor.isfinite().all():
            raise Unfit(f"has values in {name} that are not finite: its training has diverged")
    return {name: tensor.detach().float() for name, tensor in tensors.items()}


def _data(path: Path, found: Structure, name: str | None, data_dir: str | None) -> FactorData:
    """The data set, with images of the model's size. Raises RequestError."""
    size = "x".join(map(str, found.image_shape))
    if name is None:
        channels, side, _ = found.image_shape
        first, second = _CANDIDATES.get((channels, side), ("shapes3d", "celeba"))
        raise RequestError(
            f"{path} encodes {size} images, and no weights say which: name the data set, as "
            f"--dataset {first} (or {second})"
        )
    known = parameters(resolve("dataset", name))
    settings = {"image_size": found.image_shape[1]} if "image_size" in known else {}
    try:
        data = build_data(name, settings, data_dir)
    except (ValueError, TypeError, OSError) as error:
        about = "" if str(error).startswith((name, str(Path(name).resolve()))) else f"{name}: "
        raise RequestError(f"{about}{error}") from error
    if data.image_shape != found.image_shape:
        has = "x".join(map(str, data.image_shape))
        raise RequestError(
            f"{path} encodes {size} images, and {name} has {has}: name another --dataset"
        )
    return data


def model_of(found: Structure) -> VAE:
    """The same model as one of ours; its tensors have the names that `VAE` gives them."""
    kind = JointVAE if found.format == JOINT_VAE else VAE
    network: Network = "dupont" if found.format == JOINT_VAE else "burgess"
    with lent_global_torch_stream(0, "initialisation"):
        model = kind(
            image_shape=found.image_shape,
            continuous=found.latents.continuous,
            categorical=found.latents.categorical,
            network=network,
        )
        # built anew in any case, as the widths need not be those of the paper
        model.encoder, model.decoder = _encoder(found), _decoder(found)
    return model


def _encoder(found: Structure) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in found.convolutions:
        layers += [_filled(nn.Conv2d(layer.inputs, layer.outputs, 4, 2, 1), layer), nn.ReLU()]
    layers.append(nn.Flatten())
    for layer in found.dense:
        layers += [_filled(nn.Linear(layer.inputs, layer.outputs), layer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _decoder(found: Structure) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in found.dense_back:
        layers += [_filled(nn.Linear(layer.inputs, layer.outputs), layer), nn.ReLU()]
    channels = len(found.convolutions_back[0].weight)
    side = found.image_shape[1] >> len(found.convolutions_back)
    layers.append(nn.Unflatten(1, (channels, side, side)))
    for layer in found.convolutions_back:
        doubled = nn.ConvTranspose2d(channels, layer.outputs, 4, 2, 1)
        layers += [_filled(doubled, layer), nn.ReLU()]
        channels = layer.outputs
    return nn.Sequential(*layers[:-1])  # ours end in logits


def _filled(module: nn.Module, layer: Layer) -> nn.Module:
    module.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    return module
