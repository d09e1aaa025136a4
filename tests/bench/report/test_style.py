"""How pictures are written."""

from pathlib import Path

import pytest

from bench.report.style import figure


@pytest.mark.parametrize(("text", "truetype"), [("", True), ("outlines", False)])
def test_text_in_a_pdf_is_text_unless_outlines_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, truetype: bool
) -> None:
    """Journals refuse Type 3 fonts; a TrueType font is embedded as a FontFile2."""
    monkeypatch.setenv("BENCH_PDF_TEXT", text)
    with figure(tmp_path / "plot", 2, 1) as drawn:
        drawn.text(0.5, 0.5, "latent")
    written = (tmp_path / "plot.pdf").read_bytes()
    assert (b"/FontFile2" in written) == truetype
    assert (b"/Type3" in written) != truetype
    assert (tmp_path / "plot.png").stat().st_size > 100
