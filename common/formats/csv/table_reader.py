"""Reading the CSV files of one table into Arrow tables of the decided types."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.formats.csv.combined import HEADER_ROWS, CombinedTable
from pycytominer_transform.common.formats.csv.concatenation import concatenate
from pycytominer_transform.common.formats.csv.files import (
    ByteChecks,
    check_inflated_size,
    csv_rows,
    is_packed,
    locate_fault,
    open_csv,
)
from pycytominer_transform.common.formats.csv.head import delimiter_of
from pycytominer_transform.common.formats.csv.parsed_tables import (
    lacks_keys,
    with_decimal_points,
    with_empty_as_null,
    without_blank_rows,
    without_copies,
)
from pycytominer_transform.common.formats.protocol import DEFAULT_MAX_INFLATE
from pycytominer_transform.common.model.column_types import is_number, keeps_as_number, names_metadata
from pycytominer_transform.common.model.conversion import (
    FALSE_WORDS,
    TRUE_WORDS,
    BadValues,
    arrow_type,
    changed_metadata,
    convert_values,
    csv_null_words,
)
from pycytominer_transform.common.model.manifest import Column, TableSchema
from pycytominer_transform.common.storage.location import LocalLocation, Location

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 1 << 24
_HEADER_BYTES = 1 << 20
_MOST_IN_MEMORY = 1 << 26
"""Bytes of a file to read into memory before it is parsed; a larger one is checked while it is parsed."""


@dataclass(frozen=True)
class CsvRows:
    """Some rows of a file whose header is known.

    Attributes
    ----------
    shown : str
        The file's name in messages.
    text : bytes
        Whole rows, as UTF-8.
    columns : tuple of str
        The name of each column as the schema has it; that of a column to leave out may be any other.
    first_row : int
        The first of the rows, as rows are counted in the file.
    decimal_point : str
        What numbers are written with, if it is known: a point or a comma.
    """

    path: Location
    shown: str
    text: bytes
    columns: tuple[str, ...]
    delimiter: str
    first_row: int
    decimal_point: str = ""


@dataclass
class _CsvFile:
    """One file, or some rows of one, and what its parser needs to know of the content.

    Attributes
    ----------
    rows : bytes, optional
        Some rows of the file, without its header, to be read in place of the file.
    first_row : int
        The first row of values, as rows are counted in the file.
    names : list of str
        Names to give to the columns; empty to take those of the header.
    own : set of str
        In a combined file, the columns that are this table's alone.
    copies : dict
        By the name given to it, the column that a further column of the same name must equal.
    """

    path: Location
    shown: str
    max_inflate: int
    delimiter: str = ","
    newlines: bool = True
    hexadecimal: bool = False
    names: list[str] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    copies: dict[str, str] = field(default_factory=dict)
    decimal_point: str = "."
    knows_decimal_point: bool = False
    rows: bytes | None = None
    first_row: int = 2

    def name_columns(self, names: Sequence[str], types: Mapping[str, pa.DataType]) -> None:
        """Name the columns; one that repeats a name gets another, and must equal the first if that is wanted."""
        for place, name in enumerate(names):
            is_copy = name in types and name in self.names
            self.names.append(f"\x1f{place}" if name in self.names else name)
            if is_copy:
                self.copies[self.names[-1]] = name

    def open(self, checks: ByteChecks | None = None) -> BinaryIO:
        """Open it, inflated if it is gzipped."""
        if self.rows is not None:
            return io.BytesIO(self.rows)
        return open_csv(self.path, self.shown, max_inflate=self.max_inflate, checks=checks)


class CsvTableReader:
    """Reads the CSV files of one table; the parser's options are made once, since they name every column.

    Parameters
    ----------
    schema : TableSchema
        The columns to return, in this order; those that a file lacks are null.
    max_inflate : int
        Bytes that a gzipped file may inflate to.
    empty_text : {'kept', 'null'}
        What an empty field is in a column of text.
    combined : CombinedTable, optional
        How the table lies within files that hold several.
    keys : sequence of str
        The columns that number images and objects; a row that lacks a number is no object.
    is_metadata : callable
        Whether a column holds metadata, which must stay as they are written (``0012``).
    """

    def __init__(
        self, schema: TableSchema, *, max_inflate: int = DEFAULT_MAX_INFLATE, keys: Sequence[str] = (),
        empty_text: Literal["kept", "null"] = "kept", combined: CombinedTable | None = None,
        is_metadata: Callable[[Column], bool] = lambda column: names_metadata(column.source),
    ) -> None:  # fmt: skip
        import pyarrow as pa
        import pyarrow.csv

        self._csv = pa.csv
        self.schema = schema
        self._max_inflate = max_inflate
        self._combined = combined
        self._keys = [key for key in keys if any(column.source == key for column in schema.columns)]
        self._first_row = (HEADER_ROWS if combined else 1) + 1
        self._may_be_empty = [c.source for c in schema.columns if c.type == "string" and empty_text == "null"]
        self._types = {column.source: arrow_type(column.type) for column in schema.columns}
        # Metadata that was taken for numbers is read as text first, so that no 0012 further down silently becomes 12;
        # unless the user asked for numbers.
        self._is_metadata = is_metadata
        self._guarded = [c for c in schema.columns if is_metadata(c) and c.type != "string" and not c.is_cast]
        # What the user asked for may be written otherwise all over (3.0): only these columns are then read slowly.
        self._asked = [c for c in schema.columns if c.is_cast and c.type in ("int64", "bool")]
        as_text = {column.source: pa.string() for column in (*self._guarded, *self._asked)}
        self._parsed_types = self._types | as_text
        self._convert = self._options(self._parsed_types)
        self._empty = pa.schema(list(self._types.items())).empty_table()

    def read(self, path: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one file, see `Reader.read`; columns are named as in the source."""
        return self._read(_CsvFile(path, shown, self._max_inflate, first_row=self._first_row), bad)

    def read_rows(self, rows: CsvRows, bad: BadValues) -> pa.Table:
        """Read some rows of a file whose header is known; see `read`."""
        file = _CsvFile(
            rows.path, rows.shown, self._max_inflate, rows.delimiter, rows=rows.text, first_row=rows.first_row,
            decimal_point=rows.decimal_point or ".", knows_decimal_point=bool(rows.decimal_point),
        )  # fmt: skip
        file.name_columns(rows.columns, self._types)
        return self._read(file, bad)

    def _read(self, file: _CsvFile, bad: BadValues) -> pa.Table:
        import pyarrow as pa

        try:
            table = self._parse_checked(file)
            if table is None:
                return self._empty
            if file.hexadecimal:
                table = self._read_exactly(file, bad)
            else:
                table = self._with_numbers(table, [*self._guarded, *self._asked], file, bad)
        except pa.ArrowInvalid:
            table = self._read_with_decimal_commas(file, bad)
            if table is None:
                table = self._read_exactly(file, bad)
        except OSError as error:
            if error.errno is None or isinstance(error, DataError):
                raise
            raise describe_os_error(error, f"read {file.path}") from error
        if self._combined is not None:
            table = self._combined.only_objects(table, file.own, file.shown)
        table = without_blank_rows(table, self._keys, file.shown, file.first_row, bad)
        return with_empty_as_null(table, self._may_be_empty)

    def read_together(self, paths: Sequence[Path]) -> tuple[pa.Table, list[int]] | None:
        """Read small files that have one header as if they were one.

        Returns
        -------
        tuple of (pyarrow.Table, list of int) or None
            The files' rows below each other, and how many each file has; None where anything about one of them is odd,
            so that they have to be read one by one.
        """
        import pyarrow as pa

        concatenated = concatenate(paths) if self._combined is None else None
        if concatenated is None:
            return None
        text, rows = concatenated
        file = _CsvFile(
            LocalLocation(paths[0]), paths[0].name, self._max_inflate, newlines=False, first_row=self._first_row
        )
        self._read_header(file, bytes(text[:_HEADER_BYTES]))
        try:
            table = self._parse(pa.BufferReader(pa.py_buffer(text)), file, self._parsed_types)
            if table.num_rows != sum(rows) or file.names or lacks_keys(table, self._keys):
                return None  # An empty line is no row.
            table = self._with_numbers(table, [*self._guarded, *self._asked], file, BadValues("fail"))
        except (pa.ArrowInvalid, DataError):
            return None
        return with_empty_as_null(table, self._may_be_empty), rows

    def _with_numbers(self, table: pa.Table, columns: Sequence[Column], file: _CsvFile, bad: BadValues) -> pa.Table:
        """Convert columns that were read as text to their types."""
        if file.knows_decimal_point and file.decimal_point == ",":
            table = with_decimal_points(table, [column.source for column in columns])
        for column in columns:
            convert = self._metadata_numbers if column in self._guarded else self._converted
            place = table.column_names.index(column.source)
            table = table.set_column(place, column.source, convert(table.column(place), column, file, bad))
        return table

    def _converted(self, texts: pa.ChunkedArray, column: Column, file: _CsvFile, bad: BadValues) -> pa.Array:
        return convert_values(
            texts.to_pylist(), column.type, column.source, f"{file.shown}, row {{row}}", bad, file.first_row
        )

    def _metadata_numbers(
        self, texts: pa.ChunkedArray, column: Column, file: _CsvFile, bad: BadValues
    ) -> pa.ChunkedArray | pa.Array:
        """Convert a metadata column's texts to numbers.

        Raises
        ------
        DataError
            A text would not be the same again (``0012``).
        """
        different = [text for text in texts.unique().to_pylist() if text is not None]
        if all(keeps_as_number(text, column.type) for text in different):
            return texts.cast(arrow_type(column.type))
        for text in different:
            if is_number(text) and text not in csv_null_words() and not keeps_as_number(text, column.type):
                row = texts.to_pylist().index(text) + file.first_row
                raise changed_metadata(text, column.source, f"{file.shown}, row {row}")
        return self._converted(texts, column, file, bad)

    def _options(self, types: dict[str, pa.DataType]) -> pa.csv.ConvertOptions:
        return self._csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            include_missing_columns=True,
            null_values=csv_null_words(),
            true_values=sorted(TRUE_WORDS),
            false_values=sorted(FALSE_WORDS),
            strings_can_be_null=False,
        )

    def _parse_checked(self, file: _CsvFile) -> pa.Table | None:
        """Parse a file, and check its bytes for what Arrow does not notice; None if it is empty."""
        import pyarrow as pa

        checks = ByteChecks(file.shown)
        if file.rows is not None:
            checks.see(file.rows)
            file.newlines, file.hexadecimal = False, checks.hexadecimal
            return self._parse(pa.BufferReader(file.rows), file, self._parsed_types) if file.rows else None
        if not is_packed(file.path) and file.path.stat().st_size <= _MOST_IN_MEMORY:
            content = file.path.read_bytes()
            checks.see(content)
            checks.check_end()
            file.newlines, file.hexadecimal = checks.quotes, checks.hexadecimal
            self._read_header(file, content[:_HEADER_BYTES])
            return self._parse(pa.BufferReader(content), file, self._parsed_types) if content else None
        check_inflated_size(file.path, file.shown, self._max_inflate)
        with file.open(checks) as stream:
            first = stream.peek() if isinstance(stream, io.BufferedReader) else b""
            if not first:
                return None
            self._read_header(file, first)
            table = self._parse(stream, file, self._parsed_types)
        checks.check_end()
        file.hexadecimal = checks.hexadecimal
        return table

    def _read_header(self, file: _CsvFile, first: bytes) -> None:
        """Find a file's delimiter, columns of one name, and in a combined file the columns of this table."""
        if self._combined is None:
            file.delimiter = delimiter_of(first, self._types)
            text = io.StringIO(first.decode("utf-8-sig", "replace"), newline="")
            names = next((row for row in csv_rows(text, file.delimiter) if row), [])
        else:
            labels = (self.schema.prefix, self._combined.table, self._combined.image.capitalize())
            file.delimiter = delimiter_of(first, labels)
            names, file.own = self._combined.columns(first, file.delimiter)
        if self._combined is not None or len(set(names)) < len(names):
            file.name_columns(names, self._types)

    def _parse(self, source: BinaryIO | pa.NativeFile, file: _CsvFile, types: dict[str, pa.DataType]) -> pa.Table:
        convert = self._convert
        if types is not self._parsed_types or file.copies or file.decimal_point != ".":
            convert = self._options(types | {name: types[copied] for name, copied in file.copies.items()})
            convert.decimal_point = file.decimal_point
        # Files are read many at a time, each by one thread: that costs less than many threads on each.
        table = self._csv.read_csv(
            source,
            read_options=self._csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=file.names or None,
                skip_rows_after_names=self._first_row - 1 if file.names and file.rows is None else 0,
            ),
            parse_options=self._csv.ParseOptions(newlines_in_values=file.newlines, delimiter=file.delimiter),
            convert_options=convert,
        )
        return without_copies(table, file.copies, file.shown, file.first_row)

    def _read_with_decimal_commas(self, file: _CsvFile, bad: BadValues) -> pa.Table | None:
        """Read a file whose numbers have commas where others have points; None if that is not all that is odd."""
        import pyarrow as pa

        if file.delimiter == "," or file.knows_decimal_point:
            return None
        file.decimal_point = ","
        try:
            with file.open() as stream:
                table = self._parse(stream, file, self._parsed_types)
        except pa.ArrowInvalid:
            return None
        finally:
            file.decimal_point = "."
        return self._with_numbers(table, [*self._guarded, *self._asked], file, bad)

    def _read_exactly(self, file: _CsvFile, bad: BadValues) -> pa.Table:
        """Read a file that does not fit the decided types as text, then value by value where needed."""
        import pyarrow as pa

        file.newlines = file.rows is None
        try:
            with file.open() as stream:
                texts = self._parse(stream, file, {name: pa.string() for name in self._types})
        except pa.ArrowInvalid as error:
            first = (file.first_row, len(file.names)) if file.rows is not None else None
            raise locate_fault(file.open, file.shown, file.delimiter, first) from error
        numbers = [column for column in self.schema.columns if column.type != "string"]
        if file.delimiter != "," and not file.knows_decimal_point:
            texts = with_decimal_points(texts, [c.source for c in numbers if not self._is_metadata(c)])
        return self._with_numbers(texts, numbers, file, bad)
