"""The links of the pages, and the site that is built from them."""

import importlib.util
import json
import logging
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import bench
from bench.datasets import DATASETS
from bench.metrics import METRICS, STUDY_METRICS
from bench.models import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "results/reference/**/*.md")
    for path in ROOT.glob(pattern)
)
TOOLS = ("zensical", "mkdocstrings", "nbconvert")
MISSING = [tool for tool in TOOLS if importlib.util.find_spec(tool) is None]
needs_tools = pytest.mark.skipif(
    bool(MISSING), reason=f"the site needs {', '.join(MISSING)}: pip install --editable '.[docs]'"
)


def text_of(page: str) -> str:
    text = (ROOT / page).read_text()
    if not page.endswith(".ipynb"):
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(site, page: str) -> None:
    for link in site.links(text_of(page)):
        target, _ = site.target_of(page, link[0])
        site.place_of(target)  # and the site can show it


@pytest.mark.parametrize(
    "link",
    ["nothing.md", "#nothing", "metrics.md#nothing", "../results/reference", "../../elsewhere.md"],
)
def test_a_link_that_leads_to_nothing_is_named(site, link: str) -> None:
    with pytest.raises(site.LinkError, match="docs/models.md: .*" + link.replace(".", r"\.")):
        site.target_of("docs/models.md", link)


def test_what_is_a_link(site) -> None:
    text = (
        "[a](b.md) and ![c](d.png), [`e`](f.md#g)\n[far](https://example.org)\n"
        "`[no](code.md)` ``[no](`code.md)``\n\n```\n[no](code.md)\n```\n\n[h\ni](j.md)"
    )
    assert [link[0] for link in site.links(text)] == ["b.md", "d.png", "f.md#g", "j.md"]


def test_anchors_are_those_of_github(site) -> None:
    text = "# A `b_c`: d, e?\n## x / y\n```\n# no heading\n```\n## x / y\n### [f](g.md) h"
    assert site.anchors(text) == {"a-b_c-d-e", "x--y", "x--y-1", "f-h"}


def test_every_page_is_in_the_navigation(site) -> None:
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages - set(site.PAGES.values()) == set()


class Page(HTMLParser):
    """What a page of the site links to and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a":
            self.links += [named["href"]] if "href" in named else []
        elif not (tag == "link" and named.get("rel") in ("canonical", "prev", "next")):
            self.loaded += [named[name] for name in ("src", "href") if name in named]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, ROOT / "docs/site/build.py", folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@needs_tools
def test_the_site_is_complete_and_loads_nothing_from_other_hosts(built: Path) -> None:
    pages = {path: Page(path.read_text()) for path in built.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are from the root of a server
            continue
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loaded and parts.scheme != "data":
                    broken.append(f"{path.name} loads {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.name} -> {address}")
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].anchors:
                    broken.append(f"{path.name} -> {address}")
    assert broken == []
    assert len(pages) > 20


@needs_tools
@pytest.mark.parametrize(
    ("page", "things"),
    [
        ("bench.models", MODELS.values()),
        ("bench.metrics", [*METRICS.values(), *STUDY_METRICS.values()]),
        ("bench.datasets", DATASETS.values()),
    ],
)
def test_the_reference_has_all_that_is_registered(built: Path, page: str, things) -> None:
    anchors = Page((built / "reference" / f"{page}.html").read_text()).anchors
    assert {f"{thing.__module__}.{thing.__qualname__}" for thing in things} <= anchors


@needs_tools
def test_the_reference_has_all_public_names(built: Path) -> None:
    if not hasattr(bench, "__all__"):
        pytest.skip("bench has no public names")
    anchors = Page((built / "reference" / "bench.html").read_text()).anchors
    missing = []
    for name in bench.__all__:
        thing = getattr(bench, name)
        address = (
            "" if isinstance(thing, ModuleType) else f"{thing.__module__}.{thing.__qualname__}"
        )
        if not {name, thing.__name__, address} & anchors:
            missing.append(name)
    assert missing == []


@needs_tools
def test_a_warning_of_a_tool_fails_the_build(site, monkeypatch, tmp_path, capfd) -> None:
    def assemble(folder: Path) -> None:
        (folder / "docs").mkdir()
        (folder / "docs" / "index.md").write_text("# Page\n")
        (folder / "mkdocs.yml").write_text("site_name: small\n")
        logging.getLogger("griffe").warning("no type of x")

    monkeypatch.setattr(site, "assemble", assemble)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert site.build(tmp_path / "site") == 1
    assert "no type of x" in capfd.readouterr().err
    assert not (tmp_path / "site").exists()


@needs_tools
def test_a_folder_with_other_files_is_not_replaced(site, monkeypatch, tmp_path, capfd) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(site, "assemble", lambda folder: pytest.fail("built all the same"))
    assert site.build(tmp_path) == 1
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert str(tmp_path) in capfd.readouterr().err


@needs_tools
def test_every_docstring_is_understood(caplog: pytest.LogCaptureFixture) -> None:
    import griffe

    def docstrings(thing: griffe.Object) -> list[griffe.Docstring]:
        own = [thing.docstring] if thing.docstring else []
        inner = [] if thing.is_function or thing.is_attribute else thing.members.values()
        return own + [d for member in inner if not member.is_alias for d in docstrings(member)]

    found = docstrings(griffe.load("bench", search_paths=[ROOT]))
    assert len(found) > 500
    for docstring in [*found, griffe.Docstring("X.\n\nArgs:\n    broken", lineno=1)]:
        docstring.parse("google", returns_multiple_items=False)
    *messages, broken = [record.getMessage() for record in caplog.records]
    assert "broken" in broken
    assert messages == []
