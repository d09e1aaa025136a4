"""The code of docs/api.md runs as it stands there."""

import re
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_script_has_at_most_twelve_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12


def test_all_blocks_run_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, "docs/api.md", "exec"), space)
    said = capsys.readouterr().out
    assert re.search(r"^mig +0\.\d{4}$", said, re.MULTILINE)
    assert "betavae" in said
    assert (tmp_path / "results" / "digits-smoke" / "table.md").exists()


def test_all_public_names_are_on_the_page() -> None:
    assert [name for name in bench.__all__ if f"`bench.{name}" not in PAGE] == []
