"""A finished run's encoder and decoder as files that need nothing of this suite.

They are programs of `torch.export`. Each file is loaded again from the very bytes that are
written, and has to give the codes and images that the run has stored.
"""

import contextlib
import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from bench.build import data_of, model_of
from bench.datasets import FactorData
from bench.encode import SHOWN
from bench.errors import RequestError
from bench.models import VAE, Encoder
from bench.registry import resolve
from bench.store import files as store
from bench.store import record as records
from bench.store.environment import environment
from bench.store.record import Record
from bench.store.representation import read_representation, read_rows
from bench.store.study import is_study, unwritable
from bench.train.loop import images

FOLDER = "export"  # inside the run's folder
DESCRIPTION = "export.json"
CHECKED = 64  # rows
GREY_LEVEL = 1 / 255  # to which stored images are rounded

# Differences that are allowed, in units of an output's largest value, or of 1 where that is less.
TOLERANCE = 1e-3
# From what a run on a GPU has stored, whose convolutions keep 10 bits (TF32), in nine rows of ten:
# in the tenth another category may be the nearest one.
TOLERANCE_GPU, SHARE_GPU = 2e-2, 0.9

Arrays = Sequence[np.ndarray]
Call = Callable[[np.ndarray], Arrays]


class ExportError(Exception):
    """A model cannot be exported, or its export gives other codes; the message is one line."""


@dataclass(frozen=True)
class Stored:
    """What a run has stored of an output, for the first rows.

    Attributes:
        values: the output, (rows, ...).
        rounding: how far the values are rounded.
    """

    values: np.ndarray
    rounding: float = 0.0


@dataclass(frozen=True)
class Part:
    """An encoder or a decoder to export.

    Attributes:
        name: `encoder` or `decoder`; names the file.
        module: what is exported.
        input: name of its input.
        outputs: names of its outputs.
        rows: the input that the export is checked on, (rows, ...).
        stored: what the run has stored, by the name of an output.
    """

    name: str
    module: nn.Module
    input: str
    outputs: tuple[str, ...]
    rows: np.ndarray
    stored: Mapping[str, Stored]

    @property
    def file(self) -> str:
        return f"{self.name}.pt2"

    @property
    def example(self) -> Tensor:
        """An input of two rows: with a single one, torch would fix the number of rows at 1.

        It becomes a part of the file, so it shows no image of the data.
        """
        return torch.zeros(2, *self.rows.shape[1:])


class Encode(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> everything that the posterior is made of."""

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(images).values())

    def named(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs of `forward` by name."""
        posterior = self.model.encode(images)
        continuous = {"mean": posterior.mean, "logvar": posterior.logvar}
        softmax = [logits.softmax(-1) for logits in posterior.logits]
        return {
            **{name: t for name, t in continuous.items() if t is not None and t.shape[-1]},
            **{f"probabilities_c{c}": p for c, p in enumerate(softmax, 1)},
        }


class Decode(nn.Module):
    """Codes (B, D + sum S_c) -> images (B, C, H, W) in [0, 1]."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.pictures(codes)


def export_run(
    folder: Path,
    output: Path | None = None,
    *,
    data_dir: str | None = None,
    watch: Callable[[str], None] = lambda what: None,
) -> list[Path]:
    """Write encoder.pt2, decoder.pt2 and export.json of a run.

    The encoder takes images (B, C, H, W) in [0, 1] and returns a tuple: mean and logvar (B, D), and
    the probabilities (B, S_c) of each categorical latent, without those that a model does not have.
    The decoder takes codes (B, D + sum S_c) and returns images (B, C, H, W) in [0, 1]; of a model
    without one, only the encoder is written. All arrays are float32, and B may be any number.

    Args:
        folder: of the run.
        output: folder to write to; None for `export` inside the run's folder.
        data_dir: where the data set looks for files.
        watch: called with what is being done.

    Returns:
        The files. None is written before all of them have been checked.

    Raises:
        RequestError: the run cannot be exported, or a file cannot be read or written.
        ExportError: torch cannot export the model, or the export does not give the run's codes.
    """
    record = finished(folder)
    data = data_of(record, data_dir)
    model = model_of(record, data)
    # the layout that makes training fast would stay in the files
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    contents: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    for part in _parts(record, data, model):
        watch(f"exporting the {part.name}")
        content, call = _exported(part)
        difference = _check(part, call, on_gpu=_on_gpu(record))
        shapes = [["batch", *array.shape[1:]] for array in call(part.rows)]
        contents[part.file] = content
        described[part.file] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "input": {part.input: ["batch", *part.rows.shape[1:]]},
            "outputs": dict(zip(part.outputs, shapes, strict=True)),
            "checked": {"rows": len(part.rows), "largest_difference": difference},
        }
    target = folder / FOLDER if output is None else output
    store.sweep(target)
    try:
        for name, content in contents.items():
            with store.replacing(target / name) as file:
                file.write(content)
        # last, as it has the checksums of the others
        store.write_json(target / DESCRIPTION, _description(record, data, model, described))
    except OSError as error:
        raise unwritable(target, error) from error
    return [target / name for name in (*contents, DESCRIPTION)]


# --- the run


def finished(folder: Path) -> Record:
    """The record of a run's folder, if the run is finished and has an encoder of images."""
    if not (folder / records.SETTINGS).exists():
        runs = sorted((folder / "runs").glob(f"*/{records.SETTINGS}"))
        if is_study(folder) and runs:
            raise RequestError(
                f"{folder} is a study: name one of its runs, for example {runs[0].parent}"
            )
        raise RequestError(f"{folder} holds no run: name a run's folder that bench run has written")
    record = records.read_record(folder)
    if not record.scored or not (folder / records.REPRESENTATION).exists():
        raise RequestError(
            f"{folder}: the run is not finished ({record.status.state}, step "
            f"{record.status.step}): finish it with the bench run command that made it"
        )
    if record.run.from_file:
        raise RequestError(
            f"{folder} holds the codes of a file, and no model: there is nothing to export"
        )
    if getattr(resolve("model", record.run.model), "input", "images") == "factors":
        raise RequestError(
            f"{folder}: {record.run.model} encodes factors, not images: there is nothing to export"
        )
    return record


def _on_gpu(record: Record) -> bool:
    """Whether the run's codes and images were computed on a GPU."""
    path = record.folder / records.ENVIRONMENT
    return path.exists() and not str(store.read_json(path).get("device")).startswith("cpu")


def _parts(record: Record, data: FactorData, model: Encoder) -> list[Part]:
    """The encoder, and the decoder of a model that has one."""
    path = record.folder / records.REPRESENTATION
    try:
        rows = read_rows(path)[:CHECKED]
        r = read_representation(path).take(np.arange(len(rows)))
        samples = (
            store.read_arrays(record.folder / records.SAMPLES) if isinstance(model, VAE) else {}
        )
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read ({error}): train again") from error
    x = images(data, rows, torch.device("cpu"))
    encoder = Encode(model)
    arrays = {"mean": r.codes, "logvar": r.logvar}
    if r.probabilities is not None:
        blocks = np.split(r.probabilities, np.cumsum(r.category_sizes)[:-1], axis=1)
        arrays |= {f"probabilities_c{c}": block for c, block in enumerate(blocks, 1)}
    stored = {name: Stored(array) for name, array in arrays.items() if array is not None}
    outputs = tuple(encoder.named(x[:1]))
    parts = [Part("encoder", encoder, "images", outputs, x.numpy(), stored)]
    if isinstance(model, VAE):
        categories = zip(r.categories.T, r.category_sizes, strict=True)
        one_hot = [np.eye(size)[index] for index, size in categories]
        codes = np.concatenate([r.codes, *one_hot], axis=1).astype(np.float32)
        stored = {"images": Stored(samples["reconstructions"][:SHOWN] / 255, GREY_LEVEL)}
        parts.append(Part("decoder", Decode(model), "codes", ("images",), codes, stored))
    return parts


def _description(
    record: Record, data: FactorData, model: Encoder, files: Mapping[str, Any]
) -> dict[str, Any]:
    """The contents of export.json: whose model this is, and how its files are used."""
    run, latents = record.run, model.latents
    continuous = [f"z{d + 1}" for d in range(latents.continuous)]
    categorical = {f"c{c + 1}": size for c, size in enumerate(latents.categorical)}
    return {
        "use": "torch.export.load('encoder.pt2').module()(images): a tuple of the outputs, float32",
        "files": files,
        "tolerance": TOLERANCE_GPU if _on_gpu(record) else TOLERANCE,
        "latents": {"continuous": continuous, "categorical": categorical},
        "code": "continuous latents, then a one-hot block for each categorical one",
        "images": "pixels of 0 to 255 divided by 255",
        "factors": {factor.name: factor.size for factor in data.factors},
        "data": data.source,
        "run": {**run.as_dict(), "identity": run.identity},
        "environment": environment("cpu", torch.get_num_threads()),
    }


# --- the programs


def _exported(part: Part) -> tuple[bytes, Call]:
    """The contents of a part's file, and what it computes once it is loaded again."""
    try:
        with _quiet():
            buffer = io.BytesIO()
            torch.export.save(_pruned(part), buffer)
            loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    except Exception as error:  # whatever somebody's own model meets in torch
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"the {part.name} cannot be exported ({type(error).__name__}: {reason})"
        ) from error
    return buffer.getvalue(), lambda rows: _arrays(loaded, rows)


def _pruned(part: Part) -> ExportedProgram:
    """A part as a program, with no weights but those that it reads."""
    program = _program(part.module, part.example)
    if unused := _unused(program):  # of the other part, and of other players
        # a model that looks at weights that it does not use keeps them
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


def _arrays(module: nn.Module, rows: np.ndarray) -> Arrays:
    with torch.inference_mode():
        outputs = module(torch.from_numpy(rows))
    return [tensor.numpy() for tensor in (outputs if isinstance(outputs, tuple) else (outputs,))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch logs and prints about its own insides."""
    sink = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- whether they give what they should


def _check(part: Part, call: Call, on_gpu: bool) -> float:
    """Compare what a file computes with the model here, and with what the run has stored.

    Returns:
        The largest difference from the model, in the units of `TOLERANCE`.

    Raises:
        ExportError: a difference is larger than allowed.
    """
    # in batches of several sizes
    batches = [part.rows[:1], part.rows[1:]] if len(part.rows) > 1 else [part.rows]
    results = [np.concatenate(pieces) for pieces in zip(*map(call, batches), strict=True)]
    largest = 0.0
    for name, result, expected in zip(
        part.outputs, results, _arrays(part.module, part.rows), strict=True
    ):
        what = f"{part.file} gives another {name} than"
        largest = max(largest, _compare(f"{what} the model", result, expected, TOLERANCE))
        if name in part.stored:
            stored = part.stored[name]
            allowed = (TOLERANCE_GPU if on_gpu else TOLERANCE) + stored.rounding
            share = SHARE_GPU if on_gpu else 1.0
            first = result[: len(stored.values)]
            _compare(f"{what} the run", first, stored.values, allowed, share)
    return largest


def _compare(
    what: str, result: np.ndarray, expected: np.ndarray, allowed: float, share: float = 1.0
) -> float:
    """The largest difference, if at least a share of the rows differ by no more than allowed."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    differences = np.abs(result - expected).reshape(len(expected), -1).max(-1) / scale
    if not np.mean(differences <= allowed) >= share:  # also where there is NaN
        raise ExportError(
            f"{what}: it differs by {differences.max() * scale:.2g}, where {allowed * scale:.2g} "
            "is allowed"
        )
    return float(differences.max())
