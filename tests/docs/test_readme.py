"""What the README says is true: its commands work, its model trains, its table has records."""

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from bench.report.render import latex, markdown, summary_rows
from bench.report.table import comparison, run_rows
from bench.store.files import write_rows
from bench.store.record import read_records
from bench.store.study import read_study

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
REFERENCE = ROOT / "results" / "reference"
COMMANDS = re.findall(
    r"^    (bench (?:run|list|report|evaluate|data|check) [^#\n]*)", README, re.MULTILINE
)
# One needs the network, one a cluster, the others the runs that an earlier command has made.
ELSEWHERE = re.compile(
    r"bench data fetch|bench run .*--executor slurm|bench report results/"
    r"|bench evaluate results/|bench evaluate .*--into"
)


@pytest.fixture
def model_of_readme(tmp_path, monkeypatch):
    """The README's own model, in the folder where its commands are given."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "warm.py").write_text(code)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def codes_of_readme(tmp_path):
    """The files of codes that its commands score and of images to train on, small ones."""
    rng = np.random.default_rng(0)
    shape, size = rng.integers(3, size=500), rng.integers(4, size=500)
    codes = np.column_stack([shape, size]) + 0.1 * rng.normal(size=(500, 2))
    factors = np.column_stack([shape, size])
    np.savez(tmp_path / "codes.npz", codes=codes, factors=factors)
    slots = np.repeat(codes, 160, axis=1) + rng.normal(size=(500, 320))
    np.savez(tmp_path / "slots.npz", codes=slots, factors=factors)
    head = "codes_1,codes_2,factors_shape,factors_size"
    rows = np.column_stack([codes, factors])
    np.savetxt(tmp_path / "codes.csv", rows, delimiter=",", header=head, comments="")
    study = "models: {vae: {}, betavae: {sweep: {beta: [1, 4]}}}\ndataset: toy\nseeds: 4\n"
    (tmp_path / "study.yaml").write_text(study)
    images = rng.integers(256, size=(500, 40, 32), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, factors=factors, z=codes, y=factors)


def test_the_readme_names_the_main_command():
    assert "bench run --models jointvae,betavae --dataset dsprites" in COMMANDS
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("command", [c for c in COMMANDS if not ELSEWHERE.match(c)])
def test_commands_are_accepted(command, model_of_readme, codes_of_readme, cli_here):
    words = shlex.split(command)[1:]
    quick = {"run": ["--dry-run"], "evaluate": ["--metrics", "mig,mcc"]}
    said = cli_here(*words, *quick.get(words[0], []))
    assert said.code == 0, said.err


def test_model_of_the_readme_trains(model_of_readme, bench, tmp_path):
    command = next(c for c in COMMANDS if c.startswith("bench run --models Warm=./warm.py"))
    command = command.replace("dsprites", "toy")
    options = ("--preset", "smoke", "--steps", "4", "--seeds", "1")
    ran = bench(*shlex.split(command)[1:], *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Warm (start=4)" in ran.stdout


@pytest.mark.parametrize("name", ["dsprites-quick", "jointvae-fashionmnist-40epochs"])
def test_the_tables_of_a_committed_study_are_those_of_its_records(name, tmp_path):
    study, records = read_study(REFERENCE / name), read_records(REFERENCE / name)
    table = comparison(records, study)
    assert markdown(table) == (REFERENCE / name / "table.md").read_text()
    assert latex(table) == (REFERENCE / name / "table.tex").read_text()
    write_rows(tmp_path / "table.csv", summary_rows(table))
    write_rows(tmp_path / "runs.csv", run_rows(records))
    for file in ("table.csv", "runs.csv"):
        assert (tmp_path / file).read_bytes() == (REFERENCE / name / file).read_bytes()


def test_the_table_of_the_readme_is_that_of_the_committed_records():
    with (REFERENCE / "dsprites-quick" / "table.csv").open(newline="") as file:
        records = {row["model"]: row for row in csv.DictReader(file)}
    keys = ("mig", "factorvae_score", "discrete_accuracy", "dci_fast")
    rows = re.findall(r"^\| `(\w+)` \| (\d.*±.*) \|$", README, re.MULTILINE)
    assert 3 <= len(rows) <= 6
    for model, cells in rows:
        numbers = [(records[model][f"{key}.mean"], records[model][f"{key}.sd"]) for key in keys]
        assert cells == " | ".join(f"{float(m):.3f} ± {float(sd):.3f}" for m, sd in numbers)


def test_the_accuracies_with_the_orientation_fixed_are_those_of_the_records():
    said = README.partition("**A category that finds the shape.**")[2].partition("\n\n")[0]
    with (REFERENCE / "dsprites-quick-fix-orientation-0" / "table.csv").open(newline="") as file:
        records = {row["model"]: row for row in csv.DictReader(file)}
    pairs = re.findall(r"(\w+)'s[^±]*? (\d\.\d{3}) ± (\d\.\d{3})", said)
    assert [model for model, *_ in pairs] == ["CascadeVAE", "JointVAE"]
    for model, *numbers in pairs:
        row = records[model.lower()]
        assert numbers == [f"{float(row[f'discrete_accuracy.{k}']):.3f}" for k in ("mean", "sd")]


def test_the_first_screen_has_the_command_a_picture_and_a_small_table():
    screen = "\n".join(README.splitlines()[:20])
    assert "bench run --models jointvae,betavae --dataset dsprites" in screen
    assert "![" in screen
    assert "| Model | MIG |" in screen
