"""Read row ranges of SQLite tables into Arrow tables of the decided types, bit for bit."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.errors import DataError, SourceChangedError
from pycytominer_transform.common.formats.blank_rows import only_objects
from pycytominer_transform.common.formats.protocol import Reader
from pycytominer_transform.common.formats.sqlite import files as sqlite_files
from pycytominer_transform.common.formats.sqlite.files import (
    connect,
    declared_columns,
    has_log,
    read_only_uri,
    rowid_name,
    sqlite_errors,
)
from pycytominer_transform.common.model.column_types import is_number, keeps_as_number, names_metadata
from pycytominer_transform.common.model.conversion import (
    BadValues,
    arrow_type,
    changed_metadata,
    csv_null_words,
    stored_number_of,
    table_of,
)
from pycytominer_transform.common.model.manifest import Column, Manifest, Source
from pycytominer_transform.common.model.naming import TABLE_NUMBER, quoted
from pycytominer_transform.common.model.parents import image_number, object_number
from pycytominer_transform.common.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

_RANGES_A_QUERY = 400
_COLUMNS_A_QUERY = 1_500
"""SQLite gives at most 2,000 columns at once: https://www.sqlite.org/limits.html"""
_WORDS = ", ".join("'" + word + "'" for word in csv_null_words())


class SqliteReader(Reader):
    """Reads the row ranges of one manifest's SQLite tables."""

    def __init__(self, manifest: Manifest, max_inflate: int) -> None:
        self._manifest = manifest

    def read(self, source: Source, file: Location, shown: str, bad: BadValues) -> pa.Table:
        """Read one part's rows of one table; see `Reader.read`."""
        import pyarrow as pa

        path, name = file.local_file(), source.sqlite_table
        columns = self._manifest.schema_of(source.table).columns
        tables, rows_read = [table_of(columns, {}, 0)], 0
        with connect(path, shown) as connection, sqlite_errors(shown):
            stored = declared_columns(connection, name)
            present = [column for column in columns if column.source in stored]
            rowid = f"t.{rowid_name(stored)}"
            batches = [
                source.row_ranges[start : start + _RANGES_A_QUERY]
                for start in range(0, len(source.row_ranges), _RANGES_A_QUERY)
            ]
            # A table without row numbers has rows but no ranges.
            for ranges in batches or ([()] if source.rows != 0 else []):
                rows = _Rows(
                    connection, path, f"{shown}, table {name}", from_clause(name, rowid, ranges),
                    rowid if ranges else "NULL", bad,
                )  # fmt: skip
                # Without row numbers only a single query has all columns in the same order.
                width = _COLUMNS_A_QUERY if ranges else max(len(present), 1)
                arrays: dict[str, pa.ChunkedArray] = {}
                for start in range(0, max(len(present), 1), width):
                    arrays |= rows.read(present[start : start + width])
                rows_read += rows.count
                tables.append(self._only_objects(table_of(columns, arrays, rows.count), source, rows))
        if source.rows >= 0 and rows_read != source.rows:
            raise SourceChangedError(
                f"{shown}, table {name}: {rows_read} rows where pct-discover found {source.rows}; run it again"
            )
        return pa.concat_tables(tables)

    def _only_objects(self, table: pa.Table, source: Source, rows: _Rows) -> pa.Table:
        """Drop rows without an object; count them where each row should have one."""
        preset, schema = self._manifest.preset, self._manifest.schema_of(source.table)
        number = "" if source.table == preset.image else object_number(preset, schema)
        keys = [key for key in (image_number(preset, schema), number) if key]
        is_shared = preset.is_object_table(source.sqlite_table)
        kept = only_objects(table, keys, {*keys, TABLE_NUMBER} - {number} if is_shared else (), rows.where)
        rows.bad.blank_rows += 0 if is_shared else table.num_rows - kept.num_rows
        return kept


reader = SqliteReader


def from_clause(table: str, rowid: str, ranges: Sequence[tuple[int, int]]) -> str:
    """Return the FROM and WHERE that pick row ranges of a table, called ``t``; without ranges, all of its rows."""
    if not ranges:
        return f"FROM {quoted(table)} t"
    values = ", ".join(f"({first:d}, {last:d})" for first, last in ranges)
    # CROSS JOIN keeps SQLite from turning the loops round, so each range is one search by row number.
    return (
        f"FROM (SELECT column1 AS first, column2 AS last FROM (VALUES {values})) r "
        f"CROSS JOIN {quoted(table)} t WHERE {rowid} BETWEEN r.first AND r.last"
    )


@dataclass
class _Rows:
    """Some rows of one SQLite table.

    Attributes
    ----------
    picked : str
        The FROM and WHERE that pick them.
    rowid : str
        The expression of a row's number; ``NULL`` where the rows have none.
    count : int
        The number of rows, once columns of them were read.
    """

    connection: sqlite3.Connection
    path: Path
    shown: str
    picked: str
    rowid: str
    bad: BadValues
    count: int = 0

    def read(self, columns: Sequence[Column]) -> dict[str, pa.ChunkedArray]:
        """Read columns, by their names in the source: by the driver where that is exact, else value by value."""
        if has_log(self.path):
            return self._read_without_driver(columns)
        exact, mixed = self._odd_columns(columns)
        by_driver = [column for column in columns if column not in exact]
        terms = [*(_expression(column, column in mixed) for column in by_driver), self.rowid]
        # Columns are told apart by their order: aliases would have to be quoted.
        table = _fetch(self.path, self.shown, f"SELECT {', '.join(terms)} {self.picked}", self.count)
        *read, rowids = table.columns
        self.count = table.num_rows
        arrays: dict[str, pa.ChunkedArray] = {}
        for column, array in zip(by_driver, read, strict=True):
            if _is_exact(array, column):
                arrays[column.source] = self._checked(array, column, rowids)
            else:
                exact.append(column)
        self._count_words([column for column in mixed if column.source in arrays], arrays)
        return arrays | self._read_exactly(exact, rowids)

    def _read_without_driver(self, columns: Sequence[Column]) -> dict[str, pa.ChunkedArray]:
        """Read columns of a file with a write-ahead log by Python's SQLite alone.

        The driver has an SQLite of its own, and two in one process undo each other's locks on the log's index:
        "database is locked", or a crash. Source: https://www.sqlite.org/howtocorrupt.html, 2.2.1.
        """
        import pyarrow as pa

        rows = self.connection.execute(f"SELECT {self.rowid} {self.picked}").fetchall()
        self.count = len(rows)
        rowids = pa.chunked_array([pa.array([number for (number,) in rows], type=pa.int64())])
        return self._read_exactly(columns, rowids)

    def _odd_columns(self, columns: Sequence[Column]) -> tuple[list[Column], list[Column]]:
        """Count the rows; return the text columns that hold numbers, and the number columns that hold texts or blobs.

        SQLite sorts numbers before texts before blobs, so the largest value, or the smallest, tells; that costs a
        third of reading the rows.
        """
        terms = (f"{'min' if column.type == 'string' else 'max'}(t.{quoted(column.source)})" for column in columns)
        self.count, *extremes = self._row_of("count(*)", *terms)
        pairs = list(zip(columns, extremes, strict=True))
        exact = [column for column, value in pairs if column.type == "string" and isinstance(value, int | float)]
        mixed = [column for column, value in pairs if column.type != "string" and isinstance(value, str | bytes)]
        return exact, mixed

    def _count_words(self, columns: Sequence[Column], arrays: Mapping[str, pa.ChunkedArray]) -> None:
        """Count the words that became null: the values that SQLite stores less those that were read."""
        counts = self._row_of("NULL", *(f"count(t.{quoted(column.source)})" for column in columns)) if columns else ()
        for column, number in zip(columns, counts[1:], strict=True):
            array = arrays[column.source]
            self.bad.add_words(column.name, number - (len(array) - array.null_count))

    def _row_of(self, *terms: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.connection.execute(f"SELECT {', '.join(terms)} {self.picked}").fetchone()
        return row

    def _checked(self, array: pa.ChunkedArray, column: Column, rowids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Cast what the driver read to the decided type; refuse bytes that are not UTF-8."""
        import pyarrow as pa

        if column.type != "string":
            return array.cast(arrow_type(column.type), safe=False)
        texts = array.cast(pa.string())
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            for place, value in enumerate(texts.cast(pa.binary()).to_pylist()):
                _text_of(value, column, self._where(rowids, place))
            raise DataError(f"{self.shown}, column {column.source!r}: cannot be read as text") from error
        return texts

    def where(self, place: int) -> str:
        """Return how one of the rows, by its place among them, is named in messages."""
        number = self.connection.execute(f"SELECT {self.rowid} {self.picked} LIMIT 1 OFFSET {place:d}").fetchone()[0]
        return f"{self.shown}, row {number or place + 1}"

    def _where(self, rowids: pa.ChunkedArray, place: int) -> str:
        return f"{self.shown}, row {rowids[place].as_py() or place + 1}"

    def _read_exactly(self, columns: Sequence[Column], rowids: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
        """Read columns value by value: numbers stored as text, whole numbers beyond 53 bits among fractions."""
        import pyarrow as pa

        if not columns:
            return {}
        terms = ", ".join([*(f"t.{quoted(column.source)}" for column in columns), self.rowid])
        rows = self.connection.execute(f"SELECT {terms} {self.picked}").fetchall()
        *values, numbers = zip(*rows, strict=True) if rows else [()] * (len(columns) + 1)
        if list(numbers) != rowids.to_pylist():
            raise SourceChangedError(f"{self.shown}: has changed while it was read; run pct-discover again")
        return {
            column.source: pa.chunked_array([self._converted(stored, column, rowids)])
            for column, stored in zip(columns, values, strict=True)
        }

    def _converted(self, stored: Sequence[Any], column: Column, rowids: pa.ChunkedArray) -> pa.Array:
        import pyarrow as pa

        values: list[Any] = []
        for place, value in enumerate(stored):
            try:
                if value is None:
                    values.append(None)
                elif column.type == "string":
                    values.append(_text_of(value, column, self._where(rowids, place)))
                else:
                    if isinstance(value, str | bytes) and not column.is_cast:
                        _check_kept(value, column, self._where(rowids, place))
                    number = stored_number_of(value, column.type)
                    if number in (math.inf, -math.inf) and isinstance(value, str) and any(map(str.isdigit, value)):
                        raise ValueError(value)  # SQLite wrote a finite number as a text of too few digits.
                    values.append(number)
                    self.bad.add_words(column.name, int(values[-1] is None))
            except DataError:
                raise
            except (ValueError, OverflowError):
                self.bad.meet(value, column.type, column.source, self._where(rowids, place))
                values.append(None)
        return pa.array(values, type=arrow_type(column.type))


def _text_of(value: Any, column: Column, where: str) -> str | None:
    """Return a stored value as text; a number in the fewest digits that make it the same number again."""
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
        raise changed_metadata(text, column.source, where)


def _expression(column: Column, is_mixed: bool) -> str:
    """Return the SQL by which the driver reads a column: words for no value as NULL, ``inf`` as infinite.

    Any other text makes the driver return a column of text, which then has to be read value by value.
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
    """Return whether the driver read a column as a type that loses nothing."""
    import pyarrow as pa

    if column.type in ("string", "bool"):
        return column.type == "string"
    return pa.types.is_integer(array.type) or (pa.types.is_floating(array.type) and column.type != "int64")


def _fetch(path: Path, shown: str, query: str, rows: int) -> pa.Table:
    """Return the rows of a query as one Arrow batch, so that a column's type is that of all its values.

    The driver reserves memory for the largest batch, and crashes if there is not enough.
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
        # The driver does not pass SQLite's result code on; the same query in Python's SQLite raises it.
        with connect(path, shown) as again:
            for _ in again.execute(query):
                pass
        raise DataError(f"{shown}: cannot be read: {error}") from error
