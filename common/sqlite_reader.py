"""Reading row ranges of SQLite tables into Arrow tables of the decided types, bit for bit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycytominer_transform.common.arrays import empty_table
from pycytominer_transform.common.column_types import NULL_WORDS
from pycytominer_transform.common.conversion import BadValues, arrow_type, number_of
from pycytominer_transform.common.errors import DataError, SourceChangedError
from pycytominer_transform.common.manifest import Column, Source, TableSchema
from pycytominer_transform.common.sqlite_files import connect, quoted, read_only_uri, rowid_name, sqlite_errors

if TYPE_CHECKING:
    import pyarrow as pa

_RANGES_A_QUERY = 400
_ROWID = "pct_rowid"


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
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(name)})")]
    return _Table(name, columns, rowid_name(columns))


def _read_ranges(
    connection: sqlite3.Connection, path: Path, shown: str, table: _Table,
    what: tuple[Sequence[tuple[int, int]], TableSchema, BadValues],
) -> pa.Table:  # fmt: skip
    import pyarrow as pa

    ranges, schema, bad = what
    rows = table.rows(ranges)
    present = [column for column in schema.columns if column.source in table.columns]
    mixed = _mixed_columns(connection, rows, [column for column in present if column.type != "string"])
    picked = [_expression(column, column in mixed) for column in present]
    picked.append(f"t.{table.rowid} AS {_ROWID}" if ranges else f"NULL AS {_ROWID}")
    got = _fetch(path, shown, f"SELECT {', '.join(picked)} {rows}")
    arrays = dict(zip(present, got.columns, strict=False))
    for column in mixed:
        odd = _odd_values(connection, table, rows, column, ranges)
        if odd:
            arrays[column] = _patched(arrays[column], odd, got[_ROWID].to_pylist(), (column, shown, bad))
    columns = [
        _typed(arrays[c], c, shown, bad, got[_ROWID]) if c in arrays else pa.nulls(got.num_rows, arrow_type(c.type))
        for c in schema.columns
    ]
    return pa.table(columns, schema=pa.schema([(column.name, arrow_type(column.type)) for column in schema.columns]))


def _mixed_columns(connection: sqlite3.Connection, rows: str, columns: Sequence[Column]) -> list[Column]:
    """Find the number columns that hold a text or a blob in these rows.

    SQLite sorts numbers before texts before blobs, so the largest value tells; that costs a third of reading the rows.
    """
    if not columns:
        return []
    largest = connection.execute(f"SELECT {', '.join(f'max(t.{quoted(c.source)})' for c in columns)} {rows}").fetchone()
    return [column for column, value in zip(columns, largest, strict=True) if isinstance(value, str | bytes)]


def _expression(column: Column, is_mixed: bool) -> str:
    name = f"t.{quoted(column.source)}"
    if column.type == "string":
        return f"CAST({name} AS TEXT)"
    return f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN NULL ELSE {name} END" if is_mixed else name


def _fetch(path: Path, shown: str, query: str) -> pa.Table:
    """Run a query with the results as one Arrow batch, so that a column's type is that of all its values."""
    import adbc_driver_manager
    from adbc_driver_sqlite import dbapi

    try:
        with (
            dbapi.connect(read_only_uri(path)) as connection,
            connection.cursor(adbc_stmt_kwargs={"adbc.sqlite.query.batch_rows": str(1 << 30)}) as cursor,
        ):
            cursor.execute(query)
            return cursor.fetch_arrow_table().combine_chunks()
    except adbc_driver_manager.Error as error:
        # The driver does not pass SQLite's result code on; asking SQLite the same gives it.
        with connect(path, shown) as again:
            for _ in again.execute(query):
                pass
        raise DataError(f"{shown}: cannot be read: {error}") from error


def _odd_values(
    connection: sqlite3.Connection, table: _Table, rows: str, column: Column, ranges: Sequence[tuple[int, int]]
) -> dict[int, Any]:
    """Give the texts and blobs of a number column that are not words for no value, by row number."""
    name = f"t.{quoted(column.source)}"
    words = ", ".join("'" + word + "'" for word in sorted(NULL_WORDS))
    odd = f"typeof({name}) IN ('text', 'blob') AND {name} NOT IN ({words})"
    joined = "AND" if ranges else "WHERE"
    rowid = f"t.{table.rowid}" if ranges else "row_number() OVER ()"
    return dict(connection.execute(f"SELECT {rowid}, {name} {rows} {joined} {odd}"))


def _patched(
    array: pa.ChunkedArray, odd: dict[int, Any], rowids: list[int | None], what: tuple[Column, str, BadValues]
) -> pa.ChunkedArray:
    """Put the numbers that are stored as text, ``inf`` or ``1.5``, into their places."""
    import pyarrow as pa

    column, shown, bad = what
    values = array.to_pylist()
    place_of = {rowid: place for place, rowid in enumerate(rowids)}
    for rowid, text in odd.items():
        place = place_of.get(rowid, rowid - 1)
        try:
            values[place] = number_of(text if isinstance(text, str) else repr(text), column.type)
        except (ValueError, OverflowError):
            bad.meet(text, column.type, column.source, f"{shown}, row {rowid}")
    # A fraction or a giant among whole numbers is left for `_typed` to refuse.
    whole = column.type == "int64" and not any(isinstance(value, float) for value in values)
    return pa.chunked_array([pa.array(values, type=arrow_type("int64" if whole else "float64"))])


def _typed(
    array: pa.ChunkedArray, column: Column, shown: str, bad: BadValues, rowids: pa.ChunkedArray
) -> pa.ChunkedArray:
    """Cast what SQLite gave to the decided type, refusing what would change."""
    import pyarrow as pa

    wanted = arrow_type(column.type)
    if column.type == "string":
        texts = array.cast(wanted) if array.type != wanted else array
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{shown}, column {column.source!r}: holds bytes that are not UTF-8 text") from error
        return texts
    if column.type != "int64":
        return array.cast(wanted, safe=False)
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        values = array.to_pylist()
        for place, value in enumerate(values):
            if value is not None and not (float(value).is_integer() and -(1 << 63) <= value < 1 << 63):
                bad.meet(value, column.type, column.source, f"{shown}, row {rowids[place].as_py() or place + 1}")
                values[place] = None
        return pa.chunked_array([pa.array(values, type=wanted)])
