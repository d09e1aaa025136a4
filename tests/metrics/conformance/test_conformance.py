"""The conformance table: complete, kept by every metric, and able to say that one is wrong."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.check.cases import CASES, SIZES, cases, rotation
from bench.errors import RequestError
from bench.metrics import METRICS, STUDY_METRICS, VERSIONS, Representation, Score
from tests.metrics.conformance.__main__ import PAGE, main
from tests.metrics.conformance.engine import OPTIONS, Cell, markdown, measure
from tests.metrics.conformance.expected import EXPECTED

# Seconds to minutes of a core over all cases: always in some of them, in all on demand.
SOME = ("perfect", "merged", "constant", "no shape", "random category")
SLOW = dict.fromkeys(
    ("betavae_score", "sap", "mig_posterior", "kl_decomposition", "infomec", "explicitness"), SOME
)
SLOW |= {"dci_fast": SOME, "dci": ("perfect", "constant")}
SLOW |= dict.fromkeys(("few_labels_linear", "few_labels_boosted"), ("perfect", "constant"))
SLOW |= {"dci_es": SOME}


def test_every_metric_has_an_expectation_for_every_case() -> None:
    assert {key.partition(".")[0] for key in EXPECTED} == METRICS.keys()
    assert METRICS.keys() <= EXPECTED.keys()
    for key, table in EXPECTED.items():
        assert table.keys() == CASES.keys(), key
        assert all(expected.why and "|" not in expected.why for expected in table.values())
        # What is compared with another case is in the end held by numbers.
        for expected in table.values():
            compared: list[str] = []
            while expected.than is not None:
                assert expected.than not in compared
                compared.append(expected.than)
                expected = table[expected.than]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_its_bounds(name: str) -> None:
    only = SLOW.get(name, tuple(CASES))
    said: list[str] = []
    cells = measure([name], said.append, only)
    assert [cell.case for cell in cells if cell.metric == name] == list(only)
    assert {cell.metric for cell in cells} == {k for k in EXPECTED if k.partition(".")[0] == name}
    assert not [cell for cell in cells if not cell.holds]
    assert said[0] == f"{name}: perfect"
    assert said[-1] == f"{name}: {len(cells)} of {len(cells)} hold"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("BENCH_SLOW") != "1", reason="set BENCH_SLOW=1")
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_slow_metric_keeps_its_bounds_in_every_case(name: str) -> None:
    assert not [cell for cell in measure([name]) if not cell.holds]


def failing(cells: list[Cell]) -> set[str]:
    return {cell.case for cell in cells if not cell.holds}


def test_a_broken_metric_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = METRICS["mig"]

    def columns(representation: Representation, rng: np.random.Generator) -> Score:
        """MIG with a category flat, as one-hot columns of floats."""
        if representation.category_sizes:
            flat = np.eye(3)[representation.categories[:, 0]]
            codes = np.hstack([representation.codes, flat])
            representation = Representation.of(codes=codes, factors=representation.factors)
        return whole(representation, rng)

    monkeypatch.setitem(METRICS, "mig", columns)
    cells = measure(["mig"])
    assert failing(cells) == {"category"}
    text = markdown(cells)
    assert "**20 of 21 hold.**" in text
    assert "- ✗ mig, category: 0.69" in text
    assert "| category | **0.6" in text

    def raising(representation: Representation, rng: np.random.Generator) -> Score:
        if not np.ptp(representation.codes):
            raise ValueError("input contains NaN")
        return whole(representation, rng)

    monkeypatch.setitem(METRICS, "mig", raising)
    cells = measure(["mig"])
    assert failing(cells) == {"constant"}
    assert "raised: input contains NaN" in markdown(cells)


def test_a_value_is_compared_with_that_of_another_case(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = METRICS["mig"]

    def raised(representation: Representation, rng: np.random.Generator) -> Score:
        """Any category raises the score a little."""
        score = whole(representation, rng)
        return replace(score, value=score.value + 0.006 * len(representation.category_sizes))

    monkeypatch.setitem(METRICS, "mig", raised)
    (cell,) = measure(["mig"], only=["random category"])
    assert not cell.holds
    base = whole(cases()["no shape"], np.random.default_rng()).value
    assert (cell.low, cell.high) == pytest.approx((base - 0.005, base + 0.005))


def test_a_metric_without_an_expectation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "new", METRICS["mig"])
    with pytest.raises(RequestError, match="new: .* has no bounds for it"):
        measure(["new"])


def test_the_cases_are_what_they_say() -> None:
    made = cases(2_000, 1_000)
    assert list(made) == list(CASES)
    for name, case in made.items():
        assert (len(case), len(case.test)) == (2_000, 1_000)
        assert case.factor_sizes == SIZES
        assert case.logvar is not None
        assert (case.kl is None) == (name != "collapsed")
        assert (case.category_sizes == (3,)) == (name in ("category", "random category"))
        np.testing.assert_array_equal(case.factors, made["perfect"].factors)
    np.testing.assert_allclose(rotation() @ rotation().T, np.eye(5), atol=1e-12)
    np.testing.assert_array_equal(made["category"].categories[:, 0], made["category"].factors[:, 0])
    assert made["collapsed"].kl[4:].max() < 0.1 < made["collapsed"].kl[:4].min()
    again = cases(2_000, 1_000)["six noise"].codes
    np.testing.assert_array_equal(again, made["six noise"].codes)
    assert not np.array_equal(again, cases(2_000, 1_000, seed=1)["six noise"].codes)


def test_the_table_says_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "mig", {"bins": 20})
    text = markdown(measure(["mig", "total_correlation"]))
    assert "the defaults but for mig (bins=20)" in text
    assert "scikit-learn" in text
    assert "**63 of 63 hold.**" in text
    assert "✗" not in text
    assert "### total_correlation.wasserstein (version 1)" in text
    for case in CASES:
        assert f"\n| {case} | " in text
        assert f"- **{case}**: " in text
    # Every table is as wide in each row as in its head.
    for block in text.strip().split("\n\n"):
        if block.startswith("| "):
            assert len({line.count("|") for line in block.split("\n")}) == 1, block


def test_it_needs_no_torch() -> None:
    code = "import tests.metrics.conformance.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_committed_table_is_that_of_the_present_metrics() -> None:
    committed = PAGE.read_text()
    for name in ("mig", "mcc", "discrete_accuracy"):
        made = markdown(measure([name]))
        section = made[made.index(f"### {name} ") :].strip()
        assert section in committed
    for name, version in VERSIONS.items():
        assert f"### {name} (version {version})" in committed or name in STUDY_METRICS


def test_the_module_writes_the_page(tmp_path, capsys, monkeypatch) -> None:
    path = tmp_path / "page.md"
    assert main(["mcc", "--output", str(path)]) == 0
    assert path.read_text() == markdown(measure(["mcc"]))
    assert "21 of 21 values are within their bounds" in capsys.readouterr().err

    monkeypatch.setitem(METRICS, "mcc", lambda representation, rng: Score(0.5, {}))
    assert main(["mcc"]) == 1
    said = capsys.readouterr()
    assert "mcc, perfect: 0.500, not 1;" in said.err
    assert said.out.startswith("# Conformance of the metrics")

    with pytest.raises(SystemExit) as ended:
        main(["no_such_metric"])
    assert ended.value.code == 2
    assert "no_such_metric" in capsys.readouterr().err


def test_the_committed_page_says_how_it_is_made() -> None:
    head = markdown(measure(["mcc"])).split("\n\n")[1]
    assert head in PAGE.read_text()
