"""MIG, MIG-sup, JEMMIG, DCIMIG and modularity: other implementations, and properties."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import Metric, Representation, mig
from bench.metrics.dcimig import dcimig
from bench.metrics.information import contingency, mutual_information_of_table
from bench.metrics.jemmig import jemmig
from bench.metrics.mig_sup import mig_sup
from bench.metrics.modularity import modularity
from bench.metrics.relations import bin_latents

SIZES = (3, 6, 40, 32, 32)  # dSprites
ROWS = 10_000
FOUR: dict[str, Metric] = {
    "mig_sup": mig_sup,
    "jemmig": jemmig,
    "dcimig": dcimig,
    "modularity": modularity,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(rows: int = ROWS, sizes: tuple[int, ...] = SIZES) -> np.ndarray:
    """(N, K) independent uniform factors."""
    return rng(99).integers(np.array(sizes), size=(rows, len(sizes)))


def represent(
    factors: np.ndarray, codes: Any = None, categories: np.ndarray | None = None, **more: Any
) -> Representation:
    rows, count = factors.shape
    none = np.zeros((rows, 0), dtype=int)
    categories = none if categories is None else categories.reshape(rows, -1)
    given: dict[str, Any] = {
        "codes": none.astype(float) if codes is None else np.column_stack([codes]),
        "categories": categories,
        "factors": factors,
        "category_sizes": tuple(int(c.max()) + 1 for c in categories.T),
        "factor_names": tuple(f"v{k}" for k in range(count)),
        "factor_kinds": ("ordinal",) * count,
        "factor_sizes": tuple(int(v.max()) + 1 for v in factors.T),
    }
    return Representation(**{**given, **more})


# Against other implementations

GOLDEN = "a_perfect b_rotated c_noise d_dup e_merge f_collapsed g1_noise01 h_warp i_onehot"


@pytest.mark.parametrize("case", [*GOLDEN.split(), "k_shapes3d"])
def test_golden(shared: Path, case: str) -> None:
    golden = json.loads((shared / "metrics_golden.json").read_text())["cases"][case]
    with np.load(shared / "representations" / f"{case}.npz") as arrays:
        represented = represent(arrays["factors_train"], arrays["codes_train"])
    ours = {
        "jemmig": jemmig(represented, rng()).value,
        "dcimig": dcimig(represented, rng()).value,
        # They divide by H(z), not by H(v) as Li et al. do, and leave nothing out but 0/0.
        "mig_sup": mig_sup(represented, rng(), normalization="latents", level=1).value,
        "modularity": modularity(represented, rng(), level=1).value,
    }
    if case == "f_collapsed":  # constant latents make theirs NaN
        assert "mig_sup" not in golden
        assert "modularity" not in golden
        del ours["mig_sup"], ours["modularity"]
        assert len(modularity(represented, rng()).details["active"]) == 5
    assert ours == pytest.approx({name: golden[name] for name in ours}, abs=1e-9)
    # By default noise is left out: all of c_noise, and the noisy latents of two more cases.
    pruned = modularity(represented, rng()).details["pruned"]
    assert len(pruned) == {"c_noise": 10, "f_collapsed": 5, "k_shapes3d": 4}.get(case, 0)


# Properties

METRICS: dict[str, Metric] = {
    f"{name} {binning}": partial(metric, binning=binning)
    for name, metric in {**FOUR, "mig": mig}.items()
    for binning in ("width", "frequency")
}
CHANGES: dict[str, Callable[[Representation], Representation]] = {
    "order of rows": lambda r: r.take(rng(1).permutation(len(r))),
    "order of latents": lambda r: replace(r, codes=r.codes[:, [2, 0, 1]]),
    "flip and scale": lambda r: replace(r, codes=r.codes * [1, -7, 1] + 3),
    "names of categories": lambda r: replace(r, categories=(r.categories + 1) % 3),
    "dead latent": lambda r: replace(r, codes=np.column_stack([r.codes, np.full(len(r), 0.1)])),
    "constant factor": lambda r: represent(
        np.column_stack([r.factors, np.ones(len(r), dtype=int)]), r.codes, r.categories
    ),
    "monotone warp": lambda r: replace(r, codes=np.exp(4 * r.codes)),
}


def noisy() -> Representation:
    """Entangled, noisy codes and a category: no metric is at an end of its range."""
    factors = draw(5_000, (3, 6, 40))
    mixing = np.array([[1.0, 0.6, 0.1], [0.3, 1.0, 0.5], [0.6, 0.3, 1.0]])
    codes = factors / np.array([3, 6, 40]) @ mixing + 0.3 * rng(7).normal(size=(5_000, 3))
    lost = rng(8).random(5_000) < 0.5
    return represent(factors, codes, np.where(lost, rng(9).integers(3, size=5_000), factors[:, 0]))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", METRICS)
def test_properties(name: str, change: str) -> None:
    before = noisy()
    first, second = (METRICS[name](r, rng()) for r in (before, CHANGES[change](before)))
    assert 0.01 < first.value < 0.99
    if (name.split()[1], change) == ("width", "monotone warp"):
        assert abs(second.value - first.value) > 0.005
    else:
        assert second.value == pytest.approx(first.value, abs=1e-9)
    assert second.details["left_out"] == (["v3"] if change == "constant factor" else [])
    json.dumps(dict(second.details), default=lambda a: a.tolist(), allow_nan=False)


def test_bins_of_equal_frequency_do_not_mind_outliers() -> None:
    represented = represent(draw(), 1.0 * draw())
    codes = represented.codes.copy()
    codes[:10] *= 20
    outliers = replace(represented, codes=codes)
    assert mig(outliers, rng()).value < 0.5
    assert mig(outliers, rng(), binning="frequency").value > 0.88
    for z in bin_latents(represent(draw(), rng(1).normal(size=(ROWS, 2))), 20, "frequency"):
        assert np.bincount(z).tolist() == [500] * 20
    details = mig(outliers, rng(), binning="frequency").details
    table = contingency(bin_latents(outliers, 20, "frequency")[0], outliers.factors[:, 1])
    assert details["mutual_information"][0, 1] == mutual_information_of_table(table)
    assert details["binning"] == "frequency"


@pytest.mark.parametrize("name", FOUR)
def test_the_generator_chooses_the_rows(name: str) -> None:
    some = [FOUR[name](noisy(), rng(seed), points=3_000) for seed in (0, 0, 1)]
    assert some[0].value == some[1].value != some[2].value
    assert some[2].value == pytest.approx(some[0].value, abs=0.05)
    assert some[0].details["points"] == 3_000
