"""Small NORB: small files in the official binary layout, good and bad ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import Factor, MissingFileError, SmallNORB, smallnorb
from bench.datasets.smallnorb import PARTS, TESTING, TRAINING, file_name
from tests.datasets.conftest import assert_travels_light, make_official, prepared, refusal

FACTORS = (
    Factor("category", 2, "categorical", (0.0, 1.0)),
    Factor("instance", 4, "categorical", (0.0, 1.0, 2.0, 3.0)),
    Factor("elevation", 2, "ordinal", (30.0, 35.0)),
    Factor("azimuth", 3, "cyclic", (0.0, 20.0, 40.0)),
    Factor("lighting", 2, "categorical", (0.0, 1.0)),
)
SIZES = (2, 4, 2, 3, 2)
COUNT = 96
INSTANCES = ((1, 3), (0, 2))  # of the training and the testing part


def norb(array: np.ndarray) -> bytes:
    """Little-endian: a magic number, the axes, at least three lengths, and the values."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54, "float32": 0x1E3D4C51}[array.dtype.name]
    lengths = [*array.shape, 1, 1][: max(3, array.ndim)]
    return struct.pack(f"<ii{len(lengths)}i", magic, array.ndim, *lengths) + array.tobytes()


def made() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays of the six files by name, and the left images in the order of the grid."""
    rng = np.random.default_rng(0)
    values = np.stack(np.unravel_index(np.arange(COUNT), SIZES), axis=1).astype("<i4")
    stereo = rng.integers(0, 256, (COUNT, 2, 96, 96), dtype=np.uint8)
    arrays = {}
    for part, instances in zip(PARTS, INSTANCES, strict=True):
        # The files are not sorted.
        rows = rng.permutation(np.flatnonzero(np.isin(values[:, 1], instances)))
        info = values[rows, 1:].copy()
        info[:, 2] *= 2
        arrays[file_name(part, "dat")] = stereo[rows]
        arrays[file_name(part, "cat")] = values[rows, 0].copy()
        arrays[file_name(part, "info")] = info
    return arrays, stereo[:, 0]


def write(folder: Path, contents: dict[str, bytes], monkeypatch) -> None:
    """Write the files, and make them the official ones."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    make_official(monkeypatch, SmallNORB, *(folder / name for name in contents))


def packed(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: gzip.compress(norb(array), mtime=0) for name, array in arrays.items()}


@pytest.fixture
def folder(data_folder, monkeypatch) -> Path:
    """A small official set, and a grid to match."""
    monkeypatch.setattr(smallnorb, "FACTORS", FACTORS)
    monkeypatch.setattr(smallnorb, "_BLOCK", 7)
    folder = data_folder / "smallnorb"
    folder.mkdir()
    write(folder, packed(made()[0]), monkeypatch)
    return folder


def test_rows_are_the_grid_of_both_parts(folder) -> None:
    data = SmallNORB(image_size=96)
    assert (len(data), data.training, data.sizes) == (COUNT, COUNT, SIZES)
    rows = np.random.default_rng(1).permutation(COUNT)
    np.testing.assert_array_equal(data.images(rows)[:, 0], made()[1][rows])
    np.testing.assert_array_equal(data.rows(data.values(rows)), rows)
    assert data.fingerprint.endswith(":96x96")
    assert str(folder) in data.source


def test_other_sizes_are_resized(folder) -> None:
    small = SmallNORB().images(range(COUNT))
    assert small.shape == (COUNT, 1, 64, 64)
    original = Image.fromarray(made()[1][50])
    expected = original.resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(small[50, 0], expected)


def test_the_official_grid() -> None:
    names = {f.name: (f.size, f.kind) for f in smallnorb.FACTORS}
    assert names == {
        "category": (5, "categorical"),
        "instance": (10, "categorical"),
        "elevation": (9, "ordinal"),
        "azimuth": (18, "cyclic"),
        "lighting": (6, "categorical"),
    }
    assert np.prod([f.size for f in smallnorb.FACTORS]) == 2 * 24_300
    assert smallnorb.FACTORS[2].values[-1] == 70
    assert smallnorb.FACTORS[3].values[-1] == 340


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"smallnorb: image_size must be 28 to 128, not {size}"):
        SmallNORB(image_size=size)


def test_missing_files_are_named(folder) -> None:
    name = file_name(TESTING, "cat")
    (folder / name).unlink()
    with pytest.raises(MissingFileError, match=f"{name} is missing") as caught:
        SmallNORB()
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def refused(path: Path, cache_folder: Path, complaint: str) -> None:
    message = refusal(SmallNORB, complaint)
    assert message.startswith(f"smallnorb: {path} ")
    assert "fetch the official file again" in message
    assert not prepared(cache_folder)


@pytest.mark.parametrize("kind", ["dat", "cat", "info"])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[:-1], "is truncated"),
        (lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], "another file"),
        (lambda whole: whole + b"more", "another file"),
        (lambda whole: b"<html>Not found</html>", "is a web page"),
    ],
)
def test_other_checksums_are_refused(folder, cache_folder, kind, damage, complaint) -> None:
    path = folder / file_name(TESTING, kind)
    path.write_bytes(damage(path.read_bytes()))
    refused(path, cache_folder, complaint)


def test_swapped_files_are_refused(folder, cache_folder) -> None:
    first, second = (folder / file_name(TRAINING, kind) for kind in ("cat", "info"))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(ValueError, match="is truncated|another file"):
        SmallNORB()
    assert not prepared(cache_folder)


def _training(kind: str) -> str:
    return file_name(TRAINING, kind)


def _one_view_twice(arrays):
    arrays[_training("info")][0] = arrays[_training("info")][1]
    arrays[_training("cat")][0] = arrays[_training("cat")][1]


def _azimuth_between(arrays):
    arrays[_training("info")][3, 2] = 1


def _class_outside(arrays):
    arrays[_training("info")][3, 3] = 9


def _fewer_images(arrays):
    arrays[_training("dat")] = arrays[_training("dat")][:-1]


def _more_images(arrays):
    arrays[_training("dat")] = np.repeat(arrays[_training("dat")], 2, axis=0)


def _fewer_labels(arrays):
    arrays[_training("cat")] = arrays[_training("cat")][:-1]


def _other_type(arrays):
    arrays[_training("info")] = arrays[_training("info")].astype("<f4")


def _labels_for_images(arrays):
    arrays[_training("dat")] = arrays[_training("info")]


@pytest.mark.parametrize(
    ("change", "kind", "complaint"),
    [
        (_one_view_twice, "info", "do not make up the grid"),
        (_azimuth_between, "info", "azimuth between the views"),
        (_class_outside, "info", "class that does not exist"),
        (_fewer_images, "dat", r"holds uint8 \(47, 2, 96, 96\), not uint8 \(48, 2, 96, 96\)"),
        (_more_images, "dat", r"holds uint8 \(96, 2, 96, 96\)"),
        (_fewer_labels, "cat", r"holds int32 \(47,\), not int32 \(48,\)"),
        (_other_type, "info", "is no NORB file of bytes or integers"),
        (_labels_for_images, "dat", r"holds int32 \(48, 4\), not uint8"),
    ],
)
def test_other_content_is_refused(
    folder, cache_folder, monkeypatch, change, kind, complaint
) -> None:
    arrays = made()[0]
    change(arrays)
    write(folder, packed(arrays), monkeypatch)
    refused(folder / _training(kind), cache_folder, complaint)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda plain: gzip.compress(plain)[:-20], "is damaged"),
        (lambda plain: gzip.compress(plain[:-5]), "is damaged .*ends early"),
        (lambda plain: gzip.compress(plain[:6]), "is damaged .*ends early"),
        (lambda plain: gzip.compress(plain + b"\0"), "goes on after its last value"),
        (lambda plain: plain, "is damaged .*gzip"),
        (lambda plain: gzip.compress(b"MATLAB 5.0 MAT-file" + plain), "is no NORB file"),
    ],
)
@pytest.mark.parametrize("kind", ["dat", "cat", "info"])
def test_damage_below_the_checksum_is_refused(
    folder, cache_folder, monkeypatch, kind, damage, complaint
) -> None:
    arrays, _ = made()
    contents = packed(arrays)
    contents[_training(kind)] = damage(norb(arrays[_training(kind)]))
    write(folder, contents, monkeypatch)
    refused(folder / _training(kind), cache_folder, complaint)


def test_it_travels_light_to_another_process(folder, monkeypatch, tmp_path) -> None:
    data = SmallNORB(image_size=32, data_dir=folder)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(smallnorb, "_blocks", None)  # prepared once
    assert_travels_light(data)
