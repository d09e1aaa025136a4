"""CelebA: small archives and text files in the official layout, good and bad ones."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import CelebA, MissingFileError, celeba
from tests.datasets.conftest import assert_travels_light, make_official, prepared, refusal

COUNT = 12
NAMES = [f"{k:06d}.jpg" for k in range(1, COUNT + 1)]
ATTRIBUTES = ["5_o_Clock_Shadow", "Bald", "Eyeglasses", "Smiling", "Young"]
PARTS = [0] * 7 + [1] * 2 + [2] * 3


def jpeg(row: int, size: tuple[int, int] = (178, 218)) -> bytes:
    """A picture whose colour tells its row, brighter to the lower right."""
    width, height = size
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 80 / (width + height)
    pixels = np.stack([ramp + 10 * row, ramp + 60, 200 - ramp - 5 * row], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (COUNT, len(ATTRIBUTES)))


def attributes() -> str:
    lines = [str(COUNT), " ".join(ATTRIBUTES) + " "]
    for name, row in zip(NAMES, labels(), strict=True):
        # As in the official file: values are set flush right, so spaces come in runs.
        lines.append(f"{name} " + " ".join(f"{2 * value - 1:2d}" for value in row))
    return "\n".join(lines) + "\n"


def partition() -> str:
    return "".join(f"{name} {part}\n" for name, part in zip(NAMES, PARTS, strict=True))


def members() -> dict[str, bytes]:
    # Out of order, and with what a Mac adds.
    order = np.random.default_rng(1).permutation(COUNT)
    held = {f"img_align_celeba/{NAMES[row]}": jpeg(row) for row in order}
    return {"img_align_celeba/": b"", **held, "__MACOSX/img_align_celeba/._000001.jpg": b"other"}


def archive(held: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, content in held.items():
            written.writestr(name, content)
    return file.getvalue()


def write(folder: Path, contents: dict[str, bytes], monkeypatch) -> None:
    """Write the files, and make them the official ones."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    make_official(monkeypatch, CelebA, *(folder / name for name in contents))


def official() -> dict[str, bytes]:
    return {
        celeba.ARCHIVE: archive(members()),
        celeba.ATTRIBUTES: attributes().encode(),
        celeba.PARTITION: partition().encode(),
    }


@pytest.fixture
def folder(data_folder, monkeypatch) -> Path:
    """A small official set."""
    monkeypatch.setattr(celeba, "COUNT", COUNT)
    monkeypatch.setattr(celeba, "ATTRIBUTE_COUNT", len(ATTRIBUTES))
    monkeypatch.setattr(celeba, "_BLOCK", 5)
    folder = data_folder / "celeba"
    folder.mkdir()
    write(folder, official(), monkeypatch)
    return folder


def test_rows_are_in_the_order_of_the_names(folder) -> None:
    data = CelebA()
    assert (len(data), data.training, data.image_shape) == (COUNT, 7, (3, 64, 64))
    rows = np.random.default_rng(2).permutation(COUNT)
    for row, image in zip(rows, data.images(rows), strict=True):
        whole = Image.open(io.BytesIO(jpeg(row)))
        expected = whole.resize((64, 64), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(image, np.asarray(expected).transpose(2, 0, 1))
        assert image[0].mean() == pytest.approx(10 * row + 40, abs=3)
    assert str(folder / celeba.ARCHIVE) in data.source


def test_attributes_are_the_factors(folder) -> None:
    data = CelebA()
    assert [factor.name for factor in data.factors] == ATTRIBUTES
    assert {(factor.size, factor.kind) for factor in data.factors} == {(2, "categorical")}
    np.testing.assert_array_equal(data.values(range(COUNT)), labels())
    rows = data.rows(labels())
    np.testing.assert_array_equal(data.values(rows), labels())
    absent = next(
        values for values in np.ndindex(*data.sizes) if not (labels() == values).all(axis=1).any()
    )
    with pytest.raises(ValueError, match="no image has 5_o_Clock_Shadow"):
        data.rows([absent])


def test_the_centre_is_cut_out(folder) -> None:
    data = CelebA(image_size=32, crop=148)
    whole = Image.open(io.BytesIO(jpeg(4)))
    expected = whole.crop((15, 35, 163, 183)).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.images([4])[0], np.asarray(expected).transpose(2, 0, 1))
    assert "148x148" in data.source
    assert data.fingerprint != CelebA(image_size=32).fingerprint


@pytest.mark.parametrize("crop", [27, 179])
def test_other_crops_are_refused(crop) -> None:
    with pytest.raises(ValueError, match=f"celeba: crop must be None or 28 to 178, not {crop}"):
        CelebA(crop=crop)


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"celeba: image_size must be 28 to 128, not {size}"):
        CelebA(image_size=size)


@pytest.mark.parametrize("name", [file.name for file in CelebA.entry.files])
def test_missing_files_are_named(folder, name) -> None:
    (folder / name).unlink()
    with pytest.raises(MissingFileError, match=f"{name} is missing") as caught:
        CelebA()
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def refused(path: Path, cache_folder: Path, complaint: str) -> None:
    message = refusal(CelebA, complaint)
    assert message.startswith(f"celeba: {path} ")
    assert "mmlab.ie.cuhk.edu.hk/projects/CelebA.html" in message
    assert not [name for name in prepared(cache_folder) if "64x64" in name]


@pytest.mark.parametrize("name", [file.name for file in CelebA.entry.files])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[: len(whole) // 2], "is truncated"),
        (lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), "another file: its md5 is"),
        (lambda whole: b"<!DOCTYPE html><html>Quota exceeded</html>", "is a web page"),
    ],
)
def test_another_checksum_is_refused(folder, cache_folder, name, damage, complaint) -> None:
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    refused(folder / name, cache_folder, complaint)


def change(folder: Path, name: str, content: bytes, monkeypatch) -> None:
    """Another official file."""
    write(folder, {**official(), name: content}, monkeypatch)


def _swapped_lines(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:4], lines[5], lines[4], *lines[6:]])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text.replace("12\n", "13\n", 1), "begins with the count 13"),
        (lambda text: text.replace(" Bald", ""), "and 4 attributes, not 12 and 5"),
        (lambda text: text.replace(" Bald", " Young"), "begins with the count"),
        (lambda text: text[: text.index("000012")], "names 11 pictures, not 12"),
        (lambda text: text + "000013.jpg  1  1  1  1  1\n", "names '000013.jpg' in place"),
        (lambda text: text + "\n", "names '' in place of picture 13 of 12"),
        (_swapped_lines, "names '000004.jpg' in place of picture 3"),
        (lambda text: text[:-3] + "2\n", "no 5 values 1 or -1 for 000012.jpg"),
        (lambda text: text[:-4] + "\n", "no 5 values 1 or -1 for 000012.jpg"),
        (lambda text: text.replace("Bald", "Kähl"), "is damaged"),
        (lambda text: "", "begins with the count"),
    ],
)
def test_other_attributes_are_refused(folder, cache_folder, monkeypatch, damage, complaint) -> None:
    change(folder, celeba.ATTRIBUTES, damage(attributes()).encode(), monkeypatch)
    refused(folder / celeba.ATTRIBUTES, cache_folder, complaint)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[: text.index("000012")], "names 11 pictures, not 12"),
        (lambda text: text.replace("3.jpg 0", "3.jpg 1"), "does not name parts 0, then 1 and 2"),
        (lambda text: text.replace("9.jpg 1", "9.jpg 3"), "does not name parts"),
        (lambda text: text.replace("9.jpg 1", "9.jpg"), "does not name parts"),
    ],
)
def test_another_partition_is_refused(folder, cache_folder, monkeypatch, damage, complaint) -> None:
    change(folder, celeba.PARTITION, damage(partition()).encode(), monkeypatch)
    refused(folder / celeba.PARTITION, cache_folder, complaint)


def _no_picture(held):
    del held["img_align_celeba/000005.jpg"]


def _smaller_picture(held):
    held["img_align_celeba/000005.jpg"] = jpeg(4, (100, 100))


def _broken_picture(held):
    held["img_align_celeba/000005.jpg"] = held["img_align_celeba/000005.jpg"][:900]


def _other_format(held):
    file = io.BytesIO()
    Image.new("RGB", (178, 218)).save(file, "PNG")
    held["img_align_celeba/000005.jpg"] = file.getvalue()


def _no_picture_at_all(held):
    held["img_align_celeba/000005.jpg"] = b"\x80\x04cbuiltins\nint\n."


def _huge_member(held):
    held["img_align_celeba/000005.jpg"] = bytes(2**20 + 1)


@pytest.mark.parametrize(
    ("alter", "complaint"),
    [
        (_no_picture, "holds 11 of the 12 pictures"),
        (_smaller_picture, r"000005.jpg of \(100, 100\) pixels, not \(178, 218\)"),
        (_broken_picture, "000005.jpg, which is damaged or no JPEG"),
        (_other_format, "000005.jpg, which is damaged or no JPEG"),
        (_no_picture_at_all, "000005.jpg, which is damaged or no JPEG"),
        (_huge_member, "000005.jpg of 1,048,577 bytes"),
    ],
)
def test_other_pictures_are_refused(folder, cache_folder, monkeypatch, alter, complaint) -> None:
    held = members()
    alter(held)
    change(folder, celeba.ARCHIVE, archive(held), monkeypatch)
    refused(folder / celeba.ARCHIVE, cache_folder, complaint)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"no archive",
        lambda whole: whole[:1500] + bytes([whole[1500] ^ 255]) + whole[1501:],
    ],
)
def test_damage_below_the_checksum_is_refused(folder, cache_folder, monkeypatch, damage) -> None:
    change(folder, celeba.ARCHIVE, damage(official()[celeba.ARCHIVE]), monkeypatch)
    refused(folder / celeba.ARCHIVE, cache_folder, "is damaged")


@pytest.mark.parametrize("name", ["../escaped.jpg", "/etc/escaped.jpg", "a/../../escaped.jpg"])
def test_members_that_leave_the_folder_are_refused(folder, cache_folder, monkeypatch, name) -> None:
    change(folder, celeba.ARCHIVE, archive({**members(), name: b"escaped"}), monkeypatch)
    refused(folder / celeba.ARCHIVE, cache_folder, "escaped.jpg' leaves the folder")


def test_it_is_prepared_once_and_travels_light(folder, monkeypatch, tmp_path) -> None:
    data = CelebA(image_size=32, crop=100, data_dir=folder)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(celeba, "_blocks", None)
    monkeypatch.setattr(celeba, "_attributes", None)
    assert_travels_light(data)
