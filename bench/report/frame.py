"""All numbers of some runs as one tidy pandas frame: what tables, plots and users start from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

from bench.errors import RequestError
from bench.presets import PRESETS, scaled
from bench.registry import entries
from bench.report.columns import (
    Metrics,
    definition_words,
    each_value,
    in_order,
    is_part,
    named,
    title_of,
)
from bench.store.record import Record
from bench.store.run import Run

if TYPE_CHECKING:
    import pandas as pd  # not at run time, as most commands need no frame

# The columns in their order, each with what it holds; `text` has the type pandas gives to strings.
_OF_A_RUN = {
    "study": "text",
    "run": "text",
    "model": "text",
    "label": "text",
    "seed": "int64",
    "status": "text",
    "message": "text",
    "collapsed": "bool",
    "dataset": "text",
    "fingerprint": "text",
    "preset": "text",
    "tuned": "text",
    "steps": "int64",
    "batch_size": "int64",
    "rows": "int64",
    "seconds": "float64",
    "from_file": "bool",
    "setting": "text",
    "setting_value": "float64",
}
_OF_A_VALUE = {
    "metric": "text",
    "title": "text",
    "value": "float64",
    "standard_error": "float64",
    "chance": "float64",
    "definition": "text",
    "is_score": "bool",
    "warnings": "text",
}
COLUMNS = (*_OF_A_RUN, *_OF_A_VALUE)

# The last two kinds of models in the order of a table.
ELSEWHERE = "from elsewhere"  # models and codes that are not the suite's own
BASELINES = "baselines"
WEAKLY = "weakly supervised"

_NO_VALUE = (None, None, math.nan, math.nan, math.nan, "", False, "")


def frame(records: Sequence[Record] | Mapping[str, Sequence[Record]]) -> "pd.DataFrame":
    """One row per run and number: scores, their parts, and facts about the training.

    Every run has a row, whatever became of it. A run that is not scored has exactly one, without
    metric and value. A metric that has no score for a run has a row without a value; `warnings`
    says why. The rows come in the order of the records, and of each run scores come first.

    Args:
        records: of one study, or of several by the name of the study.

    Returns:
        The frame, with these columns:

        - `study`: the name given, or else the name of the study's folder.
        - `run`: name of the run's folder.
        - `model`, `label`: the model, and the row of the table (the model and what was changed, or
          swept in the study).
        - `seed`, `steps`, `batch_size`, `rows`: of the run; `rows` is the number of images scored.
        - `status`, `message`: what became of the run, and why.
        - `collapsed`: whether the decoder uses no code.
        - `dataset`, `fingerprint`: the data (with the factors that are fixed), its exact pixels.
        - `preset`: its name; `entered` of codes from a file.
        - `tuned`: how its settings were chosen; missing of codes from a file and of what is not
          trained.
        - `seconds`: all that the run took.
        - `from_file`: whether these are codes from a file instead of a model's.
        - `setting`, `setting_value`: the one number in which the scored runs of the model differ
          within the study, and its value; missing where there is no such number.
        - `metric`: the column's key, such as `mig` or `dci.completeness`; of two definitions each
          has what sets it apart behind it: `mig (bins=20)`.
        - `title`: the column's heading.
        - `value`: the number.
        - `standard_error`: of the value over the choice of rows, where it was estimated.
        - `chance`: what the score is by chance, where it says so.
        - `definition`: the version and the options of the metric in words.
        - `is_score`: whether the value is a score, or else a fact about the training
          (`reconstruction`, `kl_total`, `active_latents`).
        - `warnings`: reasons not to trust the value, joined by `; `.

        `isna` finds what is missing, texts and numbers alike.
    """
    import numpy as np
    import pandas as pd

    studies = records if isinstance(records, Mapping) else _by_folder(records)
    metrics = Metrics.of([record for group in studies.values() for record in group])
    runs, values, counts = [], [], []
    for study, stored in studies.items():
        group = named(stored)
        settings = {sweep.model: sweep.setting for sweep in sweeps_of(group)}
        for record in group:
            setting = settings.get(record.run.shown_model)
            swept = (setting, _number(record.run, setting))
            runs.append((study, *_run(record, setting), *swept))
            own = list(_values(record, metrics)) or [_NO_VALUE]
            values += own
            counts.append(len(own))
    left = _typed(runs, _OF_A_RUN).take(np.repeat(np.arange(len(runs)), counts))
    right = _typed(values, _OF_A_VALUE)
    return pd.concat([left.reset_index(drop=True), right], axis=1)


@dataclass(frozen=True)
class Sweep:
    """The runs of a model that differ in one number only, besides the seed.

    Attributes:
        model: its name in tables.
        setting: the name of the setting.
        runs: pairs of its value and the record, by value.
    """

    model: str
    setting: str
    runs: tuple[tuple[float, Record], ...]

    @property
    def values(self) -> list[float]:
        return sorted({value for value, _ in self.runs})


def sweeps_of(records: Sequence[Record]) -> list[Sweep]:
    """The sweep of each model whose scored runs differ in exactly one setting, a number."""
    sweeps = []
    for model in dict.fromkeys(record.run.shown_model for record in records):
        runs = [r for r in records if r.run.shown_model == model and r.scored]
        keys = {key for record in runs for key in record.run.settings}
        differing = [k for k in keys if len({str(r.run.settings.get(k)) for r in runs}) > 1]
        if len(differing) != 1:
            continue
        values = [r.run.settings.get(differing[0]) for r in runs]
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        if len(numbers) == len(runs):
            pairs = sorted(zip(numbers, runs, strict=True), key=lambda pair: pair[0])
            sweeps.append(Sweep(model, differing[0], tuple(pairs)))
    return sweeps


@runtime_checkable
class HasFrame(Protocol):
    """Such as a study."""

    def frame(self) -> "pd.DataFrame":
        """The frame of its records."""


@runtime_checkable
class HasRecord(Protocol):
    """Such as a run of a study."""

    @property
    def record(self) -> Record:
        """What is stored of it."""


def record_of(source: object) -> Record | None:
    """The record of a run, or None of anything else."""
    if isinstance(source, Record):
        return source
    return source.record if isinstance(source, HasRecord) else None


# What a plot may be given.
Numbers: TypeAlias = Union[
    "pd.DataFrame", HasFrame, Sequence[Record], Mapping[str, Sequence[Record]]
]


def as_frame(numbers: Numbers, *needed: str) -> "pd.DataFrame":
    """The frame itself, that of a study, or that of some records; a frame may be made by hand.

    Raises:
        RequestError: it is none of these, has not the needed columns, or has no number.
    """
    import pandas as pd

    if isinstance(numbers, pd.DataFrame):
        rows = numbers
    elif isinstance(numbers, HasFrame):
        rows = numbers.frame()
    else:
        groups = numbers.values() if isinstance(numbers, Mapping) else [numbers]
        if not all(isinstance(group, list | tuple) for group in groups) or not all(
            isinstance(record, Record) for group in groups for record in group
        ):
            what = type(numbers).__name__
            raise RequestError(
                f"an object of type {what} has no numbers of runs: give a frame, a study or records"
            )
        rows = frame(numbers)
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        names = ", ".join(missing)
        raise RequestError(f"the frame has no column {names}: a plot needs {', '.join(needed)}")
    if "value" in needed:
        if not pd.api.types.is_numeric_dtype(rows["value"]):
            raise RequestError("the column value of the frame has no numbers: convert it to floats")
        if not rows["value"].notna().any():
            raise RequestError("the frame has no number: no run in it is scored")
    return rows


def score_keys(rows: "pd.DataFrame") -> list[str]:
    """The metrics that a frame has scores by, in their order; parts of scores are left out."""
    with_value = rows[rows["value"].notna()]
    if "is_score" in rows:
        with_value = with_value[with_value["is_score"].astype(bool)]
    row = "label" if "label" in rows else "model"  # a frame that was made by hand has one of them
    by_row = with_value.groupby(row, sort=False)["metric"].unique()
    return [key for key in in_order(map(list, by_row)) if not is_part(key)]


def kinds_of(rows: "pd.DataFrame") -> dict[str, str]:
    """What kind of model each row of a table is, by its label: the kinds one after another.

    A kind is a group of `bench.models.GROUPS` without what is said there of the codes:
    `unsupervised`, `weakly supervised` or `baselines`, which come last. Labels of one kind stay in
    their order.

    Args:
        rows: a frame as `frame` gives it, of which `label` is needed. Without `model`
            the label is the model, and without `from_file` no codes are from a file.
    """
    kinds = {entry.name: entry.group.partition(",")[0] for entry in entries("model") if entry.group}
    order = [kind for kind in dict.fromkeys(kinds.values()) if kind != BASELINES]
    order += [ELSEWHERE, BASELINES]
    known = [name for name in ("label", "model", "from_file") if name in rows]
    labels = {}
    for row in rows[known].drop_duplicates("label").to_dict("records"):
        kind = kinds.get(row.get("model", row["label"]), ELSEWHERE)
        labels[row["label"]] = ELSEWHERE if row.get("from_file") else kind
    return dict(sorted(labels.items(), key=lambda item: order.index(item[1])))


def _by_folder(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by the folder of their study, STUDY/runs/RUN."""
    studies: dict[str, list[Record]] = {}
    for record in records:
        studies.setdefault(record.folder.parent.parent.name, []).append(record)
    return studies


def _run(record: Record, setting: str | None) -> tuple[Any, ...]:
    """What the columns of a run hold, without the study and the setting that was swept."""
    run, status = record.run, record.status
    return (
        record.folder.name,
        run.model,
        run.label,
        run.seed,
        status.state,
        status.message,
        status.state == "collapsed",
        run.data_name,
        run.fingerprint,
        run.preset,
        _tuned(run, setting),
        run.steps,
        run.batch_size,
        run.rows,
        sum(seconds for phase, seconds in status.seconds.items() if phase != "data"),  # in training
        run.from_file,
    )


def _tuned(run: Run, setting: str | None) -> str | None:
    """How the settings of a run were chosen."""
    if not run.trained or run.from_file:
        return None
    if setting is not None:
        return f"one value of a sweep over {setting}"
    if run.changed:
        return f"by the user: {', '.join(f'{key}={value}' for key, value in run.changed.items())}"
    preset = PRESETS.get(run.preset)
    if preset is None:
        return None
    recipe = preset.recipe(run.model, run.dataset)
    asked = scaled(recipe, run.steps).settings
    if any(run.settings.get(key, value) != value for key, value in asked.items()):
        return "by another version of the preset"
    return recipe.source


def _number(run: Run, setting: str | None) -> float:
    """The value of a setting that is a number in all scored runs."""
    value = run.settings.get(setting) if setting is not None else None
    return float(value) if isinstance(value, int | float) else math.nan


def _values(record: Record, metrics: Metrics) -> Iterator[tuple[Any, ...]]:
    """What the columns of a value hold, for each number of a run."""
    if not record.scored:
        return
    for value in each_value(record, metrics):
        score = value.score
        title = title_of(value.key)
        if score is None:
            yield (value.key, title, value.number, *_NO_VALUE[3:])
            continue
        error = score.standard_errors.get(value.part or "value", math.nan)
        chance = score.chance if value.part is None else None
        yield (
            value.key,
            title,
            value.number,
            error,
            math.nan if chance is None else chance,
            definition_words(score.definition),
            True,
            "; ".join(score.warnings),
        )
    undefined = {} if record.evaluation is None else record.evaluation.undefined
    for name, entry in undefined.items():
        if name not in record.scores:
            words = definition_words(entry.definition)
            key = metrics.key(entry.definition)
            about = f"undefined, {entry.reason}"
            yield (key, title_of(key), *_NO_VALUE[2:5], words, True, about)


def _typed(rows: Sequence[tuple[Any, ...]], types: Mapping[str, str]) -> "pd.DataFrame":
    """The rows under their names, also if there is none, or a column has nothing in it."""
    import pandas as pd

    text = pd.Series(["text"]).dtype  # `object` before pandas 3
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return pd.DataFrame(
        {
            name: pd.Series(column, dtype=text if kind == "text" else kind)
            for (name, kind), column in zip(types.items(), columns, strict=True)
        }
    )
