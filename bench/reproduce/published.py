"""What a published table is: its rows, as data, and the runs that stand for them here.

`published_tables` has them all. Every number says where it was read and how sure that is: nobody's
PDF was read, only the authors' own code, figures and configurations, and those who quote them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

# primary: read in the authors' own repository, figure or configuration; quoted: in the repository
# or poster of others, which `source` names; derived: by simulation, arithmetic, or measured on
# released weights with other code; unverified: no source that could be read, so that it is no
# target; beside: nothing is published, the number stands beside the others
Certainty = Literal["primary", "quoted", "derived", "unverified", "beside"]
CERTAINTIES: tuple[Certainty, ...] = ("primary", "quoted", "derived", "unverified", "beside")


@dataclass(frozen=True)
class Protocol:
    """How a paper scores, as options of the metrics here.

    words: as its code or the quotation has it; options: assignments as `--set` takes them;
    sampled: scores are of samples of the posterior, not of its means; by_spread: latents are
    pruned by their deviation, as if no KL were known; beyond: what the options cannot express.
    """

    words: str = "our standard protocol"
    options: Sequence[str] = ()
    sampled: bool = False
    by_spread: bool = False
    beyond: str = ""


@dataclass(frozen=True)
class Part:
    """Runs that the rows of a table are compared with: one study in a folder of its own.

    steps, batch_size: the full budget; steps 0 where nothing is trained; sets, sweeps: as the
    options of `bench run`; metrics: by both protocols, beside the default ones; runs: seeds of
    the paper; variants: how many settings the sweeps make; milliseconds: a step took on one CPU
    core, measured of it or one like it; weights: name of the file of released weights that
    stands for a training.
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


@dataclass(frozen=True)
class Row:
    """One published number.

    paper, table: where it is printed; model: as printed there; metric: the key of the number that
    is compared with it, see `reproduce_values`; value: digits as printed, of a score in [0, 1]
    where percent or 100ths are printed; low, high: instead of it, where a range is; spread,
    spread_is: what is printed behind ±, and what that is; n: runs behind it, where that is known;
    source: where it was read.

    part: the runs it is compared with, and of these `run`, the model here, with settings `where`;
    incomparable: what differs so that the two are different things; without_collapsed: whether
    the published mean leaves collapsed runs out; tolerance: of a number that is no mean over
    seeds, and `because`, what it is.
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
    where: Mapping[str, Any] = field(default_factory=dict)
    incomparable: str = ""
    without_collapsed: bool = False
    tolerance: float | None = None
    because: str = ""

    @property
    def is_target(self) -> bool:
        """Whether the number may count for or against a reproduction."""
        return self.certainty not in ("unverified", "beside")

    @property
    def shown(self) -> str:
        """The number as it is printed everywhere, with its mark where it has one."""
        number = f"{self.low} to {self.high}" if self.low else self.value or "–"
        number += f" ± {self.spread}" if self.spread else ""
        return number + {"unverified": " (unverified)", "derived": " (derived)"}.get(
            self.certainty, ""
        )


@dataclass(frozen=True)
class Table:
    """A published table, or several numbers that are run together.

    name: for the command line; id: in the order in which they were collected; about: what the
    reader has to know to read it.
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
