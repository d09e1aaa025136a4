"""The runs whose decoders are on the page, each with its latents, its examples and its weights."""

import base64
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from bench.metrics import Representation
from bench.report.html.drawn import drawn_decoder
from bench.report.html.images import png
from bench.report.html.texts import script_json, without_folders
from bench.report.pictures import MEANINGS, Information, Use, mark
from bench.store.files import read_arrays
from bench.store.record import REACH, REPRESENTATION, SAMPLES, WEIGHTS, Evaluation, Record
from bench.store.representation import read_representation

LIMIT = 10_000_000  # bytes of all weights and examples; weights are a third more as base64
MODELS = 40  # with an explorer

_SLIDER = 3.0  # deviations that a slider covers to each side, unless an example is farther off
_COMPARED = 16  # codes, besides those of the examples, whose pictures tell how to round weights


class LeftOutError(Exception):
    """A run has no explorer; the message says why."""


@dataclass(frozen=True)
class Explorer:
    """What the page has of the explorer.

    Attributes:
        models: what `explorer.js` needs to know of each model.
        weights: of each model, base64.
        left_out: the other models, each with the reason.
    """

    models: Sequence[dict[str, Any]]
    weights: Sequence[Markup]
    left_out: Sequence[tuple[str, str]]

    @classmethod
    def of(
        cls, records: Sequence[tuple[Record, Record]], studies: Sequence[str] = ()
    ) -> "Explorer":
        """The explorer of the runs that stand for their models.

        Args:
            records: each as it is stored, and under the names that are shown.
            studies: to which they belong, where there are several.
        """
        models: list[dict[str, Any]] = []
        weights, room = [], LIMIT
        left_out: list[tuple[str, str]] = []
        for index, (record, shown) in enumerate(records):
            study = f"{studies[index]}: " if studies else ""
            label = study + shown.run.label
            if len(models) == MODELS:
                left_out.append((label, f"the page has room for {MODELS} models"))
                continue
            try:
                model, block = _model(record, study + shown.run.title, room)
            except LeftOutError as error:
                left_out.append((label, str(error)))
                continue
            models.append(model)
            weights.append(Markup(base64.b64encode(block).decode()))
            room -= len(block) + len(script_json(model))
        return cls(models, weights, left_out)


def _model(record: Record, title: str, room: int) -> tuple[dict[str, Any], bytes]:
    """What the page knows of a model, and the weights of its decoder.

    Raises:
        LeftOutError: it cannot be drawn.
    """
    evaluation = _complete(record)
    try:
        representation = read_representation(record.folder / REPRESENTATION)
        samples = read_arrays(record.folder / SAMPLES)
        originals, stored = samples["originals"], samples["reconstructions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LeftOutError(f"its arrays cannot be read ({type(error).__name__})") from error
    codes = _codes(representation)
    examples = codes[: len(originals)]
    if representation.groups is not None:
        raise LeftOutError("its latents are vectors, which no slider moves")
    if not len(examples) or not np.isfinite(codes).all():
        raise LeftOutError("it has no codes that are finite")
    latents = _latents(representation, codes, evaluation, Information.of(record), len(examples))
    try:
        drawn = drawn_decoder(record, examples, stored, _drawn(latents, codes.shape[1]))
    except ImportError as error:
        raise LeftOutError(f"drawing needs {error.name or 'torch'}, which is missing") from error
    weights = drawn.bytes()
    if drawn.reason or weights is None:
        raise LeftOutError(drawn.reason or "its decoder.json is damaged")
    if len(weights) > room:
        raise LeftOutError(f"its weights ({len(weights) / 1e6:.1f} MB) have no room on the page")
    model = {
        "title": without_folders(title),
        "about": _about(record, {latent["mark"] for latent in latents}),
        "decoder": drawn.spec,
        "latents": latents,
        "examples": [
            {"image": png(image), "code": [float(f"{number:.9g}") for number in code]}
            for image, code in zip(originals, examples, strict=False)
        ],
        "check": drawn.check,
    }
    return model, weights


def _complete(record: Record) -> Evaluation:
    """The evaluation of a run that has all that the explorer needs."""
    run, evaluation = record.run, record.evaluation
    if run.from_file:
        raise LeftOutError("these are codes from a file, without a decoder")
    if not run.trained:
        raise LeftOutError("it has no decoder")
    if evaluation is None:
        raise LeftOutError("its evaluation.json is missing")
    missing = [
        name for name in (WEIGHTS, REPRESENTATION, SAMPLES) if not (record.folder / name).exists()
    ]
    if missing:
        raise LeftOutError(f"{', '.join(missing)} of its run are not in this folder")
    return evaluation


def _codes(representation: Representation) -> np.ndarray:
    """What the decoder took, (N, D + sum S_c) float32: the mode's code of each row."""
    blocks = [
        np.eye(size)[index]
        for index, size in zip(
            representation.categories.T, representation.category_sizes, strict=True
        )
    ]
    return np.concatenate([representation.codes, *blocks], axis=1).astype(np.float32)


def _about(record: Record, marks: Collection[str]) -> str:
    """What is to be said of a model: the words beside its latents, and how it is drawn."""
    words = [f"{word}: {meaning}." for word, meaning in MEANINGS.items() if word in marks]
    if record.run.code is not None:
        network = record.run.settings.get("network", "dupont")
        words.append(
            f"Drawn by the suite's decoder {network} with this model's weights, without the "
            "model's own code; its reconstructions are those that the run has stored."
        )
    return " ".join(words)


def _latents(
    representation: Representation,
    codes: np.ndarray,
    evaluation: Evaluation,
    information: Information | None,
    examples: int,
) -> list[dict[str, Any]]:
    """The latents as the page takes them, the most used one first."""
    use, continuous = Use.of(evaluation), representation.codes.shape[1]
    sizes = representation.category_sizes
    if len(use.amounts) != continuous + len(sizes):
        raise LeftOutError("its evaluation.json is that of another model")
    starts = np.cumsum([continuous, *sizes])
    has_prior = representation.logvar is not None
    latents = []
    for index in use.order:
        latent: dict[str, Any] = {
            "use": use.words(index),
            "active": bool(use.active[index]),
            "mark": mark(index, use, information),
            "tells": "",
        }
        if information is not None and index < len(information.shares):
            factor, share = information.best(index)
            latent["tells"] = without_folders(f"{factor} {100 * share:.0f} %")
        if index < continuous:
            column = codes[:, index].astype(np.float64)
            centre, width = (0.0, 1.0) if has_prior else (column.mean(), column.std())
            width = float(width) if width > 0 else 1.0
            farthest = float(np.abs((column[:examples] - centre) / width).max())
            latent |= {
                "name": f"z{index + 1}",
                "column": index,
                "centre": float(centre),
                "width": width,
                "reach": max(_SLIDER, math.ceil(farthest)),
                "unit": "prior standard deviations" if has_prior else "standard deviations",
            }
        else:
            number = index - continuous
            latent |= {
                "name": f"c{number + 1}",
                "column": int(starts[number]),
                "size": sizes[number],
            }
        latents.append(latent)
    return latents


def _drawn(latents: Sequence[Mapping[str, Any]], width: int) -> np.ndarray:
    """Codes that a reader may set, (n, width): up to the ends of all sliders."""
    rng = np.random.default_rng(0)
    codes = np.zeros((_COMPARED, width), dtype=np.float32)
    for latent in latents:
        column = latent["column"]
        if "size" in latent:
            categories = np.arange(_COMPARED) % latent["size"]
            codes[np.arange(_COMPARED), column + categories] = 1
            continue
        places = np.clip(rng.normal(scale=REACH / 2, size=_COMPARED), -_SLIDER, _SLIDER)
        places[:2] = -latent["reach"], latent["reach"]
        codes[:, column] = latent["centre"] + latent["width"] * places
    return codes
