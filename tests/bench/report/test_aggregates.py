"""Many runs, several data sets: against scipy and scikit-posthocs, closed cases, simulations."""

import math
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.errors import RequestError
from bench.report import plots
from bench.report.statistics.aggregates import (
    aggregate,
    are_many,
    blocks_of,
    interquartile_mean,
    mean_ranks,
    profile,
    strata_of,
)
from tests.bench.report.conftest import check


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    """A backend without a screen, and no figure left behind."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


# interquartile means


@pytest.mark.parametrize("n", [1, 3, 4, 5, 10, 11, 38])
def test_the_interquartile_mean_is_the_trimmed_mean_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([0, 0, 0.4, 0.5, 0.6, 0.7, 9, 9]) == pytest.approx(0.55)


def test_the_bootstrap_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).beta(2, 3, size=12)
    theirs = stats.bootstrap(
        (values,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = aggregate([values.tolist()], np.random.default_rng(2), 20_000)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.01)
    assert found.runs == 12


def test_data_sets_are_not_drawn_again() -> None:
    # runs of each data set are all equal: whatever is drawn, the numbers are the same
    found = aggregate([[0.1] * 5, [0.9] * 5], np.random.default_rng(0))
    assert (found.low, found.iqm, found.high) == (0.5, 0.5, 0.5)


def test_which_models_have_many_runs() -> None:
    assert are_many([[0.0] * 10])
    assert are_many([[0.0] * 5] * 2)
    assert are_many([[0.0] * 3] * 3)
    assert not are_many([[0.0] * 9])
    assert not are_many([[0.0] * 2] * 5)
    assert not are_many([[0.0] * 20, [0.0]])


# performance profiles


def test_a_profile_by_hand() -> None:
    strata = [[0.1, 0.2, 0.3, 0.4], [0.6, 0.6]]
    found = profile(strata, [0.0, 0.2, 0.5, 0.6], np.random.default_rng(0))
    # both data sets count the same, however many runs they have
    assert found.shares == pytest.approx([1.0, (0.5 + 1) / 2, (0 + 1) / 2, 0.0])
    assert (found.low[0], found.high[0]) == (1.0, 1.0)
    assert found.low[1] < found.shares[1] < found.high[1]
    assert np.all(np.diff(found.shares) <= 0)


def test_a_band_is_that_of_a_share() -> None:
    # of one data set the bootstrap of a share is a binomial distribution over n
    values = [0.0] * 14 + [1.0] * 6
    found = profile([values], [0.5], np.random.default_rng(0), 20_000)
    low, high = stats.binom(20, 0.3).ppf([0.025, 0.975]) / 20
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=0.051)


# mean ranks


def test_the_critical_difference_is_that_of_demsar() -> None:
    # section 3.2.3: four classifiers on 14 data sets, 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25
    blocks = [
        dict(zip("abcd", values, strict=True))
        for values in np.random.default_rng(0).random((14, 4))
    ]
    assert mean_ranks(blocks).difference == pytest.approx(1.25, abs=0.005)


def test_five_runs_rank_no_fifteen_models() -> None:
    rng = np.random.default_rng(0)
    for runs, difference in ((5, 9.6), (20, 4.8)):
        blocks = [{str(i): x for i, x in enumerate(rng.random(15))} for _ in range(runs)]
        assert mean_ranks(blocks).difference == pytest.approx(difference, abs=0.05)


def test_mean_ranks_by_hand() -> None:
    # a wins four of five blocks, b and c tie in the last
    rows = [(3, 2, 1), (3, 2, 1), (3, 2, 1), (2, 3, 1), (3, 1, 1)]
    found = mean_ranks([dict(zip("cab", (c, a, b), strict=True)) for a, b, c in rows])
    assert found.ranks == pytest.approx({"a": 1.2, "b": 1.9, "c": 2.9})
    assert list(found.ranks) == ["a", "b", "c"]
    assert found.blocks == 5
    # 12 n / (k (k + 1)) sum (R - (k + 1) / 2)^2, over the correction for one tie of two
    square = 5 * (0.8**2 + 0.1**2 + 0.9**2) / (1 - 6 / (5 * 24))
    assert found.p == pytest.approx(math.exp(-square / 2))  # chi squared of two degrees
    # q is 2.343: 2.343 sqrt(3 * 4 / 30) = 1.48
    assert found.difference == pytest.approx(1.48, abs=0.005)
    assert found.groups == [["a", "b"], ["b", "c"]]


def test_equal_models_are_one_group() -> None:
    same = mean_ranks([{"a": 1.0, "b": 1.0, "c": 1.0}] * 4)
    assert (same.p, same.groups) == (1.0, [["a", "b", "c"]])


@pytest.mark.parametrize(("models", "blocks"), [(3, 10), (5, 10), (8, 20)])
def test_groups_are_those_of_scikit_posthocs(models: int, blocks: int) -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    rng = np.random.default_rng(models)
    scores = rng.normal(size=(blocks, models)) + np.linspace(0, 3, models)
    names = [f"m{i}" for i in range(models)]
    found = mean_ranks([dict(zip(names, row, strict=True)) for row in scores])
    theirs = posthocs.posthoc_nemenyi_friedman(pd.DataFrame(scores, columns=names))
    separated = 0
    for first, second in combinations(names, 2):
        together = any(first in group and second in group for group in found.groups)
        assert together == (theirs.loc[first, second] >= 0.05)
        separated += not together
    assert 0 < separated


@pytest.mark.parametrize(("models", "blocks"), [(3, 3), (8, 3), (3, 10), (15, 10)])
def test_equal_models_are_seldom_separated(models: int, blocks: int) -> None:
    rng = np.random.default_rng(models)
    wrong = 0
    for _ in range(200):
        drawn = rng.normal(size=(blocks, models)).tolist()
        found = mean_ranks([{str(i): x for i, x in enumerate(row)} for row in drawn])
        wrong += [len(group) for group in found.groups] != [models]
    assert wrong / 200 <= 0.075


# of a frame


def rows_of(values: dict[tuple[str, str, str], list[float]]) -> pd.DataFrame:
    """By study, data set and label."""
    return pd.DataFrame(
        [
            {
                "study": study,
                "dataset": data,
                "label": label,
                "metric": "mig",
                "value": value,
                "seed": seed,
            }
            for (study, data, label), own in values.items()
            for seed, value in enumerate(own)
        ]
    )


def test_the_runs_of_one_data_set() -> None:
    ten = [0.1 * i for i in range(10)]
    values = {("s", "toy", "a"): ten, ("s", "toy", "b"): ten, ("s", "toy", "few"): ten[:9]}
    found = strata_of(rows_of(values), "mig")
    assert found == {"a": [ten], "b": [ten]}
    assert blocks_of(found) == [{"a": x, "b": x} for x in ten]
    assert strata_of(rows_of({("s", "toy", "a"): ten}), "mig") == {}  # no other to compare it with


def test_the_runs_of_several_data_sets() -> None:
    three = [0.1, 0.2, 0.3]
    values = {(name, name, label): three for name in ("x", "y", "z") for label in ("a", "b")}
    values |= {("x", "x", "only"): three, ("w", "w", "a"): three, ("y", "y", "b"): [0.4, 0.5, 0.6]}
    # b is in a second study of x, whose runs are not added to those of the first
    values |= {("again", "x", "b"): [0.9] * 4}
    found = strata_of(rows_of(values), "mig")
    assert found == {"a": [three] * 3, "b": [three, [0.4, 0.5, 0.6], three]}
    blocks = blocks_of(found)
    assert [block["b"] for block in blocks] == pytest.approx([0.2, 0.5, 0.2])


def ten_runs(models: int = 4, labels: str = "") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"{labels}model {i}" for i in range(models)]
    means = np.linspace(0.2, 0.8, models)
    pairs = zip(names, means, strict=True)
    return rows_of({("s", "toy", n): rng.normal(m, 0.05, 10).tolist() for n, m in pairs})


def test_profiles_of_a_frame() -> None:
    rows = ten_runs()
    axes = plots.profiles(rows, "mig")
    assert [line.get_label() for line in axes.lines] == [f"model {i}" for i in (3, 2, 1, 0)]
    best = dict(zip(axes.lines[0].get_xdata(), axes.lines[0].get_ydata(), strict=True))
    own = rows[rows["label"] == "model 3"]["value"]
    assert best[0.8] == pytest.approx((own > 0.8).mean())


def test_a_critical_difference_of_a_frame() -> None:
    axes = plots.critical_difference(ten_runs())
    words = [text.get_text() for text in axes.texts]
    assert [word for word in words if word.startswith("model")] == [
        "model 3 1.00",
        "model 2 2.00",
        "model 1 3.00",
        "model 0 4.00",
    ]
    assert "critical difference 1.48" in words  # 2.569 sqrt(20 / 60)
    axes.figure.canvas.draw()


@pytest.mark.parametrize("models", [3, 15])
def test_the_files(models: int, tmp_path: Path) -> None:
    rows = ten_runs(models, r"$\mine_ <b>")
    labels = list(rows["label"].unique())
    plots.draw_profiles(rows, {"mig": [labels]}, tmp_path / "profiles", "toy")
    plots.draw_critical_differences(rows, {"mig": [labels]}, tmp_path / "difference", "toy")
    check(tmp_path / "profiles")
    check(tmp_path / "difference")


def test_with_too_few_runs_nothing_is_drawn(tmp_path: Path) -> None:
    rows = ten_runs()
    rows = rows[rows["seed"] < 9]
    plots.draw_profiles(rows, {"mig": [[]]}, tmp_path / "profiles", "toy")
    plots.draw_critical_differences(rows, {"mig": [[]]}, tmp_path / "difference", "toy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.profiles(ten_runs().query("seed < 5")), "no model has enough runs by mig"),
        (lambda: plots.profiles(ten_runs().assign(metric="kl_total")), "no range from 0 to 1"),
        (lambda: plots.profiles(ten_runs(), "mgi"), "unknown metric 'mgi'"),
        (lambda: plots.critical_difference(ten_runs(2)), "fewer than 3 models"),
    ],
)
def test_wrong_input_is_one_line(draw, message: str) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        draw()
    assert "\n" not in str(raised.value)
