"""What a model is fed: rows of a data set, as it wants them, and their images on the device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.datasets import FactorData
from bench.datasets.pairs import draw_pairs
from bench.models import Encoder

_BLOCK = 4096  # images that are drawn at once when a data set moves to a device
_SHARE = 0.5  # of a device's free memory that a data set may fill


def rows_of(
    model: Encoder, data: FactorData, rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """The rows of a batch, (count,), as the model wants to be fed. Raises as `draw_pairs`."""
    if model.input == "pairs":
        return draw_pairs(data, rng, count, model.changed)
    return data.draw(rng, count)


def images(data: FactorData, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Images of some rows as the models take them: float32 (B, C, H, W) in [0, 1] on the device."""
    return _scaled(torch.from_numpy(data.images(rows)).to(device))


class Resident:
    """A data set's images on the device, one byte a pixel and channel, gathered there.

    The same numbers as `images`, without a transfer of pixels each step.
    """

    def __init__(self, data: FactorData, device: torch.device) -> None:
        self._pixels = torch.empty(len(data), *data.image_shape, dtype=torch.uint8, device=device)
        for start in range(0, len(data), _BLOCK):
            block = np.arange(start, min(start + _BLOCK, len(data)))
            self._pixels[start : start + len(block)] = torch.from_numpy(data.images(block))

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """Images (B, C, H, W) of some rows, as `images` gives them."""
        return _scaled(self._pixels[torch.from_numpy(rows).to(self._pixels.device)])

    @staticmethod
    def worthwhile(data: FactorData, device: torch.device, steps: int, batch_size: int) -> bool:
        """Whether the images go to the device: a GPU with room for them, and a training that draws
        more images than there are."""
        if device.type != "cuda" or steps * batch_size < len(data):
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return len(data) * int(np.prod(data.image_shape)) < _SHARE * free


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32).div_(255)
