"""Which engine carries the runs out, and what each run needs of it: --executor and its options."""

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from bench.errors import RequestError, UnknownNameError

LOCAL, RAY, SLURM = EXECUTORS = ("local", "ray", "slurm")

PACKAGES = {RAY: "ray", SLURM: "submitit"}  # what they need, which an extra of ours installs

_MEMORY = {"": 1 << 20, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS = {"": 60, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 366 * 86400.0  # seconds

_GENERAL = ("cpus", "memory", "gpus")
# of sbatch, set by us
_TAKEN = ("job-name", "comment", "output", "error", "open-mode", "array", "signal", "wrap")


@dataclass(frozen=True)
class Cluster:
    """An engine, and what each run needs of it.

    Attributes:
        executor: one of `EXECUTORS`.
        address: of a Ray cluster's head, `HOST:PORT` or `auto`; None to start one.
        threads: of each run.
        cpus: that each run gets.
        memory: of each run, in bytes; None for whatever there is.
        gpus: of each run; a part of one where the engine can share it.
        seconds: that a job of SLURM may take; its run goes on in the next one.
        test: whether SLURM's jobs are processes of this machine, to try that all is in place.
        sbatch: further options of SLURM's, by name without dashes.
    """

    executor: str = LOCAL
    address: str | None = None
    threads: int = 1
    cpus: int = 1
    memory: int | None = None
    gpus: float = 0.0
    seconds: float = 4 * 3600.0
    test: bool = False
    sbatch: Mapping[str, str] = field(default_factory=dict)

    @property
    def side_by_side(self) -> int | None:
        """How many runs an engine is given at a time by default; None for the local executor."""
        return {RAY: 1000, SLURM: 100}.get(self.executor)

    def device(self, asked: str) -> str:
        """The device of the runs; of an engine's it is not this machine's to know.

        Args:
            asked: a device of torch's; `auto` is a GPU where runs need one.

        Raises:
            RequestError: there is no such device here; or of an engine's: it names a single GPU, or
                runs need GPUs and shall not use them.
        """
        if self.executor == LOCAL:
            return choose_device(asked)
        if asked == "auto":
            return "cuda" if self.gpus else "cpu"
        if asked not in ("cpu", "cuda"):
            raise RequestError(
                f"--device {asked}: with --executor {self.executor} the cluster chooses it; "
                "give cpu, cuda or auto"
            )
        if (asked == "cuda") != bool(self.gpus):
            needs = "a GPU: add --executor-option gpus=1" if asked == "cuda" else "no gpus"
            raise RequestError(f"--device {asked}: a run on it needs {needs}")
        return asked


def choose_device(name: str) -> str:
    """The device of a name; `auto` is the first of cuda, mps, cpu that there is.

    Raises:
        RequestError: there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(name))
    except Exception as error:  # torch raises many kinds for a device that is not there
        reason = str(error).splitlines()[0]
        raise RequestError(f"--device {name}: not available ({reason})") from None
    return name


def cluster(
    executor: str, address: str | None = None, options: Sequence[str] = (), threads: int = 1
) -> Cluster:
    """What --executor, --address and --executor-option ask for. Starts and imports nothing.

    Args:
        executor: its name.
        address: of a Ray cluster.
        options: each `KEY=VALUE`.
        threads: of each run, which needs as many cores unless the options say otherwise.

    Raises:
        RequestError: one is wrong, does not go with the executor, or what it needs is missing.
    """
    if executor not in EXECUTORS:
        raise UnknownNameError("executor", executor, EXECUTORS)
    if executor == LOCAL:
        for option, value in (("--address", address), ("--executor-option", options)):
            if value:
                raise RequestError(f"{option} goes with --executor ray or slurm, not with local")
        return Cluster()
    if find_spec(PACKAGES[executor]) is None:
        raise RequestError(
            f"--executor {executor} needs the package {PACKAGES[executor]}: "
            f"pip install 'disentanglement-bench[{executor}]'"
        )
    if address is not None and executor != RAY:
        raise RequestError(f"--address goes with --executor ray, not with {executor}")
    if address is not None and not re.fullmatch(
        r"auto|[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address
    ):
        raise RequestError(
            f"--address {address[:60]!r}: give HOST:PORT of the cluster's head node, or auto for "
            "the cluster that this machine belongs to"
        )
    values = _pairs(options)
    cpus = _number("cpus", values.pop("cpus", str(threads)))
    gpus = _number("gpus", values.pop("gpus", "0"))
    memory = values.pop("memory", None)
    if cpus < 1 or cpus != int(cpus):
        raise _wrong("cpus", f"{cpus:g}", "a whole number, at least 1")
    if gpus != int(gpus) and (gpus > 1 or executor == SLURM):
        many = "SLURM gives whole GPUs" if executor == SLURM else "a part of one, or whole ones"
        raise _wrong("gpus", f"{gpus:g}", many)
    request = Cluster(
        executor, address, threads, int(cpus), None if memory is None else _bytes(memory), gpus
    )
    if executor == RAY:
        if values:
            raise UnknownNameError("--executor-option", next(iter(values)), _GENERAL)
        return request
    test = values.pop("cluster", "slurm")
    if test not in ("slurm", "local"):
        raise _wrong("cluster", test, "slurm, or local for processes of this machine")
    if test == "slurm" and shutil.which("sbatch") is None:
        raise RequestError(
            "--executor slurm: there is no sbatch here; give the command on a login node of the "
            "cluster"
        )
    seconds = _time(values.pop("time", "4h"))
    for key in values:
        if key in _TAKEN:
            raise RequestError(f"--executor-option {key}: the suite sets it itself; leave it out")
    return Cluster(
        **{**vars(request), "seconds": seconds, "test": test == "local", "sbatch": values}
    )


def _pairs(options: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        key = key.strip().lstrip("-").replace("_", "-")
        if not equals or not re.fullmatch(r"[a-z][a-z-]*", key) or not value.strip():
            raise RequestError(
                f"--executor-option {option[:60]!r}: give KEY=VALUE, as in memory=4GB"
            )
        if key in values:
            raise RequestError(f"--executor-option {key} is there twice")
        if not value.isprintable():
            raise _wrong(key, value, "one line of text")
        values[key] = value.strip()
    return values


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 10_000:
        raise _wrong(key, text, "a number")
    return value


def _bytes(text: str) -> int:
    """`4GB`, `4G`, `512MB` or a number of megabytes, in powers of 1,024 as SLURM counts."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([kmgt]?)(?:i?b)?", text.lower())
    size = float(match[1]) * _MEMORY[match[2]] if match else 0.0
    if not 1 << 20 <= size <= 1 << 50:
        raise _wrong("memory", text, "a size such as 4GB or 512MB")
    return int(size)


def _time(text: str) -> float:
    """Seconds of `30m`, `4h`, `2d`, or a number of minutes as SLURM counts."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([mhd]?)", text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST:
        raise _wrong("time", text, "the time limit of a job, as in 30m, 4h or 2d")
    return seconds


def _wrong(key: str, value: str, remedy: str) -> RequestError:
    return RequestError(f"--executor-option {key}={value[:60]}: give {remedy}")
