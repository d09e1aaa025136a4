"""Pictures of one run: reconstructions, traversals, and what each latent knows of each factor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from bench.report.style import WIDTH, figure, titled
from bench.store.files import read_arrays
from bench.store.record import REACH, SAMPLES, Evaluation, Record


@dataclass(frozen=True)
class Use:
    """How much each latent is used: its KL in nats, or without one its spread over the images.

    Attributes:
        by_kl: whether the amounts are KLs.
        amounts: of each latent, continuous latents first.
        active: whether each latent is in use.
        continuous: number of continuous latents; the others are categorical.
    """

    by_kl: bool
    amounts: Sequence[float]
    active: Sequence[bool]
    continuous: int

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Use":
        kl = evaluation.kl
        amounts = evaluation.spread if kl is None else kl
        return cls(kl is not None, amounts, evaluation.active, evaluation.continuous)

    @property
    def order(self) -> list[int]:
        """Indices of the latents, the most used one first."""
        return sorted(range(len(self.amounts)), key=lambda index: -self.amounts[index])

    @property
    def title(self) -> str:
        return "KL in nats" if self.by_kl else "spread"

    def words(self, index: int) -> str:
        if self.by_kl:
            return f"{self.amounts[index]:.2f} nats"
        what = "std" if index < self.continuous else "entropy"
        return f"{what} {self.amounts[index]:.2f}"


def draw_run(record: Record) -> None:
    """Draw the pictures that a scored run allows, into its folder."""
    evaluation = record.evaluation
    if evaluation is None:
        return
    if (record.folder / SAMPLES).exists():
        samples = read_arrays(record.folder / SAMPLES)
        draw_reconstructions(record, evaluation, samples)
        draw_traversals(record, evaluation, samples)
    if "mig" in record.scores:
        draw_information(record, evaluation)


def is_drawn(record: Record) -> bool:
    """Whether the run's folder has all pictures that the record allows."""
    names = ["reconstructions", "traversals"] if (record.folder / SAMPLES).exists() else []
    names += ["information"] if "mig" in record.scores else []
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
    """A row per latent, the one with the largest KL first; categories one by one."""
    latents = [name for name in samples if name not in ("originals", "reconstructions")]
    use = Use.of(evaluation)
    order = [latents[index] for index in use.order]
    count = max(len(samples[name]) for name in order)
    height = 0.55 + len(order) * WIDTH / (count + 2.4)
    with figure(record.folder / "traversals", WIDTH, height) as drawn:
        axes = drawn.subplots(len(order), 1, squeeze=False).ravel()
        for panel, name in zip(axes, order, strict=True):
            _strip(panel, samples[name], count)
            index = latents.index(name)
            active = "" if use.active[index] else "\n(inactive)"
            label = f"{_symbol(name)}\n{use.words(index)}{active}"
            panel.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
        whose = "prior standard deviations" if use.by_kl else "standard deviations around the mean"
        how = f"continuous latents from {-REACH:g} to {REACH:g} {whose}"
        if any(name.startswith("c") for name in order):
            how += ", categorical ones category by category"
        drawn.suptitle(titled(f"{record.run.title}: {how}"), fontsize=8)


def draw_information(record: Record, evaluation: Evaluation) -> None:
    """Mutual information of latents and factors, as a share of each factor's entropy."""
    import seaborn

    details = record.scores["mig"].details
    information = np.array(details["mutual_information"])
    entropies = np.array([details["entropies"][name] for name in details["factors"]])
    shares = np.divide(information, entropies, out=np.zeros_like(information), where=entropies > 0)
    use = Use.of(evaluation)
    height = 0.9 + 0.26 * len(use.amounts)
    with figure(record.folder / "information", WIDTH / 2 + 0.4, height) as drawn:
        panel = drawn.subplots()
        seaborn.heatmap(
            shares[use.order],
            ax=panel,
            vmin=0,
            vmax=1,
            cmap="Blues",
            annot=True,
            fmt=".2f",
            annot_kws={"fontsize": 7},
            linewidths=0.5,
            xticklabels=details["factors"],
            yticklabels=[
                f"{_symbol(details['latents'][i])} ({use.amounts[i]:.2f})" for i in use.order
            ],
            cbar_kws={"label": "I(z; v) / H(v)"},
        )
        panel.tick_params(axis="y", rotation=0)
        panel.set_ylabel(f"latent ({use.title})")
        panel.set_title(titled(f"{record.run.title}: mutual information", 60), fontsize=8)


def _symbol(latent: str) -> str:
    return f"${latent[0]}_{{{latent[1:]}}}$"


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
