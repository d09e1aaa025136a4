"""The folder of a run as bytes, for machines that do not share a file system."""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from bench.store.files import replacing
from bench.store.record import EVALUATION, STATUS

_LAST = (EVALUATION, STATUS)  # in this order: each says that what comes before it is there


def pack(folder: Path) -> dict[str, bytes]:
    """The content of every file of a folder by its path in it; empty where there is no folder.

    Hidden files, which are locks and what is being written, are left out. Raises OSError.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    relative = {path.relative_to(folder): path for path in paths}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in relative.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def unpack(folder: Path, files: Mapping[str, bytes], known: Collection[str] = ()) -> None:
    """Write what `pack` gave into a folder, whole file by whole file.

    Args:
        folder: where to; made if it is not there.
        files: contents by path.
        known: paths that were sent out to be worked on: those that did not come back are removed.

    Raises:
        OSError: a file cannot be written.
        ValueError: a path leads out of the folder.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} is no path inside a run's folder")
    ordered = [name for name in files if name not in _LAST]
    for name in (*ordered, *(name for name in _LAST if name in files)):
        with replacing(folder / name) as file:
            file.write(files[name])
    for name in known:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
