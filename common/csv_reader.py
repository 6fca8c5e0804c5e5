"""Reading whole CSV files into Arrow tables of the decided types."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from pycytominer_transform.common.arrays import empty_table
from pycytominer_transform.common.cloud_place import CloudPlace
from pycytominer_transform.common.column_types import is_number, keeps_as_number, names_metadata
from pycytominer_transform.common.conversion import (
    FALSE_WORDS,
    TRUE_WORDS,
    BadValues,
    arrow_type,
    convert_texts,
    csv_null_words,
)
from pycytominer_transform.common.csv_combined import HEADER_ROWS, CombinedColumns, CombinedTable
from pycytominer_transform.common.csv_faults import locate_fault
from pycytominer_transform.common.csv_files import (
    DEFAULT_MAX_INFLATE,
    ByteChecks,
    check_inflated_size,
    delimiter_of,
    is_packed,
    open_csv,
)
from pycytominer_transform.common.csv_together import put_together
from pycytominer_transform.common.errors import DataError, describe_os_error
from pycytominer_transform.common.manifest import Column, TableSchema
from pycytominer_transform.common.place import Place
from pycytominer_transform.common.resources import usable_threads

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 1 << 24
MOST_TOGETHER = _BLOCK_BYTES
"""Bytes of files that are read together at most."""
_HEADER_BYTES = 1 << 20
_READERS_KEPT = 16
_MOST_HELD = 1 << 26
"""Bytes of an object's text to hold at once; larger ones are parsed as they come."""


@dataclass
class _CsvFile:
    """One file as the parser needs to know it: what is between its fields, and what its values may hold."""

    path: Place
    shown: str
    max_inflate: int
    delimiter: str = ","
    newlines: bool = True
    hexadecimal: bool = False
    columns: CombinedColumns = field(default_factory=CombinedColumns)

    def open(self, checks: ByteChecks | None = None) -> BinaryIO:
        """Open it, inflated where it is gzipped."""
        return open_csv(self.path, self.shown, max_inflate=self.max_inflate, checks=checks)


class CsvReader:
    """Reads the CSV files of one table; makes the reader's settings once, since they name every column.

    Parameters
    ----------
    schema : TableSchema
        The columns to give, in this order; those that a file lacks are null.
    max_inflate : int
        Bytes that a gzipped file may inflate to.
    empty_text : {'kept', 'null'}
        What an empty field is in a column of text.
    combined : CombinedTable, optional
        How the table lies within files that hold several.
    """

    def __init__(
        self, schema: TableSchema, *, max_inflate: int = DEFAULT_MAX_INFLATE,
        empty_text: Literal["kept", "null"] = "kept", combined: CombinedTable | None = None,
    ) -> None:  # fmt: skip
        import pyarrow as pa
        import pyarrow.csv

        self._csv = pa.csv
        self.schema = schema
        self._max_inflate = max_inflate
        self._combined = combined
        self._may_be_empty = [c.source for c in schema.columns if c.type == "string" and empty_text == "null"]
        self._types = {column.source: arrow_type(column.type) for column in schema.columns}
        # Metadata that was taken for numbers is read as text first, so that no 0012 further down silently becomes 12;
        # unless the user asked for numbers.
        self._guarded = [c for c in schema.columns if names_metadata(c.source) and c.type != "string" and not c.is_cast]
        # What the user asked for may be written otherwise all over (3.0): only these columns are then read slowly.
        self._asked = [c for c in schema.columns if c.is_cast and c.type in ("int64", "bool")]
        as_text = {column.source: pa.string() for column in (*self._guarded, *self._asked)}
        self._convert = self._options(self._types | as_text)
        self._empty = empty_table(pa.schema(list(self._types.items())))

    def read(self, path: Place, shown: str, bad: BadValues) -> pa.Table:
        """Read one file.

        Parameters
        ----------
        path : Place
            The file.
        shown : str
            How messages call it.
        bad : BadValues
            What to do with texts in number columns.

        Returns
        -------
        pyarrow.Table
            One row per row of the file, the schema's columns in its order by their names in the source.

        Raises
        ------
        DataError
            The file is cut off, ragged or not text; names the row.
        BadValueError
            A text in a number column; names row and column.
        """
        import pyarrow as pa

        file = _CsvFile(path, shown, self._max_inflate)
        try:
            table = self._read_once(file) if is_packed(path) or _is_far_and_large(path) else self._read_plain(file)
            if table is None:
                return self._empty
            if file.hexadecimal:
                table = self._read_exactly(file, bad)
            else:
                table = self._with_metadata(table, shown, bad)
        except pa.ArrowInvalid:
            table = self._read_exactly(file, bad)
        except OSError as error:
            if error.errno is None or isinstance(error, DataError):
                raise
            raise describe_os_error(error, f"read {path}") from error
        if self._combined is not None:
            table = self._combined.only_objects(table, file.columns.own, shown)
        return self._without_empty(table)

    def read_together(self, paths: Sequence[Path]) -> tuple[pa.Table, list[int]] | None:
        """Read small files that have one header as if they were one.

        Parameters
        ----------
        paths : sequence of Path
            The files, neither gzipped nor together larger than `MOST_TOGETHER`.

        Returns
        -------
        tuple of (pyarrow.Table, list of int) or None
            The files' rows below each other, see `read`, and how many each file has; None where anything about one of
            them is odd, so that they have to be read one by one.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        import pyarrow as pa

        together = put_together(paths) if self._combined is None else None
        if together is None:
            return None
        shown = paths[0].name
        file = _CsvFile(paths[0], shown, self._max_inflate, newlines=False)
        self._look_at_header(file, together.header)
        try:
            table = self._parse(pa.BufferReader(together.text), file, self._convert)
            if table.num_rows != sum(together.rows):
                return None  # An empty line is no row.
            table = self._with_metadata(table, shown, BadValues("fail"))
        except (pa.ArrowInvalid, DataError):
            return None
        return self._without_empty(table), together.rows

    def _with_metadata(self, table: pa.Table, shown: str, bad: BadValues) -> pa.Table:
        """Make numbers of the metadata that are to be numbers, and of what the user asked for."""
        for column in (*self._guarded, *self._asked):
            place = table.column_names.index(column.source)
            texts = table.column(place)
            convert = self._converted if column.is_cast else _metadata_numbers
            table = table.set_column(place, column.source, convert(texts, column, shown, bad))
        return table

    def _converted(self, texts: pa.ChunkedArray, column: Column, shown: str, bad: BadValues) -> pa.Array:
        first_row = HEADER_ROWS + 1 if self._combined else 2
        return convert_texts(texts.to_pylist(), column.type, column.source, f"{shown}, row {{row}}", bad, first_row)

    def _without_empty(self, table: pa.Table) -> pa.Table:
        """Make empty texts null where they are to be."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in self._may_be_empty:
            texts = table[name]
            filled = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
            table = table.set_column(table.column_names.index(name), name, filled)
        return table

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

    def _read_plain(self, file: _CsvFile) -> pa.Table | None:
        """Read a plain file; None where there is nothing in it."""
        if isinstance(file.path, Path):
            is_small = file.path.stat().st_size <= _BLOCK_BYTES
            return self._parse_checked(file, file.path.read_bytes() if is_small else file.path)
        held = file.path.read_bytes()
        with _parsing():
            return self._parse_checked(file, held)

    def _parse_checked(self, file: _CsvFile, content: Path | bytes) -> pa.Table | None:
        """Parse a file, or its bytes, that can be read twice: what Arrow does not check is looked for first."""
        import pyarrow as pa

        checks = ByteChecks(file.shown)
        first = b""
        for block in [content] if isinstance(content, bytes) else _blocks(content):
            first = first or block[:_HEADER_BYTES]
            checks.see(block)
        if not first:
            return None
        checks.check_end()
        file.newlines, file.hexadecimal = checks.quotes, checks.hexadecimal
        self._look_at_header(file, first)
        return self._parse(pa.BufferReader(content) if isinstance(content, bytes) else content, file, self._convert)

    def _read_once(self, file: _CsvFile) -> pa.Table | None:
        """Read a file in one pass, checked while it is parsed; None where there is nothing in it."""
        checks = ByteChecks(file.shown)
        check_inflated_size(file.path, file.shown, self._max_inflate)
        with file.open(checks) as stream:
            first = _peek(stream)
            if not first:
                return None
            self._look_at_header(file, first)
            table = self._parse(stream, file, self._convert)
        checks.check_end()
        file.hexadecimal = checks.hexadecimal
        return table

    def _look_at_header(self, file: _CsvFile, first: bytes) -> None:
        """Find out what is between a file's fields, and in a combined one where this table's columns are."""
        if self._combined is None:
            file.delimiter = delimiter_of(first, self._types)
            return
        labels = (self.schema.prefix, self._combined.table, self._combined.image.capitalize())
        file.delimiter = delimiter_of(first, labels)
        file.columns = self._combined.columns(first, file.delimiter)

    def _parse(
        self, source: Place | BinaryIO | pa.NativeFile, file: _CsvFile, convert: pa.csv.ConvertOptions
    ) -> pa.Table:
        # Files are read many at a time, each by one thread: that costs less than many threads on each.
        return self._csv.read_csv(
            source,
            read_options=self._csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=list(file.columns.names) or None,
                skip_rows_after_names=HEADER_ROWS if file.columns.names else 0,
            ),
            parse_options=self._csv.ParseOptions(newlines_in_values=file.newlines, delimiter=file.delimiter),
            convert_options=convert,
        )

    def _read_exactly(self, file: _CsvFile, bad: BadValues) -> pa.Table:
        """Read a file that does not fit the decided types as text, then value by value where needed."""
        import pyarrow as pa

        shown, file.newlines = file.shown, True
        try:
            with file.open() as stream:
                texts = self._parse(stream, file, self._options({name: pa.string() for name in self._types}))
        except pa.ArrowInvalid as error:
            raise locate_fault(file.open, file.shown, file.delimiter) from error
        columns = []
        for column, name in zip(self.schema.columns, texts.column_names, strict=True):
            array = texts[name]
            if column in self._guarded:
                array = _metadata_numbers(array, column, shown, bad)
            elif column.type != "string":
                array = self._converted(array, column, shown, bad)
            columns.append(array)
        return pa.table(columns, names=texts.column_names)


@cache
def _parsing() -> threading.Semaphore:
    """Give what is held while a file from afar is parsed: more may be on their way than there are processors."""
    return threading.Semaphore(usable_threads())


csv_reader = lru_cache(_READERS_KEPT)(CsvReader)
"""Gives the reader of a table; the same again for the next part of the same plate."""


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


def _is_far_and_large(path: Place) -> bool:
    return isinstance(path, CloudPlace) and path.stat().st_size > _MOST_HELD


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


def _peek(stream: BinaryIO) -> bytes:
    """Look at the first bytes of an inflated file without taking them."""
    return stream.peek() if isinstance(stream, io.BufferedReader) else b""
