"""From a user's arrays to all fields of a representation: sizes, classes and KL to the prior."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays
from .arrays import MISSING, FloatArray, IntArray
from .binning import apply_edges, equal_frequency_edges

CLASSES = 20  # classes of a continuous factor, for the metrics that need classes
LARGEST = 2_000  # classes of a factor or latent: tables and predictors have a column for each
LARGEST_LOGVAR = 700.0  # beyond it the variance is not a finite float64

Arrays = Mapping[str, Any]


def normalised(
    train: Arrays,
    category_sizes: Sequence[int] | None,
    factor_names: Sequence[str] | None,
    factor_kinds: Sequence[str] | None,
    factor_sizes: Sequence[int] | None,
    test: Arrays | None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields of a `Representation`, and those of its `test`, from what a user has.

    Args:
        train: the arrays, each an argument of `Representation.of`; None if not given.
        category_sizes: as in `Representation.of`, and so are the names, kinds and sizes below.
        factor_names: None if not given.
        factor_kinds: None if not given.
        factor_sizes: None if not given.
        test: the arrays of held-out rows, or None.

    Returns:
        All fields but `test` of the rows, and of the held-out rows if there are any.

    Raises:
        ValueError: an array has the wrong shape, type or range; the message names it.
    """
    if unknown := sorted(set(test or ()) - set(train)):
        raise ValueError(f"test has {unknown[0]!r}: it may have {', '.join(train)}")
    sides = [_side(given) for given in (train, test) if given is not None]
    for name in ("factors", "categories"):
        if len({side[name].shape[1] for side in sides}) > 1:
            raise ValueError(f"the test rows have another number of {name}: give the same ones")
    # Both sides share sizes and classes, so labels are made from both together.
    rows = len(sides[0]["factors"])
    raw = np.concatenate([side["factors"] for side in sides])
    if raw.dtype.kind == "f" and np.isinf(raw).any():
        raise ValueError("factors has infinite values: a missing label is -1 or NaN")
    columns = raw.shape[1]
    # Names and kinds may be arrays.
    names = (
        [f"v{k + 1}" for k in range(columns)]
        if factor_names is None
        else [str(name) for name in factor_names]
    )
    kinds = (
        [kind_of(column) for column in raw.T]
        if factor_kinds is None
        else [str(kind) for kind in factor_kinds]
    )
    arrays.factor_labels(names, kinds, columns)
    sizes = [0] * columns if factor_sizes is None else [int(size) for size in factor_sizes]
    if len(sizes) != columns:
        raise ValueError(f"factors has {columns} columns but {len(sizes)} sizes: match them")
    labels, values = np.empty(raw.shape, dtype=np.int64), np.full(raw.shape, np.nan)
    for k, kind in enumerate(kinds):
        if kind == "continuous":
            values[:, k] = raw[:, k]
            labels[:, k] = _cut(values[:, k], rows, sizes[k] or CLASSES)
            sizes[k] = max(int(labels[:, k].max()) + 1, 1)
        else:
            labels[:, k] = _classes(raw[:, k], names[k])
            sizes[k] = sizes[k] or max(int(labels[:, k].max()) + 1, 1)
            if sizes[k] > LARGEST:
                raise ValueError(
                    f"factor {names[k]} has class {sizes[k] - 1}, of at most {LARGEST}: number its "
                    "classes from 0, or call its kind continuous"
                )
    if category_sizes is None:
        categories = np.concatenate([side["categories"] for side in sides])
        category_sizes = [int(column.max(initial=0)) + 1 for column in categories.T]
    category_sizes = [int(size) for size in category_sizes]
    if max(category_sizes, default=0) > LARGEST:
        raise ValueError(
            f"categories go up to {max(category_sizes) - 1}: number those of each latent from 0"
        )
    fields: list[dict[str, Any]] = []
    for side, part in zip(sides, (slice(rows), slice(rows, None)), strict=False):
        if side["kl"] is None:
            posterior = side["codes"], side["logvar"], side["probabilities"]
            side["kl"] = posterior_kl(*posterior, category_sizes)
        side["factors"] = labels[part]
        side["values"] = values[part] if "continuous" in kinds else None
        fields.append(
            {
                **side,
                "category_sizes": tuple(category_sizes),
                "factor_names": tuple(names),
                "factor_kinds": tuple(kinds),
                "factor_sizes": tuple(sizes),
            }
        )
    return fields[0], None if test is None else fields[1]


def posterior_kl(
    codes: FloatArray,
    logvar: FloatArray | None,
    probabilities: FloatArray | None,
    category_sizes: Sequence[int],
) -> NDArray[np.float64] | None:
    """(D + C,) mean KL of each latent's posterior to its prior in nats; None unless all are known.

    The priors are N(0, 1) and uniform categories.

    Raises:
        ValueError: the posterior has another shape than the latents, or no finite variance.
    """
    if logvar is not None:
        logvar = arrays.shaped("logvar", logvar, codes.shape)
        if (logvar > LARGEST_LOGVAR).any():
            raise ValueError(
                f"logvar goes up to {logvar.max():.3g}: give log variances, and drop the diverged "
                "model or rows"
            )
    if probabilities is not None:
        probabilities = arrays.shaped(
            "probabilities", probabilities, (len(codes), sum(category_sizes))
        )
        if ((probabilities < 0) | (probabilities > 1 + 1e-3)).any():
            raise ValueError(
                f"probabilities run from {probabilities.min():.3g} to {probabilities.max():.3g}: "
                "take the softmax of logits, one categorical latent after the other"
            )
    kl = []
    for d in range(codes.shape[1]):
        if logvar is None:
            return None
        mean, log = codes[:, d].astype(np.float64), logvar[:, d].astype(np.float64)
        kl.append(float(0.5 * (mean**2 + np.exp(log) - log - 1).mean()))
    first = 0
    for size in category_sizes:
        if probabilities is None:
            return None
        p = probabilities[:, first : first + size].astype(np.float64)
        # 0 log 0 is 0
        kl.append(float((p * np.log(np.maximum(p, 1e-300) * size)).sum(axis=1).mean()))
        first += size
    return np.array(kl)


def _side(given: Arrays) -> dict[str, Any]:
    """The arrays of one side; those of a kind of latents that is not given are empty."""
    if "factors" not in given:
        raise ValueError("the test rows have no factors: give them too")
    factors = arrays.matrix("factors", given["factors"], "K")
    codes, categories = given.get("codes"), given.get("categories")
    if codes is None:
        codes = np.zeros((len(factors), 0))
    if categories is None:
        categories = np.zeros((len(factors), 0), dtype=np.int64)
    side = {
        "codes": arrays.codes(codes),
        "categories": arrays.matrix("categories", categories, "C"),
        "factors": factors,
    }
    arrays.same_rows(**side)
    return {**side, **{name: given.get(name) for name in ("logvar", "probabilities", "kl")}}


def kind_of(column: NDArray[Any]) -> str:
    """The kind of a factor unless it is given: ordinal for whole numbers, else continuous."""
    if column.dtype.kind != "f":
        return "ordinal"
    known = column[np.isfinite(column)]
    return "ordinal" if (known == np.rint(known)).all() else "continuous"


def _classes(column: NDArray[Any], name: str) -> IntArray:
    """Class indices from a column of ints, or of floats that are whole numbers or NaN."""
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    if column.dtype.kind != "f":
        raise ValueError(f"factor {name} has type {column.dtype}: give integer class indices")
    known = np.isfinite(column)
    if (column[known] != np.rint(column[known])).any():
        raise ValueError(f"factor {name} has fractions: call its kind continuous, or give classes")
    return np.where(known, column, MISSING).astype(np.int64)


def _cut(numbers: NDArray[np.float64], rows: int, size: int) -> IntArray:
    """(N,) classes of equal frequency among the known of the first `rows` numbers."""
    known = np.isfinite(numbers)
    first = numbers[:rows][known[:rows]]
    edges = equal_frequency_edges(first, size) if len(first) else np.empty(0)
    return np.where(known, apply_edges(numbers, edges), MISSING)
