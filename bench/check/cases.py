"""Codes whose quality is known in advance, as they are made here.

`bench check` prints what a metric gives for each; the conformance table
(results/reference/conformance.md) holds every registered metric to bounds on each.

Rows have the factors of dSprites, drawn independently and uniformly. A factor as a code is its
class index with mean 0 and variance 1 over the factor's classes. Every case has a posterior, which
only the metrics that need one read: a narrow one (variance 1e-4) for latents that are used and
the prior for dead ones. `kl` is given in one case only, so that elsewhere latents are pruned by
their standard deviation. Rows with an upper class of scale, posX or posY, those that the split
`extrapolation` holds out, are marked as unseen, which only the metrics of generalisation read.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from bench.metrics import Representation

NAMES = ("shape", "scale", "orientation", "posX", "posY")
KINDS = ("categorical", "ordinal", "cyclic", "ordinal", "ordinal")
SIZES = (3, 6, 40, 32, 32)
ROWS, TEST_ROWS = 10_000, 5_000
SEEN = (3, 4, 40, 21, 21)  # classes of each factor, the lower ones: rows with others are unseen
NARROW = 1e-4  # variance of the posterior of a latent that is used
SEED = 0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CASES: dict[str, str] = {
    "perfect": "each factor in a latent of its own",
    "permuted": "perfect, latents in another order, three of them with their sign flipped",
    "scaled": "perfect, latents scaled by 0.08, 1, 3, 10 and 30 and shifted by 2",
    "rotated": "perfect, all five latents turned by the matrix of the discrete cosine transform",
    "rotated pair": "perfect, posX and posY turned by 45 degrees",
    "duplicated": "perfect, and an exact copy of every latent",
    "merged": "posX + posY in one latent, the other factors in one each: 4 latents",
    "noisy": "perfect, with Gaussian noise of standard deviation 0.1",
    "dead": "perfect, with three constant latents and two of noise with standard deviation 0.01",
    "constant": "five constant latents",
    "noise": "ten latents of Gaussian noise, which tell nothing",
    "outliers": "perfect, 0.1 % of the rows of each latent multiplied by 20",
    "cubed": "perfect, each latent to the power of 3",
    "one-hot": "perfect, with shape as three columns of floats in the place of its latent",
    "category": "perfect, with shape as a category in the place of its latent",
    "no shape": "perfect without the latent of shape: what the next five are compared with",
    "one noise": "no shape, and one latent of Gaussian noise",
    "six noise": "no shape, and six latents of Gaussian noise",
    "random one-hot": "no shape, and a random category of 3 as three columns of floats",
    "random category": "no shape, and a random category of 3 as a category",
    "collapsed": "no shape, and six latents of noise with standard deviation 0.3 whose posterior "
    "is nearly the prior (0.05 nats), with the KL given",
}


def cases(
    rows: int = ROWS, test_rows: int = TEST_ROWS, seed: int = SEED
) -> dict[str, Representation]:
    """Each case of `CASES` as a representation of `rows` rows, and `test_rows` held out."""
    sides = [_side(n, np.random.default_rng([seed, k])) for k, n in enumerate((rows, test_rows))]
    representations = {}
    for name in CASES:
        train, test = (side[name] for side in sides)
        representation = Representation.of(
            **train,
            category_sizes=(3,) if "categories" in train else (),
            factor_names=NAMES,
            factor_kinds=KINDS,
            factor_sizes=SIZES,
            test=test,
            unseen=(train["factors"] >= SEEN).any(axis=1),
        )
        if name != "collapsed":
            held_out = representation.test
            assert held_out is not None
            representation = replace(representation, kl=None, test=replace(held_out, kl=None))
        representations[name] = representation
    return representations


def rotation() -> Floats:
    """The orthogonal matrix (5, 5) of the case `rotated`: no entry is above 0.64."""
    matrix: Floats = dct(np.eye(5), norm="ortho")
    return matrix


def _side(rows: int, rng: np.random.Generator) -> dict[str, dict[str, NDArray[Any]]]:
    """The arrays of every case over the same rows."""
    factors = rng.integers(SIZES, size=(rows, len(SIZES)))
    middle = (np.array(SIZES) - 1) / 2
    s = (factors - middle) / np.sqrt((np.array(SIZES) ** 2 - 1) / 12)
    shape = np.eye(3)[factors[:, 0]]
    useless = rng.integers(3, size=rows)
    normal = rng.normal(size=(rows, 10))
    turned = np.column_stack([s[:, 3] + s[:, 4], s[:, 3] - s[:, 4]]) / np.sqrt(2)
    far = np.ones_like(s)
    for column in far.T:
        column[rng.choice(rows, size=max(1, rows // 1000), replace=False)] = 20
    scales = np.array([0.08, 1, 3, 10, 30])
    three, near = np.full((rows, 3), 0.1), 0.01 * normal[:, :2]

    used = {
        "perfect": s,
        "permuted": s[:, [3, 0, 4, 2, 1]] * [1, -1, -1, 1, -1],
        "scaled": s * scales + 2,
        "rotated": s @ rotation(),
        "rotated pair": np.hstack([s[:, :3], turned]),
        "duplicated": np.tile(s, 2),
        "merged": np.hstack([s[:, :3], turned[:, :1]]),
        "noisy": s + 0.1 * normal[:, :5],
        "noise": normal,
        "outliers": s * far,
        "cubed": s**3,
        "one-hot": np.hstack([s[:, 1:], shape]),
        "no shape": s[:, 1:],
        "one noise": np.hstack([s[:, 1:], normal[:, :1]]),
        "six noise": np.hstack([s[:, 1:], normal[:, :6]]),
        "random one-hot": np.hstack([s[:, 1:], np.eye(3)[useless]]),
    }
    sides = {name: _latents(codes) for name, codes in used.items()}
    sides["scaled"] = _latents(used["scaled"], NARROW * scales**2)
    sides["dead"] = _latents(np.hstack([s, three, near]), [NARROW] * 5 + [1] * 3 + [1 - 1e-4] * 2)
    sides["constant"] = _latents(np.full((rows, 5), 0.1), 1.0)
    weak = 0.3 * normal[:, :6]
    sides["collapsed"] = _latents(np.hstack([s[:, 1:], weak]), [NARROW] * 4 + [1 - 0.3**2] * 6)
    for name, category in {"category": factors[:, 0], "random category": useless}.items():
        probabilities = {"categories": category[:, None], "probabilities": np.eye(3)[category]}
        sides[name] = {**_latents(s[:, 1:]), **probabilities}
    return {name: {**side, "factors": factors} for name, side in sides.items()}


def _latents(codes: Floats, variance: Any = NARROW) -> dict[str, NDArray[Any]]:
    return {"codes": codes, "logvar": np.broadcast_to(np.log(variance), codes.shape).copy()}
