"""Schedules: pure functions of the step."""

import torch


def linear(step: int, end: float, iterations: int) -> float:
    """0 to `end` in a straight line over `iterations` steps, then constant.

    In a CUDA graph the step is a tensor, and so is the result.
    """
    done = step / iterations
    if isinstance(done, torch.Tensor):  # a graph cannot ask which is less
        return end * done.clamp(max=1.0)
    return end * min(done, 1.0)
