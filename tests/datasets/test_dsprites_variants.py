"""Colour, noise and pictures on dSprites: what is drawn, and that it belongs to row and seed."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import (
    ColorDSprites,
    DSprites,
    FactorData,
    NoisyDSprites,
    ScreamDSprites,
    dsprites_variants,
)
from tests.datasets.conftest import assert_travels_light, refusal

VARIANTS = (ColorDSprites, NoisyDSprites, ScreamDSprites)
ROWS = np.random.default_rng(0).integers(737_280, size=300)


@pytest.fixture(autouse=True)
def _no_official_file(data_folder) -> None:
    pass


@pytest.fixture(scope="module")
def sprite() -> np.ndarray:
    """Where the sprites of ROWS are, (300, 64, 64)."""
    return DSprites().images(ROWS)[:, 0] == 255


def flat(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (80, 70)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_the_hash_is_splitmix64() -> None:
    # The first numbers of that generator from the seed 0, as its authors' program prints them.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert dsprites_variants._words(np.zeros(1, dtype=np.uint64), 4)[0].tolist() == published


def test_keys_of_rows_and_seeds_differ() -> None:
    keys = [dsprites_variants._keys(seed, np.arange(1000)) for seed in (0, 1, 999, 2**63 - 1)]
    assert len(np.unique(keys)) == 4000


def test_sprites_have_one_colour_each_on_black(sprite) -> None:
    images = ColorDSprites().images(ROWS).transpose(0, 2, 3, 1)
    assert not images[~sprite].any()
    pairs = zip(images, sprite, strict=True)
    colours = np.array([image[where].max(axis=0) for image, where in pairs])
    inside = np.broadcast_to(colours[:, None, None], images.shape)[sprite]
    np.testing.assert_array_equal(images[sprite], inside)
    assert colours.min() >= 128
    assert len(np.unique(colours, axis=0)) > 295
    # Uniform: of 900 values each eighth of the range has about 112, and channels do not agree.
    counts = np.histogram(colours, bins=8, range=(128, 256))[0]
    assert np.abs(counts - 112.5).max() < 5 * np.sqrt(112.5)
    assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.25


def test_white_sprites_on_uniform_noise(sprite) -> None:
    images = NoisyDSprites().images(ROWS)
    planes = images.transpose(0, 2, 3, 1)
    assert (planes[sprite] == 255).all()
    noise = planes[~sprite]
    counts = np.bincount(noise.reshape(-1), minlength=256)
    expected = noise.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 400  # chi square of 255 degrees
    # Neither rows, nor neighbours, nor channels go together.
    corner = images[:, :, :8, :8].astype(float)  # mostly free of sprites
    for one, other in (
        (corner[1:], corner[:-1]),
        (corner[..., 1:], corner[..., :-1]),
        (corner[:, 1:], corner[:, :-1]),
    ):
        assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < 0.03
    following = NoisyDSprites().images(np.arange(100, 200))[:, :, :8].reshape(100, -1)
    correlations = np.corrcoef(following) - np.eye(100)
    assert np.abs(correlations).max() < 0.15


def test_sprites_invert_a_tinted_picture(tmp_path, sprite) -> None:
    data = ScreamDSprites(picture=flat(tmp_path / "flat.png", (10, 100, 250)))
    images = data.images(ROWS).transpose(0, 2, 3, 1).astype(int)
    grounds = images[:, 0, 0]  # never under a sprite
    everywhere = np.broadcast_to(grounds[:, None, None], images.shape)
    np.testing.assert_array_equal(images[~sprite], everywhere[~sprite])
    np.testing.assert_array_equal(images[sprite], 255 - everywhere[sprite])
    # The mean of the picture and a colour, uniform from 0 to 255.
    tints = 2 * grounds - (10, 100, 250)
    assert (tints.min(axis=0) < 15).all()
    assert (tints.max(axis=0) > 240).all()
    assert tints.min() >= -1
    assert tints.max() <= 256
    assert np.abs(tints.mean(axis=0) - 127.5).max() < 25
    assert np.abs(np.corrcoef(tints.T) - np.eye(3)).max() < 0.25


def test_patches_come_from_everywhere(tmp_path) -> None:
    # 3 columns and 2 rows to choose from: bright lines at the edges tell which it was.
    pixels = np.zeros((65, 66, 3), dtype=np.uint8)
    pixels[:, 0, 0] = pixels[:, 65, 1] = pixels[0, :, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "lines.png")
    images = ScreamDSprites(picture=tmp_path / "lines.png").images(np.arange(600)).astype(int)
    inner = images[:, :, 50, 50]  # the sprites of these rows end left of column 45
    left = images[:, 0, 50, 0] > inner[:, 0] + 100
    right = images[:, 1, 50, 63] > inner[:, 1] + 100
    top = images[:, 2, 0, 50] > inner[:, 2] + 100
    assert not (left & right).any()
    for chosen, share in ((left, 1 / 3), (right, 1 / 3), (top, 1 / 2), (left & top, 1 / 6)):
        assert abs(chosen.mean() - share) < 0.1


def test_the_picture_without_one_is_the_sample_photo() -> None:
    data = ScreamDSprites()
    assert "patches of the photo china.jpg of scikit-learn at 350x234 pixels" in data.source
    assert np.unique(data.images(ROWS[:20])).size > 200


def test_a_picture_keeps_its_shape_and_is_only_made_smaller(tmp_path) -> None:
    for size, shown in (((700, 700), "274x274"), ((80, 70), "80x70"), ((1400, 548), "350x137")):
        data = ScreamDSprites(picture=flat(tmp_path / "a.jpg", (1, 2, 3), size))
        assert f"{tmp_path}/a.jpg at {shown} pixels" in data.source
        assert f":{shown}-" in data.fingerprint


@pytest.mark.parametrize("variant", VARIANTS)
def test_small_images_are_means_of_two_by_two(variant) -> None:
    means = variant().images(ROWS).reshape(300, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    small = variant(image_size=32)
    assert small.image_shape == (3, 32, 32)
    np.testing.assert_array_equal(small.images(ROWS), np.floor(means + 0.5))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_does_not_depend_on_those_around_it(variant) -> None:
    data: FactorData = variant()
    images = data.images(ROWS)
    np.testing.assert_array_equal(data.images(ROWS[::-1]), images[::-1])
    np.testing.assert_array_equal(data.images(ROWS[7:9]), images[7:9])
    singly = np.concatenate([data.images([row]) for row in ROWS])
    np.testing.assert_array_equal(singly, images)
    np.testing.assert_array_equal(variant().images(ROWS), images)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_changes_the_nuisance_alone(variant, sprite) -> None:
    one, other = variant(), variant(nuisance_seed=1)
    assert one.fingerprint != other.fingerprint
    assert "nuisance seed 1" in other.source
    first, second = one.images(ROWS), other.images(ROWS)
    assert (first != second).any(axis=(1, 2, 3)).all()
    if variant is not ScreamDSprites:
        whole = np.broadcast_to(sprite[:, None], first.shape)
        for images in (first, second):
            assert images[whole].min() >= 128
    again = pickle.loads(pickle.dumps(other))
    assert again.fingerprint == other.fingerprint
    np.testing.assert_array_equal(again.images(ROWS), second)


@pytest.mark.parametrize("variant", VARIANTS)
def test_factors_are_those_of_dsprites(variant) -> None:
    data, plain = variant(), DSprites()
    assert data.factors == plain.factors
    np.testing.assert_array_equal(data.values(ROWS), plain.values(ROWS))
    assert plain.source in data.source
    assert plain.fingerprint in data.fingerprint
    # Orientations 0 and 39 are the same angle, but other rows.
    pair = data.images(data.rows([[2, 5, 0, 9, 9], [2, 5, 39, 9, 9]]))
    assert (pair[0] != pair[1]).any()


def test_no_pixel_changes_unnoticed(tmp_path) -> None:
    picture = tmp_path / "ramp.png"
    ramp = np.arange(90 * 100 * 3, dtype=np.uint32).reshape(90, 100, 3) * 7 >> 3
    Image.fromarray(ramp.astype(np.uint8)).save(picture)
    found = [
        hashlib.sha256(data.images(ROWS).tobytes()).hexdigest()[:16]
        for data in (ColorDSprites(), NoisyDSprites(), ScreamDSprites(picture=picture))
    ]
    assert found == ["8104a7d41b05d10b", "ee926e309fd13c4b", "230298afef7129b5"]
    plain = DSprites().fingerprint
    assert ColorDSprites().fingerprint == f"color_dsprites-1:seed0:{plain}:to-64x64"
    assert NoisyDSprites().fingerprint == f"noisy_dsprites-1:seed0:{plain}:to-64x64"


def test_another_picture_is_another_data_set(tmp_path) -> None:
    first = ScreamDSprites(picture=flat(tmp_path / "a.png", (1, 2, 3))).fingerprint
    assert ScreamDSprites(picture=flat(tmp_path / "b.png", (1, 2, 3))).fingerprint == first
    assert ScreamDSprites(picture=flat(tmp_path / "b.png", (1, 2, 4))).fingerprint != first


def test_it_travels_to_a_process_in_another_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    flat(tmp_path / "a.png", (1, 2, 3))
    data = ScreamDSprites(picture="a.png", image_size=32, nuisance_seed=5, data_dir=".")
    monkeypatch.chdir("/")
    assert_travels_light(data)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"image_size": 48}, r"_dsprites: image_size must be 32 or 64, not 48"),
        ({"nuisance_seed": -1}, r"_dsprites: nuisance_seed must be 0 to 2\^63 - 1, not -1"),
        ({"nuisance_seed": 2**63}, "nuisance_seed must be"),
        ({"data_dir": "/nowhere"}, "data_dir /nowhere is not a folder"),
    ],
)
def test_bad_options_are_refused(variant, options, complaint) -> None:
    refusal(variant, complaint, **options)


def test_bad_pictures_are_refused(tmp_path) -> None:
    def refused(path: Path) -> str:
        message = refusal(ScreamDSprites, r"^scream_dsprites: picture", picture=path)
        assert str(path) in message
        return message

    assert refused(tmp_path / "none.jpg").endswith("is not a file")
    assert refused(tmp_path).endswith("is not a file")
    (tmp_path / "text.jpg").write_text("The Scream\n")
    assert "is damaged or no JPEG or PNG" in refused(tmp_path / "text.jpg")
    whole = flat(tmp_path / "cut.png", (1, 2, 3), (300, 300)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in refused(tmp_path / "cut.png")
    assert "63x90 pixels" in refused(flat(tmp_path / "small.png", (1, 2, 3), (63, 90)))
    assert "350x35 pixels" in refused(flat(tmp_path / "long.png", (1, 2, 3), (1000, 100)))
    flat(tmp_path / "a.gif", (1, 2, 3))
    assert "no JPEG or PNG" in refused(tmp_path / "a.gif")


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    with pytest.raises(ValueError, match=r"is damaged or no JPEG or PNG .*decompression bomb"):
        ScreamDSprites(picture=flat(tmp_path / "bomb.png", (1, 2, 3)))
