"""The digits of scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench.datasets import Digits
from tests.datasets.conftest import assert_travels_light


@pytest.fixture(scope="module")
def data() -> Digits:
    return Digits()


def test_rows_are_those_of_scikit_learn(data) -> None:
    bunch = load_digits()
    assert (len(data), data.training, data.image_shape) == (1797, 1437, (1, 32, 32))
    np.testing.assert_array_equal(data.values(range(1797))[:, 0], bunch.target)
    # Means of 4x4 pixels are the originals, smoothed by an eighth of either neighbour.
    images = data.images(range(1797)).reshape(1797, 8, 4, 8, 4).mean(axis=(2, 4))
    smooth = bunch.images * 255 / 16
    for axis in (1, 2):
        ends = np.pad(smooth, [(0, 0) if a != axis else (1, 1) for a in range(3)], mode="edge")
        low, high = np.take(ends, range(8), axis), np.take(ends, range(2, 10), axis)
        smooth = 0.75 * smooth + 0.125 * (low + high)
    assert np.abs(images - smooth).max() < 1.5


def test_flat_parts_keep_their_shade(data) -> None:
    originals = load_digits().images
    row, top, left = np.argwhere(
        (originals[:, :-2, :-1] == 16) & (originals[:, 1:-1, :-1] == 16)
        & (originals[:, :-2, 1:] == 16) & (originals[:, 1:-1, 1:] == 16)
    )[0]  # fmt: skip
    image = data.images([row])[0, 0]
    assert image[4 * top + 3, 4 * left + 3] >= 254
    assert data.images(range(100)).min() == 0


def test_every_class_is_in_both_parts(data) -> None:
    labels = data.values(range(1797))[:, 0]
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(labels[data.training :]).min() >= 33


def test_the_pixels_do_not_change_unnoticed(data) -> None:
    assert data.fingerprint == "digits:sha256:3ee142e7d1a79d6b:32x32"
    assert Digits(image_size=28).fingerprint.endswith(":28x28")
    assert Digits(image_size=28).fingerprint[:30] != data.fingerprint[:30]
    assert data.source == "Digits of scikit-learn, 8x8 pixels resized to 32x32 (bilinear)"


@pytest.mark.parametrize("size", [28, 64, 128])
def test_sizes(size) -> None:
    data = Digits(image_size=size)
    assert data.images([3, 1796]).shape == (2, 1, size, size)
    assert_travels_light(data)


@pytest.mark.parametrize("size", [27, 129])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"digits: image_size must be 28 to 128, not {size}"):
        Digits(image_size=size)


def test_the_caller_is_given_a_copy(data) -> None:
    images = data.images([0])
    images[:] = 7
    assert data.images([0]).min() == 0
