"""Texts of records as the page may show them: without the places of files on the user's disk."""

import json
import re
from typing import Any

from markupsafe import Markup

# An absolute path. In quotes it may hold spaces; elsewhere it ends where a word does.
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<path>(?:/|\\\\|[A-Za-z]:[/\\])[^"'\n]*)(?P=quote)""")
_BARE = re.compile(r"""(?<![\w.~:/\\<])(?:/|\\\\|[A-Za-z]:[/\\])(?:[^\s"'<>|:;,()/\\]+[/\\]+)+""")
_KEPT = 2  # parts of a path in quotes, as the names of modules in a traceback


def without_folders(text: str) -> str:
    """The text with the last parts of each absolute path alone."""
    return _BARE.sub("", _QUOTED.sub(_last_parts, text))


def _last_parts(found: re.Match[str]) -> str:
    parts = [part for part in re.split(r"[/\\]+", found["path"]) if part]
    kept = "/".join(parts[-_KEPT:])
    return f"{found['quote']}{kept}{found['quote']}"


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a script element, whatever its texts hold.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # all of it ASCII
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nothing in it can end the element
