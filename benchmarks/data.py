"""Speed and memory of every data set: python benchmarks/data.py [--image-size 32] [DATASET...]

Each data set is opened in fresh processes on one core. `first use` is the time of the constructor,
which prepares large files unless the cache has them already; `opened` is its time in a second
process. Then batches of 64 random rows are read: the first one, which may draw or load what later
ones use, and as many as fit into some seconds, of which the mean is shown. `resident` is all memory
of the process at the end; `private` is the part that is not a mapped file, which the system could
drop. Sets whose files are absent are listed with the reason.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from alone import in_process, machine

BATCH = 64


def memory() -> dict[str, float]:
    """Resident and private MB of this process. Linux only; elsewhere NaN."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return {"resident": float("nan"), "private": float("nan")}
    kilobytes = dict(re.findall(r"(\w+):\s+(\d+) kB", status))
    return {
        "resident": int(kilobytes["VmRSS"]) / 1024,
        "private": int(kilobytes["RssAnon"]) / 1024,
    }


def measure(name: str, options: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The table's numbers for one data set; without seconds, only the time of its constructor."""
    from bench.datasets import DATASETS

    if name == "nothing":
        return memory()
    started = time.perf_counter()
    try:
        data = DATASETS[name](**options)
    except (ValueError, TypeError) as error:
        return {"absent": str(error)}
    opened = time.perf_counter() - started
    if not seconds:
        return {"opened": opened}
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    data.images(data.draw(rng, BATCH))
    first = time.perf_counter() - started
    # What is loaded lazily is loaded before the clock starts.
    for _ in range(20):
        data.images(data.draw(rng, BATCH))
    batches, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        data.images(data.draw(rng, BATCH))
        batches += 1
    shape = "x".join(map(str, data.image_shape))
    seconds_spent = {"opened": opened, "first": first, "batch": passed / batches}
    return {"rows": len(data), "shape": shape, **seconds_spent, **memory()}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], json.loads(sys.argv[3]), float(sys.argv[4]))))
        return
    from bench.datasets import DATASETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="*", help="data sets by name (default: all)")
    parser.add_argument("--image-size", type=int, help="pixels per side (default: that of the set)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of batches per data set")
    arguments = parser.parse_args()
    names = arguments.datasets or list(DATASETS)
    if unknown := [name for name in names if name not in DATASETS]:
        parser.error(f"no data set {', '.join(unknown)}: choose from {', '.join(DATASETS)}")
    options = {"image_size": arguments.image_size} if arguments.image_size else {}
    core = {min(os.sched_getaffinity(0))}
    empty = in_process(__file__, ["nothing", "{}", "0"], core)
    print(machine())
    print(f"A process without data: {empty['resident']:.0f} MB, {empty['private']:.0f} private\n")
    print(
        "| data set | rows | image | first use s | opened s | first batch s | images/s "
        "| ms per batch of 64 | resident MB | private MB |"
    )
    print("|" + " --- |" * 10)
    absent = []
    for name in names:
        first_use = in_process(__file__, [name, json.dumps(options), "0"], core)
        if "absent" in first_use:
            absent.append(first_use["absent"])
            continue
        result = in_process(__file__, [name, json.dumps(options), str(arguments.seconds)], core)
        print(
            f"| {name} | {result['rows']:,} | {result['shape']} | {first_use['opened']:.2f} "
            f"| {result['opened']:.2f} | {result['first']:.3f} | {BATCH / result['batch']:,.0f} "
            f"| {1000 * result['batch']:.2f} | {result['resident']:.0f} "
            f"| {result['private']:.0f} |",
            flush=True,
        )
    if absent:
        print("\nNot measured:")
        for reason in absent:
            print(f"- {reason}")


if __name__ == "__main__":
    main()
