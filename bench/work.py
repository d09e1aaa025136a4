"""One run, from settings to scores: what a worker process does.

Each part is skipped where an earlier try has finished it: training goes on from its checkpoint,
scores are computed from the stored representation.
"""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import records, store
from bench.columns import UNDEFINED
from bench.environment import environment
from bench.records import Status, definitions_differ, read_status, write_status
from bench.runs import Run

FITTED = 10_000  # images that a model which is not trained in steps may learn from


@dataclass(frozen=True)
class Job:
    """A run and how to carry it out; nothing here but `run` changes a number.

    definitions: of the metrics to score; data_dir: where data sets look for files.
    """

    run: Run
    folder: Path
    definitions: tuple[Mapping[str, Any], ...]
    device: str = "cpu"
    threads: int = 1
    data_dir: str | None = None
    checkpoint_seconds: float = 30.0


@dataclass(frozen=True)
class News:
    """What a worker tells: its phase, how far that is, and the newest losses."""

    phase: str
    step: int = 0
    steps: int = 0
    terms: Mapping[str, float] | None = None


def announce(job: Job) -> None:
    """Write what is asked of a run, before it starts. Raises OSError."""
    store.write_json(job.folder / records.SETTINGS, job.run.as_dict())
    write_status(job.folder, read_status(job.folder))


def unscored(
    folder: Path, definitions: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """The metrics that a run has neither a score of nor the reason why it can have none."""
    scores = records.read_scores(folder)
    evaluation = folder / records.EVALUATION
    refused = store.read_json(evaluation).get(UNDEFINED, {}) if evaluation.exists() else {}
    return tuple(
        asked
        for asked in definitions
        if definitions_differ(scores, [asked]) and definitions_differ(refused, [asked])
    )


def work(job: Job, tell: Callable[[News], None], stop: Callable[[], bool]) -> Status:
    """Carry out what is missing of a run. Every end but a kill is written as its status.

    `tell` gets news, `stop` is asked after every step. What goes wrong in the run is not raised:
    the status says so, and error.txt keeps the traceback.
    """
    from bench.train import Diverged, Interrupted

    folder = job.folder
    status = replace(read_status(folder), state="running", message="")
    seconds = dict(status.seconds)
    reached = status.step

    def listen(news: News) -> None:
        nonlocal reached
        reached = news.step if news.phase == "training" else reached
        tell(news)

    try:
        announce(job)
        store.sweep(folder)
        write_status(folder, status)
        if not (folder / records.EVALUATION).exists():
            store.write_json(folder / records.ENVIRONMENT, environment(job.device, job.threads))
            _train_and_encode(job, seconds, listen, stop)
            write_status(folder, replace(status, step=job.run.steps, seconds=seconds))
        _score(job, seconds, listen)
        outcome = _outcome(store.read_json(folder / records.EVALUATION), job.run)
        status = replace(outcome, seconds=seconds)
        _draw(job, status, seconds, listen)
        write_status(folder, status)
        for leftover in (records.CHECKPOINT, records.ERROR):
            (folder / leftover).unlink(missing_ok=True)
        return status
    except Interrupted as error:
        status = Status("interrupted", reached, str(error), seconds)
    except Diverged as error:
        status = Status("diverged", error.step, str(error), seconds)
        with contextlib.suppress(OSError):
            store.write_rows(folder / records.HISTORY, error.history)
    except Exception as error:  # whatever it is, it is this run's end and not the study's
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        status = Status("failed", reached, reason, seconds)
        with contextlib.suppress(OSError):
            store.write_text(folder / records.ERROR, traceback.format_exc())
    with contextlib.suppress(OSError):  # a full disk: the caller still gets the status
        write_status(folder, status)
    return status


def _train_and_encode(
    job: Job,
    seconds: dict[str, float],
    tell: Callable[[News], None],
    stop: Callable[[], bool],
) -> None:
    import torch

    from bench.build import build_data, build_model
    from bench.encode import collapsed_from, encode_drawn, samples
    from bench.feed import images
    from bench.models import VAE, Encoder
    from bench.representations import write_representation
    from bench.streams import numpy_stream
    from bench.train import train

    run, folder = job.run, job.folder
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.deterministic = True
    device = torch.device(job.device)
    data = build_data(run.dataset, run.data_settings, job.data_dir)
    model = build_model(run, device, data.factors)
    history: list[dict[str, float]] = []
    if isinstance(model, VAE):
        progress = train(
            model,
            data,
            steps=run.steps,
            batch_size=run.batch_size,
            seed=run.seed,
            device=device,
            precision=run.precision,
            checkpoint=folder / records.CHECKPOINT,
            checkpoint_seconds=job.checkpoint_seconds,
            watch=lambda step, terms: tell(News("training", step, run.steps, terms)),
            stop=stop,
        )
        history = progress.history
        seconds["training"] = round(progress.seconds, 2)
        seconds["data"] = round(progress.data_seconds, 2)  # of the training
        store.write_rows(folder / records.HISTORY, history)
    elif type(model).fit is not Encoder.fit:
        drawn = data.draw(numpy_stream(run.seed, "fitted rows"), FITTED)
        tell(News("fitting"))
        with _timed(seconds, "fitting"):
            model.fit(images(data, drawn, device))
    # clones, as the file takes no tensors that share memory, which somebody's network may have
    if weights := {name: tensor.clone() for name, tensor in model.state_dict().items()}:
        store.write_weights(folder / records.WEIGHTS, weights)

    with _timed(seconds, "encoding"):
        representation, evaluation, rows = encode_drawn(
            model,
            data,
            run.rows,
            run.seed,
            device,
            lambda done, total: tell(News("encoding", done, total)),
        )
        write_representation(folder / records.REPRESENTATION, representation, rows)
        if isinstance(model, VAE):
            arrays = samples(model, data, rows, representation.codes, device)
            store.write_arrays(folder / records.SAMPLES, arrays)
    if evaluation["collapsed"]:
        evaluation["collapsed_from"] = collapsed_from(history, evaluation)
    # last of all: its presence says that the rest is there
    store.write_json(folder / records.EVALUATION, evaluation)


def _outcome(evaluation: Mapping[str, Any], run: Run) -> Status:
    """Whether a run that is through is done or collapsed, and from which step on."""
    if not evaluation["collapsed"]:
        return Status("done", run.steps)
    step = evaluation.get("collapsed_from")
    return Status("collapsed", run.steps, "" if step is None else f"from step {step} on")


def _score(job: Job, seconds: dict[str, float], tell: Callable[[News], None]) -> None:
    from bench.measure import score
    from bench.representations import read_representation

    missing = unscored(job.folder, job.definitions)
    if not missing:
        return
    path = job.folder / records.SCORES
    scores = store.read_json(path) if path.exists() else {}
    undefined = {}
    with _timed(seconds, "scoring"):
        tell(News("scoring"))
        representation = read_representation(job.folder / records.REPRESENTATION)
        for asked in missing:
            try:
                scores[asked["name"]] = score(representation, asked, job.run.seed)
            except ValueError as error:  # as the posterior's, of codes that have none
                undefined[asked["name"]] = {"definition": asked, "reason": str(error)}
        store.write_json(path, scores)
    if undefined:
        evaluation = store.read_json(job.folder / records.EVALUATION)
        both = {**evaluation.get(UNDEFINED, {}), **undefined}
        store.write_json(job.folder / records.EVALUATION, {**evaluation, UNDEFINED: both})


def _draw(
    job: Job, status: Status, seconds: dict[str, float], tell: Callable[[News], None]
) -> None:
    from bench.pictures import draw_run

    with _timed(seconds, "drawing"):
        tell(News("drawing"))
        draw_run(replace(records.read_record(job.folder), status=status))


@contextlib.contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[phase] = round(time.monotonic() - started, 2)
