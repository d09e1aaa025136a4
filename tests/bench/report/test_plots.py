"""The plots as functions: what they draw into an Axes, what they leave alone, what they refuse."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bench.datasets import Toy
from bench.errors import RequestError, UnknownNameError
from bench.metrics import Representation
from bench.models import MODELS
from bench.report import plots
from bench.report.frame import frame
from bench.store.files import write_arrays, write_rows
from bench.store.record import HISTORY, SAMPLES, Record

BYHAND = pd.DataFrame(
    {
        "label": ["vae", "vae", "mine", "mine", "mine"],
        "metric": ["mig"] * 5,
        "value": [0.1, 0.3, 0.5, 0.4, 0.6],
    }
)


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    """A backend without a screen, and no figure left behind."""
    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@dataclass(frozen=True)
class Study:
    """What the public interface gives: a frame and records."""

    records: list[Record]

    def frame(self) -> pd.DataFrame:
        return frame(self.records)


@pytest.fixture
def records(make_record, make_score, hand_made_samples, tmp_path: Path) -> list[Record]:
    """Four runs with all that can be drawn: two values of beta, two seeds."""
    details = {
        "factors": ["shape", "size"],
        "latents": ["z1", "z2", "c1"],
        "mutual_information": [[0.0, 0.1], [0.9, 0.2], [0.3, 0.0]],
        "entropies": {"shape": 1.0, "size": 2.0},
    }
    records = []
    for beta in (1.0, 4.0):
        for seed in (0, 1):
            record = make_record(
                {"mig": make_score("mig", 0.1 * beta + 0.1 * seed, details=details)},
                folder=tmp_path / "study" / "runs" / f"beta{beta:g}-seed{seed}",
                settings={"beta": beta},
                changed={"beta": beta},
                seed=seed,
                evaluation={
                    "kl": (0.02, 3.0, 1.0),
                    "spread": (0.02, 1.0, 1.0),
                    "active": (False, True, True),
                },
            )
            rows = [{"step": k, "loss": 100 / k, "kl_continuous": 1.0 * k} for k in (1, 2, 3)]
            write_rows(record.folder / HISTORY, rows)
            write_arrays(record.folder / SAMPLES, hand_made_samples(1))
            records.append(record)
    return records


@pytest.fixture
def codes() -> Representation:
    rng = np.random.default_rng(0)
    factors = rng.integers([2, 3], size=(500, 2))
    noise = rng.normal(size=500)
    return Representation.of(
        codes=np.stack([noise, factors[:, 1] + 0.01 * noise], axis=1),
        factors=factors,
        factor_names=["shape", "size"],
    )


Draw = Callable[[Axes | None], Axes]


@pytest.fixture
def every(records, codes) -> dict[str, Draw]:
    """Each public plot, by what it is of."""
    numbers = frame(records)
    study = Study(records)
    return {
        "scores of a frame": lambda ax: plots.scores(numbers, "mig", ax=ax),
        "scores of records": lambda ax: plots.scores(records, ax=ax),
        "scores of a study": lambda ax: plots.scores(study, ax=ax),
        "curves of a frame": lambda ax: plots.curves(plots.histories(records), "loss", ax=ax),
        "curves of a study": lambda ax: plots.curves(study, ax=ax),
        "information of codes": lambda ax: plots.information(codes, ax=ax),
        "information of a record": lambda ax: plots.information(records[0], ax=ax),
        "information of a run": lambda ax: plots.information(
            SimpleNamespace(record=records[0]), ax=ax
        ),
        "traversals of a record": lambda ax: plots.traversals(records[0], ax=ax),
        "sweep of a frame": lambda ax: plots.sweep(numbers, "betavae", ax=ax),
        "sweep of a study": lambda ax: plots.sweep(study, ax=ax),
    }


def test_each_draws_into_the_axes_and_nothing_else(every) -> None:
    settings = dict(mpl.rcParams)
    for name, draw in every.items():
        figure, (one, other) = plt.subplots(1, 2)
        assert draw(one) is one, name
        assert not other.has_data(), name
        figure.canvas.draw()
        plt.close(figure)
    assert dict(mpl.rcParams) == settings
    assert plt.get_backend() == "agg"


def test_without_axes_each_draws_into_the_current_ones(every) -> None:
    for name, draw in every.items():
        figure = plt.figure()
        axes = figure.add_subplot()
        assert draw(None) is axes, name
        plt.close(figure)


def test_a_style_of_the_users_is_kept(every) -> None:
    mpl.rcParams["axes.titlesize"] = 23.0
    axes = every["scores of a frame"](plt.figure().add_subplot())
    assert axes.title.get_fontsize() == 23.0


def test_a_file_of_a_study_does_not_take_a_style_of_the_users(records, tmp_path: Path) -> None:
    plots.draw_scores(records, tmp_path / "usual", "toy")
    mpl.rcParams.update({"axes.titlesize": 23.0, "axes.facecolor": "red", "text.usetex": True})
    settings = dict(mpl.rcParams)
    plots.draw_scores(records, tmp_path / "styled", "toy")
    assert (tmp_path / "usual.png").read_bytes() == (tmp_path / "styled.png").read_bytes()
    assert dict(mpl.rcParams) == settings


def dots(axes: Axes) -> list[list[float]]:
    return [list(map(float, line.get_xdata())) for line in axes.lines if line.get_marker() == "o"]


def test_scores_of_a_frame_made_by_hand() -> None:
    axes = plots.scores(BYHAND)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["vae", "mine"]
    assert dots(axes) == [[0.1, 0.3], [0.5, 0.4, 0.6]]
    axes = plots.scores(BYHAND, order=["mine"], legend=False, ax=plt.figure().add_subplot())
    assert dots(axes) == [[0.5, 0.4, 0.6]]
    assert axes.get_legend() is None


def test_a_model_without_a_score_has_a_row(make_record) -> None:
    axes = plots.scores([make_record(0.5), make_record(None, "failed", model="vae")])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["betavae", "vae"]


def test_facts_and_parts_are_drawn_on_demand(records) -> None:
    assert plots.scores(records, "reconstruction").get_title() == "Reconstruction"


def test_curves_of_a_frame_made_by_hand() -> None:
    one = pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]})
    assert [list(line.get_ydata()) for line in plots.curves(one).lines] == [[3.0, 2.0]]
    both = pd.concat([one.assign(label="a"), one.assign(label="b", loss=[5.0, None])])
    axes = plots.curves(both, "loss", ax=plt.figure().add_subplot())
    assert [list(line.get_ydata()) for line in axes.lines] == [[3.0, 2.0], [5.0]]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_histories_are_tidy(records) -> None:
    logged = plots.histories(records)
    assert list(logged) == ["study", "run", "label", "seed", "step", "loss", "kl_continuous"]
    assert len(logged) == 12
    assert set(logged["study"]) == {"study"}
    assert len(plots.histories([])) == 0


def test_a_sweep_of_a_frame_made_by_hand() -> None:
    swept = BYHAND.iloc[2:].assign(model="mine", setting="beta", setting_value=[4.0, 1.0, 2.0])
    swept = swept.drop(columns="label")
    axes = plots.sweep(swept)
    assert axes.get_title() == "mine: beta"
    (means,) = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert list(means.get_xdata()) == [1.0, 2.0, 4.0]
    assert list(means.get_ydata()) == [0.4, 0.6, 0.5]


def test_information_needs_only_codes_and_factors(codes) -> None:
    axes = plots.information(codes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [name.split()[-2] for name in names] == ["$z_{1}$", "$z_{2}$"]
    shares = np.array([float(text.get_text()) for text in axes.texts]).reshape(2, 2)
    assert shares[1, 1] > 0.95
    assert shares[1, 0] < 0.1
    assert shares[0].max() < 0.1


def test_traversals_of_a_live_model() -> None:
    data = Toy()
    model = MODELS["vae"](
        image_shape=data.image_shape, continuous=2, categorical=(3,), network="mlp1200"
    )
    axes = plots.traversals(model, data, rows=100)
    assert 2 <= len(axes.child_axes) <= 4  # the reference, and the latents in use
    assert model.training
    with pytest.raises(RequestError, match="need its data"):
        plots.traversals(model)


HOSTILE = [
    r"VAE $\mine$",
    "$ 5 and $ 6",
    "_a_b_",
    "50 % of <script>alert(1)</script> & more",
    "long" * 200,
    "two\nlines\tand \x1b[31mred",
    "{x} ^2 #1 ~ \\",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_drawn_as_they_are(name: str, records, tmp_path: Path) -> None:
    hostile = [
        replace(r, run=replace(r.run, model=name, changed={}, dataset=name)) for r in records
    ]
    plots.draw_scores(hostile, tmp_path / "scores", name)
    plots.draw_sweeps(hostile, tmp_path / "sweeps", name)
    from bench.report.curves import draw_curves
    from bench.report.pictures import draw_run

    draw_curves(hostile, tmp_path / "curves", name)
    draw_run(hostile[0])
    drawn = [*tmp_path.glob("*.png"), *hostile[0].folder.glob("*.png")]
    assert len(drawn) == 6
    axes = plots.scores(hostile)
    (label,) = axes.get_yticklabels()
    axes.figure.canvas.draw()
    text, is_math = label._preprocess_math(label.get_text())  # what is drawn in the end
    assert not is_math
    if len(name) < 25 and name.isprintable():
        assert text == name


def test_two_data_sets_do_not_share_a_plot(make_record) -> None:
    with pytest.raises(RequestError, match=r"several data sets \(toy, digits\)"):
        plots.scores([make_record(0.5), make_record(0.6, dataset="digits")])


def test_two_sweeps_do_not_share_a_plot(records) -> None:
    both = pd.concat([frame({"a": records}), frame({"b": records})])
    with pytest.raises(RequestError, match="more than once"):
        plots.sweep(both)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.scores(BYHAND, "mgi"), r"unknown metric 'mgi': did you mean mig\?"),
        (lambda: plots.scores(BYHAND, order=["vea"]), "unknown label 'vea': did you mean vae"),
        (lambda: plots.scores(BYHAND.drop(columns="value")), "no column value"),
        (lambda: plots.scores(BYHAND.iloc[:0]), "no run in it is scored"),
        (lambda: plots.scores(BYHAND.assign(value="x")), "no numbers"),
        (lambda: plots.scores([]), "no run in it is scored"),
        (lambda: plots.scores([1, 2]), "type list has no numbers of runs"),
        (lambda: plots.scores("results/mine"), "type str has no numbers of runs"),
        (lambda: plots.scores(None), "type NoneType has no numbers of runs"),
        (lambda: plots.scores(BYHAND, ax=plt.figure()), "ax is of type Figure"),
        (lambda: plots.sweep(BYHAND), "no column model, setting, setting_value"),
        (lambda: plots.curves(pd.DataFrame({"loss": [1.0]})), "no column step"),
        (lambda: plots.curves(pd.DataFrame({"step": [1]})), "no run has logged a term"),
        (
            lambda: plots.curves(pd.DataFrame({"step": [1], "loss": [1.0]}), "los"),
            "unknown term 'los': did you mean loss",
        ),
        (lambda: plots.curves([]), "no run has logged a term"),
        (lambda: plots.curves("results/mine"), "type str has no training curves"),
        (lambda: plots.curves(3), "type int has no training curves"),
        (lambda: plots.information(np.zeros((5, 2))), "type ndarray has no codes"),
        (lambda: plots.traversals(np.zeros((5, 2))), "type ndarray has no traversals"),
    ],
)
def test_wrong_input_is_one_line(draw, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        draw()
    assert "\n" not in str(raised.value)


def test_a_model_that_was_not_swept_is_named(records) -> None:
    with pytest.raises(UnknownNameError, match="did you mean betavae"):
        plots.sweep(records, "betvae")


def test_a_run_without_pictures_or_codes_says_so(make_record) -> None:
    with pytest.raises(RequestError, match="only a decoder makes it"):
        plots.traversals(make_record(0.5))
    with pytest.raises(RequestError, match="has no codes"):
        plots.information(make_record(0.5))


def test_codes_whose_factors_do_not_vary_say_so(codes) -> None:
    with pytest.raises(RequestError, match="constant"):
        plots.information(replace(codes, factors=np.zeros_like(codes.factors)))
