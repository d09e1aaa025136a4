"""What several tests of the models need."""

import torch
from torch import Tensor


def assert_equal_up_to_rounding(
    given: Tensor, expected: Tensor, roundings: float = 64, computed_in: torch.dtype | None = None
) -> None:
    """Hold two results of the same sums by different kernels to each other.

    Kernels differ between processors, batch sizes and memory layouts, and add in another order.
    An element near 0 may be the difference of large numbers, so the difference is measured against
    the largest element, not against the element itself.

    Args:
        given: any shape.
        expected: of the same shape and type.
        roundings: how many times the type's epsilon, relative to the largest element, is allowed.
        computed_in: the type whose epsilon counts, where it is not that of `expected`.
    """
    epsilon = torch.finfo(computed_in or expected.dtype).eps
    largest = expected.detach().abs().max().item()
    torch.testing.assert_close(given, expected, rtol=0, atol=roundings * epsilon * largest)
