"""Codes of a file as a row of a study: `bench evaluate FILE --into STUDY --name NAME`."""

import csv
import errno
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from bench.datasets import Toy
from bench.errors import RequestError
from bench.evaluation.files import open_codes
from bench.evaluation.rows import add_row
from bench.metrics import METRICS, STUDY_METRICS, Representation
from bench.report.table import comparison
from bench.store.files import read_json, write_json
from bench.store.record import Evaluation, Part, Record, read_records, write_scores
from bench.store.study import read_study
from bench.streams import numpy_stream

NAME = "my model"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study(finished, here: Path) -> Path:
    """A copy of the finished study, where the same command may be given again."""
    shutil.copytree(finished.folder, here / "study")
    return Path("study")


def arrays(seed: int = 0) -> dict[str, Any]:
    """Noisy codes of all of toy's images."""
    data, rng = Toy(image_size=32), np.random.default_rng(seed)
    factors = data.values(rng.permutation(len(data)))
    return {
        "codes": factors + 0.3 * rng.normal(size=factors.shape),
        "factors": factors,
        "factor_names": np.array([factor.name for factor in data.factors]),
        "factor_sizes": np.array(data.sizes),
    }


def write(name: str, **changed: Any) -> Path:
    content = {k: v for k, v in {**arrays(), **changed}.items() if v is not None}
    np.savez(name, **content)
    return Path(name)


# one row without a label
UNLABELLED = np.where(np.arange(576)[:, None] == 9, -1, arrays()["factors"])


@pytest.fixture
def codes(here: Path) -> Path:
    return write("codes.npz")


def rows_from_files(study: Path) -> list[Record]:
    return [record for record in read_records(study) if record.run.from_file]


def evaluation_of(study: Path, label: str) -> Evaluation:
    (record,) = (record for record in rows_from_files(study) if record.run.label == label)
    assert record.evaluation is not None
    return record.evaluation


def put(study: Path, path: Path, name: str = NAME, **options: Any) -> None:
    """Add a row without writing the tables."""
    add_row(study, name, open_codes(path), **options)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(study: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in study.rglob("*") if p.is_file() and p.name != ".lock"}


def times(study: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in study.glob("runs/*/weights.safetensors")}


# the row


def test_it_is_a_row_beside_the_others_and_says_what_it_is(cli_here, study, codes) -> None:
    said = cli_here("evaluate", str(codes), "--into", "study", "--name", NAME)
    assert said.code == 0, said.err
    (record,) = rows_from_files(study)
    assert (record.run.steps, record.run.batch_size, record.run.preset) == (0, 0, "entered")
    assert (record.status.state, record.run.seed, record.run.rows) == ("done", 0, 576)
    assert record.run.settings == {"source": f"codes.npz, sha256 {sha256(codes)}"}
    written = {path.name for path in record.folder.iterdir()}
    assert {"environment.json", "evaluation.json", "representation.npz"} <= written

    # Scored by the metrics of the runs, of the same definitions, with the study's kinds.
    other = next(record for record in read_records(study) if record.run.trained)
    assert list(record.scores) == list(other.scores)
    whole = Representation.of(**arrays(), factor_kinds=[f.kind for f in Toy().factors])
    for name, score in record.scores.items():
        expected = METRICS[name](whole, numpy_stream(0, name))
        assert score.value == pytest.approx(expected.value, abs=1e-12), name
        assert score.definition.as_dict() == other.scores[name].definition.as_dict()

    note = f"Not trained here: {NAME}, from codes.npz, sha256 {sha256(codes)}."
    table = (study / "table.md").read_text()
    assert f"- {note}\n" in table
    (row,) = (line for line in table.splitlines() if line.startswith(f"| {NAME} |"))
    mig = record.scores["mig"].value
    assert row.startswith(f"| {NAME} | 1 (not trained here) | {mig:.3f} | ")
    assert row.endswith("| – | – | 4.0 |")  # no reconstruction and no KL, but four latents
    assert "Budget: 20 steps of 32 images per run." in table
    rows = list(csv.DictReader((study / "runs.csv").read_text().splitlines()))
    assert [row["steps"] for row in rows if row["model"] == NAME] == ["0"]
    assert NAME in said.out


def test_the_scores_of_every_metric_are_printed_and_stand_in_the_table(cli_here, study) -> None:
    kinds = np.array([factor.kind for factor in Toy().factors])
    write(
        "every.npz", logvar=np.full((576, 4), -2.0), factor_kinds=kinds, unseen=np.arange(576) < 288
    )
    names = ",".join(name for name in METRICS if name not in STUDY_METRICS)
    quick = ("--set", "dci.stages=2", "--set", "dci_es.trees=2")
    said = cli_here("evaluate", "every.npz", "--metrics", names, *quick)
    assert said.code == 0, said.err
    assert said.out.count(": version ") == len(names.split(","))
    said = cli_here("evaluate", "study", "--metrics", names, *quick)
    assert said.code == 1, said.err  # no run has unseen rows
    assert said.err.count("generalisation_linear: no rows are marked as unseen") == 1
    assert said.err.splitlines()[-1].endswith(" runs)")
    assert "Few labels, linear 0." in (study / "table.md").read_text().partition("Chance: ")[2]


def test_what_codes_tell_of_their_model(study: Path, codes: Path) -> None:
    put(study, codes)
    plain = evaluation_of(study, NAME)
    content = arrays()
    np.testing.assert_allclose(plain.spread, content["codes"].std(0))
    assert plain.reconstruction is plain.kl is plain.kl_total is None
    assert (plain.active_latents, plain.rows, plain.collapsed) == (4, 576, False)

    logvar = np.full((576, 4), -2.0)
    shape = content["factors"][:, :1]
    probabilities = np.eye(3)[shape[:, 0]]
    path = write("both.npz", categories=shape, logvar=logvar, probabilities=probabilities)
    put(study, path, "with a posterior")
    both = evaluation_of(study, "with a posterior")
    kl = (content["codes"] ** 2 + np.exp(-2) + 2 - 1).mean(0) / 2
    assert both.kl == pytest.approx([*kl, np.log(3)])
    assert both.spread[4] == pytest.approx(np.log(3))  # the three shapes are equally frequent
    assert both.continuous == 4


def test_held_out_rows_stay_apart(study: Path) -> None:
    codes, factors = arrays()["codes"], arrays()["factors"]
    sides = {"codes_test": codes[500:], "factors_test": factors[500:]}
    put(study, write("split.npz", codes=codes[:500], factors=factors[:500], **sides))
    evaluation = evaluation_of(study, NAME)
    assert evaluation.rows == 500
    assert evaluation.held_out == Part(None, None, 76)


def test_codes_that_tell_nothing_are_a_collapsed_row(study: Path) -> None:
    put(study, write("flat.npz", codes=np.ones((576, 2))))
    (record,) = rows_from_files(study)
    assert record.status.state == "collapsed"
    rows = comparison(read_records(study), read_study(study)).rows
    (row,) = (row for row in rows if row.label == NAME)
    assert row.runs == "1 (1 collapsed, not trained here)"


def test_the_same_command_replaces_the_row(study: Path, codes: Path) -> None:
    put(study, codes)
    (first,) = rows_from_files(study)
    before = {path.name for path in first.folder.iterdir()}
    put(study, codes)
    (second,) = rows_from_files(study)
    assert second.folder == first.folder
    assert {path.name for path in second.folder.iterdir()} == before
    plain = [{k: replace(s, seconds=0) for k, s in r.scores.items()} for r in (first, second)]
    assert plain[0] == plain[1]
    put(study, codes, seed=3)  # one row, one file
    (third,) = rows_from_files(study)
    assert third.run.seed == 3
    put(study, write("other.npz", codes=arrays(1)["codes"]), "another model")
    assert sorted(r.run.label for r in rows_from_files(study)) == ["another model", NAME]


def test_the_options_of_most_runs_are_those_of_the_row(study: Path, codes: Path) -> None:
    runs = read_records(study)
    for record in runs[:3]:
        mig = record.scores["mig"]
        options = {**mig.definition.options, "bins": 5, "of an older version": 1}
        merged = replace(mig.definition, options=options, merge=("posX:7=0",))
        write_scores(record.folder, {"mig": replace(mig, definition=merged)})
    put(study, codes)
    score = rows_from_files(study)[0].scores["mig"]
    assert score.definition.options == {"bins": 5, "binning": "width", "points": 10_000}
    assert score.definition.merge == ("posX:7=0",)
    whole = Representation.of(**arrays()).merged("posX", 7, 0)
    assert score.value == METRICS["mig"](whole, numpy_stream(0, "mig"), bins=5).value


def test_a_metric_that_is_undefined_stands_under_the_table(study: Path, codes: Path) -> None:
    for record in read_records(study):
        mig = record.scores["mig"]
        other = replace(mig.definition, name="kl_decomposition", options={})
        new = {"kl_decomposition": replace(mig, definition=other)}
        write_scores(record.folder, {**record.scores, **new})
    put(study, codes)
    (record,) = rows_from_files(study)
    assert "kl_decomposition" not in record.scores
    notes = comparison(read_records(study), read_study(study)).notes
    assert any(n.startswith(f"KL decomposition of {NAME}: undefined, ") for n in notes)


# the study afterwards


def test_the_study_goes_on_as_before(finished, cli_here, study: Path, codes: Path) -> None:
    put(study, codes)
    (before,) = rows_from_files(study)
    trained = times(study)
    again = cli_here(*finished.command)
    assert again.code == 0, again.err
    assert "4 runs: 4 done, 0 to do, 0 steps" in again.err
    assert NAME in again.out
    assert cli_here("evaluate", "study", "--metrics", "mcc").code == 0
    (after,) = rows_from_files(study)
    assert after.folder == before.folder
    assert list(after.scores) == [*before.scores, "mcc"]
    (after.folder / "information.png").unlink()
    for path in study.glob("runs/*/samples.npz"):  # whose pictures take long
        path.unlink()
    assert cli_here("report", "study").code == 0
    assert (after.folder / "information.png").exists()
    assert times(study) == trained
    assert f"| {NAME} | 1 (not trained here) |" in (study / "table.md").read_text()


def test_no_model_takes_the_name_of_a_row_from_a_file(
    finished, cli_here, study: Path, codes: Path
) -> None:
    Path("mine.py").write_text("from bench.models import VAE\nclass Mine(VAE):\n    '''Mine.'''\n")
    put(study, codes, "./mine.py:Mine")
    command = [part.replace("betavae,jointvae", "./mine.py:Mine") for part in finished.command]
    said = cli_here(*command, "--dry-run")
    assert said.code == 2
    assert "./mine.py:Mine is the name of codes that came from a file" in said.err


# refusals


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        ({"factors": None}, {}, "codes.npz has no array factors"),
        ({"factor_names": None}, {}, "its factor names are v1, v2, v3, v4, and study has shape, s"),
        ({"factor_sizes": [3, 3, 8, 9]}, {}, "3, 3, 8, 9, and study has 3, 3, 8, 8: choose a"),
        ({"factors": UNLABELLED}, {}, "leave out rows without a label"),
        ({}, {"--name": None}, "--into FOLDER and --name NAME go together"),
        ({}, {"--into": None}, "--into FOLDER and --name NAME go together"),
        ({}, {"--into": "nowhere"}, "nowhere holds no study"),
        ({}, {"--into": "x" * 300}, "holds no study"),
        ({}, {"--resamples": "1000000000"}, "give at most 10,000"),
        ({}, {"--name": "betavae"}, "the suite has a model of that name: choose another --name"),
        ({}, {"--name": "a|b"}, "as they should stand in tables"),
        ({}, {"--name": " "}, "as they should stand in tables"),
        ({}, {"--metrics": "mig"}, "leave out --metrics"),
        ({}, {"--merge": "posX:7=0"}, "leave out --merge"),
        ({}, {"--kind": "posX=ordinal"}, "leave out --kind"),
    ],
)
def test_wrong_requests_are_one_line_and_change_nothing(
    cli_here, study: Path, changed: dict, options: dict, said: str
) -> None:
    path = write("codes.npz", **changed)
    every = {"--into": "study", "--name": "m", **options}
    flat = [part for pair in every.items() if pair[1] is not None for part in pair]
    before = contents(study)
    answer = cli_here("evaluate", str(path), *flat)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer.err
    assert said in answer.err
    assert contents(study) == before


def test_a_name_that_is_taken(study: Path, codes: Path) -> None:
    put(study, codes)
    other = write("other.npz", codes=arrays(1)["codes"])
    before = contents(study)
    with pytest.raises(RequestError, match=f"a row {NAME} already, codes.npz, sha256 [0-9a-f]+: c"):
        put(study, other)
    run = next((study / "runs").glob("betavae-seed0-*"))
    settings = read_json(run / "settings.json")
    write_json(run / "settings.json", {**settings, "model": "./mine.py:Mine"})
    before[str(run / "settings.json")] = (run / "settings.json").read_bytes()
    with pytest.raises(RequestError, match="a row ./mine.py:Mine already, a model's runs: choose"):
        put(study, codes, "./mine.py:Mine")
    assert contents(study) == before


def test_a_study_without_a_finished_run(study: Path, codes: Path) -> None:
    for path in study.glob("runs/*/representation.npz"):
        path.unlink()
    with pytest.raises(RequestError, match="holds no finished run yet: let bench run finish one"):
        put(study, codes)


def test_a_study_in_use_or_that_cannot_be_written(study: Path, codes: Path, monkeypatch) -> None:
    with FileLock(study / ".lock"), pytest.raises(RequestError, match="another bench is at work"):
        put(study, codes)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(study)
    monkeypatch.setenv("BENCH_FSYNC", "1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RequestError, match="No space left on device.: add it to a copy"):
        put(study, codes)
    assert contents(study) == before
    assert rows_from_files(study) == []
