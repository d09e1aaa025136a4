"""The one reader of arrays: what it reads, and the one line with which it refuses the rest."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest

from bench.datasets import guarded
from bench.datasets.array_files import ArrayFileError, Table, memory, open_arrays

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(300, 4)).astype(np.float32)
FACTORS = RNG.integers(0, 3, (300, 2))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """The header of an npy file that may have nothing behind it."""
    buffer = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """An npz file with good codes and factors, unless other bytes are given for them."""
    content = {"codes": npy(CODES), "factors": npy(FACTORS), **members}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in content.items():
            file.writestr(f"{name}.npy", data)
    return path


def refused(path: Path, name: str | None = None) -> str:
    """The one line with which a file, or an array of it, is refused."""
    with pytest.raises(ArrayFileError) as caught, open_arrays(path) as file:
        file.read(file.names[0] if name is None else name)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# what is read


def test_npz_arrays_of_every_plain_kind(tmp_path: Path) -> None:
    content = {
        "codes": CODES,
        "fortran": np.asfortranarray(CODES),
        "words": np.array(["a", "bb"]),
        "empty_words": np.array([""]),
        "none": np.zeros((0, 3)),
        "single": np.float64(3),
        "flags": np.array([True, False]),
        "cube": np.arange(24).reshape(2, 3, 4),
        "fortran_cube": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **content)
        with open_arrays(tmp_path / "a.npz") as file:
            assert file.names == tuple(content)
            for name, array in content.items():
                np.testing.assert_array_equal(file.read(name), array)
                assert file.header(name) == (np.shape(array), np.asarray(array).dtype)
            np.testing.assert_array_equal(np.concatenate([*file.blocks("codes")]), CODES)


def test_h5_arrays_in_groups_and_behind_links_of_the_same_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train/z"] = CODES
        file.create_dataset("packed", data=CODES, compression="gzip")
        file["words"] = ["a", "bb"]
        file["fixed"] = np.array([b"a", b"bb"])
        file["link"] = h5py.SoftLink("/train/z")
        file["train/near"] = h5py.SoftLink("z")
        file["train/itself"] = file["train"]
    with open_arrays(tmp_path / "a.h5") as file:
        assert set(file.names) == {"fixed", "link", "packed", "train/near", "train/z", "words"}
        for name in ("train/z", "packed", "link", "train/near"):
            np.testing.assert_array_equal(file.read(name), CODES)
            np.testing.assert_array_equal(np.concatenate([*file.blocks(name)]), CODES)
        for name in ("words", "fixed"):
            assert file.read(name).tolist() == ["a", "bb"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_tables(tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {"z": CODES[:, 0].astype(float), "word": ["a", "b", None] * 100, "k": FACTORS[:, 0]}
    )
    path = tmp_path / f"a.{ending}"
    frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
    with open_arrays(path) as file:
        assert isinstance(file, Table)
        assert {"z", "word", "k"} <= set(file.names)
        np.testing.assert_allclose(file.read("z"), frame["z"])
        np.testing.assert_array_equal(np.concatenate([*file.blocks("k")]), FACTORS[:, 0])
        table = file.frame(["word", "z"])
        assert list(table) == ["word", "z"]
        assert table["word"].isna().sum() == 100


def test_lists_and_nullable_types_of_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "codes": list(CODES),
            "slots": [[[1, 2], [3, 4], [5, 6]]] * 300,
            "nullable": pandas.array([1.5, None, 2.5] * 100, dtype="Float64"),
            "whole": pandas.array([1, 2, 3] * 100, dtype="Int64"),
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    with open_arrays(tmp_path / "a.parquet") as file:
        np.testing.assert_array_equal(file.read("codes"), CODES)
        assert file.read("slots").shape == (300, 3, 2)
        assert np.isnan(file.read("nullable")).sum() == 100
        assert file.read("whole").dtype == np.int64


# what nobody reads does no harm


def test_arrays_that_nobody_reads_are_not_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    path = archive(
        tmp_path / "a.npz",
        pickle=npy(np.array([Evil()], dtype=object)),
        huge=header((10**12, 4)),
        rubbish=b"no array at all",
    )
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readme.txt", "hello")
    with open_arrays(path) as file:
        np.testing.assert_array_equal(file.read("codes"), CODES)
    for name, message in {
        "pickle": "is a pickle, which is never opened",
        "huge": "declares float32 (1000000000000, 4), but the file holds 0 bytes",
        "rubbish": "is not an array",
        "readme.txt": "is not an array",
        "absent": "has no array 'absent': it has codes, factors, pickle",
    }.items():
        assert message in refused(path, name)
    assert not (tmp_path / "touched").exists()


# sizes are checked before they are believed


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ((10**12, 2), "<f4"),
        ((10**30,), "<f4"),
        ((2**32, 2**32), "|u1"),
        ((3,), "<U400000000"),
        ((-1, 4), "<f4"),
        ((10**13,), "|S0"),
        ((0, 10**13), "<f4"),
    ],
)
def test_npz_headers_that_lie(tmp_path: Path, shape: tuple[int, ...], descr: str) -> None:
    path = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, codes=header(shape, descr) + bytes(64))
    message = refused(path)
    assert "array codes" in message
    assert "declares" in message or "of memory" in message


def test_an_array_beyond_the_memory_is_refused_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    rows = memory() // 16 + 1
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("codes.npy", "w", force_zip64=True) as member,
    ):
        member.write(header((rows, 4)) + bytes(2**20))
    # the directory is changed to declare as much as the header does
    data, size = bytearray(path.read_bytes()), 16 * rows + len(header((rows, 4)))
    start = data.find(b"PK\1\2")
    data[start + 24 : start + 28] = struct.pack("<I", min(size, 2**32 - 2))
    path.write_bytes(data)
    assert "declares" in refused(path)


def test_the_limit_counts_all_that_is_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(guarded, "memory", lambda: 2 * (CODES.nbytes + 100))
    with open_arrays(archive(tmp_path / "a.npz")) as file:
        file.read("codes")
        with pytest.raises(ArrayFileError, match="array factors .* GB of memory"):
            file.read("factors")
        with pytest.raises(ArrayFileError, match="array factors .* GB of memory"):
            file.read("factors")
    frame = pandas.DataFrame({"z": CODES[:, 0]})
    frame.to_csv(tmp_path / "a.csv")
    monkeypatch.setattr(guarded, "memory", lambda: 5_000)
    assert "the table would take" in refused(tmp_path / "a.csv", "z")


def test_h5_data_sets_that_declare_more_than_there_is(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("chunked", (10**12, 4), "f4", chunks=(1_000, 4))
        file.create_dataset("packed", (10**12, 4), "f4", chunks=(1_000, 4), compression="gzip")
        file["packed"][:1_000] = 1
        file.create_dataset("plain", (10**12, 4), "f4")
    for name in ("chunked", "packed", "plain"):
        assert "declares float32 (1000000000000, 4), but" in refused(tmp_path / "a.h5", name)


def test_parquet_columns_beyond_the_memory(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("pyarrow")
    # as many rows as one pleases fit into a file of a few bytes
    pandas.DataFrame({"z": np.zeros(10**6)}).to_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    monkeypatch.setattr(guarded, "memory", lambda: 10**7)
    assert "column z of 1,000,000 rows would take 0.0 GB" in refused(tmp_path / "a.parquet")


# an h5 file may not point elsewhere


def test_h5_files_that_point_at_others(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["z"] = CODES
    (tmp_path / "secret").write_bytes(bytes(400))
    layout = h5py.VirtualLayout((300, 4), "f4")
    layout[:] = h5py.VirtualSource(other, "z", (300, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(other, "z")
        file["group"] = h5py.ExternalLink(other, "/")
        file["through"] = h5py.SoftLink("/group/z")
        file.create_dataset("raw", (100,), "f4", external=[(tmp_path / "secret", 0, 400)])
        file.create_virtual_dataset("virtual", layout)
    expected = {"link": other, "through": other, "raw": tmp_path / "secret", "virtual": other}
    for name, target in expected.items():
        message = refused(tmp_path / "a.h5", name)
        assert str(target) in message
        assert "other files are never opened" in message


def test_h5_links_that_lead_nowhere_and_things_that_are_no_arrays(tmp_path: Path) -> None:
    ragged = np.array([np.arange(3), np.arange(2)], dtype=object)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["loop"] = h5py.SoftLink("/loop")
        file["ping"], file["pong"] = h5py.SoftLink("/pong"), h5py.SoftLink("/ping")
        file["longer"] = h5py.SoftLink("/longer/longer/longer")
        file["dangling"] = h5py.SoftLink("/absent")
        file["codes"] = CODES
        file["below"] = h5py.SoftLink("/codes/x")
        file["type"] = np.dtype("f4")
        file["empty"] = h5py.Empty("f4")
        file["records"] = np.zeros(3, [("a", "i4")])
        file["wrong_text"] = np.array([b"\xff\xfe", b"b"])
        file.create_dataset("ragged", data=ragged, dtype=h5py.vlen_dtype("i4"))
        file.create_dataset("reference", data=file["codes"].ref, dtype=h5py.ref_dtype)
    with open_arrays(tmp_path / "a.h5") as file:
        names = set(file.names) - {"codes"}
    assert len(names) == 12
    for name in names:
        assert name in refused(tmp_path / "a.h5", name)


# damage, encryption and the like


def changed(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def encrypted(data: bytearray) -> None:
    data[data.find(b"PK\1\2") + 8] |= 1
    data[data.find(b"PK\3\4") + 6] |= 1


def unknown_compression(data: bytearray) -> None:
    data[data.find(b"PK\1\2") + 10] = 99


def broken_directory(data: bytearray) -> None:
    data[data.find(b"PK\1\2")] ^= 0xFF


def wrong_checksum(data: bytearray) -> None:
    data[data.find(b"PK\1\2") - 1] ^= 0xFF  # the last byte of the last array
    data[data.find(b"NUMPY") + 500] ^= 0xFF


@pytest.mark.parametrize(
    "change", [encrypted, unknown_compression, broken_directory, wrong_checksum]
)
def test_archives_that_zipfile_refuses(tmp_path: Path, change) -> None:
    assert "a.npz" in refused(changed(archive(tmp_path / "a.npz"), change))


def test_headers_that_no_parser_survives(tmp_path: Path) -> None:
    def written(text: str, version: bytes = b"\1\0") -> bytes:
        size = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
        return b"\x93NUMPY" + version + size + text.encode()

    deep = "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 3_000 + ")" * 3_000 + "}"
    cases = [
        written(deep),
        written("{" * 9_000),
        written("{'descr': 'x', 'fortran_order': False, 'shape': (1,)}"),
        written("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"\3\0"),
        written("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"\2\0") + b"\1\2",
        b"\x93NUMPY\2\0\xff\xff\xff\xff",
        b"\x93NUMPY",
        b"",
    ]
    for content in cases:
        assert "array codes" in refused(archive(tmp_path / "a.npz", codes=content))


def test_an_array_with_more_than_its_header_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", codes=npy(CODES) + b"more")
    assert "has more than its header declares" in refused(path)


def test_names_that_occur_twice(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("codes.npy", npy(CODES))
    assert "has the array codes twice" in refused(path)
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    assert "has the column a twice" in refused(tmp_path / "a.csv", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"a,b\n1,2,3\n", "it names 2 columns, and has 3"),
        (b"a,b\n1,2\n4,5,6\n", "not a readable table"),
        (b"a,\xff\n1,2\n", "not a readable table"),
        (b"a,b\n1,\xff\n", "not a readable table"),
        (b'a,b\n1,"2\n', "not a readable table"),
        (b"a," + b"b" * 200_000 + b"\n1,2\n", "not a readable table"),
    ],
)
def test_csv_files_that_are_no_table(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(text)
    assert message in refused(tmp_path / "a.csv", "a")


def test_csv_files_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf,a,a b\r\n0,1.5,x\r\n1,,y\r\n")
    with open_arrays(tmp_path / "a.csv") as file:
        assert file.names == ("", "a", "a b")
        np.testing.assert_array_equal(file.read("a"), [1.5, np.nan])
        assert list(file.read("a b")) == ["x", "y"]


def test_columns_of_parquet_that_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "struct": [{"a": 1}] * 3,
            "ragged": [[1, 2], [1], [1, 2]],
            "words": [["a"]] * 3,
            "gap": [[1.0], None, [2.0]],
            "bytes": [b"x"] * 3,
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    for name, message in {
        "struct": "column struct holds struct<a: int64>",
        "ragged": "array ragged holds lists of 1 to 2 values",
        "words": "array words holds lists of string",
        "gap": "array gap lacks a list in 1 rows",
        "bytes": "column bytes holds binary",
    }.items():
        assert message in refused(tmp_path / "a.parquet", name)
    with open_arrays(tmp_path / "a.parquet") as file:
        assert isinstance(file, Table)
        with pytest.raises(ArrayFileError, match="column ragged holds list"):
            file.frame(["ragged"])


def test_json_in_parquet_is_not_parsed(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table({"z": [1.0, 2.0]})
    deep = b"[" * 100_000 + b"]" * 100_000
    parquet.write_table(table.replace_schema_metadata({"pandas": deep}), tmp_path / "a.parquet")
    with open_arrays(tmp_path / "a.parquet") as file:
        assert file.read("z").tolist() == [1, 2]


def test_paths_that_name_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "circle.npz").symlink_to(tmp_path / "circle.npz")
    for name, message in {
        "absent.npz": "no such file",
        "x" * 300 + ".npz": "no such file",
        "/".join(["x" * 100] * 60) + ".csv": "no such file",
        "folder.npz": "not a file",
        "pipe.csv": "not a file",
        "circle.npz": "no such file",
        "codes.txt": "arrays are read from .npz, .h5, .hdf5, .csv, .parquet files",
    }.items():
        assert message in refused(tmp_path / name)


# whatever else may be wrong


@pytest.mark.parametrize("ending", ["npz", "h5", "csv", "parquet"])
def test_changed_bytes_are_read_or_refused_in_one_line(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    frame = pandas.DataFrame({"codes": CODES[:, 0], "factors": FACTORS[:, 0]})
    if ending == "npz":
        np.savez_compressed(path, codes=CODES, factors=FACTORS)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file["codes"], file["factors"] = CODES, FACTORS
    elif ending == "csv":
        frame.to_csv(path)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    whole, rng, outcomes = path.read_bytes(), np.random.default_rng(1), set()
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(len(data))) :]
        else:
            for position in rng.integers(len(data), size=int(rng.integers(1, 20))):
                data[position] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            with open_arrays(path) as file:
                for name in ("codes", "factors"):
                    file.read(name)
            outcomes.add("read")
        except ArrayFileError as error:
            outcomes.add(str(error))
    refusals = outcomes - {"read"}
    assert refusals or ending == "csv"
    assert all("\n" not in line and str(path) in line for line in refusals)
