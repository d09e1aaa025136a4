"""Trainings whose logs are published epoch by epoch: YannDubs/disentangling-vae.

The value of an epoch does not depend on what comes after. So a training with the full schedules
that is compared at epoch e has its full budget, however many epochs it would go on for.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bench.epochs import Epochs
from bench.reproduce.published import Part, Row, Table

_SOURCE = (
    "results/{}/train_losses.log of YannDubs/disentangling-vae@f045219, settings in its specs.json"
)
_LOGGED_EVERY = 50  # steps, from the first on
_IMAGES = {"dsprites": 737_280, "mnist": 60_000}


@dataclass(frozen=True)
class _Training:
    """One published training and how it is repeated here.

    Attributes:
        name: of its folder.
        model, run: the model as published, and the one here.
        epochs: how many of the published epochs are compared.
        batch_size: images per step.
        sets: settings of the model here.
        milliseconds: measured time per step on one CPU core; of FactorVAE on MNIST, 2.8 times the
            VAE's, as measured in one process.
    """

    name: str
    model: str
    run: str
    epochs: int
    batch_size: int
    sets: tuple[str, ...]
    milliseconds: float

    @property
    def dataset(self) -> str:
        return self.name.partition("_")[2]

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-_IMAGES[self.dataset] // self.batch_size)


_NETWORK = ("network=burgess", "initialisation=he_uniform")


def _training(
    name: str, model: str, run: str, epochs: int, batch_size: int, milliseconds: float,
    *sets: str,
) -> _Training:  # fmt: skip
    own = tuple(f"{run}.{setting}" for setting in (*_NETWORK, *sets))
    own = (*own, f"train.batch_size={batch_size}")
    return _Training(name, model, run, epochs, batch_size, own, milliseconds)


# fmt: off
_VAE = _training("VAE_dsprites", "VAE", "vae", 30, 64, 58.0, "lr=5e-4", "warmup=10000")
_BETA = _training("betaH_dsprites", "beta-VAE (4)", "betavae", 30, 64, 58.0,
                  "beta=4", "lr=5e-4", "warmup=10000")
_ANNEALED = _training("betaB_dsprites", "annealed beta-VAE (gamma 100, C 25)", "annealedvae", 30,
                      64, 58.0, "gamma=100", "C=25", "iterations=100000", "lr=1e-3")
# a batch of 128 is halved, so that an epoch shows half of the images to each half
_FACTOR = _training("factor_dsprites", "FactorVAE (gamma 6.4)", "factorvae", 60, 128, 126.7,
                    "gamma=6.4", "warmup=10000", "second_batch=true", "layers=5", "lr=1e-4",
                    "lr_discriminator=1e-4")
_DSPRITES = (_VAE, _BETA, _ANNEALED, _FACTOR)

# the first of 400 epochs, of FactorVAE of 800
_MNIST = (
    _training("VAE_mnist", "VAE", "vae", 10, 64, 25.8, "lr=5e-4", "warmup=10000"),
    _training("betaH_mnist", "beta-VAE (4)", "betavae", 10, 64, 25.8, "beta=4", "lr=5e-4",
              "warmup=10000"),
    _training("betaB_mnist", "annealed beta-VAE (gamma 100, C 25)", "annealedvae", 10, 64, 25.8,
              "gamma=100", "C=25", "iterations=100000", "lr=1e-3"),
    _training("factor_mnist", "FactorVAE (gamma 6)", "factorvae", 20, 128, 72.0, "gamma=6",
              "warmup=10000", "second_batch=true", "layers=5", "lr=1e-4", "lr_discriminator=5e-5"),
)
# fmt: on

_METRICS = (
    "reconstruction",
    "kl_total",
    "total_correlation",
    "discriminator_loss",
    "active_latents",
)


@cache
def published() -> Mapping[str, list[dict[str, str]]]:
    """The published numbers by training: a row per epoch, as printed, from the first on."""
    text = (files(__package__) / "training_logs.csv").read_text(encoding="utf-8")
    trainings: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        trainings.setdefault(row["training"], []).append(row)
    return trainings


def _part(training: _Training) -> Part:
    return Part(
        training.run,
        training.run,
        training.dataset,
        training.epochs * training.steps,
        training.batch_size,
        training.sets,
        runs=3,
        milliseconds=training.milliseconds,
        epochs=Epochs(training.steps, _LOGGED_EVERY),
    )


def _rows(training: _Training) -> Iterable[Row]:
    for numbers in published()[training.name][: training.epochs]:
        for metric in _METRICS:
            if not numbers[metric]:
                continue
            yield Row(
                "Dubois et al., disentangling-vae",
                "log of the training",
                training.model,
                training.dataset,
                metric,
                "primary",
                _SOURCE.format(training.name),
                value=numbers[metric],
                n=1,
                part=training.run,
                run=training.run,
                epoch=int(numbers["epoch"]),
            )


_ABOUT = (
    "One published training of each, with seed 1234. A number is the mean over the steps 1, 51, "
    "101, ... of the training that fall into the epoch, with sampled codes, while the weights "
    "change; ours is the mean over the same steps. Active latents are those with such a mean KL of "
    "at least 0.1 nats.",
    "A training of a share of the steps is compared over the epochs that it has reached: "
    "with `--budget 0.1` they are 3 of 30, and 6 of 60 of FactorVAE. The schedules are the "
    "published ones and do not depend on the number of epochs, so that the number of an epoch has "
    "its full budget. Network, batch, learning rates, warmup and the "
    "initialisation (He et al. 2015, uniform) are those of the published code. Theirs goes through "
    "shuffled epochs; here every batch is drawn anew from all images.",
    "FactorVAE halves its batch of 128: an epoch has half as many steps, and its model sees half "
    "of the images.",
    "btcvae_* of the same code is left out: its stratified estimator of the total correlation is "
    "wrong (it reaches -32 nats).",
)

TRAINING_LOGS = Table(
    name="training-logs-dsprites",
    id="T12",
    title="Training logs on dSprites, epoch by epoch (disentangling-vae)",
    parts=tuple(_part(training) for training in _DSPRITES),
    rows=tuple(row for training in _DSPRITES for row in _rows(training)),
    about=_ABOUT,
)

TRAINING_LOGS_MNIST = Table(
    name="training-logs-mnist",
    id="T13",
    title="Training logs on MNIST, epoch by epoch (disentangling-vae)",
    parts=tuple(_part(training) for training in _MNIST),
    rows=tuple(row for training in _MNIST for row in _rows(training)),
    about=_ABOUT,
)
