"""What a reproduction would cost, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reproduce.published import Part, Table

GPU_MILLISECONDS = 4.0
ASSUMED = (
    "CPU: milliseconds a step as measured on one core of an Intel Xeon (2026-11, one thread), of "
    "the same network or one like it, without encoding and scoring. GPU: "
    f"{GPU_MILLISECONDS:g} ms a step, a guess."
)


@dataclass(frozen=True)
class Cost:
    """Of one part: runs, steps of all of them together, hours on one core and on a GPU."""

    part: str
    runs: int
    steps: int
    cpu_hours: float
    gpu_hours: float

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.part}: nothing to train, minutes"
        return (
            f"{self.part}: {self.runs} runs, {self.steps:,} steps in all, "
            f"{hours(self.cpu_hours)} on one CPU core, {hours(self.gpu_hours)} on a GPU (guess)"
        )


def steps_of(part: Part, budget: float) -> int:
    """Steps of a run of a part."""
    return max(1, round(part.steps * budget)) if part.steps else 0


def cost(part: Part, budget: float, seeds: int) -> Cost:
    """The cost of a part."""
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
    """The sum of some costs."""
    return Cost(
        "all",
        sum(each.runs for each in costs),
        sum(each.steps for each in costs),
        sum(each.cpu_hours for each in costs),
        sum(each.gpu_hours for each in costs),
    )


def of_table(table: Table, budget: float = 1.0) -> Cost:
    """The cost of a table with as many runs as the paper has."""
    return total([cost(part, budget, part.runs) for part in table.parts])


def hours(value: float) -> str:
    """`40 min`, `3.2 h`, `12 days`."""
    if value < 1:
        return f"{max(1, round(value * 60))} min"
    return f"{value:.1f} h" if value < 48 else f"{value / 24:,.0f} days"
