"""Parts of data: fixed or correlated factors, combinations held out, factors that are scored."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .factors import MISSING, Factor, FactorData
from .splits import Absence, HeldOut, split_of

_LEAST = 1e-3  # share of the drawn rows that must be kept
_NARROWEST, _WIDEST = 1e-6, 1e6  # sigmas whose squares divide: beyond, all rows or none fit
_FEWEST = 64  # rows to train on that fixed factors must leave: a batch of the presets


class Fixed(FactorData):
    """The part of a data set in which some factors have one class each, as a data set of its own.

    Only these rows are trained on and scored, in the order of the whole, so that the rest of a grid
    is a grid. The fixed factors are none of its factors: nothing can be told about a constant.

    Args:
        data: the whole.
        fix: texts FACTOR=CLASS, such as orientation=0 or shape=heart.

    Attributes:
        fixed: the class of each fixed factor by the factor's name: its label, or else its number.

    Raises:
        ValueError: there is no such factor or class, no factor is left, hardly an image is left to
            train on, or the whole does not draw all rows with the same probability.
    """

    def __init__(self, data: FactorData, fix: Sequence[str]) -> None:
        self._data = data
        classes = dict(self._class(text) for text in fix)
        columns = sorted(classes)
        if len(classes) < len(fix):
            raise ValueError(f"{', '.join(fix)}: fix each factor once")
        self._whole = np.array([classes.get(k, 0) for k in range(len(data.factors))])
        self._free = [k for k in range(len(data.factors)) if k not in classes]
        constant = [(data.factors[k], classes[k]) for k in columns]
        self.fixed = {factor.name: _word(factor, k) for factor, k in constant}
        rule = ", ".join(f"{name}={word}" for name, word in self.fixed.items())
        if not self._free:
            raise ValueError(f"{rule}: all factors are fixed, leave at least one free")
        if type(data).draw is not FactorData.draw:
            raise ValueError(f"{rule}: factors cannot be fixed in data with a draw() of its own")
        matches = data.values(np.arange(len(data)))[:, columns] == self._whole[columns]
        self._rows = np.flatnonzero(matches.all(axis=1)).astype(np.int64, copy=False)
        self.held_out = int((self._rows >= data.training).sum())
        if self.training < _FEWEST:
            raise ValueError(
                f"{rule}: {self.training} images would be left to train on, at least {_FEWEST} are "
                "needed: fix fewer factors"
            )
        self.factors = tuple(data.factors[k] for k in self._free)
        self.image_shape, self.notes = data.image_shape, data.notes
        if data.pairs is not None:
            self.pairs = self._inside(data.pairs)
        self.source = f"{data.source}; only the {len(self):,} images with {rule}"
        self.fingerprint = f"{data.fingerprint}:fixed-{rule.replace(', ', ':')}"

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self._data.images(self._rows[self.checked(rows)])

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        return self._data.values(self._rows[self.checked(rows)])[:, self._free]

    def numbers(self, rows: ArrayLike) -> NDArray[np.float64]:
        return self._data.numbers(self._rows[self.checked(rows)])[:, self._free]

    def unseen(self, rows: ArrayLike) -> NDArray[np.bool_]:
        return self._data.unseen(self._rows[self.checked(rows)])

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        classes = self.on_grid(values)
        whole = np.repeat(self._whole[None], len(classes), axis=0)
        whole[:, self._free] = classes
        rows: NDArray[np.intp] = np.searchsorted(self._rows, self._data.rows(whole))
        return rows.astype(np.int64, copy=False)

    def _inside(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of pairs of the whole (M, 2) those of two images in this part, as rows of this part."""
        pairs = pairs[np.isin(pairs, self._rows).all(axis=1)]
        if not len(pairs):
            raise ValueError(
                f"{', '.join(f'{name}={word}' for name, word in self.fixed.items())}: none of the "
                "data's own pairs is of two such images: fix fewer factors"
            )
        return np.searchsorted(self._rows, pairs).astype(np.int64, copy=False)

    def _class(self, text: str) -> tuple[int, int]:
        """The index and the class of a fixed factor."""
        name, equals, word = text.partition("=")
        if not (name and equals and word):
            raise ValueError(f"{text!r}: write FACTOR=CLASS, such as orientation=0")
        k = _factor(self._data, name.strip(), text)
        classes = _classes(self._data.factors[k], word.strip(), text)
        if len(classes) > 1:
            raise ValueError(f"{text!r}: fix {name.strip()} to one class, not to {len(classes)}")
        return k, classes[0]


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


class Subset(FactorData):
    """A data set of which a part is trained on, and which is encoded and scored as a whole.

    Args:
        data: the whole.
        correlate: texts FACTOR:FACTOR=SIGMA, such as scale:posX=0.2; see `Correlation`.
        hold_out: texts FACTOR=CLASSES,FACTOR=CLASSES..., with classes such as 3, 0-9 or 1+4; rows
            that match all parts of a text are never trained on.
        split: name of a split of the literature, whose combinations are never trained on either;
            see `splits.split_of`.

    Attributes:
        whole: the data set without these rules.

    Raises:
        ValueError: there is no such factor, class or split, or hardly a row is left to train on.
    """

    def __init__(
        self,
        data: FactorData,
        correlate: Sequence[str] = (),
        hold_out: Sequence[str] = (),
        split: str | None = None,
    ) -> None:
        self.whole = data
        self.factors, self.image_shape = data.factors, data.image_shape
        self.notes, self.held_out, self.pairs = data.notes, data.held_out, data.pairs
        self._correlations = [self._correlation(text) for text in correlate]
        pairs = [frozenset((rule.first, rule.second)) for rule in self._correlations]
        if len(set(pairs)) < len(pairs):
            raise ValueError(f"{', '.join(correlate)}: correlate each pair of factors once")
        self._absences: list[Absence] = [self._absence(text) for text in hold_out]
        rules = [f"correlated {text}" for text in correlate]
        rules += [f"without {text}" for text in hold_out]
        words = list(rules)
        if split is not None:
            self._absences.append(split_of(split, data.factors))
            share = self._absences[-1].share(data.sizes)
            rules.append(f"split {split}")
            words.append(f"without {share:.2%} of the combinations (split {split})")
        self.source = f"{data.source}; trained on rows {', '.join(words)}, scored on all"
        self.fingerprint = f"{data.fingerprint}:{':'.join(sorted(rules)).replace(' ', '-')}"
        trial = data.draw(np.random.default_rng(0), 20_000)
        kept = float(self.weights(trial).mean())
        if not kept >= _LEAST:
            raise ValueError(
                f"{', '.join(words)}: {kept:.1e} of the rows would be left to train on, "
                f"at least {_LEAST:g} are needed: correlate less, or hold out less"
            )

    def __len__(self) -> int:
        return len(self.whole)

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self.whole.images(rows)

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        return self.whole.values(rows)

    def numbers(self, rows: ArrayLike) -> NDArray[np.float64]:
        return self.whole.numbers(rows)

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        return self.whole.rows(values)

    def weights(self, rows: ArrayLike) -> NDArray[np.float64]:
        """How probable rows (n,) are in training, (n,), relative to the most probable ones.

        Rows without a label of a correlated factor are not drawn.
        """
        values = self.values(rows)
        weights = np.ones(len(values))
        for rule in self._correlations:
            a, b = (values[:, k] / max(1, self.sizes[k] - 1) for k in (rule.first, rule.second))
            weights *= np.exp(-((a - b) ** 2) / (2 * rule.sigma**2))
            weights[(values[:, [rule.first, rule.second]] == MISSING).any(axis=1)] = 0
        weights[self._absent(values)] = 0
        return weights

    def unseen(self, rows: ArrayLike) -> NDArray[np.bool_]:
        unseen: NDArray[np.bool_] = self._absent(self.values(rows)) | self.whole.unseen(rows)
        return unseen

    def _absent(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of factor classes (n, K) the rules hold out, (n,)."""
        absent = np.zeros(len(values), dtype=bool)
        for absence in self._absences:
            absent |= absence.matches(values)
        return absent

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        kept: list[NDArray[np.int64]] = []
        missing = count
        while missing > 0:
            rows = self.whole.draw(rng, 2 * count)
            rows = rows[rng.random(len(rows)) < self.weights(rows)][:missing]
            kept.append(rows)
            missing -= len(rows)
        return np.concatenate(kept)

    def _correlation(self, text: str) -> Correlation:
        match = re.fullmatch(r"([^:=]+):([^:=]+)=([0-9.eE+-]+)", text)
        try:
            sigma = float(match[3]) if match else 0.0
        except ValueError:
            sigma = 0.0
        if match is None or not 0 < sigma < np.inf:
            raise ValueError(f"{text!r}: write FACTOR:FACTOR=SIGMA, such as scale:posX=0.2")
        if not _NARROWEST <= sigma <= _WIDEST:
            raise ValueError(
                f"{text!r}: give a sigma from {_NARROWEST:g} (the classes agree) to {_WIDEST:g} "
                "(no correlation); published ones are 0.2 to 0.7"
            )
        first, second = (_factor(self.whole, name, text) for name in match.group(1, 2))
        if first == second:
            raise ValueError(f"{text!r}: name two different factors")
        return Correlation(first, second, sigma)

    def _absence(self, text: str) -> HeldOut:
        classes = []
        for part in text.split(","):
            name, equals, words = part.partition("=")
            if not (name and equals and words):
                raise ValueError(f"{text!r}: write FACTOR=CLASSES, such as shape=2,orientation=0-9")
            k = _factor(self.whole, name.strip(), text)
            classes.append((k, _classes(self.factors[k], words, text)))
        return HeldOut(tuple(classes))


class Scored(FactorData):
    """A data set of which some factors are scored: the same images, the same training.

    Args:
        data: the whole.
        factors: names of the factors that are scored.

    Attributes:
        whole: the data set with all its factors, by which pairs are drawn.

    Raises:
        ValueError: there is no such factor, none is named, or one twice.
    """

    def __init__(self, data: FactorData, factors: Sequence[str]) -> None:
        text = ",".join(factors)
        if not factors or len(set(factors)) < len(factors):
            raise ValueError(f"{text!r}: name each factor that is scored once, and at least one")
        self.whole = data
        self._columns = sorted(_factor(data, name, text) for name in factors)
        self.factors = tuple(data.factors[k] for k in self._columns)
        self.image_shape, self.notes = data.image_shape, data.notes
        self.held_out, self.pairs = data.held_out, data.pairs
        names = [factor.name for factor in self.factors]
        self.source = f"{data.source}; scored by {', '.join(names)} only"
        self.fingerprint = f"{data.fingerprint}:scored-{'+'.join(names)}"

    def __len__(self) -> int:
        return len(self.whole)

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return self.whole.images(rows)

    def values(self, rows: ArrayLike) -> NDArray[np.int64]:
        return self.whole.values(rows)[:, self._columns]

    def numbers(self, rows: ArrayLike) -> NDArray[np.float64]:
        return self.whole.numbers(rows)[:, self._columns]

    def unseen(self, rows: ArrayLike) -> NDArray[np.bool_]:
        return self.whole.unseen(rows)

    def rows(self, values: ArrayLike) -> NDArray[np.int64]:
        classes = self.on_grid(values)
        own = self.values(np.arange(len(self)))
        labels, first = np.unique(own, axis=0, return_index=True)
        row_of = dict(zip(map(tuple, labels.tolist()), first.tolist(), strict=True))
        try:
            return np.array([row_of[tuple(row)] for row in classes.tolist()], dtype=np.int64)
        except KeyError as error:
            named = zip(self.factors, error.args[0], strict=True)
            raise ValueError(
                f"no image has {', '.join(f'{f.name} {c}' for f, c in named)}"
            ) from error

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        return self.whole.draw(rng, count)


def _factor(data: FactorData, name: str, text: str) -> int:
    """The index of a factor that a text names."""
    names = [factor.name for factor in data.factors]
    if name in names:
        return names.index(name)
    if not names:
        raise ValueError(f"{text!r}: the data have no factors, leave the option out")
    if isinstance(data, Subset):
        return _factor(data.whole, name, text)
    if isinstance(data, Fixed) and name in data.fixed:
        raise ValueError(
            f"{text!r}: {name} is fixed at {data.fixed[name]}: name a factor that varies, "
            f"{' or '.join(names)}"
        )
    hint = _nearest(name, names) or f"choose from {', '.join(names)}"
    raise ValueError(f"{text!r}: no factor {name!r}, {hint}")


def _classes(factor: Factor, words: str, text: str) -> tuple[int, ...]:
    """Class indices of texts such as 3, 0-9 and 1+4, or of the words for classes."""
    classes: list[int] = []
    for word in words.split("+"):
        if word in factor.labels:
            classes.append(factor.labels.index(word))
            continue
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word.strip())
        if match is None:
            labels = f", or {', '.join(factor.labels)}" if factor.labels else ""
            hint = _nearest(word, factor.labels) or f"0 to {factor.size - 1}{labels}"
            raise ValueError(f"{text!r}: {word!r} is no class of {factor.name}: {hint}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < factor.size:
            raise ValueError(
                f"{text!r}: {factor.name} has the classes 0 to {factor.size - 1}, not {word}"
            )
        classes += range(first, last + 1)
    return tuple(sorted(set(classes)))


def _nearest(word: str, choices: Sequence[str]) -> str:
    """`did you mean ...?` with the choices that come closest to a word; empty if none does."""
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _word(factor: Factor, k: int) -> str:
    """The word that `_classes` takes for a class."""
    return factor.labels[k] if factor.labels else str(k)
