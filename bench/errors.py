"""The one error that is the user's to mend, and its kinds that code tells apart."""

import difflib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


class RequestError(Exception):
    """A request that cannot be carried out: one line that names the thing and the remedy.

    Raised by every module of the suite for wrong input; the command line prints it and ends with
    exit code 2. Docstrings mention it only where the condition is not obvious.
    """


class UnknownNameError(RequestError):
    """A name that means nothing.

    Attributes:
        what: the kind of thing that was looked up, such as `model` or `preset`.
        name: the name as it was given.
        owner: what the name would belong to, such as a model that has no such setting.
        near: the names that come closest, best first.
    """

    def __init__(self, what: str, name: str, choices: Iterable[str], owner: str = "") -> None:
        choices = list(choices)
        self.what, self.name, self.owner = what, name, owner
        self.near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
        hint = f"choose from {', '.join(choices)}" if choices else "there are none"
        if self.near:
            hint = f"did you mean {' or '.join(self.near)}?"
        super().__init__(f"unknown {what} {name!r}: {hint}")


class SettingError(RequestError):
    """A value that a setting does not take.

    Attributes:
        owner: the model, data set or metric that has the setting.
        key: of the setting.
    """

    def __init__(self, owner: str, key: str, message: str) -> None:
        self.owner, self.key = owner, key
        super().__init__(message)


class MissingDataError(RequestError):
    """A data set whose files are not on this machine."""


def check_package() -> None:
    """Make sure that `bench` is this package and no other's.

    PyPI's frappe-bench has the same import name and the same command. Installed later, it replaces
    our `bench/__init__.py`; uninstalled, it takes that file along.

    Raises:
        RequestError: `bench/__init__.py` is missing, is elsewhere, or is not ours; or the leaves
            are not found, as in a ZIP of the repository that is not installed.
    """
    package = sys.modules["bench"]
    file = getattr(package, "__file__", None)
    ours = Path(__file__).resolve().parent
    same = file is not None and Path(file).resolve().parent == ours
    if same and hasattr(package, "__version__"):
        if find_spec("bench.models") is None:  # a text file where Git and ZIP files have a link
            raise RequestError(
                f"{ours.parent} is a copy of the repository without its links: install it, by "
                "`pip install --editable .` there"
            )
        return
    state = f"{file} belongs to another package" if file else f"{ours / '__init__.py'} is missing"
    raise RequestError(
        f"{state}, probably frappe-bench, which has the same import name: install "
        "disentanglement-bench into an environment of its own, or run `pip uninstall frappe-bench` "
        "and then `pip install --force-reinstall --no-deps disentanglement-bench`"
    )


def with_name(name: str, reason: str) -> str:
    """A reason with the name that it is about in front, unless it begins with it."""
    return reason if reason.startswith(f"{name} ") else f"{name}: {reason}"
