"""`bench evaluate` where latents are vectors: by shape, by --groups, and by --reduce."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest

import bench
from bench.datasets import Toy
from bench.errors import RequestError
from bench.evaluation.codes import read_codes
from bench.metrics import Representation, dci_fast, factorvae_score, mig, shuffled
from bench.report.columns import definition_words
from bench.report.table import comparison
from bench.store.files import read_json
from bench.store.record import read_records
from bench.store.representation import read_representation, read_rows, write_representation
from bench.store.study import read_study
from bench.streams import numpy_stream

RNG = np.random.default_rng(0)
Y = RNG.integers((3, 6), size=(600, 2))
# A vector of sine and cosine for each factor, (N, 2, 2).
Z = np.stack([np.sin(2 * np.pi * Y / (3, 6)), np.cos(2 * np.pi * Y / (3, 6))], axis=2)
Z = Z + 0.02 * RNG.normal(size=Z.shape)
METRICS = ("--metrics", "factorvae_score,dci_fast")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("shaped.npz", codes=Z, factors=Y)
    np.savez("flat.npz", codes=Z.reshape(600, 4), factors=Y)
    return tmp_path


def test_vectors_by_their_shape_or_by_groups(cli_here) -> None:
    said = cli_here("evaluate", "shaped.npz", *METRICS, "--json")
    assert said.code == 0, said.err
    assert "codes: array codes of shaped.npz (600 x 2 x 2, float64)" in said.err
    assert "latents: 2 vectors of 2 columns each, standard deviation" in said.err
    assert "  latents that are vectors: 2 vectors of 2 columns each, each one latent" in said.err
    assert "active: 2 of 2 latents" in said.err
    scores = json.loads(said.out)
    r = Representation.of(codes=Z, factors=Y)
    assert scores["dci_fast"]["value"] == dci_fast(r, numpy_stream(0, "dci_fast")).value
    assert scores["factorvae_score"]["value"] == 1
    assert scores["dci_fast"]["read"]["latents"]["z2"]["columns"] == 2
    for groups in ("2x2", "2,2"):
        again = cli_here("evaluate", "flat.npz", *METRICS, "--groups", groups, "--json")
        values = {name: entry["value"] for name, entry in json.loads(again.out).items()}
        assert values == {name: entry["value"] for name, entry in scores.items()}
    table = cli_here("evaluate", "flat.npz", *METRICS, "--groups", "2x2")
    assert "600 rows, 2 vectors of 2 columns each and 0 categorical latents" in table.out
    flat = cli_here("evaluate", "flat.npz", *METRICS, "--json")
    assert "vectors" not in flat.err
    assert json.loads(flat.out)["dci_fast"]["parts"]["completeness"] < 0.9


def test_the_usual_metrics_and_why_the_others_are_left_out(cli_here) -> None:
    said = cli_here("evaluate", "shaped.npz")
    assert said.code == 0
    assert "MIG, nearest neighbours" in said.out
    (line,) = [line for line in said.out.splitlines() if line.startswith("Left out: ")]
    assert line.startswith("Left out: mig, ")
    assert ", mcc, " in line
    assert line.count("takes latents of one number each, and z1 is a vector of 2") == 1
    refused = cli_here("evaluate", "shaped.npz", "--metrics", "mig")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "reduce vectors to one number each (reduce pca1)" in refused.err


def test_tables_h5_files_and_stored_groups(here: Path) -> None:
    columns = {f"codes_{k + 1}": column for k, column in enumerate(Z.reshape(600, 4).T)}
    factors = {f"factors_v{k + 1}": column for k, column in enumerate(Y.T)}
    pandas.DataFrame({**columns, **factors}).to_csv("codes.csv", index=False)
    with h5py.File("codes.h5", "w") as file:
        file["train/codes"], file["train/factors"] = Z, Y
    np.savez("stored.npz", codes=Z.reshape(600, 4), factors=Y, groups=[2, 2])
    np.savez("labels.npz", codes=Z, factors=Y, groups=np.arange(600) % 5)
    expected = Representation.of(codes=Z, factors=Y)
    for name, groups in (
        ("codes.csv", "2x2"),
        ("codes.h5", None),
        ("stored.npz", None),
        ("stored.npz", "2,2"),
        ("labels.npz", None),
    ):
        representation = read_codes(here / name, groups=groups)
        assert representation.groups == (2, 2), name
        np.testing.assert_allclose(representation.codes, expected.codes)
    assert read_codes(here / "stored.npz", groups="1,3").groups == (1, 3)
    assert "not read of labels.npz: groups" in read_codes(here / "labels.npz").notes


def test_log_variances_and_held_out_rows_are_vectors_too(here: Path) -> None:
    logvar = np.full_like(Z, -4.0) + 0.1 * Z
    sides = {"codes": Z[:400], "codes_test": Z[400:], "logvar": logvar[:400]}
    sides |= {"logvar_test": logvar[400:], "factors": Y[:400], "factors_test": Y[400:]}
    np.savez("both.npz", **sides)
    r = read_codes(here / "both.npz")
    assert r.kl is not None
    assert r.test is not None
    assert r.test.kl is not None
    assert r.kl.shape == r.test.kl.shape == (2,)
    path = here / "again.npz"
    write_representation(path, r, np.arange(400))
    again = read_representation(path)
    assert again.groups == r.groups == again.test.groups
    np.testing.assert_array_equal(again.kl, r.kl)
    np.testing.assert_array_equal(read_codes(path).test.codes, r.test.codes)
    assert len(read_rows(path)) == 400


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("flat.npz", "--groups", "3x2"), "groups are 2 vectors of 3 columns each, 6 in all, and"),
        (("flat.npz", "--groups", "two"), "groups is 'two': write WIDTHxCOUNT, such as 16x20 for"),
        (("shaped.npz", "--groups", "1,3"), "by its shape: leave groups out"),
        (("flat.npz", "--reduce", "pca1"), "flat.npz has no vectors to reduce: leave out --reduce"),
        (("shaped.npz", "--reduce", "pca"), "unknown reduction in --reduce 'pca'"),
        (("four.npz",), "array codes has shape (600, 2, 2, 1): give one number per latent, (N, D)"),
    ],
)
def test_bad_input_is_one_line(cli_here, options: tuple[str, ...], said: str) -> None:
    np.savez("four.npz", codes=Z[..., None], factors=Y)
    answer = cli_here("evaluate", *options)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err


def test_a_reduction_is_a_definition_of_its_own(cli_here) -> None:
    options = ("evaluate", "shaped.npz", "--metrics", "mig,dci_fast", "--reduce", "pca1")
    said = cli_here(*options, "--json", "--chance")
    scores = json.loads(said.out)
    reduced = Representation.of(codes=Z, factors=Y).reduced("pca1")
    assert scores["mig"]["value"] == mig(reduced, numpy_stream(0, "mig")).value
    assert scores["mig"]["definition"]["reduce"] == "pca1"
    assert scores["mig"]["details"]["shuffled"]["value"]["max"] < 0.1
    assert "vectors reduced by pca1" in cli_here(*options).out


# in Python


def test_the_same_in_python() -> None:
    scores = bench.evaluate(Z, Y, metrics="factorvae_score,mig")
    assert scores["factorvae_score"] == 1
    assert "vector of 2" in scores.undefined["mig"]
    grouped = bench.evaluate(Z.reshape(600, 4), Y, metrics="dci_fast", groups=[2, 2])
    whole = bench.evaluate(Z, Y, metrics="dci_fast")
    assert grouped["dci_fast"] == whole["dci_fast"]
    reduced = bench.evaluate(Z, Y, metrics="mig,dci_fast", reduce="pca1", resamples=3)
    assert reduced.records["mig"].definition.reduce == "pca1"
    assert "vectors reduced by pca1" in definition_words(reduced.records["mig"].definition)
    assert reduced["dci_fast"] != whole["dci_fast"]
    notes = reduced.frame().set_index("metric")["note"]
    assert notes["mig"].startswith("vectors reduced by pca1")
    assert "reduced" not in "".join(whole.frame()["note"])
    r = Representation.of(codes=Z, factors=Y)
    assert bench.evaluate(r, metrics="mig", reduce="pca1")["mig"] == reduced["mig"]
    assert shuffled(r, RNG).groups == r.groups


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"groups": "2x3"}, "6 in all, and codes has 4 columns"),
        ({"reduce": "pca1"}, "codes has no vectors to reduce: leave out reduce, or give groups"),
        ({"groups": "2x2", "reduce": "mean"}, "unknown reduction 'mean'"),
    ],
)
def test_a_wrong_call_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        bench.evaluate(Z.reshape(600, 4), Y, metrics="mig", **given)
    assert "\n" not in str(refused.value)
    if given.get("groups") == "2x2":
        r = Representation.of(codes=Z, factors=Y)
        with pytest.raises(RequestError, match="holds its factors and groups"):
            bench.evaluate(r, groups="2x2")


def test_a_metric_that_does_not_know_vectors_is_not_misled(here: Path) -> None:
    """One without the suite's decorator would take every column for a latent."""
    (here / "mine.py").write_text(
        "from bench.metrics import Score\n\n\ndef mine(representation, rng):\n"
        '    """Mine (me 2026): columns."""\n'
        "    return Score(float(representation.codes.shape[1]), {})\n"
    )
    scores = bench.evaluate(Z, Y, metrics="./mine.py:mine")
    assert "takes latents of one number each" in scores.undefined["./mine.py:mine"]
    reduced = bench.evaluate(Z, Y, metrics="./mine.py:mine", reduce="pca1")
    assert reduced["./mine.py:mine"] == 2


# in a study


def test_a_row_of_a_study_and_its_column(finished, here: Path, cli_here) -> None:
    shutil.copytree(finished.folder, here / "study")
    data = Toy(image_size=32)
    v = data.values(np.random.default_rng(0).permutation(len(data)))
    angles = 2 * np.pi * v / (np.array(data.sizes) + 1)
    codes = np.stack([np.sin(angles), np.cos(angles)], axis=2)
    codes += 0.1 * RNG.normal(size=codes.shape)
    arrays = {"factor_names": [f.name for f in data.factors], "factor_sizes": list(data.sizes)}
    np.savez("rows.npz", codes=codes.reshape(len(v), -1), factors=v, **arrays)
    width = f"2x{len(data.sizes)}"
    added = cli_here("evaluate", "rows.npz", "--into", "study", "--name", "mine", "--groups", width)
    assert added.code == 0, added.err
    (row,) = [r for r in read_records(Path("study")) if r.run.from_file]
    assert "vector of 2" in row.evaluation.undefined["mig"].reason
    assert len(row.evaluation.spread) == len(data.sizes)
    assert read_representation(row.folder / "representation.npz").groups == (2,) * len(data.sizes)
    stored = read_json(row.folder / "read.json")
    assert stored["latents"]["z1"]["columns"] == 2

    reduced = cli_here(
        "evaluate", str(row.folder), "--metrics", "factorvae_score,mig", "--reduce", "pca1"
    )
    assert reduced.code == 0, reduced.err
    records = read_records(Path("study"))
    table = comparison(records, read_study(Path("study")))
    titles = [column.title for column in table.columns]
    assert "FactorVAE score (vectors as they are)" in titles
    assert "FactorVAE score (pca1)" in titles
    (row,) = [r for r in records if r.run.from_file]
    score = row.scores["factorvae_score"]
    again = read_representation(row.folder / "representation.npz").reduced("pca1")
    stream = numpy_stream(row.run.seed, "factorvae_score")
    assert score.value == factorvae_score(again, stream).value
    refused = cli_here(
        *("evaluate", "rows.npz", "--into", "study", "--name", "b", "--groups", width),
        *("--reduce", "pca1"),
    )
    assert refused.code == 2
    assert "leave out --reduce" in refused.err
