"""What a published table is: its rows, as data, and the runs that they are compared with.

`bench.reproduce.tables` holds all of them. Every number says where it was read and how certain it
is: hardly a paper was read, only the authors' own code, figures and configurations, and those who
quote them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.epochs import Epochs

# primary: read in the authors' own repository, figure or configuration
# quoted: read in the repository or poster of others, which `source` names
# derived: measured on released weights with other code, or in a run of the author's own code
# unverified: no source could be read, so that it is never a target
# beside: nothing is published; the number is shown beside the others
Certainty = Literal["primary", "quoted", "derived", "unverified", "beside"]
CERTAINTIES: tuple[Certainty, ...] = ("primary", "quoted", "derived", "unverified", "beside")

STANDARD = ":standard"

# numbers that are no scores: of the evaluation of a run, or of an epoch of its training
EVALUATED = {
    "kl_total": "KL",
    "kl_continuous": "KL, continuous",
    "kl_categorical": "KL, categories",
    "reconstruction": "Reconstruction",
    "active_latents": "Active latents",
    "total_correlation": "Total correlation",
    "discriminator_loss": "Discriminator loss",
}


@dataclass(frozen=True)
class Protocol:
    """How a paper scores, in terms of the options of our metrics.

    Attributes:
        words: the protocol as the paper's code or a quotation describes it.
        options: assignments as `--set` takes them.
        sampled: whether samples of the posterior are scored instead of its means.
        by_spread: whether latents are pruned by their standard deviation, as if no KL were known.
        beyond: what the options cannot express.
    """

    words: str = "our standard protocol"
    options: Sequence[str] = ()
    sampled: bool = False
    by_spread: bool = False
    beyond: str = ""


@dataclass(frozen=True)
class Part:
    """Runs that the rows of a table are compared with: one study in a folder of its own.

    Attributes:
        name: of the part and of its folder.
        models: names, comma-separated.
        dataset: name of the data set.
        steps: the full budget of each run; 0 where nothing is trained.
        batch_size: images per step.
        sets: settings, as `bench run --set` takes them.
        sweeps: sweeps, as `bench run --sweep` takes them.
        metrics: further metrics beside the default ones; both protocols score by them.
        protocol: how the paper scores.
        runs: the number of seeds in the paper.
        variants: the number of settings that the sweeps make.
        milliseconds: measured time per step on one CPU core, for this network or one like it.
        weights: name of the file of released weights that takes the place of training.
        epochs: of the training whose epochs are published; None where they are not.
    """

    name: str
    models: str
    dataset: str
    steps: int = 0
    batch_size: int = 64
    sets: Sequence[str] = ()
    sweeps: Sequence[str] = ()
    metrics: Sequence[str] = ()
    protocol: Protocol = field(default_factory=Protocol)
    runs: int = 10
    variants: int = 1
    milliseconds: float = 0.0
    weights: str = ""
    epochs: Epochs | None = None


@dataclass(frozen=True)
class Row:
    """One published number.

    A number of a run has a key: a metric (`mig`), one of its parts
    (`discrete_accuracy.one_to_one`), the mean over factors of one of its details
    (`discrete_accuracy/nmi`), or of the run's evaluation `reconstruction`, `kl_total`,
    `kl_continuous`, `kl_categorical` or `active_latents`; of an epoch also `total_correlation` or
    `discriminator_loss`. A score is by the paper's protocol, or
    with `:standard` behind the key by our standard protocol.

    Attributes:
        paper: where the number is printed.
        table: where in the paper.
        model: the model as the paper calls it.
        dataset: name of the data set.
        metric: the key of the number that is compared with the published one.
        certainty: how certain the published number is, see `Certainty`.
        source: where it was read.
        value: its digits as printed; of a score in [0, 1], even where percent are printed.
        low, high: instead of a value, where a range is published.
        spread: what is printed after ±.
        spread_is: what the spread is.
        n: number of runs behind it; None where that is not known.
        part: the part that it is compared with.
        run: the model here, among those of the part.
        settings: of these runs, those with these settings.
        incomparable: what makes the two different things; empty where they can be compared.
        without_collapsed: whether the published mean leaves collapsed runs out.
        tolerance: largest difference that counts as agreement, of a number that is not a mean
            over seeds; None for means.
        basis: what the tolerance rests on.
        epoch: of the training, from 1, over which the number is a mean; 0 where it is none.
        step: of the training after which the number was measured; 0 for the end. Ours is the value
            of a metric on as many images as are scored while a model trains.
    """

    paper: str
    table: str
    model: str
    dataset: str
    metric: str
    certainty: Certainty
    source: str
    value: str = ""
    low: str = ""
    high: str = ""
    spread: str = ""
    spread_is: str = ""
    n: int | None = None
    part: str = ""
    run: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    incomparable: str = ""
    without_collapsed: bool = False
    tolerance: float | None = None
    basis: str = ""
    epoch: int = 0
    step: int = 0

    @property
    def is_target(self) -> bool:
        """Whether the number may count for or against a reproduction."""
        return self.certainty not in ("unverified", "beside")

    @property
    def published(self) -> str:
        """The number as it is shown everywhere, marked where it is unverified or derived."""
        number = f"{self.low} to {self.high}" if self.low else self.value or "–"
        number += f" ± {self.spread}" if self.spread else ""
        marked = self.certainty in ("unverified", "derived")
        return f"{number} ({self.certainty})" if marked else number


@dataclass(frozen=True)
class Table:
    """A published table, or several numbers that are run together.

    Attributes:
        name: for the command line.
        id: short name, in the order in which the tables were collected.
        title: in words.
        parts: the runs.
        rows: the published numbers.
        about: what the reader has to know to read the table.
    """

    name: str
    id: str
    title: str
    parts: Sequence[Part]
    rows: Sequence[Row]
    about: Sequence[str] = ()

    @property
    def trained(self) -> bool:
        """Whether there is anything to train."""
        return any(part.steps for part in self.parts)

    def part(self, name: str) -> Part:
        """The part of a name."""
        return next(part for part in self.parts if part.name == name)


def metric_of(key: str) -> str:
    """The metric behind the key of a number, see `Row`."""
    return key.removesuffix(STANDARD).partition(".")[0].partition("/")[0]
