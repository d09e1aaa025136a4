"""Arrays as people have them -> numpy: tensors, data frames, masked arrays, lists of words.

No framework is imported: torch tensors are known by `detach` and `cpu`, JAX and other arrays by
`__array__`, sparse matrices by `toarray`, and pandas is looked at only if somebody has imported it.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Arrays as `Representation.of` takes them: a mapping holds columns by name.
Given: TypeAlias = ArrayLike | Mapping[str, ArrayLike]

# What pandas calls the index of a frame that was written as a column.
_INDEX = re.compile(r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__")


@dataclass(frozen=True, eq=False)
class Column:
    """The (N,) values of a factor or a categorical latent, of one type.

    Attributes:
        values: bool, int, float or str; what stands where a value is missing means nothing.
        missing: where a value is marked as missing: NaN, None, NA, or masked.
        order: all classes in their order, if the data says (pandas' categories); else None.
        ordered: whether that order means something.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    order: tuple[str, ...] | None = None
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def known(self) -> NDArray[Any]:
        """The values that are not missing."""
        return self.values[~self.missing]

    def joined(self, other: "Column", name: str) -> "Column":
        """The rows of this column, then those of another one.

        Raises:
            ValueError: one holds words and the other numbers.
        """
        if len({column.values.dtype.kind == "U" for column in (self, other)}) > 1:
            raise ValueError(
                f"factor {name}: the test rows have words where the others have numbers, or "
                "the reverse"
            )
        order = self.order
        if order != other.order:
            order = tuple(dict.fromkeys([*(self.order or ()), *(other.order or ())])) or None
        return Column(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.missing, other.missing]),
            order,
            self.ordered and other.ordered,
        )


def matrix(name: str, given: Given) -> NDArray[Any]:
    """An array of numbers, in whatever type; a one-dimensional one is a single column.

    Raises:
        ValueError: it is no array of numbers, or some are masked or missing.
    """
    frame = _frame(name, given)
    if frame is None:
        array = plain(name, given)
    else:
        columns = {label: column(f"{name} column {label}", part) for label, part in frame.items()}
        for label, one in columns.items():
            if one.values.dtype.kind == "U":
                raise ValueError(f"{name} column {label} holds words: give numbers")
            if one.missing.any():
                raise _missing(name, int(one.missing.sum()), label)
        array = np.column_stack([one.values for one in columns.values()])
    if np.ma.is_masked(array):
        raise ValueError(f"{name} is masked: drop these rows, every value is needed")
    array = np.ma.getdata(array)
    if array.dtype.kind == "O":
        flat = column(name, array.ravel())
        if flat.values.dtype.kind == "U":
            raise ValueError(f"{name} holds words: give real numbers, as floats")
        if flat.missing.any() and flat.values.dtype.kind != "f":
            raise _missing(name, int(flat.missing.sum()), None)
        array = flat.values.reshape(array.shape)
    return array[:, None] if array.ndim == 1 else array


def columns(name: str, given: Given) -> tuple[list[Column], tuple[str, ...] | None]:
    """The columns of factors or categories, and their names if they have any.

    A one-dimensional array is a single column.

    Raises:
        ValueError: it is no table of numbers and words; the message names the column.
    """
    frame = _frame(name, given)
    if frame is not None:
        parts = {label: column(f"{name} column {label}", part) for label, part in frame.items()}
        return list(parts.values()), tuple(parts)
    array = plain(name, given)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}: reshape it to (N, columns)")
    return [column(f"{name} column {k}", array[:, k]) for k in range(array.shape[1])], None


def plain(name: str, given: Any) -> NDArray[Any]:
    """A numpy array, perhaps masked, from an array of any framework or nested lists.

    Raises:
        ValueError: it is nothing of the kind, has no dimension, or rows of different lengths.
    """
    if given is None or isinstance(given, str | bytes | Real | Mapping | set | frozenset):
        kind = "nothing" if given is None else f"a {type(given).__name__}"
        raise ValueError(f"{name} is {kind}: give an array with a row per image")
    try:
        array = _converted(given)
    except Exception as error:  # whatever their framework raises
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{name} is a {type(given).__name__} that cannot be turned into an array: {reason}"
        ) from error
    if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 and the like
        try:
            array = array.astype(np.float32)
        except (TypeError, ValueError):
            raise ValueError(f"{name} has type {array.dtype}: give numbers") from None
    if array.ndim == 0:
        raise ValueError(f"{name} is a {type(given).__name__}: give an array with a row per image")
    return _stacked(name, array)


def column(name: str, given: Any) -> Column:
    """One column of numbers or words.

    Raises:
        ValueError: it mixes words and numbers, or holds something else.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(given, pandas.Series):
        return _of_series(name, given)
    array = plain(name, given)
    mask, values = np.ma.getmaskarray(array), np.ma.getdata(array)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}: give one value per row")
    match values.dtype.kind:
        case "b" | "i" | "u":
            return Column(values, mask)
        case "f":
            return Column(values, mask | np.isnan(values))
        case "U":
            return Column(values, mask)
        case "S":
            return Column(np.char.decode(values, "utf-8", "replace"), mask)
        case "O":
            return _of_objects(name, values, mask)
    raise ValueError(f"{name} has type {values.dtype}: give numbers or words")


def _converted(given: Any) -> NDArray[Any]:
    if isinstance(given, np.ndarray):
        return np.ma.asarray(given) if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    if hasattr(given, "detach") and hasattr(given, "cpu"):
        tensor = given.detach().cpu()
        if getattr(tensor, "is_sparse", False):
            tensor = tensor.to_dense()
        if str(tensor.dtype).endswith("bfloat16"):  # numpy has none
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    if hasattr(given, "toarray"):
        return np.asarray(given.toarray())
    if hasattr(given, "__array__"):
        return np.asarray(given)
    if isinstance(given, Sequence):
        return _of_list(given)
    raise TypeError("it is neither an array nor a list")


def _of_list(given: Sequence[Any]) -> NDArray[Any]:
    """Of numbers, else of objects: numpy would turn numbers beside words into text."""
    items = [
        _converted(item) if hasattr(item, "__array__") or hasattr(item, "detach") else item
        for item in given
    ]
    try:
        array = np.asarray(items)
    except ValueError:
        lengths = {len(item) for item in items if hasattr(item, "__len__")}
        if len(lengths) > 1:
            raise ValueError(f"its rows have {min(lengths)} to {max(lengths)} values") from None
        return np.array(items, dtype=object)
    return array if array.dtype.kind in "biuf" else np.array(items, dtype=object)


def _stacked(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array whose elements are lists or arrays of one length, as one with another axis."""
    if array.dtype.kind != "O" or array.ndim != 1 or not len(array):
        return array
    if not all(isinstance(item, list | tuple | np.ndarray) for item in array):
        return array
    if len({len(item) for item in array}) > 1:
        raise ValueError(f"{name} has rows of different lengths: give as many values in each")
    return _of_list(array.tolist())


def _frame(name: str, given: Any) -> dict[str, Any] | None:
    """The columns by name of a data frame, a mapping or a structured array; else None.

    Raises:
        ValueError: a column is an index, or two have one name.
    """
    pandas = sys.modules.get("pandas")
    if isinstance(given, Mapping):
        pairs = [(str(label), part) for label, part in given.items()]
    elif pandas is not None and isinstance(given, pandas.DataFrame):
        pairs = [(str(label), given.iloc[:, k]) for k, label in enumerate(given.columns)]
    elif pandas is not None and isinstance(given, pandas.Series):
        pairs = [(f"{name}" if given.name is None else str(given.name), given)]
    elif isinstance(given, np.ndarray) and given.dtype.names:
        pairs = [(label, given[label]) for label in given.dtype.names]
    else:
        return None
    labels = [label for label, _ in pairs]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"{name} has two columns {repeated[0]!r}: name each once")
    if index := [label for label in labels if _INDEX.fullmatch(label)]:
        raise ValueError(
            f"{name} has the column {index[0]!r}, the index of a table that was written with it: "
            f"drop it, or read the table with index_col={labels.index(index[0])}"
        )
    # One column of lists is a whole table.
    if len(pairs) == 1 and not isinstance(given, np.ndarray):
        inner = pairs[0][1]
        if len(inner) and isinstance(next(iter(inner)), list | tuple | np.ndarray):
            array = plain(name, inner)
            return {f"{labels[0]}_{k + 1}": array[:, k] for k in range(array.shape[1])}
    lengths = {len(part) if hasattr(part, "__len__") else 1 for _, part in pairs}
    if len(lengths) > 1:
        raise ValueError(f"{name} has columns of {min(lengths)} to {max(lengths)} rows")
    return dict(pairs)


def _of_series(name: str, series: Any) -> Column:
    """A column of a data frame, with its missing values and the order of its categories."""
    missing = series.isna().to_numpy(dtype=bool)
    categories = getattr(series.dtype, "categories", None)
    if categories is not None:
        words = np.array([str(category) for category in categories], dtype=str)
        codes = series.cat.codes.to_numpy()
        values = words[np.maximum(codes, 0)] if len(words) else np.zeros(len(series), "U1")
        # Categories that are numbers keep their order as numbers do; only their names are words.
        return Column(values, missing, tuple(words.tolist()), bool(series.dtype.ordered))
    kind = getattr(series.dtype, "kind", "O")
    if kind in "biu" and missing.any():  # pandas' nullable types: NA would make numbers inexact
        whole = series.fillna(False) if kind == "b" else series.fillna(0)
        return Column(whole.to_numpy(dtype=bool if kind == "b" else np.int64), missing)
    if kind in "biu":
        return Column(series.to_numpy(dtype=bool if kind == "b" else f"{kind}8"), missing)
    if kind == "f":
        narrow = str(series.dtype).lower() == "float32"
        dtype = np.float32 if narrow else np.float64
        return Column(series.to_numpy(dtype=dtype, na_value=np.nan), missing)
    if kind in "mM":
        raise ValueError(f"{name} holds dates: give numbers or words")
    return _of_objects(name, series.to_numpy(dtype=object), missing)


def _of_objects(name: str, values: NDArray[Any], mask: NDArray[np.bool_]) -> Column:
    """A column of Python objects, of which all that are not missing must be of one type."""
    missing = mask | np.array([_is_missing(value) for value in values], dtype=bool)
    known = [value for value, lost in zip(values, missing, strict=True) if not lost]
    types: tuple[tuple[Any, Any, Any], ...] = (
        (bool | np.bool_, bool, False),
        (Integral, np.int64, 0),
        (Real, np.float64, np.nan),
        (str | bytes, str, ""),
    )
    fitting = [t for t in types if all(isinstance(value, t[0]) for value in known)]
    if not fitting:
        kinds = sorted({type(value).__name__ for value in known})
        raise ValueError(f"{name} holds {' and '.join(kinds[:3])}: give numbers or words")
    # A column without any value is one of numbers.
    _, dtype, filler = fitting[0] if known else types[2]
    items = [
        filler if lost else value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for value, lost in zip(values, missing, strict=True)
    ]
    try:
        return Column(np.array(items, dtype=dtype), missing)
    except OverflowError:
        raise ValueError(f"{name} has integers beyond 64 bits: give numbers or words") from None


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _missing(name: str, count: int, label: str | None) -> ValueError:
    where = "" if label is None else f" in column {label}"
    return ValueError(f"{name} has {count:,} missing values{where}: drop these rows")
