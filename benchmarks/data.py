"""Speed and memory of every data set: python benchmarks/data.py [--image-size 32] [DATASET...]

Each is opened in fresh processes on one core. `first use` is the constructor's time and has the
preparation of large files in it, unless the cache holds them already; `opened` is that of a second
process. Then batches of 64 random rows: the first one, which may draw or load what later ones use,
and the mean of those that follow for some seconds. `resident` is all memory of the process at the
end, of which `private` is not a file that is mapped and can be dropped. Sets whose files are absent
are listed with the reason.
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
    """What the table shows of one data set; with no seconds, the time of its constructor alone."""
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
    spent = {"opened": opened, "first": first, "batch": passed / batches}
    return {"rows": len(data), "shape": shape, **spent, **memory()}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], json.loads(sys.argv[3]), float(sys.argv[4]))))
        return
    from bench.datasets import DATASETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="*", help="by name; all without any")
    parser.add_argument("--image-size", type=int, help="pixels a side; the data set's own without")
    parser.add_argument("--seconds", type=float, default=3.0, help="of batches, for each data set")
    given = parser.parse_args()
    names = given.datasets or list(DATASETS)
    if unknown := [name for name in names if name not in DATASETS]:
        parser.error(f"no data set {', '.join(unknown)}: choose from {', '.join(DATASETS)}")
    options = {"image_size": given.image_size} if given.image_size else {}
    core = {min(os.sched_getaffinity(0))}
    bare = in_process(__file__, ["nothing", "{}", "0"], core)
    print(machine())
    print(f"A process without data: {bare['resident']:.0f} MB, {bare['private']:.0f} private\n")
    print(
        "| data set | rows | image | first use s | opened s | first batch s | images/s "
        "| ms a batch of 64 | resident MB | private MB |"
    )
    print("|" + " --- |" * 10)
    absent = []
    for name in names:
        first_use = in_process(__file__, [name, json.dumps(options), "0"], core)
        if "absent" in first_use:
            absent.append(first_use["absent"])
            continue
        found = in_process(__file__, [name, json.dumps(options), str(given.seconds)], core)
        print(
            f"| {name} | {found['rows']:,} | {found['shape']} | {first_use['opened']:.2f} "
            f"| {found['opened']:.2f} | {found['first']:.3f} | {BATCH / found['batch']:,.0f} "
            f"| {1000 * found['batch']:.2f} | {found['resident']:.0f} | {found['private']:.0f} |",
            flush=True,
        )
    if absent:
        print("\nNot measured:")
        for reason in absent:
            print(f"- {reason}")


if __name__ == "__main__":
    main()
