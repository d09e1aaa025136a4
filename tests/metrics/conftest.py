"""Shared by the tests of the metrics: factors, representations, golden values and short calls."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.metrics import METRICS, Representation, Score

DSPRITES = (3, 6, 40, 32, 32)  # classes of each factor
# Cheaper than the defaults, and the same definition except for the rows and the number of trees.
QUICK: dict[str, dict[str, Any]] = {
    "dci": {"points": 1_000, "stages": 6, "rate": 0.5},
    "few_labels_linear": {"some": 300, "most": 1_000, "repeats": 2},
    "few_labels_boosted": {"some": 300, "most": 1_000, "repeats": 2, "stages": 12, "rate": 0.5},
    "dci_es": {"points": 1_000, "trees": 10},
}
# These look at the codes alone; their value is no share of anything.
WITHOUT_FACTORS = ("total_correlation", "kl_decomposition", "active_units")
GOLDEN = (
    "a_perfect",
    "b_rotated",
    "c_noise",
    "d_dup",
    "e_merge",
    "f_collapsed",
    "g1_noise01",
    "h_warp",
    "i_onehot",
    "k_shapes3d",
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def score(name: str, representation: Representation) -> Score:
    """A metric's score with quick options."""
    return METRICS[name](representation, rng(), **QUICK.get(name, {}))


def plain(score: Score) -> Any:
    """Details as JSON reads them back; NaN is refused."""
    text = json.dumps(dict(score.details), default=lambda array: array.tolist(), allow_nan=False)
    return json.loads(text)


# Factors


def draw(rows: int = 10_000, sizes: tuple[int, ...] = DSPRITES, seed: int = 99) -> np.ndarray:
    """(N, K) independent uniform factors."""
    return rng(seed).integers(sizes, size=(rows, len(sizes)))


def grid(*sizes: int, copies: int = 1) -> np.ndarray:
    """(N, K): every combination of the factors' values, so that nothing is left to chance."""
    return np.tile(np.indices(sizes).reshape(len(sizes), -1).T, (copies, 1))


# Representations


def marked(rows: int) -> np.ndarray:
    """(N,) a third of the rows as unseen, which only the metrics of generalisation read."""
    return rng(5).random(rows) < 1 / 3


def represent(
    factors: np.ndarray,
    codes: np.ndarray | None = None,
    categories: np.ndarray | None = None,
    kind: str = "ordinal",
    **fields: Any,
) -> Representation:
    """Factors v0, v1 and so on, all of one kind, with as many classes as occur."""
    rows, count = factors.shape
    none = np.zeros((rows, 0), dtype=int)
    codes = none.astype(float) if codes is None else codes.reshape(rows, -1)
    categories = none if categories is None else categories.reshape(rows, -1)
    defaults: dict[str, Any] = {
        "category_sizes": tuple(int(c.max()) + 1 for c in categories.T),
        "factor_names": tuple(f"v{k}" for k in range(count)),
        "factor_kinds": (kind,) * count,
        "factor_sizes": tuple(int(v.max()) + 1 for v in factors.T),
        "unseen": marked(rows),
    }
    return Representation(
        codes=codes, categories=categories, factors=factors, **{**defaults, **fields}
    )


def noisy(rows: int, **fields: Any) -> Representation:
    """Three latents that capture three factors, with noise."""
    factors = rng(1).integers((3, 6, 10), size=(rows, 3))
    codes = factors / (3, 6, 10) + 0.1 * rng(2).normal(size=(rows, 3))
    unseen = marked(rows)
    return Representation.of(**{"codes": codes, "factors": factors, "unseen": unseen, **fields})


def entangled(
    rows: int = 9_000, *, categorical: bool = True, posterior: bool = True
) -> Representation:
    """Mixed, noisy codes and a category: no metric is at an end of its range."""
    sizes, generator = (3, 6, 40), rng(7)
    factors = generator.integers(sizes, size=(rows, 3))
    mixing = np.array([[1.0, 0.6, 0.1], [0.3, 1.0, 0.5], [0.6, 0.3, 1.0]])
    codes = factors / np.array(sizes) @ mixing + 0.3 * generator.normal(size=(rows, 3))
    lost = generator.random(rows) < 0.5
    shape = np.where(lost, generator.integers(3, size=rows), factors[:, 0])
    return Representation(
        codes=codes,
        categories=shape[:, None] if categorical else np.zeros((rows, 0), dtype=int),
        factors=factors,
        category_sizes=(3,) if categorical else (),
        factor_names=("shape", "scale", "angle"),
        factor_kinds=("categorical", "ordinal", "cyclic"),
        factor_sizes=sizes,
        logvar=0.5 * np.tanh(codes) - 2.5 if posterior else None,
        probabilities=0.1 + 0.7 * np.eye(3)[shape] if categorical and posterior else None,
        unseen=marked(rows),
    )


def with_posterior(
    codes: np.ndarray | None = None,
    logvar: Any = None,
    probabilities: tuple[np.ndarray, ...] = (),
    factors: np.ndarray | None = None,
    **fields: Any,
) -> Representation:
    """Codes with their log variance, which may be one number, and the most likely categories."""
    rows = len(codes if codes is not None else probabilities[0])
    if factors is None:
        factors = rng(50).integers(3, size=(rows, 1))
    arrays: dict[str, Any] = {"factors": factors, **fields}
    if codes is not None:
        arrays |= {"codes": codes, "logvar": np.broadcast_to(logvar, codes.shape)}
    if probabilities:
        arrays["categories"] = np.stack([p.argmax(axis=1) for p in probabilities], axis=1)
        arrays["probabilities"] = np.hstack(probabilities)
        arrays["category_sizes"] = [p.shape[1] for p in probabilities]
    return Representation.of(**arrays)


def labelled(rows: int = 2_000) -> Representation:
    """Three latents of different widths and a category: each is informative about each factor."""
    factors = rng(1).integers([3, 8], size=(rows, 2))
    scaled = (factors - [1, 3.5]) / [1, 2.5]
    mixed = scaled @ np.array([[1.0, 0.4, 0.1], [0.2, 1.0, 0.5]])
    codes = mixed + 0.3 * rng(2).normal(size=(rows, 3))
    logvar = np.log([0.3, 0.5, 0.8]) * 2 + 0.2 * rng(3).normal(size=(rows, 3))
    p = 0.1 + 0.7 * np.eye(3)[factors[:, 0]]
    kinds = ("categorical", "ordinal")
    return with_posterior(codes, logvar, (p,), factors, factor_kinds=kinds)


# Golden values


@dataclass(frozen=True)
class Golden:
    """A stored representation and its scores by other implementations.

    Attributes:
        train: arrays `codes` and `factors` of the rows.
        test: the same of held-out rows.
        sizes: classes of each factor.
        values: the scores by name; disentanglement_lib's where it has the metric.
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    sizes: tuple[int, ...]
    values: dict[str, Any]

    def represent(self, rows: str = "train", **fields: Any) -> Representation:
        """One side, with ordinal factors unless their kinds are given."""
        arrays = getattr(self, rows)
        fields = {"factor_sizes": self.sizes, **fields}
        return represent(arrays["factors"], arrays["codes"], **fields)

    def split(self) -> Representation:
        """Both sides, the test rows held out."""
        return Representation.of(**self.train, factor_sizes=self.sizes, test=self.test)


def golden_values(shared: Path) -> dict[str, Any]:
    """All that is known of the stored representations."""
    values: dict[str, Any] = json.loads((shared / "metrics_golden.json").read_text())
    return values


def golden(shared: Path, case: str) -> Golden:
    """One of the cases of `GOLDEN`."""
    values = golden_values(shared)
    with np.load(shared / "representations" / f"{case}.npz") as arrays:
        train, test = (
            {name: arrays[f"{name}_{rows}"] for name in ("codes", "factors")}
            for rows in ("train", "test")
        )
    return Golden(train, test, tuple(values["factor_sizes"][case]), values["cases"][case])
