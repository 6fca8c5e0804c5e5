"""Small plates as text, line by line, so that a test can put anything in any cell before it writes them."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from plates import Folder, Plate, folder_tables, folders
from plates_columns import features
from plates_sqlite import SqliteStyle, quoted

__all__ = [
    "SMALL",
    "Line",
    "Tables",
    "as_text",
    "column_place",
    "measured_name",
    "set_column",
    "small_tables",
    "write_sheets",
    "write_sqlite_sheets",
]

Line = list[str]
Tables = dict[str, list[Line]]

SMALL = Plate(folders=3, cells=6, features=9, missing=0.0, nan_share=0.0, sites=2)


def small_tables(plate: Plate = SMALL) -> dict[str, Tables]:
    """Give a small plate as text: folder path to table name to lines, the header first."""
    return {folder.path: as_text(plate, folder) for folder in folders(plate)}


def write_sheets(out: Path, trees: Mapping[str, Tables], end: str = "\n", before: str = "") -> Path:
    """Write folders of CSV files; `end` ends the lines, `before` begins each file. Table names are the files' stems."""
    for path, tables in trees.items():
        place = out / path
        place.mkdir(parents=True, exist_ok=True)
        for name, lines in tables.items():
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator=end).writerows(lines)
            (place / f"{name}.csv").write_bytes((before + text.getvalue()).encode())
    return out


def write_sqlite_sheets(out: Path, tables: Tables, style: SqliteStyle, columns: Iterable[str] = ()) -> Path:
    """Write one folder's tables as a SQLite file, every value as SQLite's FLOAT affinity takes it.

    Numbers become numbers and words stay text, so that columns have mixed types; `columns` adds `TableNumber` values,
    one copy of the rows for each.
    """
    connection = sqlite3.connect(out)
    with connection:
        for name, (header, *lines) in tables.items():
            names = [style.column_name(name, column) for column in header]
            copies = [[[number, *line] for line in lines] for number in columns] or [[list(line) for line in lines]]
            names = ["TableNumber", *names] if columns else names
            types = ["TEXT" if "Name" in n or "Metadata" in n or n == "TableNumber" else "FLOAT" for n in names]
            declared = ", ".join(f"{quoted(n)} {t}" for n, t in zip(names, types, strict=True))
            table = quoted(style.table_name(name))
            connection.execute(f"CREATE TABLE {table} ({declared})")
            marks = ", ".join("?" * len(names))
            for copy in copies:
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", copy)
    connection.close()
    return out


def as_text(plate: Plate, folder: Folder) -> Tables:
    tables: Tables = {}
    for name, table in folder_tables(plate, folder).items():
        columns = [
            [repr(v) if isinstance(v, float) else str(v) for v in column.to_pylist()] for column in table.columns
        ]
        tables[name] = [list(table.column_names), *(list(line) for line in zip(*columns, strict=True))]
    return tables


def column_place(lines: list[Line], name: str) -> int:
    return lines[0].index(name)


def set_column(lines: list[Line], name: str, values: Iterable[str]) -> None:
    """Overwrite a column from its first row on, as far as the values go."""
    i = column_place(lines, name)
    for line, value in zip(lines[1:], values, strict=False):
        line[i] = value


def measured_name(lines: list[Line], which: int = 0) -> str:
    """Name of one of the measurement columns that hold real numbers."""
    real = {f.name for f in features(SMALL.features) if f.kind != "whole"}
    return [name for name in lines[0] if name in real][which]
