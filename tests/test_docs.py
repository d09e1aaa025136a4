"""The pages in docs/: their code runs, and no metric and no data set is missing."""

import re
import shlex
from pathlib import Path

import pytest

from bench.datasets import DATASETS
from bench.metrics import METRICS, STUDY_METRICS

DOCS = Path(__file__).resolve().parents[1] / "docs"
METRICS_PAGE = (DOCS / "metrics.md").read_text()
DATA_PAGE = (DOCS / "data.md").read_text()


def test_every_metric_has_a_section() -> None:
    headings = re.findall(r"^### (.*)$", METRICS_PAGE, re.MULTILINE)
    named = [name for heading in headings for name in re.findall(r"`(\w+)`", heading)]
    assert sorted(named) == sorted([*METRICS, *STUDY_METRICS])


def test_the_code_of_the_metrics_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", METRICS_PAGE, re.DOTALL)
    exec(code, {})
    value, gaps, warnings = re.fullmatch(
        r"([\d.]+) ({.*}) (\(.*\))\n", capsys.readouterr().out
    ).groups()
    assert 0.5 < float(value) < 1
    assert "orientation" in gaps
    assert warnings == "()"


def test_every_data_set_is_in_the_table() -> None:
    table = [line for line in DATA_PAGE.splitlines() if line.startswith("| `")]
    named = set()
    for line in table:
        first, *others = re.findall(r"`(\w+)`", line.split("|")[1])
        named |= {first}
        # `mpi3d_toy`, `_realistic`, `_real`
        named |= {first.split("_")[0] + o if o.startswith("_") else o for o in others}
    assert named == set(DATASETS)


@pytest.mark.parametrize(
    "command", re.findall(r"^    (bench run [^#\n]*)", DATA_PAGE, re.MULTILINE)
)
def test_commands_of_the_data_page(command: str, cli_here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli_here(*shlex.split(command)[1:], "--dry-run")
    assert said.code == 0, said.err
