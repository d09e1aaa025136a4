"""Schedules: pure functions of the step."""


def linear(step: int, end: float, iterations: int) -> float:
    """Rise linearly from 0 to `end` over `iterations` steps, then stay constant."""
    return end * min(step / iterations, 1.0)
