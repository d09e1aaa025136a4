"""A study of version 0.1.0 is a study of today: nothing is trained again, its tables are the same.

The folder beside this file was written by that version, with
`bench run --models betavae,jointvae --dataset toy --preset smoke --steps 60 --seeds 1
--metrics mig,udr,kl_decomposition,dci_fast`; weights, samples and pictures are left out.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from bench.store.record import LATER_OPTIONS, read_records
from bench.store.run import read_run

STUDY = Path(__file__).parent / "study_of_0_1_0"
REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
COMMAND = ("run", "--models", "betavae,jointvae", "--dataset", "toy", "--preset", "smoke")
COMMAND = (*COMMAND, "--steps", "60", "--seeds", "1", "--output", "study")
METRICS = ("--metrics", "mig,udr,kl_decomposition,dci_fast")

# The command with the preset that it had.
OF_THEN = """
from dataclasses import replace
from bench import cli
from bench.presets import PRESETS, Recipe

dupont = {"network": "dupont", "lr": 1e-3}
joint = {**dupont, "gamma": 5.0, "C_z": 5.0, "C_c": 1.1, "iterations": 80}
recipes = {"betavae": Recipe(100, 32, {**dupont, "beta": 4.0}), "jointvae": Recipe(100, 32, joint)}
PRESETS["smoke"] = replace(PRESETS["smoke"], recipes=recipes)
if __name__ == "__main__":
    cli.main()
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return shutil.copytree(STUDY, tmp_path / "study")


@pytest.fixture
def bench_of_then(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    script = tmp_path / "of_then.py"
    script.write_text(OF_THEN)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    return call


def test_the_preset_of_today_is_another_one(cli_here, study: Path, monkeypatch) -> None:
    monkeypatch.chdir(study.parent)
    said = cli_here(*COMMAND, *METRICS)
    assert said.code == 2
    assert "runs of betavae were made with network dupont, not broadcast" in said.err


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those of today's tables, which have more columns."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".json", ".csv", ".npz") and path.name not in ("table.csv", "scores.csv")
    }


def assert_the_table_has_the_numbers_of_then(study: Path) -> None:
    then, now = (pandas.read_csv(folder / "table.csv") for folder in (STUDY, study))
    pandas.testing.assert_frame_equal(now[then.columns], then, check_exact=True)


def test_it_is_finished(bench_of_then, study: Path) -> None:
    ran = bench_of_then(*COMMAND, *METRICS)
    assert ran.returncode == 0, ran.stderr
    assert "2 runs: 2 done, 0 to do, 0 steps" in ran.stderr
    assert contents(study) == contents(STUDY)
    assert_the_table_has_the_numbers_of_then(study)


def test_its_tables_are_rebuilt(cli_here, study: Path) -> None:
    (study / "table.csv").unlink()
    (study / "runs.csv").unlink()
    assert cli_here("report", str(study)).code == 0
    assert contents(study) == contents(STUDY)
    assert_the_table_has_the_numbers_of_then(study)


def test_a_metric_more_is_scored_without_training(bench_of_then, study: Path) -> None:
    ran = bench_of_then(*COMMAND, "--metrics", "mig,sap")
    assert ran.returncode == 0, ran.stderr
    assert "2 runs: 0 done, 2 to do, 0 steps" in ran.stderr
    for record in read_records(study):
        old = json.loads((STUDY / "runs" / record.folder.name / "scores.json").read_text())
        for name, options in LATER_OPTIONS.items():  # which a record names once it is written again
            if name in old:
                old[name]["definition"]["options"].update(options)
        new = {name: score.as_dict() for name, score in record.scores.items()}
        assert list(new) == [*old, "sap"]
        assert {name: new[name] for name in old} == old


@pytest.mark.parametrize(
    "path", sorted(REFERENCE.rglob("settings.json")), ids=lambda path: path.parent.name
)
def test_no_committed_run_has_another_identity(path: Path) -> None:
    assert read_run(path).folder == path.parent.name
