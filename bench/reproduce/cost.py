"""What a reproduction would cost, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reproduce.published import Part, Table

GPU_MILLISECONDS = 4.0  # per step, a guess


@dataclass(frozen=True)
class Cost:
    """The cost of one part of a table, or of several together.

    Attributes:
        part: name of the part, or `all`.
        runs: number of trainings.
        steps: of all runs together.
        cpu_hours: on one CPU core, from measured times per step.
        gpu_hours: on a GPU, a guess.
    """

    part: str
    runs: int
    steps: int
    cpu_hours: float
    gpu_hours: float


def steps_of(part: Part, budget: float) -> int:
    """Steps of each run of a part at a share of the full budget."""
    return max(1, round(part.steps * budget)) if part.steps else 0


def cost(part: Part, budget: float, seeds: int) -> Cost:
    """The cost of a part at a share of the full budget."""
    models = len(part.models.split(","))
    runs = seeds * part.variants * models
    steps = runs * steps_of(part, budget)
    return Cost(
        part.name,
        runs,
        steps,
        steps * part.milliseconds / 3.6e6,
        steps * GPU_MILLISECONDS / 3.6e6,
    )


def total(costs: Sequence[Cost]) -> Cost:
    """The sum of several costs."""
    return Cost(
        "all",
        sum(c.runs for c in costs),
        sum(c.steps for c in costs),
        sum(c.cpu_hours for c in costs),
        sum(c.gpu_hours for c in costs),
    )


def cost_of_table(table: Table) -> Cost:
    """The cost of a table at the full budget, with as many runs as the paper has."""
    return total([cost(part, 1.0, part.runs) for part in table.parts])
