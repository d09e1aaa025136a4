"""Codes that come from a file as a row of a study's table, beside the runs that bench trained."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import entropy

from bench.errors import RequestError
from bench.evaluate.files import Evaluation, Scores, Tell, merged, scored, shape
from bench.metrics import STUDY_METRICS, Representation
from bench.registry import names
from bench.report.columns import UNDEFINED
from bench.score import DEFAULT, definition
from bench.store import record as records
from bench.store.environment import environment
from bench.store.files import read_json, write_json
from bench.store.record import ACTIVE, Record, Status, read_record, read_records, write_status
from bench.store.representation import read_representation, write_representation
from bench.store.run import ENTERED, Run
from bench.store.study import STUDY, locked, unwritable

COPY = "enter it into a copy of the folder"
_OWN = "choose another --name"


def enter(
    folder: Path,
    name: str,
    representation: Representation,
    evaluation: Mapping[str, Any] | None,
    source: str,
    *,
    seed: int = 0,
    resamples: int = 0,
    tell: Tell = lambda what: None,
) -> Evaluation:
    """Score codes by the metrics of a study, and enter them as a row of it.

    The same codes under the same name take the place of the older ones. Tables are not written.

    Args:
        folder: of the study.
        name: of the row.
        representation: of data with the study's factors.
        evaluation: of the model behind it, as `encode` gives it; None where nothing is known.
        source: which file it comes from, with its sha256, and what else is known of it. Codes are
            the same if their source is.
        seed: of the metrics' draws.
        resamples: random halves of the rows, for standard errors.
        tell: gets what is being done.

    Raises:
        RequestError: the name is taken, the factors are others, no metric is defined, or the
            folder holds no study with a finished run, is in use, or cannot be written.
    """
    study_of(folder, name)
    with locked(folder, COPY):
        found = read_records(folder)
        finished = [r for r in found if (r.folder / records.REPRESENTATION).exists()]
        if not finished:
            raise RequestError(f"{folder} holds no finished run yet: let bench run finish one")
        older = [record for record in found if record.run.label == name]
        for record in older:
            if record.run.settings.get("source") != source:
                what = record.run.settings["source"] if record.run.entered else "a model's runs"
                raise RequestError(
                    f"{folder} has a row {name} already, {what}: {_OWN}, or remove "
                    f"{record.folder} first"
                )
        representation = _of_study(representation, finished[0], name)
        run = replace(
            finished[0].run,
            model=name,
            settings={"source": source},
            changed={},
            preset=ENTERED,
            steps=0,
            batch_size=0,
            rows=len(representation),
            seed=seed,
            code=None,
            precision="float32",
        )
        started = time.monotonic()
        scores, undefined = _scored(representation, _definitions(found), seed, resamples, tell)
        spent = {"scoring": round(time.monotonic() - started, 2)}
        measured = evaluation or _evaluation(representation)
        place = folder / "runs" / run.folder
        try:
            _write(place, run, representation, {**measured, UNDEFINED: undefined}, scores, spent)
            for record in older:
                if record.folder.name != run.folder:  # scored by another seed
                    shutil.rmtree(record.folder)
        except OSError as error:
            raise unwritable(folder, error, COPY) from error
    refused = {metric: entry["reason"] for metric, entry in undefined.items()}
    return Evaluation(f"{name}, {shape(representation)}", scores, refused, asked=False)


def study_of(folder: Path, name: str) -> Mapping[str, Any]:
    """What study.json says of the study that a row is to be entered into.

    Raises RequestError where there is none, or the name cannot be that of a row.
    """
    if not name.strip() or name != name.strip() or not name.isprintable() or "|" in name:
        raise RequestError(f"--name {name!r}: give a word or a few, as they shall stand in tables")
    if name in names("model"):
        raise RequestError(f"--name {name}: the suite has a model of that name, {_OWN}")
    if not (folder / STUDY).is_file():
        raise RequestError(f"{folder} holds no study: name a folder that bench run has written")
    try:
        study: Mapping[str, Any] = read_json(folder / STUDY)
        _ = study["dataset"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{folder / STUDY} cannot be read ({error})") from error
    return study


def _of_study(representation: Representation, record: Record, name: str) -> Representation:
    """With the study's kinds of factors, if their names and sizes are the study's."""
    path = record.folder / records.REPRESENTATION
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


def _definitions(found: Sequence[Record]) -> list[dict[str, Any]]:
    """The metrics of most of a study's runs, in the present version; the default ones of none."""
    counts: dict[str, Counter[str]] = {}
    for record in found:
        for metric, score in record.scores.items():
            asked = {k: score["definition"].get(k) for k in ("options", "merge")}
            counts.setdefault(metric, Counter())[json.dumps(asked, sort_keys=True)] += 1
    if not counts:
        return [definition(metric) for metric in DEFAULT]
    definitions = []
    for metric, count in counts.items():
        if metric in STUDY_METRICS:
            continue
        usual = json.loads(count.most_common(1)[0][0])
        asked = definition(metric)
        asked["options"] |= {k: v for k, v in usual["options"].items() if k in asked["options"]}
        definitions.append(asked | ({"merge": usual["merge"]} if usual["merge"] else {}))
    return definitions


def _scored(
    representation: Representation,
    definitions: Sequence[Mapping[str, Any]],
    seed: int,
    resamples: int,
    tell: Tell,
) -> tuple[Scores, dict[str, Any]]:
    """Scores by metric; of the undefined ones definition and reason. Raises RequestError."""
    scores: Scores = {}
    undefined: dict[str, Any] = {}
    for asked in definitions:
        rows = merged(representation, asked.get("merge", ()), asked["name"])
        made, refused = scored(rows, [asked], seed, resamples, tell)
        scores |= made
        undefined |= {k: {"definition": asked, "reason": reason} for k, reason in refused.items()}
    if not scores:
        raise RequestError("; ".join(f"{k}: {entry['reason']}" for k, entry in undefined.items()))
    return scores, undefined


def _evaluation(representation: Representation) -> dict[str, Any]:
    """What codes tell of the model behind them, as `encode` has it; None where they do not."""
    from bench.encode import SPREAD  # torch

    r = representation
    entropies = [
        entropy(np.bincount(column, minlength=size))
        for column, size in zip(r.categories.T, r.category_sizes, strict=True)
    ]
    spread = np.concatenate([r.codes.std(0, dtype=np.float64), np.array(entropies)])
    active = spread > SPREAD * spread.max(initial=0.0) if r.kl is None else r.kl >= ACTIVE
    return {
        "reconstruction": None,
        "mean_image_reconstruction": None,
        "kl": None if r.kl is None else r.kl.tolist(),
        "kl_total": None if r.kl is None else float(r.kl.sum()),
        "continuous": r.codes.shape[1],
        "spread": spread.tolist(),
        "active": active.tolist(),
        "active_latents": int(active.sum()),
        "rows": len(r),
        "collapsed": not active.any(),
    }


def _write(
    folder: Path,
    run: Run,
    representation: Representation,
    evaluation: Mapping[str, Any],
    scores: Scores,
    seconds: Mapping[str, float],
) -> None:
    """Write the folder of a run. Raises OSError."""
    from bench.report.pictures import draw_run

    unknown_rows = np.full(len(representation), -1)  # of the data set, as no file says
    write_representation(folder / records.REPRESENTATION, representation, unknown_rows)
    write_json(folder / records.EVALUATION, evaluation)
    write_json(folder / records.SCORES, scores)
    write_json(folder / records.ENVIRONMENT, environment("cpu", 1))
    state = "collapsed" if evaluation["collapsed"] else "done"
    write_status(folder, Status(state, 0, "", seconds))
    # last of all: with it the folder is that of a run
    write_json(folder / records.SETTINGS, run.as_dict())
    draw_run(read_record(folder))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
