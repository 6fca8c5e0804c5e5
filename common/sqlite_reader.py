"""Reading row ranges of SQLite tables into Arrow tables of the decided types, bit for bit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common import sqlite_files
from pycytominer_transform.common.arrays import empty_table
from pycytominer_transform.common.column_types import is_number, keeps_as_number, names_metadata
from pycytominer_transform.common.conversion import BadValues, arrow_type, csv_null_words, stored_number_of
from pycytominer_transform.common.errors import DataError, SourceChangedError
from pycytominer_transform.common.manifest import Column, Source, TableSchema
from pycytominer_transform.common.naming import TABLE_NUMBER
from pycytominer_transform.common.sqlite_files import (
    connect,
    declared_columns,
    has_log,
    quoted,
    read_only_uri,
    rowid_name,
    sqlite_errors,
)

if TYPE_CHECKING:
    import pyarrow as pa

_RANGES_A_QUERY = 400
_COLUMNS_A_QUERY = 1_500
"""SQLite gives at most 2,000 columns at once: https://www.sqlite.org/limits.html"""
_WORDS = ", ".join("'" + word + "'" for word in csv_null_words())


@dataclass
class _Table:
    """One SQLite table as a query needs it."""

    name: str
    columns: list[str]
    rowid: str

    def rows(self, ranges: Sequence[tuple[int, int]]) -> str:
        """Write the FROM and WHERE that pick row ranges; whole numbers only, so nothing needs quoting."""
        if not ranges:
            return f"FROM {quoted(self.name)} t"
        if len(ranges) == 1:
            first, last = ranges[0]
            return f"FROM {quoted(self.name)} t WHERE t.{self.rowid} BETWEEN {first:d} AND {last:d}"
        listed = ", ".join(f"({first:d}, {last:d})" for first, last in ranges)
        # CROSS JOIN keeps SQLite from turning the loops round, so each range is one search by row number.
        return (
            f"FROM (SELECT column1 AS first, column2 AS last FROM (VALUES {listed})) r "
            f"CROSS JOIN {quoted(self.name)} t WHERE t.{self.rowid} BETWEEN r.first AND r.last"
        )


def read_sqlite(path: Path, shown: str, source: Source, schema: TableSchema, bad: BadValues) -> pa.Table:
    """Read one part's rows of one table.

    Returns
    -------
    pyarrow.Table
        One row per row of the ranges, final column names; columns that the file lacks are null.

    Raises
    ------
    DataError, StorageError
        The file is damaged, locked or not SQLite.
    BadValueError
        A text in a number column; names row and column.
    SourceChangedError
        There are other rows than `pct-discover` found.
    """
    import pyarrow as pa

    wanted = pa.schema([(column.name, arrow_type(column.type)) for column in schema.columns])
    tables = []
    with connect(path, shown) as connection, sqlite_errors(shown):
        table = _describe(connection, source.sqlite_table)
        for ranges in _batches(source):
            tables.append(_read_ranges(connection, path, f"{shown}, table {table.name}", table, (ranges, schema, bad)))
    read = pa.concat_tables(tables) if tables else empty_table(wanted)
    if source.rows >= 0 and read.num_rows != source.rows:
        raise SourceChangedError(
            f"{shown}, table {table.name}: {read.num_rows} rows where pct-discover found {source.rows}; run it again"
        )
    return read


def _batches(source: Source) -> Iterator[Sequence[tuple[int, int]]]:
    if not source.row_ranges and source.rows != 0:
        yield ()
    for start in range(0, len(source.row_ranges), _RANGES_A_QUERY):
        yield source.row_ranges[start : start + _RANGES_A_QUERY]


def _describe(connection: sqlite3.Connection, name: str) -> _Table:
    columns = list(declared_columns(connection, name))
    return _Table(name, columns, rowid_name(columns))


def _read_ranges(
    connection: sqlite3.Connection, path: Path, shown: str, table: _Table,
    what: tuple[Sequence[tuple[int, int]], TableSchema, BadValues],
) -> pa.Table:  # fmt: skip
    import pyarrow as pa

    ranges, schema, bad = what
    rows = _Rows(connection, path, shown, table.rows(ranges), f"t.{table.rowid}" if ranges else "", bad)
    present = [column for column in schema.columns if column.source in table.columns]
    # Without row numbers nothing but one query says that all columns come in the same order.
    width = _COLUMNS_A_QUERY if ranges else max(len(present), 1)
    arrays: dict[Column, pa.ChunkedArray] = {}
    for start in range(0, max(len(present), 1), width):
        arrays.update(rows.read(present[start : start + width]))
    columns = [
        arrays[column] if column in arrays else pa.nulls(rows.count, arrow_type(column.type))
        for column in schema.columns
    ]
    return pa.table(columns, schema=pa.schema([(column.name, arrow_type(column.type)) for column in schema.columns]))


@dataclass
class _Rows:
    """Some rows of one SQLite table.

    Attributes
    ----------
    picked : str
        The FROM and WHERE that pick them.
    rowid : str
        The expression that gives a row's number; empty where the rows have none.
    count : int
        How many there are, once columns of them were read.
    """

    connection: sqlite3.Connection
    path: Path
    shown: str
    picked: str
    rowid: str
    bad: BadValues
    count: int = 0

    def read(self, columns: Sequence[Column]) -> dict[Column, pa.ChunkedArray]:
        """Read columns: by the driver what it gives bit for bit, else by Python value by value."""
        if has_log(self.path):
            return self._read_without_driver(columns)
        exact, mixed = self._look_at(columns)
        by_driver = [column for column in columns if column not in exact]
        terms = [*(_expression(column, column in mixed) for column in by_driver), self.rowid or "NULL"]
        # A name for each would be one more thing to quote; the order says as much.
        got = _fetch(self.path, self.shown, f"SELECT {', '.join(terms)} {self.picked}", self.count)
        *read, rowids = got.columns
        self.count = got.num_rows
        arrays: dict[Column, pa.ChunkedArray] = {}
        for column, array in zip(by_driver, read, strict=True):
            if _is_exact(array, column):
                arrays[column] = self._checked(array, column, rowids)
            else:
                exact.append(column)
        self._count_words({column: arrays[column] for column in mixed if column in arrays})
        arrays.update(self._read_exactly(exact, rowids))
        return arrays

    def _read_without_driver(self, columns: Sequence[Column]) -> dict[Column, pa.ChunkedArray]:
        """Read columns of a file with a write-ahead log by Python's SQLite alone.

        The driver has an SQLite of its own, and two in one process undo each other's locks on the log's index:
        "database is locked", or a crash. Source: https://www.sqlite.org/howtocorrupt.html, 2.2.1.
        """
        import pyarrow as pa

        rows = self.connection.execute(f"SELECT {self.rowid or 'NULL'} {self.picked}").fetchall()
        self.count = len(rows)
        rowids = pa.chunked_array([pa.array([number for (number,) in rows], type=pa.int64())])
        return self._read_exactly(columns, rowids)

    def _look_at(self, columns: Sequence[Column]) -> tuple[list[Column], set[Column]]:
        """Count the rows; find the text columns that hold numbers, and the number columns that hold a text or a blob.

        SQLite sorts numbers before texts before blobs, so the largest value, or the smallest, tells; that costs a
        third of reading the rows.
        """
        largest = (f"{'min' if column.type == 'string' else 'max'}(t.{quoted(column.source)})" for column in columns)
        terms = ", ".join(["count(*)", *largest])
        self.count, *found = self.connection.execute(f"SELECT {terms} {self.picked}").fetchone()
        told = list(zip(columns, found, strict=True))
        exact = [column for column, value in told if column.type == "string" and isinstance(value, int | float)]
        mixed = {column for column, value in told if column.type != "string" and isinstance(value, str | bytes)}
        return exact, mixed

    def _count_words(self, arrays: dict[Column, pa.ChunkedArray]) -> None:
        """Count the words that became null: what SQLite holds there less what was read."""
        if not arrays:
            return
        terms = (f"count(t.{quoted(column.source)})" for column in arrays)
        held = self.connection.execute(f"SELECT {', '.join(terms)} {self.picked}").fetchone()
        for (column, array), number in zip(arrays.items(), held, strict=True):
            self.bad.add_words(column.name, number - (len(array) - array.null_count))

    def _checked(self, array: pa.ChunkedArray, column: Column, rowids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Give what the driver read the decided type; bytes that are not UTF-8 are refused."""
        import pyarrow as pa

        wanted = arrow_type(column.type)
        if column.type != "string":
            return array.cast(wanted, safe=False)
        texts = array.cast(wanted) if array.type != wanted else array
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            for place, value in enumerate(texts.cast(pa.binary()).to_pylist()):
                _text_of(value, column, self._where(rowids, place))
            raise DataError(f"{self.shown}, column {column.source!r}: cannot be read as text") from error
        return texts

    def _where(self, rowids: pa.ChunkedArray, place: int) -> str:
        return f"{self.shown}, row {rowids[place].as_py() or place + 1}"

    def _read_exactly(self, columns: Sequence[Column], rowids: pa.ChunkedArray) -> dict[Column, pa.ChunkedArray]:
        """Read columns value by value: numbers stored as text, whole numbers beyond 53 bits among fractions."""
        import pyarrow as pa

        if not columns:
            return {}
        terms = ", ".join([*(f"t.{quoted(column.source)}" for column in columns), self.rowid or "NULL"])
        rows = self.connection.execute(f"SELECT {terms} {self.picked}").fetchall()
        *values, numbers = zip(*rows, strict=True) if rows else [()] * (len(columns) + 1)
        if list(numbers) != rowids.to_pylist():
            raise SourceChangedError(f"{self.shown}: has changed while it was read; run pct-discover again")
        return {
            column: pa.chunked_array([pa.array(self._converted(stored, column, rowids), type=arrow_type(column.type))])
            for column, stored in zip(columns, values, strict=True)
        }

    def _converted(self, stored: Sequence[Any], column: Column, rowids: pa.ChunkedArray) -> list[Any]:
        values: list[Any] = []
        words = 0
        for place, value in enumerate(stored):
            if value is None:
                values.append(None)
            elif column.type == "string":
                values.append(_text_of(value, column, self._where(rowids, place)))
            else:
                try:
                    if isinstance(value, str | bytes) and not column.is_cast:
                        _check_kept(value, column, self._where(rowids, place))
                    values.append(stored_number_of(value, column.type))
                    words += values[-1] is None
                except (ValueError, OverflowError):
                    self.bad.meet(value, column.type, column.source, self._where(rowids, place))
                    values.append(None)
        self.bad.add_words(column.name, words)
        return values


def _text_of(value: Any, column: Column, where: str) -> str | None:
    """Give a stored value as text; a number in the fewest digits that make it the same number again."""
    try:
        if isinstance(value, str):
            value.encode()
            return value
        if column.name == TABLE_NUMBER and isinstance(value, float) and value.is_integer():
            value = int(value)  # Tables are joined on it, and another may hold it as 1 or '1'.
        return value.decode() if isinstance(value, bytes) else None if value is None else repr(value)
    except UnicodeError as error:
        raise DataError(
            f"{where}, column {column.source!r}: holds bytes that are not UTF-8 text; correct them, or leave the "
            "column out of the table"
        ) from error


def _check_kept(value: str | bytes, column: Column, where: str) -> None:
    """Refuse a text of metadata that would not be the same again as a number (``0012``)."""
    text = value if isinstance(value, str) else value.decode()
    if not names_metadata(column.source) or not is_number(text) or text in csv_null_words():
        return
    if not keeps_as_number(text, column.type):
        raise DataError(
            f"{where}, column {column.source!r}: {text!r} would not stay as it is in a column of numbers; name the "
            "column in the list 'text' of a preset"
        )


def _expression(column: Column, is_mixed: bool) -> str:
    """Write how the driver shall see a column: numbers as they are, words for no value as NULL, ``inf`` infinite.

    Any other text stays, and makes the driver give a column of text, which shows that it has to be read exactly.
    """
    name = f"t.{quoted(column.source)}"
    if column.type == "string":
        return f"CAST({name} AS TEXT)"
    if not is_mixed:
        return name
    infinite = ""
    if column.type != "int64" and not names_metadata(column.source):
        # SQLite has no other way to write it: https://www.sqlite.org/floatingpoint.html
        infinite = f"WHEN {name} = 'inf' THEN 9e999 WHEN {name} = '-inf' THEN -9e999 "
    # All numbers sort before the empty text.
    return f"CASE WHEN {name} < '' THEN {name} WHEN {name} IN ({_WORDS}) THEN NULL {infinite}ELSE {name} END"


def _is_exact(array: pa.ChunkedArray, column: Column) -> bool:
    """Say whether the driver gave a column in a type that lost nothing."""
    import pyarrow as pa

    if column.type in ("string", "bool"):
        return column.type == "string"
    return pa.types.is_integer(array.type) or (pa.types.is_floating(array.type) and column.type != "int64")


def _fetch(path: Path, shown: str, query: str, rows: int) -> pa.Table:
    """Run a query with the results as one Arrow batch, so that a column's type is that of all its values.

    The driver sets aside memory for as many rows as a batch may have, and crashes where it gets none.
    """
    import adbc_driver_manager
    from adbc_driver_sqlite import dbapi

    try:
        with (
            dbapi.connect(read_only_uri(path)) as connection,
            connection.cursor() as settings,
            connection.cursor(adbc_stmt_kwargs={"adbc.sqlite.query.batch_rows": str(max(rows, 1))}) as cursor,
        ):
            settings.execute(f"PRAGMA busy_timeout = {int(sqlite_files.BUSY_SECONDS * 1000):d}")
            cursor.execute(query)
            return cursor.fetch_arrow_table().combine_chunks()
    except adbc_driver_manager.Error as error:
        # The driver does not pass SQLite's result code on; asking SQLite the same gives it.
        with connect(path, shown) as again:
            for _ in again.execute(query):
                pass
        raise DataError(f"{shown}: cannot be read: {error}") from error
