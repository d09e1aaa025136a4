"""The decoder of a run as the page takes it: made of its weights once, and kept in its folder.

Nothing that a record names is imported: a model that is not the suite's own is drawn by the suite's
network of the same name, if its weights fit and its pictures are those that the run has stored. A
decoder that is kept is read without torch, which takes seconds to import and may be missing.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import __version__
from bench.store.files import read_as, read_json, read_weights, write_json
from bench.store.record import ENVIRONMENT, REPRESENTATION, SAMPLES, WEIGHTS, Record

if TYPE_CHECKING:
    from bench.models import VAE

DECODER = "decoder.json"
LARGEST = 10_000_000  # bytes of a decoder that is kept
_VERSION = 1  # of what is in such a file

# Grey levels by which the pictures of rebuilt weights may differ from those that the run has
# stored, on the processor and on another device.
_STORED, _STORED_GPU = 1, 6


@dataclass(frozen=True)
class DrawnDecoder:
    """A decoder as it is kept.

    Attributes:
        digest: of all that it was made of.
        spec: what `decoder.js` takes besides the weights.
        weights: base64.
        check: the pixels (C, H, W) of the first example, uint8 as base64, by which a page sees
            whether the browser computes as it should.
        reason: why there is no decoder; empty where there is one.
    """

    digest: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    check: str = ""
    reason: str = ""

    def bytes(self) -> bytes | None:
        """The weights; None of a file that somebody has changed."""
        try:
            return base64.b64decode(self.weights, validate=True)
        except (binascii.Error, ValueError):
            return None


def drawn_decoder(
    record: Record, examples: np.ndarray, stored: np.ndarray, others: np.ndarray
) -> DrawnDecoder:
    """The decoder of a run that has weights, codes and images.

    Args:
        record: of the run.
        examples: codes (n, D + sum S_c) float32.
        stored: what the run has stored as their pictures, uint8 (n, C, H, W).
        others: further codes whose pictures tell how the weights may be rounded.

    Raises:
        ImportError: it has to be made, and torch is missing.
    """
    path, digest = record.folder / DECODER, _digest(record)
    if path.exists():
        try:
            kept = read_as(path, DrawnDecoder)
        except (OSError, ValueError):
            kept = None
        if kept is not None and kept.digest == digest:
            return kept
    from bench.report.html.decoder import NotExportableError

    try:
        made = _made(record, digest, examples, stored, others)
    except NotExportableError as error:
        made = DrawnDecoder(digest, reason=str(error))
    write_json(path, vars(made))
    return made


def _made(
    record: Record, digest: str, examples: np.ndarray, stored: np.ndarray, others: np.ndarray
) -> DrawnDecoder:
    """The decoder from the weights.

    Raises:
        NotExportableError: the page cannot draw it, or it would draw other pictures.
    """
    import torch

    from bench.report.html.decoder import NotExportableError, export_decoder

    model = _rebuilt(record)
    with torch.inference_mode():
        pictures = model.pictures(torch.from_numpy(examples)).numpy()
    levels = np.rint(255 * pictures)
    allowed = _STORED_GPU if _on_gpu(record) else _STORED
    if levels.shape != stored.shape or not np.abs(levels - stored).max() <= allowed:
        raise NotExportableError("its weights give other pictures than the run has stored")
    decoder = export_decoder(model, torch.from_numpy(np.concatenate([examples, others])), LARGEST)
    return DrawnDecoder(
        digest,
        decoder.as_dict(),
        base64.b64encode(decoder.weights).decode(),
        base64.b64encode(levels[0].astype(np.uint8).tobytes()).decode(),
    )


def _digest(record: Record) -> str:
    """Of the files that a decoder is made of, and of the program that makes it."""
    whole = hashlib.sha256(f"{_VERSION} {__version__} {record.run.identity}".encode())
    for name in (WEIGHTS, REPRESENTATION, SAMPLES):
        whole.update(_file_digest(record.folder / name))
    return whole.hexdigest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _rebuilt(record: Record) -> "VAE":
    """The trained model of a run, on the CPU.

    Of a model that is not the suite's own, one with the suite's decoder of the same settings.
    """
    import torch

    from bench.build import build_model
    from bench.models import MODELS as OWN
    from bench.models import VAE
    from bench.report.html.decoder import NotExportableError

    run = record.run
    try:
        weights = read_weights(record.folder / WEIGHTS)
        if run.code is None and run.model in OWN:
            model = build_model(run, torch.device("cpu"))
            model.load_state_dict(weights)
        else:
            names = ("continuous", "categorical", "network", "likelihood")
            settings = {name: run.settings[name] for name in names if name in run.settings}
            model = VAE(image_shape=run.image_shape, **settings)
            prefix = "decoder."
            own = {k.removeprefix(prefix): t for k, t in weights.items() if k.startswith(prefix)}
            model.decoder.load_state_dict(own)
    except Exception as error:  # damaged files and foreign models raise whatever they do
        if run.code is None:
            raise NotExportableError(
                f"its weights cannot be read ({type(error).__name__})"
            ) from error
        raise NotExportableError("its decoder is none of the suite's networks") from error
    if not isinstance(model, VAE):
        raise NotExportableError("it has no decoder")
    # the layout that makes training fast is no help here
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return model.eval().requires_grad_(False)


def _on_gpu(record: Record) -> bool:
    """Whether the run's codes and images were computed on a GPU."""
    return not str(environment_of(record).get("device", "cpu")).startswith("cpu")


def environment_of(record: Record) -> Mapping[str, Any]:
    """Where and with what a run was made; empty where that is not known."""
    try:
        held = read_json(record.folder / ENVIRONMENT)
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
