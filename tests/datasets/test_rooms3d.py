"""The look-alike of 3D Shapes: its geometry against what is known of the original, and itself."""

import hashlib
import itertools
import pickle

import numpy as np
import pytest

from bench.datasets import DATASETS, Rooms3D, Shapes3D, raycast, rooms3d
from bench.datasets.raycast import FLOOR, OBJECT, SKY, WALL, WHOLE

RED, GREEN, BLUE = 0, 3, 6  # classes of hues; this blue has no red in it
CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
FRONT = 7  # class of the orientation 0


@pytest.fixture(scope="module")
def rooms() -> Rooms3D:
    return Rooms3D()


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    """Weights of all layouts (15, 8, 4, 4, 64, 64)."""
    return np.stack([raycast.layouts(k) for k in range(15)])


def picture(data: Rooms3D, **classes: int) -> np.ndarray:
    """One image (3, H, W) as int, by factor classes; a small cylinder, frontal, by default."""
    defaults = {
        "floor_hue": RED, "wall_hue": BLUE, "object_hue": GREEN,
        "scale": 0, "shape": CYLINDER, "orientation": FRONT,
    }  # fmt: skip
    return data.images(data.rows([list((defaults | classes).values())]))[0].astype(int)


def draws(data: Rooms3D, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(len(data), size=count)


def test_factors_are_those_of_3d_shapes_and_the_name_is_not(rooms) -> None:
    names = [f.name for f in rooms.factors]
    assert names == ["floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"]
    assert (rooms.sizes, len(rooms)) == ((10, 10, 10, 8, 4, 15), 480_000)
    official = DATASETS["shapes3d"]
    assert official is Shapes3D
    from bench.datasets.shapes3d import FACTORS

    for ours, theirs in zip(rooms.factors, FACTORS, strict=True):
        assert (ours.name, ours.size, ours.kind) == (theirs.name, theirs.size, theirs.kind)
        np.testing.assert_allclose(ours.values, theirs.values)
    assert "not the official set" in rooms.source
    assert "official" not in Rooms3D(image_size=32).fingerprint


def test_no_pixel_changes_unnoticed(rooms, weights) -> None:
    digest = hashlib.sha256(weights.astype("<u2").tobytes()).hexdigest()
    assert digest == raycast.SHA256
    found = []
    for data in (rooms, Rooms3D(image_size=32)):
        images = data.images(np.arange(0, len(data), 7919))
        found.append(hashlib.sha256(images.tobytes()).hexdigest()[:16])
    assert found == ["eeb6fcdbf5cbe65f", "8142cfac6b88ddda"]
    assert rooms.fingerprint == f"rooms3d-1:sha256:{raycast.SHA256[:16]}:64x64"


@pytest.mark.parametrize("side", [64, 32])
def test_an_image_is_the_sum_of_its_coloured_layers(weights, side) -> None:
    data = Rooms3D(image_size=side)
    rows = draws(data, 300, 0)
    classes = data.values(rows)
    layers = weights[classes[:, 5], classes[:, 3], classes[:, 4]].astype(int)
    hues = np.array(  # HSV(k / 10, 1, 1)
        [[255, 0, 0], [255, 153, 0], [204, 255, 0], [51, 255, 0], [0, 255, 102],
         [0, 255, 255], [0, 102, 255], [51, 0, 255], [204, 0, 255], [255, 0, 153]]
    )  # fmt: skip
    sky = np.broadcast_to([153, 226, 249], (300, 3))
    colours = np.stack([*(hues[classes[:, k]] for k in range(3)), sky], axis=1)
    sums = (colours[:, :, :, None, None] * layers[:, :, None]).sum(axis=1)
    step = 64 // side
    sums = sums.reshape(300, 3, side, step, side, step).sum(axis=(3, 5))
    whole = WHOLE * step**2
    np.testing.assert_array_equal(data.images(rows), (sums + whole // 2) // whole)


def test_all_480_000_images_differ(weights) -> None:
    palette = rooms3d._palette()
    layers = weights.reshape(480, 4, 64, 64).astype(int)
    # First: the three colours can be read off three pixels, whatever the layout.
    for material, (row, column) in ((FLOOR, (62, 2)), (WALL, (26, 2)), (OBJECT, (48, 30))):
        pixels = layers[:, :, row : row + 2, column : column + 2].reshape(480, 4, 4)
        assert (np.delete(pixels, material, axis=1) == 0).all(), "not of one material"
        alone, mean = pixels[:, material, 0], pixels[:, material].sum(axis=1)
        for weight, whole in ((alone, WHOLE), (mean, 4 * WHOLE)):  # at 64x64 and 32x32
            shades = (weight[:, None, None] * palette[:10] + whole // 2) // whole
            found = [set(map(tuple, shades[:, k].tolist())) for k in range(10)]
            assert sum(map(len, found)) == len(set.union(*found)), "two hues look the same"
    # Then: with the same colours no two layouts look the same, even at these few pixels.
    for side in (64, 32):
        step = 64 // side
        small = layers.reshape(480, 4, side, step, side, step).sum(axis=(3, 5))
        chosen = np.random.default_rng(0).permutation(side * side)[:500]
        small = small.reshape(480, 4, -1)[..., chosen]
        assert len(np.unique(small.reshape(480, -1), axis=0)) == 480
        parts = small.astype(np.float32) / (WHOLE * step**2)
        for hues in itertools.product(range(10), repeat=3):
            colours = palette[[*hues, 10]].astype(np.float32)
            images = (colours.T @ parts + 0.5).astype(np.uint8)
            assert len({image.tobytes() for image in images}) == 480, hues


def test_a_new_hue_colours_one_material_alone(rooms) -> None:
    rows = draws(rooms, 200, 1)
    before, classes = rooms.images(rows), rooms.values(rows)
    changed = []
    for k in range(3):
        other = classes.copy()
        other[:, k] = (other[:, k] + 1) % 10
        changed.append((rooms.images(rooms.rows(other)) != before).any(axis=1))
    floor, wall, solid = changed
    assert floor[:, 63].mean() > 0.99
    assert not floor[:, :34].any()
    assert not wall[:, [*range(12), *range(54, 64)]].any()
    assert solid[:, 40:50, 31:33].all()
    assert not solid[:, :, [*range(8), *range(56, 64)]].any()
    # Two materials only meet within a pixel.
    shared = (floor & wall) | (floor & solid) | (wall & solid)
    assert 0 < shared.mean() < 0.05
    assert (floor | wall | solid)[:, 20:].all()
    sky = ~(floor | wall | solid)
    assert (before.transpose(0, 2, 3, 1)[sky] == (153, 226, 249)).all()
    assert sky[:, 0].all()


def test_the_frontal_wall_stands_where_it_should(rooms) -> None:
    # Of red the sky has 153, the blue wall nothing and the floor 255. Left of the solid:
    red = picture(rooms)[0, :, 2:12].mean(axis=1)
    assert abs(red[:30].sum() / 153 - 16.5) < 0.3
    assert abs(64 - red[30:].sum() / 255 - 40.5) < 0.4


def corner(image: np.ndarray) -> int:
    """The column from which the wall has another brightness, at rows free of a small solid."""
    wall = image[2, 22:32].mean(axis=0)
    return int(np.abs(np.diff(wall)).argmax()) + 1


def test_corners_of_the_room_are_where_they_should_be(rooms) -> None:
    for orientation, column in zip(range(10, 15), (60, 55, 51, 48, 44), strict=True):
        assert abs(64 - corner(picture(rooms, orientation=orientation)) - column) <= 1
        assert abs(corner(picture(rooms, orientation=14 - orientation)) - column) <= 1
    for orientation in range(5, 10):
        wall = picture(rooms, orientation=orientation)[2, 22:32].mean(axis=0)
        assert np.ptp(wall[1:-1]) < 10, "there is a corner in the frontal wall"


def test_walls_are_lit_from_the_left(rooms) -> None:
    right, left = (picture(rooms, orientation=k)[2, 22:32].mean(axis=0) for k in (0, 14))
    assert abs(left[1] / 255 - 0.6) < 0.05  # at grazing light
    assert left[1] + 50 < right[1] < right[-2] - 10
    assert right[-2] > 245


def test_solids_have_their_sizes(weights) -> None:
    def extent(scale: int, shape: int) -> tuple[float, float]:
        """Width and height in pixels, in the frontal view."""
        share = weights[FRONT, scale, shape, OBJECT] > 0
        return share.any(axis=0).sum(), share.any(axis=1).sum()

    for k, scale in enumerate(np.linspace(0.75, 1.25, 8)):
        u = 0.112 * scale
        for shape, radius in ((CYLINDER, u), (SPHERE, 1.13 * u), (CAPSULE, 0.9 * u)):
            # a silhouette is as wide as the tangents to the circle
            assert abs(extent(k, shape)[0] - 2 * 72 * radius / np.sqrt(0.77**2 - radius**2)) < 2.1
        assert abs(extent(k, CUBE)[0] - 2 * 72 * u / (0.77 - u)) < 2.1
        assert extent(k, CAPSULE)[1] > 1.4 * extent(k, CYLINDER)[1]


def test_no_solid_is_cut_off(weights) -> None:
    solid = weights[..., OBJECT, :, :]
    assert not solid[..., [0, -1], :].any()
    assert not solid[..., [0, -1]].any()
    assert (solid > 0).sum(axis=(-2, -1)).min() > 150


def test_shadows_fall_to_the_right_and_have_soft_edges(weights) -> None:
    floor = weights[..., FLOOR, :, :] / WHOLE
    pure = weights[..., [WALL, OBJECT, SKY], :, :].sum(axis=-3) == 0
    dark = np.where(pure, 1 - floor, 0)
    centre = (dark * np.arange(64)).sum(axis=(-2, -1)) / dark.sum(axis=(-2, -1))
    assert (centre > 37).all()
    assert 0.25 < floor[pure].min() < 0.4
    edges = (dark > 0.1) & (dark < 0.6)
    assert edges.sum(axis=(-2, -1)).min() > 10


def test_every_factor_shows(rooms) -> None:
    rows = draws(rooms, 200, 2)
    before, classes = rooms.images(rows).astype(int), rooms.values(rows)
    for k, size in enumerate(rooms.sizes):
        other = classes.copy()
        other[:, k] += np.where(other[:, k] + 1 < size, 1, -1)
        apart = np.abs(rooms.images(rooms.rows(other)) - before).max(axis=1)
        assert (apart > 20).sum(axis=(1, 2)).min() >= 12, rooms.factors[k].name


def test_a_slow_march_along_the_rays_meets_the_same(weights) -> None:
    def inside(shape: int, u: float, x, y, z) -> np.ndarray:
        around = np.hypot(x, y)
        if shape == CUBE:
            return (np.abs(x) < u) & (np.abs(y) < u) & (z < 2 * u)
        if shape == CYLINDER:
            return (around < u) & (z < 2.2 * u)
        if shape == SPHERE:
            return np.hypot(around, z - 1.13 * u) < 1.13 * u
        r = 0.9 * u
        return np.hypot(around, z - np.clip(z, r, 3.9 * u - r)) < r

    rng = np.random.default_rng(3)
    steps = np.arange(0, 2.6, 0.002)
    row, column = (np.mgrid[:64, :64].reshape(2, -1) + 0.5 - 32) / 72
    for shape in range(4):
        orientation, scale = rng.integers(15), rng.integers(8)
        azimuth, pitch = np.radians(-30 + 60 * orientation / 14), np.radians(1.5)
        pixels = rng.choice(4096, 400, replace=False)
        ahead = np.cos(pitch) - row[pixels] * np.sin(pitch)
        rise = -np.sin(pitch) - row[pixels] * np.cos(pitch)
        right = column[pixels]
        away = 0.77 - ahead[:, None] * steps
        x = np.sin(azimuth) * away + np.cos(azimuth) * right[:, None] * steps
        y = -np.cos(azimuth) * away + np.sin(azimuth) * right[:, None] * steps
        z = 0.26 + rise[:, None] * steps
        met = np.full(x.shape, -1)
        met[(np.abs(x) > 1) | (np.abs(y) > 1)] = WALL
        met[(met == WALL) & (z > 0.595)] = SKY
        met[z < 0] = FLOOR
        met[(met < 0) & inside(shape, 0.112 * (0.75 + scale / 14), x, y, z)] = OBJECT
        first = met[np.arange(400), (met >= 0).argmax(axis=1)]
        layers = weights[orientation, scale, shape].reshape(4, -1)[:, pixels]
        pure = (layers > 0).sum(axis=0) == 1
        assert pure.mean() > 0.8
        np.testing.assert_array_equal(layers.argmax(axis=0)[pure], first[pure])


@pytest.mark.parametrize("side", [64, 32])
def test_an_image_does_not_depend_on_those_around_it(side) -> None:
    data = Rooms3D(image_size=side)
    rows = draws(data, 70, 4)
    images = data.images(rows)
    np.testing.assert_array_equal(data.images(rows[::-1]), images[::-1])
    np.testing.assert_array_equal(np.concatenate([data.images([row]) for row in rows]), images)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).images(rows), images)


def test_small_images_are_means_of_two_by_two(rooms) -> None:
    rows = draws(rooms, 100, 5)
    means = rooms.images(rows).reshape(100, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    # of pixels that were not rounded before
    assert np.abs(Rooms3D(image_size=32).images(rows) - means).max() <= 1


def test_layouts_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        raycast.layouts(0)[:] = 0


@pytest.mark.parametrize("size", [28, 48, 128])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"rooms3d: image_size must be 32 or 64, not {size}"):
        Rooms3D(image_size=size)
