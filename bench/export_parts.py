"""The encoder and the decoder of a model as programs: exported, loaded again, compared."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from bench.models import VAE, Encoder

# Differences that are allowed, in units of an output's largest value, or of 1 where that is less
TOLERANCE = 1e-3
# To what a run has stored that was on a GPU, whose convolutions keep 10 bits (TF32), in nine rows
# of ten: another category may be the nearest one
TOLERANCE_GPU, SHARE_GPU = 2e-2, 0.9

Arrays = Sequence[np.ndarray]
Call = Callable[[np.ndarray], Arrays]


class Mismatch(Exception):
    """A model that cannot be exported, or whose export gives other codes: one line."""


@dataclass(frozen=True)
class Stored:
    """What a run has stored of an output for the first rows, and how far it is rounded."""

    values: np.ndarray
    rounding: float = 0.0


@dataclass(frozen=True)
class Part:
    """An encoder or a decoder to export.

    name: of its files; takes, gives: names of its input and its outputs; value: the input that it
    is checked with, (rows, ...); stored: by the name of an output.
    """

    name: str
    module: nn.Module
    takes: str
    gives: tuple[str, ...]
    value: np.ndarray
    stored: Mapping[str, Stored]

    @property
    def example(self) -> Tensor:
        """An input of two rows, as one row would be taken for the only size there is.

        It becomes a part of the file, so it shows no image of the data.
        """
        return torch.zeros(2, *self.value.shape[1:])


class Encode(nn.Module):
    """Images (B, C, H, W) in [0, 1] to all that the posterior is."""

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(images).values())

    def named(self, images: Tensor) -> dict[str, Tensor]:
        """What `forward` gives, by name."""
        posterior = self.model.encode(images)
        given = {"mean": posterior.mean, "logvar": posterior.logvar}
        softmax = [logits.softmax(-1) for logits in posterior.logits]
        return {
            **{name: t for name, t in given.items() if t is not None and t.shape[-1]},
            **{f"probabilities_c{c}": p for c, p in enumerate(softmax, 1)},
        }


class Decode(nn.Module):
    """Codes (B, D + sum S_c) to images (B, C, H, W) in [0, 1]."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.pictures(codes)


def exported(part: Part, onnx: bool) -> dict[str, tuple[bytes, Call]]:
    """The files of a part by name, and what each of them computes. Raises Mismatch."""
    try:
        with _quiet():
            program = _pruned(part)
            files = {f"{part.name}.pt2": _torch_file(program)}
            if onnx:
                files[f"{part.name}.onnx"] = _onnx_file(part, program)
    except Exception as error:  # whatever somebody's own model meets in torch
        reason = str(error).strip().partition("\n")[0]
        raise Mismatch(
            f"the {part.name} cannot be exported ({type(error).__name__}: {reason})"
        ) from error
    return files


def check(file: str, part: Part, call: Call, on_gpu: bool) -> float:
    """Compare what a file computes with the model here, and with what the run has stored.

    Returns:
        The largest difference to the model, in units of `TOLERANCE`'s.

    Raises:
        Mismatch: a difference is above what is allowed.
    """
    # in batches of several sizes
    batches = [part.value[:1], part.value[1:]] if len(part.value) > 1 else [part.value]
    came = [np.concatenate(both) for both in zip(*map(call, batches), strict=True)]
    here = _arrays(part.module, part.value)
    largest = 0.0
    for name, array, expected in zip(part.gives, came, here, strict=True):
        rest = _compared(file, name, "the model", array, expected, TOLERANCE)
        largest = max(largest, rest)
        if name in part.stored:
            stored, allowed = part.stored[name], TOLERANCE_GPU if on_gpu else TOLERANCE
            array = array[: len(stored.values)]
            allowed, share = allowed + stored.rounding, SHARE_GPU if on_gpu else 1.0
            _compared(file, name, "the run", array, stored.values, allowed, share)
    return largest


def _compared(
    file: str,
    name: str,
    whose: str,
    came: np.ndarray,
    expected: np.ndarray,
    allowed: float,
    share: float = 1.0,
) -> float:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    rests = np.abs(came - expected).reshape(len(expected), -1).max(-1) / scale
    if not np.mean(rests <= allowed) >= share:  # also where there is NaN
        raise Mismatch(
            f"{file} gives another {name} than {whose}: it differs by {rests.max() * scale:.2g}, "
            f"where {allowed * scale:.2g} is allowed"
        )
    return float(rests.max())


def _pruned(part: Part) -> ExportedProgram:
    """A part as a program, with no weights but those that it reads."""
    program = _program(part.module, part.example)
    if unused := _unused(program):  # of the other side, and of other players
        # a model that looks at what it does not use keeps it
        with contextlib.suppress(Exception):
            module = copy.deepcopy(part.module)
            for name in unused:
                owner, _, leaf = name.rpartition(".")
                setattr(module.get_submodule(owner), leaf, None)
            program = _program(module, part.example)
    return program


def _program(module: nn.Module, example: Tensor) -> ExportedProgram:
    batch = ({0: torch.export.Dim("batch")},)
    try:
        return torch.export.export(module, (example,), dynamic_shapes=batch, strict=False)
    except Exception:
        # slower, and reads the code: there len(x) is no fixed number
        return torch.export.export(module, (example,), dynamic_shapes=batch, strict=True)


def _unused(program: ExportedProgram) -> list[str]:
    """The names of parameters and buffers that a program does not read."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    return [names[node.name] for node in inputs if node.name in names and not node.users]


def _torch_file(program: ExportedProgram) -> tuple[bytes, Call]:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    return buffer.getvalue(), lambda value: _arrays(loaded, value)


def _onnx_file(part: Part, program: ExportedProgram) -> tuple[bytes, Call]:
    import onnxruntime

    names: dict[str, Any] = {"input_names": [part.takes], "output_names": list(part.gives)}
    translated = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    assert translated is not None  # it is None of the older exporter only
    content: bytes = translated.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda value: session.run(None, {part.takes: value})


def _arrays(module: nn.Module, value: np.ndarray) -> Arrays:
    with torch.inference_mode():
        given = module(torch.from_numpy(value))
    return [tensor.numpy() for tensor in (given if isinstance(given, tuple) else (given,))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say and print of their own insides."""
    sink = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
