"""Training on a part of a factor grid: correlated factors, combinations held out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .factors import FactorData

_LEAST = 1e-3  # share of the drawn rows that must be kept


@dataclass(frozen=True)
class Correlation:
    """Two factors correlated in training (Traeuble et al. 2021, arXiv 2006.07886, section 3).

    A row is drawn in proportion to exp(-(a - b)^2 / (2 sigma^2)), with a and b the class indices
    of the two factors divided by their largest: the smaller sigma, the stronger. The paper has
    0.2 (strong) to 0.7 (weak).

    Attributes:
        first, second: indices of the factors.
        sigma: how strong the correlation is.
    """

    first: int
    second: int
    sigma: float


@dataclass(frozen=True)
class HeldOut:
    """Combinations that are never trained on.

    Attributes:
        classes: index of each factor that matters, with its classes.
    """

    classes: tuple[tuple[int, tuple[int, ...]], ...]


class Subset(FactorData):
    """A data set of which a part is trained on, and which is encoded and scored as a whole.

    Args:
        data: the whole.
        correlate: texts FACTOR:FACTOR=SIGMA, such as scale:posX=0.2; see `Correlation`.
        hold_out: texts FACTOR=CLASSES,FACTOR=CLASSES..., with classes such as 3, 0-9 or 1+4; rows
            that match all parts of a text are never trained on.

    Raises:
        ValueError: there is no such factor or class, or hardly a row is left to train on.
    """

    def __init__(
        self, data: FactorData, correlate: Sequence[str] = (), hold_out: Sequence[str] = ()
    ) -> None:
        self._data = data
        self.factors, self.image_shape = data.factors, data.image_shape
        self.held_out = data.held_out
        self._correlations = [self._correlation(text) for text in correlate]
        self._absences = [self._absence(text) for text in hold_out]
        rules = [f"correlated {text}" for text in correlate]
        rules += [f"without {text}" for text in hold_out]
        self.source = f"{data.source}; trained on rows {', '.join(rules)}, scored on all"
        self.fingerprint = f"{data.fingerprint}:{':'.join(sorted(rules)).replace(' ', '-')}"
        trial = np.random.default_rng(0).integers(data.training, size=20_000)
        kept = float(self.weights(trial).mean())
        if kept < _LEAST:
            raise ValueError(
                f"{', '.join(rules)}: {kept:.1e} of the rows would be left to train on, "
                f"at least {_LEAST:g} are needed: correlate less, or hold out less"
            )

    def __len__(self) -> int:
        return len(self._data)

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self._data.images(rows)

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        return self._data.values(rows)

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        return self._data.rows(values)

    def weights(self, rows: ArrayLike) -> NDArray[np.float64]:
        """How probable rows (n,) are in training, (n,), relative to the most probable ones."""
        values = self.values(rows)
        weights = np.ones(len(values))
        for rule in self._correlations:
            a, b = (values[:, k] / max(1, self.sizes[k] - 1) for k in (rule.first, rule.second))
            weights *= np.exp(-((a - b) ** 2) / (2 * rule.sigma**2))
        for absence in self._absences:
            matches = [np.isin(values[:, k], classes) for k, classes in absence.classes]
            weights[np.logical_and.reduce(matches)] = 0
        return weights

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        kept: list[NDArray[np.int64]] = []
        missing = count
        while missing > 0:
            rows = self._data.draw(rng, 2 * count)
            rows = rows[rng.random(len(rows)) < self.weights(rows)][:missing]
            kept.append(rows)
            missing -= len(rows)
        return np.concatenate(kept)

    def _factor(self, name: str, text: str) -> int:
        names = [factor.name for factor in self.factors]
        if name not in names:
            raise ValueError(f"{text!r}: no factor {name!r}, choose from {', '.join(names)}")
        return names.index(name)

    def _correlation(self, text: str) -> Correlation:
        match = re.fullmatch(r"([^:=]+):([^:=]+)=([0-9.eE+-]+)", text)
        try:
            sigma = float(match[3]) if match else 0.0
        except ValueError:
            sigma = 0.0
        if match is None or not 0 < sigma < np.inf:
            raise ValueError(f"{text!r}: write FACTOR:FACTOR=SIGMA, such as scale:posX=0.2")
        first, second = self._factor(match[1], text), self._factor(match[2], text)
        if first == second:
            raise ValueError(f"{text!r}: name two different factors")
        return Correlation(first, second, sigma)

    def _absence(self, text: str) -> HeldOut:
        classes = []
        for part in text.split(","):
            name, equals, words = part.partition("=")
            if not (name and equals and words):
                raise ValueError(f"{text!r}: write FACTOR=CLASSES, such as shape=2,orientation=0-9")
            k = self._factor(name.strip(), text)
            classes.append((k, self._classes(k, words, text)))
        return HeldOut(tuple(classes))

    def _classes(self, k: int, words: str, text: str) -> tuple[int, ...]:
        """Class indices of texts such as 3, 0-9 and 1+4, or of the words for classes."""
        factor = self.factors[k]
        classes: list[int] = []
        for word in words.split("+"):
            if word in factor.labels:
                classes.append(factor.labels.index(word))
                continue
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", word.strip())
            if match is None:
                labels = f", or {', '.join(factor.labels)}" if factor.labels else ""
                raise ValueError(
                    f"{text!r}: {word!r} is no class of {factor.name}: "
                    f"0 to {factor.size - 1}{labels}"
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if not first <= last < factor.size:
                raise ValueError(
                    f"{text!r}: {factor.name} has the classes 0 to {factor.size - 1}, not {word}"
                )
            classes += range(first, last + 1)
        return tuple(sorted(set(classes)))
