"""What a cell of the conformance table must be, and the functions to say it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """Bounds of one metric in one case.

    Attributes:
        low: smallest value that holds.
        high: largest value that holds.
        why: where the bounds come from, in one line.
        than: a case that the value is compared with; the bounds are then added to its value.
    """

    low: float
    high: float
    why: str
    than: str | None = None


ROUNDING = 1e-9

Table = dict[str, Expected]  # by case


def near(value: float, within: float, why: str) -> Expected:
    return Expected(value - within, value + within, why)


def exactly(value: float, why: str) -> Expected:
    return near(value, ROUNDING, why)


def at_least(low: float, why: str) -> Expected:
    return Expected(low, 1 + ROUNDING, why)


def at_most(high: float, why: str) -> Expected:
    return Expected(-ROUNDING, high, why)


def between(low: float, high: float, why: str) -> Expected:
    return Expected(low, high, why)


def like(case: str, within: float, why: str) -> Expected:
    """The value of another case."""
    return Expected(-within, within, why, than=case)


def against(case: str, low: float, high: float, why: str) -> Expected:
    """The value of another case, and `low` to `high` more."""
    return Expected(low, high, why, than=case)


# Nearly every metric has to keep these three.
INVARIANT = {
    "permuted": like("perfect", 1e-6, "order and sign of the latents mean nothing"),
    "scaled": like("perfect", 1e-6, "scale and mean of a latent mean nothing"),
}
DEAD = like("perfect", 0.002, "latents that carry nothing take no part")
