"""Training on a part of a grid: which rows are drawn, how often, and what is refused."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from bench.build import build_data
from bench.datasets import DATASETS
from bench.datasets.subsets import Subset
from bench.datasets.toy import Toy

RNG = np.random.default_rng


def drawn(subset: Subset, count: int = 40_000) -> np.ndarray:
    return subset.values(subset.draw(RNG(0), count))


def test_correlated_factors_are_drawn_by_the_density_of_the_paper() -> None:
    subset = Subset(Toy(), correlate=["posX:posY=0.3"])
    values = drawn(subset)
    counts = np.zeros((8, 8))
    np.add.at(counts, (values[:, 2], values[:, 3]), 1)
    a, b = np.meshgrid(np.arange(8) / 7, np.arange(8) / 7, indexing="ij")
    expected = np.exp(-((a - b) ** 2) / (2 * 0.3**2))
    expected *= len(values) / expected.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()
    # the others stay even
    assert np.abs(np.bincount(values[:, 0]) / len(values) - 1 / 3).max() < 0.02


def test_a_smaller_sigma_is_a_stronger_correlation() -> None:
    found = [
        np.corrcoef(drawn(Subset(Toy(), correlate=[f"size:posX={sigma}"])).T)[1, 2]
        for sigma in (0.1, 0.2, 0.7, 100)
    ]
    assert all(strong > weak for strong, weak in pairwise(found))
    assert found[0] > 0.9
    assert abs(found[-1]) < 0.02


def test_combinations_held_out_are_never_drawn() -> None:
    subset = Subset(Toy(), hold_out=["shape=cross,posX=0-2+7", "shape=0,size=1"])
    values = drawn(subset)
    absent = (values[:, 0] == 2) & np.isin(values[:, 2], [0, 1, 2, 7])
    absent |= (values[:, 0] == 0) & (values[:, 1] == 1)
    assert not absent.any()
    whole = Toy().values(np.arange(len(Toy())))
    left = ~(
        ((whole[:, 0] == 2) & np.isin(whole[:, 2], [0, 1, 2, 7]))
        | ((whole[:, 0] == 0) & (whole[:, 1] == 1))
    )
    counts = np.bincount(subset.rows(values), minlength=len(whole))
    assert (counts[left] > 0).all()
    assert counts[~left].sum() == 0


def test_all_is_scored_and_the_record_says_what_was_trained_on() -> None:
    toy, subset = Toy(), Subset(Toy(), ["size:posX=0.2"], ["shape=cross"])
    assert len(subset) == len(toy)
    np.testing.assert_array_equal(subset.images([3, 500]), toy.images([3, 500]))
    assert "correlated size:posX=0.2, without shape=cross, scored on all" in subset.source
    assert subset.fingerprint != toy.fingerprint
    assert subset.fingerprint != Subset(Toy(), ["size:posX=0.3"], ["shape=cross"]).fingerprint


def test_draws_follow_the_generator_and_survive_pickling() -> None:
    subset = Subset(Toy(), ["size:posX=0.2"])
    again = pickle.loads(pickle.dumps(subset))
    for count in (1, 64, 999):
        rows = subset.draw(RNG(1), count)
        assert len(rows) == count
        np.testing.assert_array_equal(rows, again.draw(RNG(1), count))


def test_without_rules_it_is_the_data_itself() -> None:
    assert isinstance(build_data("toy", {}, None), DATASETS["toy"])
    assert isinstance(build_data("toy", {"hold_out": ["size=0"]}, None), Subset)


@pytest.mark.parametrize(
    ("correlate", "hold_out", "message"),
    [
        (["size"], [], "write FACTOR:FACTOR=SIGMA"),
        (["size:posX=0"], [], "write FACTOR:FACTOR=SIGMA"),
        (["size:posX=1e"], [], "write FACTOR:FACTOR=SIGMA"),
        (["size:place=0.2"], [], "no factor 'place', choose from shape, size, posX, posY"),
        (["size:size=0.2"], [], "two different factors"),
        ([], ["shape"], "write FACTOR=CLASSES"),
        ([], ["shape=heart"], "'heart' is no class of shape: 0 to 2, or square, disc, cross"),
        ([], ["posX=5-9"], "posX has the classes 0 to 7, not 5-9"),
        ([], ["form=0"], "no factor 'form'"),
        ([], ["shape=0-2"], "would be left to train on"),
        (["size:posX=0.0001", "size:posY=0.0001"], ["size=0", "size=2"], "would be left"),
    ],
)
def test_rules_that_cannot_be_followed(correlate, hold_out, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Subset(Toy(), correlate, hold_out)
    assert "\n" not in str(caught.value)


def test_a_study_of_correlated_factors(bench, cli_here, tmp_path) -> None:
    rules = ("--correlate", "size:posX=0.2", "--hold-out", "shape=cross,posX=0-3")
    command = ("run", "--models", "vae", "--dataset", "toy", "--preset", "smoke", "--steps", "4")
    ran = bench(*command, "--seeds", "1", *rules, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "results").iterdir()
    assert "size-posX-0.2" in folder.name
    assert (
        "correlated size:posX=0.2, without shape=cross,posX=0-3"
        in (folder / "table.md").read_text()
    )
    result = cli_here(*command, "--correlate", "size:place=1", "--dry-run")
    assert (result.code, result.err.count("\n")) == (2, 1)
