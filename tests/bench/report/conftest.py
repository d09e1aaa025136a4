"""What several tests of the report need."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.report import style
from bench.store.study import StudyRecord

STUDY = StudyRecord(
    dataset="toy",
    data_settings={},
    fingerprint="toy-1",
    source="toy_shapes 100%",
    preset="smoke",
    steps=None,
    train={},
)

# Texts that would run, or end what they stand in, if a page took them as they are.
HOSTILE = (
    """</script><script>pwned=1</script>"'><img src=x onerror=pwned=1><svg/onload=pwned=1> """
    "\u2028\u2029 </title></style><!-- {{7*7}} {% raw %} &lt;b&gt; ${pwned=1} javascript:pwned=1"
)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Every figure that is drawn, to be looked at."""
    seen: list[Figure] = []

    class Seen(Figure):
        def __init__(self, *arguments, **more) -> None:
            super().__init__(*arguments, **more)
            seen.append(self)

    monkeypatch.setattr(style, "Figure", Seen)
    return seen


def check(path: Path) -> None:
    """A PNG of paper width that is not blank, and a PDF beside it."""
    pixels = matplotlib.image.imread(path.with_suffix(".png"))
    assert pixels.shape[1] >= 600
    assert np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0).shape[0] > 10
    pdf = path.with_suffix(".pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 3_000
