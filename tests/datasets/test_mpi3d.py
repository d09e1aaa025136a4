"""MPI3D: small files in the layout of the official ones, good and bad ones."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import DATASETS, MissingFileError, mpi3d
from tests.datasets.conftest import assert_travels_light, make_official, prepared, refusal

SETS = ("mpi3d_toy", "mpi3d_realistic", "mpi3d_real", "mpi3d_complex")
SMALL = (4, 4, 2, 3, 1, 2, 1)
LARGE = (6, 6, 2, 3, 1, 2, 1)
GRIDS = {432: LARGE, 192: SMALL}


def official_images(name: str) -> np.ndarray:
    """As many and as bright as they should be, and another for each set."""
    entry = DATASETS[name].entry
    count = entry.counts[0]
    mean = np.array(entry.published.mean if entry.published else (0.2, 0.2, 0.2)) * 255
    rng = np.random.default_rng(SETS.index(name))
    pixels = rng.integers(-20, 21, (count, 64, 64, 3)) + rng.random((count, 64, 64, 3)) + mean
    return pixels.astype(np.uint8)


def write(path: Path, images: np.ndarray, key: str = "images", packed: bool = True) -> str:
    """Write images as numpy.savez does; the md5."""
    path.parent.mkdir(exist_ok=True)
    (np.savez_compressed if packed else np.savez)(path, **{key: images})
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def folder(data_folder, monkeypatch) -> Path:
    """A data folder, and grids of a few images."""
    monkeypatch.setattr(mpi3d, "GRIDS", GRIDS)
    small = dict(zip((1_036_800, 460_800), GRIDS, strict=True))
    for name in SETS:
        entry = DATASETS[name].entry
        counts = tuple(small[count] for count in entry.counts)
        monkeypatch.setattr(DATASETS[name], "entry", replace(entry, counts=counts))
    return data_folder


@pytest.fixture
def real(folder, monkeypatch) -> Path:
    """The file of the real images."""
    path = folder / "mpi3d_real" / "mpi3d_real.npz"
    write(path, official_images("mpi3d_real"))
    make_official(monkeypatch, DATASETS["mpi3d_real"], path)
    return path


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", SETS)
def test_each_set_has_the_images_of_its_file(folder, monkeypatch, name, packed) -> None:
    images = official_images(name)
    path = folder / name / DATASETS[name].entry.files[0].name
    write(path, images, packed=packed)
    make_official(monkeypatch, DATASETS[name], path)
    data = DATASETS[name]()
    assert data.sizes == GRIDS[len(images)]
    assert len(data) == len(images)
    rows = np.random.default_rng(1).permutation(len(images))[:100]
    np.testing.assert_array_equal(data.images(rows), images[rows].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.rows(data.values(rows)), rows)
    assert str(path) in data.source
    origin = "file of unknown checksum" if name == "mpi3d_complex" else "official file"
    assert data.source.startswith(f"{name}, {origin}")
    small = DATASETS[name](image_size=32)
    means = images[rows].astype(float).reshape(100, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(small.images(rows), np.floor(means + 0.5).transpose(0, 3, 1, 2))
    assert len({data.fingerprint, small.fingerprint}) == 2


def test_the_factors_in_their_order(real) -> None:
    data = DATASETS["mpi3d_real"]()
    assert [f.name for f in data.factors] == [
        "object_color",
        "object_shape",
        "object_size",
        "camera_height",
        "background_color",
        "horizontal_axis",
        "vertical_axis",
    ]
    np.testing.assert_array_equal(data.values([1])[0], [0, 0, 0, 0, 0, 1, 0])
    assert data.factors[1].labels[3] == "hexagonal"
    assert data.factors[5].labels == ()


def test_the_published_numbers_of_images_are_the_grids(monkeypatch) -> None:
    monkeypatch.undo()
    assert all(np.prod(sizes) == count for count, sizes in mpi3d.GRIDS.items())
    assert DATASETS["mpi3d_real"].entry.counts == (1_036_800,)
    assert DATASETS["mpi3d_complex"].entry.counts == (460_800,)


def test_an_early_file_of_fewer_images_has_a_smaller_grid(folder) -> None:
    images = official_images("mpi3d_toy")[:192]
    write(folder / "mpi3d_toy.npz", images)
    with pytest.warns(UserWarning, match="md5"):
        data = DATASETS["mpi3d_toy"]()
    assert data.sizes == SMALL
    assert data.factors[0].labels == ()
    np.testing.assert_array_equal(data.images([191]), images[[191]].transpose(0, 3, 1, 2))


def test_another_checksum_is_a_warning_where_the_colours_are_right(folder) -> None:
    md5 = write(folder / "mpi3d_real.npz", official_images("mpi3d_real"))
    with pytest.warns(UserWarning, match=f"has the md5 {md5}, not 0f33f609918f"):
        data = DATASETS["mpi3d_real"]()
    assert "unknown checksum" in data.source
    assert md5 in data.fingerprint


def test_another_checksum_and_other_colours_are_refused(folder, cache_folder) -> None:
    images = official_images("mpi3d_toy")
    write(folder / "mpi3d_real.npz", images)
    with pytest.raises(ValueError, match=r"mean colour 0\.22\d\d .* not 0\.1285 0\.1648 0\.1397"):
        DATASETS["mpi3d_real"]()
    assert prepared(cache_folder) == []


def test_the_complex_set_has_no_known_checksum_and_two_names(folder) -> None:
    path = folder / "mpi3d_complex.npz"
    md5 = write(path, official_images("mpi3d_complex"))
    data = DATASETS["mpi3d_complex"]()
    assert data.fingerprint == f"mpi3d_complex:md5:{md5}:64x64"
    assert data.factors[1].labels[2] == "croissant"
    path.rename(folder / "real3d_complicated_shapes_ordered.npz")
    assert DATASETS["mpi3d_complex"]().fingerprint == data.fingerprint


def test_a_swapped_file_is_known_by_its_checksum(real) -> None:
    real.rename(real.parents[1] / "mpi3d_toy.npz")
    with pytest.raises(ValueError, match=r"mpi3d_toy.npz is the file of mpi3d_real: rename it"):
        DATASETS["mpi3d_toy"]()


@pytest.mark.parametrize("name", SETS)
def test_a_missing_file(folder, name) -> None:
    with pytest.raises(
        MissingFileError, match=rf"{name}: \w+\.npz.* is missing: put it into .*{name}"
    ):
        DATASETS[name]()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[: len(whole) // 2], "is damaged .File is not a zip file"),
        (lambda whole: b"<html>Quota exceeded</html>", "is a web page"),
        (lambda whole: whole[:9000] + bytes(100) + whole[9100:], "is damaged"),
    ],
)
def test_a_damaged_file_is_refused(real, cache_folder, damage, complaint) -> None:
    real.write_bytes(damage(real.read_bytes()))
    message = refusal(DATASETS["mpi3d_real"], complaint)
    assert f"{real} is " in message
    assert "fetch the official file again" in message
    assert prepared(cache_folder) == []


@pytest.mark.parametrize(
    ("images", "key", "complaint"),
    [
        (np.zeros((431, 64, 64, 3), np.uint8), "images", r"\(431, 64, 64, 3\), not 432 of them"),
        (np.zeros((192, 64, 64, 3), np.uint8), "images", r"\(192, 64, 64, 3\), not 432 of them"),
        (np.zeros((432, 32, 64, 3), np.uint8), "images", r"'images' as uint8 \(432, 32, 64, 3\)"),
        (np.zeros((432, 64, 64, 3), np.int16), "images", r"'images' as int16"),
        (np.zeros((432, 64, 64, 3), np.uint8), "imgs", "no array 'images'"),
        (np.zeros((432, 64, 64, 3), np.uint8, "F"), "images", "in Fortran order"),
        (np.array([None]), "images", "as a pickle, which is never opened"),
        (np.array(3), "images", "images of shape ()"),
    ],
)
def test_other_content_is_refused(folder, cache_folder, images, key, complaint) -> None:
    path = folder / "mpi3d_real.npz"
    write(path, images, key)
    assert str(path) in refusal(DATASETS["mpi3d_real"], complaint)
    assert prepared(cache_folder) == []


def test_a_member_that_is_longer_than_it_says_is_refused(folder, cache_folder) -> None:
    path = folder / "mpi3d_real.npz"
    write(path, official_images("mpi3d_real"))
    with zipfile.ZipFile(path) as archive:
        content = archive.read("images.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content + b"x")
    with pytest.raises(ValueError, match="more in the array 'images' than its header says"):
        DATASETS["mpi3d_real"]()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content[:-1])
    with pytest.raises(ValueError, match="is damaged .images ends early"):
        DATASETS["mpi3d_real"]()
    assert prepared(cache_folder) == []


def test_the_file_is_unpacked_once_and_read_in_other_processes(
    real, cache_folder, monkeypatch
) -> None:
    data = DATASETS["mpi3d_real"]()
    monkeypatch.setattr(mpi3d.MPI3D, "_blocks", None)
    assert_travels_light(data)
    assert len(prepared(cache_folder)) == 1


def test_other_sizes_are_refused(real) -> None:
    with pytest.raises(ValueError, match="mpi3d_real: image_size must be 32 or 64, not 28"):
        DATASETS["mpi3d_real"](image_size=28)
