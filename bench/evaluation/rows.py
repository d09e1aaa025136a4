"""The codes in a file -> a row of a study's table, beside the runs that the suite has trained."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.evaluation.files import (
    Codes,
    Scored,
    Watch,
    check_resamples,
    merged,
    score_all,
    summary,
    with_options,
)
from bench.evaluation.reading import what_was_read
from bench.metrics import STUDY_METRICS, Representation
from bench.registry import entries
from bench.score import DEFAULT, evaluate
from bench.score import definition as definition_of
from bench.store.claims import locked
from bench.store.environment import environment
from bench.store.files import write_json
from bench.store.record import (
    ENVIRONMENT,
    REPRESENTATION,
    SETTINGS,
    Definition,
    Record,
    ScoreRecord,
    Status,
    Undefined,
    read_record,
    read_records,
    write_evaluation,
    write_scores,
    write_status,
)
from bench.store.representation import read_representation, write_representation
from bench.store.run import FROM_FILE, Run
from bench.store.study import read_study, unwritable

READ = "read.json"  # in the folder of a row: what was read of the file
COPY = "add it to a copy of the folder"
_RENAME = "choose another --name"


def add_row(
    folder: Path,
    name: str,
    codes: Codes,
    *,
    seed: int = 0,
    resamples: int = 0,
    chance: bool = False,
    watch: Watch = lambda what: None,
) -> Scored:
    """Score codes by the metrics of a study's runs, and add them to the study as a row.

    The same codes under the same name replace the older row. Tables are not written.

    Args:
        folder: of the study.
        name: of the row.
        codes: of data with the study's factors.
        seed: of the metrics' random draws.
        resamples: number of random halves of the rows, for standard errors; 0 for none.
        chance: whether the codes are scored against shuffled factors, too.
        watch: called with what is being done.

    Raises:
        RequestError: the name is taken, the factors are others, no metric is defined, or the
            folder holds no study with a finished run, is in use, or cannot be written.
    """
    _check_name(name)
    check_resamples(resamples)
    read_study(folder)
    with locked(folder, COPY):
        records = read_records(folder)
        finished = [record for record in records if (record.folder / REPRESENTATION).exists()]
        if not finished:
            raise RequestError(f"{folder} holds no finished run yet: let bench run finish one")
        older = [record for record in records if record.run.label == name]
        for record in older:
            _check_replaced(record, codes)
        representation = _with_kinds(codes.representation, finished[0], name)
        run = replace(
            finished[0].run,
            model=name,
            settings={"source": codes.source},
            changed={},
            preset=FROM_FILE,
            steps=0,
            batch_size=0,
            rows=len(representation),
            seed=seed,
            code=None,
            precision="float32",
        )
        started = time.monotonic()
        scores, undefined = _score(
            representation, _usual_definitions(records), seed, resamples, watch, chance
        )
        read = what_was_read(representation)
        seconds = {"scoring": round(time.monotonic() - started, 2)}
        try:
            _write(folder / "runs" / run.folder, run, representation, scores, undefined, seconds)
            write_json(folder / "runs" / run.folder / READ, read)
            for record in older:
                if record.folder.name != run.folder:  # scored with another seed
                    shutil.rmtree(record.folder)
        except OSError as error:
            raise unwritable(folder, error, COPY) from error
    reasons = {metric: entry.reason for metric, entry in undefined.items()}
    return Scored(f"{name}, {summary(representation)}", scores, reasons, read)


def _check_name(name: str) -> None:
    """Raise RequestError where a name cannot be that of a row."""
    if not name.strip() or name != name.strip() or not name.isprintable() or "|" in name:
        raise RequestError(
            f"--name {name!r}: give one or a few words without |, as they should stand in tables"
        )
    if name in [entry.name for entry in entries("model")]:
        raise RequestError(f"--name {name}: the suite has a model of that name: {_RENAME}")


def _check_replaced(record: Record, codes: Codes) -> None:
    """Raise RequestError where a row of the same name comes from something else."""
    run = record.run
    if run.settings.get("source") != codes.source:
        what = run.settings["source"] if run.from_file else "a model's runs"
        raise RequestError(
            f"{record.folder.parent.parent} has a row {run.label} already, {what}: {_RENAME}, or "
            f"remove {record.folder} first"
        )


def _with_kinds(representation: Representation, record: Record, name: str) -> Representation:
    """The representation with the study's kinds of factors, if their names and sizes agree."""
    path = record.folder / REPRESENTATION
    try:
        study = read_representation(path)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read ({error}): train again") from error
    for key in ("factor_names", "factor_sizes"):
        mine, theirs = getattr(representation, key), getattr(study, key)
        if mine != theirs:
            words = key.replace("_", " ")
            raise RequestError(
                f"{name}: its {words} are {_listed(mine)}, and {record.folder.parent.parent} has "
                f"{_listed(theirs)}: choose a study on the same data, or give the file these {key}"
            )
    sides = [side for side in (representation, representation.test) if side is not None]
    if "continuous" in representation.factor_kinds or any((s.factors < 0).any() for s in sides):
        raise RequestError(
            f"{name}: factors must be class indices without gaps as the study's are: number the "
            "classes from 0, and leave out rows without a label"
        )
    test = representation.test
    if test is not None:
        test = replace(test, factor_kinds=study.factor_kinds)
    return replace(representation, factor_kinds=study.factor_kinds, test=test)


def _usual_definitions(records: Sequence[Record]) -> list[Definition]:
    """The metrics of a study's runs with the options that most of them have, in today's version.

    Without scores, the default metrics.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        for metric, score in record.scores.items():
            stored = score.definition
            key = json.dumps([stored.options, stored.merge, stored.reduce], sort_keys=True)
            counts.setdefault(metric, Counter())[key] += 1
    if not counts:
        return [definition_of(metric) for metric in DEFAULT]
    definitions = []
    for metric, count in counts.items():
        if metric not in STUDY_METRICS:
            options, merge, reduce = json.loads(count.most_common(1)[0][0])
            present = with_options(definition_of(metric), options)
            definitions.append(replace(present, merge=tuple(merge), reduce=reduce))
    return definitions


def _score(
    representation: Representation,
    definitions: Sequence[Definition],
    seed: int,
    resamples: int,
    watch: Watch,
    chance: bool,
) -> tuple[dict[str, ScoreRecord], dict[str, Undefined]]:
    """Scores by metric, and why the others are undefined.

    Raises:
        RequestError: all of them are.
    """
    scores: dict[str, ScoreRecord] = {}
    undefined: dict[str, Undefined] = {}
    for definition in definitions:
        rows = merged(representation, definition.merge, definition.name)
        new, reasons = score_all(rows, [definition], seed, resamples, watch, chance)
        scores |= new
        undefined |= {name: Undefined(definition, reason) for name, reason in reasons.items()}
    if not scores:
        raise RequestError("; ".join(f"{k}: {entry.reason}" for k, entry in undefined.items()))
    return scores, undefined


def _write(
    folder: Path,
    run: Run,
    representation: Representation,
    scores: Mapping[str, ScoreRecord],
    undefined: Mapping[str, Undefined],
    seconds: Mapping[str, float],
) -> None:
    """Write the folder of a run. Raises OSError."""
    from bench.report.pictures import draw_run

    unknown = np.full(len(representation), -1)  # rows of the data set, which no file tells
    write_representation(folder / REPRESENTATION, representation, unknown)
    evaluation = replace(evaluate(representation), undefined=undefined)
    write_evaluation(folder, evaluation)
    write_scores(folder, scores)
    write_json(folder / ENVIRONMENT, environment("cpu", 1))
    state = "collapsed" if evaluation.collapsed else "done"
    write_status(folder, Status(state, seconds=seconds))
    # last of all: with it the folder is that of a run
    write_json(folder / SETTINGS, run.as_dict())
    draw_run(read_record(folder))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
