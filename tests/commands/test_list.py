"""`bench list` and the help: one line on everything that has a name."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __version__
from bench.datasets import DATASETS
from bench.metrics import METRICS, STUDY_METRICS
from bench.models import GROUPS, MODELS
from bench.presets import PRESETS

REGISTRIES = {
    "models": MODELS,
    "metrics": METRICS | STUDY_METRICS,
    "datasets": DATASETS,
    "presets": PRESETS,
}


def described(out: str) -> list[str]:
    """The lines that are no name of a group."""
    return [line for line in out.splitlines() if line and not line.endswith(":")]


@pytest.mark.parametrize("what", REGISTRIES)
def test_one_line_each(cli_here, what: str) -> None:
    said = cli_here("list", what)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    if what == "models":
        assert [line[:-1] for line in lines if line.endswith(":")] == list(GROUPS)
        lines = described(said.out)
    assert [line.split()[0] for line in lines] == list(REGISTRIES[what])
    if what != "presets":
        for line, target in zip(lines, REGISTRIES[what].values(), strict=True):
            assert line[20:].strip() == inspect.getdoc(target).partition("\n")[0]
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("what", ["models", "metrics", "datasets"])
def test_each_line_names_the_paper_and_its_year(cli_here, what: str) -> None:
    for line in described(cli_here("list", what).out):
        assert re.search(r"\(.*\b(19|20)\d\d\b.*\)|\(no paper\)", line) or "no paper" in line, line


def test_an_unknown_kind(cli_here) -> None:
    said = cli_here("list", "model")
    assert said.code == 2
    assert said.err == "bench: unknown kind 'model': did you mean models?\n"


def test_help_has_examples_that_can_be_copied(cli_here) -> None:
    text = cli_here("run", "--help").out
    assert "bench run --models jointvae,betavae --dataset dsprites" in text
    for option in ("--sweep", "--fail-fast", "--checkpoint-seconds", "--dry-run"):
        assert option in text
    assert "bench report results/dsprites-quick" in cli_here("report", "--help").out
    assert "bench list models" in cli_here("list", "--help").out


def test_the_module_and_the_script_are_the_command(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bench")
    commands = [[sys.executable, "-m", "bench"]] + ([[str(script)]] if script.exists() else [])
    for command in commands:
        ran = subprocess.run(
            [*command, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert ran.returncode == 0
        assert all(name in ran.stdout for name in ("run", "list", "report"))


def test_the_version(cli_here) -> None:
    assert cli_here("--version").out == f"{__version__}\n"


def test_no_argument_is_answered_with_the_help(cli_here) -> None:
    said = cli_here()
    assert said.code == 2
    assert "Usage" in said.out + said.err
