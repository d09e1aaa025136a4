"""What the measurements share: a process of its own on given cores, and the machine's name."""

import json
import os
import platform
import subprocess
import sys
from typing import Any


def in_process(script: str, arguments: list[str], cores: set[int]) -> dict[str, Any]:
    """The JSON that `script --one ...` prints last, in a process that has only these cores.

    Its libraries are set as those of a run.
    """
    from bench.executors.processes import environment_of_a_worker

    made = subprocess.run(
        [sys.executable, script, "--one", *arguments],
        env={**os.environ, **environment_of_a_worker(len(cores))},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise SystemExit(made.stderr)
    measured: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return measured


class Beside:
    """A process that waits its turn: `script --one ...` with the machine's own settings of memory.

    It prints a number of seconds for each line that it is sent.
    """

    def __init__(self, script: str, arguments: list[str]) -> None:
        from bench.executors.processes import KEEP_MEMORY

        given = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY}
        self._process = subprocess.Popen(
            [sys.executable, script, "--one", *arguments],
            env=given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


def machine() -> str:
    """Processor, Python and numpy in one line."""
    import numpy as np

    try:
        with open("/proc/cpuinfo") as file:
            found = [line for line in file if line.startswith("model name")]
        name = found[0].partition(":")[2].strip()
    except (OSError, IndexError):
        name = platform.machine()
    return f"{name}, Python {platform.python_version()}, numpy {np.__version__}"
