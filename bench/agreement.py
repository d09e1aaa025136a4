"""Scores of a model beside the others of its row in the table: how well its seeds agree."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bench.metrics import STUDY_METRICS
from bench.store import record as records
from bench.store.files import write_json
from bench.store.record import Record
from bench.store.representation import read_representation, read_rows
from bench.streams import numpy_stream


def score_agreement(
    found: Sequence[Record], asked: Mapping[str, Any], *, anew: bool = False
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Score a metric that compares seeds on the runs of each row, and store it with every run.

    Rows whose runs have the score already, of the same runs and by the same definition, are
    passed over unless it is asked for `anew`. What is not defined is left out.

    Returns:
        Scores by the name of the run's folder, and by the label of a row why it has none.
    """
    name = asked["name"]
    scores, refused = {}, {}
    for label in dict.fromkeys(record.run.label for record in found):
        group = [
            record
            for record in found
            if record.run.label == label and (record.folder / records.REPRESENTATION).exists()
        ]
        folders = [record.folder.name for record in group]
        if not anew and all(_is_scored(record, asked, folders) for record in group):
            continue
        paths = [record.folder / records.REPRESENTATION for record in group]
        try:
            made = STUDY_METRICS[name](
                [read_representation(path) for path in paths],
                numpy_stream(0, name),
                [read_rows(path) for path in paths],
                **asked["options"],
            )
        except ValueError as error:
            refused[label] = str(error)
            continue
        libraries = {library: version(library) for library in ("numpy", "scipy")}
        for record, score in zip(group, made, strict=True):
            entry = {
                "value": score.value,
                "parts": {},
                "definition": {**asked, "libraries": libraries},
                "details": {**score.details, "runs": folders},
            }
            stored = records.read_scores(record.folder)
            write_json(record.folder / records.SCORES, {**stored, name: entry})
            scores[record.folder.name] = entry
    return scores, refused


def _is_scored(record: Record, asked: Mapping[str, Any], folders: Sequence[str]) -> bool:
    scores = records.read_scores(record.folder)
    if records.definitions_differ(scores, [asked]):
        return False
    return bool(scores[asked["name"]]["details"].get("runs") == list(folders))
