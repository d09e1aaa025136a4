"""A user's own images and labels: what is read from an npz file, and what is refused."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import Arrays, MissingFileError, arrays, guarded
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
    assert "in my.npz" in data.source
    assert str(path.parent) not in data.source, "tables would show where the user works"
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
    monkeypatch.setattr(guarded, "_BLOCK", 7 * 28 * 28)
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
    with pytest.raises(ValueError, match="array factor_names is a pickle, which is never opened"):
        Arrays(save(path, factor_names=bomb))
    with pytest.raises(ValueError, match="array images is a pickle"):
        Arrays(save(path, images=bomb))
    assert not Path("unpickled").exists()


def test_a_missing_and_another_file(path) -> None:
    with pytest.raises(MissingFileError, match=r"my.npz: there is no such file"):
        Arrays(path)
    path.write_text("images")
    with pytest.raises(
        ValueError, match="is damaged or not an npz file: write it with numpy.savez"
    ):
        Arrays(path)


def test_a_truncated_and_a_damaged_file(path) -> None:
    whole = save(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged or not an npz file"):
        Arrays(path)
    path.write_bytes(whole[:5000] + b"????" + whole[5004:])
    with pytest.raises(ValueError, match="array images is damaged .Bad CRC-32"):
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


def noise(low: int, high: int) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(low, high, (40, 28, 28))
    pixels.flat[:2] = low, high - 1
    return pixels


def one_nan() -> np.ndarray:
    pixels = noise(0, 256) / 255
    pixels[7, 3, 3] = np.nan
    return pixels


GAPS = np.stack([np.arange(COUNT) % 2 * 90, np.arange(COUNT) % 4], axis=1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"images": None}, "has no array 'images' but factors: add it"),
        (
            {"factors": None, "factor_names": np.array(["a"])},
            "an array 'factor_names' but no 'factors': add these, or leave it out",
        ),
        ({"images": None, "image": zeros(40, 28, 28)}, "an array 'image': rename it 'images'"),
        ({"factor_name": np.array(["a", "b"])}, "'factor_name': rename it 'factor_names'"),
        ({"images": zeros(40, 28, 0)}, "images of 28x0 pixels: give each 1 to 67,108,864"),
        ({"images": zeros(28, 28, 3), "factors": None}, "looks like one picture: make it"),
        ({"images": zeros(1, 28, 28), "factors": zeros(1, 2)}, "has one image: nothing can be"),
        ({"images": zeros(40, 28, 28) + 7}, "40 images that are all the same: nothing can be"),
        ({"images": zeros(40, 64, 32) + 7}, "40 images that are all the same"),
        ({"images": zeros(40, 28, 28, 2)}, "'images' of shape .* one or three channels"),
        ({"images": zeros(40, 784)}, "'images' of shape"),
        ({"images": np.uint8(3)}, "'factors' of shape .40, 2. for images .."),
        ({"images": zeros(0, 28, 28), "factors": zeros(0, 2)}, "has no images"),
        ({"images": noise(-5, 256)}, "'images' -5 to 255: scale the pixels to 0 to 255"),
        ({"images": noise(0, 1000)}, "'images' 0 to 999: scale the pixels to 0 to 255"),
        ({"images": zeros(40, 28, 28, dtype=complex)}, "'images' as complex128"),
        ({"images": noise(0, 3) * 0.9}, "'images' numbers up to 1.8: scale floats to 0 to 1"),
        ({"images": zeros(40, 28, 28) - 0.1}, "'images' -0.1 to -0.1: scale"),
        (
            {"images": zeros(40, 28, 28) + np.nan},
            "NaN or infinite pixels in the array 'images', first",
        ),
        ({"images": one_nan()}, "'images', first in row 7: fill them, or leave these images out"),
        ({"images": np.asfortranarray(zeros(40, 28, 28))}, "Fortran order: save a C copy"),
        ({"factors": zeros(39, 2)}, r"'factors' of shape \(39, 2\) for images \(40,\)"),
        ({"factors": zeros(40, 2, 2)}, r"'factors' as uint8 \(40, 2, 2\): make it \(N, K\) of num"),
        ({"factors": zeros(40, 2, dtype=complex)}, "'factors' as complex128"),
        ({"factors": zeros(40, 2001)}, "'factors' with 2,001 columns, of at most 2,000"),
        ({"factors": zeros(40, 0)}, "'factors' as uint8"),
        ({"factors": zeros(40, 2, dtype=int) - 1}, "has no label of v1: leave the factor out"),
        ({"factors": np.full((40, 2), np.nan)}, "has no label of v1"),
        ({"factors": np.full((40, 2), np.inf)}, "has infinite labels of v1: a missing label is"),
        (
            {"factors": GAPS, "factor_sizes": np.array([3, 4])},
            "'factor_sizes' 3 for v1, of class 90",
        ),
        (
            {"factors": np.array([["a", "b"]] * 40), "factor_kinds": np.array(["continuous"] * 2)},
            "has words as labels of v1",
        ),
        (
            {"factors": zeros(40, 2) + 0.5, "factor_kinds": np.array(["ordinal"] * 2)},
            "has fractions as labels of v1: call its kind continuous",
        ),
        ({"factor_names": np.array(["a"])}, r"'factor_names' as <U1 \(1,\): make it 2 words"),
        ({"factor_names": np.array([1, 2])}, "'factor_names' as int64"),
        ({"factor_names": np.array(["a", "a"])}, "empty or repeated names"),
        ({"factor_names": np.array(["a", " "])}, "empty or repeated names"),
        ({"factor_names": np.array("a")}, "a single value as 'factor_names'"),
        (
            {"factor_kinds": np.array(["ordinal", "nominal"])},
            "'nominal' as the kind of v2: use categorical",
        ),
        ({"factor_sizes": np.array([3, 3])}, "'factor_sizes' 3 for v2, of class 3"),
        ({"factor_sizes": np.array([3, 10**6])}, "'factor_sizes' 1000000 for v2"),
        ({"factor_sizes": np.array([3.0, 4.0])}, "'factor_sizes' as float64"),
        ({"pairs": zeros(3, 2)}, "only pairs of an image and itself"),
        ({"pairs": zeros(3, 3)}, r"'pairs' as uint8 \(3, 3\): make it \(M, 2\) of integers"),
        ({"pairs": zeros(0, 2)}, "'pairs' as uint8"),
        ({"pairs": zeros(3, 2, dtype=float)}, "'pairs' as float64"),
        ({"pairs": np.array([[0, 40]])}, "'pairs' the row 40: the images are the rows 0 to 39"),
        ({"pairs": np.array([[-1, 3]])}, "'pairs' the row -1"),
        (
            {"pairs": np.array([[0, 1]]), "test": np.arange(40) == 1},
            "'pairs' no pair of two images to train on",
        ),
        ({"test": zeros(39, dtype=bool)}, r"'test' of shape \(39,\) for images \(40,\)"),
        ({"test": zeros(40)}, r"'test' as uint8 \(40,\): make it bool \(40,\)"),
        ({"test": zeros(40, dtype=bool) | True}, "only images for testing"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(path, changes, complaint) -> None:
    message = refusal(Arrays, complaint, path=save(path, **changes))
    assert str(path) in message


def test_without_factors_there_are_images_alone(path) -> None:
    data = Arrays(save(path, factors=None, latents=zeros(3)))
    assert (data.factors, data.sizes) == ((), ())
    assert data.values([3, 4]).shape == data.numbers([3, 4]).shape == (2, 0)
    assert len(data) == COUNT
    assert "no array 'factors': metrics that need factors are left out" in data.notes
    assert "arrays that are ignored: latents" in data.notes
    assert_travels_light(data)


def test_numbers_with_fractions_are_continuous_factors(path) -> None:
    numbers = np.random.default_rng(0).normal(size=(COUNT, 2))
    numbers[5, 0] = np.nan
    test = np.arange(COUNT) % 4 == 0
    data = Arrays(save(path, factors=numbers, test=test))
    order = np.argsort(test, kind="stable")
    assert [factor.kind for factor in data.factors] == ["continuous"] * 2
    np.testing.assert_array_equal(data.numbers(range(COUNT)), numbers[order])
    classes = data.values(range(COUNT))
    assert (classes[:, 0] == -1).sum() == 1
    known = classes[:, 0] >= 0
    ranks = numbers[order][known, 0].argsort()
    assert (np.diff(classes[known, 0][ranks]) >= 0).all()
    for k, factor in enumerate(data.factors):
        assert factor.size == 20 == classes[:, k].max() + 1
        assert list(factor.values) == sorted(factor.values)
    assert assert_travels_light(data).numbers([0]).tolist() == data.numbers([0]).tolist()


@pytest.mark.parametrize(
    ("shape", "options", "image_shape"),
    [
        ((20, 300, 200, 3), {}, (3, 64, 64)),
        ((20, 300, 200, 3), {"image_size": 32}, (3, 32, 32)),
        ((20, 3, 200, 300), {"fit": "crop"}, (3, 64, 64)),
        ((20, 1, 1), {}, (1, 64, 64)),
        ((20, 27, 28), {}, (1, 64, 64)),
        ((20, 28, 28), {}, (1, 28, 28)),
        ((20, 28, 28), {"image_size": 28}, (1, 28, 28)),
        ((20, 28, 28), {"image_size": 32}, (1, 32, 32)),
        ((20, 64, 64, 4), {}, (3, 64, 64)),
        ((20, 4, 32, 32), {}, (3, 32, 32)),
        ((20, 2, 5_000), {}, (1, 64, 64)),
    ],
)
def test_images_of_any_size_become_square(path, shape, options, image_shape) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = Arrays(save(path, images=images, factors=None), **options)
    assert data.image_shape == image_shape
    assert data.images([0, 19]).shape == (2, *image_shape)
    resized = f"resized to {image_shape[1]}x{image_shape[1]}"
    assert (resized in data.notes[0]) == (image_shape[1:] not in (shape[1:3], shape[2:]))
    assert_travels_light(data)


def test_images_that_are_not_square_are_padded_or_cut_in_the_middle(path) -> None:
    images = np.zeros((2, 32, 64), dtype=np.uint8)
    images[1], images[1, :, 16:48] = 100, 200
    padded = Arrays(save(path, images=images, factors=None)).images([1])[0, 0]
    assert (padded[:16] == 0).all()
    assert (padded[48:] == 0).all()
    np.testing.assert_array_equal(padded[16:48], images[1])
    cut = Arrays(path, image_size=32, fit="crop").images([1])[0, 0]
    assert (cut == 200).all()
    fingerprints = {
        Arrays(path, image_size=size, fit=fit).fingerprint
        for size, fit in [(None, "pad"), (32, "pad"), (32, "crop"), (64, "crop")]
    }
    assert len(fingerprints) == 4


def test_resizing_to_the_size_that_the_images_have_changes_nothing(path) -> None:
    data, same = Arrays(save(path)), Arrays(path, image_size=28)
    assert (same.fingerprint, same.notes) == (data.fingerprint, data.notes)
    np.testing.assert_array_equal(same.images([0, 1]), data.images([0, 1]))


@pytest.mark.parametrize("size", [0, 27, 129, 10**9])
def test_sizes_that_no_network_takes_are_refused(path, size) -> None:
    message = f"my.npz: image_size must be 28 to 128, not {size}"
    with pytest.raises(ValueError, match=message):
        Arrays(save(path), image_size=size)


def test_opacity_is_laid_over_black(path) -> None:
    images = np.full((2, 28, 28, 4), 200, dtype=np.uint8)
    images[0, ..., 3], images[1, ..., 3] = 255, 128
    data = Arrays(save(path, images=images, factors=None))
    assert (data.images([0]) == 200).all()
    assert (data.images([1]) == 100).all()
    assert "opacity, laid over black" in data.notes[0]


@pytest.mark.parametrize(
    ("images", "scale"),
    [
        (noise(0, 2).astype(np.uint8), 255),
        (noise(0, 2).astype(bool), 255),
        (noise(0, 2), 255),
        (noise(0, 256) / 255, 255),
        (noise(0, 256).astype(np.float32), 1),
        (noise(0, 256).astype(np.int32), 1),
        (noise(0, 256) * (1 + 1e-9), 1),
    ],
)
def test_the_range_of_pixels_is_recognised_and_said(path, images, scale) -> None:
    data = Arrays(save(path, images=images))
    np.testing.assert_array_equal(data.images(range(40))[:, 0], np.rint(images * float(scale)))
    assert ("0 to 1, times 255" if scale == 255 else "0 to 255") in data.notes[0]
    assert str(images.dtype) in data.notes[0]


def test_large_resized_images_have_a_place_of_their_own_in_the_cache(
    path, cache_folder, monkeypatch
) -> None:
    in_memory = [Arrays(save(path), image_size=size).images(range(COUNT)) for size in (32, 64)]
    monkeypatch.setattr(arrays, "_IN_MEMORY", 1000)
    for size, images in zip((32, 64), in_memory, strict=True):
        np.testing.assert_array_equal(Arrays(path, image_size=size).images(range(COUNT)), images)
    assert len(prepared(cache_folder)) == 2


def test_pairs_are_rows_of_the_data(path) -> None:
    pairs = np.array([[0, 1], [5, 3], [2, 2], [7, 39]])
    test = np.isin(np.arange(COUNT), [0, 10])
    data = Arrays(save(path, pairs=pairs, test=test))
    arrays = file_arrays()["images"]
    for rows, wanted in zip(data.pairs, pairs[1:], strict=True):
        np.testing.assert_array_equal(data.images(rows)[:, 0], arrays[wanted])
    assert any(note.startswith("pairs: 3 of the file") and "1 more" in note for note in data.notes)


def test_one_column_of_labels_may_be_a_vector(path) -> None:
    data = Arrays(save(path, factors=np.arange(COUNT) % 3))
    assert data.values([4]).tolist() == [[1]]


def header(shape: tuple[int, ...], descr: str, fortran: bool = False) -> bytes:
    stream = io.BytesIO()
    fields = {"descr": descr, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue() + bytes(64)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("images", header((10**12, 28, 28), "|u1"), "array images declares uint8"),
        ("images", header((10**9, 28, 28), "|b1"), "array images declares bool"),
        ("images", header((2, 10**5, 10**5), "|u1"), "images of 100000x100000 pixels: give each"),
        ("images", header((-1, 28, 28), "|u1"), "array images declares the shape"),
        ("factors", header((COUNT, 10**12), "<f4"), "array factors declares float32"),
        ("factors", header((COUNT,), "<M8[D]") + bytes(256), "'factors' as datetime64"),
        ("factor_names", header((10**12,), "<U1"), "array factor_names declares"),
        ("factor_kinds", header((2,), "<U500000000"), "array factor_kinds declares"),
        ("pairs", header((10**12, 2), "<i8"), "array pairs declares int64"),
        ("test", b"no array", "array test is not an array"),
    ],
)
def test_what_a_file_declares_is_not_believed(path, name, content, complaint) -> None:
    arrays = file_arrays()
    if name == "images":
        del arrays["factors"]
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            if key != name:
                with archive.open(f"{key}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
        archive.writestr(f"{name}.npy", content)
    refusal(Arrays, complaint, path=path)


def test_what_nobody_reads_may_declare_anything(path) -> None:
    save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("extra.npy", header((10**12, 9), "<f8"))
        archive.writestr("notes.txt", "mine")
    assert Arrays(path).notes[-1] == "arrays that are ignored: extra, notes.txt"


def test_two_arrays_of_one_name(path) -> None:
    save(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", header((2, 28, 28), "|u1"))
    refusal(Arrays, "has the array images twice: rename one of them", path=path)
