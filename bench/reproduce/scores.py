"""Scores by the protocol of a paper, for the representations that runs have stored."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.errors import RequestError
from bench.metrics import Representation
from bench.reproduce.files import PaperScores, read_paper_scores, write_paper_scores
from bench.reproduce.published import Part, Protocol, Table, metric_of
from bench.score import DEFAULT, definition, score
from bench.settings import parse
from bench.store.environment import environment
from bench.store.record import (
    REPRESENTATION,
    Definition,
    Record,
    ScoreRecord,
    read_records,
    unscored,
)
from bench.store.representation import read_representation
from bench.streams import numpy_stream


def score_by_paper(
    study: Path, table: Table, part: Part, command: str, watch: Callable[[str], None]
) -> None:
    """Score the stored representations of a part by the paper's protocol, where that is missing.

    Args:
        study: folder of the part.
        table: the table, whose rows say which metrics are needed.
        part: the part, which has the protocol.
        command: to be recorded with the scores.
        watch: called with what is being scored.

    Raises:
        RequestError: a record or a representation cannot be read, or the scores cannot be written.
    """
    definitions = paper_definitions(table, part)
    for record in read_records(study):
        stored = record.folder / REPRESENTATION
        if not (record.scored and stored.exists() and _missing(record, definitions)):
            continue
        watch(f"{record.run.title}: the paper's protocol")
        started = time.monotonic()
        try:
            codes = as_scored(read_representation(stored), part.protocol, record.run.seed)
        except (OSError, ValueError, KeyError) as error:
            raise RequestError(f"{stored} cannot be read ({error}): train again") from error
        scores = scores_of(codes, definitions, record.run.seed)
        content = PaperScores(
            command=command,
            run=record.run.identity,
            environment=environment("cpu", 1),
            seconds=round(time.monotonic() - started, 2),
            protocol=asdict(part.protocol),
            scores=scores,
        )
        write_paper_scores(record.folder, content)


def paper_definitions(table: Table, part: Part) -> list[Definition]:
    """Definitions of the metrics that a part's rows need by another protocol than ours."""
    protocol = part.protocol
    options = parse("protocol", protocol.options)
    changed = {assignment.owner for assignment in options}
    all_changed = protocol.sampled or protocol.by_spread
    computed = {*DEFAULT, *part.metrics}
    names = dict.fromkeys(metric_of(row.metric) for row in table.rows if row.part == part.name)
    return [
        definition(name, options)
        for name in names
        if name in computed and (all_changed or name in changed)
    ]


def as_scored(codes: Representation, protocol: Protocol, seed: int) -> Representation:
    """What a protocol scores of a representation: samples, or codes without the KL that prunes."""
    if protocol.sampled and codes.logvar is not None:
        rng = numpy_stream(seed, "sampled codes")
        noise = rng.standard_normal(codes.codes.shape, dtype="float32")
        codes = replace(codes, codes=codes.codes + np.exp(0.5 * codes.logvar) * noise)
    return replace(codes, kl=None) if protocol.by_spread else codes


def scores_of(
    codes: Representation, definitions: Iterable[Definition], seed: int
) -> dict[str, ScoreRecord]:
    """Scores by metric, without those that are undefined for the representation."""
    scores = {}
    for wanted in definitions:
        try:
            scores[wanted.name] = score(codes, wanted, seed)
        except ValueError:
            continue
    return scores


def _missing(record: Record, definitions: list[Definition]) -> bool:
    """Whether a run lacks some of the scores, or has those of an earlier training."""
    try:
        stored = read_paper_scores(record.folder)
    except RequestError:  # a broken file is written again
        stored = None
    if stored is None or stored.run != record.run.identity:
        return bool(definitions)
    return bool(unscored(definitions, stored.scores))
