"""What is written to disk, and how: whole files or nothing.

Only this module writes results. A file is written beside its place, synced and renamed, and then
its folder is synced, so that a kill, a full disk or a machine without power leaves the old file or
none, and files become permanent in the order in which they were written. While it is written it is
locked, so that what a killed writer left can be told from what a living one writes.
"""

import contextlib
import csv
import gc
import io
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection inside: it would look again and again at all that is being read."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends without an error.

    Args:
        path: of the file.
        keep: where the old file goes. A kill between the two renames leaves it there and no `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if _syncs():
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # mkstemp's files are their owner's alone
        if keep is not None and path.exists():
            _put(path, keep)
        _put(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def copy_folder(
    source: Path, target: Path, unfinished: Path, leave_out: Sequence[str] = ()
) -> None:
    """Copy a folder in the place of another, all or nothing, without files that are being written.

    Args:
        source: the folder.
        target: its copy. A kill at the wrong moment leaves none.
        unfinished: where the copy is made, on the disk of the target.
        leave_out: names of files that stay behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns(".*.tmp", *leave_out))
    if _syncs():
        for path in unfinished.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        _sync_folder(unfinished)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    _sync_folder(target.parent)


def _syncs() -> bool:
    """Whether what is written has to survive a machine without power, too: tests need not."""
    return os.environ.get("BENCH_FSYNC") != "0"


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder permanent, where the system can."""
    if os.name == "nt" or not _syncs():
        return
    with contextlib.suppress(OSError):  # some network folders cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put(temporary: Path, path: Path) -> None:
    """Rename a file to another that exists, which Windows refuses while somebody reads that."""
    for delay in _DELAYS:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            time.sleep(delay)
    temporary.replace(path)


def sweep(folder: Path) -> None:
    """Remove what killed writers have left in a folder; what a living one writes stays."""
    for leftover in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError), _dead(leftover):
            leftover.unlink()


def sweep_study(folder: Path) -> None:
    """`sweep` every folder of a study that the store writes to."""
    runs = [path for path in folder.glob("runs/*") if path.is_dir()]
    for place in (folder, folder / "plots", *runs, *(run / "export" for run in runs)):
        sweep(place)


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, open and locked, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with contextlib.suppress(OSError):  # a file system without locks
            _lock(handle)
        if os.fstat(handle).st_nlink:  # else a sweeper came between the two calls
            return handle, Path(name)
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write plain values and numpy numbers or arrays as JSON; NaN and infinity raise."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, default=plain, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no JSON, NaN or infinity, or is nested deeper than Python can read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def read_as(
    path: Path, kind: type[T], completed: Callable[[Any], Any] = lambda values: values
) -> T:
    """A JSON file, validated as a dataclass or any other type that pydantic knows.

    Args:
        path: of the file.
        kind: what it must hold.
        completed: applied to the plain values of a file that does not hold `kind` as it is, as
            those of older versions.

    Raises:
        ValueError: the file holds something else; one line says what and where.
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    if b"NaN" not in data and b"Infinity" not in data:  # which the parser below would take
        with contextlib.suppress(ValidationError):
            return cast(T, _adapter(kind).validate_json(data))
    try:  # slower, and says in Python's words what is wrong
        value: T = _adapter(kind).validate_python(completed(read_json(path)))
    except ValidationError as error:  # its own words would fill several lines
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ValueError(f"{place}: {problem['msg']}".removeprefix(": ")) from error
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return value


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file. Raises ValueError if it is damaged."""
    try:
        # opened here, as numpy leaves a damaged file open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint as torch does, and keep the one before it as `predecessor(path)`.

    The file is a zip archive, in which torch gives every entry its checksum (CRC-32).
    """
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    with replacing(path, keep=predecessor(path)) as file:
        file.write(buffer.getbuffer())


def read_checkpoint(path: Path, device: "torch.device") -> dict[str, Any]:
    """What a checkpoint holds, with its tensors on a device.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged; the message says how.
    """
    import torch

    data = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(data) as archive:  # torch itself compares no checksum
            damaged = archive.testzip()
        data.seek(0)
        held = None if damaged else torch.load(data, map_location=device, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a damaged archive makes both raise whatever they do
        raise ValueError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error
    if not isinstance(held, dict):
        raise ValueError(f"checksum of {damaged} is wrong" if damaged else "it holds no checkpoint")
    return held


def predecessor(path: Path) -> Path:
    """Where the checkpoint before that of `path` is kept."""
    return path.with_suffix(f".previous{path.suffix}")


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing reads it again; where it is now."""
    damaged = path.with_suffix(f".damaged{path.suffix}")
    return path.replace(damaged)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; where a row lacks a key of another, its cell is empty."""
    keys = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_numbers(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV file of numbers, each without its empty cells; none where there is no file.

    Raises:
        ValueError: a cell holds no number.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def write_weights(path: Path, state: Mapping[str, "torch.Tensor"]) -> None:
    """Write a model's tensors as safetensors, in the plain layout."""
    from safetensors.torch import save

    data = save({name: tensor.cpu().contiguous() for name, tensor in state.items()})
    with replacing(path) as file:
        file.write(data)


def read_weights(path: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a file of `write_weights`, by name."""
    from safetensors.torch import load_file

    return load_file(path)


def plain(value: Any) -> Any:
    """A numpy number or array as JSON takes it; the `default` of json.dumps."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a record")


if sys.platform == "win32":  # where a file that somebody has open cannot be removed anyway

    def _lock(handle: int) -> None:
        pass

    def _dead(path: Path) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

else:
    import fcntl

    def _lock(handle: int) -> None:
        """Lock an open file; the system frees it when the process ends, however it ends."""
        fcntl.flock(handle, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _dead(path: Path) -> Iterator[None]:
        """A file that nobody has locked, locked inside the block. Raises OSError elsewhere."""
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)

_DELAYS = (0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()  # seconds

_UMASK = os.umask(0)
os.umask(_UMASK)
