"""The handwritten digits that come with scikit-learn: real images without a download."""

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import pictures
from .entry import Entry
from .factors import Factor, LabelledData, in_words

HELD_OUT = 360  # of 1,797: a fifth

FACTORS = (Factor("class", 10, "categorical", tuple(map(float, range(10)))),)

ENTRY = Entry(
    name="digits",
    title="Digits",
    factors=in_words(FACTORS),
    counts=(1_797,),
    training=1_797 - HELD_OUT,
    licence="CC-BY-4.0",
    citation="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository",
    page="https://archive.ics.uci.edu/ml/datasets/Optical+Recognition+of+Handwritten+Digits",
    origin="in scikit-learn",
)


class Digits(LabelledData):
    """Digits: 1,797 handwritten digits of scikit-learn in grey (Alpaydin & Kaynak 1998, UCI).

    One factor, class: the digit, 0 to 9, 174 to 183 images each. Rows are in scikit-learn's order
    and the last 360 are held out. Images of one writer apparently stand together, so most of those
    are by writers that the training images do not have.

    The originals have 8x8 pixels of 0 to 16. They are multiplied by 255/16, rounded, and brought to
    `image_size`, 28 to 128, by Pillow's bilinear filter.

    No files are needed: the images are part of scikit-learn. They are the test part of "Optical
    Recognition of Handwritten Digits" of the UCI repository, CC BY 4.0.

    Raises:
        ValueError: for another `image_size`.
    """

    entry = ENTRY

    def __init__(self, *, image_size: int = 32) -> None:
        pictures.check_size("digits", image_size)
        self.reopen_with = {"image_size": image_size}
        from sklearn.datasets import load_digits

        bunch = load_digits()
        originals = np.rint(np.asarray(bunch.images) * (255 / 16)).astype(np.uint8)
        self.factors = FACTORS
        self.image_shape = (1, image_size, image_size)
        self.labels = np.asarray(bunch.target, dtype=np.int64)[:, None]
        self.held_out = HELD_OUT
        self._images = np.concatenate(list(pictures.resized(originals, image_size, "bilinear")))
        digest = hashlib.sha256(self._images.tobytes() + self.labels.astype("<i8").tobytes())
        scaling = pictures.scaling(originals.shape[1:], image_size, "bilinear")
        self.source = f"Digits of scikit-learn, {scaling}"
        self.fingerprint = f"digits:sha256:{digest.hexdigest()[:16]}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self._images[self.checked(rows)]
