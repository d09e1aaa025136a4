"""What a promise is, and how a list of promises is tried on a subject.

A promise is a function of the subject. It raises `PromiseBrokenError` if the promise does not hold;
the text that it returns is printed, as a note if it is a `Caveat`.
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

OK, NOTE, FAILS, SKIPPED = "ok", "note", "FAILS", "skipped"

_MESSAGE_LENGTH = 400  # characters; longer messages of other code are cut
_ROOT = Path(bench.__file__).resolve().parent
_SUITE = (_ROOT, *((_ROOT / leaf).resolve() for leaf in ("datasets", "metrics", "models")))
_LIBRARIES = tuple(
    Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "purelib", "platlib")
)


class PromiseBrokenError(Exception):
    """A promise does not hold: what was expected, what came instead, and the remedy."""

    def __init__(self, expected: str, got: str, remedy: str) -> None:
        super().__init__(f"expected {expected}, got {got}: {remedy}")


class Caveat(str):
    """What a promise returns that holds, but whose author should know something."""


Check = Callable[[Any], str | None]


@dataclass(frozen=True)
class Promise:
    """One promise.

    Attributes:
        title: what is promised, in words.
        check: tries it on a subject.
        needs: checks of other promises that it takes for granted.
    """

    title: str
    check: Check
    needs: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Finding:
    """The outcome of one promise: `OK`, `NOTE`, `FAILS` or `SKIPPED`, and what there is to say."""

    mark: str
    title: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.mark:8} {self.title}{': ' if self.text else ''}{self.text}"


def try_promises(
    promises: Sequence[Promise], subject: Any, source: Path | None
) -> Iterator[Finding]:
    """Try every promise, except those that build on one that does not hold.

    Args:
        promises: in an order in which each stands after those that it needs.
        subject: what their checks take.
        source: the author's file, whose line is named if an exception is raised.

    Raises:
        RequestError: there is no subject, for example because its data files are missing.
    """
    causes: dict[Check, str] = {}  # of each check that failed or was skipped: the title to fix
    for promise in promises:
        missing = [causes[need] for need in promise.needs if need in causes]
        if missing:
            causes[promise.check] = missing[0]
            yield Finding(SKIPPED, promise.title, f"fix first: {missing[0]}")
            continue
        try:
            text = promise.check(subject) or ""
        except RequestError:
            raise
        except PromiseBrokenError as error:
            causes[promise.check] = promise.title
            yield Finding(FAILS, promise.title, _one_line(error))
        except Exception as error:  # whatever the author's code raises
            causes[promise.check] = promise.title
            broken = PromiseBrokenError("no exception", located(error, source), "fix that")
            yield Finding(FAILS, promise.title, str(broken))
        else:
            yield Finding(NOTE if isinstance(text, Caveat) else OK, promise.title, text)


def located(error: Exception, source: Path | None) -> str:
    """An exception in one line, with the line of the author's file that raised it."""
    frame = _frame_of_author(error, source)
    place = f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""
    return f"{in_words(error)}{place}"


def in_words(error: Exception) -> str:
    """Type and message of an exception, in one line."""
    return f"{type(error).__name__}: {_one_line(error)}".removesuffix(": ")


def is_refusal(error: Exception) -> bool:
    """Whether an author raised this exception on purpose, with a message of one line.

    An exception that a library raises by accident is none.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    statement = linecache.getline(frame.filename, frame.lineno or 0).strip()
    raised = not statement or statement.startswith("raise")
    written = raised and not _is_within(frame.filename, _LIBRARIES)
    return written and bool(str(error).strip()) and "\n" not in str(error)


def summary(findings: Sequence[Finding]) -> str:
    """How many promises hold."""
    marks = [finding.mark for finding in findings]
    fails, notes, skipped = (marks.count(mark) for mark in (FAILS, NOTE, SKIPPED))
    parts = [f"{marks.count(OK) + notes} hold"]
    parts += [f"{fails} {'fails' if fails == 1 else 'fail'}"] if fails else []
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"{notes} {'note' if notes == 1 else 'notes'}"] if notes else []
    return f"{len(findings)} promises: {', '.join(parts)}"


def _frame_of_author(error: Exception, source: Path | None) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if source and Path(f.filename).resolve() == source]
    other = [f for f in frames if not _is_within(f.filename, (*_SUITE, *_LIBRARIES))]
    return own[-1] if own else other[-1] if other else None


def _is_within(filename: str, folders: Sequence[Path]) -> bool:
    path = Path(filename).resolve()
    return filename.startswith("<") or any(path.is_relative_to(folder) for folder in folders)


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= _MESSAGE_LENGTH else f"{line[:_MESSAGE_LENGTH]}..."
