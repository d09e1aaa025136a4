"""`bench data list`: what is on disk of every data set, where, from whom, under which licence."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.console import say, size_in_words
from bench.data.files import entry_of, find, root_of
from bench.datasets.entry import Entry
from bench.datasets.files import Location, quick_problem
from bench.errors import RequestError
from bench.registry import names


def show(chosen: Sequence[str], data_dir: str | None, as_json: bool, out: Console) -> None:
    """Print a table of all data sets, or all that is known of the chosen ones."""
    if chosen:
        cards = [_card(name, entry_of(name), data_dir) for name in chosen]
    else:
        cards = [_card_or_reason(name, data_dir) for name in names("dataset")]
    if as_json:
        print(json.dumps({"folder": str(root_of(data_dir)), "datasets": cards}, indent=1))
    elif chosen:
        for card in cards:
            _print_card(card, out)
    else:
        _print_table(cards, data_dir, out)


def _card_or_reason(name: str, data_dir: str | None) -> dict[str, Any]:
    """The card of a data set, or why its plug-in cannot be imported: the others are still shown."""
    root_of(data_dir)
    try:
        return _card(name, entry_of(name), data_dir)
    except RequestError as error:
        return {**_card(name, None, data_dir), "on_disk": str(error)}


def _card(name: str, entry: Entry | None, data_dir: str | None) -> dict[str, Any]:
    """All that is known of a data set, in plain values."""
    if entry is None:
        return {
            "name": name,
            "on_disk": "not known",
            "licence": "",
            "fetch": "not known",
            "source": "",
            "files": [],
        }
    locations = find(entry, data_dir)
    return {
        "name": name,
        "title": entry.title,
        "on_disk": _on_disk(entry, locations, data_dir),
        "licence": entry.licence,
        "fetch": _to_fetch(locations),
        "source": entry.page,
        "citation": entry.citation,
        "factors": entry.factors,
        "images": list(entry.counts),
        "files": [
            {**asdict(location.wanted), "path": str(location.path) if location.path else None}
            for location in locations
        ],
    }


def _on_disk(entry: Entry, locations: Sequence[Location], data_dir: str | None) -> str:
    root = root_of(data_dir)
    present = [
        (location.path, location.file) for location in locations if location.path is not None
    ]
    if not present:
        if entry.made_of is not None:
            for location in find(entry.made_of, data_dir):
                if location.path is not None:
                    return f"made of {_short(location.path, root)}"
        if not entry.origin:
            return "not there"
        return f"no file: {entry.origin}" if entry.files else entry.origin
    for path, file in present:
        if wrong := quick_problem(path, file):
            return f"{_short(path, root)} {wrong}"
    folders = dict.fromkeys(_short(path.parent, root) for path, _ in present)
    share = "" if len(present) == len(locations) else f"{len(present)} of {len(locations)} files: "
    return share + ", ".join(folders)


def _short(path: Path, root: Path) -> str:
    """A path relative to the data folder, if it is in there."""
    return f"./{path.relative_to(root)}" if path.is_relative_to(root) else str(path)


def _to_fetch(locations: Sequence[Location]) -> str:
    missing = [location.wanted for location in locations if location.path is None]
    if not missing:
        return "nothing needed"
    downloads = [file for file in missing if file.urls]
    parts = []
    if downloads:
        sizes = [file.size for file in downloads if file.size is not None]
        known = len(sizes) == len(downloads)
        parts.append(size_in_words(sum(sizes)) if known else "size not known")
    by_hand = len(missing) - len(downloads)
    if by_hand:
        parts.append(f"{by_hand} files by hand" if downloads else "by hand")
    return ", ".join(parts)


def _print_table(cards: Sequence[dict[str, Any]], data_dir: str | None, out: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("Data set", no_wrap=True)
    for heading in ("On disk", "Fetch", "Licence", "Source"):
        table.add_column(heading, overflow="fold")
    for card in cards:
        source = (urlsplit(card["source"]).hostname or "").removeprefix("www.")
        cells = [card["name"], card["on_disk"], card["fetch"], card["licence"], source]
        table.add_row(*map(escape, cells))
    out.print(table, highlight=False)
    say(
        out,
        f"\nThe data folder is {root_of(data_dir)} (--data-dir, else $BENCH_DATA_DIR, else the "
        "user's cache). `bench data list NAME` says more, `bench data fetch NAME` downloads.",
    )


def _print_card(card: dict[str, Any], out: Console) -> None:
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
        lines += [f"            or {other['name']}" for other in file["instead"]]
        lines.append(f"            {file['path'] or 'not there'}")
        lines += [f"            {url}" for url in file["urls"]]
    for line in lines:
        say(out, line)
