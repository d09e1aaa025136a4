"""Schedules: pure functions of the step."""


def linear(step: int, end: float, iterations: int) -> float:
    """0 to `end` in a straight line over `iterations` steps, then constant."""
    return end * min(step / iterations, 1.0)
