"""Reading whole CSV files into Arrow tables of the decided types."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycytominer_transform.common.arrays import empty_table
from pycytominer_transform.common.column_types import is_number, keeps_as_number, names_metadata
from pycytominer_transform.common.conversion import BadValues, arrow_type, convert_texts, csv_null_words
from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.manifest import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE_FILE_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 24


class CsvReader:
    """Reads the CSV files of one table; makes the reader's settings once, since they name every column.

    Parameters
    ----------
    schema : TableSchema
        The columns to give, in this order; those that a file lacks are null.
    """

    def __init__(self, schema: TableSchema) -> None:
        import pyarrow as pa
        import pyarrow.csv

        self._csv = pa.csv
        self.schema = schema
        self._names = [column.name for column in schema.columns]
        self._types = {column.source: arrow_type(column.type) for column in schema.columns}
        # Metadata that was taken for numbers is read as text first, so that no 0012 further down silently becomes 12.
        self._guarded = [c for c in schema.columns if names_metadata(c.source) and c.type != "string"]
        self._convert = self._options(self._types | {column.source: pa.string() for column in self._guarded})
        self._empty = empty_table(pa.schema([(column.name, self._types[column.source]) for column in schema.columns]))

    def read(self, path: Path, shown: str, bad: BadValues) -> pa.Table:
        """Read one file.

        Parameters
        ----------
        path : Path
            The file.
        shown : str
            How messages call it.
        bad : BadValues
            What to do with texts in number columns.

        Returns
        -------
        pyarrow.Table
            One row per row of the file, final column names.

        Raises
        ------
        DataError
            The file is cut off, ragged or not text; names the row.
        BadValueError
            A text in a number column; names row and column.
        """
        import pyarrow as pa

        try:
            quotes = self._check_bytes(path, shown)
            if quotes is None:
                return self._empty
            table = self._with_metadata(self._parse(path, self._convert, newlines=quotes), shown, bad)
        except pa.ArrowInvalid:
            table = self._read_exactly(path, shown, bad)
        except OSError as error:
            if error.errno is None or isinstance(error, DataError):
                raise
            raise describe_os_error(error, f"read {path}") from error
        return table.rename_columns(self._names)

    def _with_metadata(self, table: pa.Table, shown: str, bad: BadValues) -> pa.Table:
        """Make numbers of the metadata that are to be numbers."""
        for column in self._guarded:
            place = table.column_names.index(column.source)
            array = _metadata_numbers(table.column(place), column, shown, bad)
            table = table.set_column(place, column.source, array)
        return table

    def _options(self, types: dict[str, pa.DataType]) -> pa.csv.ConvertOptions:
        return self._csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            include_missing_columns=True,
            null_values=csv_null_words(),
            strings_can_be_null=False,
        )

    def _parse(self, path: Path, convert: pa.csv.ConvertOptions, *, newlines: bool) -> pa.Table:
        # Files are read many at a time, each by one thread: that costs less than many threads on each.
        return self._csv.read_csv(
            path,
            read_options=self._csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=self._csv.ParseOptions(newlines_in_values=newlines),
            convert_options=convert,
        )

    @staticmethod
    def _check_bytes(path: Path, shown: str) -> bool | None:
        """Look for what the parser would let pass.

        Returns
        -------
        bool or None
            Whether there are quotes, so that a value may hold a line end; None where there is nothing in the file.
        """
        quotes = empty = False
        last = b"\n"
        with path.open("rb", buffering=0) as file:
            empty = os.fstat(file.fileno()).st_size == 0
            while block := file.read(_BLOCK_BYTES):
                if b"\0" in block:
                    raise DataError(f"{shown}: holds a NUL byte; it is damaged or not a CSV file")
                quotes = quotes or b'"' in block
                last = block[-1:]
        if empty:
            return None
        if last not in (b"\n", b"\r"):
            with path.open("rb") as file:
                if b"\n" not in file.read(_BLOCK_BYTES).strip():
                    return quotes  # A header alone has nothing to lose.
            raise DataError(
                f"{shown}: the last row has no line end, so the file may be cut off; if it is whole, add one"
            )
        return quotes

    def _read_exactly(self, path: Path, shown: str, bad: BadValues) -> pa.Table:
        """Read a file that does not fit the decided types as text, then value by value where needed."""
        import pyarrow as pa

        try:
            texts = self._parse(path, self._options({name: pa.string() for name in self._types}), newlines=True)
        except pa.ArrowInvalid as error:
            raise _locate_fault(path, shown) from error
        columns = []
        for column, name in zip(self.schema.columns, texts.column_names, strict=True):
            array = texts[name]
            if column in self._guarded:
                array = _metadata_numbers(array, column, shown, bad)
            elif column.type != "string":
                where = f"{shown}, row {{row}}"
                array = convert_texts(array.to_pylist(), column.type, column.source, where, bad)
            columns.append(array)
        return pa.table(columns, names=texts.column_names)


def _metadata_numbers(array: pa.ChunkedArray, column: Column, shown: str, bad: BadValues) -> pa.ChunkedArray | pa.Array:
    """Make numbers of a metadata column's texts.

    Raises
    ------
    DataError
        A text would not be the same again (``0012``).
    """
    texts = [text for text in array.unique().to_pylist() if text is not None]
    for text in texts:
        if is_number(text) and text not in csv_null_words() and not keeps_as_number(text, column.type):
            row = array.to_pylist().index(text) + 2
            raise DataError(
                f"{shown}, row {row}, column {column.source!r}: {text!r} would not stay as it is in a column of "
                "numbers; name the column in the list 'text' of a preset"
            )
    if all(keeps_as_number(text, column.type) for text in texts):
        return array.cast(arrow_type(column.type))
    return convert_texts(array.to_pylist(), column.type, column.source, f"{shown}, row {{row}}", bad)


def _locate_fault(path: Path, shown: str) -> DataError:
    """Find the row that keeps a file from being read as CSV."""
    row = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            width = len(next(reader, []))
            for row, fields in enumerate(reader, start=2):
                if fields and len(fields) != width:
                    return DataError(
                        f"{shown}, row {row}: {len(fields)} fields where the header has {width}; "
                        "the file is cut off or damaged"
                    )
    except UnicodeDecodeError as error:
        return DataError(
            f"{shown}: is not UTF-8 text (near row {row + 1}: {error.reason}); it is damaged or not a CSV file"
        )
    except csv.Error as error:
        return DataError(f"{shown}, after row {row}: {error}; the file is cut off or damaged")
    return DataError(f"{shown}: cannot be read as CSV; it is cut off or damaged")
