"""`bench data verify`: right and wrong files, labels and pixels."""

import gzip
import hashlib
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data import verify as data_verify
from bench.datasets import DATASETS, MNIST, Cars3D, DSprites, Factor, Toy, dsprites, mnist, sprites
from bench.datasets.entry import File, Published
from bench.datasets.files import Location

pytestmark = pytest.mark.usefixtures("here")

BODY = np.random.default_rng(0).bytes(10_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"


@pytest.mark.parametrize("name", ["toy", "digits", "color_dsprites"])
def test_what_is_built_in_is_checked_without_files(cli_here, monkeypatch, name: str) -> None:
    verified = cli_here("data", "verify", name)
    assert verified.code == 0, verified.out
    lines = verified.out.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == 2 + (name == "digits")
    data = DATASETS[name]()
    assert lines[0] == f"note     {data.source}"
    assert f"as in the records of runs at this size: {data.fingerprint}" in verified.out
    assert data_verify.sample_checksum(data) in lines[-2]
    assert lines[-1] == f"{name}: all is as it should be"


def test_what_is_built_in_and_broken(cli_here, monkeypatch) -> None:
    rows = Toy.rows
    monkeypatch.setattr(Toy, "rows", lambda self, values: rows(self, values)[::-1])
    verified = cli_here("data", "verify", "toy")
    assert verified.code == 1
    assert verified.out.splitlines()[2].startswith("DIFFERS  labels that do not lead back")
    assert verified.out.splitlines()[-1] == "toy: 1 of the findings differ"


def test_other_pixels_have_another_checksum(monkeypatch) -> None:
    before, images = data_verify.sample_checksum(Toy()), Toy.images
    monkeypatch.setattr(Toy, "images", lambda self, rows: images(self, rows) ^ np.uint8(1))
    assert data_verify.sample_checksum(Toy()) != before


def test_data_of_which_nothing_is_known(cli_here, here) -> None:
    np.savez(here / "mine.npz", images=np.zeros((2, 28, 28), np.uint8), factors=[[0], [1]])
    verified = cli_here("data", "verify", "mine.npz")
    assert (verified.code, verified.out, verified.err.count("\n")) == (2, "", 1)
    assert "`bench check mine.npz` checks" in verified.err


def idx(values: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes()
    )


@pytest.fixture
def small_mnist(give_files, monkeypatch, here) -> Path:
    """A small MNIST in the official format, and an entry to match."""
    rng = np.random.default_rng(0)
    counts = {"train": 40, "t10k": 20}
    files, folder = [], here / "data" / "mnist"
    folder.mkdir(parents=True)
    pixels = rng.integers(256, size=(40, 28, 28), dtype=np.uint8)
    for part, count in counts.items():
        for kind, values in (
            ("images-idx3", pixels[:count]),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            name, data = f"{part}-{kind}-ubyte", idx(values)
            content = hashlib.sha256(data).hexdigest()
            (folder / name).write_bytes(data)
            plain = File(name, digest=f"sha256:{content}", size=len(data))
            urls = ("http://a.test/x",)
            files.append(File(f"{name}.gz", urls, MD5, content=content, instead=(plain,)))
    monkeypatch.setattr(mnist, "COUNTS", counts)
    mean, deviation = pixels.mean() / 255, pixels.std() / 255
    within = np.mean([image.std(ddof=1) for image in pixels]) / 255
    give_files(
        *files,
        name="mnist",
        counts=(60,),
        training=40,
        per_class=(4, 4),
        published=Published((mean,), (deviation,), (within,), tolerance=1e-9, image_size=28),
    )
    return folder


def test_right_files_are_verified(cli_here, small_mnist) -> None:
    result = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert result.code == 0, result.out
    assert result.out.count("ok  ") == 8 + 4 + 3
    assert result.out.splitlines()[-1] == "mnist: all is as it should be"


def test_a_wrong_file_is_found(cli_here, small_mnist) -> None:
    path = small_mnist / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    result = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert result.code == 1
    assert re.search(rf"^DIFFERS  {path}: sha256 \w+, not \w+$", result.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("fields", "finding"),
    [
        ({"counts": (61,)}, "images: 60 (expected 61)"),
        ({"training": 41}, "images to train on: 40 (expected 41)"),
        ({"per_class": (3, 4)}, "4 to 4 (expected 3 to 4)"),
        ({"published": Published((0.4,), image_size=28)}, "mean of 40 images"),
        (
            {"published": Published((0.5,), (0.2,), tolerance=0.02, image_size=28)},
            "deviation of 40 images",
        ),
    ],
)
def test_other_numbers_than_published_are_found(
    cli_here, small_mnist, give_files, fields, finding
) -> None:
    give_files(*MNIST.entry.files, name="mnist", **fields)
    answer = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert answer.code == 1
    differing = [line for line in answer.out.splitlines() if line.startswith("DIFFERS")]
    assert len(differing) == 1
    assert finding in differing[0]


def test_missing_files(cli_here, small_mnist) -> None:
    (small_mnist / "t10k-labels-idx1-ubyte").unlink()
    result = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "bench: mnist: t10k-labels-idx1-ubyte.gz or t10k-labels-idx1-ubyte is missing: put it into "
        f"{small_mnist}, or `bench data fetch mnist` downloads it\n"
    )
    result = cli_here("data", "verify", "celeba", "--data-dir", "data")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "did you mean mnist" in cli_here("data", "verify", "minst").err


def test_statistics_of_a_part_and_of_colours() -> None:
    class Colours(Toy):
        def images(self, rows: Any) -> np.ndarray:
            grey = super().images(rows)
            return np.concatenate([grey, grey // 2, 255 - grey], axis=1)

    data = Colours()
    data.image_shape = (3, 32, 32)
    rows = np.flatnonzero(data.values(range(576))[:, 0] == 2)
    x = data.images(rows) / 255
    mean, deviation = tuple(x.mean((0, 2, 3))), tuple(x.std((0, 2, 3)))
    within = tuple(x.std((2, 3), ddof=1).mean(0))
    published = Published(mean, deviation, within, tolerance=1e-12, only=("shape", (2,)))
    found = list(data_verify.statistics_checks(data, published, lambda done, total: None))
    assert [check.holds for check in found] == [True] * 3
    published = replace(published, only=("shape", (1,)))
    found = list(data_verify.statistics_checks(data, published, lambda done, total: None))
    assert [check.holds for check in found] == [False] * 3


@pytest.mark.parametrize(
    ("file", "holds", "finding"),
    [
        (File("x.gz", digest=MD5, size=1, content=hashlib.sha256(BODY).hexdigest()), [True], "sha"),
        (File("x.gz", digest=MD5, size=1, content="0" * 64), [False, False], "bytes, not 1"),
        (File("x.gz"), [None, None], "none is published"),
        (File("x.gz", digest=MD5, binding=False), [None, None], "as first published"),
        (File("x.gz", digest=MD5), [None, False], f"not {MD5[4:]}"),
        (File("x.gz", folder=True), [False], "is no folder"),
    ],
)
def test_what_a_file_is_checked_for(here, file, holds, finding) -> None:
    (here / "x.gz").write_bytes(gzip.compress(BODY))
    found = list(data_verify.file_checks(Location(file, file, here / "x.gz")))
    assert [check.holds for check in found] == holds
    assert any(finding in check.what for check in found)


def test_labels_of_a_grid() -> None:
    class Swapped(Toy):
        def rows(self, values: Any) -> np.ndarray:
            return super().rows(values)[::-1]

    entry = replace(Cars3D.entry, counts=(576,))
    for data, holds in ((Toy(), [True, True]), (Swapped(), [True, False])):
        assert [check.holds for check in data_verify.label_checks(data, entry)] == holds


# dSprites, which is drawn if there is no file

SIZES = (3, 6, 4, 3, 2)
COUNT = 432


@pytest.fixture
def official(here, monkeypatch, give_files):
    """Write a small official dSprites file; `change` gets its images and classes before."""
    factors = [
        Factor(f.name, size, f.kind, f.values[:size])
        for f, size in zip(dsprites.FACTORS, SIZES, strict=True)
    ]
    classes = np.stack(np.unravel_index(np.arange(COUNT), SIZES), axis=1)
    drawn = sprites.unpack(sprites.render(classes))
    pixels = drawn.reshape(COUNT, -1)
    published = Published(
        (pixels.mean(),), image_deviation=(pixels.std(1, ddof=1).mean(),), tolerance=1e-6
    )
    monkeypatch.setattr(dsprites, "FACTORS", tuple(factors))
    give_files(*DSprites.entry.files, name="dsprites", counts=(COUNT,), published=published)
    (here / "data").mkdir()

    def write(change: Any = None) -> Path:
        arrays = {
            "imgs": drawn.copy(),
            "latents_classes": np.insert(classes, 0, 0, axis=1).astype("<i8"),
        }
        if change:
            change(arrays["imgs"], arrays["latents_classes"])
        path = here / "data" / dsprites.NPZ
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w") as member:
                    np.lib.format.write_array(member, array, version=(1, 0))
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        give_files(File(path.name, digest=f"md5:{md5}"), name="dsprites")
        return path

    return write


def _differing(result: Any) -> list[str]:
    return [line[9:] for line in result.out.splitlines() if line.startswith("DIFFERS")]


def test_a_dsprites_file_is_verified_by_checksum_labels_and_statistics(cli_here, official) -> None:
    path = official()
    result = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert result.code == 0, result.out
    assert result.out.count("ok  ") == 1 + 2 + 2
    assert f"ok       {path}: md5" in result.out
    assert "mean deviation within an image of 432 images" in result.out
    assert "dsprites-official:md5:" in result.out


def _a_few_pixels(images: np.ndarray, classes: np.ndarray) -> None:
    images[7, 0, :2] = 1
    images[9, 0, 5] = 1


def _bright(images: np.ndarray, classes: np.ndarray) -> None:
    images *= 255


def _swapped(images: np.ndarray, classes: np.ndarray) -> None:
    classes[[3, 4]] = classes[[4, 3]]


@pytest.mark.parametrize(
    ("change", "findings"),
    [
        (_a_few_pixels, ["mean of 432", "mean deviation within an image of 432"]),
        (_bright, ["dsprites: {path} holds pixels other than 0 and 1"]),
        (_swapped, ["dsprites: {path} holds its images in another order"]),
    ],
)
def test_a_dsprites_file_that_differs(cli_here, official, change, findings) -> None:
    path = official(change)
    answer = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert answer.code == 1
    starts = [start.format(path=path) for start in findings]
    found = _differing(answer)
    assert len(found) == len(starts)
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=True))


def test_a_damaged_dsprites_file(cli_here, official) -> None:
    path = official()
    path.write_bytes(path.read_bytes()[:-200])
    result = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert result.code == 1
    assert [line for line in _differing(result) if "md5" in line]
    assert "labels and pixels are not read" in result.out


def test_without_a_dsprites_file_the_renderer_is_verified(
    cli_here, official, here, monkeypatch
) -> None:
    result = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert result.code == 0, result.out
    note = f"no official file in {here}/data/dsprites: the images are drawn by the suite"
    assert note in result.out.splitlines()[0]
    assert result.out.count("ok  ") == 2 + 2
    render = sprites.render
    monkeypatch.setattr(sprites, "render", lambda values: render(values) << np.uint64(1) | 1)
    answer = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert answer.code == 1
    assert len(_differing(answer)) == 2
