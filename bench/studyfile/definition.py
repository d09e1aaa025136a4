"""What a study is: a request for each of its data sets, and where each was written down."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bench.errors import MissingDataError, RequestError, SettingError, UnknownNameError
from bench.plan import Plan, Request, plan, runs_without_data
from bench.store.run import Run

T = TypeVar("T")


@dataclass(frozen=True)
class Blocked:
    """A part of a study that cannot be planned on this machine, as files of its data are missing.

    Attributes:
        request: what is asked for.
        reason: what is missing, and where to get it.
        runs: what would be run; without the data their identities mean nothing.
    """

    request: Request
    reason: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class StudyDefinition:
    """A study: a request for each of its data sets.

    Attributes:
        name: the file's, without its ending; empty for a study of the command line.
        about: what it is for.
        requests: in the order in which they are carried out, each with a folder of its own.
        file: that defines it, in words; empty for a study of the command line.
        lines: of the file, by what stands there: a name, or `OWNER.KEY`.
    """

    name: str
    about: str
    requests: tuple[Request, ...]
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    def plans(self) -> list[Plan]:
        """A plan for each request. Writes nothing.

        Raises:
            MissingDataError: a data set's files are not there.
            RequestError: as `plan`; with the line of the file, where the error has one.
        """
        return [self._planned(request, plan) for request in self.requests]

    def plans_of_what_is_here(self) -> list[Plan | Blocked]:
        """As `plans`, but data sets whose files are missing block only themselves."""
        found: list[Plan | Blocked] = []
        for request in self.requests:
            try:
                found.append(self._planned(request, plan))
            except MissingDataError as error:
                runs = self._planned(request, runs_without_data)
                found.append(Blocked(request, str(error), runs))
        return found

    def _planned(self, request: Request, by: Callable[[Request], T]) -> T:
        try:
            return by(request)
        except MissingDataError:
            raise
        except (SettingError, UnknownNameError) as error:
            key = error.key if isinstance(error, SettingError) else error.name
            names = (f"{error.owner}.{key}", key)
            line = next((self.lines[name] for name in names if name in self.lines), None)
            if line is None:  # the command line's
                raise
            raise RequestError(f"{self.file}, line {line}: {error}") from error


def folder_name(name: str) -> str:
    """A name as the name of a folder, as a shell takes it without quotes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "study"
