"""`bench report`: chosen columns, notes, and the frame of one or several studies."""

import json
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
    text = (one.parent / "table.md").read_text()
    assert "| Model | Runs | one | two |" in text
    assert "**MIG**" in text
    assert "nterquartile" not in text  # two runs are too few
    assert r"\toprule" in (one.parent / "table.tex").read_text()
    assert not (one.parent / "plots").exists()


def test_ten_runs_are_ranked_and_have_profiles(finished, tmp_path) -> None:
    from bench.report.write import write_report, write_studies

    folder = tmp_path / "results" / "study"
    shutil.copytree(finished.folder, folder)
    run = next((folder / "runs").glob("betavae-*seed0*"))
    for model in ("betavae", "vae", "hfsvae"):
        for seed in range(10):
            copy = folder / "runs" / f"{model}-seed{seed}"
            shutil.copytree(run, copy)
            settings = json.loads((copy / "settings.json").read_text())
            settings |= {"model": model, "seed": seed}
            (copy / "settings.json").write_text(json.dumps(settings))
            scores = json.loads((copy / "scores.json").read_text())
            scores["mig"]["value"] = 0.05 * seed
            (copy / "scores.json").write_text(json.dumps(scores))
    for old in [*(folder / "runs").glob("*-seed0-*"), *(folder / "runs").glob("*-seed1-*")]:
        shutil.rmtree(old)
    made = write_report(folder)
    assert {"plots/profiles.png", "plots/critical-difference.png"} <= {
        path.relative_to(folder).as_posix() for path in made.files
    }
    assert "**Interquartile means**" in (folder / "table.md").read_text()
    twin = tmp_path / "results" / "twin"
    shutil.copytree(folder, twin)
    written = write_studies([folder, twin])
    names = {path.relative_to(tmp_path / "results").as_posix() for path in written}
    assert {"plots/profiles.png", "plots/critical-difference.png", "table.md"} <= names
    # the same runs in two studies are not twenty
    text = (tmp_path / "results" / "table.md").read_text()
    assert "The mean of the middle half of 10 runs, and" in text
