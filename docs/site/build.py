"""Build the site of the documentation: `make docs`, or `python docs/site/build.py [FOLDER]`.

The pages are the Markdown files of the repository, whose links hold in the repository. They are
copied into one folder, with their links changed to hold there; each table of records and each file
of source text that they link to becomes a page as well. The notebook is added with the outputs that
are stored in it (nothing is executed), and the reference is made from the registries. Zensical then
builds the site, and mkdocstrings fills in the docstrings; any warning fails the build.
"""

import argparse
import importlib
import inspect
import json
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# The navigation: title of a page, and its file in the repository. `reference` stands for the pages
# that are made from the registries.
PAGES = {
    "Home": "README.md",
    "First steps": "docs/notebooks/first-steps.ipynb",
    "From Python": "docs/api.md",
    "Models": "docs/models.md",
    "Metrics": "docs/metrics.md",
    "Data sets": "docs/data.md",
    "Adding a model": "docs/adding-a-model.md",
    "Adding a data set": "docs/adding-a-data-set.md",
    "Statistics": "docs/statistics.md",
    "Looking at a study": "docs/looking.md",
    "Reproductions": "docs/reproductions.md",
    "Studies": "docs/studies.md",
    "Records": "docs/records.md",
    "Performance": "docs/performance.md",
    "API reference": "reference",
    "Changelog": "CHANGELOG.md",
    "Contributing": "CONTRIBUTING.md",
}

COPIED = {".png", ".svg", ".jpg", ".html"}  # as they are
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".txt": "text", "": "text"}
RECORDS = ("table.md", "reproduction.md")  # what a link to a folder of records leads to

FENCED = re.compile(r"^( *)(```+|~~~+)[^\n]*\n.*?^\1\2[`~]* *$", re.M | re.S)
INLINE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"(?<=\]\()[^()\s]+(?=\))")
HEADING = re.compile(r"^#+ +(.*?) *#*$", re.M)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
LEFT_OUT_OF_SEARCH = "---\nsearch:\n  exclude: true\n---\n\n"


class LinkError(Exception):
    """A link leads to nothing that the repository or the site has."""


def links(text: str) -> Iterator[re.Match[str]]:
    """The targets of the links and pictures of a Markdown text, but for those on other hosts."""
    for code in (FENCED, INLINE):
        text = code.sub(lambda found: " " * len(found[0]), text)
    return (link for link in LINK.finditer(text) if not re.match(r"[a-z]+:", link[0]))


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a Markdown text, as GitHub makes them."""
    slugs: list[str] = []
    for heading in HEADING.findall(FENCED.sub("", text)):
        words = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        slugs.append(f"{slug}-{slugs.count(slug)}" if slug in slugs else slug)
    return set(slugs)


def target_of(source: str, link: str) -> tuple[str, str]:
    """The file that a link in the file `source` leads to, and the anchor in it.

    Args:
        source: the file's path in the repository.
        link: the target as it is written.

    Returns:
        The path in the repository, for a folder of records that of its table, and the anchor or an
        empty string.

    Raises:
        LinkError: there is no such file, no such heading, or no table in the folder.
    """
    path, _, anchor = link.partition("#")
    target = normpath(PurePosixPath(source).parent / path) if path else source
    if not (ROOT / target).resolve().is_relative_to(ROOT) or not (ROOT / target).exists():
        raise LinkError(f"{source}: there is no {link}")
    if (ROOT / target).is_dir():
        tables = [f"{target}/{name}" for name in RECORDS if (ROOT / target / name).is_file()]
        if not tables:
            raise LinkError(f"{source}: {link} is a folder without {' or '.join(RECORDS)}")
        target = tables[0]
    if anchor and target.endswith(".md") and anchor not in anchors((ROOT / target).read_text()):
        raise LinkError(f"{source}: there is no heading for {link}")
    return target, anchor


def place_of(file: str) -> str:
    """Where a file of the repository stands in the folder of pages.

    Raises:
        LinkError: the site shows no files of this kind.
    """
    if file == "README.md":
        return "index.md"
    path = PurePosixPath(file)
    if path.suffix in {".md", ".ipynb"} | COPIED:
        # CHANGELOG.md and CONTRIBUTING.md stand at the top
        place = path.relative_to("docs") if path.parts[0] == "docs" else path
        place = PurePosixPath(str(place).lower()) if len(path.parts) == 1 else place
        return str(place.with_suffix(".md") if path.suffix == ".ipynb" else place)
    if path.suffix in LANGUAGES:
        return f"source/{file}.md"
    raise LinkError(f"{file}: the site shows no files of this kind")


class Pages:
    """The folder of pages that the site is built from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: set[str] = set()

    def write(self, place: str, content: str | bytes) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def add(self, file: str) -> str:
        """Add a file of the repository and all that it links to.

        Returns:
            Its place in the folder.

        Raises:
            LinkError: a link leads to nothing.
        """
        place, path = place_of(file), ROOT / file
        if file in self.files:
            return place
        self.files.add(file)
        if path.suffix in COPIED:
            self.write(place, path.read_bytes())
        elif path.suffix == ".md":
            text = self._with_links(file, path.read_text())
            if file.startswith("results/"):
                title = "" if text.startswith("# ") else f"# {file}\n\n"
                text = f"{LEFT_OUT_OF_SEARCH}{title}{text}"
            self.write(place, text)
        elif path.suffix == ".ipynb":
            self._add_notebook(file)
        else:
            fence = f"~~~~~~{LANGUAGES[path.suffix]}\n{path.read_text().rstrip()}\n~~~~~~\n"
            self.write(place, f"{LEFT_OUT_OF_SEARCH}# {file}\n\n{fence}")
        return place

    def _with_links(self, source: str, text: str, own: Collection[str] = ()) -> str:
        """A text with its links changed, but for those to the page's own pictures."""
        parts, end = [], 0
        for link in links(text):
            if link[0] in own:
                continue
            target, anchor = target_of(source, link[0])
            folder = PurePosixPath(place_of(source)).parent
            address = "" if target == source else relpath(self.add(target), folder)
            parts += [text[end : link.start()], address, f"#{anchor}" if anchor else ""]
            end = link.end()
        return "".join([*parts, text[end:]])

    def _add_notebook(self, file: str) -> None:
        from nbconvert import MarkdownExporter

        place = PurePosixPath(place_of(file))
        text, resources = MarkdownExporter().from_filename(
            str(ROOT / file), {"output_files_dir": f"{place.stem}-files"}
        )
        text = COLOURS.sub("", text)
        pictures = resources["outputs"]
        self.write(str(place), self._with_links(file, text, own=pictures))
        for name, content in pictures.items():
            self.write(str(place.parent / name), content)


def reference() -> dict[str, str]:
    """The pages of the API reference by the name of the module, with all that is registered."""
    import bench.datasets
    import bench.metrics
    import bench.models

    metrics = {
        "Metrics of a representation": bench.metrics.METRICS,
        "Metrics of a study": bench.metrics.STUDY_METRICS,
    }
    pages = {
        "bench.models": _leaf("bench.models", bench.models.GROUPS),
        "bench.metrics": _leaf("bench.metrics", metrics),
        "bench.datasets": _leaf("bench.datasets", {"Data sets": bench.datasets.DATASETS}),
    }
    return {"bench": _public(pages), **pages} if hasattr(bench, "__all__") else pages


def _leaf(module: str, groups: Mapping[str, Mapping[str, object]]) -> str:
    """The page of a leaf: what is registered, by its name, then what else the leaf offers."""
    leaf = importlib.import_module(module)
    parts = [
        f"# {module}\n",
        _entry(module, members="false", show_root_toc_entry="false", show_root_heading="false"),
    ]
    for group, entries in groups.items():
        parts.append(f"## {group[:1].upper()}{group[1:]}\n")
        parts += [
            _entry(_address(entry), heading=name, toc_label=name) for name, entry in entries.items()
        ]
    registered = {id(entry) for entries in groups.values() for entry in entries.values()}
    others = [getattr(leaf, name) for name in leaf.__all__]
    parts.append("## What they are built from\n")
    parts += [
        _entry(_address(other))
        for other in others
        if (inspect.isclass(other) or inspect.isroutine(other)) and id(other) not in registered
    ]
    return "\n".join(parts)


def _public(pages: Mapping[str, str]) -> str:
    """The page of `bench` itself: its public names, and the classes they return and raise."""
    import bench

    parts = [
        "# bench\n",
        _entry("bench", members="false", show_root_toc_entry="false", show_root_heading="false"),
    ]
    public = {name: getattr(bench, name) for name in bench.__all__}
    for name, thing in public.items():
        if not inspect.ismodule(thing):
            parts.append(_entry(_address(thing) or f"bench.{name}"))
        elif thing.__name__ in pages:
            parts.append(f"### {name}\n\nThe module [{thing.__name__}]({thing.__name__}.md).\n")
        else:
            parts.append(_entry(thing.__name__, heading=name, toc_label=name))
    modules = {thing.__module__: None for thing in public.values() if inspect.isroutine(thing)}
    parts.append("## What they return and raise\n")
    parts += [
        _entry(_address(thing))
        for module in modules
        for name, thing in inspect.getmembers(sys.modules[module], inspect.isclass)
        if thing.__module__ == module and name not in public and not name.startswith("_")
    ]
    return "\n".join(parts)


def _address(thing: object) -> str:
    """Where a class or function is defined; an empty string for other things."""
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return f"{thing.__module__}.{thing.__qualname__}"
    return ""


def _entry(address: str, **options: str) -> str:
    """An entry that mkdocstrings fills in."""
    lines = [f"      {option}: {value}\n" for option, value in options.items()]
    return "".join([f"::: {address}\n", "    options:\n" if lines else "", *lines])


def assemble(folder: Path) -> None:
    """Write all pages, and the configuration with the navigation, into an empty folder.

    Raises:
        LinkError: a link leads to nothing, or a page has no place in the navigation.
    """
    pages = Pages(folder / "docs")
    navigation: list[dict[str, object]] = []
    for title, file in PAGES.items():
        if file == "reference":
            texts = reference()
            for name, text in texts.items():
                pages.write(f"reference/{name}.md", text)
            navigation.append({title: [{name: f"reference/{name}.md"} for name in texts]})
        elif (ROOT / file).is_file():
            navigation.append({title: pages.add(file)})
        else:
            print(f"left out: {title}, since there is no {file}", file=sys.stderr)
    for path in sorted((ROOT / "docs").glob("*.md")):
        if f"docs/{path.name}" not in PAGES.values():
            raise LinkError(f"docs/{path.name}: give it a title in PAGES of {Path(__file__).name}")
    for name in ("extra.css", "iframe-worker.js"):
        shutil.copy(HERE / name, folder / "docs" / name)
    configuration = (HERE / "mkdocs.yml").read_text()
    (folder / "mkdocs.yml").write_text(f"{configuration}\nnav: {json.dumps(navigation)}\n")


class Warnings(logging.Handler):
    """Counts the warnings of the tools, which Zensical itself only prints."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        print(self.format(record), file=sys.stderr)


def build(folder: Path) -> int:
    """Build the site into a folder that is replaced.

    Returns:
        The exit code: 1 if a tool warned, a link leads to nothing, or the folder holds something
        else than a site; then nothing is written.
    """
    from zensical.main import cli

    if folder.exists() and any(folder.iterdir()) and not (folder / "objects.inv").is_file():
        print(f"{folder} holds other files than a site: nothing is written", file=sys.stderr)
        return 1
    sys.path.insert(0, str(ROOT))  # where mkdocstrings looks for the sources
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        command = ["build", "--strict", "--config-file", str(work / "mkdocs.yml")]
        try:
            assemble(work)
            cli.main(command, standalone_mode=False)
        except (LinkError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            logging.getLogger().removeHandler(warnings)
        if warnings.count:
            print(f"warnings: {warnings.count}; no site is written", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(work / "site", folder)
    print(f"{folder}/index.html")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the site of the documentation.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site")
    sys.exit(build(parser.parse_args().folder))
