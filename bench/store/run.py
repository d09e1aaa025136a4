"""A run: everything that decides its numbers, and its identity."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bench.store.files import read_as

Precision = Literal["float32", "bfloat16"]

FROM_FILE = "entered"  # in the place of a preset: codes that come from a file

# Settings that models got after their first records. With these defaults a model does what it did
# before, and a run has the identity that it had without the setting.
LATER_SETTINGS: Mapping[str, Any] = {
    "warmup": 0,
    "deterministic": False,
    "lr_decay": 1.0,
    "lr_decay_steps": 50_000,
}


@dataclass(frozen=True)
class Run:
    """One training and what is scored of it.

    Attributes:
        model: name of the model; of codes that come from a file, the name of their row.
        settings: all arguments of the model's constructor except `image_shape`; of codes that
            come from a file, `source` says which file it is.
        changed: the settings that were asked for and differ from the preset's; they name the row
            of the table.
        dataset: name of the data set.
        data_settings: arguments of the data set's constructor, and what was left out of it.
        fingerprint: the exact pixels.
        image_shape: (C, H, W).
        preset: name of the preset.
        steps: training steps; 0 for a model that the suite does not train.
        batch_size: images per step.
        rows: number of images that are encoded and scored.
        seed: of all random streams of the run.
        code: digest of the file of a model that is not the suite's own, and of weights that are
            not.
        precision: of the layers during training.
        data_code: digest of the file of a data set that is not the suite's own.
        display_name: of the model in tables and pictures; empty for `model` itself.
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
    data_code: str | None = None
    display_name: str = ""

    @cached_property
    def identity(self) -> str:
        """sha256 of everything that changes a number, whatever the order it was given in."""
        parts = _plain({k: v for k, v in _values(self).items() if k not in _NAMES_ONLY})
        parts["settings"] = _as_before(parts["settings"])
        if self.precision == "float32":  # runs are named as they were before there was another
            del parts["precision"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def trained(self) -> bool:
        """Whether the suite trains it."""
        return self.steps > 0

    @property
    def from_file(self) -> bool:
        """Whether these are codes from a file instead of a model's."""
        return self.preset == FROM_FILE

    @property
    def data_name(self) -> str:
        """The data set's name and which factors are fixed."""
        fixed = ", ".join(self.data_settings.get("fix", ()))
        return f"{self.dataset} ({fixed})" if fixed else self.dataset

    @cached_property
    def label(self) -> str:
        """The row of the table that this run belongs to: the model and what was changed."""
        changes = ", ".join(f"{key}={_shown(value)}" for key, value in self.changed.items())
        return f"{self.shown_model} ({changes})" if changes else self.shown_model

    @property
    def shown_model(self) -> str:
        """What tables and pictures call the model."""
        return self.display_name or self.model

    @property
    def title(self) -> str:
        return f"{self.label}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the run's folder: readable, and unique by the identity."""
        changes = "".join(f"-{key}{_shown(value)}" for key, value in self.changed.items())
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.model}{changes}").strip("-.")[:80]
        return f"{readable or 'run'}-seed{self.seed}-{self.identity[:8]}"

    @cached_property
    def row(self) -> str:
        """All that runs of one row of a table have in common, as one text to compare."""
        parts = self.as_dict()
        parts["settings"] = _as_before(parts["settings"])
        return json.dumps({k: v for k, v in parts.items() if k not in _NOT_OF_A_ROW})

    def differs_from(self, other: "Run") -> "Difference | None":
        """What keeps two runs from being seeds of one row of a table; None if nothing does."""
        if self.row == other.row:
            return None
        mine, theirs = self.as_dict(), other.as_dict()
        for parts in (mine, theirs):
            parts["settings"] = _as_before(parts["settings"])
        for key in mine:
            if key in _NOT_OF_A_ROW or mine[key] == theirs.get(key, mine[key]):
                continue
            new, old = mine[key], theirs[key]
            if key == "settings":
                key = next(k for k in new | old if k not in new or k not in old or new[k] != old[k])
                new, old = (values.get(key, LATER_SETTINGS.get(key)) for values in (new, old))
            elif key == "code":
                return Difference(key, "other code" if self.trained else "other code or weights")
            elif key == "data_code":
                return Difference(key, f"other code of {self.dataset}")
            return Difference(key, f"{key} {old}, not {new}")
        return None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in settings.json."""
        plain: dict[str, Any] = _plain(_values(self))
        if self.data_code is None:  # as before there were any
            del plain["data_code"]
        if not self.display_name:  # likewise
            del plain["display_name"]
        return plain


@dataclass(frozen=True)
class Difference:
    """The first thing in which two runs differ.

    Attributes:
        key: the field or the setting.
        words: what the other run has, and what this one has instead.
    """

    key: str
    words: str


def read_run(path: Path) -> Run:
    """The run in a file that holds its `as_dict`.

    Raises:
        OSError, ValueError: as `read_as`.
    """
    run = read_as(path, Run)
    return replace(run, settings=_tuples(run.settings), changed=_tuples(run.changed))


# A preset is a name for settings that are all here; `data_settings` act through the fingerprint.
# Runs of a changed model file take the place of the old ones, when that is asked for.
_NAMES_ONLY = {"changed", "preset", "data_settings", "code", "data_code", "display_name"}

_NOT_OF_A_ROW = ("seed", "changed", "display_name")  # which the label already holds


_FIELDS = tuple(field.name for field in fields(Run))


def _values(run: Run) -> dict[str, Any]:
    """The fields by name. dataclasses.asdict would copy every value first, which takes longer."""
    return {name: getattr(run, name) for name in _FIELDS}


def _plain(values: dict[str, Any]) -> Any:
    """The values as they come back from JSON."""
    return json.loads(json.dumps(values, default=asdict))


def _as_before(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those of `LATER_SETTINGS` that have their default, of the same type.

    A plug-in's setting of the same name may mean something else, and have 0 for False.
    """
    return {
        key: value
        for key, value in settings.items()
        if key not in LATER_SETTINGS
        or type(value) is not type(LATER_SETTINGS[key])
        or value != LATER_SETTINGS[key]
    }


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "x".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
