"""Cars3D: small archives in the layout of the official one, good and bad ones."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bench.datasets import Cars3D, Factor, MissingFileError, cars3d
from tests.datasets.conftest import (
    assert_travels_light,
    checksum_of,
    make_official,
    prepared,
    refusal,
    write_tar,
)

FACTORS = (
    Factor("elevation", 2, "ordinal", (0.0, 1.0)),
    Factor("azimuth", 3, "cyclic", (0.0, 120.0, 240.0)),
    Factor("object_type", 4, "categorical", (0.0, 1.0, 2.0, 3.0)),
)
LISTED = ["car_003_mesh", "car_001_mesh", "car_004_mesh", "car_002_mesh"]
ARCHIVED = sorted(LISTED)


def images() -> np.ndarray:
    """All images (car, elevation, azimuth, H, W, 3), cars in the order of the list."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (4, 2, 3, 128, 128, 3), dtype=np.uint8)


def mat(car: np.ndarray) -> bytes:
    file = io.BytesIO()
    mask = np.ones((128, 128, 3, 2), dtype=np.uint8)
    savemat(file, {"mask": mask, "im": car.transpose(2, 3, 4, 1, 0)}, do_compression=True)
    return file.getvalue()


def contents() -> dict[str, bytes]:
    """Members of the archive in their order: the list is not the first."""
    cars = dict(zip(LISTED, images(), strict=True))
    members = {"data/shapes48.mat": b"other", "data/cars/car_999_mesh.mat": b"not listed"}
    for name in ARCHIVED:
        members[f"data/cars/{name}.mat"] = mat(cars[name])
    members["data/cars/list.txt"] = "".join(f"{name}\n" for name in LISTED).encode()
    members["data/sprites/sprites.mat"] = b"other"
    return members


def write(path: Path, members: dict[str, bytes], monkeypatch, link: str = "") -> None:
    """Write an archive, and make it the official one; one member may be a link elsewhere."""
    make_official(monkeypatch, Cars3D, write_tar(path, "w:gz", members, link))


@pytest.fixture
def path(data_folder, monkeypatch) -> Path:
    """A small official archive, and a grid to match."""
    monkeypatch.setattr(cars3d, "FACTORS", FACTORS)
    path = data_folder / "cars3d" / Cars3D.entry.files[0].name
    path.parent.mkdir()
    write(path, contents(), monkeypatch)
    return path


def test_rows_are_the_grid_in_the_order_of_the_list(path) -> None:
    data = Cars3D(image_size=128)
    assert (len(data), data.training, data.image_shape) == (24, 24, (3, 128, 128))
    rows = np.random.default_rng(1).permutation(24)
    elevation, azimuth, car = data.values(rows).T
    expected = images()[car, elevation, azimuth].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.images(rows), expected)
    np.testing.assert_array_equal(data.rows(data.values(rows)), rows)
    assert str(path) in data.source
    assert data.fingerprint == f"cars3d:md5:{checksum_of(Cars3D)}:128x128"


def test_other_sizes_are_resized(path) -> None:
    data = Cars3D()
    image = data.images(data.rows([[1, 2, 3]]))[0]
    expected = Image.fromarray(images()[3, 1, 2]).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(image, np.asarray(expected).transpose(2, 0, 1))


def test_members_may_begin_with_a_dot(path, monkeypatch) -> None:
    expected = Cars3D().images(range(24))
    write(path, {f"./{name}": content for name, content in contents().items()}, monkeypatch)
    np.testing.assert_array_equal(Cars3D().images(range(24)), expected)


def test_the_official_grid() -> None:
    assert [(f.name, f.size, f.kind) for f in cars3d.FACTORS] == [
        ("elevation", 4, "ordinal"),
        ("azimuth", 24, "cyclic"),
        ("object_type", 183, "categorical"),
    ]
    assert cars3d.FACTORS[1].values[-1] == 345


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"cars3d: image_size must be 28 to 128, not {size}"):
        Cars3D(image_size=size)


def test_a_missing_archive_is_named(path) -> None:
    path.unlink()
    with pytest.raises(MissingFileError, match="nips2015-analogy-data.tar.gz is missing") as caught:
        Cars3D()
    assert str(path.parent) in str(caught.value)


def refused(path: Path, cache_folder: Path, complaint: str) -> None:
    message = refusal(Cars3D, complaint)
    assert message.startswith(f"cars3d: {path} ")
    assert "fetch the official file again" in message
    assert not [name for name in prepared(cache_folder) if "members" not in name]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[: len(whole) // 2], "is truncated or another file: its md5"),
        (lambda whole: b"<!doctype html>", "is a web page"),
        (lambda whole: b"", "is truncated or another file"),
    ],
)
def test_another_checksum_is_refused(path, cache_folder, damage, complaint) -> None:
    path.write_bytes(damage(path.read_bytes()))
    refused(path, cache_folder, complaint)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"no archive",
        lambda whole: whole[:1000] + bytes([whole[1000] ^ 255]) + whole[1001:],
    ],
)
def test_damage_below_the_checksum_is_refused(path, cache_folder, monkeypatch, damage) -> None:
    path.write_bytes(damage(path.read_bytes()))
    make_official(monkeypatch, Cars3D, path)
    refused(path, cache_folder, "is damaged")


def _no_list(members):
    del members["data/cars/list.txt"]


def _shorter_list(members):
    members["data/cars/list.txt"] = "\n".join(LISTED[:-1]).encode()


def _repeating_list(members):
    members["data/cars/list.txt"] = "\n".join([*LISTED[:-1], LISTED[0]]).encode()


def _list_of_others(members):
    members["data/cars/list.txt"] = b"car_001_mesh\ncar_002_mesh\ncar_003_mesh\n../../etc/car\n"


def _no_car(members):
    del members["data/cars/car_002_mesh.mat"]


def _broken_car(members):
    members["data/cars/car_002_mesh.mat"] = members["data/cars/car_002_mesh.mat"][:5000]


def _other_car(members):
    members["data/cars/car_002_mesh.mat"] = b"cbuiltins\nint\n(S'unpickled'\ntR."


def _smaller_car(members):
    members["data/cars/car_002_mesh.mat"] = mat(images()[0][:, :2])


def _floats(members):
    members["data/cars/car_002_mesh.mat"] = mat(images()[0] / 255)


def _objects(members):
    file = io.BytesIO()
    savemat(file, {"im": np.array([["a", 1]], dtype=object)})
    members["data/cars/car_002_mesh.mat"] = file.getvalue()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_no_list, "has no data/cars/list.txt"),
        (_shorter_list, "lists 3 cars, not 4"),
        (_repeating_list, "lists 4 cars, not 4 different"),
        (_list_of_others, "has no data/cars/../../etc/car.mat"),
        (_no_car, "has no data/cars/car_002_mesh.mat"),
        (_broken_car, "car_002_mesh.mat, which is damaged"),
        (_other_car, "car_002_mesh.mat, which is damaged or no MATLAB file"),
        (_smaller_car, r"has no array 'im' of uint8 \(128, 128, 3, 3, 2\) in data/cars/car_002"),
        (_floats, "has no array 'im' of uint8"),
        (_objects, "has no array 'im' of uint8"),
    ],
)
def test_other_content_is_refused(path, cache_folder, monkeypatch, change, complaint) -> None:
    members = contents()
    change(members)
    write(path, members, monkeypatch)
    refused(path, cache_folder, complaint)


@pytest.mark.parametrize("name", ["data/../../escaped.txt", "/etc/escaped.txt", "C:\\escaped.txt"])
def test_members_that_leave_the_folder_are_refused(path, cache_folder, monkeypatch, name) -> None:
    write(path, {**contents(), name: b"escaped"}, monkeypatch)
    refused(path, cache_folder, "escaped.txt' leaves the folder")


@pytest.mark.parametrize("name", ["data/cars/list.txt", "data/cars/car_002_mesh.mat"])
def test_links_are_not_followed(path, cache_folder, monkeypatch, name) -> None:
    write(path, contents(), monkeypatch, link=name)
    refused(path, cache_folder, "as something else than a file")


def test_it_is_prepared_once_and_travels_light(path, monkeypatch, tmp_path) -> None:
    data = Cars3D(image_size=32, data_dir=path.parent)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(cars3d, "_blocks", None)
    monkeypatch.setattr(cars3d, "_members", None)
    assert_travels_light(data)
