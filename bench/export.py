"""A finished run's encoder and decoder as files that need nothing of the suite.

By `torch.export`, and by ONNX where that is asked for. Each file is loaded again from the very
bytes that are written, and has to give the codes and images that the run has stored.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from bench.build import build_data, build_model
from bench.datasets import FactorData
from bench.encode import SHOWN
from bench.errors import RequestError
from bench.export_parts import (
    TOLERANCE,
    TOLERANCE_GPU,
    Decode,
    Encode,
    Part,
    Stored,
    check,
    exported,
)
from bench.models import VAE, Encoder
from bench.registry import resolve
from bench.store import files as store
from bench.store import record as records
from bench.store.environment import environment
from bench.store.record import Record
from bench.store.representation import read_representation, read_rows
from bench.store.study import STUDY, unwritable
from bench.train.feed import images

FOLDER = "export"  # in the run's own
DESCRIPTION = "export.json"
CHECKED = 64  # rows
GREY_LEVEL = 1 / 255  # to which stored images are rounded
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export(
    folder: Path,
    output: Path | None = None,
    *,
    onnx: bool = False,
    data_dir: str | None = None,
    tell: Callable[[str], None] = lambda what: None,
) -> list[Path]:
    """Write encoder.pt2, decoder.pt2 and export.json of a run, with `onnx` the .onnx files, too.

    The encoder takes images (B, C, H, W) in [0, 1] and gives a tuple: mean and logvar (B, D), and
    the probabilities of each categorical latent (B, S_c); what a model does not have is left out.
    The decoder takes codes (B, D + sum S_c) and gives images (B, C, H, W) in [0, 1]; a model that
    has none is exported without. All are float32, and B is any number.

    Returns:
        The files. Nothing is written before everything has been checked.

    Raises:
        RequestError: the run cannot be exported, or a file cannot be read or written.
        Mismatch: torch cannot export the model, or the export does not give the run's codes.
    """
    if onnx and (missing := [p for p in ONNX_PACKAGES if importlib.util.find_spec(p) is None]):
        raise RequestError(
            f"--onnx needs {', '.join(missing)}: pip install {' '.join(ONNX_PACKAGES)}"
        )
    record = _finished(folder)
    data = _data(record, data_dir)
    model = _model(record, data)
    parts = _parts(record, data, model)
    contents: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    for part in parts:
        tell(f"exporting the {part.name}")
        for file, (content, call) in exported(part, onnx).items():
            difference = check(file, part, call, on_gpu=_on_gpu(record))
            shapes = [["batch", *array.shape[1:]] for array in call(part.value)]
            contents[file] = content
            described[file] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "input": {part.takes: ["batch", *part.value.shape[1:]]},
                "outputs": dict(zip(part.gives, shapes, strict=True)),
                "checked": {"rows": len(part.value), "largest_difference": difference},
            }
    place = folder / FOLDER if output is None else output
    try:
        for file, content in contents.items():
            with store.replacing(place / file) as written:
                written.write(content)
        # last, as it has the checksums of the others
        store.write_json(place / DESCRIPTION, _description(record, data, model, described))
    except OSError as error:
        raise unwritable(place, error) from error
    return [place / file for file in (*contents, DESCRIPTION)]


def _finished(folder: Path) -> Record:
    """The record of a finished run that can be exported. Raises RequestError."""
    if not (folder / records.SETTINGS).exists():
        runs = sorted((folder / "runs").glob(f"*/{records.SETTINGS}"))
        if (folder / STUDY).exists() and runs:
            raise RequestError(f"{folder} is a study: name one of its runs, as {runs[0].parent}")
        raise RequestError(f"{folder} holds no run: name a run's folder that bench run has written")
    record = records.read_record(folder)
    if not record.scored or not (folder / records.REPRESENTATION).exists():
        raise RequestError(
            f"{folder}: the run is not finished ({record.status.state}, step "
            f"{record.status.step}): the bench run command that made it goes on"
        )
    if record.run.entered:
        raise RequestError(
            f"{folder} holds the codes of a file, and no model: there is nothing to export"
        )
    if getattr(resolve("model", record.run.model), "input", "images") == "factors":
        raise RequestError(
            f"{folder}: {record.run.model} is fed factors, not images: there is nothing to export"
        )
    return record


def _data(record: Record, data_dir: str | None) -> FactorData:
    """The data set that the run has encoded. Raises RequestError."""
    run = record.run
    try:
        data = build_data(run.dataset, run.data_settings, data_dir)
    except (ValueError, TypeError, OSError) as error:
        raise RequestError(
            f"{record.folder}: an export is checked on images of {run.dataset}, which cannot be "
            f"read ({error})"
        ) from error
    if data.fingerprint != run.fingerprint:
        raise RequestError(
            f"{record.folder}: the run has seen {run.fingerprint}, and {run.dataset} is "
            f"{data.fingerprint} here: name the folder of its files with --data-dir"
        )
    return data


def _model(record: Record, data: FactorData) -> Encoder:
    """The trained model, on the CPU. Raises RequestError."""
    run, path = record.run, record.folder / records.WEIGHTS
    try:
        model = build_model(run, torch.device("cpu"), data.factors)
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
    # the layout that makes training fast would stay in the files
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return model.eval().requires_grad_(False)


def _on_gpu(record: Record) -> bool:
    path = record.folder / records.ENVIRONMENT
    return path.exists() and not str(store.read_json(path).get("device")).startswith("cpu")


def _parts(record: Record, data: FactorData, model: Encoder) -> list[Part]:
    """The encoder, and the decoder of a model that has one. Raises RequestError."""
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
    stored = {"mean": r.codes, "logvar": r.logvar}
    if r.probabilities is not None:
        blocks = np.split(r.probabilities, np.cumsum(r.category_sizes)[:-1], axis=1)
        stored |= {f"probabilities_c{c}": block for c, block in enumerate(blocks, 1)}
    known = {name: Stored(array) for name, array in stored.items() if array is not None}
    gives = tuple(encoder.named(x[:1]))
    parts = [Part("encoder", encoder, "images", gives, x.numpy(), known)]
    if isinstance(model, VAE):
        categories = zip(r.categories.T, r.category_sizes, strict=True)
        hot = [np.eye(size)[index] for index, size in categories]
        codes = np.concatenate([r.codes, *hot], axis=1).astype(np.float32)
        known = {"images": Stored(samples["reconstructions"][:SHOWN] / 255, GREY_LEVEL)}
        parts.append(Part("decoder", Decode(model), "codes", ("images",), codes, known))
    return parts


def _description(
    record: Record, data: FactorData, model: Encoder, files: Mapping[str, Any]
) -> dict[str, Any]:
    """What export.json says: whose model this is, and how its files are used."""
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
