"""Pictures of one run: reconstructions, traversals, and what each latent knows of each factor."""

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from bench.datasets import FactorData
from bench.errors import RequestError
from bench.metrics import Representation, mig, mig_neighbours
from bench.report.columns import one_line, shown
from bench.report.frame import HasRecord, record_of
from bench.report.style import WIDTH, current, figure, folded, literal, titled
from bench.score import evaluate
from bench.store.files import read_arrays
from bench.store.record import ACTIVE, REACH, REPRESENTATION, SAMPLES, Evaluation, Record
from bench.store.representation import read_representation
from bench.streams import numpy_stream

if TYPE_CHECKING:
    from bench.models import VAE

TELLS = 0.05  # of a factor's entropy, from which a latent counts as telling it
ROWS = 12  # of traversals: more latents make no picture

_LABELS, _GAP = 1.25, 0.06  # inches, of the picture of traversals
MINIMAL = 2.5  # inches: a narrower one has no room for pictures beside the labels
_POINTS = 2_000  # rows behind the information of vectors, which takes the square of them
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
            if score.details.keys() >= _RELATIONS:
                return cls._from(score.details)
        return None

    @classmethod
    def within(cls, representation: Representation) -> "Information":
        """That of a representation, estimated as for its MIG; of vectors by nearest neighbours.

        Raises:
            RequestError: no factor varies.
        """
        rng = numpy_stream(0, "mig")
        try:
            if representation.groups is not None:  # vectors have no bins
                return cls._from(mig_neighbours(representation, rng, points=_POINTS).details)
            return cls._from(mig(representation, rng).details)
        except ValueError as error:
            raise RequestError(str(error)) from error

    @classmethod
    def _from(cls, details: Mapping[str, Any]) -> "Information":
        factors = details["factors"]
        information = np.array(details["mutual_information"])
        entropies = np.array([details["entropies"][name] for name in factors])
        none = np.zeros_like(information)
        return cls(factors, np.divide(information, entropies, none, where=entropies > 0))

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


# What the words beside a latent mean, where they do not speak for themselves.
MEANINGS = {
    "constant": "capacity met by a constant (nearly the same value for every image)",
    "no factor": f"below {TELLS:.0%} of every factor",
}


def draw_run(record: Record) -> None:
    """Draw the pictures that a scored run allows, into its folder."""
    (record,) = shown([record])
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


def traversals(
    source: "HasRecord | Record | VAE",
    data: FactorData | None = None,
    *,
    rows: int = 2_000,
    ax: Axes | None = None,
) -> Axes:
    """What each latent does: the pictures that a model makes while one latent varies.

    A row per latent in use, the one with the largest KL first; categories one by one. Each is
    labelled with the factor that it tells most. Of a model that uses no latent, all are shown.

    Args:
        source: a finished run of a study, its record, or a model with a decoder.
        data: of a model; a run has its pictures in its folder.
        rows: number of images of the data that say how much each latent is used, and for what.
        ax: to draw into; matplotlib's current one if none is given. It takes about a text width.

    Returns:
        The Axes; the pictures are in Axes inside it.

    Raises:
        RequestError: the run has no decoder or is not finished, or a model comes without data.
    """
    record = record_of(source)
    if record is not None:
        evaluation, path = record.evaluation, record.folder / SAMPLES
        if evaluation is None or not path.exists():
            raise RequestError(f"{record.run.title} has no {SAMPLES}: only a decoder makes it")
        samples, of_factors = read_arrays(path), Information.of(record)
    else:
        samples, evaluation, of_factors = _live(source, data, rows)
    ax = current(ax)
    width = max(MINIMAL, float(ax.get_window_extent().width / ax.figure.dpi))
    _Traversals.of(samples, Use.of(evaluation), of_factors, width).draw(ax)
    return ax


def _live(
    model: Any, data: FactorData | None, rows: int
) -> tuple[dict[str, np.ndarray], Evaluation, "Information | None"]:
    """The samples of a model, which latents it uses, and for what."""
    from bench.encode import encode_drawn, samples  # not above, as it imports torch
    from bench.models import VAE

    if not isinstance(model, VAE):
        raise RequestError(
            f"an object of type {type(model).__name__} has no traversals: give a run or a VAE"
        )
    if not isinstance(data, FactorData):
        raise RequestError("traversals of a model need its data: give a data set")
    device, training = next(model.parameters()).device, model.training
    encoded = encode_drawn(model, data, rows, 0, device)
    arrays = samples(model, data, encoded.rows, encoded.representation.codes, device)
    model.train(training)
    try:
        of_factors: Information | None = Information.within(encoded.representation)
    except RequestError:  # no factor varies: nothing to label the rows with
        of_factors = None
    return arrays, evaluate(encoded.representation), of_factors


def draw_traversals(record: Record, evaluation: Evaluation, samples: dict[str, np.ndarray]) -> None:
    """The file of a run's traversals."""
    panels = _Traversals.of(samples, Use.of(evaluation), Information.of(record), WIDTH)
    title = titled(f"{record.run.title}, on {record.run.data_name}")
    top = 0.2 + 0.12 * len(title.splitlines())
    total = top + panels.height
    with figure(record.folder / "traversals", WIDTH, total, layout=None) as drawn:
        drawn.text(0.5, 1 - 0.05 / total, title, ha="center", va="top")
        panels.draw(drawn.add_axes((0, 0, 1, panels.height / total)))


@dataclass(frozen=True)
class _Traversals:
    """Traversals as they are drawn: strips of pictures, one below the other. Sizes are inches.

    Attributes:
        reference: the image that they start from and its reconstruction, (2, C, H, W).
        strips: of each latent the name, the pictures (n, C, H, W), and the two lines beside it.
        bold: whether the first of the two lines is the name of a factor.
        notes: what a reader has to know, a line each.
        count: number of pictures that a strip has room for.
        width: of everything.
        tile: width of a picture.
        row: height of a strip.
        head: height of the strip of the reference, with the notes.
    """

    reference: np.ndarray
    strips: Sequence[tuple[np.ndarray, str, str]]
    bold: Sequence[bool]
    notes: Sequence[str]
    count: int
    width: float
    tile: float
    row: float
    head: float

    @classmethod
    def of(
        cls,
        samples: Mapping[str, np.ndarray],
        use: Use,
        information: Information | None,
        width: float,
    ) -> "_Traversals":
        latents = [name for name in samples if name[1:].isdigit()]
        shown = ([index for index in use.order if use.active[index]] or use.order)[:ROWS]
        marks = {index: mark(index, use, information) for index in shown}
        strips, bold = [], []
        for index in shown:
            first, how_much = marks[index], f"{_symbol(latents[index])}  {use.words(index)}"
            bold.append(information is not None and not first)
            if information is not None and not first:
                factor, share = information.best(index)
                first = f"{literal(one_line(factor))} {100 * share:.0f} %"
            strips.append((samples[latents[index]], first, how_much))
        # before there was a reference, the traversals started from the first image
        pair = np.stack([samples["originals"][0], samples["reconstructions"][0]])
        reference = samples.get("reference", pair)
        count = max(10, *(len(images) for images, _, _ in strips))
        tile = (width - _LABELS - 0.04) / count
        row = tile * (reference.shape[2] + 2) / (reference.shape[3] + 2)
        notes = _notes(use, information, [latents[i] for i in shown], latents, marks.values())
        letters = max(10, int((count - 2.2) * tile * 23))
        lines = [line for note in notes for line in textwrap.wrap(note, letters)]
        head = max(row, 0.105 * len(lines) + 0.02)
        return cls(reference, strips, bold, lines, count, width, tile, row, head)

    @property
    def height(self) -> float:
        return self.head + len(self.strips) * (self.row + _GAP) + 0.03

    def draw(self, ax: Axes) -> None:
        """Draw everything into Axes inside the given one."""
        ax.set_axis_off()

        def panel_at(depth: float) -> Axes:
            place = (_LABELS, self.height - depth - self.row, self.count * self.tile, self.row)
            return ax.inset_axes(tuple(np.divide(place, (self.width, self.height) * 2)))

        panel = panel_at((self.head - self.row) / 2)
        _strip(panel, self.reference, self.count)
        _label(panel, "an image", "and its reconstruction")
        panel.text(
            2.15 / self.count,
            0.5,
            "\n".join(self.notes),
            transform=panel.transAxes,
            va="center",
            fontsize=6.5,
            linespacing=1.1,
        )
        for place, (images, first, second) in enumerate(self.strips):
            panel = panel_at(self.head + _GAP + place * (self.row + _GAP))
            _strip(panel, images, self.count)
            _label(panel, first, second, bold=self.bold[place])


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
    notes += [f"{word}: {MEANINGS[word]}." for word in MEANINGS if word in marks]
    left = [name for name in latents if name not in shown]
    idle = [name for name in left if not use.active[latents.index(name)]]
    if idle:
        notes.append(f"Not in use, not shown: {', '.join(idle)}.")
    if len(left) > len(idle):
        notes.append(f"{len(left) - len(idle)} more in use are not shown.")
    return notes


def information(source: "HasRecord | Record | Representation", *, ax: Axes | None = None) -> Axes:
    """How much each latent tells of each factor: a heat map of their mutual information.

    As a share of each factor's entropy. The most used latent comes first, by its KL, or without
    one by its spread, which is in brackets. A latent that is of no use says why.

    Args:
        source: codes with their factors, a finished run of a study, or its record.
        ax: to draw into; matplotlib's current one if none is given.

    Returns:
        The Axes.

    Raises:
        RequestError: no factor varies, or the run has no codes.
    """
    record = record_of(source)
    if record is not None:
        shares, evaluation = Information.of(record), record.evaluation
        if shares is None and (path := record.folder / REPRESENTATION).exists():
            shares = Information.within(read_representation(path))
        if evaluation is None or shares is None:
            raise RequestError(f"{record.run.title} has no codes: only a finished run has")
    elif isinstance(source, Representation):
        shares, evaluation = Information.within(source), evaluate(source)
    else:
        what = type(source).__name__
        raise RequestError(
            f"an object of type {what} has no codes: give a Representation, or a run"
        )
    ax = current(ax)
    notes = _heat_map(ax, Use.of(evaluation), shares)
    if notes:
        ax.set_xlabel("\n".join(notes), fontsize="small")
    return ax


def draw_information(record: Record, evaluation: Evaluation, information: Information) -> None:
    """The file of a run's heat map."""
    use = Use.of(evaluation)
    width = min(WIDTH, 2.1 + max(0.45 * len(information.factors), 1.4))
    marks = {mark(index, use, information) for index in use.order}
    meanings = [f"{word}: {MEANINGS[word]}" for word in MEANINGS if word in marks]
    text = "\n".join(textwrap.fill(meaning, int(20 * width)) for meaning in meanings)
    height = 0.95 + 0.24 * len(use.amounts) + 0.11 * text.count("\n")
    with figure(record.folder / "information", width, height) as drawn:
        _heat_map(drawn.subplots(), use, information)
        title = titled(f"{record.run.title}: mutual information", int(15 * width))
        drawn.suptitle(title, fontsize=8)
        if text:
            drawn.supxlabel(text, fontsize=6.5)


def _heat_map(panel: Axes, use: Use, information: Information) -> list[str]:
    """Draw the shares; what the words beside the latents mean."""
    import seaborn

    names = [f"z{d + 1}" for d in range(use.continuous)]
    names += [f"c{c + 1}" for c in range(len(use.amounts) - use.continuous)]
    marks = [mark(index, use, information) for index in use.order]
    seaborn.heatmap(
        information.shares[use.order],
        ax=panel,
        vmin=0,
        vmax=1,
        cmap="Blues",
        annot=len(information.factors) <= _NUMBERED,
        fmt=".2f",
        annot_kws={"fontsize": 7},
        linewidths=0.5,
        xticklabels=[folded(name, 40) for name in information.factors],
        yticklabels=[
            f"{word}  {_symbol(names[index])} ({use.amounts[index]:.2f})".lstrip()
            for index, word in zip(use.order, marks, strict=True)
        ],
        cbar_kws={"label": "I(z; v) / H(v)"},
    )
    panel.tick_params(axis="both", length=0)
    panel.tick_params(axis="y", rotation=0)
    panel.set_ylabel(f"latent ({use.title})")
    return [f"{word}: {MEANINGS[word]}" for word in MEANINGS if word in marks]


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
