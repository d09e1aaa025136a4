"""Representations as npz files, without pickles: readable from any framework.

Arrays: codes (N, D), categories (N, C), factors (N, K), logvar (N, D), kl (D + C,), rows (N,) of
the data set, category_sizes, factor_names, factor_kinds, factor_sizes.
"""

from pathlib import Path

import numpy as np

from bench.metrics import Representation
from bench.store import read_arrays, write_arrays


def write_representation(path: Path, representation: Representation, rows: np.ndarray) -> None:
    """Store a representation and which rows of the data set it is of."""
    r = representation
    arrays = {
        "codes": r.codes,
        "categories": r.categories,
        "factors": r.factors.astype(np.min_scalar_type(max(r.factor_sizes))),
        "category_sizes": np.array(r.category_sizes, dtype=np.int64),
        "factor_names": np.array(r.factor_names),
        "factor_kinds": np.array(r.factor_kinds),
        "factor_sizes": np.array(r.factor_sizes),
        "rows": rows,
    }
    optional = {"logvar": r.logvar, "kl": r.kl}
    write_arrays(path, arrays | {k: v for k, v in optional.items() if v is not None})


def read_representation(path: Path) -> Representation:
    """The representation in a file. Raises ValueError where the arrays do not fit together."""
    arrays = read_arrays(path)
    return Representation(
        codes=arrays["codes"],
        categories=arrays["categories"],
        factors=arrays["factors"],
        category_sizes=tuple(arrays["category_sizes"].tolist()),
        factor_names=tuple(arrays["factor_names"].tolist()),
        factor_kinds=tuple(arrays["factor_kinds"].tolist()),
        factor_sizes=tuple(arrays["factor_sizes"].tolist()),
        logvar=arrays.get("logvar"),
        kl=arrays.get("kl"),
    )


def read_rows(path: Path) -> np.ndarray:
    """Which rows of the data set the representation in a file is of, (N,)."""
    return read_arrays(path)["rows"]
