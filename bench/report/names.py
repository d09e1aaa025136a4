"""Names that people gave, as tables and pictures show them: on one line, without their folders."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from bench.store.record import Record
from bench.store.study import StudyRecord

# An absolute path within a text, up to its last folder. A path may hold spaces; what describes the
# data goes on after a comma or a semicolon.
_FOLDERS = re.compile(r"(?<!\S)(?:/|[A-Za-z]:[/\\])(?:[^,;/\\]+[/\\]+)+(?=[^,;/\\])")


def shown(records: Sequence[Record]) -> list[Record]:
    """The records under the names that tables and pictures show.

    Of two models in files of the same name, each keeps the folders that tell them apart.
    """
    models = _shortest([record.run.model for record in records])
    renamed = []
    for record in records:
        run = record.run
        changed = {key: _value(value) for key, value in run.changed.items()}
        other = replace(
            run, model=models[run.model], dataset=_path_shown(run.dataset), changed=changed
        )
        renamed.append(record if other == run else replace(record, run=other))
    return renamed


def shown_study(study: StudyRecord) -> StudyRecord:
    """The study with the names of its files instead of their places."""
    source = study.source.replace(study.dataset, _path_shown(study.dataset))
    return replace(
        study, dataset=_path_shown(study.dataset), source=_FOLDERS.sub("", one_line(source))
    )


def one_line(text: str) -> str:
    """The text with spaces for line breaks and tabs, and `?` for what no table can show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def _value(value: Any) -> Any:
    return _path_shown(value) if isinstance(value, str) else value


def _shortest(names: Iterable[str]) -> dict[str, str]:
    """Each name without the folders of an absolute path, but for those that tell two apart."""
    names = list(dict.fromkeys(names))
    depth = {name: 1 for name in names}
    while True:
        short = {name: _path_shown(name, depth[name]) for name in names}
        by_short: dict[str, list[str]] = {}
        for name, text in short.items():
            by_short.setdefault(text, []).append(name)
        alike = [name for group in by_short.values() if len(group) > 1 for name in group]
        longer = [name for name in alike if _path_shown(name, depth[name] + 1) != short[name]]
        if not longer:
            return short
        for name in longer:
            depth[name] += 1


def _path_shown(text: str, depth: int = 1) -> str:
    """The last parts of an absolute path; any other text as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and depth < len(path.parts):
            return one_line("/".join(path.parts[-depth:]))
    return one_line(text)
