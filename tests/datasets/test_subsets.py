"""Parts of a grid: which rows there are, which are drawn, how often, and what is refused."""

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import ArrayLike

from bench.build import build_data
from bench.datasets import DATASETS, DSprites, Factor, FactorData, LabelledData
from bench.datasets.pairs import draw_pairs
from bench.datasets.subsets import Fixed, Scored, Subset
from bench.datasets.toy import Toy

RNG = np.random.default_rng


class Irregular(LabelledData):
    """600 images with labels in no order, of which one combination is absent and 150 are held out.

    The pixel of an image is its row.
    """

    image_shape = (1, 1, 1)
    source = fingerprint = "irregular"
    factors = (
        Factor("colour", 3, "categorical", (0.0, 1.0, 2.0), ("red", "green", "blue")),
        Factor("angle", 4, "cyclic", (0.0, 1.0, 2.0, 3.0)),
        Factor("length", 5, "ordinal", (0.0, 1.0, 2.0, 3.0, 4.0)),
    )
    held_out = 150

    def __init__(self) -> None:
        labels = RNG(0).integers((3, 4, 5), size=(600, 3))
        labels[(labels == [1, 2, 3]).all(axis=1)] = 0
        self.labels = labels

    def images(self, rows: ArrayLike) -> np.ndarray:
        return (self.checked(rows) % 256).astype(np.uint8)[:, None, None, None]


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


FIXED = [
    (Toy(), ["posX=3"], [2], [3]),
    (Toy(), ["size=1", "shape=cross"], [0, 1], [2, 1]),  # just enough images
    (DSprites(image_size=32), ["orientation=5"], [2], [5]),
    (DSprites(image_size=32), ["posX=0", "shape=heart"], [0, 3], [2, 0]),
    (Irregular(), ["angle=2"], [1], [2]),
    (Irregular(), ["colour=green"], [0], [1]),
]


@pytest.mark.parametrize(("whole", "fix", "columns", "classes"), FIXED)
def test_fixed_data_are_the_whole_at_these_classes(
    whole: FactorData, fix: list[str], columns: list[int], classes: list[int]
) -> None:
    values = whole.values(np.arange(len(whole)))
    same = np.flatnonzero((values[:, columns] == classes).all(axis=1))
    fixed = Fixed(whole, fix)
    rows = np.arange(len(fixed))
    assert len(fixed) == len(same)
    assert fixed.training == (same < whole.training).sum()
    np.testing.assert_array_equal(fixed.values(rows), np.delete(values[same], columns, axis=1))
    some = RNG(0).integers(len(fixed), size=50)
    np.testing.assert_array_equal(fixed.images(some), whole.images(same[some]))
    assert fixed.image_shape == whole.image_shape
    left = [factor for k, factor in enumerate(whole.factors) if k not in columns]
    assert list(fixed.factors) == left
    found = fixed.values(fixed.rows(fixed.values(rows)))
    np.testing.assert_array_equal(found, fixed.values(rows))
    with pytest.raises(IndexError, match=f"row {len(fixed)} is outside"):
        fixed.images([len(fixed)])


def test_the_rest_of_a_grid_is_a_grid_in_its_own_order() -> None:
    fixed = Fixed(Toy(), ["size=1"])
    grid = np.stack(np.unravel_index(np.arange(3 * 8 * 8), (3, 8, 8)), axis=1)
    np.testing.assert_array_equal(fixed.values(np.arange(len(fixed))), grid)
    np.testing.assert_array_equal(fixed.rows(grid), np.arange(len(fixed)))
    assert (np.bincount(fixed.draw(RNG(0), 40_000), minlength=len(fixed)) > 100).all()


def test_a_combination_that_is_absent_is_absent_of_the_fixed_data() -> None:
    fixed = Fixed(Irregular(), ["angle=2"])
    with pytest.raises(ValueError, match="no image has colour 1, angle 2, length 3"):
        fixed.rows([[0, 0], [1, 3]])
    drawn = fixed.draw(RNG(0), 2_000)
    assert 0 < fixed.training < len(fixed)
    assert set(drawn.tolist()) == set(range(fixed.training))


def test_fixed_data_say_what_they_are_in_one_way() -> None:
    toy, fixed = Toy(), Fixed(Toy(), ["size=1", "shape=cross"])
    assert fixed.source == f"{toy.source}; only the 64 images with shape=cross, size=1"
    again = Fixed(Toy(), ["shape=2", "size=1"])
    assert (again.source, again.fingerprint) == (fixed.source, fixed.fingerprint)
    others = [["size=1"], ["shape=cross"], ["shape=disc", "size=1"], ["shape=cross", "size=2"]]
    fingerprints = {Fixed(toy, fix).fingerprint for fix in others}
    assert len(fingerprints | {toy.fingerprint, fixed.fingerprint}) == 2 + len(others)


def test_no_image_is_drawn_to_find_the_rows(monkeypatch) -> None:
    def drawn(self: DSprites, rows: ArrayLike) -> np.ndarray:
        raise AssertionError("images are drawn")

    monkeypatch.setattr(DSprites, "images", drawn)
    fixed = Fixed(DSprites(), ["orientation=0"])
    assert len(fixed) == 18_432
    assert fixed.sizes == (3, 6, 32, 32)


def test_fixed_data_survive_pickling() -> None:
    fixed = Fixed(Toy(), ["shape=cross"])
    again = pickle.loads(pickle.dumps(fixed))
    np.testing.assert_array_equal(again.images([0, 100]), fixed.images([0, 100]))
    assert again.fingerprint == fixed.fingerprint


def test_the_factors_that_vary_are_correlated_and_held_out() -> None:
    rules = {"correlate": ["size:posX=0.2"], "hold_out": ["posY=0-3,posX=7"]}
    data = build_data("toy", {"image_size": 64, "fix": ["shape=cross"], **rules}, None)
    assert isinstance(data, Subset)
    assert [factor.name for factor in data.factors] == ["size", "posX", "posY"]
    assert len(data) == 192
    values = drawn(data)
    assert not ((values[:, 1] == 7) & (values[:, 2] < 4)).any()
    assert np.corrcoef(values.T)[0, 1] > 0.5
    assert "with shape=cross; trained on rows correlated size:posX=0.2, without" in data.source
    parts = [{"fix": ["shape=cross"]}, rules, {"fix": ["shape=disc"], **rules}]
    fingerprints = {build_data("toy", {"image_size": 64, **p}, None).fingerprint for p in parts}
    assert len(fingerprints | {data.fingerprint}) == 4


def test_without_rules_it_is_the_data_itself() -> None:
    assert isinstance(build_data("toy", {}, None), DATASETS["toy"])
    assert isinstance(build_data("toy", {"hold_out": ["size=0"]}, None), Subset)
    assert isinstance(build_data("toy", {"fix": ["size=0"]}, None), Fixed)


def test_some_factors_are_scored_of_the_same_training() -> None:
    toy = Toy()
    scored = Scored(toy, ["posX", "shape"])
    rows = np.arange(len(toy))
    assert [factor.name for factor in scored.factors] == ["shape", "posX"]
    np.testing.assert_array_equal(scored.values(rows), toy.values(rows)[:, [0, 2]])
    np.testing.assert_array_equal(scored.numbers(rows), toy.numbers(rows)[:, [0, 2]])
    np.testing.assert_array_equal(scored.images(rows[:5]), toy.images(rows[:5]))
    np.testing.assert_array_equal(scored.draw(RNG(0), 50), toy.draw(RNG(0), 50))
    np.testing.assert_array_equal(draw_pairs(scored, RNG(0), 50), draw_pairs(toy, RNG(0), 50))
    found = scored.rows([[2, 5], [0, 0]])
    np.testing.assert_array_equal(scored.values(found), [[2, 5], [0, 0]])
    assert scored.source == f"{toy.source}; scored by shape, posX only"
    assert scored.fingerprint == Scored(toy, ["shape", "posX"]).fingerprint != toy.fingerprint
    assert pickle.loads(pickle.dumps(scored)).fingerprint == scored.fingerprint


def test_rules_may_be_about_factors_that_are_not_scored() -> None:
    settings = {"fix": ["shape=0"], "hold_out": ["size=0,posX=0-3"], "factors": ["posY"]}
    data = build_data("toy", settings, None)
    assert isinstance(data, Scored)
    assert [factor.name for factor in data.factors] == ["posY"]
    values = data.whole.values(data.draw(RNG(0), 2_000))
    assert not ((values[:, 0] == 0) & (values[:, 1] < 4)).any()


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (["posx"], "'posx': no factor 'posx', did you mean pos"),
        (["shape", "nothing"], "no factor 'nothing', choose from shape, size, posX, posY"),
        ([""], "no factor '', choose from"),
        ([], "name each factor that is scored once, and at least one"),
        (["shape", "shape"], "'shape,shape': name each factor that is scored once"),
    ],
)
def test_factors_that_cannot_be_scored(factors: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Scored(Toy(), factors)
    assert "\n" not in str(caught.value)


def test_a_fixed_factor_cannot_be_scored() -> None:
    for whole in (Fixed(Toy(), ["shape=cross"]), Subset(Fixed(Toy(), ["shape=cross"]))):
        with pytest.raises(ValueError, match="shape is fixed at cross: name a factor that varies"):
            Scored(whole, ["shape"])


class Unlabelled(LabelledData):
    """Images of which some have no label, or all."""

    image_shape = (1, 1, 1)
    source = fingerprint = "unlabelled"

    def __init__(self, *factors: Factor) -> None:
        self.factors = factors
        self.labels = np.tile(np.arange(400)[:, None] % 4 - 1, (1, len(factors)))
        self.quantities = self.labels + 0.5

    def images(self, rows: ArrayLike) -> np.ndarray:
        return np.zeros((len(self.checked(rows)), 1, 1, 1), dtype=np.uint8)


def test_missing_labels_are_neither_fixed_nor_correlated_nor_held_out() -> None:
    a, b = (Factor(name, 3, "ordinal", (0, 1, 2)) for name in "ab")
    data = Unlabelled(a, b)
    assert (Fixed(data, ["a=0"]).values(range(50)) == 0).all()
    correlated = Subset(data, correlate=["a:b=0.5"])
    assert (correlated.values(correlated.draw(RNG(0), 200)) >= 0).all()
    assert (Subset(data, hold_out=["a=0-2"]).draw(RNG(0), 200) % 4 == 0).all()


def test_numbers_of_continuous_factors_go_through_all_parts() -> None:
    a = Factor("a", 3, "ordinal", (0, 1, 2))
    b = Factor("b", 3, "continuous", (0.5, 1.5, 2.5))
    data = Unlabelled(a, b)
    np.testing.assert_array_equal(data.numbers([0, 1, 3]), [[np.nan, -0.5], [0, 0.5], [2, 2.5]])
    for part in (Scored(data, ["b"]), Subset(Scored(data, ["b"]), hold_out=["b=0"])):
        np.testing.assert_array_equal(part.numbers([1, 3]), [[0.5], [2.5]])
    assert Fixed(data, ["a=2"]).numbers([0]).tolist() == [[2.5]]


@pytest.mark.parametrize("rule", [{"fix": ["a=0"]}, {"hold_out": ["a=0"]}, {"factors": ["a"]}])
def test_rules_about_data_without_factors_say_so(rule: dict[str, list[str]]) -> None:
    part = {"fix": Fixed, "hold_out": lambda d, r: Subset(d, hold_out=r), "factors": Scored}
    ((key, texts),) = rule.items()
    with pytest.raises(ValueError, match="the data have no factors, leave the option out"):
        part[key](Unlabelled(), texts)


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
        ([], ["sise=0"], "no factor 'sise', did you mean size"),
        ([], ["shape=0-2"], "would be left to train on"),
        (["size:posX=0.0001", "size:posY=0.0001"], ["size=0", "size=2"], "would be left"),
    ],
)
def test_rules_that_cannot_be_followed(correlate, hold_out, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Subset(Toy(), correlate, hold_out)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        (["size"], "write FACTOR=CLASS, such as orientation=0"),
        (["=0"], "write FACTOR=CLASS"),
        (["size="], "write FACTOR=CLASS"),
        ([""], "write FACTOR=CLASS"),
        (["sise=0"], "no factor 'sise', did you mean size"),
        (["place=0"], "no factor 'place', choose from shape, size, posX, posY"),
        (["shape=crass"], "'crass' is no class of shape: did you mean cross"),
        (["shape=heart"], "'heart' is no class of shape: 0 to 2, or square, disc, cross"),
        (["size=3"], "size has the classes 0 to 2, not 3"),
        (["size=-1"], "'-1' is no class of size: 0 to 2"),
        (["size=0+2"], "fix size to one class, not to 2"),
        (["posX=0-7"], "fix posX to one class, not to 8"),
        (["size=0", "size=1"], "fix each factor once"),
        (["shape=2", "shape=cross"], "fix each factor once"),
        (["size=0", "posX=1"], "size=0, posX=1: 24 images would be left to train on, at least 64"),
        (["shape=0", "size=0", "posX=0", "posY=0"], "all factors are fixed"),
    ],
)
def test_factors_that_cannot_be_fixed(fix: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Fixed(Toy(), fix)
    assert "\n" not in str(caught.value)


def test_data_that_draw_in_their_own_way_are_not_fixed() -> None:
    with pytest.raises(ValueError, match=r"shape=cross: .* a draw\(\) of its own"):
        Fixed(Subset(Toy(), correlate=["size:posX=0.2"]), ["shape=cross"])


@pytest.mark.parametrize(
    ("correlate", "hold_out"),
    [(["shape:size=0.2"], []), (["size:shape=0.2"], []), ([], ["size=0,shape=1"])],
)
def test_a_rule_about_a_fixed_factor_is_refused(correlate, hold_out) -> None:
    message = "shape is fixed at cross: name a factor that varies, size or posX or posY"
    with pytest.raises(ValueError, match=message) as caught:
        Subset(Fixed(Toy(), ["shape=cross"]), correlate, hold_out)
    assert "\n" not in str(caught.value)


def test_a_study_of_fixed_factors(bench, cli_here, tmp_path, monkeypatch) -> None:
    command = ("run", "--models", "adagvae", "--dataset", "toy", "--preset", "smoke")
    command = (*command, "--steps", "4", "--seeds", "1", "--fix", "shape=cross")
    ran = bench(*command, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name == "toy-smoke-steps4-fix-shape-cross"
    assert "only the 192 images with shape=cross), preset smoke" in ran.stderr
    table = (folder / "table.md").read_text()
    assert table.startswith("**toy (shape=cross), preset smoke**")
    assert "only the 192 images with shape=cross." in table
    monkeypatch.chdir(tmp_path)
    assert "1 runs: 1 done, 0 to do" in cli_here(*command, "--dry-run").out
    (run,) = (folder / "runs").iterdir()
    settings = json.loads((run / "settings.json").read_text())
    assert settings["data_settings"] == {"image_size": 32, "fix": ["shape=cross"]}
    assert settings["fingerprint"].endswith(":fixed-shape=cross")
    assert json.loads((run / "evaluation.json").read_text())["rows"] == 192
    (folder / "table.md").unlink()
    assert cli_here("report", str(folder)).code == 0
    assert (folder / "table.md").read_text() == table
    said = cli_here("evaluate", str(run))
    assert "192 rows" in said.out
    assert "factors: 3 ordinal" in said.out
    assert cli_here("export", str(run)).code == 0
    description = json.loads((run / "export" / "export.json").read_text())
    assert description["factors"] == {"size": 3, "posX": 8, "posY": 8}


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
