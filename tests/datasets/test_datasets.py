"""The grid of factors, the toy data, and what holds for every registered data set."""

import math

import numpy as np
import pytest

from bench.datasets import DATASETS, Factor, FactorData, MissingFileError, Toy
from tests.datasets.conftest import assert_travels_light


@pytest.fixture(params=sorted(DATASETS))
def data(request: pytest.FixtureRequest, tmp_path, monkeypatch) -> FactorData:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    try:
        return DATASETS[request.param]()
    except MissingFileError:
        pytest.skip("needs files; the tests of this set write small ones")


def is_grid(data: FactorData) -> bool:
    """Whether every combination is there once, in order."""
    return len(data) == math.prod(data.sizes)


def test_rows_and_values_are_inverse(data: FactorData) -> None:
    rows = np.random.default_rng(0).integers(0, len(data), 500)
    values = data.values(rows)
    assert values.dtype == np.int64
    assert values.shape == (500, len(data.factors))
    assert (values < [factor.size for factor in data.factors]).all()
    found = data.rows(values)
    np.testing.assert_array_equal(data.values(found), values)
    if is_grid(data):
        np.testing.assert_array_equal(found, rows)


def test_last_factor_is_the_fastest(data: FactorData) -> None:
    if not is_grid(data):
        pytest.skip("has labels of its own and no grid")
    np.testing.assert_array_equal(data.values([0, 1])[:, -1], [0, 1])
    np.testing.assert_array_equal(data.values([len(data) - 1])[0], np.array(data.sizes) - 1)


def test_images_have_the_declared_shape_and_do_not_change(data: FactorData) -> None:
    rows = [0, 7, len(data) - 1, 7]
    images = data.images(rows)
    assert images.shape == (4, *data.image_shape)
    assert images.dtype == np.uint8
    assert images.max() > 128, "pixels are 0 to 255"
    np.testing.assert_array_equal(images[1], images[3])
    images[:] = 0
    assert data.images(rows).max() > 128, "the caller was given the data set's own memory"


def test_no_rows_give_no_images(data: FactorData) -> None:
    assert data.images([]).shape == (0, *data.image_shape)
    assert data.values([]).shape == (0, len(data.factors))


def test_rows_outside_are_refused(data: FactorData) -> None:
    for row in (-1, len(data)):
        with pytest.raises(IndexError, match=f"row {row} is outside"):
            data.images([0, row])
        with pytest.raises(IndexError, match=f"row {row} is outside"):
            data.values([row])
    with pytest.raises(ValueError, match="one-dimensional"):
        data.images(3)
    with pytest.raises(ValueError, match="integers"):
        data.images([0.5])


def test_values_off_the_grid_are_refused(data: FactorData) -> None:
    last = data.factors[-1]
    values = np.zeros((2, len(data.factors)), dtype=int)
    values[1, -1] = last.size
    with pytest.raises(ValueError, match=f"{last.name} {last.size} is outside 0..{last.size - 1}"):
        data.rows(values)
    with pytest.raises(ValueError, match="values must be"):
        data.rows(values[:, :-1])


def test_data_travels_light_to_another_process(data: FactorData) -> None:
    received = assert_travels_light(data)
    np.testing.assert_array_equal(received.images([5]), data.images([5]))


def test_descriptions_are_single_lines(data: FactorData) -> None:
    assert "\n" not in data.source
    assert "\n" not in data.fingerprint
    assert (type(data).__doc__ or "").splitlines()[0].endswith(".")


def test_factors_are_validated() -> None:
    with pytest.raises(ValueError, match="kind 'nominal'"):
        Factor("colour", 1, "nominal", (0.0,))
    with pytest.raises(ValueError, match="1 values for size 2"):
        Factor("colour", 2, "ordinal", (0.0,))


@pytest.mark.parametrize("size", [*range(28, 36), 48, 64, 128])
def test_toy_images_all_differ_and_none_is_cut_off(size: int) -> None:
    toy = Toy(image_size=size)
    images = toy.images(np.arange(len(toy)))
    assert len(np.unique(images.reshape(len(toy), -1), axis=0)) == len(toy)
    assert not images[..., [0, -1], :].any()
    assert not images[..., [0, -1]].any()
    # The position of a shape does not change its size.
    white = (images > 0).sum(axis=(1, 2, 3)).reshape(3, 3, 64)
    assert (white == white[:, :, :1]).all()


@pytest.mark.parametrize("size", [27, 129])
def test_toy_refuses_other_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="28 to 128"):
        Toy(image_size=size)


def test_on_a_new_machine_a_set_is_there_or_says_what_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "absent"))
    messages = {}
    for name, target in DATASETS.items():
        try:
            target()
        except MissingFileError as error:
            messages[name] = str(error)
    assert "shapes3d" in messages
    for name, line in messages.items():
        assert line.startswith(f"{name}: ")
        assert str(tmp_path / "absent") in line
        assert "\n" not in line
