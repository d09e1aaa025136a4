"""One run, from settings to scores: train, encode, score, write the status.

Each part is skipped if an earlier attempt has finished it: training goes on from its checkpoint,
scores are computed from the stored representation.
"""

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.epochs import Epochs
from bench.errors import RequestError
from bench.store import files, record
from bench.store.environment import environment
from bench.store.integrity import Stage, condition
from bench.store.record import Definition, Evaluation, Status, Undefined
from bench.store.run import Run

if TYPE_CHECKING:
    import torch

    from bench.datasets import FactorData
    from bench.models import VAE, Encoder

FITTED = 10_000  # images for a model that is fitted at once instead of trained in steps


@dataclass(frozen=True)
class Job:
    """A run and how to carry it out; nothing here but `run` changes a number.

    Attributes:
        run: what is asked for.
        folder: of the run.
        definitions: the metrics to score.
        device: where to compute.
        threads: of the libraries.
        data_dir: where data sets look for files.
        checkpoint_seconds: time between two checkpoints.
        timeout: seconds that this attempt may take; None for as long as it takes.
        score_every: training steps between two rows of quick scores; None for none.
        epochs: what the means per epoch in epochs.csv are over; None for none.
    """

    run: Run
    folder: Path
    definitions: tuple[Definition, ...]
    device: str = "cpu"
    threads: int = 1
    data_dir: str | None = None
    checkpoint_seconds: float = 30.0
    timeout: float | None = None
    score_every: int | None = None
    epochs: Epochs | None = None


@dataclass(frozen=True)
class Progress:
    """How far a worker is.

    Attributes:
        phase: `waiting`, `training`, `fitting`, `encoding` or `scoring`.
        step: how much of the phase is done.
        steps: out of how much; 0 where that is not counted.
        terms: the newest means of the objective's terms, in nats per image.
        note: a line that the user should read, such as what was damaged.
    """

    phase: str
    step: int = 0
    steps: int = 0
    terms: Mapping[str, float] | None = None
    note: str = ""


class _Stopped(Exception):
    """A run was asked to stop between two metrics; the scores so far are written."""


class _Skipped(Exception):
    """What a run needs is not on this machine, such as the files of its data set."""


def announce(job: Job) -> None:
    """Write what is asked of a run, before it starts, unless it is there. Raises OSError."""
    path, text = job.folder / record.SETTINGS, files.json_text(job.run.as_dict())
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if path.read_bytes() == text.encode():
            return
    files.write_text(path, text)


def run_job(
    job: Job,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Status:
    """Carry out what is missing of a run.

    Every end but a kill is written as the run's status. An error inside the run is not raised: the
    status says what happened, and error.txt keeps the traceback.

    Args:
        job: what to do.
        watch: called with the progress.
        stop: asked after every training step, and before every metric, whether to stop.

    Returns:
        The status that the run ended with.
    """
    from bench.train.loop import Diverged, Interrupted

    deadline = math.inf if job.timeout is None else time.monotonic() + job.timeout

    def stops() -> bool:
        return stop() or time.monotonic() > deadline

    status = Status("failed")
    seconds: dict[str, float] = {}
    reached = 0

    def watched(progress: Progress) -> None:
        nonlocal reached
        reached = progress.step if progress.phase == "training" else reached
        watch(progress)

    try:
        stage = _stage(job, watched)  # before the run counts as running
        status = _begin(job)
        seconds, reached = dict(status.seconds), status.step
        evaluation = record.read_evaluation(job.folder)
        if evaluation is None or stage in ("train", "encode"):
            evaluation = _train_and_encode(job, stage == "encode", seconds, watched, stops)
            record.write_status(job.folder, replace(status, step=job.run.steps, seconds=seconds))
        broken = _score(job, evaluation, seconds, watched, stops)
        status = replace(_outcome(evaluation, job.run), seconds=seconds)
        if broken:
            status = replace(status, message="; ".join(filter(None, (status.message, broken))))
        for checkpoint in job.folder.glob(record.CHECKPOINTS):  # once finished nobody looks again
            checkpoint.unlink(missing_ok=True)
        record.write_status(job.folder, status)
        return status
    except (Interrupted, _Stopped) as error:
        status = Status("interrupted", reached, str(error), seconds)
        if time.monotonic() > deadline and not stop():
            status = timed_out(status, job)
    except Diverged as error:
        status = Status("diverged", error.step, str(error), seconds)
        with contextlib.suppress(OSError):
            _write_histories(job, error.history, error.scores)
    except _Skipped as error:
        status = Status("skipped", reached, str(error), seconds)
    except Exception as error:  # whatever it is, it is this run's end and not the study's
        reason = _reason(error, job.run)
        state = "out-of-memory" if is_out_of_memory(error) else "failed"
        status = Status(state, reached, reason, seconds)
        with contextlib.suppress(OSError):
            files.write_text(job.folder / record.ERROR, traceback.format_exc())
    with contextlib.suppress(OSError):  # a full disk: the caller still gets the status
        record.write_status(job.folder, status)
    return status


def timed_out(status: Status, job: Job) -> Status:
    """The status of a run that was stopped after its time."""
    message = f"took longer than {job.timeout:g} s"
    if status.message:
        message = f"{message}; {status.message}"
    return replace(status, state="timeout", message=message)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was wanting."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch has no type for the memory of the CPU
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)


def is_finished(job: Job) -> bool:
    """Whether nothing of a run is missing."""
    return condition(job.folder, job.run, job.definitions).stage == "nothing"


def _begin(job: Job) -> Status:
    """Write that a run has started, and where it is trained; its status."""
    announce(job)
    (job.folder / record.ERROR).unlink(missing_ok=True)  # of an earlier attempt
    status = replace(record.read_status(job.folder), state="running", message="")
    record.write_status(job.folder, status)
    if not (job.folder / record.EVALUATION).exists():
        where = environment(job.device, job.threads)
        files.write_json(job.folder / record.ENVIRONMENT, where)
    return status


def _reason(error: Exception, run: Run) -> str:
    """An error in one line, which names the data set if it was raised in one of somebody's own."""
    from bench.datasets import FactorData

    words = " ".join(f"{type(error).__name__}: {error}".split())
    innermost: FactorData | None = None
    frames = traceback.walk_tb(error.__traceback__)
    for frame, _ in frames:
        owner = frame.f_locals.get("self")
        innermost = owner if isinstance(owner, FactorData) else innermost
    if innermost is not None and not type(innermost).__module__.startswith("bench."):
        return f"{run.dataset} raises {words}"
    return words


def _stage(job: Job, watch: Callable[[Progress], None]) -> Stage:
    """Where the run goes on. What was made of weights that are lost is removed."""
    stage = condition(job.folder, job.run, job.definitions, thorough=True).stage
    if stage == "train":
        planned = [definition.name for definition in job.definitions]
        others = [name for name in record.read_scores(job.folder) if name not in planned]
        if others:
            names = ", ".join(others)
            text = f"older scores are removed ({names}): name them in --metrics to have them again"
            watch(Progress("training", 0, job.run.steps, note=text))
        made = (record.SCORES, record.EVALUATION, record.REPRESENTATION, record.WEIGHTS)
        for name in made:
            (job.folder / name).unlink(missing_ok=True)
    return stage


def _train_and_encode(
    job: Job,
    trained: bool,
    seconds: dict[str, float],
    watch: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Evaluation:
    """Train the model, then store its weights, representation, pictures' arrays and evaluation.

    A model that is `trained` already has its weights in the run's folder.

    Raises:
        _Skipped: the data set or the model cannot be built here.
    """
    import torch

    from bench.build import build_data, build_model
    from bench.encode import encode_drawn, samples
    from bench.models import VAE
    from bench.score import collapsed_from, evaluate
    from bench.store.representation import write_representation

    run, folder = job.run, job.folder
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.deterministic = True
    device = torch.device(job.device)
    try:
        data = build_data(run.dataset, run.data_settings, job.data_dir)
        model = build_model(run, device, data.factors)
    except RequestError as error:
        raise _Skipped(" ".join(str(error).split())) from error
    if trained and run.trained:
        model.load_state_dict(files.read_weights(folder / record.WEIGHTS))
        history = files.read_numbers(folder / record.HISTORY)
    else:
        history = _train(job, model, data, device, seconds, watch, stop)
        # clones, as the file takes no tensors that share memory, which an external network may have
        if weights := {name: tensor.clone() for name, tensor in model.state_dict().items()}:
            files.write_weights(folder / record.WEIGHTS, weights)

    with _timed(seconds, "encoding"):
        encoded = encode_drawn(
            model,
            data,
            run.rows,
            run.seed,
            device,
            lambda done, total: watch(Progress("encoding", done, total)),
        )
        representation = encoded.representation
        write_representation(folder / record.REPRESENTATION, representation, encoded.rows)
        if isinstance(model, VAE):
            arrays = samples(model, data, encoded.rows, representation.codes, device)
            files.write_arrays(folder / record.SAMPLES, arrays)
    evaluation = evaluate(
        representation,
        reconstruction=encoded.reconstruction,
        mean_image_reconstruction=encoded.mean_image_reconstruction,
        held_out_reconstruction=encoded.held_out_reconstruction,
        seen_reconstruction=encoded.seen_reconstruction,
        seen_mean_image_reconstruction=encoded.seen_mean_image_reconstruction,
        unseen_reconstruction=encoded.unseen_reconstruction,
    )
    if evaluation.collapsed:
        since = collapsed_from(history, evaluation.mean_image_reconstruction)
        evaluation = replace(evaluation, collapsed_from=since)
    evaluation = replace(evaluation, found=getattr(model, "found", ""))
    before = record.read_evaluation(folder)
    if before is not None:  # encoded again: what other metrics said of the same codes
        evaluation = replace(evaluation, undefined=before.undefined)
    # last of all: its presence says that the rest is there
    record.write_evaluation(folder, evaluation)
    return evaluation


def _train(
    job: Job,
    model: "Encoder",
    data: "FactorData",
    device: "torch.device",
    seconds: dict[str, float],
    watch: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> list[dict[str, float]]:
    """Train the model in steps, or fit it at once if that is how it learns; the history."""
    from bench.models import VAE, Encoder
    from bench.streams import numpy_stream
    from bench.train.loop import images, train

    run = job.run
    if isinstance(model, VAE):
        state = train(
            model,
            data,
            steps=run.steps,
            batch_size=run.batch_size,
            seed=run.seed,
            device=device,
            precision=run.precision,
            checkpoint=job.folder / record.CHECKPOINT,
            checkpoint_seconds=job.checkpoint_seconds,
            identity=run.identity,
            score_every=job.score_every,
            score=_quick_scores(job, model, data, device),
            epochs=job.epochs,
            watch=lambda step, terms: watch(Progress("training", step, run.steps, terms)),
            stop=stop,
            notice=lambda text: watch(Progress("training", 0, run.steps, note=text)),
        )
        seconds["training"] = round(state.seconds, 2)
        seconds["data"] = round(state.data_seconds, 2)  # part of the training
        if state.scores:
            seconds["scoring_while_training"] = round(state.scoring_seconds, 2)
        _write_histories(job, state.history, state.scores)
        if state.epochs:
            files.write_rows(job.folder / record.EPOCHS, state.epochs)
        return state.history
    if type(model).fit is not Encoder.fit:
        drawn = data.draw(numpy_stream(run.seed, "fitted rows"), FITTED)
        watch(Progress("fitting"))
        with _timed(seconds, "fitting"):
            model.fit(images(data, drawn, device))
    return []


def _quick_scores(
    job: Job, model: "VAE", data: "FactorData", device: "torch.device"
) -> Callable[[], dict[str, float]]:
    """What scores the model on the first of the rows that the finished run is scored on."""
    from bench.encode import encode, scored_rows
    from bench.score import TRIED, quick_scores

    run = job.run
    rows, _ = scored_rows(data, min(run.rows, TRIED), run.seed)

    def scores() -> dict[str, float]:
        try:
            encoded = encode(model, data, rows, device)
        except ValueError:  # codes that are not finite: the next mean of a term says so
            return {}
        return quick_scores(
            encoded.representation,
            job.definitions,
            run.seed,
            reconstruction=encoded.reconstruction,
        )

    return scores


def _write_histories(
    job: Job, history: list[dict[str, float]], scores: list[dict[str, float]]
) -> None:
    files.write_rows(job.folder / record.HISTORY, history)
    if scores:
        files.write_rows(job.folder / record.SCORE_HISTORY, scores)


def _score(
    job: Job,
    evaluation: Evaluation,
    seconds: dict[str, float],
    watch: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> str:
    """Score the stored representation by the definitions that are missing, and store the scores.

    Returns:
        What metrics have raised that are not undefined but broken; they have no score, and are
        tried again the next time. Empty where there are none.

    Raises:
        MetricError: none of the metrics has a score, as all that are missing are broken.
        _Stopped: `stop` said so; what is scored is stored.
    """
    from bench.score import MetricError, score
    from bench.store.representation import read_representation

    scores = record.read_scores(job.folder)
    missing = record.unscored(job.definitions, scores, evaluation)
    if not missing:
        return ""
    undefined: dict[str, Undefined] = {}
    broken: list[MetricError] = []
    stopped = ""
    with _timed(seconds, "scoring"):
        watch(Progress("scoring"))
        representation = read_representation(job.folder / record.REPRESENTATION)
        for definition in missing:
            if stop():
                stopped = f"stopped before {definition.name} was scored"
                break
            try:
                scores[definition.name] = score(representation, definition, job.run.seed)
            except ValueError as error:  # for example one of the posterior, for codes without one
                undefined[definition.name] = Undefined(definition, str(error))
            except MetricError as error:
                broken.append(error)
        record.write_scores(job.folder, scores)
    if undefined:
        both = {**evaluation.undefined, **undefined}
        record.write_evaluation(job.folder, replace(evaluation, undefined=both))
    if stopped:
        raise _Stopped(stopped)
    if not broken:
        return ""
    if not scores and not undefined:
        raise broken[0]
    with contextlib.suppress(OSError):
        text = "\n".join("".join(traceback.format_exception(error)) for error in broken)
        files.write_text(job.folder / record.ERROR, text)
    return "; ".join(map(str, broken))


def _outcome(evaluation: Evaluation, run: Run) -> Status:
    """Whether a complete run is done or collapsed, and from which step on."""
    if not evaluation.collapsed:
        return Status("done", run.steps)
    step, share = evaluation.collapsed_from, evaluation.explained
    words = [] if step is None else [f"from step {step} on"]
    words += [] if share is None else [f"explains {100 * share:.1f} % of the mean image's error"]
    return Status("collapsed", run.steps, "; ".join(words))


@contextlib.contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[phase] = round(time.monotonic() - started, 2)
