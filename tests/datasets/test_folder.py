"""A folder of a user's own pictures: what is read, what is said, and what is refused."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.datasets import MissingFileError, Pictures, folder
from tests.datasets.conftest import assert_travels_light, prepared, refusal

RNG = np.random.default_rng


@pytest.fixture
def faces(cache_folder, tmp_path) -> Path:
    """An empty folder."""
    (tmp_path / "faces").mkdir()
    return tmp_path / "faces"


def fill(path: Path, count: int = 6, shape: tuple[int, ...] = (32, 32, 3)) -> list[np.ndarray]:
    """Write pictures of noise: 0.png, 1.png, ..."""
    pixels = [RNG(k).integers(0, 256, shape, dtype=np.uint8) for k in range(count)]
    for k, picture in enumerate(pixels):
        Image.fromarray(picture).save(path / f"{k}.png")
    return pixels


def table(path: Path, *lines: str) -> None:
    (path / "factors.csv").write_text("".join(f"{line}\n" for line in lines))


def test_pictures_come_in_the_order_of_their_names(faces) -> None:
    pixels = fill(faces, 12)
    data = Pictures(faces)
    order = sorted(range(12), key=str)
    np.testing.assert_array_equal(
        data.images(range(12)).transpose(0, 2, 3, 1), np.stack([pixels[k] for k in order])
    )
    assert (data.factors, len(data), data.held_out) == ((), 12, 0)
    assert data.source == "Own pictures, 12 of 32x32 pixels in the folder faces"
    assert data.notes == (
        "pictures: 32x32 pixels, in colour",
        "no file factors.csv: metrics that need factors are left out",
    )
    assert_travels_light(data)


def test_factors_of_a_csv_file(faces) -> None:
    fill(faces)
    table(
        faces,
        "age,file,hair,smile,test",
        "0.5,3.png,red,True,false",
        "1.5,0.png,black,False,true",
        ",1.png,red,False,false",
        "2.5,2.png,,True,",
        "9,nobody.png,red,True,false",
        "4.5,4.png,red,False,0",
    )
    data = Pictures(faces)
    assert [(f.name, f.kind) for f in data.factors] == [
        ("age", "continuous"),
        ("hair", "categorical"),
        ("smile", "categorical"),
    ]
    assert data.factors[1].labels == ("black", "red")
    rows = [5, 0, 1, 2, 3, 4]  # 0.png is held out, and so last
    assert data.held_out == 1
    np.testing.assert_array_equal(data.numbers(rows)[:, 0], [1.5, np.nan, 2.5, 0.5, 4.5, np.nan])
    assert data.values(rows)[:, 1].tolist() == [0, 1, -1, 1, 1, -1]
    assert data.values(rows)[:, 2].tolist() == [0, 0, 1, 1, 0, -1]
    said = "\n".join(data.notes)
    assert "factors.csv: file names in the column 'file'" in said
    assert "pictures without a line in factors.csv, which have no labels: 5.png" in said
    assert "lines of factors.csv for which there is no picture: nobody.png" in said
    assert "age: continuous" in said
    assert_travels_light(data)


def test_pictures_of_many_sizes_and_modes(faces) -> None:
    fill(faces, 2, (300, 200, 3))
    fill(faces / "..", 0)
    for name, picture in {
        "a.jpg": Image.fromarray(RNG(0).integers(0, 256, (40, 90), dtype=np.uint8)),
        "b.JPEG": Image.new("CMYK", (30, 30), (10, 20, 30, 40)),
        "c.png": Image.new("P", (1, 1)),
        "d.png": Image.new("1", (28, 28), 1),
        "e.png": Image.new("LA", (64, 64), (200, 128)),
        "f.png": Image.fromarray(np.full((64, 64), 2**15, dtype=np.uint16)),
    }.items():
        picture.save(faces / name)
    (faces / "notes.txt").write_text("mine")
    (faces / ".hidden.png").write_text("of the system")
    data = Pictures(faces)
    assert data.image_shape == (3, 64, 64)
    assert len(data) == 8
    assert "8 sizes" not in data.notes[0]
    assert "6 sizes of 1 to 300 by 1 to 200 pixels, in colour, padded with black" in data.notes[0]
    assert data.notes[-1] == "files that are ignored: notes.txt"
    images = data.images(range(8))
    assert (images[5] == 255).all(), "one bit per pixel"
    assert (images[6] == 100).all(), "grey at half the opacity"
    assert (images[7] == 128).all(), "16 bits per pixel"
    wide, tall = images[2], images[0]
    assert not wide[:, :17].any()
    assert wide[:, 20:44].any()
    assert not tall[:, :, :10].any()
    cut = Pictures(faces, image_size=32, fit="crop")
    assert cut.image_shape == (3, 32, 32)
    assert cut.images([0])[0, :, :, 0].any()


def test_grey_files_make_grey_images(faces) -> None:
    fill(faces, 3, (28, 28))
    assert Pictures(faces).image_shape == (1, 28, 28)


def test_a_photograph_is_turned_as_its_camera_says(faces) -> None:
    pixels = np.zeros((40, 60), dtype=np.uint8)
    pixels[:, 40:] = 255  # bright on the right, which is below once it is turned
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(faces / "turned.jpg", exif=exif)
    Image.fromarray(pixels.T.copy()).save(faces / "upright.jpg")
    Image.fromarray(255 - pixels.T).save(faces / "zebra.jpg")
    data = Pictures(faces)
    assert "60x40 pixels" in data.notes[0]
    np.testing.assert_array_equal(data.images([0]), data.images([1]))
    assert (data.images([0]) != data.images([2])).any()


def test_the_fingerprint_is_that_of_all_files(faces) -> None:
    def fingerprint(**options: Any) -> str:
        return Pictures(faces, **options).fingerprint

    pixels = fill(faces)
    first = fingerprint()
    assert fingerprint() == fingerprint(image_size=32) == first
    seen = {first, fingerprint(image_size=64), fingerprint(image_size=64, fit="crop")}
    table(faces, "file,a", *(f"{k}.png,{k % 2}" for k in range(6)))
    seen.add(fingerprint())
    table(faces, "file,a", *(f"{k}.png,{k % 3}" for k in range(6)))
    seen.add(fingerprint())
    Image.fromarray(255 - pixels[0]).save(faces / "0.png")
    seen.add(fingerprint())
    (faces / "0.png").rename(faces / "7.png")
    assert len(seen) == 6
    table(faces, "file,a", *(f"{k}.png,{k % 3}" for k in range(1, 6)))
    assert fingerprint() not in seen


def test_many_pictures_are_decoded_once(faces, cache_folder, monkeypatch) -> None:
    fill(faces)
    in_memory = Pictures(faces).images(range(6))
    monkeypatch.setattr(folder, "_IN_MEMORY", 1000)
    monkeypatch.setattr(folder, "_BLOCK", 4)
    np.testing.assert_array_equal(Pictures(faces).images(range(6)), in_memory)
    monkeypatch.setattr(Pictures, "_decoded", None)
    np.testing.assert_array_equal(Pictures(faces).images(range(6)), in_memory)
    (name,) = prepared(cache_folder)
    assert name.startswith("pictures-")


def bomb() -> bytes:
    """A png file of a hundred bytes that declares 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RNG(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def gif() -> bytes:
    stream = io.BytesIO()
    Image.new("P", (32, 32)).save(stream, "GIF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has x.png, which is no png or jpg picture: remove it"),
        (b"<svg/>", "has x.png, which is no png or jpg picture"),
        (gif(), "has x.png, which is no png or jpg picture"),
        (png()[:1500], "has x.png, which is damaged .*: mend or remove it"),
        (png()[:20], "has x.png, which is"),
        (png()[:200] + b"????" + png()[204:], "has x.png, which is damaged"),
        (bomb(), "has x.png(, which is damaged .*exceeds limit| of 30000x30000 pixels)"),
    ],
)
def test_a_picture_that_is_none_is_named(faces, content, complaint, recwarn) -> None:
    fill(faces)
    (faces / "x.png").write_bytes(content)
    message = refusal(Pictures, complaint, path=faces)
    assert str(faces) in message
    assert not recwarn.list


def test_a_picture_that_is_large_but_no_bomb_to_pillow_is_refused(faces) -> None:
    fill(faces)
    header = bomb().replace(struct.pack(">II", 30_000, 30_000), struct.pack(">II", 10_000, 8_000))
    body = header[12:29]
    (faces / "x.png").write_bytes(header[:29] + struct.pack(">I", zlib.crc32(body)) + header[33:])
    refusal(Pictures, "has x.png of 8000x10000 pixels, of at most 67,108,864: make it", path=faces)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["file,a"], "factors.csv without a line of names and lines of pictures"),
        (["name,a", "zero,1"], "factors.csv without a column of file names such as '0.png'"),
        (["file,a", "0.png,1", "0.png,2"], "'0.png' twice in factors.csv: leave one line out"),
        (["file,a", "0.png"], "factors.csv with 1 cells in line 2, not 2"),
        (["file,a,a", "0.png,1,2"], "factors.csv with empty or repeated names"),
        (["file,", "0.png,1"], "factors.csv with empty or repeated names"),
        (["file", "0.png"], "has in factors.csv no column of a factor"),
        (["file,test", "0.png,true"], "has in factors.csv no column of a factor"),
        (["file,test,a", "0.png,maybe,1"], "a column 'test' of other words than true and false"),
        (["file,a", "0.png,"], "has no label of a: leave the factor out"),
        (["file,a", "0.png,\udcff"], "factors.csv, which is no csv file"),
        (["file,a", f"0.png,{'x' * 200_000}"], "factors.csv, which is no csv file"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_named(faces, lines, complaint) -> None:
    fill(faces)
    text = "".join(f"{line}\n" for line in lines)
    (faces / "factors.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    refusal(Pictures, complaint, path=faces)


def test_all_pictures_held_out(faces) -> None:
    fill(faces, 2)
    table(faces, "file,test,a", "0.png,true,1", "1.png,true,2")
    refusal(Pictures, "only pictures for testing: leave some to train on", path=faces)


def test_folders_without_pictures_to_learn_from(faces, tmp_path) -> None:
    with pytest.raises(MissingFileError, match="nowhere: there is no such folder"):
        Pictures(tmp_path / "nowhere")
    refusal(Pictures, "has no png or jpg file: name a folder of pictures", path=faces)
    (faces / "cats").mkdir()
    fill(faces / "cats")
    refusal(Pictures, r"but in folders \(cats\): name one of them", path=faces)
    fill(faces, 1)
    refusal(Pictures, "has one picture: nothing can be learned", path=faces)
    for name in "ab":
        Image.new("RGB", (40, 50), "red").save(faces / f"{name}.png")
    (faces / "0.png").unlink()
    refusal(Pictures, "has 2 pictures that are all the same", path=faces)
    with pytest.raises(ValueError, match="faces: image_size must be 28 to 128, not 8"):
        Pictures(faces, image_size=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read(faces) -> None:
    fill(faces)
    (faces / "3.png").chmod(0)
    refusal(Pictures, "3.png cannot be read", path=faces)


def test_names_of_files_stay_in_a_line(faces) -> None:
    fill(faces, 2)
    (faces / "a\nb.txt").write_text("")
    (faces / "\x1b[31m.txt").write_text("")
    assert all(note.isprintable() for note in Pictures(faces).notes)
    (faces / "x\ny.png").write_text("")
    refusal(Pictures, "is no png or jpg picture", path=faces)
