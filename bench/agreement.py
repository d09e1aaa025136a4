"""The representations of several runs -> the scores by which they are compared, such as UDR."""

from collections.abc import Sequence
from dataclasses import replace

from bench.registry import resolve
from bench.score import versions
from bench.store.record import (
    REPRESENTATION,
    Definition,
    Record,
    ScoreRecord,
    read_scores,
    unscored,
    write_scores,
)
from bench.store.representation import read_representation, read_rows
from bench.streams import numpy_stream


def score_agreement(
    records: Sequence[Record], definition: Definition, *, again: bool = False
) -> tuple[dict[str, ScoreRecord], dict[str, str]]:
    """Score a metric that compares seeds on the runs of each row, and store it with every run.

    Rows whose runs already have the score, of the same runs and by the same definition, are
    passed over unless `again` is set. Where the metric is undefined, no score is stored.

    Returns:
        Scores by the name of the run's folder, and by the label of a row why it has none.
    """
    scores, refused = {}, {}
    for label in dict.fromkeys(record.run.label for record in records):
        group = [
            record
            for record in records
            if record.run.label == label and (record.folder / REPRESENTATION).exists()
        ]
        folders = [record.folder.name for record in group]
        if not again and all(_agrees(record, definition, folders) for record in group):
            continue
        paths = [record.folder / REPRESENTATION for record in group]
        try:
            representations = [read_representation(path) for path in paths]
            if definition.reduce:
                representations = [r.reduced(definition.reduce) for r in representations]
            results = resolve("metric", definition.name)(
                representations,
                numpy_stream(0, definition.name),
                [read_rows(path) for path in paths],
                **definition.options,
            )
        except ValueError as error:
            refused[label] = str(error)
            continue
        for record, result in zip(group, results, strict=True):
            entry = ScoreRecord(
                value=result.value,
                parts={},
                definition=replace(definition, libraries=versions(("numpy", "scipy"))),
                details={**result.details, "runs": folders},
            )
            write_scores(record.folder, {**read_scores(record.folder), definition.name: entry})
            scores[record.folder.name] = entry
    return scores, refused


def _agrees(record: Record, definition: Definition, folders: Sequence[str]) -> bool:
    """Whether a run has the score, and it compares these runs."""
    scores = read_scores(record.folder)
    if unscored([definition], scores):
        return False
    return bool(scores[definition.name].details.get("runs") == list(folders))
