"""`bench.run`: the command `bench run` as a function."""

import ast
import inspect
import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from bench.api.naming import known_to_this_process_only, name_of, names_of
from bench.api.study import Study, load
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.datasets import FactorData
    from bench.execute import Options, Outstanding
    from bench.executors import Reporter
    from bench.plan import Plan

Named = str | Callable[..., Any] | Any  # a name, or the class, function or network itself


@overload
def run(
    models: Named | Sequence[Named] | Mapping[str, Named],
    dataset: "str | Path | FactorData | Callable[..., FactorData]",
    *,
    preset: str | None = None,
    seeds: int | str | Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    metrics: Named | Sequence[Named] | None = None,
    steps: int | None = None,
    fix: Sequence[str] = (),
    correlate: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    split: str | None = None,
    factors: str | Sequence[str] | None = None,
    jobs: int | None = 1,
    threads: int = 1,
    device: str = "auto",
    output: str | Path | None = None,
    data_dir: str | Path | None = None,
    force: bool = False,
    fail_fast: bool = False,
    timeout: float | str | None = None,
    retry: str | Sequence[str] | None = None,
    only: str | Sequence[str] = (),
    shard: str | None = None,
    checkpoint_seconds: float = 30.0,
    executor: str = "local",
    address: str | None = None,
    executor_options: Mapping[str, Any] | None = None,
    score_every: int | None = None,
    progress: bool = True,
) -> Study: ...
@overload
def run(
    models: str | Path,
    dataset: None = None,
    *,
    preset: str | None = None,
    seeds: int | str | Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    metrics: Named | Sequence[Named] | None = None,
    steps: int | None = None,
    fix: Sequence[str] = (),
    correlate: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    split: str | None = None,
    factors: str | Sequence[str] | None = None,
    jobs: int | None = 1,
    threads: int = 1,
    device: str = "auto",
    output: str | Path | None = None,
    data_dir: str | Path | None = None,
    force: bool = False,
    fail_fast: bool = False,
    timeout: float | str | None = None,
    retry: str | Sequence[str] | None = None,
    only: str | Sequence[str] = (),
    shard: str | None = None,
    checkpoint_seconds: float = 30.0,
    executor: str = "local",
    address: str | None = None,
    executor_options: Mapping[str, Any] | None = None,
    score_every: int | None = None,
    progress: bool = True,
) -> Study | list[Study]: ...
def run(
    models: Named | Sequence[Named] | Mapping[str, Named],
    dataset: "str | Path | FactorData | Callable[..., FactorData] | None" = None,
    *,
    preset: str | None = None,
    seeds: int | str | Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    metrics: Named | Sequence[Named] | None = None,
    steps: int | None = None,
    fix: Sequence[str] = (),
    correlate: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    split: str | None = None,
    factors: str | Sequence[str] | None = None,
    jobs: int | None = 1,
    threads: int = 1,
    device: str = "auto",
    output: str | Path | None = None,
    data_dir: str | Path | None = None,
    force: bool = False,
    fail_fast: bool = False,
    timeout: float | str | None = None,
    retry: str | Sequence[str] | None = None,
    only: str | Sequence[str] = (),
    shard: str | None = None,
    checkpoint_seconds: float = 30.0,
    executor: str = "local",
    address: str | None = None,
    executor_options: Mapping[str, Any] | None = None,
    score_every: int | None = None,
    progress: bool = True,
) -> Study | list[Study]:
    """Train models, score them, and write tables and plots, as `bench run` does.

    The same call continues where it stopped and never trains a run twice. With `jobs=1` the runs
    take place in this process, one after another; more jobs need processes of their own, and so
    a script whose calls stand below `if __name__ == "__main__":`.

    `run("study.yaml")` carries out the study of a file, or a shipped one by its name; what else is
    given overrides it.

    Args:
        models: names, comma-separated or in a list; `all`; or classes and networks themselves,
            also such as this notebook defines. A mapping gives each its name in tables. Without a
            data set: the file of a study, or the name of a shipped one.
        dataset: name of the data set, a file of arrays, or a data set itself.
        preset: name of the preset; None for the study's, or quick.
        seeds: a number of seeds, a text as `--seeds` takes it, or the seeds in a list; None for the
            study's, or 3.
        settings: by `OWNER.KEY`, as in `{"jointvae.gamma": 30, "train.rows": 10_000}`.
        sweep: a row of the table per value, as in `{"betavae.beta": [1, 2, 4]}`; of settings that
            change together, as in `{"dipvae1.lambda_od,lambda_d": [(1, 10), (2, 20)]}`.
        metrics: names, or functions; None for the default ones.
        steps: training steps instead of the preset's; schedules scale with them.
        fix: train and score on one class of a factor only, `FACTOR=CLASS`.
        correlate: train on correlated factors, `FACTOR:FACTOR=SIGMA`.
        hold_out: train without combinations, `FACTOR=CLASSES,...`.
        split: train without the combinations of a known split, as `--split` takes it.
        factors: names of the factors that are scored; None for all.
        jobs: number of runs side by side; None for one per core.
        threads: of each run.
        device: auto, cpu, cuda, cuda:1 or mps.
        output: folder of the study; results/DATA-PRESET if not given.
        data_dir: where data files are.
        force: whether to train the planned runs again from the start.
        fail_fast: whether the first run that ends without scores stops the others.
        timeout: what a run may take: seconds, or a text such as `2h`.
        retry: which runs that ended without scores are tried again, as `--retry` takes them.
        only: the cells to carry out: rows, seeds (`seed=3`) or names of runs' folders.
        shard: one of several equal shares of the cells, such as `2/8`.
        checkpoint_seconds: time between two checkpoints of a run.
        executor: local, ray or slurm; with the latter two `jobs` bounds the runs in the cluster.
        address: of a Ray cluster's head node, `HOST:PORT`.
        executor_options: what each run needs there, as in `{"cpus": 2, "memory": "4GB"}`.
        score_every: training steps between two rows of quick scores on 2,000 images, which
            `FinishedRun.score_history` gives; the weights are the same with and without.
        progress: whether to print the plan and the progress on stderr.

    Returns:
        The finished study. Runs that failed or diverged are in it with their status. Of a file that
        names several data sets a list, with a study for each.

    Raises:
        RequestError: something of the request is unknown, wrong or does not go together.
        KeyboardInterrupt: it was stopped; checkpoints are written, the same call continues.
    """
    from bench.cells import (
        RETRIED,
        Selection,
        parse_retry,
        parse_shard,
        parse_timeout,
        plans_with_cells,
    )
    from bench.execute import Options
    from bench.executors.cluster import cluster
    from bench.studyfile.choices import Choices, study_definition

    in_process = jobs == 1 and executor == "local"
    choices = Choices(
        models=None if dataset is None else names_of("model", models),
        dataset=None if dataset is None else name_of("dataset", dataset),
        preset=preset,
        seeds=None if seeds is None else _seeds(seeds),
        sets=[f"{key}={_text(value)}" for key, value in (settings or {}).items()],
        sweeps=[_sweep(key, values) for key, values in (sweep or {}).items()],
        metrics=None if metrics is None else names_of("metric", metrics),
        steps=steps,
        fix=_texts("fix", fix),
        correlate=_texts("correlate", correlate),
        hold_out=_texts("hold_out", hold_out),
        split=split,
        factors=None if factors is None else ",".join(_texts("factors", factors)),
        output=None if output is None else Path(output),
        data_dir=None if data_dir is None else str(data_dir),
    )
    if dataset is None and not isinstance(models, str | Path):
        raise RequestError("run: name a data set, or the file of a study in the place of models")
    definition = study_definition(str(models) if dataset is None else None, choices)
    if not in_process:
        for request in definition.requests:
            _check_processes(request.models, request.dataset, request.metrics or "")
    options = Options(
        jobs=jobs,
        threads=threads,
        device=device,
        data_dir=choices.data_dir,
        force=force,
        fail_fast=fail_fast,
        selection=Selection(
            only=_texts("only", only),
            shard=None if shard is None else parse_shard(shard),
            retry=RETRIED if retry is None else parse_retry(",".join(_texts("retry", retry))),
        ),
        timeout=None if timeout is None else parse_timeout(str(timeout)),
        checkpoint_seconds=checkpoint_seconds,
        score_every=score_every,
        in_process=in_process,
        cluster=cluster(
            executor,
            address,
            [f"{key}={value}" for key, value in (executor_options or {}).items()],
            threads,
        ),
    )
    plans = plans_with_cells(definition.plans(), options.selection)
    studies = [_finished(planned, options, progress) for planned in plans]
    if len(studies) == 1:
        return studies[0]
    from bench.report.write import write_studies

    write_studies([planned.folder for planned in plans])
    return studies


def _finished(planned: "Plan", options: "Options", progress: bool) -> Study:
    """Carry out a plan; the study that came of it."""
    from bench.execute import execute

    outcome = execute(planned, options, _shown if progress else lambda todo: _Silent())
    if outcome.stopped:
        raise KeyboardInterrupt("stopped: the same call continues from the last checkpoints")
    if progress:
        from bench.console import say, stderr

        reasons = {t: f"{s.state}: {s.message}" for t, s in outcome.failed.items()}
        for title, reason in {**outcome.refused, **reasons}.items():
            say(stderr(), f"{title}: {reason}")
    return load(planned.folder)


def _seeds(seeds: int | str | Sequence[int]) -> str:
    return str(seeds) if isinstance(seeds, int | str) else ",".join(map(str, seeds))


def _texts(what: str, values: Sequence[str]) -> list[str]:
    if isinstance(values, str):
        return [values]
    if not all(isinstance(value, str) for value in values):
        raise RequestError(f"{what}={values!r}: give texts, as the command line takes them")
    return list(values)


def _text(value: Any) -> str:
    """A setting as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _sweep(key: str, values: Sequence[Any]) -> str:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise RequestError(f"sweep {key}: give a list of values")
    lists = any(isinstance(value, tuple | list) for value in values)
    return f"{key}={(';' if lists else ',').join(map(_text, values))}"


def _check_processes(models: str, dataset: str, metrics: str) -> None:
    """Raise RequestError where worker processes would not know what this process knows."""
    for kind, names in (("model", models), ("dataset", dataset), ("metric", metrics)):
        if own := known_to_this_process_only(kind, names):  # type: ignore[arg-type]
            raise RequestError(
                f"{own[0]} is known to this process only: use jobs=1, or put it into a file and "
                f"name it as file.py:{own[0]}"
            )
    if getattr(multiprocessing.current_process(), "_inheriting", False) or _is_unguarded():
        raise RequestError(
            "with jobs other than 1, worker processes read this script again: put the call below "
            'if __name__ == "__main__":, or use jobs=1'
        )


def _is_unguarded() -> bool:
    """Whether the call comes from the top level of a script, outside of a guard.

    Worker processes import the script, and would call it again.
    """
    frame = inspect.currentframe()
    while frame is not None:
        top = frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"
        if top and getattr(sys.modules["__main__"], "__file__", None):
            return not _is_guarded(Path(frame.f_code.co_filename), frame.f_lineno)
        frame = frame.f_back
    return False


def _is_guarded(script: Path, line: int) -> bool:
    """Whether a line of a script stands in an `if` that looks at `__name__`."""
    try:
        body = ast.parse(script.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return True  # no script that could be read again
    for statement in body:
        if statement.lineno <= line <= (statement.end_lineno or line):
            names = ast.walk(statement.test) if isinstance(statement, ast.If) else ()
            return any(isinstance(n, ast.Name) and n.id == "__name__" for n in names)
    return True


def _shown(todo: "Outstanding") -> "Reporter":
    from bench.cli.run import show_start
    from bench.console import stderr

    return show_start(todo, stderr())


class _Silent:
    """Who is told what happens, and tells nobody."""

    def started(self, job: Any) -> None: ...
    def progress(self, job: Any, progress: Any) -> None: ...
    def ended(self, job: Any, status: Any) -> None: ...
    def stopping(self) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...
