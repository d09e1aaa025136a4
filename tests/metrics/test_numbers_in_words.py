"""What docstrings and docs/metrics.md say of the cases of the conformance table is what it says."""

import inspect
import re
from pathlib import Path

import pytest

from bench.check.cases import CASES
from bench.metrics import METRICS
from tests.metrics.conftest import WITHOUT_FACTORS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
TABLE = (ROOT / "results" / "reference" / "conformance.md").read_text().partition("## Cases")[0]
# In this order, where a line gives several numbers.
PARTS = {
    "infomec": ("infomec", "infomec.infoe", "infomec.infoc"),
    "dci": ("dci", "dci.completeness", "dci.informativeness"),
    "dci_fast": ("dci_fast", "dci_fast.completeness", "dci_fast.informativeness"),
    **{
        name: (name, f"{name}.most", f"{name}.efficiency")
        for name in ("few_labels_linear", "few_labels_boosted")
    },
    "dci_es": ("dci_es", "dci_es.size", "dci_es.informativeness"),
    **{
        name: (name, f"{name}.seen", f"{name}.drop")
        for name in ("generalisation_linear", "generalisation_boosted")
    },
}
NUMBER = r"\d+(?:\.\d+)?"
NAMES = "|".join(sorted(CASES, key=len, reverse=True))
CLAIM = re.compile(
    rf"\b({NAMES})\s+({NUMBER}(?:\s*/\s*{NUMBER})*)(?![\w.]\d)",
    re.IGNORECASE,
)


def table() -> dict[str, dict[str, float]]:
    """Values by metric (or metric.part) and case."""
    values: dict[str, dict[str, float]] = {}
    names: list[str] = []
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| case |"):
            names = cells[1:]
        elif names and cells[0] in CASES:
            for name, cell in zip(names, cells[1:], strict=True):
                values.setdefault(name, {})[cells[0]] = float(cell)
    return values


VALUES = table()


def claims(text: str) -> list[tuple[str, list[str]]]:
    """Each case that a text gives numbers for, with the numbers as they are written."""
    return [(case.lower(), re.split(r"\s*/\s*", numbers)) for case, numbers in CLAIM.findall(text)]


def agrees(metric: str, case: str, numbers: list[str]) -> bool:
    names = PARTS.get(metric, (metric,))[: len(numbers)]
    if len(names) < len(numbers):
        return False
    for name, number in zip(names, numbers, strict=True):
        digits = len(number.partition(".")[2])
        # Both are rounded; the table to three digits.
        if abs(float(number) - VALUES[name][case]) > 0.5 * 10**-digits + 0.0005 + 1e-12:
            return False
    return True


@pytest.mark.parametrize("name", METRICS)
def test_a_docstring_agrees_with_the_conformance_table(name: str) -> None:
    found = claims(inspect.getdoc(METRICS[name]) or "")
    wrong = [(case, numbers) for case, numbers in found if not agrees(name, case, numbers)]
    assert not wrong, f"{name}: the table has other numbers for {wrong}"
    if name not in WITHOUT_FACTORS:
        assert {"perfect", "rotated", "noise"} <= {case for case, _ in found}


def sections() -> dict[str, tuple[list[str], str]]:
    parts = re.split(r"^### (.*)$", PAGE, flags=re.MULTILINE)[1:]
    headed = zip(parts[::2], parts[1::2], strict=True)
    return {heading: (re.findall(r"`(\w+)`", heading), text) for heading, text in headed}


@pytest.mark.parametrize(
    "heading", [h for h, (names, _) in sections().items() if "udr" not in names]
)
def test_the_page_agrees_with_the_conformance_table(heading: str) -> None:
    names, text = sections()[heading]
    for case, numbers in claims(text.partition("\n## ")[0]):
        assert any(agrees(name, case, numbers) for name in names), (case, numbers)


def test_claims_are_found_and_a_wrong_one_is_noticed() -> None:
    text = "Perfect 0.90, noise 0.00; rotated 0.39 / 1.00 / 0.25, and six noise 0.955."
    assert claims(text) == [
        ("perfect", ["0.90"]),
        ("noise", ["0.00"]),
        ("rotated", ["0.39", "1.00", "0.25"]),
        ("six noise", ["0.955"]),
    ]
    assert agrees("infomec", "rotated", ["0.39", "1.00", "0.25"])
    assert not agrees("sap", "perfect", ["0.18"])
    assert not agrees("mig", "perfect", ["0.90", "0.90"])
    assert sum(len(claims(text)) for _, text in sections().values()) > 30


def test_the_distance_of_the_fast_predictor_is_one_number() -> None:
    first, _, rest = (inspect.getdoc(METRICS["dci_fast"]) or "").partition("\n")
    (distance,) = re.findall(r"within ([\d.]+) of dci", first)
    assert f"at most {distance}," in " ".join(rest.split())
    assert f"within {distance} of disentanglement" in " ".join(PAGE.split())
    assert f"within {distance} of the published" in (ROOT / "README.md").read_text()
