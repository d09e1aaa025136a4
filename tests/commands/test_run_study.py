"""`bench run study.yaml`: several data sets, what a dry run shows, and what it is based on."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.console import left_out, time_in_words
from bench.errors import with_name
from bench.estimate import like
from bench.store.files import read_json, write_json
from bench.store.record import ENVIRONMENT, Status, read_records, write_status

STUDY = """\
models: betavae,jointvae
dataset: toy
preset: smoke
steps: 20
seeds: 3
output: study
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "no data"))
    Path("study.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def previewed(cli_here) -> Callable[..., list[dict[str, Any]]]:
    """What `--dry-run --json` prints of each data set."""

    def call(*arguments: str) -> list[dict[str, Any]]:
        said = cli_here("run", *arguments, "--dry-run", "--json")
        assert said.code == 0, said.err
        studies: list[dict[str, Any]] = json.loads(said.out)["studies"]
        return studies

    return call


def test_a_dry_run_shows_what_is_done_and_what_is_to_do(previewed, cli_here, finished) -> None:
    shutil.copytree(finished.folder, "study")
    before = sorted(path for path in Path().rglob("*"))
    (study,) = previewed("study.yaml")
    records = {r.folder.name: r for r in read_records(Path("study"))}
    assert len(records) == 4
    for cell in study["cells"]:
        if cell["run"] in records:
            assert cell["identity"] == records[cell["run"]].run.identity
            assert cell["state"] == records[cell["run"]].status.state
        else:
            assert cell["state"] == "to do"
    assert study["counts"]["to do"] == 2
    assert sum(study["counts"].values()) == 6
    assert [c["seed"] for c in study["cells"] if c["state"] == "to do"] == [2, 2]
    assert sorted(path for path in Path().rglob("*")) == before
    said = cli_here("run", "study.yaml", "--dry-run")
    assert re.search(r"^  betavae, seeds: .*; to do 2$", said.out, re.MULTILINE)
    assert "like runs (same model, network, image size and batch)" in said.out


def test_the_estimate_is_that_of_the_like_runs(previewed, finished) -> None:
    shutil.copytree(finished.folder, "study")
    (study,) = previewed("study.yaml", "--seeds", "12", "--jobs", "4")
    estimate = study["estimate"]
    assert estimate["runs"] == study["counts"]["to do"] == 20
    assert study["slots"] == 4
    assert estimate["seconds"] == pytest.approx(estimate["seconds_one_after_another"] / 4)
    taken = 0.0
    for record in read_records(Path("study")):
        seconds = record.status.seconds
        taken += seconds["training"] + seconds["encoding"]
        taken += sum(score.seconds or 0.0 for score in record.scores.values())
    # the median of two runs is their mean; that of the scores is over all four
    assert estimate["seconds_one_after_another"] == pytest.approx(taken / 4 * 20, rel=0.25)
    size = sum(path.stat().st_size for path in Path("study/runs").rglob("*") if path.is_file())
    assert estimate["bytes"] == pytest.approx(size / 4 * 20, rel=0.2)


def test_runs_of_another_machine_are_not_like(previewed, finished) -> None:
    shutil.copytree(finished.folder, "study")
    for path in Path("study/runs").glob(f"*/{ENVIRONMENT}"):
        write_json(path, {**read_json(path), "processor": "an abacus"})
    (study,) = previewed("study.yaml")
    assert study["estimate"]["seconds"] is None
    assert study["estimate"]["basis"].startswith("no estimate: no like run was finished on this")


def test_studies_beside_it_are_looked_at(previewed, finished) -> None:
    shutil.copytree(finished.folder, "elsewhere/earlier")
    (study,) = previewed("study.yaml", "--output", "elsewhere/mine")
    assert study["counts"] == {"to do": 6}
    assert study["estimate"]["basis"].startswith("from 4 like runs")


def test_a_run_that_failed_is_shown_with_its_reason(previewed, cli_here, finished) -> None:
    shutil.copytree(finished.folder, "study")
    (run, *_) = sorted(Path("study/runs").iterdir())
    (run / "evaluation.json").unlink()
    write_status(run, Status("failed", 3, "no luck"))
    (study,) = previewed("study.yaml")
    assert (study["counts"]["to do"], study["counts"]["failed"]) == (2, 1)
    (cell,) = (cell for cell in study["cells"] if cell["state"] == "failed")
    assert (cell["run"], cell["reason"]) == (run.name, "no luck")
    said = cli_here("run", "study.yaml", "--dry-run").out
    assert "betavae, seed 0: failed: no luck" in said
    assert re.search(r"^6 runs: .*2 to do, 1 failed$", said, re.MULTILINE)


def test_a_pilot_tells_the_time_and_leaves_nothing(previewed, folder: Path) -> None:
    assert previewed("study.yaml")[0]["estimate"]["seconds"] is None
    (study,) = previewed("study.yaml", "--pilot", "--metrics", "mig", "--models", "betavae")
    assert study["estimate"]["seconds"] > 0
    assert study["estimate"]["bytes"] > 10_000
    assert study["estimate"]["basis"].startswith("from a pilot of each of 1 kinds of runs")
    assert sorted(path.name for path in folder.iterdir()) == ["study.yaml"]


def test_a_pilot_is_made_only_of_what_no_run_is_like(
    previewed, finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder, "study")
    monkeypatch.setattr(like, "_pilot", lambda *arguments: pytest.fail("there are like runs"))
    (study,) = previewed("study.yaml", "--pilot")
    assert study["estimate"]["runs"] == 2


def test_data_that_is_not_here_does_not_stop_a_dry_run(previewed, cli_here) -> None:
    Path("study.yaml").write_text(STUDY.replace("dataset: toy", "datasets: [cars3d, toy]"))
    cars, toy = previewed("study.yaml")
    assert (cars["counts"], toy["counts"]) == ({"blocked": 6}, {"to do": 6})
    assert "bench data fetch cars3d" in cars["blocked"]
    assert toy["folder"] == str(Path("study/toy"))
    said = cli_here("run", "study.yaml", "--dry-run")
    assert "2 data sets, 12 runs: 6 to do, 6 blocked" in said.out
    refused = cli_here("run", "study.yaml")
    assert refused.code == 2
    assert "bench data fetch cars3d" in refused.err
    assert not Path("study").exists()


def test_some_cells_of_several_data_sets(previewed, cli_here) -> None:
    Path("study.yaml").write_text(STUDY.replace("dataset: toy", "datasets: [cars3d, toy, digits]"))
    (toy,) = previewed("study.yaml", "--only", "toy")
    assert (toy["dataset"], toy["counts"]) == ("toy", {"to do": 6})
    parts = previewed("study.yaml", "--only", "seed=1", "--shard", "1/2")
    assert [part["counts"] for part in parts] == [{"blocked": 1}, {"to do": 1}, {"to do": 1}]
    refused = cli_here("run", "study.yaml", "--dataset", "toy,digits", "--only", "nobody")
    assert refused.code == 2
    assert "unknown cell in --only 'nobody'" in refused.err
    assert not Path("study").exists()


def test_several_data_sets_are_run_and_reported_together(bench, folder: Path) -> None:
    text = "models: [random, factors]\ndatasets: [toy, digits]\npreset: smoke\nseeds: 1\n"
    Path("both.yaml").write_text(f"{text}metrics: [mig]\n")
    ran = bench("run", "both.yaml", "--jobs", "1", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    above = Path("results/both")
    frame = pd.read_csv(above / "scores.csv")
    assert set(frame["study"]) == {"toy", "digits"}
    for name in ("toy", "digits"):
        assert (above / name / "report.html").exists()
        assert len(read_records(above / name)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study.yaml", "--json"), "--json goes with --dry-run"),
        (("study.yaml", "--pilot"), "--pilot goes with --dry-run"),
        (("nothing.yaml",), "nothing.yaml: there is no such file"),
        (
            ("wrong.yaml",),
            "wrong.yaml, line 2: unknown key of a study 'modls': did you mean models",
        ),
        (("--dataset", "toy"), "--models is missing"),
        (("study.yaml", "--set", "nothing=1"), "unknown setting in --set 'nothing'"),
        (("study.yaml", "--dataset", ","), "names no data set"),
    ],
)
def test_what_is_wrong_is_one_line(cli_here, arguments: tuple[str, ...], said: str) -> None:
    Path("wrong.yaml").write_text("dataset: toy\nmodls: vae\n")
    refused = cli_here("run", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert refused.err.count("\n") == 1
    assert refused.out == ""


def test_times_in_words() -> None:
    words = {40: "40 s", 89.4: "89 s", 90: "2 min", 5_000: "83 min", 12_000: "3 h 20 min"}
    words |= {7_200: "2 h", 86_400 * 5 + 3600 * 4: "5 days 4 h", 86_400 * 1000: "1,000 days"}
    assert {seconds: time_in_words(seconds) for seconds in words} == words


def test_what_is_left_out_is_one_line_for_each_reason() -> None:
    reasons = {"mig": "needs factors", "sap": "sap takes numbers", "dci": "needs factors"}
    assert left_out(reasons) == ["mig, dci (needs factors)", "sap (sap takes numbers)"]
    reasons["mcc"] = "mcc takes numbers"
    assert left_out(reasons) == ["mig, dci (needs factors)", "sap, mcc (each takes numbers)"]
    assert left_out({}) == []
    named = [with_name(name, reason) for name, reason in reasons.items()]
    assert named[:2] == ["mig: needs factors", "sap takes numbers"]
