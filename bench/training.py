"""The training of runs: of one alone, or of several that differ in the seed alone as one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.build import build_data, build_model
from bench.datasets import FactorData
from bench.models import VAE, Encoder
from bench.store import files as store
from bench.store import record as records
from bench.streams import numpy_stream
from bench.train.feed import images
from bench.train.loop import Interrupted, Progress, train
from bench.train.together import train_together
from bench.worker import Job, News, Trainer, begin, timed

FITTED = 10_000  # images that a model which is not trained in steps may learn from


@dataclass(frozen=True)
class Trained:
    """What there is to encode with, and the history of its training."""

    model: Encoder
    data: FactorData
    device: torch.device
    history: list[dict[str, float]]


def train_alone(
    job: Job,
    seconds: dict[str, float],
    tell: Callable[[News], None],
    stop: Callable[[], bool],
) -> Trained:
    """The trainer of one run; a model that is not trained in steps is fitted, where it learns."""
    run = job.run
    device, data = _set_up(job)
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
            capture=job.capture,
            checkpoint=job.folder / records.CHECKPOINT,
            checkpoint_seconds=job.checkpoint_seconds,
            watch=lambda step, terms: tell(News("training", step, run.steps, terms)),
            stop=stop,
        )
        history = _finish(job, progress, seconds)
    elif type(model).fit is not Encoder.fit:
        drawn = data.draw(numpy_stream(run.seed, "fitted rows"), FITTED)
        tell(News("fitting"))
        with timed(seconds, "fitting"):
            model.fit(images(data, drawn, device))
    return Trained(model, data, device, history)


def train_group(
    jobs: Sequence[Job], tell: Callable[[int, News], None], stop: Callable[[], bool]
) -> list[Trainer]:
    """Begin jobs that differ in the seed alone, and train them as one model.

    For each job a trainer that gives what came of it, or raises its error; and Interrupted where
    it is to stop before the run is encoded. News come with the index of the job.
    """
    run = jobs[0].run
    reached = [0] * len(jobs)

    def watch(index: int, step: int, terms: dict[str, float]) -> None:
        reached[index] = step
        tell(index, News("training", step, run.steps, terms))

    endings: Sequence[Progress | Exception]
    models: list[VAE] = []
    try:
        for job in jobs:
            begin(job)
        device, data = _set_up(jobs[0])
        for job in jobs:
            model = build_model(job.run, device, data.factors)
            assert isinstance(model, VAE)  # nothing else is trained
            models.append(model)
        endings = train_together(
            models,
            data,
            steps=run.steps,
            batch_size=run.batch_size,
            seeds=[job.run.seed for job in jobs],
            device=device,
            precision=run.precision,
            checkpoints=[job.folder / records.CHECKPOINT for job in jobs],
            checkpoint_seconds=jobs[0].checkpoint_seconds,
            watch=watch,
            stop=stop,
        )
    except Exception as error:  # whatever it is, it is the end of all these runs
        endings = [error] * len(jobs)

    def trainer(index: int) -> Trainer:
        def give(
            job: Job,
            seconds: dict[str, float],
            tell: Callable[[News], None],
            stop: Callable[[], bool],
        ) -> Trained:
            ending = endings[index]
            if reached[index]:
                tell(News("training", reached[index], run.steps))
            if not isinstance(ending, Progress):
                raise ending
            if stop():
                raise Interrupted(f"stopped at step {run.steps} of {run.steps}")
            return Trained(models[index], data, device, _finish(job, ending, seconds))

        return give

    return [trainer(index) for index in range(len(jobs))]


def _set_up(job: Job) -> tuple[torch.device, FactorData]:
    """Prepare torch for a job; its device and its data."""
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.deterministic = True
    data = build_data(job.run.dataset, job.run.data_settings, job.data_dir)
    return torch.device(job.device), data


def _finish(job: Job, progress: Progress, seconds: dict[str, float]) -> list[dict[str, float]]:
    """Write the history of a training that is through, note its seconds; the history."""
    seconds["training"] = round(progress.seconds, 2)
    seconds["data"] = round(progress.data_seconds, 2)  # of the training
    store.write_rows(job.folder / records.HISTORY, progress.history)
    return progress.history
