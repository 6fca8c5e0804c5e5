"""The SQLite twins of a generated plate: its cells as CellProfiler or cytominer-database store them."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from plates import Folder, Plate, folder_tables, folders

__all__ = ["SqliteStyle", "quoted", "write_sqlite"]

MOST_OBJECTS = 1 << 20


@dataclass(frozen=True)
class SqliteStyle:
    """How a file stores the plate.

    Attributes
    ----------
    order
        Rows one image set after another, one row of each image set in turn, or all shuffled.
    index
        Whether there are indices on the image columns.
    table_number
        Type of cytominer-database's `TableNumber`: an ordinal, or a hash as hexadecimal text.
    """

    kind: Literal["cellprofiler_sqlite", "cytominer_database"] = "cellprofiler_sqlite"
    order: Literal["image", "interleaved", "shuffled"] = "image"
    index: bool = False
    table_number: Literal["integer", "text"] = "integer"

    def table_name(self, name: str) -> str:
        """Name of a table in the file."""
        return f"Per_{name}" if self.kind == "cellprofiler_sqlite" else name

    def column_name(self, table: str, column: str) -> str:
        """Name of a CSV column in the file."""
        if column == "ImageNumber" or (column == "ObjectNumber" and self.kind == "cytominer_database"):
            return column
        return f"{table}_{column}"


def write_sqlite(plate: Plate, out: Path, style: SqliteStyle | None = None) -> Path:
    """Write the plate as one SQLite file, and return its path.

    `cellprofiler_sqlite` numbers image sets through, since they must be unique in the file, and stores NaN as NULL;
    `cytominer_database` keeps each folder's own numbers under a `TableNumber` and stores NaN as the text `nan`.
    """
    style = style or SqliteStyle()
    connection = sqlite3.connect(out, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for folder in folders(plate):
            _store_folder(connection, plate, folder, style)
        if style.index:
            _store_indices(connection, style)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return out


def quoted(name: str) -> str:
    """Quote a name for SQLite."""
    return '"' + name.replace('"', '""') + '"'


def _store_folder(connection: sqlite3.Connection, plate: Plate, folder: Folder, style: SqliteStyle) -> None:
    first_image = folder.index * plate.images
    shift = first_image + 1 - folder.image_sets[0].number if style.kind == "cellprofiler_sqlite" else 0
    for table, content in folder_tables(plate, folder).items():
        drop = [] if style.kind == "cytominer_database" or table == "Image" else ["ObjectNumber"]
        content = content.drop_columns(drop)
        images = content["ImageNumber"].to_pylist()
        names = [style.column_name(table, name) for name in content.column_names]
        types = [
            "FLOAT" if t == pa.float64() else "TEXT" if t == pa.string() else "BIGINT" for t in content.schema.types
        ]
        columns = [_stored(content[name], style) for name in content.column_names]
        columns[content.column_names.index("ImageNumber")] = [number + shift for number in images]
        if style.kind == "cytominer_database":
            names.insert(0, "TableNumber")
            types.insert(0, "BIGINT" if style.table_number == "integer" else "TEXT")
            columns.insert(0, [_table_number(folder, style)] * len(images))
        if folder.index == 0:
            declared = ", ".join(f"{quoted(n)} {t}" for n, t in zip(names, types, strict=True))
            connection.execute(f"CREATE TABLE {quoted(style.table_name(table))} ({declared})")
        places = (first_image + number - folder.image_sets[0].number for number in images)
        _insert(connection, style.table_name(table), columns, _row_numbers(places, plate, style))


def _stored(column: Any, style: SqliteStyle) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if column.type == pa.float64():
        missing = None if style.kind == "cellprofiler_sqlite" else "nan"
        return [missing if math.isnan(value) else value for value in values]
    return values


def _table_number(folder: Folder, style: SqliteStyle) -> int | str:
    if style.table_number == "integer":
        return folder.index + 1
    return hashlib.md5(folder.path.encode(), usedforsecurity=False).hexdigest()


def _row_numbers(images: Iterable[int], plate: Plate, style: SqliteStyle) -> Iterator[int | None]:
    """Give each row the rowid that puts it in its place, as SQLite stores rows by rowid."""
    before, position = -1, 0
    for image in images:
        position = position + 1 if image == before else 0
        before = image
        if style.order == "image":
            yield None
        elif style.order == "interleaved":
            yield 1 + position * plate.folders * plate.images + image
        else:
            # Multiplying by an odd number permutes the numbers below 2**60, so no two rows meet.
            yield 1 + (image * MOST_OBJECTS + position) * 0x9E3779B97F4A7C15 % (1 << 60)


def _insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[list[Any]], row_numbers: Iterator[int | None]
) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
    target = ", ".join(["rowid", *map(quoted, names)])
    marks = ", ".join("?" * (len(names) + 1))
    rows = zip(row_numbers, *columns, strict=True)
    connection.executemany(f"INSERT INTO {quoted(table)} ({target}) VALUES ({marks})", rows)


def _store_indices(connection: sqlite3.Connection, style: SqliteStyle) -> None:
    scope = ["TableNumber", "ImageNumber"] if style.kind == "cytominer_database" else ["ImageNumber"]
    for table in ("Image", "Cells", "Cytoplasm", "Nuclei"):
        number = [] if table == "Image" else [style.column_name(table, "ObjectNumber")]
        if number and style.kind == "cellprofiler_sqlite":
            number = [f"{table}_Number_Object_Number"]
        columns = ", ".join(map(quoted, scope + number))
        name = quoted(f"image_{table.lower()}_idx")
        connection.execute(f"CREATE INDEX {name} ON {quoted(style.table_name(table))} ({columns})")
