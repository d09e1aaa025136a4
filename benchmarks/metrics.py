"""Seconds and memory of every metric: python benchmarks/metrics.py [--large] [METRIC...]

Each metric is timed in a process of its own on one core, with 10,000 training and 5,000 test rows,
10 latents and the 5 factors of dSprites; `dci` also on all cores. `--large` adds the seconds and
the peak memory (including the arrays themselves) at 1,000,000 rows of 32 latents, for metrics that
take seconds.
"""

import argparse
import json
import os
import resource
import sys
import time

import numpy as np
from alone import in_process, machine

SIZES = (3, 6, 40, 32, 32)
KINDS = ("categorical", "ordinal", "cyclic", "ordinal", "ordinal")
SLOW = ("dci", "dci_fast", "few_labels_linear", "few_labels_boosted", "dci_es")
SMALL = ("10000", "10", "5000")  # rows, latents, rows held out
LARGE = ("1000000", "32", "0")


def representation(rows: int, latents: int, held_out: int):
    """Noisy codes, each a mix of a factor and its neighbour, with a posterior."""
    from bench.metrics import Representation

    rng = np.random.default_rng(0)

    def side(count: int) -> dict[str, np.ndarray]:
        factors = rng.integers(SIZES, size=(count, len(SIZES))).astype(np.uint8)
        codes = np.empty((count, latents), dtype=np.float32)
        for d in range(latents):
            k, neighbour = d % len(SIZES), (d + 1) % len(SIZES)
            mixed = factors[:, k] / SIZES[k] + 0.3 * factors[:, neighbour] / SIZES[neighbour]
            codes[:, d] = mixed + 0.1 * rng.standard_normal(count, dtype=np.float32)
        return {"codes": codes, "factors": factors, "logvar": np.full_like(codes, -4.0)}

    test = side(held_out) if held_out else None
    unseen = np.arange(rows) % 3 == 0  # which only the metrics of generalisation read
    return Representation.of(
        **side(rows), factor_kinds=KINDS, factor_sizes=SIZES, test=test, unseen=unseen
    )


def measure(name: str, rows: int, latents: int, held_out: int) -> dict[str, float]:
    """Seconds and value of one call, and the process's peak memory before and after it, in MB."""
    from bench.metrics import METRICS

    codes = representation(rows, latents, held_out)
    METRICS[name](codes.take(np.arange(200)), np.random.default_rng(0))  # imports what it needs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    value = METRICS[name](codes, np.random.default_rng(0)).value
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "value": value, "before": before, "peak": peak}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], *map(int, sys.argv[3:6]))))
        return
    from bench.metrics import METRICS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", nargs="*", help="names of metrics; all by default")
    parser.add_argument("--large", action="store_true", help="also measure 1,000,000 rows")
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    one_core = {min(cores)}
    print(f"{machine()}\n")
    head = "| metric | seconds, one core | peak MB |" + (
        " 1M x 32: seconds | peak MB |" * options.large
    )
    print(head)
    print("| --- " * (head.count("|") - 1) + "|")
    for name in options.metrics or METRICS:
        small = in_process(__file__, [name, *SMALL], one_core)
        row = f"| {name} | {small['seconds']:.2f} | {small['peak']:.0f} |"
        if options.large and name not in SLOW:
            large = in_process(__file__, [name, *LARGE], one_core)
            row += f" {large['seconds']:.2f} | {large['peak']:.0f} |"
        elif options.large:
            row += " | |"
        print(row, flush=True)
        if name == "dci":
            all_cores = in_process(__file__, [name, *SMALL], cores)
            ratio = small["seconds"] / all_cores["seconds"]
            print(f"| {name}, {len(cores)} cores | {all_cores['seconds']:.2f} ({ratio:.2f}x) | |")


if __name__ == "__main__":
    main()
