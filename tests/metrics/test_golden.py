"""Against the values of disentanglement_lib on stored representations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import Representation, discrete_accuracy, factorvae_score, mig

CASES = (
    "a_perfect",
    "b_rotated",
    "c_noise",
    "d_dup",
    "e_merge",
    "f_collapsed",
    "g1_noise01",
    "h_warp",
    "i_onehot",
    "k_shapes3d",
)


def load(shared: Path, case: str) -> tuple[Representation, dict[str, Any]]:
    golden = json.loads((shared / "metrics_golden.json").read_text())
    with np.load(shared / "representations" / f"{case}.npz") as arrays:
        codes, factors = arrays["codes_train"], arrays["factors_train"]
    sizes = tuple(golden["factor_sizes"][case])
    representation = Representation(
        codes=codes,
        categories=np.zeros((len(codes), 0), dtype=int),
        factors=factors,
        category_sizes=(),
        factor_names=tuple(f"v{k}" for k in range(len(sizes))),
        factor_kinds=("categorical",) + ("ordinal",) * (len(sizes) - 1),
        factor_sizes=sizes,
    )
    return representation, golden["cases"][case]


def test_every_case_is_asked(shared: Path) -> None:
    golden = json.loads((shared / "metrics_golden.json").read_text())
    assert set(CASES) == golden["cases"].keys()


@pytest.mark.parametrize("case", CASES)
def test_mig(shared: Path, case: str) -> None:
    representation, golden = load(shared, case)
    score = mig(representation, np.random.default_rng(0))
    assert score.value == pytest.approx(golden["mig"], abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_factorvae_score(shared: Path, case: str) -> None:
    representation, golden = load(shared, case)
    seeds = range(3)
    values = [factorvae_score(representation, np.random.default_rng(s)).value for s in seeds]
    # Theirs draws new points of the grid for each vote, ours draws from the 10,000 stored rows.
    spread = golden["factor_vae__sd_over_seeds"]
    assert np.mean(values) == pytest.approx(golden["factor_vae"], abs=3 * spread + 1e-9)


def test_constant_latents_win_no_votes_even_without_a_threshold(shared: Path) -> None:
    representation, _ = load(shared, "f_collapsed")
    score = factorvae_score(representation, np.random.default_rng(0), min_std=0)
    # The constant latents are gone all the same; theirs win every vote by 0/0, and score 0.19.
    assert score.details["active_count"] == 7
    assert score.value == 1


def test_one_hot_columns_hide_the_class_that_one_category_tells(shared: Path) -> None:
    flat, _ = load(shared, "i_onehot")
    shape = flat.factors[:, :1]
    whole = Representation(
        codes=flat.codes,
        categories=shape,
        factors=flat.factors,
        category_sizes=(3,),
        factor_names=flat.factor_names,
        factor_kinds=flat.factor_kinds,
        factor_sizes=flat.factor_sizes,
    )
    values = [discrete_accuracy(r, np.random.default_rng(0)).value for r in (flat, whole)]
    assert values == [pytest.approx(2 / 3, abs=0.02), 1]
