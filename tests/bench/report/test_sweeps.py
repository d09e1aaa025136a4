"""The plot of sweeps: which runs are one, and what is drawn of it."""

from pathlib import Path

import numpy as np
import pytest

from bench.report.frame import sweeps_of
from bench.report.plots import draw_sweeps
from bench.report.statistics import summarise
from tests.bench.report.conftest import check


def swept(make_record, settings: dict, value: float = 0.5, **fields):
    return make_record(value, settings=settings, **fields)


def test_runs_that_differ_in_one_number_are_a_sweep(make_record) -> None:
    records = [
        swept(make_record, {"beta": beta, "network": "dupont"}, seed=seed)
        for beta in (4.0, 1.0, 2.0)
        for seed in (0, 1)
    ]
    (sweep,) = sweeps_of(records)
    assert (sweep.model, sweep.setting, sweep.values) == ("betavae", "beta", [1.0, 2.0, 4.0])
    assert [value for value, _ in sweep.runs] == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]


def test_other_differences_are_none(make_record) -> None:
    one = swept(make_record, {"beta": 1.0, "network": "dupont"})
    assert sweeps_of([one, swept(make_record, {"beta": 1.0, "network": "dupont"}, seed=1)]) == []
    assert sweeps_of([one, swept(make_record, {"beta": 2.0, "network": "burgess"})]) == []
    assert sweeps_of([one, swept(make_record, {"beta": 1.0, "network": "burgess"})]) == []
    failed = swept(make_record, {"beta": 2.0, "network": "dupont"}, state="failed")
    assert sweeps_of([one, failed]) == []


def test_a_sweep_shows_every_seed_the_mean_and_what_collapsed(
    make_record, drawn, tmp_path: Path
) -> None:
    scores = {(1.0, 0): 0.1, (1.0, 1): 0.3, (16.0, 0): 0.4, (16.0, 1): 0.0}
    records = [
        swept(
            make_record,
            {"beta": beta},
            value,
            seed=seed,
            state="collapsed" if value == 0 else "done",
        )
        for (beta, seed), value in scores.items()
    ]
    draw_sweeps(records, tmp_path / "sweeps", "toy")
    check(tmp_path / "sweeps")
    panel = drawn[0].axes[0]
    assert (panel.get_title(), panel.get_xscale()) == ("betavae: beta", "log")
    dots = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])): line.get_markerfacecolor()
        for line in panel.lines
        if len(line.get_xdata()) == 1
    }
    assert set(dots) == {(1.0, 0.1), (1.0, 0.3), (16.0, 0.4), (16.0, 0.0)}
    assert [place for place, face in dots.items() if face == "none"] == [(16.0, 0.0)]
    (mean,) = [line for line in panel.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(mean.get_ydata(), [0.2, 0.2])
    assert not panel.collections  # two runs have no interval


def test_a_sweep_has_the_interval_of_its_means_as_a_band(make_record, drawn, tmp_path) -> None:
    values = {1.0: (0.3, 0.4, 0.5), 2.0: (0.0, 0.1, 0.2)}
    records = [
        swept(make_record, {"beta": beta}, value, seed=seed)
        for beta, own in values.items()
        for seed, value in enumerate(own)
    ]
    draw_sweeps(records, tmp_path / "sweeps", "toy")
    (band,) = drawn[0].axes[0].collections
    ends = band.get_paths()[0].vertices
    for beta, own in values.items():
        found = summarise(own, (0.0, 1.0))
        at = ends[ends[:, 0] == beta, 1]
        assert (at.min(), at.max()) == pytest.approx((found.low, found.high))


def test_a_study_without_a_sweep_has_no_such_plot(make_record, tmp_path: Path) -> None:
    draw_sweeps([make_record(0.5), make_record(0.6, seed=1)], tmp_path / "sweeps", "toy")
    assert list(tmp_path.iterdir()) == []
