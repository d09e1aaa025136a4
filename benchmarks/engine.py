"""Seconds and memory of the study engine with synthetic records: python benchmarks/engine.py

Nothing is trained: the records of a study are written as a worker would write them, with scores
drawn at random. Everything is measured for half of the runs and for all, and the ratio of the two
times says how it grows: 2 is in proportion, 4 is quadratic. The number of runs is an argument;
12,600 are those of Locatello et al. 2019.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from alone import in_process, machine

STRENGTHS = (1, 2, 4, 6, 8, 16)
MODELS = {
    "betavae": "beta",
    "annealedvae": "gamma",
    "factorvae": "gamma",
    "betatcvae": "beta",
    "dipvae1": "lambda_od",
    "dipvae2": "lambda_od",
}
FACTORS = ("shape", "size", "posX", "posY")


def request(runs: int, folder: Path) -> Any:
    """Six models with six strengths each, and as many seeds as the number of runs needs."""
    from bench.plan import Request

    values = ",".join(map(str, STRENGTHS))
    seeds = runs // (len(MODELS) * len(STRENGTHS))
    return Request(
        models=",".join(MODELS),
        dataset="toy",
        preset="smoke",
        seeds=str(seeds),
        sweeps=[f"{model}.{key}={values}" for model, key in MODELS.items()],
        output=folder,
    )


def write_synthetic(planned: Any, *, states: Callable[[int], str] = lambda i: "done") -> None:
    """The folders of finished runs, as a worker writes them, with numbers drawn at random."""
    from bench.store.study import write_study

    rng = np.random.default_rng(0)
    write_study(planned.folder, planned.study)
    weights = _safetensors()
    arrays = _npz()
    for number, run in enumerate(planned.runs):
        folder = planned.run_folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        seconds = {"training": 100.0, "data": 2.0, "encoding": 3.0, "scoring": 4.0}
        status = {"state": states(number), "step": run.steps, "message": "", "seconds": seconds}
        _write(folder / "settings.json", run.as_dict())
        _write(folder / "status.json", status)
        _write(folder / "evaluation.json", _evaluation(rng))
        scores = {d.name: _score(d, rng) for d in planned.definitions}
        _write(folder / "scores.json", scores)
        (folder / "history.csv").write_text(_history(rng))
        (folder / "weights.safetensors").write_bytes(weights)
        (folder / "representation.npz").write_bytes(arrays)
        for name in ("information", "reconstructions", "traversals"):
            for kind in ("png", "pdf"):  # so that the report does not draw them
                (folder / f"{name}.{kind}").write_bytes(b"")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def _evaluation(rng: np.random.Generator) -> dict[str, Any]:
    kl = rng.uniform(0, 3, 7).tolist()
    return {
        "reconstruction": float(rng.uniform(50, 100)),
        "mean_image_reconstruction": 150.0,
        "kl": kl,
        "kl_total": sum(kl),
        "continuous": 7,
        "spread": rng.uniform(0, 1, 7).tolist(),
        "active": [value > 0.1 for value in kl],
        "active_latents": 6,
        "rows": 576,
        "collapsed": False,
        "held_out": {"reconstruction": 80.0, "kl_total": 8.0, "rows": 100},
    }


def _score(definition: Any, rng: np.random.Generator) -> dict[str, Any]:
    latents = [f"z{i}" for i in range(1, 8)]
    return {
        "value": float(rng.uniform()),
        "parts": {"completeness": float(rng.uniform()), "informativeness": float(rng.uniform())},
        "definition": {
            **definition.as_dict(),
            "libraries": {"numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1"},
        },
        "seconds": 0.5,
        "details": {
            "importance": rng.uniform(size=(7, 4)).tolist(),
            "gaps": dict(zip(FACTORS, rng.uniform(size=4).tolist(), strict=True)),
            "latents": latents,
            "chance": 0.1,
            # the factors of an accuracy have a table each, which nothing here needs
            **({} if definition.name == "discrete_accuracy" else {"factors": list(FACTORS)}),
        },
    }


def _history(rng: np.random.Generator) -> str:
    rows = [f"{step},{rng.uniform():.6f},{rng.uniform():.6f}" for step in range(10, 201, 10)]
    return "\n".join(["step,loss,reconstruction", *rows]) + "\n"


def _safetensors() -> bytes:
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def _npz() -> bytes:
    import io

    file = io.BytesIO()
    np.savez_compressed(file, codes=np.zeros((4, 2)))
    return file.getvalue()


def measured(runs: int, folder: Path) -> dict[str, float]:
    """Seconds of this process's processor time, by what was done, and its largest memory in MB."""
    from bench import plan as planning
    from bench.cli.run import print_plan
    from bench.console import stderr
    from bench.execute import Options, execute, outstanding
    from bench.plan import Request, plan
    from bench.report.frame import frame
    from bench.store.record import Records, write_status

    planning.MOST_RUNS = max(planning.MOST_RUNS, runs)
    plan(Request(models="betavae", dataset="toy", preset="smoke", seeds="1"))  # loads libraries
    seconds: dict[str, float] = {}

    def timed(what: str, do: Callable[[], Any]) -> Any:
        started = time.process_time()
        value = do()
        seconds[what] = time.process_time() - started
        return value

    planned = timed("plan", lambda: plan(request(runs, folder)))
    write_synthetic(planned)
    todo = timed("what is left of a finished study", lambda: outstanding(planned, Options()))
    assert not todo.runs
    timed("its plan in words", lambda: print_plan(todo, stderr()))
    records = Records(folder)
    found = timed("read all records", records.read)
    timed("one frame of them", partial(frame, found))
    seconds["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_status(found[0].folder, found[0].status)
    timed("read them when one has changed", records.read)
    del found, records
    silent = _Silent()
    timed("the same bench run, which draws the plots", lambda: execute(planned, Options(), silent))
    timed("once more, with nothing to draw", lambda: execute(planned, Options(), silent))
    return seconds


class _Silent:
    """A reporter that says nothing, and what gives one."""

    def __call__(self, todo: Any) -> "_Silent":
        return self

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *error: object) -> None: ...
    def started(self, job: Any) -> None: ...
    def progress(self, job: Any, progress: Any) -> None: ...
    def ended(self, job: Any, status: Any) -> None: ...
    def stopping(self) -> None: ...


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 12_600
    step = len(MODELS) * len(STRENGTHS)
    sizes = [max(1, runs // factor // step) * step for factor in (2, 1)]
    core = {min(os.sched_getaffinity(0))}
    half, whole = (in_process(__file__, [str(size)], core) for size in sizes)
    print(machine())
    print(f"| seconds of processor time | {sizes[0]:,} runs | {sizes[1]:,} runs | ratio |")
    print("| --- | --- | --- | --- |")
    for what in whole:
        ratio = whole[what] / half[what] if half[what] else float("nan")
        print(f"| {what} | {half[what]:.2f} | {whole[what]:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as temporary:
            print(json.dumps(measured(int(sys.argv[2]), Path(temporary) / "study")))
    else:
        main()
