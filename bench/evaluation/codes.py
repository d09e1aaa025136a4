"""Codes from any framework, in an npz, h5, csv or parquet file -> Representation.

Arrays of an npz or h5 file: `codes` (N, D) float and/or `categories` (N, C) int, `factors` (N, K)
int (float for continuous ones), and optionally `logvar`, `probabilities`, `kl`, `category_sizes`,
`factor_names`, `factor_kinds`, `factor_sizes`; arrays of held-out rows have the suffix `_test`,
those of the other rows may have the suffix `_train`.

Columns of a csv or parquet file: `codes_1`, `codes_2`, ..., `categories_1`, ..., `factors_NAME`,
`logvar_1`, ..., and optionally `split` ("train" or "test").
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError, UnknownNameError
from bench.metrics import Representation
from bench.metrics.inputs import kind_of

Arrays = dict[str, np.ndarray]

# held-out rows have arrays of their own
_PER_SIDE = ("codes", "categories", "factors", "logvar", "probabilities", "kl")
_SHARED = ("category_sizes", "factor_names", "factor_kinds", "factor_sizes")
_HELP = "see bench evaluate --help"


def read_codes(
    path: Path, factors: Path | None = None, kinds: Mapping[str, str] | None = None
) -> Representation:
    """The representation in a file.

    Args:
        path: of the file.
        factors: another file, that holds the factors.
        kinds: of some factors, by name.

    Raises:
        RequestError: a file cannot be read, or its arrays do not make a representation; the
            message names file and array.
    """
    arrays = read_arrays(path)
    if factors is not None:
        others = read_arrays(factors)
        arrays |= {name: array for name, array in others.items() if name.startswith("factor")}
        if "factors" not in others:
            raise RequestError(f"{factors} has no array factors: {_listed(others)}")
    if "factors" not in arrays:
        raise RequestError(
            f"{path} has no array factors: {_listed(arrays)}; add it, or name another file with "
            f"--factors ({_HELP})"
        )
    if "codes" not in arrays and "categories" not in arrays:
        raise RequestError(f"{path} has neither codes nor categories: {_listed(arrays)} ({_HELP})")
    shared: dict[str, Sequence[Any]] = {
        name: tuple(arrays[name].ravel().tolist()) for name in _SHARED if name in arrays
    }
    try:
        if kinds:
            shared["factor_kinds"] = _kinds(arrays["factors"], shared, kinds)
        train = {name: arrays[name] for name in _PER_SIDE if name in arrays}
        test = {name: arrays[f"{name}_test"] for name in _PER_SIDE if f"{name}_test" in arrays}
        return Representation.of(**train, **shared, test=test or None)  # type: ignore[arg-type]
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from error


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file by name, without the suffix _train.

    Raises:
        RequestError: there is no such file, its format is unknown, or it cannot be read.
    """
    readers: dict[str, Callable[[Path], Arrays]] = {
        ".npz": _npz,
        ".h5": _h5,
        ".hdf5": _h5,
        ".csv": _table,
        ".parquet": _table,
    }
    if path.suffix.lower() not in readers:
        raise RequestError(f"{path}: codes are read from {', '.join(readers)} files")
    if not path.is_file():
        raise RequestError(f"{path}: no such file")
    try:
        arrays = readers[path.suffix.lower()](path)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error})") from error
    return {name.removesuffix("_train"): array for name, array in arrays.items()}


def _npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise RequestError(f"{path} is damaged or not an npz file: write it with numpy.savez")
    arrays: Arrays = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except (ValueError, zipfile.BadZipFile) as error:
                if not _is_pickle(path, name):
                    raise RequestError(f"{path}: array {name} is damaged ({error})") from error
                raise RequestError(
                    f"{path}: array {name} is a pickle, which is never opened: save it with a "
                    "plain type, text as numpy.array([...], dtype=str)"
                ) from None
            if not isinstance(arrays[name], np.ndarray):  # numpy gives other members as bytes
                raise RequestError(f"{path}: {name} is not an array: write it with numpy.savez")
    return arrays


def _is_pickle(path: Path, name: str) -> bool:
    """Whether an array of an npz file holds Python objects, which numpy stores as a pickle."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            np.lib.format.read_magic(member)
            _, _, kind = np.lib.format.read_array_header_1_0(member)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
    return bool(kind.hasobject)


def _h5(path: Path) -> Arrays:
    import h5py

    with h5py.File(path) as file:
        items = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        arrays = {name: np.asarray(item[()]) for name, item in items.items()}
    return {
        # h5 keeps text as bytes
        name: np.array([t.decode() if isinstance(t, bytes) else str(t) for t in array.ravel()])
        if array.dtype.kind in "OS"
        else array
        for name, array in arrays.items()
    }


def _table(path: Path) -> Arrays:
    """The columns of a table as arrays; text in a column of factors names classes."""
    import pandas

    try:
        read = pandas.read_csv if path.suffix.lower() == ".csv" else pandas.read_parquet
        table = read(path)
    except ImportError as error:
        raise RequestError(f"{path}: parquet needs pyarrow: pip install pyarrow") from error
    except (ValueError, UnicodeDecodeError) as error:  # whatever pandas and its parsers raise
        raise RequestError(f"{path} is not a readable table ({error})") from error
    columns = {
        array: [c for c in map(str, table.columns) if c.startswith(f"{array}_")]
        for array in _PER_SIDE
        if array != "kl"
    }
    if not columns["factors"] or not (columns["codes"] or columns["categories"]):
        first = ", ".join(map(str, table.columns[:8]))
        raise RequestError(
            f"{path} has the columns {first}: name those of latents codes_1, codes_2, ... or "
            "categories_1, ..., and those of factors factors_NAME"
        )
    arrays = {}
    for array, names in columns.items():
        if names and array != "factors":
            arrays[array] = _numbers(path, table, names)
    factors, kinds = [], []
    for name in columns["factors"]:
        column = table[name]
        if pandas.api.types.is_numeric_dtype(column):
            factors.append(column.to_numpy())
            kinds.append(kind_of(factors[-1]))
        else:
            factors.append(pandas.factorize(column, sort=True)[0])
            kinds.append("categorical")
    arrays["factors"] = np.column_stack(factors)
    names = [name.removeprefix("factors_") for name in columns["factors"]]
    shared = {"factor_names": np.array(names), "factor_kinds": np.array(kinds)}
    if "split" not in table:
        return arrays | shared
    split = table["split"].astype(str).str.strip()
    if wrong := sorted(set(split) - {"train", "test"}):
        raise RequestError(f"{path}: column split has {wrong[0]!r}: use train and test")
    held_out = (split == "test").to_numpy()
    sides = {name: array[~held_out] for name, array in arrays.items()}
    if held_out.any():
        sides |= {f"{name}_test": array[held_out] for name, array in arrays.items()}
    return sides | shared


def _numbers(path: Path, table: Any, names: Sequence[str]) -> np.ndarray:
    for name in names:
        if table[name].dtype.kind not in "fiub":
            raise RequestError(f"{path}: column {name} does not hold numbers")
    numbers: np.ndarray = table[list(names)].to_numpy()
    return numbers


def _kinds(
    factors: np.ndarray, shared: Mapping[str, Sequence[Any]], changed: Mapping[str, str]
) -> list[str]:
    """The kind of every factor: the changed one, else the file's, else the usual one."""
    names = shared.get("factor_names") or [f"v{k + 1}" for k in range(factors.shape[1])]
    for name in changed:
        if name not in names:
            raise UnknownNameError("factor in --kind", name, names)
    kinds = shared.get("factor_kinds") or [kind_of(column) for column in factors.T]
    return [changed.get(name, kind) for name, kind in zip(names, kinds, strict=True)]


def _listed(arrays: Mapping[str, Any]) -> str:
    return f"it has {', '.join(arrays) or 'no array at all'}"
