"""The two consoles: results go to stdout, talk goes to stderr."""

import sys
from collections.abc import Mapping

from rich.console import Console


def stdout() -> Console:
    """The console for results: a terminal has its own width, a file or a pipe gets 100 columns."""
    return Console() if sys.stdout.isatty() else Console(width=100)


def stderr() -> Console:
    """The console for talk: progress, notes and what was written where."""
    return Console(stderr=True)


def say(console: Console, text: str) -> None:
    """Print one line exactly as it is: no markup, no highlighting, no wrapping.

    Characters that a terminal would obey are shown as escapes, as names may hold them.
    """
    console.print(harmless(text), markup=False, highlight=False, soft_wrap=True)


def harmless(text: str) -> str:
    """The text with control characters and changes of direction as escapes, such as `\\x1b`."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def left_out(reasons: Mapping[str, str]) -> list[str]:
    """What is left out, one text for each reason: `mig, sap (needs factors, the data have none)`.

    Args:
        reasons: why, by name; a reason may begin with the name.
    """
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        rest = reason.removeprefix(f"{name} ")
        names.setdefault(reason if rest == reason else f"each {rest}", []).append(name)
    return [
        f"{', '.join(own)} ({reason if len(own) > 1 else reasons[own[0]]})"
        for reason, own in names.items()
    ]


def size_in_words(count: float) -> str:
    """Bytes as people read them: `1.3 GB`."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count:.0f} bytes"


def time_in_words(seconds: float) -> str:
    """A time as people say it: `40 s`, `12 min`, `3 h 20 min`, `5 days 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} days {hours} h" if hours else f"{days:,} days"
