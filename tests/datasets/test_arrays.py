"""A user's own images and labels: what is read from an npz file, and what is refused."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import Arrays, MissingFileError, arrays, blocks
from tests.datasets.conftest import assert_travels_light, prepared, refusal

COUNT = 40


def file_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (3, 4), (COUNT, 2))
    factors[:4] = [[0, 0], [1, 1], [2, 2], [0, 3]]
    return {"images": rng.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8), "factors": factors}


def save(path: Path, **changes: Any) -> Path:
    """The arrays above, with changes; what is None is left out."""
    kept = {key: value for key, value in {**file_arrays(), **changes}.items() if value is not None}
    np.savez(path, **kept)
    return path


@pytest.fixture
def path(cache_folder, tmp_path) -> Path:
    return tmp_path / "my.npz"


def test_images_and_factors_are_those_of_the_file(path) -> None:
    data = Arrays(save(path))
    assert (len(data), data.training, data.held_out) == (COUNT, COUNT, 0)
    assert data.image_shape == (1, 28, 28)
    rows = np.random.default_rng(1).permutation(COUNT)
    images = data.images(rows)
    np.testing.assert_array_equal(images[:, 0], file_arrays()["images"][rows])
    np.testing.assert_array_equal(data.values(rows), file_arrays()["factors"][rows])
    assert [(f.name, f.size, f.kind) for f in data.factors] == [
        ("v1", 3, "ordinal"),
        ("v2", 4, "ordinal"),
    ]
    np.testing.assert_array_equal(data.values(data.rows(data.values(rows))), data.values(rows))
    assert str(path) in data.source
    assert "\n" not in data.source
    images[:] = 0
    assert data.images(rows).any(), "the caller was given the data set's own memory"
    with pytest.raises(IndexError, match="row 40 is outside"):
        data.images([COUNT])


def test_names_kinds_and_sizes(path) -> None:
    save(
        path,
        factor_names=np.array(["shape", "größe"]),
        factor_kinds=np.array(["categorical", "cyclic"]),
        factor_sizes=np.array([3, 9]),
    )
    data = Arrays(path)
    assert [(f.name, f.size, f.kind) for f in data.factors] == [
        ("shape", 3, "categorical"),
        ("größe", 9, "cyclic"),
    ]
    with pytest.raises(ValueError, match="no image has shape 0, größe 8"):
        data.rows([[0, 8]])


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((COUNT, 128, 128), (1, 128, 128)),
        ((COUNT, 32, 32, 1), (1, 32, 32)),
        ((COUNT, 1, 32, 32), (1, 32, 32)),
        ((COUNT, 32, 32, 3), (3, 32, 32)),
        ((COUNT, 3, 32, 32), (3, 32, 32)),
    ],
)
def test_layouts(path, shape, image_shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = Arrays(save(path, images=images))
    assert data.image_shape == image_shape
    if shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(data.images(range(COUNT)), images.reshape(COUNT, *image_shape))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_floats_are_rounded_to_bytes(path, dtype) -> None:
    images = np.random.default_rng(0).random((COUNT, 28, 28)).astype(dtype)
    images[0, 0, :3] = 0, 1, 0.5
    data = Arrays(save(path, images=images))
    pixels = data.images(range(COUNT))[:, 0]
    assert np.abs(pixels / 255 - images.astype(float)).max() < 0.5001 / 255
    assert set(pixels[0, 0, :2]) == {0, 255}


def test_rows_held_out_come_last(path) -> None:
    test = np.random.default_rng(2).random(COUNT) < 0.3
    data = Arrays(save(path, test=test))
    assert data.held_out == test.sum()
    assert data.training == (~test).sum()
    arrays, rows = file_arrays(), np.arange(COUNT)
    for key, found in (("images", data.images(rows)[:, 0]), ("factors", data.values(rows))):
        np.testing.assert_array_equal(found[: data.training], arrays[key][~test])
        np.testing.assert_array_equal(found[data.training :], arrays[key][test])


def test_large_arrays_are_prepared_once(path, cache_folder, monkeypatch) -> None:
    test = np.arange(COUNT) % 3 == 0
    in_memory = Arrays(save(path, test=test)).images(range(COUNT))
    monkeypatch.setattr(arrays, "_IN_MEMORY", 1000)
    monkeypatch.setattr(blocks, "_BLOCK", 7 * 28 * 28)
    np.testing.assert_array_equal(Arrays(path).images(range(COUNT)), in_memory)
    monkeypatch.setattr(Arrays, "_blocks", None)
    np.testing.assert_array_equal(Arrays(path).images(range(COUNT)), in_memory)
    (name,) = prepared(cache_folder)
    assert name.startswith("arrays-")


def test_the_fingerprint_is_that_of_the_content(path, tmp_path) -> None:
    first = Arrays(save(path)).fingerprint
    assert Arrays(save(tmp_path / "other.npz")).fingerprint == first
    changed = file_arrays()["images"]
    changed[3, 3, 3] ^= 1
    assert Arrays(save(path, images=changed)).fingerprint != first


def test_it_travels_to_a_process_in_another_folder(path, monkeypatch) -> None:
    monkeypatch.chdir(save(path).parent)
    data = Arrays("my.npz")
    monkeypatch.chdir("/")
    assert_travels_light(data)


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_pickles_are_never_opened(path, monkeypatch) -> None:
    monkeypatch.chdir(path.parent)
    bomb = np.array([_Bomb()])
    Arrays(save(path, metadata=bomb))  # an unknown array is ignored
    with pytest.raises(ValueError, match="'factor_names' as a pickle, which is never opened"):
        Arrays(save(path, factor_names=bomb))
    with pytest.raises(ValueError, match="'images' as a pickle"):
        Arrays(save(path, images=bomb))
    assert not Path("unpickled").exists()


def test_a_missing_and_another_file(path) -> None:
    with pytest.raises(MissingFileError, match=r"my.npz: there is no such file"):
        Arrays(path)
    path.write_text("images")
    with pytest.raises(ValueError, match="is damaged or no npz file: write it with numpy.savez"):
        Arrays(path)


def test_a_truncated_and_a_damaged_file(path) -> None:
    whole = save(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged or no npz file"):
        Arrays(path)
    path.write_bytes(whole[:5000] + b"????" + whole[5004:])
    with pytest.raises(ValueError, match=r"my.npz is damaged .Bad CRC-32"):
        Arrays(path)


def test_members_of_other_npy_versions(path) -> None:
    arrays = file_arrays()
    with zipfile.ZipFile(path, "w") as archive:
        for (key, array), version in zip(arrays.items(), [(2, 0), (1, 0)], strict=True):
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array, version=version)
    np.testing.assert_array_equal(Arrays(path).images(range(COUNT))[:, 0], arrays["images"])


def zeros(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.zeros(shape, dtype=dtype)


GAPS = np.stack([np.arange(COUNT) % 2 * 90, np.arange(COUNT) % 4], axis=1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"images": None}, "has no array 'images' but factors: add it"),
        ({"factors": None}, "has no array 'factors' but images: add it"),
        ({"images": None, "image": zeros(40, 28, 28)}, "an array 'image': rename it 'images'"),
        ({"factor_name": np.array(["a", "b"])}, "'factor_name': rename it 'factor_names'"),
        ({"images": zeros(40, 28, 29)}, "images of 28x29 pixels: make them square"),
        ({"images": zeros(40, 27, 27)}, "images of 27x27 pixels: .* 28 to 128"),
        ({"images": zeros(40, 129, 129)}, "images of 129x129 pixels"),
        ({"images": zeros(40, 28, 28, 2)}, "'images' of shape .* one or three channels"),
        ({"images": zeros(40, 784)}, "'images' of shape"),
        ({"images": np.uint8(3)}, "'factors' of shape .40, 2. for images .."),
        ({"images": zeros(0, 28, 28), "factors": zeros(0, 2)}, "has no images"),
        ({"images": zeros(40, 28, 28, dtype=int)}, "'images' as int64: make it uint8"),
        ({"images": zeros(40, 28, 28, dtype=bool)}, "'images' as bool: make it uint8"),
        ({"images": zeros(40, 28, 28, dtype=complex)}, "'images' as complex128"),
        ({"images": zeros(40, 28, 28) + 1}, "no value but 0 and 1: multiply it by 255"),
        ({"images": zeros(40, 28, 28) + 255.0}, "'images' 255 to 255: scale floats to 0 to 1"),
        ({"images": zeros(40, 28, 28) - 0.1}, "'images' -0.1 to -0.1: scale"),
        ({"images": zeros(40, 28, 28) + np.nan}, "'images' nan to nan: scale"),
        ({"images": np.asfortranarray(zeros(40, 28, 28))}, "Fortran order: save a C copy"),
        ({"factors": zeros(39, 2)}, r"'factors' of shape \(39, 2\) for images \(40,\)"),
        ({"factors": zeros(40)}, r"'factors' as uint8 \(40,\): make it \(N, K\) of integers"),
        ({"factors": zeros(40, 0)}, "'factors' as uint8"),
        ({"factors": zeros(40, 2, dtype=float)}, "'factors' as float64"),
        ({"factors": zeros(40, 2, dtype=int) - 1}, "outside 0 to 1,999: number them from 0"),
        ({"factors": zeros(40, 2, dtype=int) + 10**5}, "outside 0 to 1,999"),
        ({"factors": GAPS}, "2 of the classes 0 to 90 of v1: number them without gaps, or give"),
        ({"factor_names": np.array(["a"])}, r"'factor_names' as <U1 \(1,\): make it 2 words"),
        ({"factor_names": np.array([1, 2])}, "'factor_names' as int64"),
        ({"factor_names": np.array(["a", "a"])}, "empty or repeated names"),
        ({"factor_names": np.array(["a", " "])}, "empty or repeated names"),
        ({"factor_names": np.array("a")}, "a single value as 'factor_names'"),
        ({"factor_kinds": np.array(["ordinal", "nominal"])}, "'nominal': use categorical, ord"),
        ({"factor_sizes": np.array([3, 3])}, "'factor_sizes' 3 for v2, of class 3"),
        ({"factor_sizes": np.array([3, 10**6])}, "'factor_sizes' 1000000 for v2"),
        ({"factor_sizes": np.array([3.0, 4.0])}, "'factor_sizes' as float64"),
        ({"test": zeros(39, dtype=bool)}, r"'test' of shape \(39,\) for images \(40,\)"),
        ({"test": zeros(40)}, r"'test' as uint8 \(40,\): make it bool \(40,\)"),
        ({"test": zeros(40, dtype=bool) | True}, "only images for testing"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(path, changes, complaint) -> None:
    message = refusal(Arrays, complaint, path=save(path, **changes))
    assert str(path) in message
