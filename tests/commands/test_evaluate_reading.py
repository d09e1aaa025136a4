"""`bench evaluate`: which arrays are read under which names, what is said of them, and chance."""

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest
import torch

from bench.errors import RequestError
from bench.evaluation.codes import read_codes
from bench.evaluation.files import SHUFFLES, open_codes
from bench.evaluation.reading import lines, what_was_read
from bench.metrics import Representation

RNG = np.random.default_rng(0)
Y = RNG.integers((3, 6), size=(600, 2))
Z = Y + 0.1 * RNG.normal(size=Y.shape)


def same(actual: Representation, expected: Representation) -> None:
    np.testing.assert_allclose(actual.codes, expected.codes, rtol=1e-6)
    np.testing.assert_array_equal(actual.factors, expected.factors)


WHOLE = Representation.of(codes=Z, factors=Y)


# names


def test_arrays_of_other_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=Z, y=Y, s=np.zeros_like(Z), noise=RNG.normal(size=(7, 7)))
    representation = read_codes(tmp_path / "a.npz", "y", names={"codes": "z", "logvar": "s"})
    same(representation, WHOLE)
    assert representation.logvar is not None
    assert representation.notes[0] == "codes: array z of a.npz (600 x 2, float64)"
    assert any(note == "not read of a.npz: noise" for note in representation.notes)


def test_several_arrays_side_by_side(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=Z[:, 0], b=Z[:, 1:], shape=Y[:, 0], size=Y[:, 1])
    representation = read_codes(tmp_path / "a.npz", "shape, size", names={"codes": "a,b"})
    same(representation, WHOLE)
    assert representation.factor_names == ("shape", "size")


def test_held_out_rows_of_other_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=Z[:400], z_test=Z[400:], y_train=Y[:400], y_test=Y[400:])
    representation = read_codes(tmp_path / "a.npz", "y", names={"codes": "z"})
    assert len(representation) == 400
    assert representation.test is not None
    same(representation.test, Representation.of(codes=Z[400:], factors=Y[400:]))


@pytest.mark.parametrize("ending", ["npz", "h5", "csv", "parquet"])
def test_unseen_rows_are_marked_in_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    out, path = Y[:, 1] > 3, tmp_path / f"a.{ending}"
    if ending == "npz":
        np.savez(path, codes=Z, factors=Y, unseen=out, codes_test=Z, factors_test=Y)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file["codes"], file["factors"], file["unseen"] = Z, Y, out.astype(int)
    else:
        if ending == "parquet":
            pytest.importorskip("pyarrow")
        columns = {"codes_1": Z[:, 0], "codes_2": Z[:, 1], "factors_a": Y[:, 0], "unseen": out}
        frame = pandas.DataFrame({**columns, "factors_b": Y[:, 1]})
        frame["split"] = ["train"] * 500 + ["test"] * 100
        frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
        out = out[:500]
    r = read_codes(path)
    np.testing.assert_array_equal(r.unseen, out)
    assert any(note.startswith("unseen: ") for note in r.notes)
    assert (r.test is None) == (ending == "h5")


def test_marks_of_unseen_rows_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=Z, factors=Y, unseen=np.zeros(599, dtype=bool))
    with pytest.raises(RequestError, match=r"a.npz: numbers of rows differ \(.*unseen 599"):
        read_codes(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", codes=Z, factors=Y, unseen=Y[:, 1])
    with pytest.raises(RequestError, match="b.npz: unseen is not True or False in every row"):
        read_codes(tmp_path / "b.npz")


def test_unseen_rows_are_scored_by_default_where_they_are_marked(cli_here, tmp_path: Path) -> None:
    arrays = {"codes": Z[:, :1] + Z[:, 1:], "factors": Y}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **arrays, unseen=Y[:, 1] > 3)
    for name, listed in (("a.npz", False), ("b.npz", True)):
        said = cli_here("evaluate", str(tmp_path / name), "--json")
        found = json.loads(said.out)
        assert ("generalisation_boosted" in found) == listed
        assert ("generalisation_linear" in said.out + said.err) == listed
    said = cli_here("evaluate", str(tmp_path / "a.npz"), "--metrics", "mig,generalisation_linear")
    assert "no rows are marked as unseen" in said.out + said.err


def test_a_file_is_looked_for_before_a_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", codes=Z, factors=np.zeros_like(Y), **{"y.npz": np.ones_like(Y), "y": Y})
    np.savez("labels.npz", factors=Y, other=np.zeros_like(Y))
    np.savez("od:d.npz", factors=Y)
    np.savez("images.npz", images=np.zeros((9, 9)), latents_classes=Y)
    path = Path("a.npz")
    for factors in ("labels.npz", Path("labels.npz"), "od:d.npz", "images.npz:latents_classes"):
        codes = open_codes(path, factors)
        same(codes.representation, WHOLE)
        assert len(codes.digests) == 2
    codes = open_codes(path, "y")
    same(codes.representation, WHOLE)
    assert list(codes.digests) == [path]
    assert (read_codes(path, "y.npz").factors == 1).all()  # no such file, but such an array
    np.savez("y.npz", factors=Y)
    same(read_codes(path, "y.npz"), WHOLE)
    with pytest.raises(RequestError, match="--factors z.npz: no such file"):
        read_codes(path, "z.npz")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_other_names(tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    columns = {"z_0": Z[:, 0], "z_1": Z[:, 1], "zoom": 1.0, "shape": Y[:, 0], "size": Y[:, 1]}
    frame, path = pandas.DataFrame(columns), tmp_path / f"a.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    for codes in ("z", "z_0,z_1"):
        representation = read_codes(path, "shape,size", names={"codes": codes})
        same(representation, WHOLE)
        assert representation.factor_names == ("shape", "size")
        assert f"not read of a.{ending}: zoom" in representation.notes
    with pytest.raises(RequestError, match="no column 'absent': it has z_0"):
        read_codes(path, "shape", names={"codes": "absent"})
    with pytest.raises(RequestError, match="or name them with --codes and --factors"):
        read_codes(path)


def test_lists_in_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"codes": list(Z), "factors": list(Y), "split": ["train"] * 600})
    frame.to_parquet(tmp_path / "a.parquet")
    same(read_codes(tmp_path / "a.parquet"), WHOLE)
    frame = frame.assign(codes=[[[1.0, 2.0]] * 3] * 600)
    frame.to_parquet(tmp_path / "b.parquet")
    assert read_codes(tmp_path / "b.parquet").groups == (2, 2, 2)  # lists of lists are vectors


def test_codes_of_a_table_that_lack_values(tmp_path: Path) -> None:
    columns = {"codes_1": Z[:, 0], "codes_2": Z[:, 1], "factors_a": Y[:, 0]}
    frame = pandas.DataFrame(columns)
    frame.loc[:2, "codes_2"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(RequestError, match="column codes_2 lacks 3 of 600 values"):
        read_codes(tmp_path / "a.csv")


@pytest.mark.parametrize("ending", ["npz", "h5", "csv", "parquet"])
def test_labels_are_the_same_in_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    words, flags, signs = (
        np.array(["ball", "cube", "cone"])[Y[:, 0]],
        Y[:, 0] > 0,
        2 * (Y[:, 1] > 2),
    )
    columns = {"words": words, "flags": flags, "signs": signs - 1, "numbers": Z[:, 1]}
    path = tmp_path / f"a.{ending}"
    if ending == "npz":
        np.savez(path, codes=Z, **columns)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file["codes"] = Z
            for name, column in columns.items():
                file[name] = column.tolist() if name == "words" else column
    else:
        frame = pandas.DataFrame({"codes_1": Z[:, 0], "codes_2": Z[:, 1], **columns})
        if ending == "parquet":
            pytest.importorskip("pyarrow")
            frame = frame.convert_dtypes()
        frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
    representation = read_codes(path, ",".join(columns), {"signs": "categorical"})
    assert representation.factor_names == tuple(columns)
    kinds = ("categorical", "categorical", "categorical", "continuous")
    assert representation.factor_kinds == kinds
    classes = (np.unique(words, return_inverse=True)[1], flags, signs // 2)
    for column, expected in zip(representation.factors.T, classes, strict=False):
        np.testing.assert_array_equal(column, expected)


# groups


def h5(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def test_groups_of_an_h5_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    same(read_codes(h5(path, **{"model/codes": Z, "model/factors": Y})), WHOLE)
    h5(path, **{"model/z": Z, "data/y": Y})
    same(read_codes(path, "y", names={"codes": "model/z"}), WHOLE)
    halves = {"train/codes": Z[:400], "train/factors": Y[:400]}
    halves |= {"test/codes": Z[400:], "test/factors": Y[400:]}
    representation = read_codes(h5(path, **halves))
    assert representation.test is not None
    assert (len(representation), len(representation.test)) == (400, 200)
    h5(path, **{"a/codes": Z, "a/factors": Y, "b/codes": Z, "b/factors": Y})
    with pytest.raises(RequestError, match="the groups a, b: name those to read, such as --codes"):
        read_codes(path)
    same(read_codes(path, "b/factors", names={"codes": "b/codes"}), WHOLE)
    with pytest.raises(RequestError, match="'codes' may be a/codes or b/codes: name one"):
        read_codes(path, "b/factors", names={"codes": "codes"})


# what is refused


def test_files_that_point_at_others_or_claim_too_much(cli_here, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["factors"] = Y
        file["codes"] = h5py.ExternalLink("other.h5", "codes")
    said = cli_here("evaluate", str(path))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "array codes is a link to other.h5, and other files are never opened" in said.err
    with h5py.File(path, "w") as file:
        file["factors"] = Y
        file.create_dataset("codes", (10**12, 4), "f4", chunks=(1_000, 4))
    said = cli_here("evaluate", str(path))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "codes" in said.err


def test_rows_that_differ_are_noticed_before_anything_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=np.zeros((10**6, 3)), factors=Y)
    with pytest.raises(RequestError, match=r"rows differ \(codes 1,000,000, factors 600\)"):
        read_codes(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["x" * 300 + ".npz", "x/" * 3_000 + "a.npz", "a\nb.npz"])
def test_paths_that_cannot_be(cli_here, name: str) -> None:
    for arguments in ((name,), (name, "--into", "somewhere", "--name", "mine")):
        said = cli_here("evaluate", *arguments)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("ending", ["pt", "ckpt", "pth"])
@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_checkpoints_are_not_codes(cli_here, tmp_path: Path, ending: str, key: str) -> None:
    path = tmp_path / f"net.{ending}"
    torch.save({key: {"encoder.0.weight": torch.zeros(3, 3)}, "epoch": 3}, path)
    for more in ((), ("--dataset", "dsprites")):
        said = cli_here("evaluate", str(path), *more)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert f"holds weights under {key}, not codes" in said.err


def test_checkpoints_that_are_none(cli_here, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", bytes(10**8))
        file.writestr("b/data.pkl", b"")
    (tmp_path / "other.pt").write_bytes(b"PK\3\4")
    for name in ("net.pt", "other.pt"):
        said = cli_here("evaluate", str(tmp_path / name))
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "holds weights, not codes" in said.err


def test_what_is_larger_than_the_memory_later_on(cli_here, tmp_path: Path, monkeypatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    np.savez(tmp_path / "a.npz", codes=Z, factors=Y)
    with monkeypatch.context() as patch:
        patch.setattr("bench.evaluation.files.score", full)
        said = cli_here("evaluate", str(tmp_path / "a.npz"), "--metrics", "mig")
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert "mig: it needs more memory than there is" in said.err
    monkeypatch.setattr(Representation, "of", full)
    with pytest.raises(RequestError, match="too large for the memory"):
        read_codes(tmp_path / "a.npz")


# what was read


def test_what_was_read() -> None:
    factors = np.column_stack([Y, Y[:, 0]]).astype(float)
    factors[:10, 1] = np.nan
    representation = Representation.of(
        codes=np.column_stack([Z, np.zeros(600)]),
        factors=factors,
        factor_names=("shape", "size", "again"),
        factor_kinds=("categorical", "ordinal", "ordinal"),
        factor_sizes=(5, 6, 3),
    )
    read = what_was_read(representation)
    assert json.loads(json.dumps(read)) == read
    assert (read["rows"], read["held_out_rows"]) == (600, None)
    assert read["factors"]["shape"] == {
        "kind": "categorical",
        "classes": 5,
        "classes_that_occur": 3,
        "rows": 600,
        "rows_without_a_label": 0,
    }
    assert read["factors"]["size"]["rows_without_a_label"] == 10
    assert [latent["active"] for latent in read["latents"].values()] == [True, True, False]
    assert read["latents"]["z1"]["kl"] is None
    said = "\n".join(lines(read))
    for words in (
        "factor shape: categorical, 3 of 5 classes occur, 600 rows",
        "factor size: whole numbers, ordinal as given, 6 classes, 590 of 600 rows kept",
        "active: 2 of 3 latents, from a spread of 1% of the largest on; not z3",
        "posterior: none, the latents are points",
    ):
        assert words in said
    stored = replace(representation, notes=())  # as a run's representation is
    said = "\n".join(lines(what_was_read(stored)))
    assert "factor size: ordinal, 6 classes, 590 rows, 10 left out, as they have no label" in said
    assert "factor again: ordinal, 3 classes, 600 rows" in said


def test_what_was_read_of_a_posterior_and_of_held_out_rows() -> None:
    halves = [
        {"codes": Z[rows], "factors": Y[rows], "logvar": np.full_like(Z[rows], -3.0)}
        for rows in (slice(400), slice(400, None))
    ]
    representation = Representation.of(**halves[0], test=halves[1])  # type: ignore[arg-type]
    read = what_was_read(representation)
    assert representation.kl is not None
    assert [v["kl"] for v in read["latents"].values()] == representation.kl.tolist()
    assert read["factors"]["v1"]["rows"] == 600
    said = "\n".join(lines(read))
    assert "rows: 400 and 200 held out" in said
    assert "from a mean KL of 0.1 nats on" in said
    assert "posterior: log variances (logvar)" in said


def test_many_latents_and_factors_are_a_count_and_the_first_few() -> None:
    codes = RNG.normal(size=(50, 300)) * (np.arange(300) < 100)
    representation = Representation.of(codes=codes, factors=RNG.integers(0, 3, (50, 40)))
    said = list(lines(what_was_read(representation)))
    assert len(said) < 25
    assert "  and 25 more notes" in said
    stored = replace(representation, notes=())
    assert "  and 32 more factors" in lines(what_was_read(stored))
    (latents,) = (line for line in said if line.startswith("  active: 100 of 300 latents"))
    assert latents.endswith("z101, z102, z103, z104, z105, z106, z107, z108 and 192 more")


def test_names_that_a_terminal_would_obey(cli_here, tmp_path: Path) -> None:
    name = "a\x1b[31m\nb [bold]c[/bold]"
    np.savez(tmp_path / "a.npz", codes=Z, factors=Y, factor_names=[name, "size"], **{name: Z})
    said = cli_here("evaluate", str(tmp_path / "a.npz"), "--metrics", "mig")
    assert said.code == 0, said.err
    assert "\x1b" not in said.err
    assert "factor a\\x1b[31m b [bold]c[/bold]: whole numbers" in said.err


def test_the_block_is_on_stderr_in_the_json_and_in_the_record(cli_here, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=Z, factors=Y)
    command = ("evaluate", str(tmp_path / "a.npz"), "--metrics", "mig")
    said = cli_here(*command, "--json", "--output", str(tmp_path / "record.json"))
    assert said.err.startswith("What was read\n  rows: 600\n  codes: array codes of a.npz")
    assert "factor v1: whole numbers, taken as ordinal, 3 classes, all 600 rows kept" in said.err
    read = json.loads(said.out)["mig"]["read"]
    assert read == json.loads((tmp_path / "record.json").read_text())["read"]
    assert "codes: array codes of a.npz (600 x 2, float64)" in read["notes"]
    assert str(tmp_path) not in json.dumps(read)
    assert "What was read" not in cli_here(*command).out


# chance


def test_chance_is_the_score_against_shuffled_factors(cli_here, tmp_path: Path) -> None:
    few = slice(30)
    noise = np.random.default_rng(3).normal(size=(30, 20))
    np.savez(tmp_path / "a.npz", codes=noise, factors=Y[few])
    options = ("--metrics", "mig,betavae_score,total_correlation", "--chance")
    said = cli_here("evaluate", str(tmp_path / "a.npz"), *options, "--json")
    scores = json.loads(said.out)
    for name in ("mig", "betavae_score"):
        level = scores[name]["details"]["shuffled"]["value"]
        assert len(level["scores"]) == SHUFFLES
        assert level["max"] == max(level["scores"])
        assert level["mean"] == pytest.approx(np.mean(level["scores"]))
        is_chance = scores[name]["value"] <= level["max"]
        warnings = " ".join(scores[name].get("warnings", []))
        assert is_chance == ("may be chance" in warnings)
    assert "may be chance" in " ".join(scores["betavae_score"]["warnings"])
    assert "shuffled" not in scores["total_correlation"]["details"]
    assert (
        json.loads(cli_here("evaluate", str(tmp_path / "a.npz"), *options, "--json").out)["mig"][
            "details"
        ]
        == scores["mig"]["details"]
    )
    table = cli_here("evaluate", str(tmp_path / "a.npz"), *options).out
    level = scores["mig"]["details"]["shuffled"]["value"]
    assert f"{level['mean']:.3f} ({level['max']:.3f})" in table
    assert f"Shuffled: the mean and the largest score of the same codes against {SHUFFLES}" in table


def test_chance_of_good_codes_is_low_and_their_score_the_same(cli_here, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=Z, factors=Y)
    command = ("evaluate", str(tmp_path / "a.npz"), "--metrics", "mig,dci_fast", "--json")
    plain, with_chance = (json.loads(cli_here(*command, *more).out) for more in ((), ("--chance",)))
    for name in ("mig", "dci_fast"):
        assert with_chance[name]["value"] == plain[name]["value"]
        assert "shuffled" not in plain[name]["details"]
    levels = with_chance["dci_fast"]["details"]["shuffled"]
    assert set(levels) == {"value", *plain["dci_fast"]["parts"]}
    assert with_chance["mig"]["details"]["shuffled"]["value"]["max"] < 0.1


def test_a_row_of_a_study_keeps_what_was_read_and_chance(
    finished, cli_here, tmp_path: Path
) -> None:
    import shutil

    from bench.datasets import Toy

    study = shutil.copytree(finished.folder, tmp_path / "study")
    data = Toy(image_size=32)
    values = data.values(np.arange(len(data)))
    names = np.array([factor.name for factor in data.factors])
    np.savez(
        tmp_path / "mine.npz", z=values + 0.1, y=values, factor_names=names, factor_sizes=data.sizes
    )
    command = ["evaluate", str(tmp_path / "mine.npz"), "--codes", "z", "--factors", "y"]
    said = cli_here(*command, "--into", str(study), "--name", "mine", "--chance")
    assert said.code == 0, said.err
    assert said.err.startswith("What was read\n")
    (folder,) = (p.parent for p in study.glob("runs/*/read.json"))
    read = json.loads((folder / "read.json").read_text())
    assert list(read["factors"]) == names.tolist()
    assert f"codes: array z of mine.npz ({len(data)} x 4, float64)" in read["notes"]
    scores = json.loads((folder / "scores.json").read_text())
    assert all("value" in score["details"]["shuffled"] for score in scores.values())
    settings = (folder / "settings.json").read_text()
    assert os.fspath(tmp_path) not in settings  # reviews are double-blind
    assert os.fspath(tmp_path) not in (study / "table.tex").read_text()
