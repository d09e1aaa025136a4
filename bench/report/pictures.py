"""Pictures of one run: reconstructions, traversals, and what each latent knows of each factor."""

import math
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bench.report.style import WIDTH, figure, titled
from bench.store.files import read_arrays
from bench.store.record import ACTIVE, REACH, SAMPLES, Evaluation, Record

TELLS = 0.05  # of a factor's entropy, from which a latent counts as telling it
ROWS = 12  # of traversals: more latents make no picture

_LABELS, _GAP = 1.25, 0.06  # inches, of the picture of traversals
_NUMBERED = 14  # factors: more leave no room for numbers in the heat map
_RELATIONS = {"mutual_information", "entropies", "latents", "factors"}


@dataclass(frozen=True)
class Use:
    """How much each latent is used: its KL in nats, or without one its spread over the images.

    Attributes:
        by_kl: whether the amounts are KLs.
        amounts: of each latent, continuous latents first.
        spread: of each latent, as in `Evaluation`.
        active: whether each latent is in use.
        continuous: number of continuous latents; the others are categorical.
    """

    by_kl: bool
    amounts: Sequence[float]
    spread: Sequence[float]
    active: Sequence[bool]
    continuous: int

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Use":
        kl, spread = evaluation.kl, evaluation.spread
        amounts = spread if kl is None else kl
        return cls(kl is not None, amounts, spread, evaluation.active, evaluation.continuous)

    @property
    def order(self) -> list[int]:
        """Indices of the latents, the most used one first."""
        return sorted(range(len(self.amounts)), key=lambda index: -self.amounts[index])

    @property
    def title(self) -> str:
        return "KL in nats" if self.by_kl else "spread"

    def words(self, index: int) -> str:
        if self.by_kl:
            return f"KL {self.amounts[index]:.2f} nats"
        what = "std" if index < self.continuous else "entropy"
        return f"{what} {self.amounts[index]:.2f}"

    def constant(self, index: int) -> bool:
        """Whether a latent has the KL of one in use, but nearly the same value for every image.

        Of a category, the entropy over the images says so. A continuous latent of KL k whose means
        have the variance m has a noise of variance s with 2 k >= m + s - 1 - ln s, so that it holds
        at most ln(1 + m / s) / 2 <= ln(1 + m exp(1 + 2 k - m)) / 2 nats about the image, if its
        noise is the same for every image. Below the 0.1 nats of a latent in use, that is nothing.
        """
        if not self.by_kl or not self.active[index]:
            return False
        spread = self.spread[index]
        if index >= self.continuous:
            return spread < ACTIVE
        variance = spread**2
        exponent = 1 + 2 * self.amounts[index] - variance
        return variance * math.exp(min(exponent, 700.0)) < math.expm1(2 * ACTIVE)


@dataclass(frozen=True)
class Information:
    """How much each latent tells of each factor.

    Attributes:
        factors: names, K.
        shares: mutual information as a share of the factor's entropy, (D + C, K).
    """

    factors: Sequence[str]
    shares: np.ndarray

    @classmethod
    def of(cls, record: Record) -> "Information | None":
        """That of the first score whose details hold it."""
        for score in record.scores.values():
            details = score.details
            if details.keys() >= _RELATIONS:
                factors = details["factors"]
                information = np.array(details["mutual_information"])
                entropies = np.array([details["entropies"][name] for name in factors])
                none = np.zeros_like(information)
                return cls(factors, np.divide(information, entropies, none, where=entropies > 0))
        return None

    def best(self, index: int) -> tuple[str, float]:
        """The factor that a latent tells most, and the share of it."""
        column = int(self.shares[index].argmax())
        return self.factors[column], float(self.shares[index, column])


def mark(index: int, use: Use, information: Information | None) -> str:
    """What is wrong with a latent: `inactive`, `constant`, `no factor`, or nothing."""
    if not use.active[index]:
        return "inactive"
    if use.constant(index):
        return "constant"
    if information is not None and information.best(index)[1] < TELLS:
        return "no factor"
    return ""


_MEANINGS = {
    "constant": "capacity met by a constant (nearly the same value for every image)",
    "no factor": f"below {TELLS:.0%} of every factor",
}


def draw_run(record: Record) -> None:
    """Draw the pictures that a scored run allows, into its folder."""
    evaluation = record.evaluation
    if evaluation is None:
        return
    if (record.folder / SAMPLES).exists():
        samples = read_arrays(record.folder / SAMPLES)
        draw_reconstructions(record, evaluation, samples)
        draw_traversals(record, evaluation, samples)
    information = Information.of(record)
    if information is not None:
        draw_information(record, evaluation, information)


def is_drawn(record: Record) -> bool:
    """Whether the run's folder has all pictures that the record allows."""
    names = ["reconstructions", "traversals"] if (record.folder / SAMPLES).exists() else []
    names += [] if Information.of(record) is None else ["information"]
    return all((record.folder / f"{name}.png").exists() for name in names)


def draw_reconstructions(
    record: Record, evaluation: Evaluation, samples: dict[str, np.ndarray]
) -> None:
    """Images of the data above what the model makes of them."""
    rows = [samples["originals"], samples["reconstructions"]]
    count = len(rows[0])
    with figure(
        record.folder / "reconstructions", WIDTH, 0.45 + 2 * WIDTH / (count + 1.6)
    ) as drawn:
        axes = drawn.subplots(2, 1)
        for panel, images, label in zip(axes, rows, ["data", "model"], strict=True):
            _strip(panel, images, count)
            panel.set_ylabel(label, rotation=0, ha="right", va="center")
        error = evaluation.reconstruction
        drawn.suptitle(titled(f"{record.run.title}: {error:.1f} nats per image"), fontsize=8)


def draw_traversals(record: Record, evaluation: Evaluation, samples: dict[str, np.ndarray]) -> None:
    """A row per latent in use, the one with the largest KL first; categories one by one.

    Each is labelled with the factor that it tells most. Of a model that uses no latent, all are
    shown.
    """
    latents = [name for name in samples if name[1:].isdigit()]
    use, information = Use.of(evaluation), Information.of(record)
    shown = ([index for index in use.order if use.active[index]] or use.order)[:ROWS]
    marks = {index: mark(index, use, information) for index in shown}
    # before there was a reference, the traversals started from the first image
    first = np.stack([samples["originals"][0], samples["reconstructions"][0]])
    reference = samples.get("reference", first)
    count = max(10, *(len(samples[latents[index]]) for index in shown))
    tile = (WIDTH - _LABELS - 0.04) / count
    row = tile * (reference.shape[2] + 2) / (reference.shape[3] + 2)
    notes = _notes(use, information, [latents[index] for index in shown], latents, marks.values())
    lines = [line for note in notes for line in textwrap.wrap(note, int((count - 2.2) * tile * 23))]
    head = max(row, 0.105 * len(lines) + 0.02)
    title = titled(f"{record.run.title}, on {record.run.dataset}")
    top = 0.2 + 0.12 * len(title.splitlines())
    total = top + head + len(shown) * (row + _GAP) + 0.03
    with figure(record.folder / "traversals", WIDTH, total, layout=None) as drawn:

        def panel_at(depth: float) -> Axes:
            place = (_LABELS, total - depth - row, count * tile, row)
            return drawn.add_axes(tuple(np.divide(place, (WIDTH, total) * 2)))

        drawn.text(0.5, 1 - 0.05 / total, title, ha="center", va="top")
        panel = panel_at(top + (head - row) / 2)
        _strip(panel, reference, count)
        _label(panel, "an image", "and its reconstruction")
        panel.text(
            2.15 / count,
            0.5,
            "\n".join(lines),
            transform=panel.transAxes,
            va="center",
            fontsize=6.5,
            linespacing=1.1,
        )
        for place, index in enumerate(shown):
            panel = panel_at(top + head + _GAP + place * (row + _GAP))
            _strip(panel, samples[latents[index]], count)
            how_much = f"{_symbol(latents[index])}  {use.words(index)}"
            if marks[index] or information is None:
                _label(panel, marks[index], how_much)
            else:
                factor, share = information.best(index)
                _label(panel, f"{factor} {100 * share:.0f} %", how_much, bold=True)


def _notes(
    use: Use,
    information: Information | None,
    shown: Sequence[str],
    latents: Sequence[str],
    marks: Collection[str],
) -> list[str]:
    """What a reader has to know of the picture of traversals, a sentence each."""
    varied = []
    if any(name.startswith("z") for name in shown):
        whose = "prior standard deviations" if use.by_kl else "standard deviations of its own"
        varied.append(f"z over ±{REACH:g} {whose}")
    if any(name.startswith("c") for name in shown):
        varied.append("c over its categories")
    notes = [f"Each row varies one latent: {', '.join(varied)}."]
    if information is not None and not all(marks):
        notes.append("Bold: the factor it tells most, and how much (mutual information / entropy).")
    if "inactive" in marks:
        notes.append("No latent is in use.")
    notes += [f"{word}: {_MEANINGS[word]}." for word in _MEANINGS if word in marks]
    left = [name for name in latents if name not in shown]
    idle = [name for name in left if not use.active[latents.index(name)]]
    if idle:
        notes.append(f"Not in use, not shown: {', '.join(idle)}.")
    if len(left) > len(idle):
        notes.append(f"{len(left) - len(idle)} more in use are not shown.")
    return notes


def draw_information(record: Record, evaluation: Evaluation, information: Information) -> None:
    """Mutual information of latents and factors, as a share of each factor's entropy."""
    import seaborn

    use = Use.of(evaluation)
    names = [f"z{d + 1}" for d in range(use.continuous)]
    names += [f"c{c + 1}" for c in range(len(use.amounts) - use.continuous)]
    marks = [mark(index, use, information) for index in use.order]
    meanings = [f"{word}: {_MEANINGS[word]}" for word in _MEANINGS if word in marks]
    columns = len(information.factors)
    width = min(WIDTH, 2.1 + max(0.45 * columns, 1.4))
    text = "\n".join(textwrap.fill(meaning, int(20 * width)) for meaning in meanings)
    height = 0.95 + 0.24 * len(names) + 0.11 * text.count("\n")
    with figure(record.folder / "information", width, height) as drawn:
        panel = drawn.subplots()
        seaborn.heatmap(
            information.shares[use.order],
            ax=panel,
            vmin=0,
            vmax=1,
            cmap="Blues",
            annot=columns <= _NUMBERED,
            fmt=".2f",
            annot_kws={"fontsize": 7},
            linewidths=0.5,
            xticklabels=information.factors,
            yticklabels=[
                f"{word}  {_symbol(names[index])} ({use.amounts[index]:.2f})".lstrip()
                for index, word in zip(use.order, marks, strict=True)
            ],
            cbar_kws={"label": "I(z; v) / H(v)"},
        )
        panel.tick_params(axis="both", length=0)
        panel.tick_params(axis="y", rotation=0)
        panel.set_ylabel(f"latent ({use.title})")
        title = titled(f"{record.run.title}: mutual information", int(15 * width))
        drawn.suptitle(title, fontsize=8)
        if text:
            drawn.supxlabel(text, fontsize=6.5)


def _symbol(latent: str) -> str:
    return f"${latent[0]}_{{{latent[1:]}}}$"


def _label(panel: Axes, first: str, second: str, *, bold: bool = False) -> None:
    """Two lines to the left of a strip, or the second alone."""
    place: dict[str, Any] = {"transform": panel.transAxes, "ha": "right", "va": "center"}
    weight = "bold" if bold else "normal"
    size = min(8.0, 8.0 * 17 / max(1, len(first)))  # long names of factors get smaller letters
    panel.text(-0.012, 0.66, first, fontsize=size, weight=weight, **place)
    panel.text(-0.012, 0.34 if first else 0.5, second, fontsize=7, color="0.35", **place)


def _strip(panel: Axes, images: np.ndarray, count: int) -> None:
    """Images (n, C, H, W) side by side, with a line between them, on a strip for `count`."""
    n, channels, height, width = images.shape
    strip = np.full((height + 2, count * (width + 2), 3), 255, dtype=np.uint8)
    for index, image in enumerate(images):
        left = index * (width + 2)
        strip[:, left : left + width + 2] = 120
        tile = image.transpose(1, 2, 0)
        strip[1 : height + 1, left + 1 : left + width + 1] = (
            tile if channels == 3 else tile.repeat(3, axis=2)
        )
    panel.imshow(strip, interpolation="nearest")
    panel.set_xticks([])
    panel.set_yticks([])
    for side in panel.spines.values():
        side.set_visible(False)
