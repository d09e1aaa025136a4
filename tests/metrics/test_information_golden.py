"""MIG, MIG-sup, JEMMIG, DCIMIG and modularity: other implementations, and properties."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.metrics import Metric, Representation, mig
from bench.metrics.dcimig import dcimig
from bench.metrics.information import contingency, mutual_information_of_table
from bench.metrics.jemmig import jemmig
from bench.metrics.mig_sup import mig_sup
from bench.metrics.modularity import modularity
from bench.metrics.relations import bin_latents
from tests.metrics.conftest import GOLDEN, draw, entangled, golden, plain, represent, rng

ROWS = 10_000
FOUR: dict[str, Metric] = {
    "mig_sup": mig_sup,
    "jemmig": jemmig,
    "dcimig": dcimig,
    "modularity": modularity,
}


# Against other implementations


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(shared: Path, case: str) -> None:
    stored = golden(shared, case)
    representation = stored.represent()
    ours = {
        "jemmig": jemmig(representation, rng()).value,
        "dcimig": dcimig(representation, rng()).value,
        # They divide by H(z), not by H(v) as Li et al. do, and leave nothing out but 0/0.
        "mig_sup": mig_sup(representation, rng(), normalization="latents", level=1).value,
        "modularity": modularity(representation, rng(), level=1).value,
    }
    if case == "f_collapsed":  # constant latents make theirs NaN
        assert "mig_sup" not in stored.values
        assert "modularity" not in stored.values
        del ours["mig_sup"], ours["modularity"]
        assert len(modularity(representation, rng()).details["active"]) == 5
    assert ours == pytest.approx({name: stored.values[name] for name in ours}, abs=1e-9)
    # By default noise is left out: all of c_noise, and the noisy latents of two more cases.
    pruned = modularity(representation, rng()).details["pruned"]
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


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", METRICS)
def test_properties(name: str, change: str) -> None:
    before = entangled(posterior=False)
    first, second = (METRICS[name](r, rng()) for r in (before, CHANGES[change](before)))
    assert 0.01 < first.value < 0.99
    if (name.split()[1], change) == ("width", "monotone warp"):
        assert abs(second.value - first.value) > 0.005
    else:
        assert second.value == pytest.approx(first.value, abs=1e-9)
    assert second.details["left_out"] == (["v3"] if change == "constant factor" else [])
    plain(second)


def test_bins_of_equal_frequency_are_insensitive_to_outliers() -> None:
    perfect = represent(draw(), 1.0 * draw())
    codes = perfect.codes.copy()
    codes[:10] *= 20
    outliers = replace(perfect, codes=codes)
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
    many = entangled(5_000, posterior=False)
    some = [FOUR[name](many, rng(seed), points=3_000) for seed in (0, 0, 1)]
    assert some[0].value == some[1].value != some[2].value
    assert some[2].value == pytest.approx(some[0].value, abs=0.05)
    assert some[0].details["points"] == 3_000
