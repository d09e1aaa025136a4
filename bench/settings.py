"""Settings and seeds given on the command line, checked against the signature that takes them.

`--set jointvae.gamma=30` is an owner (a model, the data set, a metric, or `train`), a key and a
text; the owner's signature says which keys there are and of which type. `--set gamma=30` will do
where only one of them has that key.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.errors import RequestError, SettingError, UnknownNameError

MOST_SEEDS = 1_000

# The largest values that a setting of these names may have, in the suite's own models and metrics
# and in installed ones, with what grows with it. They are far above all that makes sense: who gets
# there has mistyped, and would wait for the machine to run out of memory.
LIMITS: Mapping[str, tuple[int, str]] = {
    "batch": (10_000, "the rows of as many votes are held at once"),
    "batch_size": (100_000, "so many images are held at once"),
    "bins": (1_000, "the bins of two latents are counted in one table"),
    "categorical": (10_000, "each category is a column of every code"),
    "continuous": (10_000, "each latent is a column of every code"),
    "depth": (16, "a tree has two to its depth leaves"),
    "hidden": (100_000, "a layer has its square of weights"),
    "layers": (1_000, "each layer has weights of its own"),
    "pairs": (10_000, "the rows of all pairs are held at once"),
    "points": (10_000_000, "so many rows are held at once"),
    "samples": (1_000_000, "so many draws are held at once"),
    "stages": (10_000, "so many trees are grown for each factor"),
    "repeats": (10_000, "so many predictors are fitted for each factor"),
    "test_points": (10_000_000, "so many rows are held at once"),
    "test_votes": (10_000_000, "so many votes are held at once"),
    "trees": (10_000, "so many trees are grown for each factor"),
    "votes": (10_000_000, "so many votes are held at once"),
}
MOST_CATEGORIES = 1_000  # categorical latents

_LARGEST = 10**15  # any other whole number, which floats still hold exactly


@dataclass(frozen=True)
class Parameter:
    """One keyword argument of a signature."""

    annotation: Any
    default: Any


@dataclass(frozen=True)
class Assignment:
    """`owner.key=text`, as given; of a sweep that pairs settings, `owner.key,key=text`."""

    owner: str
    key: str
    text: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings: one, or those that a sweep pairs."""
        return tuple(key.strip() for key in self.key.split(","))


def owner_of(text: str) -> str:
    """The owner in `OWNER.KEY=VALUE`; empty where there is none."""
    return text.partition("=")[0].rpartition(".")[0].strip()


def parse(option: str, texts: Iterable[str]) -> list[Assignment]:
    """Split `owner.key=text` arguments of an option.

    Raises:
        RequestError: one is not written so, or two give different values to one setting.
    """
    assignments: list[Assignment] = []
    for argument in texts:
        path, equals, text = argument.partition("=")
        owner, dot, key = path.rpartition(".")
        if not (equals and dot and owner and key and text.strip()):
            raise RequestError(
                f"{option} {argument!r}: write OWNER.KEY=VALUE, e.g. {option} jointvae.gamma=30"
            )
        assignment = Assignment(owner.strip(), key.strip(), text.strip())
        for earlier in assignments:
            same = (earlier.owner, earlier.key) == (assignment.owner, assignment.key)
            if same and earlier.text != assignment.text:
                raise RequestError(
                    f"{option} gives {assignment.owner}.{assignment.key} twice, {earlier.text} and "
                    f"{assignment.text}: leave out one"
                )
        if assignment not in assignments:
            assignments.append(assignment)
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
        parts = [part.strip() for part in key.split(",")]
        if all(part.isidentifier() for part in parts) and "=" in text:
            known = settings()
            owners = [owner for owner, keys in known.items() if set(parts) <= {*keys}]
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


def points_of(assignment: Assignment) -> list[dict[str, str]]:
    """The points of a sweep, each the texts of its settings by key.

    Raises:
        RequestError: a point of paired settings does not have a value for each, or commas stand
            between brackets and inside of them.
    """
    keys = assignment.keys
    if len(keys) == 1:
        return [{keys[0]: text} for text in split_values(assignment)]
    points = []
    for text in assignment.text.split(";"):
        values = _outside_brackets(text)
        if len(values) != len(keys):
            raise SettingError(
                assignment.owner,
                assignment.key,
                f"--sweep {assignment.owner}.{assignment.key}: {_short(text.strip())!r} is not "
                f"{len(keys)} values; write one for each setting, and points separated by "
                "semicolons, as in '1,10;2,20'",
            )
        points.append(dict(zip(keys, values, strict=True)))
    return points


def _outside_brackets(text: str) -> list[str]:
    """Split at the commas that stand in no brackets."""
    return [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", text)]


def split_values(assignment: Assignment) -> list[str]:
    """The values of a sweep: split at semicolons, or else at commas.

    Raises:
        RequestError: commas stand between brackets and inside of them.
    """
    text = assignment.text
    if ";" in text:
        return [part.strip() for part in text.split(";")]
    if re.search(r"[)\]]\s*,|,\s*[(\[]", text):
        values = "; ".join(re.findall(r"[(\[][^()\[\]]*[)\]]|[^,()\[\]]+", text))
        raise SettingError(
            assignment.owner,
            assignment.key,
            f"--sweep {assignment.owner}.{assignment.key}={_short(text)}: separate values that "
            f"have commas of their own by semicolons, as in '{_short(values)}'",
        )
    if re.fullmatch(r"\s*[(\[].*[)\]]\s*", text):
        return [text]
    return [part.strip() for part in text.split(",")]


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
        RequestError: the key is unknown, the text is no such value, or the value is absurd.
    """
    owner, key, text = assignment.owner, assignment.key, assignment.text
    if key not in known:
        raise UnknownNameError(f"setting of {owner}", key, known, owner)
    annotation = known[key].annotation
    value: Any = text
    if getattr(annotation, "__origin__", None) is tuple:
        value = _parts_of_tuple(assignment)
    try:
        # a record is JSON, which has neither NaN nor infinity
        finite = ConfigDict(allow_inf_nan=False)
        value = TypeAdapter(annotation, config=finite).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise SettingError(
            owner, key, f"{owner}.{key}={_short(text)}: {problem[0].lower()}{problem[1:]}"
        ) from None
    except Exception as error:  # an annotation that pydantic does not know
        reason = " ".join(str(error).split())
        raise SettingError(
            owner,
            key,
            f"{owner}.{key} cannot be set: its annotation is no type of plain values "
            f"({type(error).__name__}: {_short(reason)})",
        ) from error
    _check_size(assignment, value)
    return value


def _parts_of_tuple(assignment: Assignment) -> tuple[str, ...]:
    """The texts of a tuple, with or without brackets around them."""
    text = assignment.text
    inside = text
    for opening, closing in ("()", "[]"):
        if text.startswith(opening) and text.endswith(closing):
            inside = text[1:-1]
    if set(inside) & set("()[]"):
        raise SettingError(
            assignment.owner,
            assignment.key,
            f"{assignment.owner}.{assignment.key}={_short(text)}: write one list of values, such "
            "as (3,4)",
        )
    return tuple(part for part in inside.split(",") if part.strip())


def _check_size(assignment: Assignment, value: Any) -> None:
    """Raise RequestError where a whole number, or one in a tuple, is absurdly large."""
    name = f"{assignment.owner}.{assignment.key}"
    # plug-ins may mean something else by a name
    limits = {} if ":" in assignment.owner else LIMITS
    most, reason = limits.get(assignment.key, (_LARGEST, "no whole number here is larger"))
    parts = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) and len(value) > MOST_CATEGORIES:
        raise SettingError(
            assignment.owner,
            assignment.key,
            f"{name}: {len(value)} values, at most {MOST_CATEGORIES:,} are taken",
        )
    for part in parts:
        whole = isinstance(part, int) and not isinstance(part, bool)
        if whole and abs(part) > (most if part > 0 else _LARGEST):
            raise SettingError(
                assignment.owner,
                assignment.key,
                f"{name}={_short(assignment.text)}: at most {most:,} is taken, as {reason}",
            )


def is_plain(value: Any) -> bool:
    """Whether a value can stand in a record."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


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
