"""`bench.load`: what a study's folder gives back."""

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

import bench
from tests.conftest import Finished


@pytest.fixture
def study(finished: Finished) -> bench.Study:
    return bench.load(finished.folder)


def test_it_has_all_runs_with_their_scores(study: bench.Study) -> None:
    assert [(run.label, run.seed) for run in study.runs] == [
        *(("betavae", 0), ("betavae", 1)),
        *(("jointvae", 0), ("jointvae", 1)),
    ]
    run = study.run("betavae, seed 1")
    assert run is study.run(run.name)
    assert set(run.scores) == {"mig", "factorvae_score", "discrete_accuracy", "dci_fast"}
    assert run.evaluation is not None
    assert run.status.state in ("done", "collapsed")
    assert "betavae, seed 1" in repr(run)


def test_the_frame_is_tidy(study: bench.Study) -> None:
    frame = study.frame()
    assert isinstance(frame, pandas.DataFrame)
    mig = frame[frame.metric == "mig"].set_index("run").value
    assert dict(mig) == {run.name: float(run.scores["mig"]) for run in study.runs}


def test_the_table_is_that_of_the_command(study: bench.Study) -> None:
    written = pandas.read_csv(study.folder / "table.csv")
    assert list(study.table().columns) == list(written.columns)
    np.testing.assert_allclose(study.table()["mig.mean"], written["mig.mean"])


def test_a_model_encodes_as_it_did(study: bench.Study) -> None:
    run = study.run("jointvae, seed 0")
    stored = run.representation()
    again = bench.represent(run.model(), run.data(), rows=len(stored), seed=run.seed)
    np.testing.assert_allclose(again.codes, stored.codes, atol=1e-5)
    np.testing.assert_array_equal(again.factors, stored.factors)


def test_scoring_again_gives_the_same_scores_to_the_bit(study: bench.Study) -> None:
    for run in study.runs:
        again = bench.evaluate(run.representation(), metrics=list(run.scores), seed=run.seed)
        assert {k: float(v) for k, v in again.items()} == {
            k: float(v) for k, v in run.scores.items()
        }


def test_the_history_is_a_frame(study: bench.Study) -> None:
    history = study.run("betavae, seed 0").history()
    assert list(history.step) == list(range(1, 21))
    assert {"loss", "reconstruction", "kl_continuous"} <= set(history.columns)


def test_notebooks_show_it(study: bench.Study) -> None:
    html = study._repr_html_()
    assert "<td>betavae</td>" in html
    assert "MIG" in html
    assert "4 " in repr(study) or "runs:" in repr(study)


def test_a_name_in_the_table_is_no_markup(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished.folder, folder)
    codes = bench.load(folder).runs[0].representation()
    np.savez(
        tmp_path / "codes.npz",
        codes=codes.codes,
        factors=codes.factors,
        factor_names=codes.factor_names,
    )
    from bench.evaluation.files import open_codes
    from bench.evaluation.rows import add_row

    add_row(folder, "<script>alert(1)</script>", open_codes(tmp_path / "codes.npz"))
    assert "<script>" not in bench.load(folder)._repr_html_()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("betavae", "2 runs are 'betavae': choose from 'betavae, seed 0', 'betavae, seed 1'"),
        ("betavae, seed 7", "unknown run 'betavae, seed 7': did you mean betavae, seed"),
    ],
)
def test_a_wrong_name_of_a_run_is_one_line(study: bench.Study, name: str, message: str) -> None:
    with pytest.raises(bench.RequestError, match=message):
        study.run(name)


def test_no_study_is_one_line(tmp_path: Path, finished: Finished) -> None:
    for folder in (tmp_path, tmp_path / "nothing", bench.load(finished.folder).runs[0].folder):
        with pytest.raises(bench.RequestError, match="holds no study"):
            bench.load(folder)


def test_what_is_missing_of_a_run_is_named(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished.folder, folder)
    run = bench.load(folder).runs[0]
    (run.folder / "representation.npz").unlink()
    (run.folder / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(bench.RequestError, match=r"representation.npz cannot be read"):
        run.representation()
    with pytest.raises(bench.RequestError, match=r"weights.safetensors cannot be read"):
        run.model()


def test_published_numbers_are_a_frame() -> None:
    frame = bench.published()
    logged = frame[frame["reproduction"] == "training-logs-dsprites"]
    assert set(logged.loc[logged["model"] == "VAE", "epoch"]) == set(range(1, 31))
    assert frame.loc[frame["reproduction"] == "jointvae-dsprites", "epoch"].isna().all()
    assert {"paper", "value", "certainty", "source"} <= set(frame.columns)
    assert frame.value.dtype == "float64"
    assert not (frame.certainty == "beside").any()
    assert len(frame) > 50
