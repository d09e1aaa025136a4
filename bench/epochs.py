"""Which steps of a training a mean per epoch is over."""

from dataclasses import dataclass

OF_LATENT = "kl_"  # and its number, from 1: columns of epochs.csv


@dataclass(frozen=True)
class Epochs:
    """What a row of epochs.csv is: the mean of every logged term over an epoch.

    Attributes:
        steps: training steps of an epoch.
        every: of these, the first and every so many after the first of the training count.
    """

    steps: int
    every: int = 1

    def counts(self, step: int) -> bool:
        """Whether a step, numbered from 1, counts."""
        return (step - 1) % self.every == 0

    def ends(self, step: int) -> bool:
        """Whether a step is the last of an epoch."""
        return step % self.steps == 0
