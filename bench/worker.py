"""One run, from settings to scores: what a worker process does.

Each part is skipped where an earlier try has finished it: training goes on from its checkpoint,
scores are computed from the stored representation.
"""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.report.columns import UNDEFINED
from bench.store import files as store
from bench.store import record as records
from bench.store.environment import environment
from bench.store.record import Status, definitions_differ, read_status, write_status
from bench.store.run import Run

if TYPE_CHECKING:
    from bench.training import Trained


@dataclass(frozen=True)
class Job:
    """A run and how to carry it out; nothing here but `run` changes a number.

    definitions: of the metrics to score; data_dir: where data sets look for files; together: the
    number of seeds, its own among them, that are trained as one model; capture: whether steps
    are replayed as one CUDA graph.
    """

    run: Run
    folder: Path
    definitions: tuple[Mapping[str, Any], ...]
    device: str = "cpu"
    threads: int = 1
    data_dir: str | None = None
    checkpoint_seconds: float = 30.0
    together: int = 1
    capture: bool = False


@dataclass(frozen=True)
class News:
    """What a worker tells: its phase, how far that is, and the newest losses."""

    phase: str
    step: int = 0
    steps: int = 0
    terms: Mapping[str, float] | None = None


class Trainer(Protocol):
    """Trains the model of a job and notes the seconds. Raises as `bench.train.loop.train`."""

    def __call__(
        self,
        job: Job,
        seconds: dict[str, float],
        tell: Callable[[News], None],
        stop: Callable[[], bool],
    ) -> "Trained": ...


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


def begin(job: Job) -> Status:
    """Write that a run is under way, and where it is trained; its status. Raises OSError."""
    announce(job)
    store.sweep(job.folder)
    status = replace(read_status(job.folder), state="running", message="")
    write_status(job.folder, status)
    if not (job.folder / records.EVALUATION).exists():
        where = environment(job.device, job.threads)
        where.update(together=job.together, capture=job.capture)
        store.write_json(job.folder / records.ENVIRONMENT, where)
    return status


def work(
    job: Job,
    tell: Callable[[News], None],
    stop: Callable[[], bool],
    train: Trainer | None = None,
) -> Status:
    """Carry out what is missing of a run. Every end but a kill is written as its status.

    `tell` gets news, `stop` is asked after every step; `train` is given of a run that has begun.
    What goes wrong in the run is not raised: the status says so, and error.txt keeps the traceback.
    """
    from bench.train.loop import Diverged, Interrupted
    from bench.training import train_alone

    folder = job.folder
    status = read_status(folder)
    seconds = dict(status.seconds)
    reached = status.step

    def listen(news: News) -> None:
        nonlocal reached
        reached = news.step if news.phase == "training" else reached
        tell(news)

    try:
        if train is None:
            status = begin(job)
        if not (folder / records.EVALUATION).exists():
            trained = (train or train_alone)(job, seconds, listen, stop)
            _encode(job, trained, seconds, listen)
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


def work_together(
    jobs: Sequence[Job],
    tell: Callable[[int, News], None],
    end: Callable[[int, Status], None],
    stop: Callable[[], bool],
) -> None:
    """`work` for a job, or for several that differ in the seed alone, which are trained as one.

    News, and the statuses that `end` gets, come with the index of the job.
    """
    trainers: Sequence[Trainer | None] = [None]
    if len(jobs) > 1:
        from bench.training import train_group

        trainers = train_group(jobs, tell, stop)
    for index, (job, train) in enumerate(zip(jobs, trainers, strict=True)):
        end(index, work(job, partial(tell, index), stop, train))


def _encode(
    job: Job, trained: "Trained", seconds: dict[str, float], tell: Callable[[News], None]
) -> None:
    from bench.encode import collapsed_from, encode_drawn, samples
    from bench.models import VAE
    from bench.store.representation import write_representation

    run, folder = job.run, job.folder
    model, data, device = trained.model, trained.data, trained.device
    # clones, as the file takes no tensors that share memory, which somebody's network may have
    if weights := {name: tensor.clone() for name, tensor in model.state_dict().items()}:
        store.write_weights(folder / records.WEIGHTS, weights)

    with timed(seconds, "encoding"):
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
        evaluation["collapsed_from"] = collapsed_from(trained.history, evaluation)
    # last of all: its presence says that the rest is there
    store.write_json(folder / records.EVALUATION, evaluation)


def _outcome(evaluation: Mapping[str, Any], run: Run) -> Status:
    """Whether a run that is through is done or collapsed, and from which step on."""
    if not evaluation["collapsed"]:
        return Status("done", run.steps)
    step = evaluation.get("collapsed_from")
    return Status("collapsed", run.steps, "" if step is None else f"from step {step} on")


def _score(job: Job, seconds: dict[str, float], tell: Callable[[News], None]) -> None:
    from bench.score import score
    from bench.store.representation import read_representation

    missing = unscored(job.folder, job.definitions)
    if not missing:
        return
    path = job.folder / records.SCORES
    scores = store.read_json(path) if path.exists() else {}
    undefined = {}
    with timed(seconds, "scoring"):
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
    from bench.report.pictures import draw_run

    with timed(seconds, "drawing"):
        tell(News("drawing"))
        draw_run(replace(records.read_record(job.folder), status=status))


@contextlib.contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[phase] = round(time.monotonic() - started, 2)
