"""`bench run --split`: what is trained on, what is scored, and what of it stands where."""

import json
from pathlib import Path

import numpy as np
import pytest

import bench as package
from bench.datasets.splits import SPLITS
from bench.plan import Request, plan
from bench.score import DEFAULT, UNSEEN
from bench.store.record import read_records
from bench.store.representation import read_representation
from bench.studyfile.choices import Choices, study_definition
from bench.studyfile.reader import read_study_file

COMMAND = ("run", "--models", "vae,pca", "--dataset", "toy", "--preset", "smoke", "--steps", "40")
EXTRAPOLATION = ("--seeds", "1", "--split", "extrapolation")
SEEN = 3 * 2 * 5 * 5  # combinations: all shapes, and the lower classes of the others


@pytest.fixture(scope="module")
def study(bench, tmp_path_factory) -> Path:
    """A finished study with a split."""
    folder = tmp_path_factory.mktemp("split")
    ran = bench(*COMMAND, *EXTRAPOLATION, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert "trained on rows without 73.96% of the combinations (split extrapolation)" in ran.stderr
    (made,) = (folder / "results").iterdir()
    return made


def test_the_folder_and_the_table_name_the_split(study: Path) -> None:
    assert study.name == "toy-smoke-steps40-split-extrapolation"
    table = (study / "table.md").read_text()
    assert "without 73.96% of the combinations (split extrapolation), scored on all" in table
    for heading in ("Unseen, linear", "Seen, linear", "Drop, linear", "Unseen, boosted"):
        assert heading in table
    assert "Reconstruction, seen | Reconstruction, unseen" in table
    assert json.loads((study / "study.json").read_text())["data_settings"] == {
        "image_size": 32,
        "split": "extrapolation",
    }


def test_the_evaluation_has_seen_and_unseen_rows(study: Path) -> None:
    pca, vae = read_records(study)
    assert vae.evaluation is not None
    seen, unseen = vae.evaluation.seen, vae.evaluation.unseen
    assert seen is not None
    assert unseen is not None
    assert (seen.rows, unseen.rows, vae.evaluation.rows) == (SEEN, 576 - SEEN, 576)
    parts = [(part, part.rows / 576) for part in (seen, unseen)]
    for key in ("reconstruction", "kl_total"):
        whole = sum(getattr(part, key) * share for part, share in parts)
        assert getattr(vae.evaluation, key) == pytest.approx(whole, rel=1e-4)
    assert unseen.reconstruction > seen.reconstruction
    assert pca.evaluation is not None
    assert pca.evaluation.seen is not None
    assert pca.evaluation.seen.reconstruction is pca.evaluation.seen.kl_total is None
    for record in (pca, vae):
        assert [*record.scores] == [*DEFAULT, *UNSEEN]
        drop = record.scores["generalisation_linear"].parts["drop"]
        seen_value = record.scores["generalisation_linear"].parts["seen"]
        assert record.scores["generalisation_linear"].value == pytest.approx(seen_value - drop)
        representation = read_representation(record.folder / "representation.npz")
        assert representation.unseen is not None
        assert representation.unseen.sum() == 576 - SEEN
        lower = (representation.factors < (3, 2, 5, 5)).all(axis=1)
        np.testing.assert_array_equal(representation.unseen, ~lower)


def test_the_same_command_has_nothing_to_do(study: Path, cli_here, monkeypatch) -> None:
    monkeypatch.chdir(study.parents[1])
    said = cli_here(*COMMAND, *EXTRAPOLATION, "--dry-run")
    assert "2 runs: 2 done, 0 to do" in said.out
    table = (study / "table.md").read_text()
    (study / "table.md").unlink()
    assert cli_here("report", str(study)).code == 0
    assert (study / "table.md").read_text() == table


def test_it_goes_on_from_the_weights(study: Path, bench) -> None:
    """Without its representation a run is encoded again, to the same unseen rows and scores."""
    (run,) = (study / "runs").glob("vae-*")
    before = {name: (run / name).read_bytes() for name in ("representation.npz", "evaluation.json")}
    values = {name: score.value for name, score in read_records(study)[1].scores.items()}
    (run / "representation.npz").unlink()
    ran = bench(*COMMAND, *EXTRAPOLATION, cwd=study.parents[1])
    assert ran.returncode == 0, ran.stderr
    assert {name: s.value for name, s in read_records(study)[1].scores.items()} == values
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(
        before["evaluation.json"]
    )


def test_its_codes_are_evaluated_again(study: Path, cli_here) -> None:
    (run,) = (study / "runs").glob("pca-*")
    said = cli_here("evaluate", str(run / "representation.npz"), "--json")
    scores = json.loads(said.out)
    assert set(UNSEEN) <= scores.keys()
    stored = json.loads((run / "scores.json").read_text())
    for name in UNSEEN:  # other rows are fitted on
        assert scores[name]["value"] == pytest.approx(stored[name]["value"], abs=0.15)
    said = cli_here("evaluate", str(run), "--metrics", "generalisation_linear")
    assert said.code == 0


def test_a_wrong_name_is_refused_in_a_line(cli_here) -> None:
    said = cli_here(*COMMAND, "--split", "extrapolate", "--dry-run")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "no split 'extrapolate': choose from" in said.err
    assert all(name in said.err.replace("\n", " ") for name in SPLITS)
    said = cli_here(*COMMAND, "--split", "recombination-to-range", "--dry-run")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "is defined for the factors of dsprites, shapes3d and mpi3d" in said.err


def identities(**more: str) -> list[str]:
    request = Request(models="vae", dataset="toy", preset="smoke", seeds="1", **more)
    return [run.identity for run in plan(request).runs]


def test_a_split_is_part_of_the_identity() -> None:
    names = ("random", "composition", "interpolation", "extrapolation")
    found = [identities(), *(identities(split=name) for name in names)]
    assert len({run for runs in found for run in runs}) == len(found)
    assert identities(split="random") == identities(split="random")


def test_the_scores_are_beside_the_default_ones_only_where_rows_are_unseen() -> None:
    def names(**more: object) -> list[str]:
        request = Request(models="vae", dataset="toy", preset="smoke", **more)  # type: ignore[arg-type]
        return [definition.name for definition in plan(request).definitions]

    assert names() == [*DEFAULT]
    assert names(correlate=["posX:posY=0.2"]) == [*DEFAULT]
    assert names(hold_out=["shape=cross,posX=0-3"]) == [*DEFAULT, *UNSEEN]
    assert names(split="random", metrics="mig") == ["mig"]
    refused = plan(
        Request(models="vae", dataset="toy", metrics="mig,generalisation_linear")
    ).refused
    assert "no rows are marked as unseen" in refused["generalisation_linear"]
    few = Request(
        models="vae", dataset="dsprites", preset="smoke", split="recombination-to-element"
    )
    assert not plan(
        few
    ).refused  # though hardly one of the rows that a metric is tried on is unseen


def test_a_study_file_has_a_split(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("models: vae\ndataset: toy\npreset: smoke\nsplit: composition\n")
    (request,) = read_study_file(Path("a.yaml")).requests
    assert request.split == "composition"
    Path("b.yaml").write_text(
        "models: vae\npreset: smoke\ndatasets:\n  toy: {split: random}\n  rooms3d:\n"
    )
    toy, rooms = read_study_file(Path("b.yaml")).requests
    assert (toy.split, rooms.split) == ("random", None)
    (other,) = study_definition("a.yaml", Choices(split="random")).requests
    assert other.split == "random"
    assert str(other.output) == "results/a-splitrandom"
    assert [run.identity for run in plan(request).runs][0] in identities(split="composition")


def test_the_function_takes_a_split(tmp_path: Path) -> None:
    study = package.run(
        "pca", "toy", preset="smoke", seeds=1, split="random", output=tmp_path / "s", progress=False
    )
    (run,) = study.runs
    assert set(UNSEEN) <= set(run.scores)
    with pytest.raises(package.RequestError, match="no split 'half'"):
        package.run("pca", "toy", split="half", progress=False)
