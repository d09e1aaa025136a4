"""Settings and seeds given on the command line, checked against the signature that takes them.

`--set jointvae.gamma=30` is an owner (a model, the data set, a metric, or `train`), a key and a
text; the owner's signature says which keys there are and of which type. `--set gamma=30` will do
where only one of them has that key.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.errors import RequestError, UnknownNameError

MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Parameter:
    """One keyword argument of a signature."""

    annotation: Any
    default: Any


@dataclass(frozen=True)
class Assignment:
    """`owner.key=text`, as given."""

    owner: str
    key: str
    text: str


def parse(option: str, texts: Iterable[str]) -> list[Assignment]:
    """Split `owner.key=text` arguments of an option."""
    assignments = []
    for argument in texts:
        path, equals, text = argument.partition("=")
        owner, dot, key = path.rpartition(".")
        if not (equals and dot and owner and key and text.strip()):
            raise RequestError(
                f"{option} {argument!r}: write OWNER.KEY=VALUE, e.g. {option} jointvae.gamma=30"
            )
        assignments.append(Assignment(owner.strip(), key.strip(), text.strip()))
    return assignments


def with_owners(
    option: str, texts: Iterable[str], settings: Callable[[], Mapping[str, Iterable[str]]]
) -> list[str]:
    """Texts `KEY=VALUE` with the one owner that has this setting before them; others as they are.

    Args:
        option: of the command line.
        texts: its values.
        settings: gives the keys of each owner that is chosen; called only if it is needed.

    Raises:
        RequestError: no owner has the setting, or several have it.
    """
    complete = []
    for text in texts:
        key = text.partition("=")[0].strip()
        if key.isidentifier() and "=" in text:
            known = settings()
            owners = [owner for owner, keys in known.items() if key in keys]
            if not owners:
                every = dict.fromkeys(k for keys in known.values() for k in keys)
                raise UnknownNameError(f"setting in {option}", key, every)
            if len(owners) > 1:
                raise RequestError(
                    f"{option} {text}: {' and '.join(owners)} have {key}: write "
                    f"{option} {owners[0]}.{text}"
                )
            text = f"{owners[0]}.{text.strip()}"
        complete.append(text)
    return complete


def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
    """The settings of a class or function: its keyword-only arguments that have a default.

    One without an annotation takes values of its default's type.
    """
    return {
        name: Parameter(
            type(parameter.default)
            if parameter.annotation is inspect.Parameter.empty
            else parameter.annotation,
            parameter.default,
        )
        for name, parameter in inspect.signature(target, eval_str=True).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is not inspect.Parameter.empty
    }


def converted(assignment: Assignment, known: Mapping[str, Parameter]) -> Any:
    """The value of an assignment in the type that the signature asks for.

    Raises:
        RequestError: the key is unknown, or the text is no such value.
    """
    owner, key, text = assignment.owner, assignment.key, assignment.text
    if key not in known:
        raise UnknownNameError(f"setting of {owner}", key, known)
    annotation = known[key].annotation
    value: Any = text
    if getattr(annotation, "__origin__", None) is tuple:
        value = tuple(part for part in text.strip("()").split(",") if part.strip())
    try:
        # a record is JSON, which has neither NaN nor infinity
        finite = ConfigDict(allow_inf_nan=False)
        return TypeAdapter(annotation, config=finite).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise RequestError(f"{owner}.{key}={text}: {problem[0].lower()}{problem[1:]}") from None


def parse_seeds(text: str) -> list[int]:
    """`5` means the seeds 0 to 4, `0-4` the same, `3,7` these two."""
    wrong = RequestError(
        f"--seeds {text[:40]!r}: give a number of seeds (5), a range (0-4) or a list (3,7), "
        f"at most {MOST_SEEDS} of them"
    )
    seeds: list[int] = []
    # no more digits than a 64-bit number has: others read the seed from the records
    if re.fullmatch(r"\s*\d{1,18}\s*", text):
        seeds = list(range(min(int(text), MOST_SEEDS + 1)))
    else:
        for part in text.split(","):
            if not (match := re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)):
                raise wrong
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last - first >= MOST_SEEDS:
                raise wrong
            seeds += range(first, last + 1)
    if not seeds or len(seeds) > MOST_SEEDS:
        raise wrong
    return sorted(set(seeds))
