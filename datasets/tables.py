"""Columns of csv and parquet files, read by name under the guard of `guarded`."""

import csv
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .guarded import ArrayFile, ArrayFileError, Header

if TYPE_CHECKING:
    import pandas

_CELL = 4  # bytes of a number in memory per byte of it in a csv file


class Table(ArrayFile):
    """An open table, whose arrays are its columns.

    A column of a parquet file that holds a list of numbers in each row, all of the same length,
    is an array (N, D). Missing values are NaN among numbers, None or NaN elsewhere.
    """

    is_table = True

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path, names)
        self._columns: dict[str, NDArray[Any]] = {}

    @abstractmethod
    def frame(self, names: Sequence[str]) -> "pandas.DataFrame":
        """Some columns in one reading, each of one value per row.

        Raises:
            ArrayFileError: as `read`, or a column holds lists or structs.
        """

    def close(self) -> None:
        self._columns.clear()

    def _header(self, name: str) -> Header:
        column = self._column(name)
        return Header(column.shape, column.dtype)

    def _check_stored(self, name: str, header: Header) -> None:
        pass  # a table tells the size of a column only by reading it

    def _read(self, name: str, header: Header) -> NDArray[Any]:
        return self._column(name)

    def _blocks(self, name: str, header: Header, rows: int) -> Iterator[NDArray[Any]]:
        column = self._column(name)
        for start in range(0, len(column), rows):
            yield column[start : start + rows]

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            self._columns[name] = self.frame([name])[name].to_numpy()
        return self._columns[name]


class Csv(Table):
    def __init__(self, path: Path) -> None:
        with complaints_of_tables(path), path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(islice((row for row in csv.reader(file) if row), 2))
        if not rows:
            raise ArrayFileError(f"{path} is not a readable table (it is empty): write it again")
        if len(rows) > 1 and len(rows[1]) > len(rows[0]):
            raise ArrayFileError(
                f"{path} is not a readable table: it names {len(rows[0])} columns, and has "
                f"{len(rows[1])}: give each its name"
            )
        super().__init__(path, rows[0])
        self._order = rows[0]
        self._table: pandas.DataFrame | None = None

    def close(self) -> None:
        super().close()
        self._table = None

    def frame(self, names: Sequence[str]) -> "pandas.DataFrame":
        for name in names:
            self.require(name)
        if self._table is None:
            self._table = self._whole()
        # by their places, as pandas has names of its own for columns without one
        table = self._table.iloc[:, [self._order.index(name) for name in names]]
        return table.set_axis(list(names), axis="columns")

    def _whole(self) -> "pandas.DataFrame":
        """All columns: of a row with too many cells nobody knows which belong to which column."""
        import pandas

        self.allow(_CELL * os.path.getsize(self.path), "the table")
        with complaints_of_tables(self.path):
            return pandas.read_csv(self.path, low_memory=False)


class Parquet(Table):
    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise ArrayFileError(f"{path}: parquet needs pyarrow: pip install pyarrow") from error
        with complaints_of_tables(path):
            self._file = parquet.ParquetFile(path)
        super().__init__(path, self._file.schema_arrow.names)

    def close(self) -> None:
        super().close()
        self._file.close()

    def frame(self, names: Sequence[str]) -> "pandas.DataFrame":
        import pandas

        content = self._content(names)
        for name in names:
            self._refuse_nested(name, content.schema.field(name).type)
        # without the metadata of pandas, which are JSON that anybody may have written
        frame = content.replace_schema_metadata(None).to_pandas()
        return pandas.DataFrame({name: frame[name] for name in names})

    def _column(self, name: str) -> NDArray[Any]:
        if name in self._columns:
            return self._columns[name]
        self.require(name)
        if not _is_list(self._file.schema_arrow.field(name).type):
            return super()._column(name)
        column = self._content([name]).column(name).combine_chunks()
        shape = [len(column)]
        while _is_list(column.type):
            column, length = self._flat(name, column)
            shape.append(length)
        self._refuse_nested(name, column.type)
        numbers = column.to_numpy(zero_copy_only=False)
        if numbers.dtype.kind not in "iufb":
            raise self.error(name, f"holds lists of {column.type}: give lists of numbers")
        self._columns[name] = numbers.reshape(shape)
        return self._columns[name]

    def _content(self, names: Sequence[str]) -> Any:
        """Some columns as an arrow table, if there is memory for what they declare."""
        metadata, values = self._file.metadata, 0
        for name in dict.fromkeys(names):
            self.require(name)
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(index)
                path = chunk.path_in_schema
                if any(path == name or path.startswith(f"{name}.") for name in names):
                    values += max(8 * chunk.num_values, chunk.total_uncompressed_size)
        size = max(values, 8 * metadata.num_rows)
        what = "the columns that are read" if len(names) > 1 else f"column {names[0]}"
        self.allow(size, f"{what} of {metadata.num_rows:,} rows")
        with complaints_of_tables(self.path):
            return self._file.read(columns=list(dict.fromkeys(names)))

    def _flat(self, name: str, column: Any) -> tuple[Any, int]:
        """The values of a column of lists, one after the other, and the length of each list."""
        from pyarrow import compute

        if column.null_count:
            raise self.error(name, f"lacks a list in {column.null_count:,} rows: leave them out")
        lengths = compute.unique(compute.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise self.error(
                name,
                f"holds lists of {min(lengths)} to {max(lengths)} values: give all the same length",
            )
        return column.flatten(), int(lengths[0]) if lengths else 0

    def _refuse_nested(self, name: str, kind: Any) -> None:
        """Raise ArrayFileError if a column does not hold one value per row."""
        from pyarrow import types

        if types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
            said = str(kind)
            said = f"{said[:60]}..." if len(said) > 60 else said
            raise ArrayFileError(
                f"{self.path}: column {name} holds {said}: give one number or word per row, each "
                "part in a column of its own"
            )


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


@contextmanager
def complaints_of_tables(path: Path) -> Iterator[None]:
    """Turn what pandas, arrow and their parsers raise into an ArrayFileError."""
    try:
        yield
    except (ArrayFileError, MemoryError, PermissionError):
        raise
    except Exception as error:  # a damaged file makes its readers raise nearly anything
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArrayFileError(f"{path} is not a readable table ({said}): write it again") from error
