"""Pictures of one run: reconstructions, traversals, and what each latent knows of each factor."""

import numpy as np
from matplotlib.axes import Axes

from bench.figures import WIDTH, figure, titled
from bench.records import ACTIVE, REACH, SAMPLES, Record
from bench.store import read_arrays


def draw_run(record: Record) -> None:
    """Draw what the record allows, into the run's folder."""
    if (record.folder / SAMPLES).exists():
        samples = read_arrays(record.folder / SAMPLES)
        draw_reconstructions(record, samples)
        draw_traversals(record, samples)
    if "mig" in record.scores:
        draw_information(record)


def draw_reconstructions(record: Record, samples: dict[str, np.ndarray]) -> None:
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
        error = record.evaluation["reconstruction"]
        drawn.suptitle(titled(f"{record.run.title}: {error:.1f} nats an image"), fontsize=8)


def draw_traversals(record: Record, samples: dict[str, np.ndarray]) -> None:
    """A row a latent, the one with the largest KL first; categories one by one."""
    latents = [name for name in samples if name not in ("originals", "reconstructions")]
    kl = dict(zip(latents, record.evaluation["kl"], strict=True))
    order = sorted(kl, key=lambda name: -kl[name])
    count = max(len(samples[name]) for name in order)
    height = 0.55 + len(order) * WIDTH / (count + 2.4)
    with figure(record.folder / "traversals", WIDTH, height) as drawn:
        axes = drawn.subplots(len(order), 1, squeeze=False).ravel()
        for panel, name in zip(axes, order, strict=True):
            _strip(panel, samples[name], count)
            active = "" if kl[name] >= ACTIVE else "\n(inactive)"
            label = f"{_named(name)}\n{kl[name]:.2f} nats{active}"
            panel.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
        how = f"continuous latents from {-REACH:g} to {REACH:g} prior standard deviations"
        if any(name.startswith("c") for name in order):
            how += ", categorical ones category by category"
        drawn.suptitle(titled(f"{record.run.title}: {how}"), fontsize=8)


def draw_information(record: Record) -> None:
    """Mutual information of latents and factors, as a share of each factor's entropy."""
    import seaborn

    details = record.scores["mig"]["details"]
    information = np.array(details["mutual_information"])
    entropies = np.array([details["entropies"][name] for name in details["factors"]])
    shares = np.divide(information, entropies, out=np.zeros_like(information), where=entropies > 0)
    kl = record.evaluation["kl"]
    order = np.argsort(-np.array(kl), kind="stable")
    with figure(record.folder / "information", WIDTH / 2 + 0.4, 0.9 + 0.26 * len(kl)) as drawn:
        panel = drawn.subplots()
        seaborn.heatmap(
            shares[order],
            ax=panel,
            vmin=0,
            vmax=1,
            cmap="Blues",
            annot=True,
            fmt=".2f",
            annot_kws={"fontsize": 7},
            linewidths=0.5,
            xticklabels=details["factors"],
            yticklabels=[f"{_named(details['latents'][i])} ({kl[i]:.2f})" for i in order],
            cbar_kws={"label": "I(z; v) / H(v)"},
        )
        panel.tick_params(axis="y", rotation=0)
        panel.set_ylabel("latent (KL in nats)")
        panel.set_title(titled(f"{record.run.title}: mutual information", 60), fontsize=8)


def _named(latent: str) -> str:
    return f"${latent[0]}_{{{latent[1:]}}}$"


def _strip(panel: Axes, images: np.ndarray, count: int) -> None:
    """Images (n, C, H, W) side by side, with a line between them, on a strip for `count`."""
    n, channels, height, width = images.shape
    strip = np.full((height + 2, count * (width + 2), 3), 255, dtype=np.uint8)
    for place, image in enumerate(images):
        left = place * (width + 2)
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
