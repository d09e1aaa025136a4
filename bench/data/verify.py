"""`bench data verify`: files, labels and pixels of a data set against what is published of it."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from bench.build import build_data
from bench.data.checks import Check, file_checks, label_checks, pinned, statistics_checks
from bench.data.dsprites import official_checks, renderer_checks
from bench.data.files import Place, entry_of, places, root_of
from bench.data.progress import watched
from bench.datasets import FactorData, files
from bench.datasets.built_in import BUILT_IN
from bench.datasets.catalogue import CATALOGUE
from bench.datasets.entry import Entry
from bench.errors import RequestError

_MARKS = {True: "ok", False: "DIFFERS", None: "note"}


def verify(name: str, data_dir: str | Path | None, out: Console, talk: Console) -> int:
    """Print findings as they come; 0 if all holds, else 1. Raises RequestError without files."""
    failed = 0
    for check in _checks(name, data_dir, talk):
        failed += check.holds is False
        line = f"{_MARKS[check.holds]:8} {check.what}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    verdict = f"{failed} of the findings differ" if failed else "all is as it should be"
    out.print(f"{name}: {verdict}", markup=False, highlight=False)
    return 1 if failed else 0


def _checks(name: str, data_dir: str | Path | None, talk: Console) -> Iterator[Check]:
    entry = entry_of(name)
    if entry is None:
        yield from _built_in_checks(name, data_dir, talk)
        return
    found = places(name, entry, data_dir)
    if entry.drawn:
        yield from _drawn_checks(name, found[0], root_of(data_dir) / name, talk)
        return
    _require(name, found, data_dir)
    whole = True
    for place in found:
        for check in file_checks(place):
            whole = whole and check.holds is not False
            yield check
    if whole:
        yield from _content_checks(name, entry, data_dir, talk)
    else:
        yield Check("labels and pixels are not looked at: remove the file, or fetch it again", None)


def _require(name: str, found: Sequence[Place], data_dir: str | Path | None) -> None:
    """Raise RequestError, with the remedy, unless all files are there."""
    names = [[file.name for file in (p.wanted, *p.wanted.instead)] for p in found if not p.path]
    fetch = all(place.wanted.urls for place in found if not place.path)
    try:
        # It finds none of them either; the message is that of the loader.
        files.located(name, data_dir, names, fetch=fetch)
    except files.MissingFile as error:
        raise RequestError(str(error)) from error


def _content_checks(
    name: str, entry: Entry, data_dir: str | Path | None, talk: Console
) -> Iterator[Check]:
    settings = {"image_size": entry.published.image_size} if entry.published else {}
    try:
        with (
            watched(f"{name}: reading", talk, images=True),
            warnings.catch_warnings(record=True) as told,
        ):
            warnings.simplefilter("always")
            data: FactorData = build_data(name, settings, data_dir)
    except (ValueError, OSError) as error:
        yield Check(str(error), False)
        return
    yield from (Check(str(warning.message), None) for warning in told)
    yield from label_checks(data, entry)
    if entry.published is not None:
        with watched(f"{name}: statistics", talk, images=True) as watch:
            checks = list(statistics_checks(data, entry.published, watch))
        yield from checks


def _drawn_checks(name: str, place: Place, folder: Path, talk: Console) -> Iterator[Check]:
    if place.path is None:
        yield Check(f"no official file in {folder}: what is checked is the built-in renderer", None)
        with watched(f"{name}: drawing", talk, images=True) as watch:
            checks = list(renderer_checks(watch))
        yield from checks
        return
    yield from file_checks(place)
    with watched(f"{name}: comparing with the renderer", talk, images=True) as watch:
        checks = list(official_checks(place.path, watch))
    yield from checks


def _built_in_checks(name: str, data_dir: str | Path | None, talk: Console) -> Iterator[Check]:
    known = BUILT_IN.get(name)
    base = known.base if known else ""
    on_disk = [place.path for place in places(base, CATALOGUE[base], data_dir)] if base else []
    with watched(f"{name}: drawing", talk, images=True):
        data = build_data(name, {}, data_dir)
        pixels = pinned(data)
    pins = [(known.fingerprint, data.fingerprint), (known.pixels, pixels)] if known else []
    if not pins or any(on_disk):
        why = f"made of {on_disk[0]}: see {base}" if pins else "no pin is known"
        yield Check(f"fingerprint {data.fingerprint}, images and classes {pixels}: {why}", None)
        return
    for what, (pin, found) in zip(("fingerprint", "images and classes"), pins, strict=True):
        yield Check(f"{what}: {found}" + ("" if pin == found else f", not {pin}"), pin == found)
