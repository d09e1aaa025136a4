"""Parts of tables that need no training: their released weights are scored."""

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.reproduce.published import Part, Table
from bench.reproduce.run import Asked
from bench.reproduce.scores import Tell, as_scored, definitions, scores_of
from bench.reproduce.values import RECORDS, file_name
from bench.score import DEFAULT, definition
from bench.store.environment import environment
from bench.store.files import write_json
from bench.store.study import unwritable


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
            found = _released(table, part, asked, tell)
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
