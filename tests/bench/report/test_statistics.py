"""Numbers over seeds: against scipy, by closed cases, and what they cover by simulation."""

import math
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.report.statistics import (
    aggregate,
    agreement,
    detectable,
    holm,
    improvement,
    interquartile_mean,
    pooled_sd,
    power,
    rank_correlation,
    ranking,
    runs_needed,
    summarise,
    tie_letters,
    variance_shares,
    welch,
)

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "statistics.md").read_text()

# one sample


def test_the_t_interval_by_hand() -> None:
    # Mean 2, deviation 1, t(0.975, 2) = 4.30265273 from a table of the t distribution.
    found = summarise([1.0, 2.0, 3.0])
    half = 4.30265273 / math.sqrt(3)
    assert (found.n, found.mean, found.sd) == (3, 2.0, pytest.approx(1.0))
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_below_three_values_there_is_no_interval_but_the_values() -> None:
    found = summarise([0.25])
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 0.25, None, None, None)
    two = summarise([4.0, 6.0])
    assert two.sd == pytest.approx(math.sqrt(2))
    assert (two.mean, two.low, two.high, two.values) == (5.0, None, None, (4.0, 6.0))
    assert summarise([]) is None


def test_the_interval_is_clipped_to_the_bounds_and_holds_the_mean() -> None:
    found = summarise([0.0, 0.6, 0.6], (0.0, 1.0))
    assert (found.low, found.high) == (0.0, pytest.approx(1.0, abs=0.27))
    assert summarise([0.0, 0.9, 0.9], (0.0, 1.0)).high == 1.0
    assert summarise([0.0, 0.9, 0.9]).high > 1.0
    outside = summarise([1.1, 1.2, 1.3], (0.0, 1.0))
    assert outside.low <= outside.mean <= outside.high


def test_values_that_share_runs_have_no_interval() -> None:
    found = summarise([0.1, 0.2, 0.3, 0.4], (0.0, 1.0), independent=False)
    assert (found.low, found.high) == (None, None)
    assert found.sd is not None


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.clip(rng.normal(0.3, 0.05, shape), 0, 1)


def low(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.beta(2, 8, shape)


def high(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.beta(20, 2, shape)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.1, 0.0, rng.normal(0.5, 0.05, shape))


SCORES = (normal, low, high, collapsing)  # in the order of the tables of the page
MEANS = (0.3, 0.2, 20 / 22, 0.45)


def table_below(words: str) -> dict[str, list[float]]:
    """The numbers of the next table of the page, by their row."""
    lines = PAGE.partition(words)[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()[2:]
    rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    return {name: [float(cell) for cell in cells] for name, *cells in rows}


@pytest.mark.parametrize("column", range(4))
def test_the_interval_covers_what_the_page_says(column: int) -> None:
    rng = np.random.default_rng(0)
    said = table_below("**What it covers**")
    assert list(said) == ["3", "5", "10", "30"]
    for n, expected in said.items():
        samples = SCORES[column](rng, (4_000, int(n))).tolist()
        summaries = [summarise(sample, (0.0, 1.0)) for sample in samples]
        covered = np.mean([found.low <= MEANS[column] <= found.high for found in summaries])
        assert covered == pytest.approx(expected[column], abs=0.02), n


@pytest.mark.parametrize("column", range(4))
def test_the_interval_of_interquartile_means_covers_what_the_page_says(column: int) -> None:
    rng = np.random.default_rng(0)
    draw = SCORES[column]
    true = interquartile_mean(draw(rng, (200_000,)))
    for name, expected in table_below("**interquartile means**").items():
        n, sets = (re.findall(r"\d+", name) + ["1"])[:2]
        hits = 0
        for _ in range(300):
            found = aggregate(draw(rng, (int(sets), int(n))).tolist(), rng, 200)
            hits += found.low <= true <= found.high
        assert hits / 300 == pytest.approx(expected[column], abs=0.06), name


# two samples


@pytest.mark.parametrize(("m", "n"), [(2, 2), (5, 5), (3, 12)])
def test_welch_is_that_of_scipy(m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    first, second = rng.normal(size=m), rng.normal(1.0, 3.0, size=n)
    found, theirs = welch(first, second), stats.ttest_ind(first, second, equal_var=False)
    interval = theirs.confidence_interval()
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(first.mean() - second.mean())


def test_samples_without_spread_are_equal_or_differ() -> None:
    assert welch([1.0] * 5, [1.0] * 5).p == 1.0
    assert welch([0.1 + 0.2] * 5, [0.3] * 5).p == 1.0  # nothing but rounding
    assert welch([0.5] * 5, [0.6] * 5).p == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_improvement_is_the_u_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 9, size=6), rng.integers(2, 9, size=8)  # with ties
    found = improvement(first, second)
    assert found.probability == stats.mannwhitneyu(first, second).statistic / 48
    other = improvement(second, first)
    assert (other.low, other.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_improvement_has_a_width_where_no_values_overlap() -> None:
    found = improvement([6, 7, 8, 9, 10], [1, 2, 3, 4, 5])
    assert (found.probability, found.high) == (1.0, 1.0)
    assert 0.5 < found.low < 0.8


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_improvement_covers(shift: float) -> None:
    rng = np.random.default_rng(2)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    draws = [(rng.normal(shift, 1, 5), rng.normal(0, 1, 5)) for _ in range(400)]
    found = [improvement(first, second) for first, second in draws]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99


# how many runs


def test_power_by_the_table_of_cohen() -> None:
    # Cohen 1988, table 2.4.1: d 0.2, 0.5 and 0.8 need 393, 64 and 26 for a power of 0.8
    assert [runs_needed(1.0, d) for d in (0.2, 0.5, 0.8)] == [394, 64, 26]
    assert power(0.5, 1.0, 64) == pytest.approx(0.8015, abs=1e-3)


def test_power_of_five_seeds() -> None:
    said = "deviation of 0.047, five runs show 0.095, and 0.05 needs 15."
    assert said in " ".join(PAGE.split())
    assert detectable(0.047, 5) == pytest.approx(0.095, abs=5e-4)
    assert runs_needed(0.047, 0.05) == 15
    assert power(detectable(0.047, 5), 0.047, 5) == pytest.approx(0.8)
    rng = np.random.default_rng(3)
    draws = ((rng.normal(0, 1, 5), rng.normal(2.02, 1, 5)) for _ in range(1_000))
    assert np.mean([welch(*pair).p < 0.05 for pair in draws]) == pytest.approx(0.8, abs=0.04)


def test_the_pooled_deviation() -> None:
    assert pooled_sd([[1.0, 3.0], [5.0, 5.0, 5.0]]) == pytest.approx(math.sqrt(2 / 3))
    assert pooled_sd([[1.0], []]) is None


# many samples


def test_equal_models_end_in_one_group() -> None:
    assert "Two equal models end in one group in 95 % of all studies" in " ".join(PAGE.split())
    rng = np.random.default_rng(4)
    draws = [{name: rng.normal(size=5) for name in "ab"} for _ in range(1_000)]
    together = [ranking(samples).separated == 0 for samples in draws]
    assert np.mean(together) == pytest.approx(0.95, abs=0.02)
    many = [{str(i): rng.normal(size=5) for i in range(10)} for _ in range(300)]
    assert np.mean([ranking(samples).separated == 0 for samples in many]) >= 0.93


def test_the_true_ranks_are_in_all_intervals_at_once() -> None:
    rng = np.random.default_rng(5)
    order = {str(i): 0.5 - 0.05 * i for i in range(8)}
    covered = []
    for _ in range(200):
        found = ranking({name: rng.normal(mean, 0.05, 5) for name, mean in order.items()})
        inside = [s.first <= int(name) + 1 <= s.last for name, s in found.standings.items()]
        covered.append(all(inside))
    assert np.mean(covered) >= 0.93


def test_a_ranking_by_hand() -> None:
    good, fair, bad = [0.9, 0.91, 0.92], [0.5, 0.51, 0.52], [0.1, 0.11, 0.12]
    wide = [0.2, 0.9, 0.5]
    found = ranking({"bad": bad, "good": good, "wide": wide, "fair": fair})
    assert list(found.standings) == ["good", "wide", "fair", "bad"]
    assert (found.separated, found.pairs) == (3, 6)
    assert found.standings["good"].rank == "1 to 2 of 4"
    assert found.standings["wide"].rank == "1 to 4 of 4"
    assert found.standings["bad"].rank == "3 to 4 of 4"
    assert [name for name, s in found.standings.items() if s.is_best] == ["good", "wide"]
    assert ranking({"one": good}).standings["one"].rank == "1 of 1"
    assert ranking({}).standings == {}


def test_letters_say_what_is_apart_and_nothing_else() -> None:
    rng = np.random.default_rng(6)
    for size in (1, 2, 5, 12):
        for share in (0.0, 0.3, 0.7, 1.0):
            upper = np.triu(rng.random((size, size)) < share, 1)
            apart = upper | upper.T
            letters = tie_letters(apart)
            for i, j in combinations(range(size), 2):
                assert bool(set(letters[i]) & set(letters[j])) != apart[i, j]
            assert all(letters)
    assert tie_letters(np.zeros((3, 3), bool)) == ["a", "a", "a"]
    first_and_last = np.zeros((3, 3), bool)
    first_and_last[0, 2] = first_and_last[2, 0] = True
    assert tie_letters(first_and_last) == ["a", "ab", "b"]


# over metrics and settings


def test_the_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(7)
    first = rng.normal(size=12)
    second = (first + rng.normal(size=12)).round(1)
    found = rank_correlation(first, second)
    assert found[0] == pytest.approx(stats.spearmanr(first, second).statistic)
    assert found[1] < found[0] < found[2]
    assert all(map(math.isnan, rank_correlation([1, 1, 1], [1, 2, 3])))


def test_the_rank_correlation_covers() -> None:
    rng = np.random.default_rng(8)
    rho = 0.6
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a normal distribution
    covered = []
    for _ in range(500):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=20).T
        _, low, high = rank_correlation(x, y)
        covered.append(low <= truth <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def rows_of(values: dict[tuple[str, str, str], list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "label": label, "metric": metric, "value": value, "seed": seed}
            for (model, label, metric), group in values.items()
            for seed, value in enumerate(group)
        ]
    )


def test_metrics_agree_over_the_means_of_models() -> None:
    means = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.6}
    values = {(m, m, "mig"): [x - 0.1, x + 0.1] for m, x in means.items()}
    values |= {(m, m, "sap"): [1 - x] for m, x in means.items()}
    values |= {(m, m, "flat"): [0.5] for m in means}
    (found,) = agreement(rows_of(values))
    assert (found.first, found.second, found.models) == ("mig", "sap", 5)
    assert found.correlation == pytest.approx(-1.0)
    assert found.low is None


def test_the_shares_of_variance_by_hand() -> None:
    values = {
        ("a", "a (1)", "mig"): [0.0, 2.0],
        ("a", "a (2)", "mig"): [4.0, 6.0],
        ("b", "b", "mig"): [9.0, 9.0],
    }
    # mean 5; models 3 and 9: 4 * 4 + 2 * 16 = 48; settings 1 and 5: 4 * 4 = 16; seeds 4 * 1 = 4
    found = variance_shares(rows_of(values), "mig")
    assert (found.model, found.strength, found.seed) == pytest.approx((48 / 68, 16 / 68, 4 / 68))
    assert variance_shares(rows_of({("a", "a", "mig"): [1.0, 1.0]}), "mig") is None
