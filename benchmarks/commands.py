"""Seconds of commands from the shell, and of tables and plots: python benchmarks/commands.py

Each command is run several times on one core; the least of its times is printed, with what the
interpreter alone takes.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alone import machine

ROOT = Path(__file__).resolve().parents[1]
TIMES = 5


def seconds(*arguments: str, cwd: Path = ROOT, times: int = TIMES) -> float:
    core = {min(os.sched_getaffinity(0))}
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            check=True,
            capture_output=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        taken.append(time.perf_counter() - started)
    return min(taken)


def import_seconds() -> float:
    """Of `import bench` alone, by the interpreter's own clock."""
    code = "import time; t = time.perf_counter(); import bench; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True) for _ in range(TIMES)]
    return min(float(run.stdout) for run in runs)


def first_step(folder: Path) -> float:
    """Seconds from the command to the first training step of a run on dSprites."""
    started = time.perf_counter()
    command = [
        "-m",
        "bench",
        "run",
        "--models",
        "jointvae",
        "--dataset",
        "dsprites",
        "--seeds",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, *command, "--output", "first"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "training" in line:
            break
    taken = time.perf_counter() - started
    process.terminate()
    process.stderr.read()
    process.wait()
    return taken


def main() -> None:
    print(machine())
    print("\n| command | s |\n| --- | --- |")
    print(f"| (the interpreter alone) | {seconds('-c', 'pass'):.2f} |")
    print(f"| (import bench, in a running interpreter) | {import_seconds():.4f} |")
    for command in ("--help", "run --help", "list models", "list metrics", "list datasets"):
        print(f"| bench {command} | {seconds('-m', 'bench', *command.split()):.2f} |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        import numpy as np

        rng = np.random.default_rng(0)
        factors = rng.integers([3, 6, 40], size=(10_000, 3))
        np.savez(
            folder / "codes.npz", codes=factors + rng.normal(size=(10_000, 3)), factors=factors
        )
        evaluated = seconds("-m", "bench", "evaluate", "codes.npz", cwd=folder, times=2)
        print(f"| bench evaluate codes.npz, 10,000 rows, the quick metrics | {evaluated:.1f} |")
        print(f"| bench run, to the first training step | {first_step(folder):.1f} |", flush=True)
        study = "-m bench run --dataset dsprites --preset smoke --output study --models".split()
        seconds(*study, "betavae,jointvae", cwd=folder, times=1)
        drawn = seconds("-m", "bench", "report", "study", cwd=folder, times=2)
        print(f"| bench report, tables and all plots of 6 runs | {drawn:.1f} |")


if __name__ == "__main__":
    main()
