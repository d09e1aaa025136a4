"""A YAML file -> the requests of a study. Every line is checked, and errors name it."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import RequestError, UnknownNameError
from bench.plan import Request, display_name
from bench.presets import PRESETS
from bench.registry import names
from bench.settings import owner_of, parse_seeds
from bench.studyfile.definition import StudyDefinition, folder_name
from bench.studyfile.document import Node, read_document
from bench.studyfile.shipped import SHIPPED

_RULES = ("fix", "correlate", "hold_out", "split", "factors")
_KEYS = (
    *("about", "models", "dataset", "datasets", "preset", "seeds", "steps", "metrics"),
    *("set", "sweep", *_RULES, "output"),
)
_KEYS_OF_A_MODEL = ("model", "set", "sweep")
_KEYS_OF_DATA = ("set", "steps", *_RULES)

# How a study is carried out is no part of it: the machine is another one tomorrow.
_OPTIONS = (
    *("address", "checkpoint_seconds", "data_dir", "device", "dry_run", "executor", "fail_fast"),
    *("force", "jobs", "only", "retry", "score_every", "shard", "threads", "timeout"),
)


def read_study_file(path: Path) -> StudyDefinition:
    """The study that a file defines.

    Raises:
        RequestError: something in it is unknown or wrong; the message names the line.
    """
    return _Reader(path).definition()


class _Reader:
    """Reads one file; everything that it takes is remembered with its line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.parent
        self._shipped = path.parent == SHIPPED
        self._lines: dict[str, int] = {}

    def definition(self) -> StudyDefinition:
        top = read_document(self._path)
        for name, (key, _) in top.entries("a study").items():
            plain = name.lstrip("-").replace("-", "_")
            if plain in _OPTIONS:
                raise key.wrong(
                    f"{name} is no part of a study, which says what is run and not how: give it "
                    f"to bench run as --{plain.replace('_', '-')}"
                )
        keys = top.known_entries("a study", _KEYS)
        if "dataset" in keys and "datasets" in keys:
            line = keys["datasets"]
            raise line.wrong("dataset and datasets are both given: leave out one")
        models = self._models(keys, top)
        several = self._datasets(keys, top)
        shared: dict[str, Any] = {**models, **self._rules(keys)}
        sets = [*models["sets"], *self._assignments(keys, "set", "")]
        shared["sweeps"] = [*models["sweeps"], *self._assignments(keys, "sweep", "")]
        if "preset" in keys:
            shared["preset"] = keys["preset"].text("preset")
            with keys["preset"].line_of_errors():
                if shared["preset"] not in PRESETS:
                    raise UnknownNameError("preset", shared["preset"], PRESETS)
        if "seeds" in keys:
            shared["seeds"] = ",".join(keys["seeds"].texts("seeds"))
            with keys["seeds"].line_of_errors():
                parse_seeds(shared["seeds"])
        if "metrics" in keys:
            shared["metrics"] = ",".join(self._named(keys["metrics"], "metrics"))
        about = " ".join(keys["about"].text("about").split()) if "about" in keys else ""
        output = self._output(keys)
        requests = []
        for name, own in several.items():
            folder = output / folder_name(name) if len(several) > 1 else output
            others = set(several) - {name}
            kept = [text for text in sets if owner_of(text) not in others]
            request: dict[str, Any] = {**shared, **own}
            request["sets"] = [*kept, *own.get("sets", ())]
            requests.append(Request(dataset=name, output=folder, **{"models": "", **request}))
        folders = [request.output for request in requests]
        if len(set(folders)) < len(folders):
            raise top.wrong("two of the data sets have the same name for a folder: rename one")
        return StudyDefinition(
            self._path.stem, about, tuple(requests), str(self._path), self._lines
        )

    def _models(self, keys: Mapping[str, Node], top: Node) -> dict[str, Any]:
        if "models" not in keys:
            raise top.wrong("models are missing: write models: and their names below")
        node = keys["models"]
        if not node.is_mapping:
            return {"models": ",".join(self._named(node, "models")), "sets": [], "sweeps": []}
        models, sets, sweeps = [], [], []
        for text, (key, value) in node.entries("models").items():
            own = {}
            if not value.is_nothing:
                own = value.known_entries(f"the model {text}", _KEYS_OF_A_MODEL)
            with key.line_of_errors():
                name = text if "model" in own else self._own(text)
                if "," in name or "=" in name:
                    raise RequestError(f"{text}: the name of one model belongs here")
            self._lines.setdefault(name, key.line)
            entry = name
            if "model" in own:
                with own["model"].line_of_errors():
                    address = self._own(own["model"].text("model"))
                self._lines.setdefault(address, own["model"].line)
                entry = f"{name}={address}"
            models.append(entry)
            if own:
                sets += self._assignments(own, "set", name)
                sweeps += self._assignments(own, "sweep", name)
        if not models:
            raise node.wrong("models is empty: name some")
        return {"models": ",".join(models), "sets": sets, "sweeps": sweeps}

    def _datasets(self, keys: Mapping[str, Node], top: Node) -> dict[str, dict[str, Any]]:
        node = keys.get("datasets", keys.get("dataset"))
        if node is None:
            raise top.wrong("the data set is missing: write dataset: and its name")
        if not node.is_mapping:
            named = self._named(node, "datasets")
            for name in named:
                if named.count(name) > 1:
                    raise node.wrong(f"{name} is named twice: leave out one")
            return {name: {} for name in named}
        found: dict[str, dict[str, Any]] = {}
        for text, (key, value) in node.entries("datasets").items():
            with key.line_of_errors():
                name = self._own(text, data=True)
            self._lines.setdefault(name, key.line)
            own = {}
            if not value.is_nothing:
                own = value.known_entries(f"the data set {text}", _KEYS_OF_DATA)
            found[name] = self._rules(own)
            found[name]["sets"] = self._assignments(own, "set", name)
        if not found:
            raise node.wrong("datasets is empty: name some")
        return found

    def _rules(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        """What the whole study, or one of its data sets, may say of the data and the steps."""
        found: dict[str, Any] = {}
        for name in {"fix", "correlate", "hold_out"} & keys.keys():
            found[name] = keys[name].texts(name)
        if "split" in keys:
            found["split"] = keys["split"].text("split")
        if "factors" in keys:
            found["factors"] = ",".join(keys["factors"].texts("factors"))
        if "steps" in keys:
            text = keys["steps"].text("steps")
            if not re.fullmatch(r"[1-9][0-9_]{0,11}", text):
                raise keys["steps"].wrong(
                    f"steps is {text[:40]!r}: give a whole number, at least 1"
                )
            found["steps"] = int(text)
        return found

    def _named(self, node: Node, what: str) -> list[str]:
        """Names, in a list or comma-separated."""
        texts = node.texts(what)
        if node.is_list and not texts:
            raise node.wrong(f"{what} is empty: name some")
        found = []
        for part, line in _parts(node, texts):
            called, address = display_name(part) if what == "models" else ("", part)
            with line.line_of_errors():
                name = self._own(address, data=what == "datasets") if what != "metrics" else part
            for known in (name, called):
                self._lines.setdefault(known, line.line)
            found.append(f"{called}={name}" if called else name)
        return found

    def _assignments(self, keys: Mapping[str, Node], what: str, owner: str) -> list[str]:
        """`OWNER.KEY=VALUE` texts of a mapping `set` or `sweep`."""
        if what not in keys:
            return []
        texts = []
        for name, (key, value) in keys[what].entries(what).items():
            with key.line_of_errors():
                if "=" in name:
                    raise RequestError(f"{name!r} is no setting: write KEY: VALUE")
                own, dot, setting = name.rpartition(".")
                if owner and dot:
                    raise RequestError(
                        f"{name!r} has an owner, and stands in {owner}: leave out one"
                    )
                own = owner or (self._own(own) if own else "")
            pair = [part.strip() for part in setting.split(",")]
            if what == "set":
                text = value.setting(name)
            else:
                text = value.points(name, len(pair))
            path = f"{own}.{','.join(pair)}" if own else ",".join(pair)
            for part in pair:
                self._lines.setdefault(f"{own}.{part}", key.line)
            for known in (path, setting, own):
                self._lines.setdefault(known, key.line)
            texts.append(f"{path}={text}")
        return texts

    def _own(self, text: str, *, data: bool = False) -> str:
        """A name as it is; the path of somebody's own file as it is from the folder at hand.

        Raises:
            RequestError: the path leaves the folder of the study's file.
        """
        place, _, attribute = text.rpartition(":")
        if place.endswith(".py"):
            return f"{self._inside(place)}:{attribute}"
        is_folder = data and text not in names("dataset") and (self._folder / text).is_dir()
        is_path = text.endswith((".npz", ".py")) or "/" in text or "\\" in text or is_folder
        return self._inside(text) if is_path else text

    def _inside(self, text: str) -> str:
        if self._shipped:
            raise RequestError(f"{text}: a shipped study has no files of its own")
        if _leaves(text):
            raise RequestError(
                f"{text} is outside of the folder of the study: own files stand beside it or in "
                "folders there"
            )
        if self._folder.resolve() == Path.cwd():
            return text
        return os.path.normpath(self._folder / text)

    def _output(self, keys: Mapping[str, Node]) -> Path:
        if "output" not in keys:
            return Path("results") / folder_name(self._path.stem)
        text = keys["output"].text("output")
        if _leaves(text) or text.startswith("~"):
            raise keys["output"].wrong(
                f"output is {text!r}: name a folder below the one that bench run is called in; "
                "another one is named by --output"
            )
        return Path(text)


def _parts(node: Node, texts: Sequence[str]) -> Iterator[tuple[str, Node]]:
    """Each name of a list or of comma-separated texts, with its line."""
    lines = node.items() if node.is_list else [node]
    for text, line in zip(texts, lines, strict=True):
        for part in text.split(","):
            if part.strip():
                yield part.strip(), line


def _leaves(text: str) -> bool:
    """Whether a path may lead out of the folder that it starts in."""
    parts = re.split(r"[/\\]", text)
    return os.path.isabs(text) or ".." in parts or bool(re.match(r"[/\\]|[A-Za-z]:", text))
