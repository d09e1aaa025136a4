"""`bench data preview`: which images it shows, and the picture it writes."""

import sys

import numpy as np
import pytest
from PIL import Image

from bench.data import preview as data_preview
from bench.datasets import DATASETS, Toy

pytestmark = pytest.mark.usefixtures("here")


def test_one_row_per_factor(here) -> None:
    data = Toy()
    strips = data_preview.strips(data)
    assert [strip.name for strip in strips] == ["shape", "size", "posX", "posY"]
    for column, strip in enumerate(strips):
        values = data.values(strip.rows)
        assert values[:, column].tolist() == list(range(data.sizes[column]))
        assert (np.delete(values, column, axis=1) == np.delete(values[:1], column, axis=1)).all()
    assert strips[0].words == ("square", "disc", "cross")
    columns = [len(strip.rows) for strip in data_preview.strips(DATASETS["dsprites"]())]
    assert columns == [3, 6, 10, 10, 10]


def test_the_picture_has_the_pixels_of_the_data(cli_here, here) -> None:
    result = cli_here("data", "preview", "toy")
    assert (result.code, result.err) == (0, "wrote preview-toy.png\n")
    with Image.open(here / "preview-toy.png") as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    data = Toy()
    first = data.images(data_preview.strips(data)[3].rows)[2, 0]
    large = first.repeat(4, axis=0).repeat(4, axis=1)
    # somewhere in the picture, dot by dot
    windows = np.lib.stride_tricks.sliding_window_view(shown[..., 0], large.shape)[:, ::2]
    found = (windows[:, :, 20::40, 20::40] == large[20::40, 20::40]).all(axis=(2, 3))
    assert any((windows[at] == large).all() for at in map(tuple, np.argwhere(found)))


def test_classes_only_are_shown_class_by_class() -> None:
    data = DATASETS["digits"]()
    strips = data_preview.strips(data)
    assert [strip.name for strip in strips] == [f"class {k}" for k in range(10)]
    for k, strip in enumerate(strips):
        assert len(set(strip.rows.tolist())) == 10
        assert (data.values(strip.rows)[:, 0] == k).all()


MINE = """
import numpy as np
from bench.datasets import Factor, LabelledData

class Mine(LabelledData):
    '''Mine (no paper).'''
    def __init__(self, *, image_size: int = 32) -> None:
        words = ("no", "yes")
        self.factors = tuple(
            Factor(name, 2, "categorical", (0.0, 1.0), words) for name in ("hat", "smile")
        )
        self.image_shape = (3, image_size, image_size)
        self.labels = np.array([[0, 0], [0, 1], [1, 0]] * 9)
        self.source, self.fingerprint = "mine", "mine-1"

    def images(self, rows):
        return np.full((len(rows), *self.image_shape), 200, np.uint8)
"""


def test_own_data_without_a_grid(cli_here, here) -> None:
    (here / "mine.py").write_text(MINE)
    result = cli_here("data", "preview", "./mine.py:Mine", "--set", "./mine.py:Mine.image_size=64")
    assert result.code == 0, result.err
    with Image.open(here / "preview-Mine.png") as picture:
        assert picture.size[0] > 10 * 128
    strips = data_preview.strips(sys.modules["bench_plugin_mine"].Mine())
    assert [strip.name for strip in strips] == ["hat", "smile"]
    for column, strip in enumerate(strips):
        values = np.array([[0, 0], [0, 1], [1, 0]] * 9)[strip.rows]
        wanted = ["no", "yes"]
        assert [wanted[k] for k in values[:, column]] == list(strip.words)
        assert set(strip.words) == {"no", "yes"}


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_kinds_of_picture(cli_here, here, suffix: str) -> None:
    starts = {"pdf": b"%PDF", "svg": b"<?xml"}
    for name in ("one", "two"):
        assert cli_here("data", "preview", "toy", "--output", f"{name}.{suffix}").code == 0
    one, two = ((here / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
    assert one.startswith(starts[suffix])
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toys",), "did you mean toy"),
        (("toy", "--output", "toy.jpg"), "ends in .png, .pdf, .svg"),
        (("toy", "--output", "/proc/toy.png"), "cannot be written"),
        (("toy", "--set", "toy.size=3"), "unknown setting of toy 'size'"),
        (("toy", "--set", "digits.image_size=32"), "unknown owner in --set 'digits'"),
        (("toy", "--set", "toy.image_size=7"), "image_size must be 28 to 128"),
        (("shapes3d",), "3dshapes.h5 is missing: put it into"),
        (("./mine.py:Mine",), "no such file"),
    ],
)
def test_requests_that_cannot_be_met(cli_here, here, arguments, message) -> None:
    answer = cli_here("data", "preview", *arguments)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err
    assert not list(here.iterdir())
