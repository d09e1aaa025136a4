"""`bench new`: what it writes passes `bench check` as it is, and is found by what it prints."""

import ast
import shlex
from pathlib import Path

import pytest

NAMES = {"model": "my_warm", "metric": "steadiness", "dataset": "bars"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", NAMES)
def test_a_new_file_passes_the_check(kind: str, cli_here) -> None:
    said = cli_here("new", kind, NAMES[kind])
    assert (said.code, said.err) == (0, "")
    check, _ = (line.strip() for line in said.out.splitlines()[1:])
    checked = cli_here(*shlex.split(check)[1:])
    assert checked.code == 0, checked.out
    assert "FAILS" not in checked.out
    assert "note" not in checked.out


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_the_command_that_it_prints_is_accepted(kind: str, cli_here) -> None:
    said = cli_here("new", kind, NAMES[kind])
    command = shlex.split(said.out.splitlines()[-1])
    assert cli_here(*command[1:], "--dry-run").code == 0


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_of_the_template_is_left_in_it(kind: str, cli_here) -> None:
    cli_here("new", kind, NAMES[kind])
    text = Path(f"{NAMES[kind]}.py").read_text()
    ast.parse(text)
    assert not {"CLASS", "NAME", "FILE", "ADDRESS"} & set(text.replace(":", " ").split())
    assert max(map(len, text.splitlines())) <= 100


def test_a_file_is_not_overwritten(cli_here) -> None:
    Path("warm.py").write_text("mine")
    said = cli_here("new", "model", "warm")
    assert said.code == 2
    assert said.err == "bench: warm.py is there already: choose another name\n"
    assert Path("warm.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("modle", "warm"), "unknown kind 'modle': did you mean model?"),
        (("model", "my-warm"), "'my-warm' is no name of a Python module"),
        (("model", "../warm"), "'../warm' is no name of a Python module"),
        (("model", "class"), "'class' is no name of a Python module"),
    ],
)
def test_a_wrong_request(arguments: tuple[str, ...], said: str, cli_here) -> None:
    refused = cli_here("new", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert list(Path().iterdir()) == []
