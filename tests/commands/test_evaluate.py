"""`bench evaluate`: codes from files of every kind, stored representations, standard errors."""

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest
from filelock import FileLock

from bench.errors import RequestError
from bench.evaluation.codes import read_codes
from bench.metrics import METRICS, Representation, Score, mcc, mig
from bench.score import definition, score, standard_errors
from bench.streams import numpy_stream

SIZES = (3, 4, 5)
NAMES = ("shape", "scale", "angle")
KINDS = ("categorical", "ordinal", "cyclic")
QUICK = ("--metrics", "mig,mcc,discrete_accuracy")


def arrays(rows: int = 2_000, seed: int = 0) -> dict[str, Any]:
    """Codes that repeat three factors with some noise, and a category that is the shape."""
    rng = np.random.default_rng(seed)
    factors = rng.integers(SIZES, size=(rows, 3))
    return {
        "codes": factors[:, 1:] + 0.2 * rng.normal(size=(rows, 2)),
        "categories": factors[:, :1],
        "factors": factors,
        "factor_names": np.array(NAMES),
        "factor_kinds": np.array(KINDS),
    }


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(tmp_path / "codes.npz", **arrays())
    return tmp_path / "codes.npz"


def table(arrays: dict[str, Any], **changed: Any) -> pandas.DataFrame:
    """The same as a table of columns."""
    columns: dict[str, Any] = {f"codes_{d + 1}": c for d, c in enumerate(arrays["codes"].T)}
    columns["categories_1"] = arrays["categories"][:, 0]
    columns |= {f"factors_{n}": f for n, f in zip(NAMES, arrays["factors"].T, strict=True)}
    return pandas.DataFrame({**columns, **changed})


def assert_same(actual: Representation, expected: Representation) -> None:
    for name in ("codes", "categories", "factors", "logvar"):
        mine, theirs = getattr(actual, name), getattr(expected, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    assert actual.factor_names == expected.factor_names
    assert actual.factor_sizes == expected.factor_sizes


# Files


def test_npz_h5_and_csv_hold_the_same(npz: Path, tmp_path: Path) -> None:
    content = arrays()
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        for name, array in content.items():
            file[name] = array.tolist() if array.dtype.kind == "U" else array
    table(content).to_csv(tmp_path / "codes.csv", index=False)
    whole = read_codes(npz)
    assert whole.factor_kinds == KINDS
    assert whole.category_sizes == (3,)
    assert_same(whole, read_codes(tmp_path / "codes.h5"))
    assert read_codes(tmp_path / "codes.h5").factor_kinds == KINDS
    csv = read_codes(tmp_path / "codes.csv", kinds={"shape": "categorical"})
    assert_same(whole, csv)
    assert csv.factor_kinds == ("categorical", "ordinal", "ordinal")


def test_parquet_where_pandas_can(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    table(arrays()).to_parquet(tmp_path / "codes.parquet")
    assert_same(read_codes(tmp_path / "codes.parquet"), Representation.of(**arrays()))


def test_parquet_without_its_package_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "codes.parquet").touch()
    with pytest.raises(RequestError, match="needs pyarrow: pip install pyarrow"):
        read_codes(tmp_path / "codes.parquet")


def test_text_in_a_table_names_classes(tmp_path: Path) -> None:
    content = arrays()
    words = np.array(["ellipse", "heart", "square"])[content["factors"][:, 0]]
    table(content, factors_shape=words).to_csv(tmp_path / "codes.csv", index=False)
    read = read_codes(tmp_path / "codes.csv")
    assert read.factor_kinds == ("categorical", "ordinal", "ordinal")
    np.testing.assert_array_equal(read.factors, content["factors"])


def test_held_out_rows(tmp_path: Path) -> None:
    content = arrays()
    train = {k: v[:1_500] if len(v) == 2_000 else v for k, v in content.items()}
    test = {f"{k}_test": v[1_500:] for k, v in content.items() if len(v) == 2_000}
    np.savez(tmp_path / "codes.npz", **train, **test)
    split = np.where(np.arange(2_000) < 1_500, "train", "test")
    table(content, split=split).to_csv(tmp_path / "codes.csv", index=False)
    for name in ("codes.npz", "codes.csv"):
        read = read_codes(tmp_path / name)
        assert read.test is not None
        assert (len(read), len(read.test)) == (1_500, 500)
        np.testing.assert_array_equal(read.test.factors, content["factors"][1_500:])
    np.savez(
        tmp_path / "suffixes.npz",
        codes_train=train["codes"],
        factors_train=train["factors"],
        codes_test=test["codes_test"],
        factors_test=test["factors_test"],
    )
    assert len(read_codes(tmp_path / "suffixes.npz")) == 1_500


def test_factors_in_a_file_of_their_own(tmp_path: Path) -> None:
    content = arrays()
    own = {k: v for k, v in content.items() if k.startswith("factor")}
    np.savez(tmp_path / "factors.npz", **own)
    np.savez(tmp_path / "codes.npz", codes=content["codes"], categories=content["categories"])
    assert_same(
        read_codes(tmp_path / "codes.npz", tmp_path / "factors.npz"), Representation.of(**content)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"factors": None}, "has no array factors: it has codes"),
        ({"codes": None, "categories": None}, "neither codes nor categories"),
        ({"codes": np.full((2_000, 2), np.nan)}, "codes has NaN or infinite values"),
        ({"codes": np.zeros((1_999, 2))}, "numbers of rows differ"),
        ({"codes": np.zeros((2_000, 2), dtype=int)}, "give categories as `categories`"),
        ({"factor_sizes": np.array([2, 4, 5])}, "factors column 0 runs from 0 to 2"),
        ({"factors": np.full((2_000, 3), 1j)}, "factors column 0 has type complex128"),
        ({"factor_names": np.array(NAMES, dtype=object)}, "is a pickle, which is never opened"),
        ({"codes": np.zeros((2_000, 0)), "categories": None}, "at least one latent"),
        ({"codes": np.zeros((0, 2)), "categories": None, "factors": np.zeros((0, 3), int)}, "no r"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(cli_here, tmp_path, changed, message) -> None:
    content = {k: v for k, v in {**arrays(), **changed}.items() if v is not None}
    np.savez(tmp_path / "codes.npz", **content)
    said = cli_here("evaluate", str(tmp_path / "codes.npz"))
    assert said.code == 2
    assert message in said.err
    assert str(tmp_path / "codes.npz") in said.err
    assert said.err.count("\n") == 1


def test_files_that_cannot_be_read(cli_here, tmp_path: Path, npz: Path) -> None:
    cases = {
        "codes.txt": "npz, .h5",
        "absent.npz": "no such file or folder",
        "broken.npz": "damaged or not an npz file",
        "broken.h5": "cannot be read",
        "columns.csv": "name those of latents codes_1",
        "empty.csv": "not a readable table",
    }
    (tmp_path / "codes.txt").touch()
    (tmp_path / "broken.npz").write_bytes(npz.read_bytes()[:500])
    (tmp_path / "broken.h5").write_bytes(b"nothing of the kind")
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").touch()
    for name, message in cases.items():
        said = cli_here("evaluate", str(tmp_path / name))
        assert (said.code, said.err.count("\n")) == (2, 1), said.err
        assert message in said.err


def test_arrays_that_are_damaged_or_none(tmp_path: Path, npz: Path) -> None:
    def changed(name: str, content: bytes) -> Path:
        path = tmp_path / "changed.npz"
        with zipfile.ZipFile(npz) as source, zipfile.ZipFile(path, "w") as target:
            for member in source.namelist():
                target.writestr(member, content if member == name else source.read(member))
        return path

    with zipfile.ZipFile(npz) as archive:
        half = archive.read("codes.npy")[:1_000]
    with pytest.raises(RequestError, match=r"changed.npz: array codes declares float64"):
        read_codes(changed("codes.npy", half))
    with pytest.raises(RequestError, match=r"changed.npz: array codes is not an array"):
        read_codes(changed("codes.npy", b"text"))


def test_weights_are_refused_with_what_to_do_instead(cli_here, tmp_path: Path, finished) -> None:
    (run, *_) = sorted((finished.folder / "runs").iterdir())
    cases = {
        tmp_path / "net.pt": "holds weights, not codes: encode the images",
        tmp_path / "net.safetensors": "bench run --models file.py:Name",
        run / "weights.safetensors": f"holds the weights of a run: name the run's folder, {run}",
    }
    for path, message in cases.items():
        if tmp_path in path.parents:
            path.touch()
        for options in ((), ("--into", str(finished.folder), "--name", "mine")):
            said = cli_here("evaluate", str(path), *options)
            assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said.err
            assert message in said.err


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    np.savez(tmp_path / "codes.npz", **{**arrays(), "factors": np.array([Evil()], dtype=object)})
    with pytest.raises(RequestError, match="never opened"):
        read_codes(tmp_path / "codes.npz")
    assert not (tmp_path / "touched").exists()


# What is printed


def test_the_table(cli_here, npz: Path) -> None:
    said = cli_here("evaluate", str(npz), *QUICK)
    assert (said.code, said.err.splitlines()[0]) == (0, "What was read")
    assert "2,000 rows, 2 continuous and 1 categorical latents" in said.out
    expected = mig(Representation.of(**arrays()), numpy_stream(0, "mig")).value
    assert f"MIG                     {expected:.3f}" in said.out
    assert "Accuracy, one-to-one" in said.out
    assert "MIG: version 1 (bins 20, binning width, points 10000)." in said.out


def test_json_is_one_object_on_stdout(cli_here, npz: Path) -> None:
    said = cli_here("evaluate", str(npz), *QUICK, "--json", "--seed", "3", "--resamples", "3")
    scores = json.loads(said.out)
    assert list(scores) == ["mig", "mcc", "discrete_accuracy"]
    for name, entry in scores.items():
        assert {"value", "details", "definition"} <= entry.keys()
        assert entry["read"]["factors"]["scale"]["classes_that_occur"] == 4
        assert entry["definition"]["name"] == name
        assert entry["standard_errors"]["value"] >= 0
    assert scores["mig"]["details"]["factors"] == list(NAMES)
    expected = METRICS["mcc"](Representation.of(**arrays()), numpy_stream(3, "mcc"))
    assert scores["mcc"]["value"] == expected.value


def test_options_kinds_and_merged_classes(cli_here, npz: Path, tmp_path: Path) -> None:
    def value(*arguments: str) -> dict[str, Any]:
        said = cli_here("evaluate", str(npz), "--metrics", "mig", "--json", *arguments)
        entry: dict[str, Any] = json.loads(said.out)["mig"]
        return entry

    fine = value("--set", "mig.bins=50")
    assert fine["definition"]["options"]["bins"] == 50
    assert fine["value"] != value()["value"]
    merged = value("--merge", "angle:4=0")
    assert merged["definition"]["merge"] == ["angle:4=0"]
    assert merged["details"]["entropies"]["angle"] < value()["details"]["entropies"]["angle"]
    said = cli_here("evaluate", str(npz), "--metrics", "discrete_accuracy", "--json")
    assert list(json.loads(said.out)["discrete_accuracy"]["details"]["factors"]) == ["shape"]
    named = ("--metrics", "discrete_accuracy", "--json", "--kind", "scale=categorical")
    both = json.loads(cli_here("evaluate", str(npz), *named).out)
    assert list(both["discrete_accuracy"]["details"]["factors"]) == ["shape", "scale"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metrics", "mgi"), "unknown metric 'mgi': did you mean mig"),
        (("--set", "mig.bins=x"), "mig.bins=x"),
        (("--set", "mig.bin=3"), "did you mean bins"),
        (("--metrics", "mcc", "--set", "mig.bins=3"), "unknown metric in --set 'mig'"),
        (("--kind", "shape"), "write FACTOR=KIND"),
        (("--kind", "shape=nominal"), "unknown kind of a factor 'nominal'"),
        (("--kind", "form=ordinal"), "unknown factor in --kind 'form'"),
        (("--merge", "angle:9=0"), "angle has no class 9"),
        (("--merge", "turn:4=0"), "no factor 'turn'"),
        (("--merge", "angle"), "write FACTOR:CLASS=CLASS"),
        (("--resamples", "1"), "at least 2"),
        (("--resamples", "1000000000"), "give at most 10,000"),
        (("--dataset", "dsprites"), "--dataset is not for codes"),
        (("--codes", "z"), "has no array 'z': it has codes, categories, factors"),
        (("--codes", "codes,"), "write names, comma-separated"),
        (("--factors", "y"), "has no array 'y'"),
        (("--factors", "x" * 300 + ".npz"), "no such file"),
        (("--output", "x" * 300 + ".json"), "cannot be written"),
        (("--metrics", "udr"), "compares the runs of a study"),
        (("--factors", "absent.npz"), "no such file"),
        (("--output", "/proc/none/x.json"), "cannot be written"),
    ],
)
def test_wrong_requests_are_one_line(cli_here, npz: Path, arguments, message) -> None:
    quick = () if "--metrics" in arguments else QUICK
    said = cli_here("evaluate", str(npz), *quick, *arguments)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1


def test_a_folder_without_a_run_and_no_target(cli_here, tmp_path: Path) -> None:
    said = cli_here("evaluate", str(tmp_path))
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "holds no run and no study" in said.err
    said = cli_here("evaluate")
    assert said.code == 2
    assert "Missing argument 'TARGET'" in said.err


def test_a_named_metric_that_is_undefined_ends_with_1(cli_here, tmp_path: Path) -> None:
    content = arrays()
    np.savez(tmp_path / "codes.npz", codes=content["codes"], factors=content["factors"])
    said = cli_here("evaluate", str(tmp_path / "codes.npz"), *QUICK)
    assert said.code == 1
    assert "discrete_accuracy: the representation has no categorical factor" in said.err
    assert "MIG" in said.out
    every = cli_here("evaluate", str(tmp_path / "codes.npz"), "--metrics", "all", "--json")
    assert every.code == 0


def test_the_record(cli_here, npz: Path, tmp_path: Path) -> None:
    said = cli_here("evaluate", str(npz), *QUICK, "--output", str(tmp_path / "record.json"))
    assert said.code == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert list(record["scores"]) == ["mig", "mcc", "discrete_accuracy"]
    ((name, digest),) = record["files"].items()
    assert name == str(npz)
    assert len(digest) == 64
    assert record["seed"] == 0
    assert record["environment"]["packages"]["numpy"]


def test_torch_is_not_imported(npz: Path, finished) -> None:
    (run, *_) = sorted((finished.folder / "runs").iterdir())
    for target in (npz, run):
        code = (
            "import sys; from bench import cli\n"
            f"sys.argv = ['bench', 'evaluate', {str(target)!r}, '--metrics', 'mig,mcc', '--json']\n"
            "try: cli.main()\n"
            "except SystemExit as end: sys.exit(end.code or 9 * ('torch' in sys.modules))\n"
        )
        copy = npz.parent / "copy"
        if target == run:
            shutil.copytree(run, copy)
            code = code.replace(str(target), str(copy))
        done = subprocess.run([sys.executable, "-c", code], timeout=300, capture_output=True)
        assert done.returncode == 0, done.stderr


# Stored representations


@pytest.fixture
def study(finished, tmp_path: Path) -> Path:
    return shutil.copytree(finished.folder, tmp_path / "study")


def scores_of(run: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((run / "scores.json").read_text())
    return scores


def test_a_study_is_scored_again_without_training(cli_here, study: Path) -> None:
    runs = sorted((study / "runs").iterdir())
    before = {run: scores_of(run) for run in runs}
    weights = {run: (run / "weights.safetensors").stat().st_mtime_ns for run in runs}
    said = cli_here("evaluate", str(study))
    assert said.code == 0
    for run in runs:  # the same seeds and definitions: the same numbers
        assert {n: s["value"] for n, s in scores_of(run).items()} == {
            n: s["value"] for n, s in before[run].items()
        }
        assert (run / "weights.safetensors").stat().st_mtime_ns == weights[run]
    said = cli_here("evaluate", str(study), "--metrics", "sap,udr")
    assert said.code == 0
    assert "SAP" in said.out
    assert "UDR" in said.out
    assert "SAP" in (study / "table.md").read_text()
    for run in runs:
        assert {*before[run], "sap", "udr"} == set(scores_of(run))


def test_options_of_files_are_refused_for_a_folder(cli_here, study: Path) -> None:
    for option in ("--factors", "--kind", "--output"):
        said = cli_here("evaluate", str(study), option, "shape=ordinal")
        assert (said.code, said.err.count("\n")) == (2, 1), said.err
        assert f"{option} is for a file of codes" in said.err


def test_json_of_a_study_is_by_run(cli_here, study: Path) -> None:
    said = cli_here("evaluate", str(study), "--metrics", "mcc,udr", "--json")
    assert said.code == 0
    scores = json.loads(said.out)
    for run in (study / "runs").iterdir():
        assert list(scores[run.name]) == ["mcc", "udr"]
        assert scores[run.name]["udr"] == scores_of(run)["udr"]


def test_one_run_is_not_compared(cli_here, study: Path) -> None:
    (run, *_) = sorted((study / "runs").iterdir())
    said = cli_here("evaluate", str(run), "--metrics", "mcc,udr")
    assert said.code == 1
    assert "udr: compares the runs of a study: name the study's folder" in said.err
    assert "MCC" in said.out
    assert "udr" not in scores_of(run)


def test_two_definitions_have_two_columns_and_the_remedy(cli_here, study: Path) -> None:
    one = sorted((study / "runs").iterdir())[0]
    assert cli_here("evaluate", str(one), "--metrics", "mig", "--set", "mig.bins=5").code == 0
    assert scores_of(one)["mig"]["definition"]["options"]["bins"] == 5
    assert cli_here("evaluate", str(one)).code == 0  # its options are kept
    assert scores_of(one)["mig"]["definition"]["options"]["bins"] == 5
    cli_here("report", str(study))
    mixed = (study / "table.md").read_text()
    assert "MIG (bins=5)" in mixed
    assert "bench evaluate FOLDER --metrics mig" in mixed
    cli_here("evaluate", str(study), "--metrics", "mig")
    assert "MIG (bins" not in (study / "table.md").read_text()


def test_merged_classes_are_another_definition(cli_here, study: Path) -> None:
    one = sorted((study / "runs").iterdir())[0]
    cli_here("evaluate", str(one), "--metrics", "mig", "--merge", "posX:7=0")
    cli_here("report", str(study))
    assert "MIG (merged posX:7=0)" in (study / "table.md").read_text()


def test_runs_without_a_representation(cli_here, study: Path) -> None:
    first, *others = sorted((study / "runs").iterdir())
    for run in others:
        (run / "representation.npz").unlink()
    assert cli_here("evaluate", str(study), "--metrics", "mcc").code == 0
    assert "mcc" in scores_of(first)
    assert not any("mcc" in scores_of(run) for run in others)
    assert "holds no representation.npz" in cli_here("evaluate", str(others[0])).err
    whole = (first / "representation.npz").read_bytes()
    for broken in (b"PK broken", whole[: len(whole) // 2], b""):
        (first / "representation.npz").write_bytes(broken)
        said = cli_here("evaluate", str(first))
        assert (said.code, said.err.count("\n")) == (2, 1), said.err
        assert "train again" in said.err


def test_a_folder_that_is_in_use_or_cannot_be_written(cli_here, study: Path, monkeypatch) -> None:
    before = {run: scores_of(run) for run in (study / "runs").iterdir()}
    with FileLock(study / ".lock"):
        said = cli_here("evaluate", str(study), "--metrics", "mcc")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "another bench is at work there; wait for it" in said.err

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("BENCH_FSYNC", "1")
    monkeypatch.setattr(os, "fsync", full)
    said = cli_here("evaluate", str(study), "--metrics", "mcc")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "(No space left on device): score a copy of the folder elsewhere" in said.err
    assert {run: scores_of(run) for run in (study / "runs").iterdir()} == before
    assert not list(study.rglob("*.tmp"))


# Standard errors and warnings


def test_the_standard_error_is_that_of_new_samples() -> None:
    def draw(seed: int, rows: int) -> Representation:
        rng = np.random.default_rng(seed)
        factor = rng.normal(size=(rows, 1))
        codes = factor + rng.normal(size=(rows, 1))
        return Representation.of(codes=codes, factors=factor)

    plain = definition("mcc")
    truth = np.std([mcc(draw(s, 1_000), np.random.default_rng(0)).value for s in range(200)])
    errors = [
        score(draw(s, 1_000), plain, 0, resamples=30).standard_errors["value"] for s in range(20)
    ]
    assert np.mean(errors) == pytest.approx(truth, rel=0.15)


def test_the_standard_error_of_fewer_points_than_rows() -> None:
    def mean(representation: Representation, k: int) -> Score:
        few = representation.at_most(1_000, np.random.default_rng(k))
        return Score(float(few.codes.mean()), {}, rows_used=len(few))

    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        whole = Representation.of(
            codes=rng.random(size=(2_000, 1)), factors=np.zeros((2_000, 1), dtype=int)
        )
        errors.append(standard_errors(whole, mean(whole, 0), mean, rng, 50)["value"])
    assert np.mean(errors) == pytest.approx((1 / 12 / 1_000) ** 0.5, rel=0.1)


def test_too_few_rows_are_flagged(cli_here, tmp_path: Path) -> None:
    np.savez(tmp_path / "codes.npz", **arrays(60))
    metrics = "mig,mcc,total_correlation"
    said = cli_here("evaluate", str(tmp_path / "codes.npz"), "--metrics", metrics)
    assert "MIG !" in said.out
    assert "! MIG: the rows are too few for the bins" in said.out
    assert "! MCC: 60 rows are few for the largest correlation of" in said.out
    assert "Total correlation !" not in said.out
    np.savez(tmp_path / "codes.npz", **arrays(400))
    said = cli_here("evaluate", str(tmp_path / "codes.npz"), "--metrics", "mig,mcc")
    assert "MIG !" in said.out
    assert "MCC !" not in said.out
    enough = Representation.of(**arrays())
    assert mig(enough, np.random.default_rng(0)).warnings == ()
