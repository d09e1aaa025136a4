"""Who is at work in a study's folder, and on which of its runs.

Several processes may carry out one study at once. Each has a lock that says it is there, and one
for every run that it is at; the system frees all of them when the process ends, however it ends.
The locks are files in `.locks`, which the last process removes.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from bench.errors import RequestError
from bench.store.files import sweep_study
from bench.store.study import ELSEWHERE, unwritable

PATIENCE = 30.0  # seconds for which a process waits for another that starts, or scores a study

_LOCK, _LOCKS, _AT_WORK, _REPORT = ".lock", ".locks", "at-work-", "report"


class locked:
    """The study's folder for this process alone; the system frees it even after a kill.

    What killed writers have left in it is removed at the start.
    """

    def __init__(self, folder: Path, remedy: str = ELSEWHERE, patience: float = 0.0) -> None:
        self._folder = folder
        self._remedy = remedy
        self._lock = FileLock(folder / _LOCK, timeout=patience)

    def __enter__(self) -> None:
        _acquire(self._lock, self._folder, self._remedy)
        try:
            if others_at_work(self._folder):
                raise _busy(self._folder, self._remedy)
            sweep_study(self._folder)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Claims:
    """This process's part in a study's folder, which it shares with others that run its cells.

    As a context manager it is there from the start of the block to its end, and what it has
    claimed is free afterwards. What killed writers have left is removed at the start.
    """

    def __init__(self, folder: Path, *, sweep: bool = True) -> None:
        """A part in a study.

        Args:
            folder: of the study.
            sweep: whether to remove what killed writers have left, for which every run's folder is
                looked at: not for each of a thousand jobs.
        """
        self._folder = folder
        self._sweep = sweep
        self._locks = folder / _LOCKS
        self._presence: FileLock | None = None
        self._claimed: dict[str, FileLock] = {}

    def __enter__(self) -> Self:
        # two processes may have one number, on two machines or in two containers
        name = f"{_AT_WORK}{os.getpid()}-{os.urandom(4).hex()}"
        with self.alone():
            try:
                self._locks.mkdir(exist_ok=True)
                self._presence = FileLock(self._locks / name)
                self._presence.acquire()
            except OSError as error:
                raise unwritable(self._folder, error) from error
            if self._sweep:
                sweep_study(self._folder)
        return self

    def __exit__(self, *error: object) -> None:
        for run in list(self._claimed):
            self.release(run)
        if self._presence is not None:
            self._presence.release()
        with contextlib.suppress(RequestError), self.alone():
            if not others_at_work(self._folder):
                shutil.rmtree(self._locks, ignore_errors=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process starts or ends its work in the folder inside.

        Raises:
            RequestError: somebody has kept the folder for himself longer than `PATIENCE`.
        """
        lock = FileLock(self._folder / _LOCK, timeout=PATIENCE)
        _acquire(lock, self._folder, ELSEWHERE)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """No other process that runs cells writes the report inside: the last one has all runs.

        Raises:
            RequestError: the folder cannot be written.
        """
        lock = FileLock(self._locks / _REPORT)
        _acquire(lock, self._folder, ELSEWHERE)
        try:
            yield
        finally:
            lock.release()

    def others(self) -> int:
        """How many other processes are at work in the folder."""
        own = None if self._presence is None else Path(self._presence.lock_file).name
        return others_at_work(self._folder, besides=own)

    def claim(self, run: str) -> bool:
        """Claim a run by the name of its folder; False where another process is at it.

        Raises:
            RequestError: the folder cannot be written.
        """
        if run in self._claimed:
            return True
        lock = FileLock(self._locks / f"{run}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self._claimed[run] = lock
        return True

    def release(self, run: str) -> None:
        """Give a run free, if it was claimed. The file of its lock stays for others to use."""
        lock = self._claimed.pop(run, None)
        if lock is not None:
            lock.release()


def others_at_work(folder: Path, besides: str | None = None) -> int:
    """How many processes carry out runs in a study's folder. The marks of dead ones are removed."""
    found = 0
    for path in (folder / _LOCKS).glob(f"{_AT_WORK}*"):
        if path.name != besides:
            found += _is_held(path, remove=True)
    return found


def claimed(folder: Path, runs: Iterable[str]) -> set[str]:
    """Which of some runs a process is at now, by the names of their folders."""
    locks = {run: folder / _LOCKS / f"{run}.lock" for run in runs}
    return {run for run, path in locks.items() if path.exists() and _is_held(path, unknown=True)}


def _is_held(path: Path, *, unknown: bool = False, remove: bool = False) -> bool:
    """Whether a process has a lock; the file of one that nobody has may be removed.

    In a folder that may only be read it is `unknown`.
    """
    lock = FileLock(path, timeout=0)
    try:
        with lock:
            if remove:
                path.unlink(missing_ok=True)
    except Timeout:
        return True
    except OSError:
        return unknown
    return False


def _acquire(lock: FileLock, folder: Path, remedy: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _busy(folder, remedy) from None
    except OSError as error:
        raise unwritable(folder, error, remedy) from error


def _busy(folder: Path, remedy: str) -> RequestError:
    return RequestError(f"{folder}: another bench is at work there; wait for it, or {remedy}")
