"""Data sets with known generative factors, as numpy arrays."""

from .dsprites import DSprites
from .factors import Factor, FactorData
from .toy import Toy

DATASETS: dict[str, type[FactorData]] = {
    "dsprites": DSprites,
    "toy": Toy,
}

__all__ = ["DATASETS", "DSprites", "Factor", "FactorData", "Toy"]
