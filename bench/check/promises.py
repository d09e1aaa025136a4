"""`bench check`: whether a data set, a metric or a model keeps what the suite relies on.

Each kind has a list of promises. A promise is a function of the subject that raises `Broken` where
it does not hold and `Odd` where it holds with a but; what it returns is printed as information.
"""

import linecache
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench.errors import RequestError

OK, NOTE, FAILS, LEFT_OUT = "ok", "note", "FAILS", "left out"

_LONGEST = 400  # letters of somebody's message
_ROOT = Path(bench.__file__).resolve().parent
_SUITE = (_ROOT, *((_ROOT / leaf).resolve() for leaf in ("datasets", "metrics", "models")))
_LIBRARIES = tuple(
    Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "purelib", "platlib")
)


class Broken(Exception):
    """A promise does not hold."""

    def __init__(self, expected: str, came: str, remedy: str) -> None:
        super().__init__(f"expected {expected}, came {came}: {remedy}")


class Odd(Exception):
    """A promise holds, but its author should know something."""


@dataclass(frozen=True)
class Promise:
    """What is promised, in words; how to try it; the promises that it takes for granted."""

    title: str
    keep: Callable[[Any], str | None]
    needs: tuple[Callable[[Any], str | None], ...] = ()


@dataclass(frozen=True)
class Finding:
    """What came of one promise."""

    mark: str
    title: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.mark:8} {self.title}{': ' if self.text else ''}{self.text}"


def findings(promises: Sequence[Promise], subject: Any, file: Path | None) -> Iterator[Finding]:
    """Try every promise; `file` is the author's, to name the line where something is raised.

    One that builds on a promise that does not hold is left out: it would say the same again.
    Raises RequestError where the subject cannot be had at all.
    """
    # Of each that does not hold, what has to be mended.
    causes: dict[Callable[[Any], str | None], str] = {}
    for promise in promises:
        missing = [causes[need] for need in promise.needs if need in causes]
        if missing:
            causes[promise.keep] = missing[0]
            yield Finding(LEFT_OUT, promise.title, f"mend first: {missing[0]}")
            continue
        try:
            yield Finding(OK, promise.title, promise.keep(subject) or "")
        except Odd as odd:
            yield Finding(NOTE, promise.title, _one_line(odd))
        except Broken as broken:
            causes[promise.keep] = promise.title
            yield Finding(FAILS, promise.title, _one_line(broken))
        except RequestError:
            raise
        except Exception as error:  # whatever their code raises
            causes[promise.keep] = promise.title
            came = f"expected no exception, came {told(error, file)}: mend that"
            yield Finding(FAILS, promise.title, came)


def told(error: Exception, file: Path | None) -> str:
    """An exception of theirs in one line, with the line of their file."""
    frame = _their_frame(error, file)
    place = f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""
    return f"{named(error)}{place}"


def named(error: Exception) -> str:
    """Type and message of an exception."""
    return f"{type(error).__name__}: {_one_line(error)}".removesuffix(": ")


def refuses(error: Exception) -> bool:
    """Whether somebody has written this refusal, in one line, and not a library by accident."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    source = linecache.getline(frame.filename, frame.lineno or 0).strip()
    written = not _within(frame.filename, _LIBRARIES) and (not source or source.startswith("raise"))
    return written and bool(str(error).strip()) and "\n" not in str(error)


def summary(found: Sequence[Finding]) -> str:
    """How many promises hold."""
    marks = [finding.mark for finding in found]
    fails, notes, left = (marks.count(mark) for mark in (FAILS, NOTE, LEFT_OUT))
    parts = [f"{marks.count(OK) + notes} hold"]
    parts += [f"{fails} {'fails' if fails == 1 else 'fail'}"] if fails else []
    parts += [f"{left} left out"] if left else []
    parts += [f"{notes} {'note' if notes == 1 else 'notes'}"] if notes else []
    return f"{len(found)} promises: {', '.join(parts)}"


def _their_frame(error: Exception, file: Path | None) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if file and Path(frame.filename).resolve() == file]
    other = [f for f in frames if not _within(f.filename, (*_SUITE, *_LIBRARIES))]
    return own[-1] if own else other[-1] if other else None


def _within(filename: str, folders: Sequence[Path]) -> bool:
    path = Path(filename).resolve()
    return filename.startswith("<") or any(path.is_relative_to(folder) for folder in folders)


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
