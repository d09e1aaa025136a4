"""The tidy frame of records: a row per run and number, nothing dropped, the same columns always."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report.columns import Metrics, columns_of, values_of
from bench.report.frame import COLUMNS, frame
from bench.store.record import Definition, Part, Undefined, read_records

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"


def values(rows: pd.DataFrame) -> dict[str, float]:
    return dict(zip(rows["metric"], rows["value"], strict=True))


def test_a_row_per_run_and_number(make_record, make_score) -> None:
    scores = {
        "mig": make_score("mig", 0.5, bins=20),
        "discrete_accuracy": make_score(
            "discrete_accuracy", 0.6, parts={"one_to_one": 0.4}, details={"chance": 0.25}
        ),
    }
    record = make_record(scores, folder=Path("results/mine/runs/betavae-seed3"), seed=3)
    rows = frame([record])
    assert tuple(rows.columns) == COLUMNS
    assert values(rows) == {
        "mig": 0.5,
        "discrete_accuracy": 0.6,
        "discrete_accuracy.one_to_one": 0.4,
        "reconstruction": 100.0,
        "kl_total": 5.0,
        "active_latents": 2.0,
    }
    assert list(rows["is_score"]) == [True] * 3 + [False] * 3
    assert list(rows["title"])[1:5] == [
        "Accuracy, majority",
        "Accuracy, one-to-one",
        "Reconstruction",
        "KL",
    ]
    assert rows["definition"][0] == "version 1 (bins 20)"
    np.testing.assert_array_equal(rows["chance"], [np.nan, 0.25] + 4 * [np.nan])
    for column, value in {
        **{"study": "mine", "run": "betavae-seed3", "model": "betavae", "label": "betavae"},
        **{"seed": 3, "status": "done", "dataset": "toy", "fingerprint": "toy-1", "steps": 100},
        **{"preset": "smoke", "batch_size": 32, "rows": 576, "seconds": 1.0, "from_file": False},
    }.items():
        assert set(rows[column]) == {value}


def test_chance_by_factor_is_no_number_of_the_score(make_record, make_score) -> None:
    """As older records of few_labels_linear have it; their table is written all the same."""
    details = {"chance": {"shape": 0.3, "scale": 0.2}}
    record = make_record({"few_labels_linear": make_score("few_labels_linear", 0.5, {}, details)})
    rows = frame([record])
    assert np.isnan(rows["chance"][0])
    assert values(rows)["few_labels_linear"] == 0.5


def test_errors_of_seen_and_unseen_rows_are_columns_where_there_are_some(make_record) -> None:
    apart = {"seen": Part(90.0, 5.0, 400), "unseen": Part(130.0, 6.0, 2_000)}
    with_them, without = make_record(0.5, evaluation=apart), make_record(0.6)
    assert values(frame([with_them]))["unseen_reconstruction"] == 130.0
    assert "unseen_reconstruction" not in values(frame([without]))
    titles = [column.title for column in columns_of([with_them, without], Metrics.of([with_them]))]
    assert titles[-2:] == ["Reconstruction, seen", "Reconstruction, unseen"]
    assert columns_of([without], Metrics.of([without]))[-1].title == "Active latents"


def test_a_run_without_scores_is_one_row_without_a_value(make_record) -> None:
    failed = make_record(0.3, state="failed", seed=1, message="out of luck")  # of an earlier try
    rows = frame([make_record(0.5), failed])
    lost = rows[rows["seed"] == 1]
    assert list(lost["status"]) == ["failed"]
    assert list(lost["message"]) == ["out of luck"]
    assert lost[["metric", "title", "value"]].isna().all(axis=None)
    assert not lost["is_score"].any()


def test_a_metric_that_is_undefined_is_a_row_with_the_reason(make_record) -> None:
    undefined = {"irs": Undefined(Definition("irs", 1, {}), "no factor has two values")}
    rows = frame([make_record(0.5, evaluation={"undefined": undefined})])
    (row,) = rows[rows["metric"] == "irs"].itertuples()
    assert np.isnan(row.value)
    assert (row.is_score, row.warnings) == (True, "undefined, no factor has two values")


def test_warnings_and_standard_errors_are_those_of_the_value(make_record, make_score) -> None:
    score = replace(
        make_score("dci", 0.5, parts={"completeness": 0.4}),
        warnings=("few rows", "ties"),
        standard_errors={"value": 0.01, "completeness": 0.02},
    )
    rows = frame([make_record({"dci": score})]).iloc[:2]
    assert list(rows["standard_error"]) == [0.01, 0.02]
    assert list(rows["warnings"]) == ["few rows; ties"] * 2


def test_two_definitions_never_share_a_metric(make_record, make_score) -> None:
    coarse = make_record({"mig": make_score("mig", 0.1, bins=10)})
    fine = make_record({"mig": make_score("mig", 0.3, bins=20)}, seed=1)
    rows = frame({"a": [coarse], "b": [fine]}).query("is_score")
    assert list(rows["metric"]) == ["mig (bins=10)", "mig (bins=20)"]
    assert list(rows["title"]) == ["MIG (bins=10)", "MIG (bins=20)"]
    assert list(rows["study"]) == ["a", "b"]


def test_the_types_are_the_same_for_any_records(make_record) -> None:
    full = frame([make_record(0.5), make_record(None, state="failed")]).dtypes
    assert frame([make_record(None, state="failed")]).dtypes.equals(full)
    assert frame([]).dtypes.equals(full)
    assert frame({}).dtypes.equals(full)
    assert (full[["seed", "steps", "batch_size", "rows"]] == "int64").all()
    assert (full[["is_score", "collapsed", "from_file"]] == "bool").all()


def test_data_with_other_factors_has_another_name(make_record) -> None:
    fixed = make_record(0.5, data_settings={"image_size": 32, "fix": ["shape=square"]})
    assert set(frame([fixed])["dataset"]) == {"toy (shape=square)"}


def test_the_swept_setting_is_named(make_record) -> None:
    records = [
        make_record(0.5, settings={"beta": beta, "continuous": 2}, seed=seed)
        for beta in (1, 4.0)
        for seed in (0, 1)
    ]
    records.append(make_record(0.5, model="vae"))
    records.append(make_record(None, "failed", settings={"beta": 9.0, "continuous": 2}))
    first = frame(records).drop_duplicates(["model", "seed", "setting_value"])
    assert list(first["setting_value"].fillna(-1)) == [1, 1, 4, 4, -1, 9]
    assert list(first["setting"].fillna("none")) == ["beta"] * 4 + ["none", "beta"]


@pytest.mark.parametrize("study", ["dsprites-quick", "digits-quick"])
def test_every_number_of_a_committed_study_is_in_it(study: str) -> None:
    records = read_records(REFERENCE / study)
    metrics = Metrics.of(records)
    rows = frame(records)
    assert set(rows["study"]) == {study}
    assert list(dict.fromkeys(rows["run"])) == [record.folder.name for record in records]
    for record, (_, own) in zip(records, rows.groupby("run", sort=False), strict=True):
        assert values(own.dropna(subset="value")) == values_of(record, metrics)
