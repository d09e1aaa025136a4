"""Mutual information of numbers, estimated from the distances of nearest neighbours, in nats.

Both estimators put a ball around each row, out to its k-th nearest neighbour, and compare how many
rows lie inside it with how many would if the two sides were independent. scikit-learn, which the
papers use, breaks ties by adding noise; here ties are computed, and nothing is left to chance.

A side may be a vector: its distances are Euclidean, so that turning it changes nothing, and it is
scaled as a whole. All pairs of rows are then compared, which takes about half a second for 10,000.
"""

from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .arrays import FloatArray, IntArray

# A share of the largest number: well above what rounding does to a distance.
ROUNDING = 8 * float(np.finfo(np.float64).eps)

CHUNK = 256  # rows whose distances to all others are held at a time


def information_with_classes(number: FloatArray, labels: IntArray, neighbours: int) -> float:
    """Mutual information of numbers or vectors and classes: Ross 2014, PLoS ONE 9(2): e87357.

        I = psi(N) + mean[psi(k) - psi(N_i) - psi(m_i)],

    where N_i is the size of the class of row i, and m_i counts the rows, including i, that are
    nearer to it than its k-th nearest neighbour within its class. Classes of a single row are left
    out, and a class of fewer than k + 1 rows has fewer neighbours.

    With ties psi(m_i) is its mean over the orders of the rows at one distance, which is what
    infinitely small noise gives on average: exact if the k-th neighbour has the same value as row
    i, otherwise to second order.

    Args:
        number: (N,) or (N, W), finite.
        labels: (N,) non-negative integers.
        neighbours: k, at least 1.

    Returns:
        At least 0; 0 if no two rows share a class.
    """
    labels = labels.astype(np.int64)
    shared = np.bincount(labels)[labels] > 1
    rows = int(shared.sum())
    if not rows:
        return 0.0
    number = _number(number)
    if number.ndim == 2:
        return _vectors_with_classes(number[shared], labels[shared], neighbours)
    number, labels = standardised(number[shared]), labels[shared]
    order = np.argsort(number, kind="stable")
    number, labels = number[order], labels[order]

    # From here on the rows are sorted by class, and by value within a class.
    ranks = np.argsort(labels, kind="stable")
    values, classes = number[ranks], labels[ranks]
    firsts, lasts = (np.searchsorted(classes, classes, side=side) for side in ("left", "right"))
    sizes = lasts - firsts
    k = np.minimum(neighbours, sizes - 1)
    radii = _radii(values, firsts, lasts, k)

    # One sorted list of integers represents the sorted rows of every class.
    keys = classes * rows + ranks
    slack = ROUNDING * np.abs(number).max()
    counts = []
    for ball in (radii - slack, radii + slack):
        low, high = _ranges(number, values, np.maximum(ball, 0))
        own = np.searchsorted(keys, classes * rows + [[low], [high]]).reshape(2, rows)
        counts.append((high - low, own[1] - own[0]))
    (inside, own_inside), (within, own_within) = counts
    psi = _mean_psi(k, inside, own_inside, within, own_within, radii <= slack)
    return max(0.0, float(_digamma(rows) + (_digamma(k) - _digamma(sizes) - psi).mean()))


def _mean_psi(
    k: IntArray,
    inside: IntArray,
    own_inside: IntArray,
    within: IntArray,
    own_within: IntArray,
    centre: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """psi(m_i) of each row, its mean over the orders of the rows at the distance of the k-th.

    Args:
        k: how many neighbours of its class each row has.
        inside: rows, with itself, that are nearer than the k-th of them.
        own_inside: those of its class among them.
        within: rows that are not farther than the k-th.
        own_within: those of its class among them.
        centre: whether the k-th has the same value as the row itself.
    """
    # Only row i itself is nearer than the rows that share its value.
    inside, own_inside = np.where(centre, 1, inside), np.where(centre, 1, own_inside)
    edge, own_edge = within - inside, own_within - own_inside
    # The k-th neighbour is the j-th of its class among the rows at its distance.
    j = k - own_inside + 1
    mean = inside - 1 + j * (edge + 1) / (own_edge + 1)
    spread = j * (own_edge + 1 - j) * (edge + 1) * (edge - own_edge)
    variance = spread / ((own_edge + 1.0) ** 2 * (own_edge + 2))
    psi: NDArray[np.float64] = np.where(
        centre,
        _digamma(k) + _digamma(within) - _digamma(own_within),
        _digamma(mean) - variance / (2 * mean**2),
    )
    return psi


def _vectors_with_classes(vectors: FloatArray, labels: IntArray, neighbours: int) -> float:
    """The same for (N, W) vectors; every class has at least two rows."""
    order = np.argsort(labels, kind="stable")
    vectors, labels = standardised_vectors(vectors[order]), labels[order]
    if not vectors.any():
        return 0.0
    firsts, lasts = (np.searchsorted(labels, labels, side=side) for side in ("left", "right"))
    sizes = lasts - firsts
    k = np.minimum(neighbours, sizes - 1)
    counts = np.empty((4, len(vectors)), dtype=np.int64)
    centre = np.empty(len(vectors), dtype=bool)
    for first, last in zip(np.unique(firsts), np.unique(lasts), strict=True):
        for part, squares, slack in _squared_distances(vectors, first, last):
            own = squares[:, first:last]
            radii = np.partition(own, k[first], axis=1)[:, k[first], None]
            counts[:, part] = [
                np.count_nonzero(side <= ball, axis=1)
                for ball in (radii - slack, radii + slack)
                for side in (squares, own)
            ]
            centre[part] = radii[:, 0] <= slack
    inside, own_inside, within, own_within = counts
    psi = _mean_psi(k, inside, own_inside, within, own_within, centre)
    return max(0.0, float(_digamma(len(vectors)) + (_digamma(k) - _digamma(sizes) - psi).mean()))


def _squared_distances(
    vectors: NDArray[np.float64], first: int, last: int
) -> Iterator[tuple[slice, NDArray[np.float64], float]]:
    """Of some rows (n, W) at a time to all N: which rows, (n, N), and how far off they may be."""
    lengths = np.einsum("nw,nw->n", vectors, vectors)[:, None]
    ones = np.ones_like(lengths)
    left, right = np.hstack([-2 * vectors, lengths, ones]), np.hstack([vectors, ones, lengths]).T
    slack = ROUNDING * 2 * float(np.sqrt(vectors.shape[1]) * lengths.max())
    for start in range(first, last, CHUNK):
        part = slice(start, min(start + CHUNK, last))
        yield part, left[part] @ right, slack


def information_of_numbers(a: FloatArray, b: FloatArray, neighbours: int) -> float:
    """Mutual information of two numbers or vectors: Kraskov et al. 2004, cond-mat/0305641, eq. 8.

        I = psi(N) + mean[psi(k_i) - psi(a_i) - psi(b_i)],

    where k_i, a_i and b_i count the rows, including i, that are nearer to it than its k-th nearest
    neighbour: in the larger of the two distances, and in each alone. Without ties k_i is k. Both
    sides are first scaled to variance 1.

    The information of a number about itself is not infinite: it is psi(N) - psi(k), or, if more
    than k rows share each value, about the entropy of the values.

    Args:
        a: (N,) or (N, W), finite.
        b: (N,), finite.
        neighbours: k, at least 1.

    Returns:
        At least 0; 0 if one side is constant.
    """
    a = _number(a)
    if a.ndim == 2:
        return _vectors_and_numbers(a, b, neighbours)
    from scipy.spatial import KDTree

    sides = [standardised(a), standardised(b)]
    if not all(side.any() for side in sides):
        return 0.0
    both = np.column_stack(sides)
    tree = KDTree(both)
    nearest = min(neighbours, len(both) - 1)
    radii = tree.query(both, k=[nearest + 1], p=np.inf)[0][:, 0]
    # Just short of the edge; the ball of a value that k others share holds only those.
    radii = np.maximum(0, radii - ROUNDING * np.abs(both).max())
    gain = _digamma(tree.query_ball_point(both, radii, p=np.inf, return_length=True))
    for side in sides:
        low, high = _ranges(np.sort(side), side, radii)
        gain = gain - _digamma(high - low)
    return max(0.0, float(_digamma(len(both)) + gain.mean()))


def _vectors_and_numbers(a: FloatArray, b: FloatArray, neighbours: int) -> float:
    """The same for (N, W) vectors and (N,) numbers."""
    a, b = standardised_vectors(a), standardised(b)
    if not a.any() or not b.any():
        return 0.0
    nearest = min(neighbours, len(b) - 1)
    gain = np.empty(len(b))
    for part, squares, slack in _squared_distances(a, 0, len(a)):
        of_a, of_b = squares, (b[part, None] - b) ** 2
        of_a[of_a < slack] = 0.0
        joint = np.maximum(of_a, of_b)
        # Just short of the edge; the ball of a value that k others share holds only those.
        edge = slack + ROUNDING * of_b.max()
        radii = np.maximum(0, np.partition(joint, nearest, axis=1)[:, nearest, None] - edge)
        k, near_a, near_b = (np.count_nonzero(d <= radii, axis=1) for d in (joint, of_a, of_b))
        gain[part] = _digamma(k) - _digamma(near_a) - _digamma(near_b)
    return max(0.0, float(_digamma(len(b)) + gain.mean()))


def _number(side: FloatArray) -> FloatArray:
    """Vectors of one column as numbers; all others as they are."""
    return side[:, 0] if side.ndim == 2 and side.shape[1] == 1 else side


def standardised_vectors(vectors: FloatArray) -> NDArray[np.float64]:
    """(N, W) vectors with mean 0 and a total variance of 1; all 0 if they are constant."""
    # Halved, as the difference of two large numbers overflows; scaled before it is squared.
    half: NDArray[np.float64] = vectors.astype(np.float64) / 2
    half -= half.min(axis=0)
    if not half.any():
        return half
    half /= half.max()
    half -= half.mean(axis=0)
    half /= np.sqrt(half.var(axis=0).sum())
    return half


def standardised(number: FloatArray) -> NDArray[np.float64]:
    """(N,) numbers with mean 0 and variance 1; all 0 if they are constant."""
    # Halved, as the difference of two large numbers overflows; scaled before it is squared.
    half = number.astype(np.float64) / 2
    half -= half.min()
    if not half.any():
        return half
    half /= half.max()
    half -= half.mean()
    standard: NDArray[np.float64] = half / half.std()
    return standard


def _radii(
    values: NDArray[np.float64], firsts: IntArray, lasts: IntArray, k: IntArray
) -> NDArray[np.float64]:
    """Distance of each value to its k-th nearest neighbour, with every class sorted.

    A value and its k nearest are k + 1 in a row: the distance is the smallest, over the runs of
    k + 1 that hold the value, of that to the far end.
    """
    here = np.arange(len(values))
    radii = np.full(len(values), np.inf)
    for before in range(int(k.max()) + 1):
        left, right = here - before, here - before + k
        fits = (before <= k) & (left >= firsts) & (right < lasts)
        left, right = np.where(fits, left, here), np.where(fits, right, here)
        far = np.maximum(values - values[left], values[right] - values)
        radii = np.where(fits, np.minimum(radii, far), radii)
    return radii


def _ranges(
    ordered: NDArray[np.float64], values: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """First index, and last index plus one, of the sorted numbers in each closed ball."""
    return (
        np.searchsorted(ordered, values - radii, side="left"),
        np.searchsorted(ordered, values + radii, side="right"),
    )


def _digamma(numbers: ArrayLike) -> NDArray[np.float64]:
    """The digamma function of each number."""
    values: NDArray[np.float64] = scipy.special.digamma(numbers)
    return values
