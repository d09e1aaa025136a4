"""Weights that others have released: read, recognised, made a model of ours, and scored.

A file holds tensors alone, as `torch.save(model.state_dict(), path)` or safetensors write them, or
a checkpoint of a training that has them under `state_dict`, `model_state_dict`, `model` or `net`.
What else a pickle may hold is never opened.

Only the names and shapes of the tensors tell what a file is. Both formats that are known are 4x4
convolutions of stride 2, fully connected layers, and the same back, with ReLU in between and a
sigmoid at the end: the layers of `bench.models.networks` under other names, and here of any width.
Their likelihood is Bernoulli, which weights cannot tell; disentangling-vae has others as options.
"""

import hashlib
import io
import math
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from bench.build import open_data
from bench.datasets import FactorData
from bench.datasets.guarded import memory, unpacked_size
from bench.encode import encode_drawn
from bench.errors import RequestError
from bench.metrics import Representation
from bench.models import VAE, JointVAE, Latents
from bench.models.networks import Network
from bench.registry import resolve
from bench.reproduce.files import Draw, ReleasedRecord
from bench.reproduce.published import Part, Table
from bench.reproduce.scores import as_scored, paper_definitions, scores_of
from bench.score import DEFAULT, definition, evaluate
from bench.settings import parameters
from bench.store.environment import environment
from bench.store.record import SETTINGS, WEIGHTS, Evaluation
from bench.streams import lent_global_torch_stream

ROWS = 40_000  # images that are encoded, of the training rows and of the held-out rows each
SEED = 0  # of their draw

STATE_DICTS = ("state_dict", "model_state_dict", "model", "net")  # in checkpoints
_EXPECTED = "expected tensors by name, as torch.save(model.state_dict(), path) writes them"

JOINT_VAE = "Schlumberger/joint-vae"
DISENTANGLING_VAE = "YannDubs/disentangling-vae"

Watch = Callable[[str], None]


def score_released(
    table: Table, part: Part, path: Path, command: str, data_dir: str | None, watch: Watch
) -> ReleasedRecord:
    """Score the released weights that a part names, by the paper's protocol and by ours.

    Args:
        table: the table, whose rows say which metrics are needed.
        part: of the table.
        path: of the file with the weights.
        command: to be recorded with the scores.
        data_dir: where the data set looks for files.
        watch: called with what is being done.

    Raises:
        RequestError: as `evaluate_released`.
    """
    started = time.monotonic()
    codes, evaluation, source = evaluate_released(path, part.dataset, data_dir, watch)
    watch(f"{part.name}: scores")
    standard = [definition(name) for name in (*DEFAULT, *part.metrics)]
    paper = as_scored(codes, part.protocol, SEED)
    draw = Draw(
        seed=SEED,
        evaluation=evaluation,
        paper=scores_of(paper, paper_definitions(table, part), SEED),
        standard=scores_of(codes, standard, SEED),
    )
    return ReleasedRecord(
        command=command,
        part=part.name,
        environment=environment("cpu", 1),
        seconds=round(time.monotonic() - started, 2),
        files={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
        source=re.sub(r" in /[^,]*", "", source),  # without the path of the data on this machine
        draws=[draw],
    )


def evaluate_released(
    path: Path, dataset: str, data_dir: str | None, watch: Watch, *, rows: int = ROWS
) -> tuple[Representation, Evaluation, str]:
    """Encode a data set with the released weights in a file.

    Args:
        path: of the file.
        dataset: name of the data set.
        data_dir: where it looks for files.
        watch: called with what is being done.
        rows: how many images are encoded at most: random ones of the training rows, always the
            same, and as many of the held-out rows, which become the representation's `test`.

    Returns:
        The representation, its evaluation, and one line that says what exactly was encoded by what.

    Raises:
        RequestError: the file cannot be read or has no known format, or the data do not fit it.
    """
    watch(f"reading {path.name}")
    content = _content(path)
    tensors = _tensors(path, content)
    _refuse_ours(path, tensors)
    try:
        layers = structure(_float32(tensors))
    except UnknownFormatError as error:
        raise RequestError(f"{path} {error}") from error
    data = _data(path, layers, dataset, data_dir)
    model = model_of(layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    encoded = encode_drawn(
        model,
        data,
        rows,
        SEED,
        torch.device("cpu"),
        lambda done, total: watch(f"encoding {done:,} of {total:,} images"),
    )
    evaluation = evaluate(
        encoded.representation,
        reconstruction=encoded.reconstruction,
        mean_image_reconstruction=encoded.mean_image_reconstruction,
        held_out_reconstruction=encoded.held_out_reconstruction,
    )
    checksum = hashlib.sha256(content).hexdigest()
    source = (
        f"{path.name}, {layers.format} state dict, sha256 {checksum}: {layers}; data: {data.source}"
    )
    return encoded.representation, evaluation, source


# --- reading the file


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror})") from error


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """The tensors of a file, by name."""
    if path.suffix.lower() == ".safetensors":
        try:
            return load_safetensors(content)
        except Exception as error:  # safetensors' own, and KeyError for a type that torch lacks
            raise RequestError(f"{path} is damaged or no safetensors file ({error})") from error
    if unpacked_size(content) > memory() // 2:
        raise RequestError(f"{path} unpacks to more than there is memory for: write it again")
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
    if not isinstance(loaded, dict):
        raise RequestError(f"{path} holds a {type(loaded).__name__}: {_EXPECTED}")
    inner = (loaded[name] for name in STATE_DICTS if loaded.get(name))
    for tensors in (loaded, *inner):
        if _is_state_dict(tensors):
            return dict(tensors)
    names = ", ".join(str(name)[:40] for name in list(loaded)[:8])
    raise RequestError(f"{path} holds other things, too: {_EXPECTED}; it has {names}")


def _is_state_dict(value: object) -> bool:
    pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in pairs)


def _refuse_ours(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise RequestError for weights that `bench run` has written."""
    beside = (path.parent / SETTINGS).exists()
    named = any(re.match(r"(encoder|decoder)\.\d+\.", name) for name in tensors)  # as `VAE` does
    if named or (beside and path.name == WEIGHTS):
        folder = f", bench evaluate {path.parent}" if beside else ""
        raise RequestError(
            f"{path} holds weights as bench run writes them: name the folder of their run{folder}, "
            "which has their settings and codes"
        )


def _float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as float32. Raises UnknownFormatError where one is no weight."""
    for name, tensor in tensors.items():
        dense = tensor.is_floating_point() and tensor.layout == torch.strided
        if not (dense and tensor.numel() and tensor.dim()):
            raise UnknownFormatError(
                f"has {name} of {tensor.dtype} {tuple(tensor.shape)}, expected weights"
            )
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UnknownFormatError(
                f"has {name} of shape {tuple(tensor.shape)}, of which it holds only a part"
            )
        if not tensor.isfinite().all():
            raise UnknownFormatError(
                f"has values in {name} that are not finite: its training has diverged"
            )
    return {name: tensor.detach().float() for name, tensor in tensors.items()}


def _data(path: Path, layers: "Structure", name: str, data_dir: str | None) -> FactorData:
    """The data set, with images of the size that the model takes."""
    target = resolve("dataset", name)
    sized = "image_size" in parameters(target)
    settings = {"image_size": layers.image_shape[1]} if sized else {}
    data = open_data(name, settings, data_dir, target)
    if data.image_shape != layers.image_shape:
        encodes, has = ("x".join(map(str, s)) for s in (layers.image_shape, data.image_shape))
        raise RequestError(
            f"{path} encodes {encodes} images, and {name} has {has}: it is not a model of {name}"
        )
    return data


# --- recognising the format


class UnknownFormatError(ValueError):
    """A state dict of no known format; the message is to follow the name of the file."""


@dataclass(frozen=True)
class Layer:
    """A layer of a state dict.

    Attributes:
        name: in the state dict.
        weight: as PyTorch has it.
        bias: (outputs,).
    """

    name: str
    weight: Tensor
    bias: Tensor

    @property
    def outputs(self) -> int:
        return self.bias.numel()

    @property
    def inputs(self) -> int:
        """Of a Conv2d or Linear."""
        return self.weight.shape[1] if self.weight.dim() > 1 else 0

    def check(self, *shape: int) -> None:
        """Raise UnknownFormatError where the weight has another shape."""
        for kind, tensor, expected in (
            ("weight", self.weight, shape),
            ("bias", self.bias, (self.outputs,)),
        ):
            if tensor.shape != expected:
                raise UnknownFormatError(
                    f"has {self.name}.{kind} of shape {tuple(tensor.shape)}, expected {expected}"
                )


@dataclass(frozen=True)
class Structure:
    """The layers of a state dict in the order of computation, and what their shapes tell.

    The last layer of `dense` gives means, log variances and logits, in this order.
    """

    format: str
    image_shape: tuple[int, int, int]
    latents: Latents
    convolutions: Sequence[Layer]
    dense: Sequence[Layer]
    dense_back: Sequence[Layer]
    convolutions_back: Sequence[Layer]

    def __str__(self) -> str:
        sizes = "+".join(map(str, self.latents.categorical)) or "no"
        convolutions = "-".join(str(layer.outputs) for layer in self.convolutions)
        hidden = "-".join(str(layer.outputs) for layer in self.dense[:-1])
        return (
            f"{'x'.join(map(str, self.image_shape))} images, {self.latents.continuous} continuous "
            f"latents, {sizes} categories, convolutions {convolutions}, hidden {hidden}"
        )


def structure(tensors: Mapping[str, Tensor]) -> Structure:
    """What a state dict of float tensors is.

    Raises:
        UnknownFormatError: it is of no known format, or not whole.
    """
    for name, (mark, read) in _FORMATS.items():
        if mark in tensors:
            remaining = _Remaining(tensors)
            try:
                layers = read(remaining)
            except UnknownFormatError as error:
                raise UnknownFormatError(f"looks like {name}, but {error}") from error
            if surplus := remaining.names():
                raise UnknownFormatError(
                    f"looks like {name}, but has {surplus[0]}, which that does not have"
                )
            return layers
    some = ", ".join([*tensors][:3]) or "none at all"
    known = " or ".join(f"{name} ({mark}, ...)" for name, (mark, _) in _FORMATS.items())
    raise UnknownFormatError(
        f"holds tensors of no known model ({some}): expected a state dict of {known}"
    )


class _Remaining:
    """The tensors of a state dict that have not been taken yet."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)

    def names(self) -> list[str]:
        return list(self._tensors)

    def has(self, layer: str) -> bool:
        return f"{layer}.weight" in self._tensors

    def take(self, *layers: str) -> list[Layer]:
        """Layers by name. Raises UnknownFormatError where a tensor of one is missing."""
        taken = []
        for name in layers:
            for kind in ("weight", "bias"):
                if f"{name}.{kind}" not in self._tensors:
                    raise UnknownFormatError(f"has no {name}.{kind}")
            weight, bias = (self._tensors.pop(f"{name}.{kind}") for kind in ("weight", "bias"))
            taken.append(Layer(name, weight, bias))
        return taken

    def take_numbered(self, stem: str) -> list[Layer]:
        """`stem`.0 and those after it; in a Sequential the activations have numbers, too."""
        pattern = re.compile(rf"{re.escape(stem)}\.(\d+)\.weight")
        numbers = sorted(int(m[1]) for m in map(pattern.fullmatch, self._tensors) if m)
        return self.take(*(f"{stem}.{number}" for number in numbers or [0]))


def _joint_vae(remaining: _Remaining) -> Structure:
    """A head for the means, one for the log variances, and one for each categorical latent."""
    convolutions = remaining.take_numbered("img_to_features")
    hidden = remaining.take_numbered("features_to_hidden")
    # a model without continuous latents has none of the first two heads, one without categories
    # none of the third kind
    gaussian = remaining.take("fc_mean", "fc_log_var") if remaining.has("fc_mean") else []
    alphas = remaining.take_numbered("fc_alphas") if remaining.has("fc_alphas.0") else []
    heads = [*gaussian, *alphas]
    if not heads:
        raise UnknownFormatError("has neither fc_mean.weight nor fc_alphas.0.weight")
    for head in heads:
        head.check(head.outputs, hidden[-1].outputs)
    if gaussian:
        gaussian[1].check(*gaussian[0].weight.shape)
    latents = _latents(
        gaussian[0].outputs if gaussian else 0, tuple(head.outputs for head in alphas)
    )
    joined = Layer("head", torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads]))
    dense_back = remaining.take_numbered("latent_to_features")
    back = remaining.take_numbered("features_to_img")
    return _checked(JOINT_VAE, latents, convolutions, [*hidden, joined], dense_back, back)


def _disentangling_vae(remaining: _Remaining) -> Structure:
    """One head, whose rows are mean and log variance of each latent in turn."""
    extra = ["conv_64"] if remaining.has("encoder.conv_64") else []  # of 64x64 images
    convolutions = remaining.take(*(f"encoder.{n}" for n in ["conv1", "conv2", "conv3", *extra]))
    hidden = remaining.take("encoder.lin1", "encoder.lin2")
    (pairs,) = remaining.take("encoder.mu_logvar_gen")
    if pairs.outputs % 2:
        raise UnknownFormatError(
            f"has {pairs.name} of {pairs.outputs} outputs, expected two per latent"
        )
    pairs.check(pairs.outputs, hidden[-1].outputs)
    head = Layer(
        pairs.name,
        torch.cat([pairs.weight[0::2], pairs.weight[1::2]]),
        torch.cat([pairs.bias[0::2], pairs.bias[1::2]]),
    )
    extra = ["convT_64"] if remaining.has("decoder.convT_64") else []
    dense_back = remaining.take(*(f"decoder.{n}" for n in ["lin1", "lin2", "lin3"]))
    back = remaining.take(*(f"decoder.{n}" for n in [*extra, "convT1", "convT2", "convT3"]))
    latents = _latents(pairs.outputs // 2, ())
    return _checked(DISENTANGLING_VAE, latents, convolutions, [*hidden, head], dense_back, back)


# By name: the tensor that only this format has, and what reads it.
_FORMATS: Mapping[str, tuple[str, Callable[[_Remaining], Structure]]] = {
    JOINT_VAE: ("img_to_features.0.weight", _joint_vae),
    DISENTANGLING_VAE: ("encoder.mu_logvar_gen.weight", _disentangling_vae),
}


def _latents(continuous: int, categorical: tuple[int, ...]) -> Latents:
    try:
        return Latents(continuous, categorical)
    except ValueError as error:
        raise UnknownFormatError(f"has no latents that are known here ({error})") from error


def _checked(
    format: str,
    latents: Latents,
    convolutions: Sequence[Layer],
    dense: Sequence[Layer],
    dense_back: Sequence[Layer],
    convolutions_back: Sequence[Layer],
) -> Structure:
    """The structure, if every layer takes what the one before it gives."""
    channels = width = convolutions[0].inputs
    for layer in convolutions:
        layer.check(layer.outputs, width, 4, 4)
        width = layer.outputs
    side = math.isqrt(dense[0].inputs // width)
    pixels = side << len(convolutions)
    if channels not in (1, 3) or pixels not in (32, 64):
        raise UnknownFormatError(
            f"is for {channels}x{pixels}x{pixels} images, expected 1 or 3 channels of 32x32 or "
            "64x64 pixels"
        )
    if len(convolutions_back) != len(convolutions):
        raise UnknownFormatError(
            f"has {len(convolutions)} convolutions and {len(convolutions_back)} back"
        )
    for before, layers in ((width * side**2, dense), (latents.width, dense_back)):
        for layer in layers:
            layer.check(layer.outputs, before)
            before = layer.outputs
    width = convolutions_back[0].weight.shape[0]
    dense_back[-1].check(width * side**2, dense_back[-1].inputs)
    for layer in convolutions_back:
        layer.check(width, layer.outputs, 4, 4)
        width = layer.outputs
    convolutions_back[-1].check(convolutions_back[-1].weight.shape[0], channels, 4, 4)
    shape = (channels, pixels, pixels)
    return Structure(format, shape, latents, convolutions, dense, dense_back, convolutions_back)


# --- building the model


def model_of(layers: Structure) -> VAE:
    """The same model as one of ours; its tensors have the names that `VAE` gives them."""
    kind = JointVAE if layers.format == JOINT_VAE else VAE
    network: Network = "dupont" if layers.format == JOINT_VAE else "burgess"
    with lent_global_torch_stream(0, "initialisation"):
        model = kind(
            image_shape=layers.image_shape,
            continuous=layers.latents.continuous,
            categorical=layers.latents.categorical,
            network=network,
        )
        # built again in any case, as the widths need not be those of the paper
        model.encoder, model.decoder = _encoder(layers), _decoder(layers)
    return model


def _encoder(layers: Structure) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers.convolutions:
        modules += [_filled(nn.Conv2d(layer.inputs, layer.outputs, 4, 2, 1), layer), nn.ReLU()]
    modules.append(nn.Flatten())
    for layer in layers.dense:
        modules += [_filled(nn.Linear(layer.inputs, layer.outputs), layer), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _decoder(layers: Structure) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers.dense_back:
        modules += [_filled(nn.Linear(layer.inputs, layer.outputs), layer), nn.ReLU()]
    channels = len(layers.convolutions_back[0].weight)
    side = layers.image_shape[1] >> len(layers.convolutions_back)
    modules.append(nn.Unflatten(1, (channels, side, side)))
    for layer in layers.convolutions_back:
        doubled = nn.ConvTranspose2d(channels, layer.outputs, 4, 2, 1)
        modules += [_filled(doubled, layer), nn.ReLU()]
        channels = layer.outputs
    return nn.Sequential(*modules[:-1])  # ours end in logits


def _filled(module: nn.Module, layer: Layer) -> nn.Module:
    module.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    return module
