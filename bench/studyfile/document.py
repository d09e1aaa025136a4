"""YAML, read safely: texts with the line that each stands in, and nothing that runs or grows.

Numbers stay texts, as the signature of a setting says what they are: `1e-3`, `no` and `1:30` mean
here what they mean on the command line.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.errors import RequestError, UnknownNameError

MOST_BYTES = 1_000_000  # of a file: the 12,600 runs of Locatello et al. 2019 need two thousand
MOST_NODES = 20_000  # keys and values, with those that aliases repeat
DEEPEST = 10  # levels of lists and mappings in one another


class Node:
    """A key or a value of a file, with what is wrong of it said by its line."""

    def __init__(self, node: yaml.Node, file: str) -> None:
        self._node, self._file = node, file

    @property
    def line(self) -> int:
        return int(self._node.start_mark.line) + 1

    def wrong(self, message: str) -> RequestError:
        return RequestError(f"{self._file}, line {self.line}: {message}")

    @contextmanager
    def line_of_errors(self) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            raise self.wrong(str(error)) from error

    @property
    def is_text(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode)

    @property
    def is_nothing(self) -> bool:
        plain = self.is_text and self._node.style is None
        return plain and self._node.value in ("", "~", "null")

    def text(self, what: str) -> str:
        """A text or number, as it is written."""
        if not self.is_text:
            kind = "a list" if self.is_list else "a mapping"
            raise self.wrong(f"{what} is {kind}, where a text or a number belongs")
        if self.is_nothing or not self._node.value.strip():
            raise self.wrong(f"{what} has no value: give one, or leave the line out")
        return str(self._node.value).strip()

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def items(self) -> list["Node"]:
        return [Node(node, self._file) for node in self._node.value]

    def texts(self, what: str) -> list[str]:
        """A text, or a list of them."""
        if not self.is_list:
            return [self.text(what)]
        return [item.text(f"an entry of {what}") for item in self.items()]

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def entries(self, what: str) -> dict[str, tuple["Node", "Node"]]:
        """Keys and values of a mapping, by the text of the key."""
        if not self.is_mapping:
            raise self.wrong(f"{what} is no mapping: write KEY: VALUE lines")
        found: dict[str, tuple[Node, Node]] = {}
        for pair in self._node.value:
            key, value = (Node(node, self._file) for node in pair)
            name = key.text(f"a key of {what}")
            if name in found:
                first = found[name][0].line
                raise key.wrong(f"{name} is given twice, first in line {first}: leave out one")
            found[name] = key, value
        return found

    def known_entries(self, what: str, known: Iterable[str]) -> dict[str, "Node"]:
        """`entries` that have only these keys; values by key, without those that say nothing."""
        found = {}
        for name, (key, value) in self.entries(what).items():
            with key.line_of_errors():
                if name not in known:
                    raise UnknownNameError(f"key of {what}", name, known)
            found[name] = value
        return found

    def setting(self, what: str) -> str:
        """The value of a setting, as `--set` takes it."""
        if self.is_list:
            return ",".join(self.texts(what))
        return self.text(what)

    def points(self, what: str, count: int) -> str:
        """The values of a sweep over so many settings together, as `--sweep` takes them."""
        if not self.is_list:
            return self.text(what)
        points = []
        for item in self.items():
            if count > 1 and item.is_list:
                point = [
                    f"({value.setting(what)})" if value.is_list else value.text(what)
                    for value in item.items()
                ]
                points.append(",".join(point))
            else:
                points.append(item.setting(what))
        if not points:
            raise self.wrong(f"{what} has no value: give a list of them")
        several = count > 1 or any(item.is_list for item in self.items())
        return (";" if several or any("," in point for point in points) else ",").join(points)


def read_document(path: Path) -> Node:
    """The top level of a YAML file.

    Raises:
        RequestError: it cannot be read, or is no YAML that is safe and small.
    """
    file = str(path)
    try:
        kind = os.stat(path)
        if stat.S_ISDIR(kind.st_mode):
            raise RequestError(f"{file} is a folder: name the YAML file of a study")
        if not stat.S_ISREG(kind.st_mode):
            raise RequestError(f"{file} is no regular file: name the YAML file of a study")
        if kind.st_size > MOST_BYTES:
            raise RequestError(
                f"{file} has {kind.st_size / 1e6:.1f} MB: a study is read from at most "
                f"{MOST_BYTES / 1e6:g} MB"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RequestError(f"{file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{file} is no text in UTF-8 (byte {error.start})") from error
    try:
        _check_events(text, file)
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    except yaml.YAMLError as error:  # control characters, as in a binary file
        raise RequestError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise RequestError(f"{file} is empty: a study names at least models and a data set")
    return Node(node, file)


def _check_events(text: str, file: str) -> None:
    """Raise RequestError for what would take too long, or run code; nothing is built yet."""
    depth = total = 0
    sizes: dict[str, int] = {}  # of anchored nodes, with what aliases in them repeat
    opened: list[tuple[str | None, int]] = []
    documents = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise RequestError(f"{file}, line {line}: a second document; a file is one study")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise RequestError(
                f"{file}, line {line}: the tag {event.tag}; a study has plain texts, numbers, "
                "lists and mappings only"
            )
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:  # unknown, or an alias to what it stands in
                raise RequestError(f"{file}, line {line}: *{event.anchor} stands for nothing yet")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            total += 1
            depth += 1
            opened.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before + 1
        if depth > DEEPEST:
            raise RequestError(f"{file}, line {line}: nested more than {DEEPEST} levels deep")
        if total > MOST_NODES:
            raise RequestError(
                f"{file}, line {line}: more than {MOST_NODES:,} keys and values, with those that "
                "aliases repeat"
            )


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> RequestError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return RequestError(f"{file} is no YAML: {error.problem}")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    place = f"{file}, line {mark.line + 1}"
    if (
        "\t" in line[: len(line) - len(line.lstrip())]
        or line[mark.column : mark.column + 1] == "\t"
    ):
        return RequestError(f"{place}: a tab; YAML is indented by spaces")
    return RequestError(f"{place}: no YAML ({error.problem})")
