"""MNIST and Fashion-MNIST: small IDX files of the official layout, good and bad, and the real ones.

The real files are those of Debian's package dataset-fashion-mnist.
"""

import gzip
import hashlib
import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import DATASETS, MNIST, FashionMNIST, MissingFileError, mnist
from tests.datasets.conftest import assert_travels_light, prepared, refusal

COUNTS = {"train": 30, "t10k": 12}
FILES = tuple(file.name.removesuffix(".gz") for file in MNIST.entry.files)


def arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for part, count in COUNTS.items():
        made[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        made[f"{part}-labels-idx1-ubyte"] = rng.permutation(np.arange(count) % 10).astype(np.uint8)
    return made


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


MADE = {"mnist": arrays(1), "fashionmnist": arrays(2)}


def write(folder: Path, name: str = "mnist", packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in MADE[name].items():
        if packed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(idx(array), mtime=0))
        else:
            (folder / file).write_bytes(idx(array))
    return folder


@pytest.fixture
def folder(data_folder, tmp_path, monkeypatch) -> Path:
    """An empty data folder; the small files are the official ones."""
    monkeypatch.setattr(mnist, "COUNTS", COUNTS)
    for target in (MNIST, FashionMNIST):
        entry = target.entry
        made = MADE[entry.name]
        content = [hashlib.sha256(idx(made[file])).hexdigest() for file in FILES]
        files = [replace(f, content=c) for f, c in zip(entry.files, content, strict=True)]
        debian = str(tmp_path / "debian")
        folders = [debian if Path(name).is_absolute() else name for name in entry.folders]
        small = replace(entry, files=tuple(files), folders=tuple(folders))
        monkeypatch.setattr(target, "entry", small)
    return data_folder


def expected(name: str, kind: str) -> np.ndarray:
    return np.concatenate([MADE[name][f"{part}-{kind}"] for part in COUNTS])


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_training_images_come_first_and_test_images_are_held_out(folder, name) -> None:
    write(folder / name, name)
    data = DATASETS[name](image_size=28)
    assert (len(data), data.training, data.held_out) == (42, 30, 12)
    assert [(f.name, f.size, f.kind) for f in data.factors] == [("class", 10, "categorical")]
    rows = np.random.default_rng(0).permutation(42)
    images, labels = expected(name, "images-idx3-ubyte"), expected(name, "labels-idx1-ubyte")
    np.testing.assert_array_equal(data.images(rows)[:, 0], images[rows])
    np.testing.assert_array_equal(data.values(rows)[:, 0], labels[rows])


def test_rows_of_a_class_are_its_first_ones(folder) -> None:
    write(folder)
    data = MNIST()
    labels = expected("mnist", "labels-idx1-ubyte").tolist()
    np.testing.assert_array_equal(data.rows([[3], [7]]), [labels.index(3), labels.index(7)])
    with pytest.raises(ValueError, match="class 10 is outside"):
        data.rows([[10]])


def test_larger_images_are_interpolated_bilinearly(folder) -> None:
    write(folder)
    original = expected("mnist", "images-idx3-ubyte").astype(float)
    # Centres of the new pixels in those of the old, which are held at the border.
    at = np.clip((np.arange(32) + 0.5) * 28 / 32 - 0.5, 0, 27)
    low = np.minimum(at.astype(int), 26)
    part = at - low
    rows = original[:, low] * (1 - part)[:, None] + original[:, low + 1] * part[:, None]
    both = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    images = MNIST().images(range(42))[:, 0]
    assert images.shape == (42, 32, 32)
    assert np.abs(images - both).max() <= 1.5


@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_sizes(folder, size) -> None:
    write(folder)
    data = MNIST(image_size=size)
    assert data.images([0, 41]).shape == (2, 1, size, size)
    assert data.fingerprint.endswith(f":{size}x{size}")


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"mnist: image_size must be 28 to 128, not {size}"):
        MNIST(image_size=size)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "subfolder"),
    [
        ("mnist", "data"),
        ("mnist", "data/mnist"),
        ("mnist", "data/MNIST/raw"),
        ("fashionmnist", "data"),
        ("fashionmnist", "data/fashionmnist"),
        ("fashionmnist", "data/FashionMNIST/raw"),
        ("fashionmnist", "debian"),
    ],
)
def test_places(folder, name, subfolder, packed) -> None:
    at = write(folder.parent / subfolder, name, packed)
    data = DATASETS[name](image_size=28)
    images = expected(name, "images-idx3-ubyte")
    np.testing.assert_array_equal(data.images(range(42))[:, 0], images)
    assert str(at) in data.source
    content = hashlib.sha256(
        "".join(file.content for file in DATASETS[name].entry.files).encode()
    ).hexdigest()
    assert data.fingerprint == f"{name}:sha256:{content[:16]}:28x28"


def test_the_two_sets_have_different_fingerprints(folder) -> None:
    write(folder / "mnist")
    write(folder / "fashionmnist", "fashionmnist")
    assert MNIST().fingerprint.split(":")[2] != FashionMNIST().fingerprint.split(":")[2]


def test_missing_files_are_named(folder) -> None:
    write(folder / "mnist")
    (folder / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match=r"train-labels-idx1-ubyte.* is missing") as caught:
        MNIST()
    assert str(folder / "mnist") in str(caught.value)
    assert "\n" not in str(caught.value)


def swap(folder: Path, first: str, second: str) -> None:
    one, other = (folder / f"{file}.gz" for file in (first, second))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.mark.parametrize(
    ("pair", "complaint"),
    [
        (FILES[0:2], "swapped"),
        (FILES[0::2], r"holds images of shape \((12|30), 28, 28\), not"),
        (FILES[1::2], r"holds labels of shape \((12|30),\), not"),
    ],
)
def test_swapped_files_are_refused(folder, cache_folder, pair, complaint) -> None:
    swap(write(folder), *pair)
    refused(folder, cache_folder, complaint)


def refused(folder: Path, cache_folder: Path, complaint: str) -> str:
    """The refusal names a file and a remedy, and leaves nothing in the cache."""
    message = refusal(MNIST, complaint)
    assert message.startswith("mnist: ")
    assert any(str(folder / file) in message for file in FILES)
    assert "fetch the official file again" in message
    assert not prepared(cache_folder)
    return message


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda plain: gzip.compress(plain)[:-20], "is damaged"),
        (lambda plain: gzip.compress(plain)[:-8] + bytes(8), "is damaged .*CRC"),
        (lambda plain: gzip.compress(plain) + b"more", "is damaged"),
        (lambda plain: gzip.compress(plain[:-1]), "is damaged .*ends after"),
        (lambda plain: gzip.compress(plain[:6]), "is damaged .*header"),
        (lambda plain: gzip.compress(plain + b"\0"), "goes on after its last value"),
        (lambda plain: plain[:-1], "is damaged .*ends after"),
        (lambda plain: b"", "is no IDX file"),
        (lambda plain: gzip.compress(b"not the file"), "is no IDX file"),
        (lambda plain: b"Too many requests", "is no IDX file"),
        (lambda plain: b"\n<!DOCTYPE html><html>Sorry</html>", "is a web page"),
        (lambda plain: gzip.compress(plain[:2] + b"\x0d" + plain[3:]), "type 0xd"),
        (lambda plain: gzip.compress(plain[:-1] + bytes([plain[-1] ^ 1])), "is another file"),
    ],
)
def test_damage_is_refused(folder, cache_folder, file, damage, complaint) -> None:
    path = write(folder) / f"{file}.gz"
    path.write_bytes(damage(idx(MADE["mnist"][file])))
    assert str(path) in refused(folder, cache_folder, complaint)


def test_an_announced_flood_is_not_read(folder, cache_folder) -> None:
    path = write(folder) / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">BBBB3i", 0, 0, 8, 3, 2**31 - 1, 28, 28)))
    refused(folder, cache_folder, r"shape \(2147483647, 28, 28\), not \(30, 28, 28\)")


def test_files_of_the_other_set_are_named(folder, cache_folder) -> None:
    write(folder, "fashionmnist")
    message = refused(folder, cache_folder, "of fashionmnist: put each set into its own subfolder")
    assert "labels-idx1-ubyte" in message


def test_a_file_that_changes_is_noticed_in_spite_of_the_cache(folder) -> None:
    write(folder)
    MNIST()
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = idx(MADE["fashionmnist"]["t10k-images-idx3-ubyte"])
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="is t10k-images-idx3-ubyte of fashionmnist"):
        MNIST()


def test_images_are_prepared_once(folder, monkeypatch) -> None:
    write(folder)
    first = MNIST().images([5])
    monkeypatch.setattr(mnist.IDXData, "_blocks", None)
    np.testing.assert_array_equal(MNIST().images([5]), first)


def test_it_travels_light_to_another_process(folder, monkeypatch, tmp_path) -> None:
    write(folder / "mnist")
    data = MNIST(image_size=48, data_dir=folder)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    assert_travels_light(data)


needs_fashion = pytest.mark.skipif(
    not mnist.DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist"
)


@pytest.fixture
def fashion(data_folder) -> FashionMNIST:
    return FashionMNIST(image_size=28)


@needs_fashion
def test_the_real_fashion_mnist(fashion) -> None:
    assert (len(fashion), fashion.training) == (70_000, 60_000)
    labels = fashion.values(np.arange(70_000))[:, 0]
    np.testing.assert_array_equal(np.bincount(labels[:60_000]), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(labels[60_000:]), [1000] * 10)
    counts = np.zeros(256)
    for start in range(0, 60_000, 10_000):
        counts += np.bincount(fashion.images(range(start, start + 10_000)).ravel(), minlength=256)
    shades = np.arange(256) / 255
    mean = (counts @ shades) / counts.sum()
    assert mean == pytest.approx(0.28604, abs=5e-6)
    std = math.sqrt((counts @ (shades - mean) ** 2) / counts.sum())
    assert std == pytest.approx(0.35302, abs=5e-6)
    assert "/usr/share/datasets/fashion-mnist" in fashion.source


@needs_fashion
def test_a_study_of_real_images(bench, tmp_path) -> None:
    command = ("run", "--models", "jointvae,betavae", "--dataset", "fashionmnist")
    budget = ("--preset", "smoke", "--steps", "3", "--seeds", "1", "--set", "train.rows=300")
    ran = bench(*command, *budget, "--output", "study", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "left out: factorvae_score (only one factor can be fixed" in ran.stderr
    table = (tmp_path / "study" / "table.md").read_text()
    assert "Accuracy, one-to-one" in table
    assert "Fashion-MNIST, official files in fashion-mnist, 28x28" in table  # no path of a disk
    (jointvae,) = (tmp_path / "study" / "runs").glob("jointvae-*")
    settings = json.loads((jointvae / "settings.json").read_text())["settings"]
    assert settings["categorical"] == [10]
    details = json.loads((jointvae / "scores.json").read_text())["discrete_accuracy"]["details"]
    assert (details["rows_fitted"], details["rows_scored"]) == (300, 300)
