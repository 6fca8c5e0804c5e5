"""What lies in an SQLite file: its tables, its image sets, and in which rows each image set's objects are."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pycytominer_transform.common.column_types import names_measurement, names_whole_number
from pycytominer_transform.common.conversion import number_of
from pycytominer_transform.common.errors import BadDatasetError
from pycytominer_transform.common.found import FoundSource, TableSample
from pycytominer_transform.common.naming import WHOLE_NUMBER, listed, table_prefix
from pycytominer_transform.common.place import Place, local_path
from pycytominer_transform.common.preset import Preset, declares_text
from pycytominer_transform.common.sqlite_files import (
    connect,
    declared_columns,
    quoted,
    rowid_name,
    rows_beside_index,
)
from pycytominer_transform.common.tree import fingerprint

_SAMPLE_ROWS = 50

Run = tuple[int, int]
ImageSet = tuple[Any, Any]
"""Table number and image number, equal where they are joined as equal, however they are stored."""
_NUMBER_AS_TEXT = re.compile(r"-?[1-9][0-9]{0,17}|0")


@dataclass
class SqliteTable:
    """One table of a file.

    Attributes
    ----------
    rows_of : dict
        For each image set its number of rows.
    runs_of : dict
        For each image set the first and last rowid of each run of its rows; empty where the table has no rowids.
    whole_numbers : bool
        Whether all its table numbers are stored as whole numbers, none as text.
    """

    name: str
    columns: dict[str, str]
    rows_of: dict[ImageSet, int] = field(default_factory=dict)
    runs_of: dict[ImageSet, list[Run]] = field(default_factory=dict)
    whole_numbers: bool = True


def shown_name(path: Path, relative: str) -> str:
    """Say how messages call a file: by its path in the source, or by its own name where it is the source."""
    return path.name if relative == "." else relative


def sqlite_tables(path: Path, shown: str, preset: Preset, tables: Sequence[str]) -> dict[str, str]:
    """Say which SQLite table, or view, holds each of the tables.

    Raises
    ------
    BadDatasetError
        Two of them could hold the same table.
    DataError, StorageError
        The file cannot be read.
    """
    with connect(path, shown) as connection:
        names = _tables_and_views(connection)
    held: dict[str, str] = {}
    for name in sorted(names):
        table = preset.table_of(name, tables)
        if table is None:
            continue
        if table in held:
            raise BadDatasetError(f"{shown}: {held[table]} and {name} could both be the table {table}")
        held[table] = name
    return held


def columns_of_tables(path: Path, shown: str) -> dict[str, list[str]]:
    """List the columns of every table and view of a file.

    Raises
    ------
    DataError, StorageError
        The file cannot be read.
    """
    with connect(path, shown) as connection:
        return {name: [*_read_table(connection, name).columns] for name in sorted(_tables_and_views(connection))}


def _tables_and_views(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    return [name for (name,) in connection.execute(query)]


def prefix_of(name: str, table: str, preset: Preset) -> str:
    """Write a table's name with a capital; a compartment of the user's own as the file does (``FilteredNuclei``).

    Parameters
    ----------
    name : str
        What the file calls the table.
    """
    at = name.lower().rfind(table)
    if table in (preset.image, *preset.compartments) or at < 0 or not name[at].isupper():
        return table_prefix(table)
    return name[at : at + len(table)]


def has_signs(path: Path, shown: str, preset: Preset, held: Mapping[str, str]) -> bool:
    """Say whether a file's tables have the columns that a preset is recognised by.

    Parameters
    ----------
    held : mapping
        The file's table, or view, that holds each of the preset's tables.
    """
    if not preset.signs:
        return True
    with connect(path, shown) as connection:
        columns = {table: _read_table(connection, name).columns for table, name in held.items()}
    return all(sign.is_among(columns.get(sign.table, {})) for sign in preset.signs)


def read_sqlite_dataset(
    place: Place, relative: str, preset: Preset, tables: Sequence[str], part_size: int,
    sample: Callable[[str], TableSample],
) -> list[list[FoundSource]]:  # fmt: skip
    """Look at one SQLite file and cut it into parts of whole image sets.

    Returns
    -------
    list of list of FoundSource
        For each part one source per table, image sets ascending by table number and image number.

    Raises
    ------
    BadDatasetError
        A table or a key column is missing.
    """
    path = local_path(place)
    shown = shown_name(path, relative)
    held = sqlite_tables(path, shown, preset, tables)
    if missing := [table for table in tables if table not in held]:
        raise BadDatasetError(f"{shown}: no table {listed(missing)} (there is {listed(sorted(held.values()))})")
    size, mark = fingerprint(place)
    found = {}
    with connect(path, shown) as connection:
        for table in tables:
            found[table] = _read_table(connection, held[table])
            _check_keys(found[table], table, preset, shown)
            _find_image_sets(connection, found[table], preset)
            _check_rows(connection, found[table], shown)
            _sample_rows(connection, found[table], preset, sample(table))
    return [
        [
            FoundSource(
                dataset=relative, table=table, path=relative, bytes=part.bytes_of(table), fingerprint=mark,
                sqlite_table=found[table].name, row_ranges=part.runs_of(table), rows=part.rows_of(table),
            )
            for table in tables
        ]
        for part in _cut(_with_all_keys(found, preset), size, part_size)
    ]  # fmt: skip


@dataclass
class _SqlitePart:
    """Some image sets of a file."""

    tables: dict[str, SqliteTable]
    image_sets: list[ImageSet]
    bytes_a_cell: float

    def runs_of(self, table: str) -> tuple[Run, ...]:
        runs = self.tables[table].runs_of
        merged: list[Run] = []
        for first, last in sorted(run for image_set in self.image_sets for run in runs.get(image_set, ())):
            if merged and merged[-1][1] + 1 == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return tuple(merged)

    def rows_of(self, table: str) -> int:
        return sum(self.tables[table].rows_of.get(image_set, 0) for image_set in self.image_sets)

    def bytes_of(self, table: str) -> int:
        return round(self.rows_of(table) * len(self.tables[table].columns) * self.bytes_a_cell)


def _cut(tables: dict[str, SqliteTable], size: int, part_size: int) -> list[_SqlitePart]:
    image_sets = sorted({image_set for table in tables.values() for image_set in table.rows_of}, key=_sort_key)
    cells = sum(sum(table.rows_of.values()) * len(table.columns) for table in tables.values())
    bytes_a_cell = size / max(cells, 1)
    if any(table.rows_of and not table.runs_of for table in tables.values()):
        return [_SqlitePart(tables, image_sets, bytes_a_cell)]
    parts: list[_SqlitePart] = []
    filled = float(part_size)
    for image_set in image_sets:
        if filled >= part_size:
            parts.append(_SqlitePart(tables, [], bytes_a_cell))
            filled = 0
        parts[-1].image_sets.append(image_set)
        filled += bytes_a_cell * sum(table.rows_of.get(image_set, 0) * len(table.columns) for table in tables.values())
    return parts or [_SqlitePart(tables, [], bytes_a_cell)]


def _with_all_keys(tables: dict[str, SqliteTable], preset: Preset) -> dict[str, SqliteTable]:
    """Give the image sets of tables without table numbers those that the other tables' rows of the image have.

    Such tables are joined on the image number alone. Where an image number belongs to several table numbers, its rows
    cannot be told apart; then all are one image set, and so the file is one part.
    """
    without = [table for table in tables.values() if preset.table_number not in table.columns]
    if not without or len(without) == len(tables):
        return tables
    with_both = {image_set for table in tables.values() if table not in without for image_set in table.rows_of}
    numbers = {image: number for number, image in with_both}
    told_apart = len(numbers) == len(with_both)

    def key(image_set: ImageSet) -> ImageSet:
        return (numbers.get(image_set[1]), image_set[1]) if told_apart else (None, None)

    return {name: _with_keys(table, key) for name, table in tables.items()}


def _with_keys(table: SqliteTable, key: Callable[[ImageSet], ImageSet]) -> SqliteTable:
    changed = SqliteTable(table.name, table.columns)
    for image_set, rows in table.rows_of.items():
        changed.rows_of[key(image_set)] = changed.rows_of.get(key(image_set), 0) + rows
    for image_set, runs in table.runs_of.items():
        changed.runs_of.setdefault(key(image_set), []).extend(runs)
    return changed


def _joined_as(image_set: ImageSet) -> ImageSet:
    """Give the numbers of an image set as the joined rows have them: ``'1'`` and ``1.0`` are 1."""
    table_number, image_number = image_set
    if isinstance(table_number, str) and _NUMBER_AS_TEXT.fullmatch(table_number):
        table_number = int(table_number)
    try:
        if isinstance(image_number, str | bytes):
            text = image_number if isinstance(image_number, str) else image_number.decode()
            image_number = number_of(text, "int64")
    except (ValueError, OverflowError):
        pass  # Refused, with its row, when the rows are read.
    return table_number, image_number


def _sort_key(image_set: ImageSet) -> tuple[tuple[int, float, str], ...]:
    """Sort as the joined rows are: nothing first, then numbers (stored as text or not) by value, then texts."""

    def place(value: Any) -> tuple[int, float, str]:
        if value is None:
            return 0, 0, ""
        if isinstance(value, str) and re.fullmatch(WHOLE_NUMBER, value):
            return 1, int(value), value
        return (2, 0, str(value)) if isinstance(value, str | bytes) else (1, value, str(value))

    return place(image_set[0]), place(image_set[1])


def _read_table(connection: sqlite3.Connection, name: str) -> SqliteTable:
    return SqliteTable(name, declared_columns(connection, name))


def _check_keys(found: SqliteTable, table: str, preset: Preset, shown: str) -> None:
    keys = [preset.image_number]
    if table != preset.image:
        keys.append(preset.object_number_of(prefix_of(found.name, table, preset)))
    columns = {column.lower() for column in found.columns}
    if missing := [key for key in keys if not {key.lower(), f"metadata_{key}".lower()} & columns]:
        raise BadDatasetError(f"{shown}: table {found.name} has no column {listed(missing)}")


def _find_image_sets(connection: sqlite3.Connection, table: SqliteTable, preset: Preset) -> None:
    """Find in which rows the image sets lie, once, so that a part need not look at the others' rows."""
    _find_stored_image_sets(connection, table, preset)
    table.whole_numbers = all(
        number is None or (not isinstance(number, str | bytes) and number % 1 == 0) for number, _ in table.rows_of
    )
    merged = _with_keys(table, _joined_as)
    table.rows_of, table.runs_of = merged.rows_of, merged.runs_of


def _find_stored_image_sets(connection: sqlite3.Connection, table: SqliteTable, preset: Preset) -> None:
    number = quoted(preset.table_number) if preset.table_number in table.columns else "NULL"
    image, name = quoted(preset.image_number), quoted(table.name)
    rowid = rowid_name(list(table.columns))
    if not _has_rowids(connection, name, rowid):
        query = f"SELECT {number}, {image}, count(*) FROM {name} GROUP BY 1, 2"
        table.rows_of = {(tn, im): rows for tn, im, rows in connection.execute(query)}
        return
    query = f"SELECT {number}, {image}, min({rowid}), max({rowid}), count(*) FROM {name} GROUP BY 1, 2"
    spans = connection.execute(query).fetchall()
    table.rows_of = {(tn, im): rows for tn, im, _, _, rows in spans}
    ordered = sorted(spans, key=lambda span: span[2])
    if all(before[3] < after[2] for before, after in pairwise(ordered)):
        table.runs_of = {(tn, im): [(first, last)] for tn, im, first, last, _ in spans}
        return
    runs: dict[ImageSet, list[Run]] = defaultdict(list)
    query = (
        f"SELECT tn, im, min(r), max(r) FROM (SELECT {number} AS tn, {image} AS im, {rowid} AS r, row_number() OVER "
        f"(ORDER BY {rowid}) - row_number() OVER (PARTITION BY {number}, {image} ORDER BY {rowid}) AS run FROM {name}) "
        "GROUP BY tn, im, run ORDER BY 3"
    )
    for tn, im, first, last in connection.execute(query):
        runs[tn, im].append((first, last))
    table.runs_of = dict(runs)


def _check_rows(connection: sqlite3.Connection, table: SqliteTable, shown: str) -> None:
    """Refuse a table of which not all rows were found.

    Raises
    ------
    BadDatasetError
        An index of it is damaged.
    """
    rows, rowid = sum(table.rows_of.values()), rowid_name(list(table.columns))
    there = rows_beside_index(connection, table.name, rowid, rows) if table.runs_of else rows
    if there != rows:
        raise BadDatasetError(
            f"{shown}, table {table.name}: an index of it has {rows} rows where the table has {there}; it is damaged, "
            "and made anew with REINDEX"
        )


def _has_rowids(connection: sqlite3.Connection, name: str, rowid: str) -> bool:
    try:
        # Some versions of SQLite give the rows of a view the row number NULL, others refuse to give any.
        first = connection.execute(f"SELECT {rowid} FROM {name} LIMIT 1").fetchone()
        return first is None or first[0] is not None
    except sqlite3.OperationalError:
        return False  # A view, or a table made WITHOUT ROWID.


def _sample_rows(connection: sqlite3.Connection, table: SqliteTable, preset: Preset, sample: TableSample) -> None:
    """Look at rows from the beginning, the middle and the end of a table."""
    name, rowid = quoted(table.name), rowid_name(list(table.columns))
    queries = [f"SELECT * FROM {name} LIMIT {_SAMPLE_ROWS}"]
    if table.runs_of:
        last = max(run[1] for runs in table.runs_of.values() for run in runs)
        queries += [
            f"SELECT * FROM {name} WHERE {rowid} >= {at} LIMIT {_SAMPLE_ROWS}"
            for at in (last // 2, last - _SAMPLE_ROWS)
        ]
    rows = [row for query in queries for row in connection.execute(query)]
    sample.add(list(table.columns), rows)
    for column, declared in table.columns.items():
        if declares_text(declared) and not _is_number_by_name(column, sample):
            sample.fix(column, "string")
    if preset.table_number in table.columns:
        sample.fix(preset.table_number, "int64" if table.whole_numbers else "string")


def _is_number_by_name(column: str, sample: TableSample) -> bool:
    """Say whether a column declared as text holds numbers all the same.

    Programs that store tables of mixed values declare object numbers and measurements as text too.
    """
    return names_measurement(column) or (names_whole_number(column) and not sample.columns[column].some_text)
