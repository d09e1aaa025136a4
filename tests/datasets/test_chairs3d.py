"""3D Chairs: small archives and folders in the official layout, good and bad ones."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import Chairs3D, MissingFileError, chairs3d
from tests.datasets.conftest import assert_travels_light, prepared, refusal, write_tar

ARCHIVE = Chairs3D.entry.files[0].name

CHAIRS = [digit * 32 for digit in "b1f"]  # not in the order of the names
ANGLES = (0, 120, 240)


def png(shade: int, mode: str = "RGB", size: int = 600) -> bytes:
    """A white page with a square in the middle, grey except for a darker lower right quarter."""
    picture = Image.new(mode, (size, size), "white")
    half = size // 4
    middle = size // 2
    picture.paste((shade,) * 3 + (255,) * (mode == "RGBA"), (half, half, 3 * half, 3 * half))
    dark = (shade // 2,) * 3 + (255,) * (mode == "RGBA")
    picture.paste(dark, (middle, middle, 3 * half, 3 * half))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def shade(chair: str, elevation: int, angle: int) -> int:
    return 40 + 60 * sorted(CHAIRS).index(chair) + 30 * (elevation == 30) + angle // 24


def view(chair: str, number: int, elevation: int, angle: int) -> str:
    name = f"image_{number:03d}_p{elevation:03d}_t{angle:03d}_r096.png"
    return f"rendered_chairs/{chair}/renders/{name}"


def contents() -> dict[str, bytes]:
    """Members of the archive: the running number is in another order than the views."""
    held = {"rendered_chairs/all_chair_names.mat": b"not opened"}
    for chair in CHAIRS:
        views = [(e, a) for e in (30, 20) for a in (ANGLES[1], ANGLES[0], ANGLES[2])]
        for number, (elevation, angle) in enumerate(views):
            name = view(chair, number, elevation, angle)
            held[name] = png(shade(chair, elevation, angle))
    return held


CONTENTS = contents()


def write(path: Path, held: dict[str, bytes], link: str = "") -> Path:
    return write_tar(path, "w", held, link)


def unpack(folder: Path, held: dict[str, bytes]) -> Path:
    for name, content in held.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "rendered_chairs"


@pytest.fixture
def folder(data_folder, monkeypatch) -> Path:
    """An empty folder for three chairs of six views."""
    monkeypatch.setattr(chairs3d, "CHAIRS", len(CHAIRS))
    monkeypatch.setattr(chairs3d, "AZIMUTHS", len(ANGLES))
    monkeypatch.setattr(chairs3d, "_BLOCK", 5)
    folder = data_folder / "chairs3d"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(folder) -> Path:
    return write(folder / ARCHIVE, CONTENTS)


def expected_shades() -> list[int]:
    return [shade(c, e, a) for c in sorted(CHAIRS) for e in (20, 30) for a in ANGLES]


def test_rows_are_the_grid_by_the_names(archive) -> None:
    data = Chairs3D()
    assert (len(data), data.training, data.image_shape) == (18, 18, (1, 64, 64))
    assert [(f.name, f.size, f.kind) for f in data.factors] == [
        ("chair", 3, "categorical"),
        ("elevation", 2, "ordinal"),
        ("azimuth", 3, "cyclic"),
    ]
    assert data.factors[1].values == (20.0, 30.0)
    assert data.factors[2].values == (0.0, 120.0, 240.0)
    rows = np.random.default_rng(0).permutation(18)
    images = data.images(rows)
    # The upper left of the square; the page; the lower right.
    np.testing.assert_array_equal(images[:, 0, 20, 20], np.array(expected_shades())[rows])
    assert (images[:, 0, 2, 2] == 255).all()
    np.testing.assert_array_equal(images[:, 0, 44, 44], np.array(expected_shades())[rows] // 2)
    np.testing.assert_array_equal(data.rows(data.values(rows)), rows)
    assert "3 of 3 chairs" in data.source


@pytest.mark.parametrize(("size", "crop"), [(64, 400), (32, 400), (28, 600), (100, 300)])
def test_the_centre_is_cut_out_before_it_is_resized(archive, size, crop) -> None:
    data = Chairs3D(image_size=size, crop=crop)
    low = (600 - crop) // 2
    whole = Image.open(io.BytesIO(png(expected_shades()[7]))).convert("L")
    cut = whole.crop((low, low, low + crop, low + crop))
    expected = cut.resize((size, size), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.images([7])[0, 0], expected)
    assert f"{crop}x{crop}" in data.source


def test_black_on_white_can_be_inverted(archive) -> None:
    data, inverted = Chairs3D(), Chairs3D(invert=True)
    rows = range(18)
    np.testing.assert_array_equal(inverted.images(rows), 255 - data.images(rows))
    fingerprints = {data.fingerprint, inverted.fingerprint, Chairs3D(crop=300).fingerprint}
    assert len(fingerprints) == 3


def test_transparent_pictures_stand_on_white(folder, archive) -> None:
    expected = Chairs3D().images(range(18))
    held = dict(CONTENTS)
    name = view(CHAIRS[1], 1, 30, 0)
    picture = Image.open(io.BytesIO(held[name])).convert("RGBA")
    pixels = np.array(picture)
    pixels[(pixels[..., :3] == 255).all(axis=-1)] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    write(archive, {**held, name: file.getvalue()})
    np.testing.assert_array_equal(Chairs3D().images(range(18)), expected)


def test_folder_and_archive_are_the_same_data(folder, archive) -> None:
    packed = Chairs3D()
    images = packed.images(range(18))
    archive.unlink()
    tree = unpack(folder, CONTENTS)
    unpacked = Chairs3D()
    assert str(tree) in unpacked.source
    assert unpacked.fingerprint == packed.fingerprint
    np.testing.assert_array_equal(unpacked.images(range(18)), images)


def test_a_changed_picture_changes_the_fingerprint(folder) -> None:
    unpack(folder, CONTENTS)
    before = Chairs3D()
    name = view(CHAIRS[0], 0, 30, 120)
    (folder / name).write_bytes(png(7))
    after = Chairs3D()
    assert after.fingerprint != before.fingerprint
    row = after.rows([[sorted(CHAIRS).index(CHAIRS[0]), 1, 1]])
    assert after.images(row)[0, 0, 20, 20] == 7


def test_the_official_grid() -> None:
    assert chairs3d.CHAIRS * chairs3d.AZIMUTHS * 2 == 86_366
    # As in the names of the official files: degrees cut to whole ones.
    for k, angle in [(0, 0), (1, 11), (20, 232), (30, 348)]:
        found = chairs3d._view(view("a", 52, 30, angle))
        assert found == ("a", 1, k)
    with pytest.raises(Exception, match="a view from another direction"):
        chairs3d._view(view("a", 52, 30, 100))


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"chairs3d: image_size must be 28 to 128, not {size}"):
        Chairs3D(image_size=size)


@pytest.mark.parametrize("crop", [27, 601])
def test_other_crops_are_refused(crop) -> None:
    with pytest.raises(ValueError, match=f"chairs3d: crop must be 28 to 600, not {crop}"):
        Chairs3D(crop=crop)


def test_a_missing_archive_is_named(folder) -> None:
    with pytest.raises(MissingFileError, match=r"rendered_chairs.tar or rendered_chairs") as caught:
        Chairs3D()
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_chairs_that_lack_views_are_left_out_with_a_warning(folder, packed) -> None:
    held = dict(CONTENTS)
    second = sorted(CHAIRS)[1]
    del held[view(second, 4, 20, 0)]
    if packed:
        write(folder / ARCHIVE, held)
    else:
        unpack(folder, held)
    for _ in range(2):  # prepared, and prepared already
        with pytest.warns(UserWarning, match=rf"left out: {second} \(5 of 6 views\)$"):
            data = Chairs3D()
        assert data.sizes == (2, 2, 3)
        shades = expected_shades()
        expected = shades[:6] + shades[12:]
        np.testing.assert_array_equal(data.images(range(12))[:, 0, 20, 20], expected)
        assert "2 of 3 chairs" in data.source


def test_absent_chairs_are_counted_in_a_warning(folder) -> None:
    write(folder / ARCHIVE, {k: v for k, v in CONTENTS.items() if CHAIRS[0] not in k})
    with pytest.warns(UserWarning, match="left out: 1 without any view$"):
        assert Chairs3D().sizes == (2, 2, 3)


def refused(path: Path, cache_folder: Path, complaint: str) -> None:
    message = refusal(Chairs3D, complaint)
    assert message.startswith(f"chairs3d: {path} ")
    assert "fetch rendered_chairs.tar again" in message
    assert not [name for name in prepared(cache_folder) if "count" not in name]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[:3000], "is damaged"),
        (lambda whole: whole[: len(whole) * 2 // 3 + 100], "is damaged"),
        (lambda whole: b"no archive", "is damaged"),
        (lambda whole: b"", "is damaged"),
        (lambda whole: b"<html>Not found</html>", "is a web page"),
    ],
)
def test_damage_is_refused(archive, cache_folder, damage, complaint) -> None:
    archive.write_bytes(damage(archive.read_bytes()))
    refused(archive, cache_folder, complaint)


NAME = view(CHAIRS[1], 1, 30, 0)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (CONTENTS[NAME][:1000], "has .*t000_r096.png, which is damaged or no PNG"),
        (b"<html>", "which is damaged or no PNG"),
        (png(9, size=300), r"_t000_r096.png of \(300, 300\) pixels, not \(600, 600\)"),
        (bytes(2**24 + 1), "of 16,777,217 bytes, not such a picture"),
    ],
)
def test_other_pictures_are_refused(folder, cache_folder, packed, content, complaint) -> None:
    held = {**CONTENTS, NAME: content}
    path = write(folder / ARCHIVE, held) if packed else unpack(folder, held)
    refused(path, cache_folder, complaint)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (view(CHAIRS[0], 50, 20, 120), "has the view of .*image_050_p020_t120_r096.png twice"),
        (view(CHAIRS[0], 50, 40, 120), "a view from another direction"),
        (view(CHAIRS[0], 50, 30, 100), "a view from another direction"),
        (view("d" * 32, 0, 30, 0), "holds 4 chairs, not 3"),
    ],
)
def test_other_views_are_refused(folder, cache_folder, packed, more, complaint) -> None:
    held = {**CONTENTS, more: png(9)}
    path = write(folder / ARCHIVE, held) if packed else unpack(folder, held)
    refused(path, cache_folder, complaint)


def test_an_archive_without_a_complete_chair_is_refused(folder, cache_folder) -> None:
    held = {name: content for name, content in CONTENTS.items() if "t120" not in name}
    for members in (held, {"other.txt": b""}):
        path = write(folder / ARCHIVE, members)
        refused(path, cache_folder, "holds no chair with all 6 views")


@pytest.mark.parametrize("name", ["../escaped.png", "/etc/escaped.png", "a/../../escaped.png"])
def test_members_that_leave_the_folder_are_refused(folder, cache_folder, name) -> None:
    path = write(folder / ARCHIVE, {**CONTENTS, name: b"escaped"})
    refused(path, cache_folder, "escaped.png' leaves the folder")


def test_links_are_not_followed(folder) -> None:
    write(folder / ARCHIVE, CONTENTS, link=NAME)
    with pytest.warns(UserWarning, match=rf"left out: {CHAIRS[1]} \(5 of 6 views\)"):
        Chairs3D()


def test_it_is_prepared_once_and_travels_light(archive, monkeypatch, tmp_path) -> None:
    data = Chairs3D(image_size=32, crop=500, invert=True, data_dir=archive.parent)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(chairs3d, "_blocks", None)
    monkeypatch.setattr(chairs3d, "_complete", None)
    assert_travels_light(data)
