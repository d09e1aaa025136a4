"""`bench data list`: what there is of every data set, where, from whom and under which licence."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.console import size_in_words
from bench.data.files import Place, entry_of, places, root_of, seen_at_once
from bench.datasets.built_in import BUILT_IN
from bench.datasets.catalogue import CATALOGUE
from bench.datasets.entry import BuiltIn, Entry
from bench.registry import registry

_DRAWN = "drawn by the suite"


def show(names: Sequence[str], data_dir: str | None, as_json: bool, console: Console) -> None:
    """Print a table of all data sets, or all that is known of some. Raises RequestError."""
    cards = [_card(name, data_dir) for name in names or registry("dataset")]
    if as_json:
        print(json.dumps({"folder": str(root_of(data_dir)), "datasets": cards}, indent=1))
    elif names:
        for card in cards:
            _print_card(card, console)
    else:
        _print_table(cards, data_dir, console)


def _card(name: str, data_dir: str | None) -> dict[str, Any]:
    """Everything about one data set, in plain values."""
    entry = entry_of(name)
    if entry is None:
        built_in = BUILT_IN.get(name)
        return {
            "name": name,
            "on_disk": _origin(built_in, data_dir) if built_in else _DRAWN,
            "licence": built_in.licence if built_in else "",
            "fetch": "nothing needed",
            "source": "",
            "files": [],
        }
    found = places(name, entry, data_dir)
    return {
        "name": name,
        "title": entry.title,
        "on_disk": _on_disk(entry, found, root_of(data_dir)),
        "licence": entry.licence,
        "fetch": _to_fetch(entry, found),
        "source": entry.page,
        "citation": entry.citation,
        "factors": entry.factors,
        "images": list(entry.counts),
        "files": [
            {**asdict(place.wanted), "path": str(place.path) if place.path else None}
            for place in found
        ],
    }


def _origin(built_in: BuiltIn, data_dir: str | None) -> str:
    base = built_in.base
    found = places(base, CATALOGUE[base], data_dir) if base else []
    paths = [_short(place.path, root_of(data_dir)) for place in found if place.path]
    return f"made of {paths[0]}" if paths else built_in.origin


def _on_disk(entry: Entry, found: Sequence[Place], root: Path) -> str:
    there = [place for place in found if place.path]
    if not there:
        return f"no file: {_DRAWN}" if entry.drawn else "not there"
    for place in there:
        if place.path and (wrong := seen_at_once(place.path, place.file)):
            return f"{_short(place.path, root)} {wrong}"
    folders = dict.fromkeys(_short(place.path.parent, root) for place in there if place.path)
    share = "" if len(there) == len(found) else f"{len(there)} of {len(found)} files: "
    return share + ", ".join(folders)


def _short(path: Path, root: Path) -> str:
    """A path as it is seen from the data folder."""
    return f"./{path.relative_to(root)}" if path.is_relative_to(root) else str(path)


def _to_fetch(entry: Entry, found: Sequence[Place]) -> str:
    missing = [place.wanted for place in found if place.path is None]
    if not missing:
        return "nothing needed"
    loadable = [file for file in missing if file.urls]
    parts = []
    if loadable:
        sizes = [file.size for file in loadable]
        known = [size for size in sizes if size is not None]
        parts.append(size_in_words(sum(known)) if len(known) == len(sizes) else "size not known")
    by_hand = len(missing) - len(loadable)
    if by_hand:
        parts.append("by hand" if not parts else f"{by_hand} files by hand")
    return ", ".join(parts)


def _print_table(cards: list[dict[str, Any]], data_dir: str | None, console: Console) -> None:
    shown = Table(box=None, pad_edge=False)
    shown.add_column("Data set", no_wrap=True)
    for heading in ("On disk", "Fetch", "Licence", "Source"):
        shown.add_column(heading, overflow="fold")
    for card in cards:
        source = (urlsplit(card["source"]).hostname or "").removeprefix("www.")
        cells = [card["name"], card["on_disk"], card["fetch"], card["licence"], source]
        shown.add_row(*map(escape, cells))
    console.print(shown, highlight=False)
    console.print(
        f"\nThe data folder is {root_of(data_dir)} (--data-dir, $BENCH_DATA_DIR, the cache). "
        "`bench data list NAME` tells more, `bench data fetch NAME` downloads.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_card(card: dict[str, Any], console: Console) -> None:
    lines = [f"{card['name']}: {card['on_disk']}"]
    for key in ("title", "images", "factors", "licence", "citation", "source", "fetch"):
        value = card.get(key)
        if value:
            words = " or ".join(f"{n:,}" for n in value) if key == "images" else value
            lines.append(f"  {key:9} {words}")
    for file in card["files"]:
        size = f", {file['size']:,} bytes" if file["size"] else ""
        digest = f", {file['digest']}" if file["digest"] else ", no checksum known"
        lines.append(f"  file      {file['name']}{size}{digest}")
        for other in file["instead"]:
            lines.append(f"            or {other['name']}")
        lines.append(f"            {file['path'] or 'not there'}")
        lines += [f"            {url}" for url in file["urls"]]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
