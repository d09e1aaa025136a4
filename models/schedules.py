"""Schedules: pure functions of the step."""


def linear(step: int, end: float, iterations: int) -> float:
    """Rise linearly from 0 to `end` over `iterations` steps, then stay constant."""
    return end * min(step / iterations, 1.0)


def warmed(step: int, warmup: int) -> float:
    """Rise linearly from 0 to 1 over `warmup` steps, then stay 1; without a warmup always 1.

    The first step is number 1, so that its weight is 1 / warmup: the linear annealing of
    YannDubs/disentangling-vae, losses.py, which calls its length `reg_anneal`.
    """
    return linear(step, 1.0, warmup) if warmup else 1.0
