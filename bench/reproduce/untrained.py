"""The two tables that need no training: metrics of simulated codes, and released weights."""

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Representation
from bench.reproduce.published import Part, Table
from bench.reproduce.run import Asked
from bench.reproduce.scores import Tell, as_scored, definitions, scores_of
from bench.reproduce.values import RECORDS, file_name
from bench.score import DEFAULT, definition
from bench.store.environment import environment
from bench.store.files import write_json
from bench.store.study import unwritable
from bench.streams import numpy_stream

DRAWS = 10  # of simulated codes
ROWS = 100_000  # images of a draw

# The factors of dSprites
_NAMES = ("shape", "scale", "orientation", "posX", "posY")
_SIZES = (3, 6, 40, 32, 32)
_KINDS = ("categorical", "ordinal", "cyclic", "ordinal", "ordinal")


def measure(
    table: Table, parts: Sequence[Part], folder: Path, asked: Asked, tell: Tell
) -> list[str]:
    """Score parts that are not trained and write a record of each; why others were passed over.

    Those that have a record keep it. Raises RequestError where nothing can be scored, or what was
    named cannot.
    """
    skipped, there = [], 0
    for part in parts:
        path = folder / RECORDS / f"{file_name(part.name)}.json"
        if path.exists():
            there += 1
            continue
        tell(part.name)
        started = time.monotonic()
        try:
            found = _released(table, part, asked, tell) if part.weights else _simulated(table, part)
        except RequestError as error:
            if asked.parts is not None:
                raise
            skipped.append(f"{part.name} is not scored: {error}")
            continue
        record = {
            "command": asked.command,
            "part": part.name,
            "environment": environment("cpu", 1),
            "seconds": round(time.monotonic() - started, 2),
            **found,
        }
        try:
            write_json(path, record)
        except OSError as error:
            raise unwritable(folder, error) from error
        there += 1
    if not there:
        raise RequestError("; ".join(skipped))
    return skipped


def simulated(case: str, rng: np.random.Generator, rows: int = ROWS) -> Representation:
    """Codes of random images of dSprites: standardised indices of the factors, then `case`.

    perfect: all five, in another order; no shape: the other four; noise: N(0, 1) an image; one-hot
    and category: a random one of three; rotated: posX and posY by 45 degrees; cubed: the third
    power of each; outliers: one image in a thousand has codes 20 times as large.
    """
    chosen = rng.choice(int(np.prod(_SIZES)), size=rows, replace=False)
    factors = np.stack(np.unravel_index(chosen, _SIZES), axis=1)
    sizes = np.array(_SIZES)
    codes = (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)
    categories = np.zeros((rows, 0), dtype=np.int64)
    if case.startswith("no shape"):
        codes = codes[:, 1:]
    if case.endswith("noise"):
        count = int(case.split()[-2])
        codes = np.hstack([codes, rng.standard_normal((rows, count))])
    elif "random" in case:
        category = rng.integers(3, size=(rows, 1))
        if case.endswith("one-hot"):
            codes = np.hstack([codes, category == np.arange(3)])
        else:
            categories = category
    elif case == "rotated":
        x, y = codes[:, 3].copy(), codes[:, 4].copy()
        codes[:, 3], codes[:, 4] = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    elif case.startswith("perfect"):
        codes = codes[:, rng.permutation(5)]
    elif case.startswith("cubed"):
        codes = codes**3
    elif case == "outliers":
        codes[rng.random(rows) < 1e-3] *= 20
    return Representation(
        codes=codes,
        categories=categories,
        factors=factors,
        category_sizes=(3,) * categories.shape[1],
        factor_names=_NAMES,
        factor_kinds=_KINDS,
        factor_sizes=_SIZES,
    )


def _simulated(table: Table, part: Part) -> dict[str, Any]:
    wanted = definitions(table, part)
    standard = [definition(name) for name in part.metrics]
    draws = []
    for seed in range(DRAWS):
        codes = simulated(part.name, numpy_stream(seed, f"simulated codes, {part.name}"))
        draws.append(
            {
                "seed": seed,
                "evaluation": None,
                "paper": _brief(scores_of(codes, wanted, seed)),
                "standard": _brief(scores_of(codes, standard, seed)),
            }
        )
    return {"source": f"simulated codes of {ROWS:,} random images, {DRAWS} draws", "draws": draws}


def _brief(scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Without the details, which ten draws would repeat."""
    kept = ("value", "parts", "definition")
    return {name: {key: score[key] for key in kept} for name, score in scores.items()}


def _released(table: Table, part: Part, asked: Asked, tell: Tell) -> dict[str, Any]:
    from bench.reproduce.released import SEED, evaluate_released

    if asked.weights is None:
        raise RequestError(f"{table.name} needs the authors' files: name their folder by --weights")
    path = asked.weights / part.weights
    if not path.is_file():
        raise RequestError(f"{part.weights} is not in the folder of --weights")
    representation, evaluation, source = evaluate_released(path, part.dataset, asked.data_dir, tell)
    tell(f"{part.name}: scores")
    standard = [definition(name) for name in (*DEFAULT, *part.metrics)]
    changed = as_scored(representation, part.protocol, SEED)
    draw = {
        "seed": SEED,
        "evaluation": evaluation,
        "paper": scores_of(changed, definitions(table, part), SEED),
        "standard": scores_of(representation, standard, SEED),
    }
    source = re.sub(r" in /[^,]*", "", source)  # the place of the data on this machine
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"files": {path.name: sha256}, "source": source, "draws": [draw]}
