"""A run: everything that decides its numbers, and its identity."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

OTHER_CODE = "other code"
Precision = Literal["float32", "bfloat16"]

ENTERED = "entered"  # instead of a preset: codes that come from a file


@dataclass(frozen=True)
class Run:
    """One training and what is scored of it; without steps it is scored as it comes.

    settings: all arguments of the model's constructor but image_shape; changed: those of them
    that were asked for and differ from the preset (they name the row of the table);
    data_settings: arguments of the data set's constructor; fingerprint: the exact pixels;
    rows: number of images that are encoded and scored; seed: of all its random streams; code:
    digest of the file of a model that is not the suite's own, and of weights that are not.
    precision: of the layers in training. Of codes that were entered from a file the setting
    `source` says which file it is.
    """

    model: str
    settings: Mapping[str, Any]
    changed: Mapping[str, Any]
    dataset: str
    data_settings: Mapping[str, Any]
    fingerprint: str
    image_shape: tuple[int, int, int]
    preset: str
    steps: int
    batch_size: int
    rows: int
    seed: int
    code: str | None = None
    precision: Precision = "float32"

    @property
    def identity(self) -> str:
        """sha256 of all that changes a number, independent of the order it was given in."""
        parts = {k: v for k, v in self.as_dict().items() if k not in _NAMES_ONLY}
        if self.precision == "float32":  # runs are named as they were before there was another
            del parts["precision"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def trained(self) -> bool:
        """Whether the suite trains it."""
        return self.steps > 0

    @property
    def entered(self) -> bool:
        """Whether it is not a model's but the codes of a file."""
        return self.preset == ENTERED

    @property
    def label(self) -> str:
        """The row of the table that this run belongs to: model and what was changed of it."""
        changes = ", ".join(f"{key}={_shown(value)}" for key, value in self.changed.items())
        return f"{self.model} ({changes})" if changes else self.model

    @property
    def title(self) -> str:
        return f"{self.label}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the run's folder: readable, and unique by the identity."""
        changes = "".join(f"-{key}{_shown(value)}" for key, value in self.changed.items())
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.model}{changes}").strip("-.")[:80]
        return f"{readable}-seed{self.seed}-{self.identity[:8]}"

    def differs_from(self, other: "Run") -> str | None:
        """What keeps two runs from being seeds of one row, in words; None where nothing does."""
        mine, theirs = self.as_dict(), other.as_dict()
        for key in mine:
            if key in ("seed", "changed") or mine[key] == theirs[key]:
                continue
            if key == "settings":
                pairs = {k: (mine[key].get(k), theirs[key].get(k)) for k in mine[key] | theirs[key]}
                key, (new, old) = next((k, pair) for k, pair in pairs.items() if pair[0] != pair[1])
                return f"{key} {old}, not {new}"
            if key == "code":
                return OTHER_CODE if self.trained else f"{OTHER_CODE} or weights"
            return f"{key} {theirs[key]}, not {mine[key]}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in settings.json."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Run":
        """The inverse of `as_dict`."""
        return cls(
            **{
                **values,
                "image_shape": tuple(values["image_shape"]),
                "settings": _tuples(values["settings"]),
                "changed": _tuples(values["changed"]),
            }
        )


def seeds_together(runs: Iterable[Run], size: int) -> list[list[Run]]:
    """Runs in groups of at most `size` that are trained and differ in the seed alone."""
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            if len(group) < size and run.trained and run.differs_from(group[0]) is None:
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


# A preset is a name for settings that are all here; `data_settings` act through the fingerprint.
# Runs of a changed model file take the place of the old ones, when that is asked for.
_NAMES_ONLY = {"changed", "preset", "data_settings", "code"}


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "x".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
