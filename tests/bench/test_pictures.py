"""Pictures of hand-made records: there, not blank, in the right order, the same every time."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.report import pictures, plots, style
from bench.store.files import write_arrays, write_rows
from bench.store.record import HISTORY, SAMPLES

KL = [0.02, 3.0, 1.0]  # z1, z2, c1


@pytest.fixture
def record(make_record, make_score, tmp_path: Path):
    details = {
        "factors": ["shape", "size"],
        "latents": ["z1", "z2", "c1"],
        "mutual_information": [[0.0, 0.1], [0.9, 0.2], [0.3, 0.0]],
        "entropies": {"shape": 1.0, "size": 0.0},
    }
    scores = {"mig": make_score("mig", 0.5, details=details)}
    settings = {"continuous": 2, "categorical": (3,)}
    return make_record(
        scores,
        folder=tmp_path / "run",
        evaluation={"kl": KL, "kl_total": 4.02, "active": [False, True, True]},
        settings=settings,
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


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pictures_of_a_run(record, hand_made_samples, channels: int) -> None:
    write_arrays(record.folder / SAMPLES, hand_made_samples(channels))
    pictures.draw_run(record)
    names = ["information", "reconstructions", "traversals"]
    assert sorted(p.stem for p in record.folder.glob("*.png")) == names
    for name in names:
        check(record.folder / name)
    first = {path: path.read_bytes() for path in record.folder.glob("*.p*")}
    pictures.draw_run(record)
    assert {path: path.read_bytes() for path in first} == first


def test_a_record_without_samples_or_mig_has_no_such_pictures(make_record, tmp_path: Path) -> None:
    pictures.draw_run(make_record({}, folder=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_missing_picture_is_noticed(record, hand_made_samples) -> None:
    write_arrays(record.folder / SAMPLES, hand_made_samples(1))
    assert not pictures.is_drawn(record)
    pictures.draw_run(record)
    assert pictures.is_drawn(record)
    (record.folder / "information.png").unlink()
    assert not pictures.is_drawn(record)


def test_traversals_go_by_kl_and_mark_the_inactive(record, hand_made_samples, drawn) -> None:
    pictures.draw_traversals(record, record.evaluation, hand_made_samples(1))
    labels = [axes.get_ylabel() for axes in drawn[0].axes]
    assert labels == [
        "$z_{2}$\n3.00 nats",
        "$c_{1}$\n1.00 nats",
        "$z_{1}$\n0.02 nats\n(inactive)",
    ]


def test_a_category_is_traversed_one_by_one(record, hand_made_samples, drawn) -> None:
    samples = hand_made_samples(3)
    pictures.draw_traversals(record, record.evaluation, samples)
    z, c, _ = (np.asarray(axes.images[0].get_array()) for axes in drawn[0].axes)
    assert z.shape == c.shape == (34, 340, 3)
    np.testing.assert_array_equal(c[1:33, 35:67], samples["c1"][1].transpose(1, 2, 0))
    assert (c[:, 3 * 34 :] == 255).all()


def test_the_latents_are_those_that_were_drawn(record, hand_made_samples, make_run, drawn) -> None:
    # A model of somebody's own need not have its categories among its settings.
    from dataclasses import replace

    bare = replace(record, run=make_run(settings={}))
    pictures.draw_traversals(bare, bare.evaluation, hand_made_samples(1))
    assert drawn[0].axes[1].get_ylabel().startswith("$c_{1}$")


def test_the_heatmap_shows_shares_by_kl(record, drawn) -> None:
    pictures.draw_information(record, record.evaluation)
    panel = drawn[0].axes[0]
    rows = [label.get_text() for label in panel.get_yticklabels()]
    assert rows == ["$z_{2}$ (3.00)", "$c_{1}$ (1.00)", "$z_{1}$ (0.02)"]
    # The share of a factor without entropy is nothing.
    assert [text.get_text() for text in panel.texts] == [
        "0.90",
        "0.00",
        "0.30",
        "0.00",
        "0.00",
        "0.00",
    ]


# pictures of a study


def test_scores_have_a_dot_per_seed_and_an_interval(make_record, drawn, tmp_path: Path) -> None:
    records = [make_record(v, seed=s) for s, v in enumerate([0.1, 0.2, 0.3])]
    records += [make_record(0.5, model="vae"), make_record(None, "failed", model="jointvae")]
    plots.draw_scores(records, tmp_path / "scores", "toy")
    check(tmp_path / "scores")
    panel = drawn[0].axes[0]
    assert panel.get_title() == "MIG"
    assert [t.get_text() for t in panel.get_yticklabels()] == ["betavae", "vae", "jointvae"]
    dots = [list(map(float, line.get_xdata())) for line in panel.lines if line.get_marker() == "o"]
    assert dots == [[0.1, 0.2, 0.3], [0.5]]
    intervals = [
        line for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    ((low, high),) = [interval.get_xdata() for interval in intervals]
    assert (low + high) / 2 == pytest.approx(0.2)
    assert high - low == pytest.approx(2 * 4.30265273 * 0.1 / 3**0.5)


def test_curves_have_a_line_per_run(make_record, drawn, tmp_path: Path) -> None:
    records = [make_record(seed=s, folder=tmp_path / f"run{s}") for s in (0, 1)]
    for s, record in enumerate(records):
        rows = [{"step": k, "reconstruction": 100.0 / k, "kl_categorical": 0.0} for k in (1, 2 + s)]
        write_rows(record.folder / HISTORY, rows)
    records.append(make_record(seed=2, state="failed", folder=tmp_path / "none"))
    plots.draw_curves(records, tmp_path / "curves", "toy")
    check(tmp_path / "curves")
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    # A term that is nothing throughout has no panel.
    assert [axes.get_title() for axes in shown] == ["Reconstruction"]
    lines = [list(line.get_ydata()) for line in shown[0].lines if len(line.get_xdata())]
    assert lines == [[100.0, 50.0], [100.0, pytest.approx(100 / 3)]]


def test_nothing_to_draw_is_no_error(make_record, tmp_path: Path) -> None:
    record = make_record(None, state="failed", folder=tmp_path / "run")
    plots.draw_scores([record], tmp_path / "scores", "toy")
    plots.draw_curves([record], tmp_path / "curves", "toy")
    write_rows(record.folder / HISTORY, [{"step": 1, "a_term_of_their_own": 2.0}])
    plots.draw_curves([record], tmp_path / "curves", "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
