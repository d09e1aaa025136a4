"""The dSprites renderer against official images, published numbers and a slow second opinion."""

import hashlib
import math
import os
from fractions import Fraction

import numpy as np
import pytest

from bench.datasets import DSprites, sprites


@pytest.fixture
def dsprites(tmp_path, monkeypatch) -> DSprites:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    return DSprites()


def test_official_images_have_no_wrong_pixel(shared, dsprites) -> None:
    with np.load(shared / "dsprites_official_samples.npz") as official:
        images, latents = official["images"], official["latents"]
    assert len(images) == 311
    drawn = dsprites.images(dsprites.rows(latents))
    assert (drawn[:, 0] != 255 * images).sum() == 0


def test_image_0_is_a_block_of_ten(dsprites) -> None:
    expected = np.zeros((64, 64))
    expected[11:21, 11:21] = 255
    np.testing.assert_array_equal(dsprites.images([0])[0, 0], expected)


def test_directions(dsprites) -> None:
    def centre(**classes: int) -> tuple[float, float]:
        values = {"shape": 2, "scale": 5, "orientation": 0, "posX": 16, "posY": 16} | classes
        rows, columns = np.nonzero(dsprites.images(dsprites.rows([list(values.values())]))[0, 0])
        return rows.mean(), columns.mean()

    row, column = centre()
    assert centre(posX=31)[1] > column + 10
    assert centre(posY=31)[0] > row + 10
    # The tip of the heart hangs down, and turns to the right: counter-clockwise.
    image = dsprites.images(dsprites.rows([[2, 5, 5, 16, 16]]))[0, 0]
    rows, columns = np.nonzero(image)
    assert columns[rows == rows.max()].mean() > column


def test_orientation_39_is_orientation_0(dsprites) -> None:
    rng = np.random.default_rng(0)
    first = dsprites.values(rng.integers(0, len(dsprites), 2000))
    last = first.copy()
    first[:, 2], last[:, 2] = 0, 39
    np.testing.assert_array_equal(
        dsprites.images(dsprites.rows(first)), dsprites.images(dsprites.rows(last))
    )


def test_mean_white_pixels_by_scale(dsprites) -> None:
    # Means over the whole set; this sixth of the positions and third of the angles comes near.
    published = [
        [92.196, 132.735, 180.634, 235.956, 298.654, 368.734],
        [72.344, 104.142, 141.788, 185.185, 234.340, 289.324],
        [56.126, 80.831, 110.005, 143.701, 181.837, 224.497],
    ]
    grid = np.ix_(range(3), range(6), range(0, 39, 3), range(0, 32, 2), range(0, 32, 3))
    rows = np.arange(math.prod(sprites.SIZES)).reshape(sprites.SIZES)[grid]
    white = (dsprites.images(rows.reshape(-1)) > 0).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(white.reshape(3, 6, -1).mean(axis=-1), published, rtol=2e-3)


def _is_inside(column: int, row: int, outline: list[tuple[int, int]]) -> bool:
    """Whether a pixel centre is inside, or on the left or bottom edge: by exact winding number."""
    # A hair right and up of the centre decides the ties; y runs down.
    x, y = 256 * column + 128, 256 * row + 128
    winding = 0
    for (xa, ya), (xb, yb) in zip(outline, outline[1:] + outline[:1], strict=True):
        if (ya < y) != (yb < y):
            crossing = xa + Fraction((xb - xa) * (y - ya), yb - ya)
            if crossing <= x:
                winding += 1 if yb > ya else -1
    return winding != 0


def _outline(shape: int, scale: int, orientation: int, pos_x: int, pos_y: int):
    """Vertices in 1/256 pixel by scalar mathematics."""
    if shape == 0:
        points = [(-9.6, -9.6), (9.6, -9.6), (9.6, 9.6), (-9.6, 9.6)]
    elif shape == 1:
        angles = [math.tau * k / 100 for k in range(100)]
        points = [(9.6 * 1.33 * math.cos(t), 9.6 / 1.33 * math.sin(t)) for t in angles]
    else:
        angles = [math.tau * k / 150 for k in range(150)]
        lobes = [
            13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            for t in angles
        ]
        points = [
            (9.6 * math.sin(t) ** 3, -9.6 * (lobe / 14.5 + 0.15))
            for t, lobe in zip(angles, lobes, strict=True)
        ]
    size, turn = 0.5 + 0.1 * scale, math.tau * orientation / 39
    cos, sin = math.cos(turn), math.sin(turn)
    for x, y in points:
        x, y = size * x, size * y
        right, down = x * cos + y * sin, y * cos - x * sin
        yield (
            round(256 * (16 + 32 * pos_x / 31 + right)),
            round(256 * (16 + 32 * pos_y / 31 + down)),
        )


def test_slow_exact_rasteriser_agrees(dsprites) -> None:
    rng = np.random.default_rng(1)
    values = dsprites.values(rng.integers(0, len(dsprites), 200))
    values[:20, 2] = 0  # upright: edges that run through pixel centres
    values[0] = 0, 1, 0, 17, 8  # an official image that tells the top edge from the bottom edge
    for drawn, classes in zip(dsprites.images(dsprites.rows(values)), values, strict=True):
        outline = list(_outline(*classes.tolist()))
        columns, rows = zip(*outline, strict=True)
        expected = np.zeros((64, 64), dtype=np.uint8)
        for row in range(min(rows) // 256 - 1, max(rows) // 256 + 2):
            for column in range(min(columns) // 256 - 1, max(columns) // 256 + 2):
                expected[row, column] = 255 * _is_inside(column, row, outline)
        np.testing.assert_array_equal(drawn[0], expected, err_msg=str(classes))


def test_batches_do_not_matter(dsprites) -> None:
    rows = np.random.default_rng(2).integers(0, len(dsprites), 700)
    singly = np.concatenate([dsprites.images([row]) for row in rows])
    np.testing.assert_array_equal(dsprites.images(rows), singly)


def test_pack_is_the_inverse_of_unpack() -> None:
    pixels = np.random.default_rng(3).integers(0, 2, (5, 64, 64), dtype=np.uint8)
    np.testing.assert_array_equal(sprites.unpack(sprites.pack(pixels)), pixels)


def test_small_images_are_means_of_two_by_two(dsprites) -> None:
    rows = np.random.default_rng(4).integers(0, len(dsprites), 300)
    counts = (dsprites.images(rows) // 255).reshape(300, 1, 32, 2, 32, 2).sum(axis=(3, 5))
    expected = np.array([round(255 * k / 4) for k in range(5)])[counts]
    assert set(np.unique(counts)) == {0, 1, 2, 3, 4}
    small = DSprites(image_size=32)
    assert small.image_shape == (1, 32, 32)
    np.testing.assert_array_equal(small.images(rows), expected)
    assert small.fingerprint != dsprites.fingerprint


def test_factors_are_the_official_ones(dsprites) -> None:
    names = [factor.name for factor in dsprites.factors]
    assert names == ["shape", "scale", "orientation", "posX", "posY"]
    assert dsprites.sizes == (3, 6, 40, 32, 32)
    assert len(dsprites) == 737_280
    assert dsprites.factors[2].kind == "cyclic"
    assert dsprites.factors[2].values[39] == pytest.approx(2 * math.pi)
    assert "renderer" in dsprites.source
    assert dsprites.fingerprint == "dsprites-render-1:sha256:2c612e5234d21c2b:64x64"


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="32 or 64, not 48"):
        DSprites(image_size=48)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("BENCH_SLOW") != "1", reason="set BENCH_SLOW=1")
def test_whole_data_set(dsprites) -> None:
    digest, white = hashlib.sha256(), 0
    for start in range(0, len(dsprites), 8192):
        images = dsprites.images(np.arange(start, start + 8192)) // 255
        digest.update(images.tobytes())
        white += int(images.sum())
    assert white == 128_328_864
    assert digest.hexdigest() == sprites.SHA256
