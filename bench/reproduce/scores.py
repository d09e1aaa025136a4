"""Scores by the protocol of a paper, of the representations that runs have stored."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Representation
from bench.reproduce.published import Part, Protocol, Table
from bench.reproduce.values import PAPER
from bench.score import DEFAULT, definition, score
from bench.settings import parse
from bench.store import record as records
from bench.store.environment import environment
from bench.store.files import read_json, write_json
from bench.store.record import definitions_differ, read_records
from bench.store.representation import read_representation
from bench.store.study import unwritable
from bench.streams import numpy_stream

Tell = Callable[[str], None]


def score_by_paper(study: Path, table: Table, part: Part, command: str, tell: Tell) -> None:
    """Score the stored representations of a part by the paper's protocol, where that is missing.

    Raises RequestError.
    """
    wanted = definitions(table, part)
    for record in read_records(study):
        path = record.folder / PAPER
        if not wanted or not record.scored:
            continue
        try:
            made = read_json(path) if path.exists() else {}
        except (OSError, ValueError):  # made anew
            made = {}
        stale = definitions_differ(made.get("scores", {}), wanted)
        newer = made.get("run") != record.run.identity
        stored = record.folder / records.REPRESENTATION
        if not (stale or newer) or not stored.exists():
            continue
        tell(f"{record.run.title}: the paper's protocol")
        started = time.monotonic()
        try:
            codes = as_scored(read_representation(stored), part.protocol, record.run.seed)
        except (OSError, ValueError, KeyError) as error:
            raise RequestError(f"{stored} cannot be read ({error}): train again") from error
        scores = scores_of(codes, wanted, record.run.seed)
        made = {
            "command": command,
            "run": record.run.identity,
            "environment": environment("cpu", 1),
            "seconds": round(time.monotonic() - started, 2),
            "protocol": asdict(part.protocol),
            "scores": scores,
        }
        try:
            write_json(path, made)
        except OSError as error:
            raise unwritable(study, error) from error


def definitions(table: Table, part: Part) -> list[dict[str, Any]]:
    """The metrics of a part's rows that the paper's protocol scores otherwise than ours.

    Raises RequestError.
    """
    protocol = part.protocol
    given = parse("protocol", protocol.options)
    changed = {assignment.owner for assignment in given}
    rows = [row.metric for row in table.rows if row.part == part.name]
    known = {*DEFAULT, *part.metrics}
    names = dict.fromkeys(key.partition(":")[0].partition(".")[0].partition("/")[0] for key in rows)
    everything = protocol.sampled or protocol.by_spread
    return [definition(n, given) for n in names if n in known and (everything or n in changed)]


def as_scored(codes: Representation, protocol: Protocol, seed: int) -> Representation:
    """A representation as a protocol wants it: sampled, or without the KL that prunes latents."""
    if protocol.sampled and codes.logvar is not None:
        rng = numpy_stream(seed, "sampled codes")
        noise = rng.standard_normal(codes.codes.shape, dtype="float32")
        codes = replace(codes, codes=codes.codes + np.exp(0.5 * codes.logvar) * noise)
    return replace(codes, kl=None) if protocol.by_spread else codes


def scores_of(
    codes: Representation, wanted: Sequence[dict[str, Any]], seed: int
) -> dict[str, dict[str, Any]]:
    """Scores by metric; of an undefined one there is none."""
    scores = {}
    for asked in wanted:
        try:
            scores[asked["name"]] = score(codes, asked, seed)
        except ValueError:
            continue
    return scores
