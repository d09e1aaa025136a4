"""The command `bench new`: a file to start from, which passes `bench check` as it is."""

import keyword
from pathlib import Path
from typing import Annotated

import typer

from bench.console import say, stdout
from bench.errors import RequestError, UnknownNameError

NEW_HELP = """Write a file with a model, a metric or a data set of your own to start from.

[bold]Examples[/bold]

  bench new model warm

  bench new metric steadiness

  bench new dataset bars

The file passes bench check as it is: change it until it is yours, and check it again.
"""

_MODEL = '''"""CLASS: say what it is, and which paper it is from."""

from dataclasses import dataclass

from bench.models import VAE


@dataclass(kw_only=True, eq=False, repr=False)
class CLASS(VAE):
    """CLASS: a beta-VAE whose beta falls from `start` to 1 over `iterations` steps (no paper)."""

    # The fields are the settings: --set FILE:CLASS.start=4
    start: float = 4.0
    iterations: int = 2000

    def regularizer(self, posterior, z, step):
        # What is added to the reconstruction, in nats per image; steps count from 1.
        beta = 1 + (self.start - 1) * max(0.0, 1 - step / self.iterations)
        return beta * super().regularizer(posterior, z, step)
'''

_METRIC = '''"""NAME: say what it measures, and which paper it is from."""

import numpy as np

from bench.metrics import Representation, Score


def NAME(representation: Representation, rng, *, power: float = 1.0) -> Score:
    """NAME: the largest correlation of one latent with each factor, averaged (no paper).

    0 if no latent is correlated with any factor, 1 if each factor is a linear function of one.
    """
    # (N, D) continuous and (N, C) categorical latents, (N, K) factors; -1 or NaN is a missing label
    codes = np.hstack([representation.codes, representation.categories]).astype(float)
    best = {}
    for k, name in enumerate(representation.factor_names):
        factor = representation.factors[:, k].astype(float)
        known = np.isfinite(factor) & (factor != -1)
        values = [abs(correlation(codes[known, d], factor[known])) for d in range(codes.shape[1])]
        best[name] = max(values) ** power
    # Options are settings; details say what the value was made of.
    return Score(float(np.mean(list(best.values()))), {"best": best})


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, and 0 where one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale > 0 else 0.0
'''

_DATASET = '''"""CLASS: say what it shows, and where it is from."""

import numpy as np

from bench.datasets import Factor, FactorData


class CLASS(FactorData):
    """CLASS: 48 images of a white square (no paper)."""

    def __init__(self, *, image_size: int = 32) -> None:
        # Every combination of the factors once, the last factor fastest.
        self.factors = (
            Factor("size", 3, "ordinal", (4, 6, 8)),
            Factor("posX", 4, "ordinal", (0, 1, 2, 3)),
            Factor("posY", 4, "ordinal", (0, 1, 2, 3)),
        )
        self.image_shape = (1, image_size, image_size)
        self.source = f"CLASS drawn by FILE, {image_size}x{image_size} pixels"
        # Runs of two fingerprints are never compared: change it when a pixel changes.
        self.fingerprint = f"NAME-1:{image_size}"

    def images(self, rows):
        """Of these rows, uint8 (n, C, H, W)."""
        drawn = np.zeros((len(rows), *self.image_shape), dtype=np.uint8)
        step = self.image_shape[1] // 4
        for image, (size, x, y) in zip(drawn, self.values(rows), strict=True):
            side = 4 + 2 * size
            image[0, y * step : y * step + side, x * step : x * step + side] = 255
        return drawn
'''

_TEMPLATES = {"model": _MODEL, "metric": _METRIC, "dataset": _DATASET}

_TRY = {
    "model": "bench run --models ADDRESS,betavae --dataset dsprites",
    "metric": "bench evaluate results/dsprites-quick --metrics mig,ADDRESS",
    "dataset": "bench run --models jointvae,betavae --dataset ADDRESS",
}


def new(
    kind: Annotated[
        str,
        typer.Argument(
            help="model, metric or dataset.",
            autocompletion=lambda incomplete: [k for k in _TEMPLATES if k.startswith(incomplete)],
            show_default=False,
        ),
    ],
    name: Annotated[
        str, typer.Argument(help="Of the file without .py, such as warm.", show_default=False)
    ],
) -> None:
    if kind not in _TEMPLATES:
        raise UnknownNameError("kind", kind, _TEMPLATES)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise RequestError(f"{name!r} is no name of a Python module: use letters, digits and _")
    path = Path(f"{name}.py")
    # a class is called CamelCase, a metric is a function
    title = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or name
    address = f"./{path}:{name if kind == 'metric' else title}"
    text = _TEMPLATES[kind].replace("CLASS", title).replace("NAME", name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace("FILE", f"./{path}"))
    except FileExistsError:
        raise RequestError(f"{path} is there already: choose another name") from None
    except OSError as error:
        raise RequestError(f"{path} cannot be written ({error.strerror})") from error
    out = stdout()
    say(out, f"wrote {path}. Next:")
    say(out, f"  bench check {address}")
    say(out, f"  {_TRY[kind].replace('ADDRESS', address)}")
