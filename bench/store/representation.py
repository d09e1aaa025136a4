"""Representations as npz files, without pickles: readable from any framework.

Arrays: codes (N, D), categories (N, C), factors (N, K), logvar (N, D), probabilities (N, sum of
category_sizes), kl (D + C,), values (N, K) where a factor is continuous, rows (N,) of the data
set, category_sizes, factor_names, factor_kinds, factor_sizes; where latents are vectors,
groups (D,), how many columns of codes and logvar each has; where combinations were held out of
training, unseen (N,), whether a row is one of them. The first seven also have the suffix _test for
rows held out, and _further for further unseen rows. This is what `bench evaluate` reads, too, but
for the latter.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bench.metrics import Representation
from bench.store.files import read_arrays, write_arrays

_LATENTS = ("codes", "categories", "factors", "logvar", "probabilities", "kl", "values")
_WORDS = ("category_sizes", "factor_names", "factor_kinds", "factor_sizes")


def write_representation(path: Path, representation: Representation, rows: np.ndarray) -> None:
    """Store a representation and which rows of the data set it is of."""
    r = representation
    arrays = {
        **_side(r, ""),
        **({} if r.test is None else _side(r.test, "_test")),
        **({} if r.further is None else _side(r.further, "_further")),
        **({} if r.unseen is None else {"unseen": r.unseen}),
        "category_sizes": np.array(r.category_sizes, dtype=np.int64),
        "factor_names": np.array(r.factor_names),
        "factor_kinds": np.array(r.factor_kinds),
        "factor_sizes": np.array(r.factor_sizes),
        **({} if r.groups is None else {"groups": np.array(r.groups)}),
        "rows": rows,
    }
    write_arrays(path, arrays)


def read_representation(path: Path) -> Representation:
    """The representation in a file. Raises ValueError where the arrays do not fit together."""
    arrays = read_arrays(path)
    words: dict[str, Any] = {name: tuple(arrays[name].tolist()) for name in _WORDS}
    words["groups"] = arrays.get("groups")

    def side(suffix: str) -> dict[str, Any]:
        found = {name: arrays.get(f"{name}{suffix}") for name in _LATENTS}
        return {name: array for name, array in found.items() if array is not None} | words

    test, further = (
        Representation(**side(suffix)) if f"codes{suffix}" in arrays else None
        for suffix in ("_test", "_further")
    )
    return Representation(**side(""), test=test, further=further, unseen=arrays.get("unseen"))


def read_rows(path: Path) -> np.ndarray:
    """Which rows of the data set the representation in a file is of, (N,)."""
    return read_arrays(path)["rows"]


def _side(r: Representation, suffix: str) -> dict[str, np.ndarray]:
    arrays = {
        "codes": r.codes,
        "categories": r.categories,
        "factors": r.factors.astype(_smallest(r)),
        "logvar": r.logvar,
        "probabilities": r.probabilities,
        "kl": r.kl,
        "values": r.values,
    }
    return {f"{name}{suffix}": array for name, array in arrays.items() if array is not None}


def _smallest(r: Representation) -> np.dtype[Any]:
    """The smallest type that holds all classes, and -1 if a label is missing."""
    largest = max(r.factor_sizes, default=0)
    return np.min_scalar_type(-largest if (r.factors < 0).any() else largest)
