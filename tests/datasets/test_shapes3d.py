"""3D Shapes: small files in the layout of the official one, good and bad ones."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from bench.datasets import DATASETS, Factor, MissingFileError, Shapes3D, blocks, cache, shapes3d
from tests.datasets.conftest import (
    assert_travels_light,
    checksum_of,
    make_official,
    prepared,
    refusal,
)

FACTORS = (
    Factor("floor_hue", 2, "cyclic", (0.0, 0.1)),
    *shapes3d.FACTORS[3:5],
    Factor("orientation", 3, "ordinal", (-30.0, 0.0, 30.0)),
)
SIZES = (2, 8, 4, 3)
COUNT = 192


def official_arrays() -> dict[str, np.ndarray]:
    classes = np.unravel_index(np.arange(COUNT), SIZES)
    labels = [np.array(f.values)[c] for f, c in zip(FACTORS, classes, strict=True)]
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 64, 64, 3), dtype=np.uint8)
    return {"images": images, "labels": np.stack(labels, axis=1)}


def write(path: Path, arrays: dict[str, np.ndarray], monkeypatch) -> None:
    """Write arrays in the official layout: packed, in chunks over many images and few pixels."""
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            chunks = (50, 3, 4, 1) if array.ndim == 4 else (60, 1)
            file.create_dataset(key, data=array, chunks=chunks, compression="gzip")
    make_official(monkeypatch, Shapes3D, path)


@pytest.fixture
def path(data_folder, monkeypatch) -> Path:
    """A small official file, and a grid to match."""
    monkeypatch.setattr(shapes3d, "FACTORS", FACTORS)
    monkeypatch.setattr(blocks, "_BLOCK", 60 * 32)  # several of labels, and of images
    path = data_folder / "shapes3d" / "3dshapes.h5"
    path.parent.mkdir()
    write(path, official_arrays(), monkeypatch)
    return path


def test_images_and_labels_are_those_of_the_file(path) -> None:
    data = Shapes3D()
    assert (len(data), data.training, data.image_shape) == (COUNT, COUNT, (3, 64, 64))
    rows = np.random.default_rng(1).permutation(COUNT)
    arrays = official_arrays()
    np.testing.assert_array_equal(data.images(rows), arrays["images"][rows].transpose(0, 3, 1, 2))
    values = [np.array(f.values)[c] for f, c in zip(FACTORS, data.values(rows).T, strict=True)]
    np.testing.assert_allclose(np.stack(values, axis=1), arrays["labels"][rows])
    np.testing.assert_array_equal(data.rows(data.values(rows)), rows)
    assert str(path) in data.source
    assert data.fingerprint == f"shapes3d:sha256:{checksum_of(Shapes3D)[:16]}:64x64"
    with pytest.raises(IndexError, match=f"row {COUNT} is outside"):
        data.images([COUNT])


def test_small_images_are_means_of_two_by_two(path) -> None:
    images = official_arrays()["images"].astype(float)
    means = images.reshape(COUNT, 32, 2, 32, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    small = Shapes3D(image_size=32)
    assert small.image_shape == (3, 32, 32)
    np.testing.assert_array_equal(small.images(range(COUNT)), np.floor(means + 0.5))
    assert small.fingerprint.endswith(":32x32")
    with pytest.raises(ValueError, match="image_size must be 32 or 64, not 48"):
        Shapes3D(image_size=48)


def test_the_file_is_unpacked_once_for_each_size(path, cache_folder, monkeypatch) -> None:
    for size in (64, 32):
        Shapes3D(image_size=size)
    assert len(prepared(cache_folder)) == 2
    monkeypatch.setattr(shapes3d, "_blocks", None)
    np.testing.assert_array_equal(
        Shapes3D().images([5]), official_arrays()["images"][[5]].transpose(0, 3, 1, 2)
    )


def test_it_travels_to_a_process_in_another_folder(path, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    data = Shapes3D(data_dir="data", image_size=32)
    received = assert_travels_light(data)
    np.testing.assert_array_equal(received.images([7]), data.images([7]))


def test_the_real_factors() -> None:
    factors = {f.name: f for f in shapes3d.FACTORS}
    assert [f.size for f in shapes3d.FACTORS] == [10, 10, 10, 8, 4, 15]
    assert factors["wall_hue"].values[-1] == 0.9
    assert factors["scale"].values[::7] == (0.75, 1.25)
    assert factors["orientation"].values[::7] == (-30, 0, 30)
    assert DATASETS["shapes3d"] is Shapes3D


def test_a_missing_file(path) -> None:
    path.unlink()
    with pytest.raises(
        MissingFileError, match=r"3dshapes.h5 is missing: put it into .*data/shapes3d"
    ):
        Shapes3D()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[:-10], "is truncated: it has [0-9,]+ of [0-9,]+ bytes"),
        (lambda whole: b"<html>Too many requests</html>", "is a web page"),
        (lambda whole: whole[:-10] + b"0123456789", "another file: its sha256 is"),
    ],
)
def test_another_file_is_refused(path, cache_folder, damage, complaint) -> None:
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(Shapes3D, complaint)
    assert str(path) in message
    assert "fetch the official file again" in message
    assert prepared(cache_folder) == []


def _classes_for_labels(arrays):
    arrays["labels"] = np.stack(np.unravel_index(np.arange(COUNT), SIZES), axis=1).astype(float)


def _other_order(arrays):
    arrays["labels"][[COUNT - 2, COUNT - 1]] = arrays["labels"][[COUNT - 1, COUNT - 2]]


def _fewer_labels(arrays):
    arrays["labels"] = arrays["labels"][:-1]


def _fewer_images(arrays):
    arrays["images"] = arrays["images"][:-1]


def _channels_first(arrays):
    arrays["images"] = arrays["images"].transpose(0, 3, 1, 2)


def _floats(arrays):
    arrays["images"] = arrays["images"].astype(np.float32)


def _other_keys(arrays):
    arrays["imgs"] = arrays.pop("images")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_classes_for_labels, "in another order"),
        (_other_order, "in another order"),
        (_fewer_labels, r"'labels' as float64 \(191, 4\), not float64 \(192, 4\)"),
        (_fewer_images, r"'images' as uint8 \(191, 64, 64, 3\), not uint8 \(192, 64, 64, 3\)"),
        (_channels_first, r"'images' as uint8 \(192, 3, 64, 64\)"),
        (_floats, "'images' as float32"),
        (_other_keys, "no array 'images'"),
    ],
)
def test_other_content_is_refused(path, cache_folder, monkeypatch, change, complaint) -> None:
    arrays = official_arrays()
    change(arrays)
    write(path, arrays, monkeypatch)
    assert str(path) in refusal(Shapes3D, complaint)
    assert prepared(cache_folder) == []


def test_chunks_that_rot_after_the_checksum_are_refused(path, cache_folder, monkeypatch) -> None:
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(file["images"].id.get_num_chunks() - 1)
    whole = bytearray(path.read_bytes())
    whole[chunk.byte_offset + 10] ^= 255
    path.write_bytes(whole)
    make_official(monkeypatch, Shapes3D, path)
    refusal(Shapes3D, "is damaged")
    assert prepared(cache_folder) == []


def test_a_full_disk_is_reported_with_its_remedy(path, cache_folder, monkeypatch) -> None:
    monkeypatch.setattr(cache, "SMALL", 0)
    usage = type(shutil.disk_usage("."))
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: usage(9, 8, 1))
    with pytest.raises(ValueError, match=r"needs 2\.4 MB in .*cache, 0\.0 MB free: free some"):
        Shapes3D()
    assert prepared(cache_folder) == []
