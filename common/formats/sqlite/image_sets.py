"""The image sets of an SQLite file: the rows that hold their objects, and how they are cut into parts."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pycytominer_transform.common.formats.sqlite.files import rowid_name
from pycytominer_transform.common.model.conversion import number_of
from pycytominer_transform.common.model.naming import WHOLE_NUMBER, quoted
from pycytominer_transform.common.model.preset import Preset

Run = tuple[int, int]
ImageSet = tuple[Any, Any]
"""Table number and image number, equal where they are joined as equal, however they are stored."""
_NUMBER_AS_TEXT = re.compile(r"-?[1-9][0-9]{0,17}|0")


@dataclass(frozen=True)
class SqliteTable:
    """One table of a file.

    Attributes
    ----------
    columns : dict
        For each column its declared type.
    rows_of : dict
        For each image set its number of rows.
    runs_of : dict
        For each image set the first and last rowid of each run of its rows; empty where the table has no rowids.
    whole_numbers : bool
        Whether all its table numbers are stored as whole numbers, none as text.
    """

    name: str
    columns: dict[str, str]
    rows_of: dict[ImageSet, int]
    runs_of: dict[ImageSet, list[Run]]
    whole_numbers: bool


def find_image_sets(connection: sqlite3.Connection, name: str, columns: dict[str, str], preset: Preset) -> SqliteTable:
    """Find the rows of each image set of a table once, so that reading a part skips the other rows."""
    number = quoted(preset.table_number) if preset.table_number in columns else "NULL"
    image, table, rowid = quoted(preset.image_number), quoted(name), rowid_name(columns)
    has_rowids = _has_rowids(connection, table, rowid)
    ends = f"min({rowid}), max({rowid})" if has_rowids else "NULL, NULL"
    query = f"SELECT {number}, {image}, count(*), {ends} FROM {table} GROUP BY 1, 2"
    spans = connection.execute(query).fetchall()
    rows_of = {(tn, im): rows for tn, im, rows, _, _ in spans}
    ordered = sorted(spans, key=lambda span: span[3]) if has_rowids else []
    runs_of: dict[ImageSet, list[Run]] = defaultdict(list)
    if all(before[4] < after[3] for before, after in pairwise(ordered)):
        runs_of |= {(tn, im): [(first, last)] for tn, im, _, first, last in ordered}
    else:
        query = (
            f"SELECT tn, im, min(r), max(r) FROM (SELECT {number} AS tn, {image} AS im, {rowid} AS r, "
            f"row_number() OVER (ORDER BY {rowid}) - "
            f"row_number() OVER (PARTITION BY {number}, {image} ORDER BY {rowid}) AS run "
            f"FROM {table}) GROUP BY tn, im, run ORDER BY 3"
        )
        for tn, im, first, last in connection.execute(query):
            runs_of[tn, im].append((first, last))
    whole_numbers = all(
        number is None or (not isinstance(number, str | bytes) and number % 1 == 0) for number, _ in rows_of
    )
    return _with_keys(SqliteTable(name, columns, rows_of, runs_of, whole_numbers), _joined_as)


def _has_rowids(connection: sqlite3.Connection, name: str, rowid: str) -> bool:
    try:
        # Some versions of SQLite give the rows of a view the row number NULL, others refuse to give any.
        first = connection.execute(f"SELECT {rowid} FROM {name} LIMIT 1").fetchone()
        return first is None or first[0] is not None
    except sqlite3.OperationalError:
        return False  # A view, or a table made WITHOUT ROWID.


@dataclass
class SqlitePart:
    """Some image sets of a file."""

    tables: dict[str, SqliteTable]
    image_sets: list[ImageSet]
    bytes_a_cell: float

    def runs_of(self, table: str) -> tuple[Run, ...]:
        """Return the first and last rowid of each run of a table's rows, ascending."""
        runs = self.tables[table].runs_of
        merged: list[Run] = []
        for first, last in sorted(run for image_set in self.image_sets for run in runs.get(image_set, ())):
            if merged and merged[-1][1] + 1 == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return tuple(merged)

    def rows_of(self, table: str) -> int:
        """Count a table's rows."""
        return sum(self.tables[table].rows_of.get(image_set, 0) for image_set in self.image_sets)

    def bytes_of(self, table: str) -> int:
        """Estimate a table's share of the file, in bytes."""
        return round(self.rows_of(table) * len(self.tables[table].columns) * self.bytes_a_cell)


def cut_into_parts(tables: dict[str, SqliteTable], preset: Preset, size: int, part_size: int) -> list[SqlitePart]:
    """Cut a file of `size` bytes into parts of whole image sets, ascending by table number and image number."""
    tables = _with_all_keys(tables, preset)
    image_sets = sorted({image_set for table in tables.values() for image_set in table.rows_of}, key=_sort_key)
    cells = sum(sum(table.rows_of.values()) * len(table.columns) for table in tables.values())
    bytes_a_cell = size / max(cells, 1)
    if any(table.rows_of and not table.runs_of for table in tables.values()):
        return [SqlitePart(tables, image_sets, bytes_a_cell)]
    parts: list[SqlitePart] = []
    filled = float(part_size)
    for image_set in image_sets:
        if filled >= part_size:
            parts.append(SqlitePart(tables, [], bytes_a_cell))
            filled = 0
        parts[-1].image_sets.append(image_set)
        filled += bytes_a_cell * sum(table.rows_of.get(image_set, 0) * len(table.columns) for table in tables.values())
    return parts or [SqlitePart(tables, [], bytes_a_cell)]


def _with_all_keys(tables: dict[str, SqliteTable], preset: Preset) -> dict[str, SqliteTable]:
    """Return the tables; image sets without a table number get the one that the other tables' rows of the image have.

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
    rows_of: dict[ImageSet, int] = defaultdict(int)
    runs_of: dict[ImageSet, list[Run]] = defaultdict(list)
    for image_set, rows in table.rows_of.items():
        rows_of[key(image_set)] += rows
    for image_set, runs in table.runs_of.items():
        runs_of[key(image_set)] += runs
    return replace(table, rows_of=rows_of, runs_of=runs_of)


def _joined_as(image_set: ImageSet) -> ImageSet:
    """Return the numbers of an image set as the joined rows have them: ``'1'`` and ``1.0`` are 1."""
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
    """Return the key that joined rows are sorted by: nothing, then numbers (as text or not) by value, then texts."""

    def place(value: Any) -> tuple[int, float, str]:
        if value is None:
            return 0, 0, ""
        if isinstance(value, str) and re.fullmatch(WHOLE_NUMBER, value):
            return 1, int(value), value
        return (2, 0, str(value)) if isinstance(value, str | bytes) else (1, value, str(value))

    return place(image_set[0]), place(image_set[1])
