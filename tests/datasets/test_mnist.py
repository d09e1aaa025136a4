"""MNIST and Fashion-MNIST: small IDX files of the official layout, good and bad, and the real ones.

The real files are those of Debian's package dataset-fashion-mnist.
"""

import gzip
import hashlib
import json
import math
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import DATASETS, MNIST, FashionMNIST, MissingFile, mnist, prepare

COUNTS = {"train": 30, "t10k": 12}
FILES = tuple(mnist.CONTENT["mnist"])


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
def place(tmp_path, monkeypatch) -> Path:
    """An empty data folder, an empty cache beside it, and known checksums of the small files."""
    content = {
        name: {file: hashlib.sha256(idx(array)).hexdigest() for file, array in made.items()}
        for name, made in MADE.items()
    }
    monkeypatch.setattr(mnist, "CONTENT", content)
    monkeypatch.setattr(mnist, "COUNTS", COUNTS)
    monkeypatch.setattr(FashionMNIST, "places", (tmp_path / "debian",))
    monkeypatch.setattr(prepare.platformdirs, "user_cache_dir", lambda name: tmp_path / "cache")
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def cached(place: Path) -> list[Path]:
    return sorted((place.parent / "cache").glob("*.npy"))


def expected(name: str, kind: str) -> np.ndarray:
    return np.concatenate([MADE[name][f"{part}-{kind}"] for part in COUNTS])


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_training_images_come_first_and_test_images_are_held_out(place, name) -> None:
    write(place / name, name)
    data = DATASETS[name](image_size=28)
    assert (len(data), data.training, data.held_out) == (42, 30, 12)
    assert [(f.name, f.size, f.kind) for f in data.factors] == [("class", 10, "categorical")]
    rows = np.random.default_rng(0).permutation(42)
    images, labels = expected(name, "images-idx3-ubyte"), expected(name, "labels-idx1-ubyte")
    np.testing.assert_array_equal(data.images(rows)[:, 0], images[rows])
    np.testing.assert_array_equal(data.values(rows)[:, 0], labels[rows])


def test_rows_of_a_class_are_its_first_ones(place) -> None:
    write(place)
    data = MNIST()
    labels = expected("mnist", "labels-idx1-ubyte").tolist()
    np.testing.assert_array_equal(data.rows([[3], [7]]), [labels.index(3), labels.index(7)])
    with pytest.raises(ValueError, match="class 10 is outside"):
        data.rows([[10]])


def test_larger_images_are_interpolated_bilinearly(place) -> None:
    write(place)
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
def test_sizes(place, size) -> None:
    write(place)
    data = MNIST(image_size=size)
    assert data.images([0, 41]).shape == (2, 1, size, size)
    assert data.fingerprint.endswith(f":{size}x{size}")


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"mnist: image_size must be 28 to 128, not {size}"):
        MNIST(image_size=size)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"),
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
def test_places(place, name, folder, packed) -> None:
    at = write(place.parent / folder, name, packed)
    data = DATASETS[name](image_size=28)
    images = expected(name, "images-idx3-ubyte")
    np.testing.assert_array_equal(data.images(range(42))[:, 0], images)
    assert str(at) in data.source
    content = hashlib.sha256("".join(mnist.CONTENT[name].values()).encode()).hexdigest()
    assert data.fingerprint == f"{name}:sha256:{content[:16]}:28x28"


def test_the_two_sets_have_different_fingerprints(place) -> None:
    write(place / "mnist")
    write(place / "fashionmnist", "fashionmnist")
    assert MNIST().fingerprint.split(":")[2] != FashionMNIST().fingerprint.split(":")[2]


def test_missing_files_are_named(place) -> None:
    write(place / "mnist")
    (place / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFile, match=r"train-labels-idx1-ubyte.* is missing") as caught:
        MNIST()
    assert str(place / "mnist") in str(caught.value)
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
def test_swapped_files_are_refused(place, pair, complaint) -> None:
    swap(write(place), *pair)
    refused(place, complaint)


def refused(place: Path, complaint: str) -> str:
    """The refusal has one line, names a file and a remedy, and leaves nothing in the cache."""
    with pytest.raises(ValueError, match=complaint) as caught:
        MNIST()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mnist: ")
    assert any(str(place / file) in message for file in FILES)
    assert "fetch the official file again" in message
    assert not cached(place)
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
def test_damage_is_refused(place, file, damage, complaint) -> None:
    path = write(place) / f"{file}.gz"
    path.write_bytes(damage(idx(MADE["mnist"][file])))
    assert str(path) in refused(place, complaint)


def test_an_announced_flood_is_not_read(place) -> None:
    path = write(place) / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">BBBB3i", 0, 0, 8, 3, 2**31 - 1, 28, 28)))
    refused(place, r"shape \(2147483647, 28, 28\), not \(30, 28, 28\)")


def test_files_of_the_other_set_are_told(place) -> None:
    write(place, "fashionmnist")
    message = refused(place, "of fashionmnist: put each set into its own subfolder")
    assert "labels-idx1-ubyte" in message


def test_a_file_that_changes_is_noticed_in_spite_of_the_cache(place) -> None:
    write(place)
    MNIST()
    path = place / "t10k-images-idx3-ubyte.gz"
    content = idx(MADE["fashionmnist"]["t10k-images-idx3-ubyte"])
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="is t10k-images-idx3-ubyte of fashionmnist"):
        MNIST()


def test_images_are_prepared_once(place, monkeypatch) -> None:
    write(place)
    first = MNIST().images([5])
    monkeypatch.setattr(mnist.IDXData, "_blocks", None)
    np.testing.assert_array_equal(MNIST().images([5]), first)


def test_it_travels_light_to_another_process(place, monkeypatch, tmp_path) -> None:
    write(place / "mnist")
    data = MNIST(image_size=48, data_dir=place)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    received = pickle.loads(sent)
    assert received.fingerprint == data.fingerprint
    np.testing.assert_array_equal(received.images([3]), data.images([3]))


needs_fashion = pytest.mark.skipif(
    not mnist.DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist"
)


@pytest.fixture
def fashion(tmp_path, monkeypatch) -> FashionMNIST:
    monkeypatch.setattr(prepare.platformdirs, "user_cache_dir", lambda name: tmp_path / "cache")
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "data"))
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
    assert "Fashion-MNIST, official files in /usr/share/datasets/fashion-mnist" in table
    (jointvae,) = (tmp_path / "study" / "runs").glob("jointvae-*")
    settings = json.loads((jointvae / "settings.json").read_text())["settings"]
    assert settings["categorical"] == [10]
    details = json.loads((jointvae / "scores.json").read_text())["discrete_accuracy"]["details"]
    assert (details["rows_fitted"], details["rows_scored"]) == (300, 300)
