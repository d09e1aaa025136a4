"""`bench report`: chosen columns, notes, and the frame of one or several studies."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.report.frame import COLUMNS


@pytest.fixture
def studies(finished, tmp_path) -> tuple[Path, Path]:
    """Two studies in one folder."""
    for name in ("one", "two"):
        shutil.copytree(finished.folder, tmp_path / "results" / name)
    return tmp_path / "results" / "one", tmp_path / "results" / "two"


def test_the_frame_stands_beside_the_tables(studies, cli_here) -> None:
    one, _ = studies
    (one / "scores.csv").unlink()
    assert cli_here("report", str(one)).code == 0
    rows = pd.read_csv(one / "scores.csv")
    assert tuple(rows.columns) == COLUMNS
    assert set(rows["study"]) == {"one"}
    assert rows["seed"].dtype.kind == "i"
    same = pd.read_parquet(one / "scores.parquet")
    assert same["value"].tolist() == pytest.approx(rows["value"].tolist(), nan_ok=True)


def test_chosen_columns(studies, cli_here) -> None:
    one, _ = studies
    whole = (one / "table.csv").read_text()
    said = cli_here("report", str(one), "--columns", "mig,dci_fast")
    assert said.code == 0
    head = (one / "table.md").read_text().splitlines()[2]
    assert head == "| Model | Runs | MIG | Fast DCI disentanglement |"
    assert "FactorVAE" not in (one / "table.tex").read_text()
    assert "FactorVAE" not in said.out
    assert (one / "table.csv").read_text() == whole
    said = cli_here("report", str(one), "--columns", "mg")
    assert said.code == 2
    assert "mig" in said.err


def test_notes_and_ranks_are_behind_an_option(studies, cli_here) -> None:
    one, _ = studies
    assert "MIG: version 1" not in cli_here("report", str(one)).out
    assert "MIG: version 1" in cli_here("report", str(one), "--notes").out


def test_several_studies_have_one_frame(studies, cli_here) -> None:
    one, two = studies
    said = cli_here("report", str(one), str(two))
    assert said.code == 0
    rows = pd.read_csv(one.parent / "scores.csv")
    assert rows["study"].unique().tolist() == ["one", "two"]
    assert len(rows) == 2 * len(pd.read_csv(one / "scores.csv"))
    assert f"wrote {one.parent / 'scores.csv'}" in said.err.replace("\n", "")
