"""Pictures of hand-made records: there, not blank, in the right order, the same every time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import curves, pictures, plots
from bench.report.frame import ELSEWHERE, frame, kinds_of
from bench.store.files import write_arrays, write_rows
from bench.store.record import HISTORY, SAMPLES, Record
from tests.bench.report.conftest import check

KL = [0.02, 3.0, 1.0]  # z1, z2, c1
SPREAD = [0.02, 1.0, 1.0]


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
        evaluation={
            "kl": KL,
            "kl_total": 4.02,
            "spread": SPREAD,
            "active": [False, True, True],
        },
        settings=settings,
    )


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


def texts(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.texts if text.get_text()]


def strips(figure: Figure) -> list[Axes]:
    """The strips of a picture of traversals, the reference first."""
    return list(figure.axes[0].child_axes)


def strip(panel: Axes) -> np.ndarray:
    return np.asarray(panel.images[0].get_array())


def changed(record: Record, **values: Any) -> Record:
    assert record.evaluation is not None
    return replace(record, evaluation=replace(record.evaluation, **values))


def test_traversals_go_by_kl_and_leave_out_the_inactive(record, hand_made_samples, drawn) -> None:
    pictures.draw_traversals(record, record.evaluation, hand_made_samples(1))
    head, *rows = strips(drawn[0])
    assert [texts(panel) for panel in rows] == [
        ["shape 90 %", "$z_{2}$  KL 3.00 nats"],
        ["shape 30 %", "$c_{1}$  KL 1.00 nats"],
    ]
    assert "Not in use, not shown: z1." in texts(head)[-1]


def test_a_model_that_uses_no_latent_has_traversals_of_all(
    record, hand_made_samples, drawn
) -> None:
    idle = changed(record, active=(False, False, False))
    pictures.draw_traversals(idle, idle.evaluation, hand_made_samples(1))
    head, *rows = strips(drawn[0])
    assert [texts(panel)[0] for panel in rows] == ["inactive"] * 3
    assert "No latent is in use." in texts(head)[-1]


def test_without_information_traversals_name_no_factor(record, hand_made_samples, drawn) -> None:
    bare = replace(record, scores={})
    pictures.draw_traversals(bare, bare.evaluation, hand_made_samples(1))
    assert texts(strips(drawn[0])[1]) == ["$z_{2}$  KL 3.00 nats"]
    pictures.draw_run(bare)
    assert pictures.is_drawn(bare)


def test_more_latents_than_fit_are_counted(record, hand_made_samples, drawn) -> None:
    count = pictures.ROWS + 3
    many = changed(record, kl=(1.0,) * count, spread=(1.0,) * count, active=(True,) * count)
    samples = hand_made_samples(1)
    samples = {k: v for k, v in samples.items() if not k[1:].isdigit()}
    samples |= {f"z{d + 1}": samples["originals"] for d in range(count)}
    many = replace(changed(many, continuous=count), scores={})
    pictures.draw_traversals(many, many.evaluation, samples)
    assert len(strips(drawn[0])) == 1 + pictures.ROWS
    assert "3 more in use are not shown." in texts(strips(drawn[0])[0])[-1]


def test_a_category_is_traversed_one_by_one(record, hand_made_samples, drawn) -> None:
    samples = hand_made_samples(3)
    pictures.draw_traversals(record, record.evaluation, samples)
    reference, z, c = map(strip, strips(drawn[0]))
    assert reference.shape == z.shape == c.shape == (34, 340, 3)
    np.testing.assert_array_equal(c[1:33, 35:67], samples["c1"][1].transpose(1, 2, 0))
    assert (c[:, 3 * 34 :] == 255).all()


def test_the_reference_is_shown_also_where_it_was_the_first_image(
    record, hand_made_samples, drawn
) -> None:
    samples = hand_made_samples(3)
    pictures.draw_traversals(record, record.evaluation, samples)
    pair = samples["z1"][:2]
    pictures.draw_traversals(record, record.evaluation, {**samples, "reference": pair})
    for figure, images in zip(
        drawn, [[samples["originals"][0], samples["reconstructions"][0]], pair], strict=True
    ):
        shown = strip(strips(figure)[0])
        for k, image in enumerate(images):
            tile = shown[1:33, 34 * k + 1 : 34 * k + 33]
            np.testing.assert_array_equal(tile, image.transpose(1, 2, 0))
        assert (shown[:, 2 * 34 :] == 255).all()


def test_the_latents_are_those_that_were_drawn(record, hand_made_samples, make_run, drawn) -> None:
    # A model of somebody's own need not have its categories among its settings.
    bare = replace(record, run=make_run(settings={}))
    pictures.draw_traversals(bare, bare.evaluation, hand_made_samples(1))
    assert texts(strips(drawn[0])[2])[-1].startswith("$c_{1}$")


def test_the_heatmap_shows_shares_by_kl(record, drawn) -> None:
    pictures.draw_information(record, record.evaluation, pictures.Information.of(record))
    panel = drawn[0].axes[0]
    rows = [label.get_text() for label in panel.get_yticklabels()]
    assert rows == ["$z_{2}$ (3.00)", "$c_{1}$ (1.00)", "inactive  $z_{1}$ (0.02)"]
    # The share of a factor without entropy is nothing.
    assert [text.get_text() for text in panel.texts] == [
        "0.90",
        "0.00",
        "0.30",
        "0.00",
        "0.00",
        "0.00",
    ]


@pytest.mark.parametrize(
    ("kl", "spread", "continuous", "constant"),
    [
        (1.1, 0.0, 0, True),  # a category whose value is always the same
        (1.1, 0.5, 0, False),
        (5.0, 0.0, 1, True),
        (0.36, 0.08, 1, True),  # its noise, about 0.5, is much wider than its values
        (5.0, 0.08, 1, False),  # its noise may be far below its values
        (2.7, 1.0, 1, False),
        (0.05, 0.0, 1, False),  # not in use at all
        (400.0, 0.01, 1, False),  # no overflow
    ],
)
def test_a_constant_is_told_by_its_kl_and_spread(kl, spread, continuous, constant) -> None:
    use = pictures.Use(True, [kl], [spread], [kl >= 0.1], continuous)
    assert use.constant(0) is constant
    assert not pictures.Use(False, [spread], [spread], [True], continuous).constant(0)


def test_capacity_that_is_met_by_a_constant_is_marked(record, hand_made_samples, drawn) -> None:
    constant = changed(record, spread=(0.02, 1.0, 0.0))
    pictures.draw_information(constant, constant.evaluation, pictures.Information.of(constant))
    pictures.draw_traversals(constant, constant.evaluation, hand_made_samples(1))
    rows = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert rows[1] == "constant  $c_{1}$ (1.00)"
    assert "capacity met by a constant" in drawn[0].get_supxlabel()
    assert texts(strips(drawn[1])[2])[0] == "constant"
    assert "capacity met by a constant" in texts(strips(drawn[1])[0])[-1]


def test_a_latent_that_varies_but_tells_no_factor_is_no_constant(record, make_score) -> None:
    details = {
        **record.scores["mig"].details,
        "mutual_information": [[0.0, 0.1], [0.9, 0.2], [0.04, 0.0]],
    }
    varied = replace(record, scores={"jemmig": make_score("jemmig", 0.5, details=details)})
    use, information = pictures.Use.of(varied.evaluation), pictures.Information.of(varied)
    marks = [pictures.mark(index, use, information) for index in range(3)]
    assert marks == ["inactive", "", "no factor"]


# pictures of a study


def test_scores_have_a_dot_per_seed_and_an_interval(make_record, drawn, tmp_path: Path) -> None:
    records = [make_record(v, seed=s) for s, v in enumerate([0.1, 0.2, 0.3])]
    records += [make_record(0.5, model="vae"), make_record(None, "failed", model="jointvae")]
    plots.draw_scores(records, tmp_path / "scores", "toy")
    check(tmp_path / "scores")
    panel = drawn[0].axes[0]
    assert panel.get_title() == "MIG"
    assert [t.get_text() for t in panel.get_yticklabels()] == ["vae", "betavae", "jointvae"]
    dots = [list(map(float, line.get_xdata())) for line in panel.lines if line.get_marker() == "o"]
    assert dots == [[0.5], [0.1, 0.2, 0.3]]
    intervals = [
        line for line in panel.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    ((low, high),) = [interval.get_xdata() for interval in intervals]
    assert low == 0  # no MIG is below it
    assert high == pytest.approx(0.2 + 4.30265273 * 0.1 / 3**0.5)


def test_curves_have_a_line_per_run(make_record, drawn, tmp_path: Path) -> None:
    records = [make_record(seed=s, folder=tmp_path / f"run{s}") for s in (0, 1)]
    for s, record in enumerate(records):
        rows = [{"step": k, "reconstruction": 100.0 / k, "kl_categorical": 0.0} for k in (1, 2 + s)]
        write_rows(record.folder / HISTORY, rows)
    records.append(make_record(seed=2, state="failed", folder=tmp_path / "none"))
    curves.draw_curves(records, tmp_path / "curves", "toy")
    check(tmp_path / "curves")
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    # A term that is nothing throughout has no panel.
    assert [axes.get_title() for axes in shown] == ["Reconstruction, nats"]
    lines = [list(line.get_ydata()) for line in shown[0].lines if len(line.get_xdata())]
    assert lines == [[100.0, 50.0], [100.0, pytest.approx(100 / 3)]]


def lines_of(panel: Axes, style: str) -> list[list[float]]:
    return [list(line.get_ydata()) for line in panel.lines if line.get_linestyle() == style]


@pytest.mark.parametrize(
    ("terms", "panels", "dashed"),
    [
        (
            {"kl_continuous": 3.0, "kl_categorical": 1.0}
            | {"capacity_continuous": 4.0, "capacity_categorical": 0.5},
            ["KL, continuous, nats", "KL, categorical, nats"],
            [[[4.0]], [[0.5]]],
        ),
        # One capacity for both kinds of latents has the panel of the only kind there is,
        (
            {"kl_continuous": 3.0, "kl_categorical": 0.0, "capacity": 4.0},
            ["KL, continuous, nats"],
            [[[4.0]]],
        ),
        # and a panel of its own where there are both, as neither KL alone should meet it.
        (
            {"kl_continuous": 3.0, "kl_categorical": 1.0, "capacity": 4.0},
            ["KL, continuous, nats", "KL, categorical, nats", "Capacity"],
            [[], [], []],
        ),
    ],
)
def test_a_capacity_is_dashed_on_the_panel_of_its_kl(
    terms, panels, dashed, make_record, drawn, tmp_path: Path
) -> None:
    record = make_record(folder=tmp_path / "run")
    write_rows(record.folder / HISTORY, [{"step": 1, **terms}])
    curves.draw_curves([record], tmp_path / "curves", "toy")
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == panels
    assert [lines_of(axes, "--") for axes in shown] == dashed


def test_every_logged_term_has_a_panel(make_record, drawn, tmp_path: Path) -> None:
    record = make_record(folder=tmp_path / "run")
    # Of a training that went on with a version that logs more.
    rows = [{"step": 1, "loss": -1.0}, {"step": 2, "loss": 3.0, "a_term_of_their_own": 2.0}]
    write_rows(record.folder / HISTORY, rows)
    curves.draw_curves([record], tmp_path / "curves", "toy")
    loss, own = (axes for axes in drawn[0].axes if axes.get_visible())
    assert (loss.get_title(), own.get_title()) == ("Loss, nats", "A term of their own")
    assert [list(line.get_xdata()) for axes in (loss, own) for line in axes.lines] == [[1, 2], [2]]
    assert loss.get_yscale() == "linear"  # a logarithm would lose the first point


def test_kinds_of_models_come_one_after_another(make_record) -> None:
    models = ["./my.py:Mine", "adagvae", "betavae", "factors", "jointvae", "pca"]
    records = [make_record(model=model) for model in models]
    records.append(make_record(model="vae", preset="entered", steps=0))
    assert kinds_of(frame(records)) == {
        "betavae": "unsupervised",
        "jointvae": "unsupervised",
        "adagvae": "weakly supervised",
        "./my.py:Mine": ELSEWHERE,
        "vae": ELSEWHERE,
        "factors": "baselines",
        "pca": "baselines",
    }
    assert list(kinds_of(frame(records))) == [
        *("betavae", "jointvae", "adagvae", "./my.py:Mine", "vae", "factors", "pca")
    ]


def test_scores_show_chance_baselines_and_what_collapsed(
    make_record, make_score, drawn, tmp_path: Path
) -> None:
    def scores(value: float) -> dict[str, Any]:
        return {
            "factorvae_score": make_score("factorvae_score", value, details={"chance": 0.2}),
            "total_correlation": make_score("total_correlation", 10 * value),
        }

    records = [
        make_record(scores(0.9), model="adagvae"),
        make_record(scores(0.5), seed=0),
        make_record(scores(0.3), "collapsed", seed=1),
        make_record(scores(0.3), model="random"),
    ]
    plots.draw_scores(records, tmp_path / "scores", "toy")
    bounded, other = drawn[0].axes
    names = [label.get_text() for label in bounded.get_yticklabels()]
    assert names == ["betavae", "adagvae", "random"]
    low, high = bounded.get_xlim()
    assert -0.1 < low < 0
    assert 1 < high < 1.1
    assert other.get_xlim()[1] > 8
    dots = [
        (list(map(float, line.get_xdata())), line.get_markerfacecolor())
        for line in bounded.lines
        if line.get_marker() == "o"
    ]
    assert [values for values, _ in dots] == [[0.5], [0.3], [0.9], [0.3]]
    assert [face == "white" for _, face in dots] == [False, True, False, False]
    upright = {
        (line.get_linestyle(), float(line.get_xdata()[0]))
        for line in bounded.lines
        if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1
    }
    assert upright == {(":", 0.2), ("-", 0.3)}
    assert not any(line.get_linestyle() == ":" for line in other.lines)
    (legend,) = drawn[0].legends
    words = [text.get_text() for text in legend.get_texts()]
    assert {"unsupervised", "weakly supervised", "baselines", "collapsed", "chance"} < set(words)


def test_nothing_to_draw_is_no_error(make_record, tmp_path: Path) -> None:
    record = make_record(None, state="failed", folder=tmp_path / "run")
    plots.draw_scores([record], tmp_path / "scores", "toy")
    curves.draw_curves([record], tmp_path / "curves", "toy")
    write_rows(record.folder / HISTORY, [{"step": 1, "a_term_of_their_own": 0.0}])
    curves.draw_curves([record], tmp_path / "curves", "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
