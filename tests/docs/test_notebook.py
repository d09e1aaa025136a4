"""The notebook runs as it stands there, and is stored with its outputs."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first-steps.ipynb"
LARGEST = 400_000  # bytes of the file, pictures included


def cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_its_outputs_are_stored_with_pictures() -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    outputs = [output for cell in cells(stored) for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert NOTEBOOK.stat().st_size < LARGEST
    assert str(ROOT) not in NOTEBOOK.read_text(encoding="utf-8")


def test_it_runs_to_the_end_in_an_empty_folder(tmp_path: Path) -> None:
    """Its own assertion holds: loaded again, the codes have the same scores to the bit.

    Its studies have fewer steps here than in the notebook.
    """
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in cells(notebook):
        cell["source"] = cell["source"].replace("    seeds=1,\n", "    seeds=1,\n    steps=600,\n")
    assert str(notebook).count("steps=600") == 2
    stored = [len(cell["outputs"]) for cell in cells(notebook)]
    resources = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert [len(cell["outputs"]) for cell in cells(notebook)] == stored
    assert (tmp_path / "first-steps" / "table.md").exists()
