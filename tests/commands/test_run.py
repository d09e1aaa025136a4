"""`bench run` and `bench report` from end to end, on the toy data."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from bench.models import MODELS, VAE

RUN_FILES = {
    "environment.json",
    "evaluation.json",
    "history.csv",
    "representation.npz",
    "samples.npz",
    "scores.json",
    "settings.json",
    "status.json",
    "weights.safetensors",
    *(
        f"{name}.{kind}"
        for name in ("information", "reconstructions", "traversals")
        for kind in ("png", "pdf")
    ),
}
TABLES = (
    "report.html",
    "table.csv",
    "table.md",
    "table.tex",
    "runs.csv",
    "scores.csv",
    "scores.parquet",
)
PLOTS = ("scores.png", "scores.pdf", "curves.png", "curves.pdf")


@pytest.fixture
def study(finished, tmp_path: Path) -> Path:
    """A copy of the finished study, where the same command may be given again."""
    return shutil.copytree(finished.folder, tmp_path / "study")


def folders(study: Path) -> list[Path]:
    return sorted((study / "runs").iterdir())


def read(folder: Path, name: str):
    return json.loads((folder / name).read_text())


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def values(folder: Path) -> dict:
    return {k: {**s, "seconds": 0} for k, s in read(folder, "scores.json").items()}


def contents(paths) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths if path.is_file()}


def times(study: Path, name: str = "weights.safetensors") -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in (study / "runs").glob(f"*/{name}")}


def results(study: Path) -> dict[Path, bytes]:
    return contents([*(study / name for name in TABLES), *(study / "plots").iterdir()])


# the study that the others start from


def test_it_ends_well_and_says_what_it_wrote(finished) -> None:
    assert finished.code == 0, finished.err
    title, *lines = finished.out.splitlines()
    assert title.startswith("toy, preset smoke: scores")
    for model in ("betavae", "jointvae"):  # collapsed or not after these few steps
        assert any(re.match(rf"{model}\s+2\b", line) for line in lines)
    assert max(map(len, lines)) <= 100
    for name in (*TABLES, "plots/scores.png", "plots/curves.png"):
        assert f"study/{name}" in lines
    assert "study/runs/: one folder per run" in lines
    assert "4 runs: 0 done, 4 to do, 80 steps" in finished.err
    assert "(4 of 4 runs)" in finished.err
    assert "Traceback" not in finished.err
    assert finished.err.splitlines()[-1] == "Look at study/report.html first."


def test_everything_is_on_disk(finished) -> None:
    assert {path.name for path in finished.folder.iterdir()} - {".lock", ".drawn"} == {
        *TABLES,
        "plots",
        "runs",
        "study.json",
    }
    assert {path.name for path in (finished.folder / "plots").iterdir()} == set(PLOTS)
    assert len(folders(finished.folder)) == 4
    for folder in folders(finished.folder):
        names = {path.name for path in folder.iterdir()}
        assert names - {"decoder.json"} == RUN_FILES  # that of a run that the page shows
        for picture in [*folder.glob("*.png"), *folder.glob("*.pdf")]:
            assert picture.stat().st_size > 2_000


def test_a_run_says_what_it_was(finished) -> None:
    folder = next(
        path for path in folders(finished.folder) if path.name.startswith("jointvae-seed1")
    )
    settings = read(folder, "settings.json")
    assert settings["settings"]["categorical"] == [3]
    assert (settings["seed"], settings["steps"], settings["preset"]) == (1, 20, "smoke")
    assert settings["fingerprint"].startswith("toy-1:sha256:")
    status = read(folder, "status.json")
    assert status["step"] == 20
    assert status["seconds"].keys() == {"training", "data", "encoding", "scoring"}
    environment = read(folder, "environment.json")
    assert environment["device"]
    assert environment["packages"]["torch"]
    scores = read(folder, "scores.json")
    assert list(scores) == ["mig", "factorvae_score", "discrete_accuracy", "dci_fast"]
    for name, score in scores.items():
        assert 0 <= score["value"] <= 1
        assert score["details"]
        assert score["definition"]["name"] == name
        assert score["definition"]["libraries"]["numpy"]
    evaluation = read(folder, "evaluation.json")
    assert len(evaluation["kl"]) == 7
    assert evaluation["rows"] == 576
    history = table(folder / "history.csv")
    assert [int(row["step"]) for row in history] == list(range(1, 21))
    assert load_file(folder / "weights.safetensors")


def test_the_tables_hold_the_mean_of_the_runs(finished) -> None:
    by_model: dict[str, list[float]] = {}
    for folder in folders(finished.folder):
        model = read(folder, "settings.json")["model"]
        by_model.setdefault(model, []).append(read(folder, "scores.json")["mig"]["value"])
    rows = table(finished.folder / "table.csv")
    rows = [row for row in rows if "without" not in row["model"]]
    assert {row["model"]: float(row["mig.mean"]) for row in rows} == {
        model: pytest.approx(sum(v) / len(v)) for model, v in by_model.items()
    }
    assert {row["mig.n"] for row in rows} == {"2"}
    each = table(finished.folder / "runs.csv")
    assert [(row["model"], row["seed"]) for row in each] == [
        ("betavae", "0"),
        ("betavae", "1"),
        ("jointvae", "0"),
        ("jointvae", "1"),
    ]


# again


def test_the_same_command_trains_nothing_and_says_the_same(finished, bench, study: Path) -> None:
    before, runs = results(study), contents(study.glob("runs/*/*"))
    untouched = times(study)
    # as a killed command leaves them
    left = [folder / ".a.png.x1.tmp" for folder in (study, study / "plots", folders(study)[0])]
    for path in left:
        path.touch()
    again = bench(*finished.command, cwd=study.parent)
    assert again.returncode == 0
    assert again.stdout == finished.out
    assert "4 runs: 4 done, 0 to do, 0 steps" in again.stderr
    assert "started" not in again.stderr
    assert times(study) == untouched
    assert contents(runs) == runs
    assert results(study) == before
    assert not any(path.exists() for path in left)


def test_the_report_is_rebuilt_from_the_records(
    finished, cli_here, study: Path, monkeypatch
) -> None:
    monkeypatch.chdir(study.parent)
    pictures = [p for p in study.glob("runs/*/*") if p.suffix in (".png", ".pdf")]
    before = results(study) | contents(pictures)
    for path in before:
        path.unlink()
    said = cli_here("report", "study")
    assert said.code == 0
    assert results(study) | contents(pictures) == before
    assert finished.out.startswith(said.out)
    assert "wrote study/table.md" in said.err


def test_more_models_and_seeds_add_what_is_missing(finished, bench, study: Path) -> None:
    untouched = times(study)
    # one of each kind: two players, pairs, codes that are chosen, fitted at once, no images
    others = ("factorvae", "adagvae", "qlae", "cascadevae", "pca", "factors")
    asked = ("betavae", "jointvae", *others)
    command = [part.replace("betavae,jointvae", ",".join(asked)) for part in finished.command]
    command[command.index("--seeds") + 1] = "1"
    more = bench(*command, cwd=study.parent)
    assert more.returncode == 0, more.stderr
    trained = sum(issubclass(MODELS[name], VAE) for name in others)
    count = f"{len(asked)} runs: 2 done, {len(others)} to do, {20 * trained} steps"
    assert count in more.stderr
    after = times(study)
    assert untouched.items() <= after.items()
    models = {read(f, "settings.json")["model"] for f in folders(study)}
    assert models == set(asked)
    assert len(after) == 4 + len(others) - 1  # the factors themselves have no weights
    assert all(f"\n{model} " in more.stdout for model in asked)


def test_another_definition_scores_anew_without_training(finished, bench, study: Path) -> None:
    old = {f.name: values(f) for f in folders(study)}
    trained = times(study) | times(study, "environment.json")
    options = ("--models", "betavae", "--seeds", "0-0", "--metrics", "factorvae_score")
    again = bench(
        *finished.command, *options, "--set", "factorvae_score.votes=500", cwd=study.parent
    )
    assert again.returncode == 0, again.stderr
    assert "1 to do, 0 steps" in again.stderr
    assert "training" not in again.stderr
    assert times(study) | times(study, "environment.json") == trained
    new = {f.name: values(f) for f in folders(study)}
    (changed,) = [name for name in old if new[name] != old[name]]
    assert changed.startswith("betavae-seed0")
    definition = new[changed].pop("factorvae_score")["definition"]
    assert definition["options"]["votes"] == 500
    assert old[changed].pop("factorvae_score")["definition"]["options"]["votes"] == 10_000
    assert new[changed] == old[changed]
    header = (study / "table.md").read_text().splitlines()[2]
    assert "FactorVAE score (votes=500)" in header
    assert "FactorVAE score (votes=10000)" in header


def test_force_trains_again_to_the_same_numbers(finished, bench, study: Path) -> None:
    untouched, old = times(study), {f.name: values(f) for f in folders(study)}
    files = ("weights.safetensors", "history.csv", "evaluation.json", "samples.npz")
    exact = contents(study / "runs" / name / file for name in old for file in files)
    options = ("--models", "jointvae", "--seeds", "1-1", "--force")
    again = bench(*finished.command, *options, cwd=study.parent)
    assert again.returncode == 0, again.stderr
    after = times(study)
    (forced,) = [name for name in untouched if after[name] != untouched[name]]
    assert forced.startswith("jointvae-seed1")
    assert {f.name: values(f) for f in folders(study)} == old
    assert contents(exact) == exact


def test_a_dry_run_writes_nothing(cli_here, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--models", "all", "--dataset", "dsprites", "--seeds", "0-4", "--dry-run")
    said = cli_here("run", *asked)
    assert said.code == 0
    assert f"{5 * len(MODELS)} runs: 0 done, {5 * len(MODELS)} to do" in said.out
    assert "results/dsprites-quick" in said.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_some_cells(cli_here, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--models", "vae,pca", "--dataset", "toy", "--preset", "smoke", "--seeds", "3")

    def shown(*options: str) -> str:
        said = cli_here("run", *asked, "--dry-run", *options)
        assert said.code == 0, said.err
        return said.out

    assert "6 runs: 0 done, 6 to do" in shown()
    assert "2 runs: 0 done, 2 to do" in shown("--only", "seed=1")
    assert "vae: seeds 0, 2;" in shown("--shard", "2/2")  # pca's seed 1 comes before
    assert "1 runs: 0 done, 1 to do" in shown("--only", "pca", "--shard", "2/2")
