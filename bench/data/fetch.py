"""`bench data fetch`: the official files of a data set, from the first host that has them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import filelock
from rich.console import Console

from bench.data.download import NoLuck, download, part_of, require_room
from bench.data.files import Place, complaint, digest, entry_of, places, root_of
from bench.data.progress import watched
from bench.datasets.built_in import BUILT_IN
from bench.datasets.entry import Entry, File
from bench.errors import RequestError


def fetch_all(names: Sequence[str], data_dir: str | Path | None, talk: Console) -> None:
    """Fetch one data set after the other, also when one fails. Raises RequestError."""
    for name in names:
        entry_of(name)
    failures = []
    for name in dict.fromkeys(names):
        try:
            fetch(name, data_dir, talk)
        except RequestError as error:
            failures.append(error)
    for failure in failures[:-1]:
        _say(talk, f"bench: {failure}")
    if failures:
        raise failures[-1]


def fetch(name: str, data_dir: str | Path | None, talk: Console) -> None:
    """Download what a data set lacks. Raises RequestError, of one line with what to do by hand.

    A file takes its name when all of it is there and its checksum is right; one of that name that
    is wrong is replaced then, and not before.
    """
    entry = entry_of(name)
    if entry is None:
        origin = BUILT_IN[name].origin if name in BUILT_IN else "drawn by the suite"
        _say(talk, f"{name}: nothing to fetch, it is {origin}")
        return
    wanted = []
    for place in places(name, entry, data_dir):
        wrong = place.path and complaint(place.path, place.file)
        if place.path is None or wrong:
            wanted.append(place)
        else:
            _say(talk, f"{name}: {place.path} is already there")
        if wrong:
            remedy = "it will be replaced" if place.wanted.urls else "it is to be replaced"
            _say(talk, f"{name}: {place.path} {wrong}: {remedy}")
    folder = root_of(data_dir) / name
    loadable = [place for place in wanted if place.wanted.urls]
    by_hand = [place.wanted for place in wanted if not place.wanted.urls]
    if loadable:
        _say(talk, f"{name}: {entry.citation}; licence: {entry.licence}")
        for file in by_hand:
            _say(talk, f"{name}: {file.name} is to be had with a browser only, see below")
    try:
        with _alone(name, folder, bool(loadable)):
            _require_room_for_all(name, folder, loadable)
            for number, place in enumerate(loadable):
                _fetch_one(name, entry, place, folder, loadable[number:], talk)
    except OSError as error:
        raise RequestError(
            f"{name}: {folder} cannot be written ({error.strerror or error}): mend that, or choose "
            "another folder with --data-dir; what has arrived stays there, and the same command "
            "goes on from it"
        ) from error
    if by_hand:
        names = " and ".join(file.name for file in by_hand)
        raise RequestError(
            f"{name}: {names} cannot be fetched by a program: open {by_hand[0].page or entry.page} "
            f"in a browser and put {'it' if len(by_hand) == 1 else 'them'} into {folder}"
        )


def _fetch_one(
    name: str, entry: Entry, place: Place, folder: Path, left: list[Place], talk: Console
) -> None:
    file = place.wanted
    target = _target(place, folder)
    if place.path is not None and not (file.digest and file.binding):
        place.path.unlink()  # a web page under the name of the file: nothing is lost with it
    reasons = []
    for url in file.urls:
        host = urlsplit(url).hostname or url
        try:
            with watched(f"fetching {file.name} from {host}", talk) as watch:
                download(url, target, file, watch)
        except NoLuck as error:
            reasons.append(f"{host}: {error}")
            continue
        for other in file.urls:
            part_of(target, file, other).unlink(missing_ok=True)
        _say(talk, f"{name}: wrote {target} ({_checked(target, file)})")
        return
    others = [other.wanted.name for other in left if other.wanted is not file]
    more = f"; {', '.join(others)} from there too" if others else ""
    raise RequestError(
        f"{name}: {file.name} could not be fetched ({'; '.join(reasons)}): try again later, or "
        f"download {file.urls[0]} elsewhere and put it into {target.parent} as {file.name}{more}"
    )


def _target(place: Place, folder: Path) -> Path:
    """Where the file will lie: in place of a wrong one, which would be found before it."""
    wrong = place.path
    if wrong is not None and wrong.parent in (folder, folder.parent):
        return wrong.with_name(place.wanted.name)
    return folder / place.wanted.name


def _checked(path: Path, file: File) -> str:
    """What its checksum says, in words."""
    algorithm, _, known = (file.digest or "sha256:").partition(":")
    found = digest(path, algorithm)
    if not known:
        return f"its {algorithm} is {found}; no checksum is published to compare it with"
    if found != known:
        return (
            f"its {algorithm} is {found}, not {known} as first published, which hosts have "
            "changed since: `bench data verify` compares its statistics"
        )
    return f"its {algorithm} is right"


def _require_room_for_all(name: str, folder: Path, loadable: list[Place]) -> None:
    """Raise RequestError unless all files of known size fit."""
    needed = 0
    for place in loadable:
        parts = [part_of(_target(place, folder), place.wanted, url) for url in place.wanted.urls]
        there = max((part.stat().st_size for part in parts if part.exists()), default=0)
        needed += max(0, (place.wanted.size or 0) - there)
    require_room(folder, needed, name)


@contextmanager
def _alone(name: str, folder: Path, needed: bool) -> Iterator[None]:
    """Nobody else fetches into the folder, which is made. Raises RequestError, OSError."""
    if not needed:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".fetch.lock", timeout=0):
            for leftover in folder.glob("tmp????????"):  # of pooch, if it was killed
                if not leftover.stat().st_size:
                    leftover.unlink()
            yield
    except filelock.Timeout as error:
        raise RequestError(
            f"{name}: another bench data fetch is at work in {folder}: wait until it is done"
        ) from error


def _say(talk: Console, line: str) -> None:
    talk.print(line, markup=False, highlight=False, soft_wrap=True)
